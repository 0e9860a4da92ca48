"""The page of seqlab compare: the lines that two models read differently. One file, without network and script."""

from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from seqlab import __version__
from seqlab.outputs.text import one_line
from seqlab.report.compare import Comparison, Contender
from seqlab.report.compare_text import person_of, rate_table, rule_text, sentence
from seqlab.report.plots import style
from seqlab.report.tables import visible
from seqlab.scoring import Aligned, Counts, align, count

MOST_LINES = 300  # of a comparison, those with the largest differences first
MARKS = {"sub": "S", "del": "D", "ins": "I"}
_WORDS_PER_LINE = 1.5  # below this, lines are aligned by characters
_LONGEST = 10_000  # tokens of a line that is shown


@dataclass(frozen=True, slots=True)
class DifferentLine:
    """A line that two models read differently.

    Attributes:
        id: of the line.
        speaker: who made it, or None.
        fewer: character errors that the second makes less than the first; below 0 it makes more.
        readings: letter, errors in words ("4 word errors in 7 words") and alignment of each.
    """

    id: str
    speaker: str | None
    fewer: int
    readings: list[tuple[str, str, list[Aligned]]]


def different_lines(comparison: Comparison) -> tuple[list[DifferentLine], int]:
    """Return the lines whose readings differ, largest difference of character errors first, and how many there are.

    Of a model with several runs the first is taken.
    """
    first, second = comparison.first.runs[0]["lines"], {line["id"]: line for line in comparison.other.runs[0]["lines"]}
    pairs = [(line, second[line["id"]]) for line in first if line["id"] in second]
    texts = ("reference", "hypothesis")
    pairs = [
        (one, other)
        for one, other in pairs
        if all(isinstance(line.get(key), str) for line in (one, other) for key in texts)
        and one["hypothesis"] != other["hypothesis"]
        and one["reference"] == other["reference"]
    ]
    words = sum(len(one["reference"].split()) for one, _ in pairs)
    by_words = words >= _WORDS_PER_LINE * len(pairs)
    ranked = sorted(pairs, key=lambda pair: (-abs(_fewer(*pair)), -_fewer(*pair)))
    return [_line(comparison, one, other, by_words) for one, other in ranked[:MOST_LINES]], len(pairs)


def _fewer(one: dict[str, Any], other: dict[str, Any]) -> int:
    return sum(
        sign * (line["characters"][kind])
        for line, sign in ((one, 1), (other, -1))
        for kind in ("substitutions", "deletions", "insertions")
    )


def _line(comparison: Comparison, one: dict[str, Any], other: dict[str, Any], by_words: bool) -> DifferentLine:
    readings = []
    for contender, line in ((comparison.first, one), (comparison.other, other)):
        said, heard = (line[key].split() if by_words else line[key].strip() for key in ("reference", "hypothesis"))
        said, heard = said[:_LONGEST], heard[:_LONGEST]
        found = _counted(count(said, heard), "word" if by_words else "character")
        readings.append((contender.letter, found, align(said, heard)))
    return DifferentLine(one["id"], one.get("speaker"), _fewer(one, other), readings)


def _counted(counts: Counts, unit: str) -> str:
    numbers = ((counts.errors, f"{unit} error"), (counts.reference, unit))
    return " in ".join(f"{number:,} {word}{'' if number == 1 else 's'}" for number, word in numbers)


def _measured(rows: list[list[str]]) -> list[list[str]]:
    """Head each row of intervals, indented below its measure, by the name of the measure too."""
    found, measure = [], ""
    for head, *cells in rows:
        measure = measure if head.startswith(" ") else head
        found.append([head if head == measure else f"{measure}: {head.strip()}", *cells])
    return found


def render_differences(contenders: list[Contender], comparisons: list[Comparison]) -> str:
    """Return the HTML of a comparison: rates, verdicts, and the lines. Everything given is escaped."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"visible": visible, "one_line": one_line}
    person = person_of(contenders)
    head, *rows = rate_table(contenders)
    return environment.from_string(style("differences.html")).render(
        style=Markup(style("plot.css") + style("page.css")),
        contenders=contenders,
        head=head,
        rows=_measured(rows),
        comparisons=[
            (
                comparison,
                [sentence(judgement, person) for judgement in comparison.judgements],
                *different_lines(comparison),
            )
            for comparison in comparisons
        ],
        rule=rule_text(contenders, comparisons),
        person=person,
        marks=MARKS,
        version=__version__,
    )
