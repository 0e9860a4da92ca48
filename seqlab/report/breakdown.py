"""Where the errors are: rates by groups of lines, and what kinds of signs the errors are made of."""

import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from seqlab.report.evaluation import MEASURES, EvaluatedLine, Evaluation
from seqlab.scoring import Aligned, Counts, Interval, LineScore, Score, add, bootstrap_interval, edits

QUARTERS = 4
FEWEST_LINES = 20  # below, lines are not divided by numbers
SIGNS = {  # in the order in which an error is tried
    "spaces": "spaces only",
    "punctuation": "punctuation only",
    "case": "case only: a and A",
    "accents": "accents only: e and é",
    "rest": "everything else",
}


@dataclass(frozen=True, slots=True)
class Group:
    """Sums over some lines.

    Attributes:
        label: what they have in common.
        lines: how many.
        words: counts of words.
        characters: counts of characters.
        interval: of the character error rate, by line.
    """

    label: str
    lines: int
    words: Counts
    characters: Counts
    interval: Interval


@dataclass(frozen=True, slots=True)
class Breakdown:
    """The lines divided by one property.

    Attributes:
        key: short name, safe in ids and file names.
        title: what divides them, with its unit.
        groups: by name the highest character error rate first, by number in its order.
        ordered: whether it is a number.
    """

    key: str
    title: str
    groups: list[Group]
    ordered: bool = False


def breakdowns(evaluation: Evaluation, score: Score) -> list[Breakdown]:
    """Divide the lines by all that is known of them; what does not divide them is left out."""
    rows, scores = evaluation.rows, score.per_line
    found = []
    named: list[tuple[str, str, list[str | None]]] = [
        ("speakers", f"{evaluation.person.capitalize()}s", [row.speaker for row in rows])
    ]
    for name in dict.fromkeys(name for row in rows for name in row.groups):
        named.append(
            (f"group-{_safe(name)}", name.replace("_", " ").capitalize(), [row.groups.get(name) for row in rows])
        )
    for key, title, names in named:
        groups = by_name(names, scores)
        if len(groups) > 1:
            found.append(Breakdown(key, title, groups))
    numbers: list[tuple[str, str, Callable[[EvaluatedLine], float | None]]] = [
        ("length", "Length of the reference, characters", lambda row: float(len(row.reference.strip())))
    ]
    if evaluation.kind == "audio":
        numbers.append(("duration", "Duration, s", lambda row: row.duration_s))
        numbers.append(("speed", "Speaking rate, characters per s", _speed))
    for name, (title, unit) in MEASURES.items():
        numbers.append((_safe(name), f"{title}, {unit}", lambda row, name=name: row.measures.get(name)))  # type: ignore[misc]
    for key, title, measure in numbers:
        groups = by_number([measure(row) for row in rows], scores)
        if len(groups) > 1:
            found.append(Breakdown(key, title, groups, ordered=True))
    return found


def _speed(row: EvaluatedLine) -> float | None:
    return len(row.reference.strip()) / row.duration_s if row.duration_s else None


def by_name(names: Sequence[str | None], scores: Sequence[LineScore]) -> list[Group]:
    """Sum lines of one name, highest character error rate first; lines without a name are left out."""
    lines: dict[str, list[LineScore]] = {}
    for name, line in zip(names, scores, strict=True):
        if name:
            lines.setdefault(name, []).append(line)
    groups = [_group(name, own) for name, own in lines.items()]
    return sorted(groups, key=lambda group: (-group.characters.rate, -group.words.rate, group.label))


def by_number(values: Sequence[float | None], scores: Sequence[LineScore]) -> list[Group]:
    """Sum lines in quarters of a number, lowest first; equal numbers stay together, unknown ones are left out."""
    known = sorted((v, i) for i, v in enumerate(values) if v is not None)
    if len(known) < FEWEST_LINES:
        return []
    numbers = np.array([v for v, _ in known])
    cuts = np.searchsorted(numbers, np.quantile(numbers, np.arange(1, QUARTERS) / QUARTERS))
    edges = np.unique([0, *cuts, len(known)])
    groups = []
    for first, last in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        low, high = numbers[first], numbers[last - 1]
        label = f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}"
        groups.append(_group(label, [scores[i] for _, i in known[first:last]]))
    return groups


def _group(label: str, lines: list[LineScore]) -> Group:
    characters = [line.characters for line in lines]
    interval = bootstrap_interval([c.errors for c in characters], [c.reference for c in characters], 500)
    return Group(label, len(lines), add(line.words for line in lines), add(characters), interval)


def _safe(name: str) -> str:
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in name.lower())


def sign_of(edit: Aligned) -> str:
    """Return which of SIGNS an error between two characters is."""
    _, said, heard = edit
    signs = [sign for sign in (said, heard) if sign is not None]
    if all(sign.isspace() for sign in signs):
        return "spaces"
    if all(sign.isspace() or unicodedata.category(sign)[0] in "PS" for sign in signs):
        return "punctuation"
    if said is not None and heard is not None:
        if said.casefold() == heard.casefold():
            return "case"
        if _bare(said) == _bare(heard) != "":
            return "accents"
    elif unicodedata.category(signs[0])[0] == "M":
        return "accents"
    return "rest"


def _bare(sign: str) -> str:
    """Return a character without its accents."""
    return "".join(c for c in unicodedata.normalize("NFD", sign) if unicodedata.category(c)[0] != "M")


@dataclass(frozen=True, slots=True)
class Signs:
    """What the errors of characters are made of.

    Attributes:
        errors: by the keys of SIGNS.
        lines: lines all of whose errors are spaces or punctuation.
        wrong_lines: lines with an error.
    """

    errors: dict[str, int]
    lines: int
    wrong_lines: int

    @property
    def slight(self) -> float:
        """Share of the errors that are only spaces or punctuation; 0 without errors."""
        return (self.errors["spaces"] + self.errors["punctuation"]) / max(sum(self.errors.values()), 1)


def error_signs(rows: Sequence[EvaluatedLine], score: Score) -> Signs:
    """Count the errors of characters by what they are made of."""
    total: Counter[str] = Counter()
    slight = wrong = 0
    for row, line in zip(rows, score.per_line, strict=True):
        found = dict.fromkeys(SIGNS, 0)
        for edit in edits(row.reference.strip(), row.hypothesis.strip(), line.character_errors):
            found[sign_of(edit)] += 1
        total.update(found)
        errors = sum(found.values())
        wrong += errors > 0
        slight += errors > 0 and errors == found["spaces"] + found["punctuation"]
    return Signs({sign: total[sign] for sign in SIGNS}, slight, wrong)
