"""What the page lists: frequent errors, the tokens they befall, the worst lines."""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from seqlab.report.evaluation import EvaluatedLine
from seqlab.scoring import Aligned, LineScore, Operation, Score, align, edits

_WORDS_PER_LINE = 1.5  # below this, lines are aligned by characters: single words, or a script without spaces
RUN = 12  # characters recognised rightly that are shown as one
_TOP_ERRORS: dict[Operation, int] = {"sub": 15, "del": 7, "ins": 7}


@dataclass(slots=True)
class Confusion:
    """An error and how often it was made; the token that is missing is None."""

    operation: Operation
    reference: str | None
    hypothesis: str | None
    count: int


@dataclass(slots=True)
class TokenErrors:
    """How often one word or sign went wrong.

    Attributes:
        token: the word or sign.
        errors: of a missed one, how often it was not recognised where it stands; of one made up, how often it was
            recognised where it does not stand.
        count: how often it stands in the references, or was recognised.
        instead: the commonest token in its place, None for nothing.
    """

    token: str
    errors: int
    count: int
    instead: str | None


@dataclass(slots=True)
class WorstLine:
    """A line, its place among the lines, its score and its alignment; hits of characters come in runs."""

    number: int
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


def token_errors(
    pairs: Sequence[tuple[list[str] | str, list[str] | str]], side: int, top: int = 12
) -> list[TokenErrors]:
    """Rank the tokens that are missed most (side 0) or made up most (side 1): replaced ones count on both sides."""
    counts = Counter(token for pair in pairs for token in pair[side])
    wrong: dict[str, Counter[str | None]] = {}
    for pair in pairs:
        for edit in edits(*pair):
            token = edit[1 + side]
            if token is not None:
                wrong.setdefault(token, Counter())[edit[2 - side]] += 1
    rows = [
        TokenErrors(token, others.total(), counts[token], min(others, key=lambda o: (-others[o], o or "")))
        for token, others in wrong.items()
    ]
    return sorted(rows, key=lambda row: (-row.errors, row.count, row.token))[:top]


def aligned_by_words(score: Score) -> bool:
    """True if lines hold several words, so that an alignment of words tells something."""
    return score.words >= _WORDS_PER_LINE * score.lines


def line_tokens(row: EvaluatedLine, by_words: bool) -> tuple[list[str] | str, list[str] | str]:
    """Return what is aligned of a line: the words of reference and hypothesis, or their characters."""
    if by_words:
        return row.reference.split(), row.hypothesis.split()
    return row.reference.strip(), row.hypothesis.strip()


def worst_lines(rows: Iterable[EvaluatedLine], score: Score, top: int = 50) -> list[WorstLine]:
    """Return the lines with errors, highest character error rate first, then most errors."""
    wrong = [entry for entry in enumerate(zip(rows, score.per_line, strict=True)) if entry[1][1].characters.errors]
    wrong.sort(key=lambda entry: (-entry[1][1].characters.rate, -entry[1][1].characters.errors))
    by_words = aligned_by_words(score)
    worst = []
    for number, (row, line) in wrong[:top]:
        aligned = align(*line_tokens(row, by_words))
        worst.append(WorstLine(number, row, line, aligned if by_words else _in_runs(aligned)))
    return worst


def _in_runs(aligned: list[Aligned]) -> list[Aligned]:
    """Join neighbouring hits into runs of at most RUN characters."""
    runs: list[Aligned] = []
    for operation, said, heard in aligned:
        last = runs[-1][1] if runs and runs[-1][0] == operation == "hit" else None
        if last is not None and said is not None and len(last) < RUN:
            runs[-1] = ("hit", last + said, last + said)
        else:
            runs.append((operation, said, heard))
    return runs


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
