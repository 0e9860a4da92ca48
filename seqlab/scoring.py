"""Error rates: edit counts per line, their sums, the rates of the sums and intervals around them.

The rules, all of them jiwer's with its default transforms (a test compares the counts on random pairs):
    - Nothing is normalised here: case, punctuation and Unicode form count as they stand.
    - Words are what stands between white space. jiwer splits at the plain space only, so the two differ where a text
      holds a lone tab, line break or no-break space between words.
    - Characters are Unicode code points. White space at both ends is dropped; inside the line every character counts,
      a doubled space too. Without spaces means: all white space is removed from both texts first.
    - Substitution, insertion and deletion cost 1 each. Where several alignments are equally good, rapidfuzz chooses.
    - A rate is the sum of errors over the sum of reference symbols, never a mean of rates of lines. With insertions it
      may exceed 1. Insertions into lines with an empty reference count in the sum like any others; if the sum itself
      holds no reference symbol, the rate is the number of insertions (0 if there are none).
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from rapidfuzz.distance import Editop, Editops, Levenshtein

Operation = Literal["hit", "sub", "del", "ins"]
Aligned = tuple[Operation, str | None, str | None]

RULES = (
    "Nothing is normalised for scoring: case, punctuation and Unicode form count as they stand.",
    "Words are separated by white space; characters are Unicode code points.",
    "White space at the ends of a line never counts; inside a line it counts as characters, except in the rate without "
    "spaces, which removes all of it from both texts.",
    "A substitution, an insertion and a deletion count as one error each; the alignment with the fewest errors counts.",
    "Rates are sums of errors divided by sums of reference symbols over all lines; with insertions they may exceed 1.",
)

_OPERATIONS: dict[str, Operation] = {"replace": "sub", "delete": "del", "insert": "ins"}
_BLOCK = 1 << 20  # lines drawn at once by the bootstrap; bounds its memory to some 20 MB


@dataclass(frozen=True, slots=True)
class Counts:
    """Edit counts of one line or of a sum of lines; add them with ``+``."""

    hits: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0

    @property
    def reference(self) -> int:
        """Symbols in the reference."""
        return self.hits + self.substitutions + self.deletions

    @property
    def errors(self) -> int:
        """Substitutions, deletions and insertions together."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        """Errors per reference symbol; the number of insertions if the reference is empty."""
        return self.errors / max(self.reference, 1)

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.hits + other.hits,
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
        )


def add(counts: Iterable[Counts]) -> Counts:
    """Sum counts; no counts give zeros."""
    return sum(counts, Counts())


def _editops(reference: Sequence[str], hypothesis: Sequence[str]) -> Editops:
    """Return the errors in order, each with its tag and its positions in reference and hypothesis."""
    if not (isinstance(reference, str) and isinstance(hypothesis, str)):
        # rapidfuzz compares hashes; numbers make the comparison exact
        numbers: dict[str, int] = {}
        return Levenshtein.editops(
            [numbers.setdefault(token, len(numbers)) for token in reference],
            [numbers.setdefault(token, len(numbers)) for token in hypothesis],
        )
    return Levenshtein.editops(reference, hypothesis)


def _count(reference: Sequence[str], hypothesis: Sequence[str]) -> Counts:
    tags = [error.tag for error in _editops(reference, hypothesis)]
    insertions, deletions = tags.count("insert"), tags.count("delete")
    substitutions = len(tags) - insertions - deletions
    return Counts(len(reference) - substitutions - deletions, substitutions, deletions, insertions)


def word_counts(reference: str, hypothesis: str) -> Counts:
    """Count word errors; words are what stands between white space."""
    return _count(reference.split(), hypothesis.split())


def char_counts(reference: str, hypothesis: str, spaces: bool = True) -> Counts:
    """Count character errors, code point by code point.

    Args:
        reference: what was said or written.
        hypothesis: what was recognised.
        spaces: whether white space inside the line counts; at its ends it never does.
    """
    if not spaces:
        return _count("".join(reference.split()), "".join(hypothesis.split()))
    return _count(reference.strip(), hypothesis.strip())


def edits(reference_tokens: Sequence[str], hypothesis_tokens: Sequence[str]) -> list[Aligned]:
    """Return the errors of an alignment in order, without the hits; see :func:`align`."""
    errors = _editops(reference_tokens, hypothesis_tokens)
    return [_aligned(error, reference_tokens, hypothesis_tokens) for error in errors]


def align(reference_tokens: Sequence[str], hypothesis_tokens: Sequence[str]) -> list[Aligned]:
    """Align two lists of words, or two strings character by character, with the fewest errors.

    Returns:
        (operation, reference token, hypothesis token) in order; the reference token of an "ins" and the hypothesis
        token of a "del" are None. Counting the operations gives the counts of :func:`word_counts`.
    """
    aligned: list[Aligned] = []
    position = 0  # in the reference, of the next token not aligned yet
    for error in _editops(reference_tokens, hypothesis_tokens):
        aligned.extend(("hit", token, token) for token in reference_tokens[position : error.src_pos])
        aligned.append(_aligned(error, reference_tokens, hypothesis_tokens))
        position = error.src_pos + (error.tag != "insert")
    aligned.extend(("hit", token, token) for token in reference_tokens[position:])
    return aligned


def _aligned(error: Editop, reference: Sequence[str], hypothesis: Sequence[str]) -> Aligned:
    return (
        _OPERATIONS[error.tag],
        None if error.tag == "insert" else reference[error.src_pos],
        None if error.tag == "delete" else hypothesis[error.dest_pos],
    )


def bootstrap_interval(
    errors: npt.ArrayLike, totals: npt.ArrayLike, resamples: int = 1000, level: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Compute a percentile bootstrap interval of sum(errors) / sum(totals).

    Lines are drawn with replacement, so the interval knows that errors of one line go together, and nothing of what the
    lines of one speaker have in common. Bisani and Ney, "Bootstrap estimates for confidence intervals in ASR
    performance evaluation", ICASSP 2004.

    Args:
        errors: errors of each line.
        totals: reference symbols of each line.
        resamples: how many times the lines are drawn.
        level: probability mass between the two ends, in (0, 1).
        seed: of the random draws; the same seed gives the same interval.

    Returns:
        Lower and upper end, as rates. Draws without any reference symbol follow the rule of :attr:`Counts.rate`.

    Raises:
        ValueError: no lines, unequal lengths, or a resamples or level out of range.
    """
    error, total = np.asarray(errors, dtype=np.int64), np.asarray(totals, dtype=np.int64)
    if error.ndim != 1 or error.shape != total.shape or not len(error):
        raise ValueError(f"need one error count and one total per line, got shapes {error.shape} and {total.shape}")
    if resamples < 1 or not 0 < level < 1:
        raise ValueError(f"need resamples >= 1 and 0 < level < 1, got resamples {resamples} and level {level}")
    generator = np.random.default_rng(seed)
    rates = np.empty(resamples)
    step = max(1, _BLOCK // len(error))
    for start in range(0, resamples, step):
        part = rates[start : start + step]
        drawn = generator.integers(0, len(error), size=(len(part), len(error)), dtype=np.int32)
        part[:] = error[drawn].sum(axis=1) / np.maximum(total[drawn].sum(axis=1), 1)
    low, high = np.quantile(rates, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


@dataclass(frozen=True, slots=True)
class LineScore:
    """Counts of one line: of words, of characters, and of characters without white space."""

    id: str
    words: Counts
    characters: Counts
    characters_no_spaces: Counts


@dataclass(frozen=True, slots=True)
class Score:
    """The score of a set of lines.

    Attributes:
        wer: word counts, summed over lines; ``wer.rate`` is the word error rate.
        cer: character counts with white space inside lines.
        cer_no_spaces: character counts without any white space.
        wer_interval: lower and upper end of the interval of ``wer.rate``, or None if none was asked for.
        cer_interval: the same for ``cer.rate``.
        cer_no_spaces_interval: the same for ``cer_no_spaces.rate``.
        level: probability mass of the intervals.
        lines: number of lines.
        exact: lines without any error, white space included.
        per_line: counts of each line, in the order given.
    """

    wer: Counts
    cer: Counts
    cer_no_spaces: Counts
    wer_interval: tuple[float, float] | None
    cer_interval: tuple[float, float] | None
    cer_no_spaces_interval: tuple[float, float] | None
    level: float
    lines: int
    exact: int
    per_line: list[LineScore]

    @property
    def words(self) -> int:
        """Words in the references."""
        return self.wer.reference

    @property
    def characters(self) -> int:
        """Characters in the references, white space included."""
        return self.cer.reference

    def summary(self) -> dict[str, Any]:
        """Return counts, rates and intervals as plain dict, list, int and float, without the lines."""
        measures = {
            "wer": (self.wer, self.wer_interval),
            "cer": (self.cer, self.cer_interval),
            "cer_no_spaces": (self.cer_no_spaces, self.cer_no_spaces_interval),
        }
        return {
            "lines": self.lines,
            "exact_lines": self.exact,
            "words": self.words,
            "characters": self.characters,
            "interval_level": self.level,
        } | {
            name: {"rate": counts.rate, "interval": list(interval) if interval else None}
            | {"errors": counts.errors, "reference": counts.reference}
            | asdict(counts)
            for name, (counts, interval) in measures.items()
        }


def score_lines(
    ids: Sequence[str],
    references: Sequence[str],
    hypotheses: Sequence[str],
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Score:
    """Score lines: word and character error rates with bootstrap intervals over lines.

    Args:
        ids: one per line.
        references: what was said or written, one per line; may be empty strings.
        hypotheses: what was recognised, one per line.
        resamples: draws of the bootstrap; 0 leaves the intervals out.
        level: probability mass of the intervals, in (0, 1).
        seed: of the bootstrap.

    Raises:
        ValueError: no lines, or not as many ids as references and hypotheses.
    """
    if not len(ids) == len(references) == len(hypotheses):
        raise ValueError(
            f"need as many ids as references and hypotheses, got {len(ids)}, {len(references)} and {len(hypotheses)}"
        )
    if not ids:
        raise ValueError("there is no line to score")
    lines = [
        LineScore(
            id=line_id,
            words=word_counts(reference, hypothesis),
            characters=char_counts(reference, hypothesis),
            characters_no_spaces=char_counts(reference, hypothesis, spaces=False),
        )
        for line_id, reference, hypothesis in zip(ids, references, hypotheses, strict=True)
    ]

    def interval(counts: list[Counts]) -> tuple[float, float] | None:
        if not resamples:
            return None
        return bootstrap_interval([c.errors for c in counts], [c.reference for c in counts], resamples, level, seed)

    words = [line.words for line in lines]
    characters = [line.characters for line in lines]
    no_spaces = [line.characters_no_spaces for line in lines]
    return Score(
        wer=add(words),
        cer=add(characters),
        cer_no_spaces=add(no_spaces),
        wer_interval=interval(words),
        cer_interval=interval(characters),
        cer_no_spaces_interval=interval(no_spaces),
        level=level,
        lines=len(lines),
        exact=sum(not line.characters.errors for line in lines),
        per_line=lines,
    )
