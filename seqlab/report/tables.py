"""What the page lists: frequent errors, rates by speaker, the worst lines."""

import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from seqlab.report.evaluation import EvaluatedLine
from seqlab.scoring import Aligned, Counts, LineScore, Operation, Score, add, align, edits

_WORDS_PER_LINE = 1.5  # below this, lines are aligned by characters: single words, or a script without spaces
_TOP_ERRORS: dict[Operation, int] = {"sub": 15, "del": 7, "ins": 7}


@dataclass(slots=True)
class Confusion:
    """An error and how often it was made; the token that is missing is None."""

    operation: Operation
    reference: str | None
    hypothesis: str | None
    count: int


@dataclass(slots=True)
class SpeakerRates:
    """Sums over the lines of one speaker."""

    speaker: str
    lines: int
    words: Counts
    characters: Counts


@dataclass(slots=True)
class WorstLine:
    """A line, its score and its alignment."""

    row: EvaluatedLine
    score: LineScore
    aligned: list[Aligned]


def confusions(pairs: Iterable[tuple[list[str] | str, list[str] | str]]) -> list[Confusion]:
    """Count the errors of aligned pairs of token lists (or strings, for characters).

    Returns:
        The most frequent substitutions, then deletions, then insertions; each kind apart, as one would drown another.
    """
    counter = Counter(edit for reference, hypothesis in pairs for edit in edits(reference, hypothesis))
    ranked = sorted(counter.items(), key=lambda item: (-item[1], item[0][1] or "", item[0][2] or ""))
    return [
        Confusion(*edit, count)
        for operation, top in _TOP_ERRORS.items()
        for edit, count in [item for item in ranked if item[0][0] == operation][:top]
    ]


def by_speaker(rows: Iterable[EvaluatedLine], score: Score) -> list[SpeakerRates]:
    """Sum counts per speaker, highest word error rate first; lines without a speaker are left out."""
    lines: dict[str, list[LineScore]] = {}
    for row, line in zip(rows, score.per_line, strict=True):
        if row.speaker:
            lines.setdefault(row.speaker, []).append(line)
    rates = [
        SpeakerRates(speaker, len(own), add(line.words for line in own), add(line.characters for line in own))
        for speaker, own in lines.items()
    ]
    return sorted(rates, key=lambda rate: (-rate.words.rate, -rate.characters.rate, rate.speaker))


def aligned_by_words(score: Score) -> bool:
    """True if lines hold several words, so that an alignment of words tells something."""
    return score.words >= _WORDS_PER_LINE * score.lines


def worst_lines(rows: Iterable[EvaluatedLine], score: Score, top: int = 50) -> list[WorstLine]:
    """Return the lines with errors, highest character error rate first, then most errors."""
    wrong = [pair for pair in zip(rows, score.per_line, strict=True) if pair[1].characters.errors]
    wrong.sort(key=lambda pair: (-pair[1].characters.rate, -pair[1].characters.errors))
    by_words = aligned_by_words(score)
    return [
        WorstLine(
            row,
            line,
            align(row.reference.split(), row.hypothesis.split())
            if by_words
            else align(row.reference.strip(), row.hypothesis.strip()),
        )
        for row, line in wrong[:top]
    ]


def visible(token: str) -> str:
    """Make a token readable that would show as nothing: spaces, control characters, lone combining marks."""
    if token == " ":
        return "␣"
    return "".join(_visible_sign(sign) for sign in token) if len(token) == 1 else token


def _visible_sign(sign: str) -> str:
    category = unicodedata.category(sign)
    if category.startswith("M"):
        return "◌" + sign
    if category[0] in "CZ" and category not in ("Co", "Cn"):
        return f"U+{ord(sign):04X} {unicodedata.name(sign, '')}".strip()
    return sign
