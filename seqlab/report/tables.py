"""What the page lists: frequent errors, the tokens they befall, the worst lines."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from rapidfuzz.distance import Editops

from seqlab.outputs.text import UNSEEN
from seqlab.report.evaluation import EvaluatedLine
from seqlab.scoring import Aligned, LineScore, Operation, Score, align, edits

Pair = tuple[Sequence[str], Sequence[str], Editops]  # tokens of both sides, the errors between them as scored
_WORDS_PER_LINE = 1.5  # below this, lines are aligned by characters: single words, or a script without spaces
RUN = 12  # characters recognised rightly that are shown as one
_TOP_ERRORS: dict[Operation, int] = {"sub": 15, "del": 7, "ins": 7}


class Tally:
    """What is counted of pairs, in one pass: each error, and each token of the references and of what was recognised.

    Attributes:
        edits: how often each error was made.
        tokens: how often each token stands in the references, and in what was recognised.
    """

    def __init__(self, pairs: Iterable[Pair]) -> None:
        self.edits: Counter[Aligned] = Counter()
        self.tokens: tuple[Counter[str], Counter[str]] = Counter(), Counter()
        for said, heard, errors in pairs:
            self.edits.update(edits(said, heard, errors))
            self.tokens[0].update(said)
            self.tokens[1].update(heard)


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


def confusions(tally: Tally) -> list[Confusion]:
    """Rank the errors.

    Returns:
        The most frequent substitutions, then deletions, then insertions; each kind apart, as one would drown another.
    """
    ranked = sorted(tally.edits.items(), key=lambda item: (-item[1], item[0][1] or "", item[0][2] or ""))
    return [
        Confusion(*edit, count)
        for operation, top in _TOP_ERRORS.items()
        for edit, count in [item for item in ranked if item[0][0] == operation][:top]
    ]


def token_errors(tally: Tally, side: Literal[0, 1], top: int = 12) -> list[TokenErrors]:
    """Rank the tokens that are missed most (side 0) or made up most (side 1): replaced ones count on both sides."""
    wrong: dict[str, Counter[str | None]] = {}
    for edit, count in tally.edits.items():
        token = edit[1 + side]
        if token is not None:
            wrong.setdefault(token, Counter())[edit[2 - side]] += count
    rows = [
        TokenErrors(token, others.total(), tally.tokens[side][token], min(others, key=lambda o: (-others[o], o or "")))
        for token, others in wrong.items()
    ]
    return sorted(rows, key=lambda row: (-row.errors, row.count, row.token))[:top]


def aligned_by_words(score: Score) -> bool:
    """True if lines hold several words, so that an alignment of words tells something."""
    return score.words >= _WORDS_PER_LINE * score.lines


def line_pair(row: EvaluatedLine, line: LineScore, by_words: bool) -> Pair:
    """Return what is aligned of a line, the words of both sides or their characters, and the errors in it."""
    if by_words:
        return row.reference.split(), row.hypothesis.split(), line.word_errors
    return row.reference.strip(), row.hypothesis.strip(), line.character_errors


def worst_lines(rows: Iterable[EvaluatedLine], score: Score, top: int = 50) -> list[WorstLine]:
    """Return the lines with errors, highest character error rate first, then most errors."""
    wrong = [entry for entry in enumerate(zip(rows, score.per_line, strict=True)) if entry[1][1].characters.errors]
    wrong.sort(key=lambda entry: (-entry[1][1].characters.rate, -entry[1][1].characters.errors))
    by_words = aligned_by_words(score)
    worst = []
    for number, (row, line) in wrong[:top]:
        aligned = align(*line_pair(row, line, by_words))
        worst.append(WorstLine(number, row, line, aligned if by_words else _in_runs(aligned)))
    return worst


def _in_runs(aligned: list[Aligned]) -> list[Aligned]:
    """Join neighbouring hits into runs of at most RUN characters; white space stands alone, so a run has one word."""
    runs: list[Aligned] = []
    for operation, said, heard in aligned:
        last = runs[-1][1] if runs and runs[-1][0] == operation == "hit" else None
        if last is not None and said is not None and len(last) < RUN and not (said.isspace() or last.isspace()):
            runs[-1] = ("hit", last + said, last + said)
        else:
            runs.append((operation, said, heard))
    return runs


def harmless(text: str) -> str:
    """Return a text with a sign in place of each character that controls a terminal or the order of others.

    Control characters become their pictures (␛), those that turn the direction of what follows, noncharacters and
    surrogates become �; one character stays one character, so an alignment stays what it is.
    """
    return UNSEEN.sub(_picture, text)


def _picture(found: re.Match[str]) -> str:
    code = ord(found[0])
    return chr(0x2400 + code) if code < 0x20 else "␡" if code == 0x7F else "\ufffd"


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
