"""report.html: one page that needs nothing else and no network; its script only sorts, filters, plays and draws."""

import base64
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from seqlab import __version__
from seqlab.report.analysis import Analysis
from seqlab.report.breakdown import SIGNS
from seqlab.report.curves import Chart
from seqlab.report.embed import MOST_LINES, length, page_data
from seqlab.report.exhibits import MOST_BYTES
from seqlab.report.headline import NAMES
from seqlab.report.plots import bar, style
from seqlab.report.tables import WorstLine, harmless, visible
from seqlab.report.totals import KNOWN, Totals
from seqlab.scoring import MIN_SPEAKERS, RULES

GROUPS = 50  # rows of a table of groups
MARKS = {"sub": "S", "del": "D", "ins": "I"}
_MEDIA = re.compile(r"data:(image|audio)/|\.\.?/")


def render_page(analysis: Analysis, plots: Mapping[str, Chart], trouble: str | None = None) -> str:
    """Return the HTML of a report. Everything given is escaped, so no text can become markup or script.

    Args:
        analysis: what is told.
        plots: diagrams by name (:func:`seqlab.report.plots.draw_plots`).
        trouble: why there are no training curves, if some were given.

    Raises:
        ValueError: a picture or recording is neither a data URI of its kind nor a relative link.
    """
    evaluation, score = analysis.evaluation, analysis.score
    for line_id, address in evaluation.media.items():
        if not _MEDIA.match(address):
            raise ValueError(
                f"line {line_id}: media must be a data URI of an image or of audio, or a relative link that begins "
                f"with ./ or ../; got {address[:40]!r}"
            )
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_finish
    )
    environment.filters |= {"percent": percent, "number": number, "visible": visible}
    environment.filters["name"] = lambda path: Path(str(path)).name
    environment.filters["bar"] = lambda group, groups: Markup(bar(group, groups))  # numbers only
    summary = score.summary()
    units = {"wer": "words", "wer_punctuation": "words and marks"}
    sheet, script = style("plot.css") + style("page.css"), style("page.js")
    figures = {  # ElementTree has escaped the SVG
        name: {"title": c.title, "svg": Markup(c.svg), "notes": c.notes, "keyed": name.startswith("training")}
        for name, c in plots.items()
    }
    columns = _columns(analysis)
    return environment.from_string(style("template.html")).render(
        evaluation=evaluation,
        score=score,
        policy=_policy(sheet, script, any(not address.startswith("data:") for address in evaluation.media.values())),
        style=Markup(sheet),
        script=Markup(script),
        data=Markup(page_data(analysis)),  # holds no <, > or &
        measures=[(name, units.get(key, "characters"), summary[key]) for key, name in NAMES.items()],
        interval_by_speaker=score.wer_interval_by_speaker is not None,
        fewest_speakers=MIN_SPEAKERS,
        known_set=KNOWN.get(Totals(score.lines, score.characters, score.words)),
        findings=analysis.findings,
        signs=analysis.signs,
        sign_names=SIGNS,
        confusions=analysis.confusions,
        tokens=analysis.tokens,
        aligned_unit="words" if analysis.by_words else "characters",
        divided=analysis.divided,
        most_groups=GROUPS,
        worst=analysis.worst,
        columns=[(label, field) for label, field in columns.items()],
        cells=lambda line: _cells(line, columns, evaluation.kind),
        embedded=_embedded(analysis),
        wrong_lines=analysis.signs.wrong_lines,
        by_words=analysis.by_words,
        marks=MARKS,
        matrix=figures.pop("confusions", None),
        diagram=figures.pop("confidence", None),
        calibration=analysis.calibration,
        charts=list(figures.values()),
        trouble=trouble,
        timed=all(row.word_places is not None for row in evaluation.rows),
        model=flat(evaluation.model),
        rules=[*RULES, *evaluation.rules],
        version=__version__,
    )


def _finish(value: Any) -> Any:
    return harmless(value) if type(value) is str else value  # not what is markup already


def _policy(sheet: str, script: str, linked: bool) -> str:
    """Return the page's Content-Security-Policy: its own style and script by hash, its own media, nothing else."""
    style_hash, script_hash = (
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii") for text in (sheet, script)
    )
    media = "data: file: 'self'" if linked else "data:"
    return (
        f"default-src 'none'; script-src 'sha256-{script_hash}'; style-src 'sha256-{style_hash}'; "
        f"img-src {media}; media-src {media}; base-uri 'none'; form-action 'none'"
    )


def _columns(analysis: Analysis) -> dict[str, int]:
    """Return the columns of the table of lines and the places in a line's data that they sort by."""
    rows, kind = analysis.evaluation.rows, analysis.evaluation.kind
    columns = {analysis.evaluation.person.capitalize(): 1} if any(row.speaker for row in rows) else {}
    columns |= {"Word errors": 5, "CER": 7}
    if any(row.word_confidences for row in rows):
        columns["Least sure"] = 10
    seconds = kind == "audio" and all(row.duration_s is not None for row in rows)
    return columns | {"Seconds" if seconds else "Characters": 9 if seconds else 8}


def _cells(line: WorstLine, columns: Mapping[str, int], kind: str) -> list[tuple[str, str]]:
    row, words = line.row, line.score.words
    texts = {
        1: row.speaker or "",
        5: f"{words.errors:,} of {words.reference:,}",
        7: percent(line.score.characters.rate),
        8: number(line.score.characters.reference),
        9: f"{length(row, kind):.2f}",
        10: f"{min(row.word_confidences):.3f}" if row.word_confidences else "",
    }
    return [(label, texts[field]) for label, field in columns.items()]


def _embedded(analysis: Analysis) -> str:
    """Say which recordings or pictures the page holds."""
    media, lines = analysis.evaluation.media, analysis.score.lines
    what = "recordings" if analysis.evaluation.kind == "audio" else "pictures"
    inside = [address for address in media.values() if address.startswith("data:")]
    size = sum(map(len, inside)) / 1e6
    text = f"The {what} of {len(inside):,} lines are inside this page ({max(size, 0.1):.1f} MB)"
    if len(media) > len(inside):
        text += f", {len(media) - len(inside):,} others are links to files, which must stay where they are"
    if len(media) < lines:
        text += f"; {lines - len(media):,} lines have none here, as the {MOST_BYTES / 1e6:.0f} MB for them are spent"
    return text + (f"; the {MOST_LINES:,} worst lines are listed." if lines > MOST_LINES else ".")


def flat(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Flatten nested settings into pairs of dotted name and text."""
    pairs: list[tuple[str, str]] = []
    for key, value in settings.items():
        if isinstance(value, Mapping):
            pairs.extend(flat(value, f"{prefix}{key}."))
        elif isinstance(value, list | tuple):
            pairs.append((f"{prefix}{key}", ", ".join(str(item) for item in value)))
        elif value is not None:
            whole = isinstance(value, int) and not isinstance(value, bool)
            pairs.append((f"{prefix}{key}", number(value) if whole else str(value)))
    return pairs


def percent(rate: float) -> str:
    """Format a rate: 0.05 becomes "5.00 %", with a space that does not break."""
    return f"{100 * rate:.2f}\u00a0%"


def number(value: float, digits: int = 0) -> str:
    """Format a number with commas between thousands."""
    return f"{value:,.{digits}f}"
