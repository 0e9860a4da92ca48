"""Error rates: edit counts per line, their sums, the rates of the sums and intervals around them.

The rules, all of them jiwer's with its default transforms (a test compares the counts on random pairs):
    - Nothing is normalised here: case, punctuation and Unicode form count as they stand.
    - Words are what stands between white space. jiwer splits at the plain space only, so the two differ where a text
      holds a lone tab, line break or no-break space between words.
    - Words with punctuation isolated: each punctuation character and symbol (Unicode categories P and S) is made a word
      of its own first, so that where spaces stand around punctuation, which transcript conventions disagree on, moves
      nothing. It is the rule of Coquenet et al., "End-to-end handwritten paragraph text recognition using a vertical
      attention network", TPAMI 2022, whose published code lists the characters; the list and the categories agree on
      everything that IAM holds. Not a measure of jiwer's.
    - Characters are Unicode code points. White space at both ends is dropped; inside the line every character counts,
      a doubled space too. Without spaces means: all white space is removed from both texts first.
    - Substitution, insertion and deletion cost 1 each. Where several alignments are equally good, rapidfuzz chooses.
    - A rate is the sum of errors over the sum of reference symbols, never a mean of rates of lines. With insertions it
      may exceed 1. Insertions into lines with an empty reference count in the sum like any others; if the sum itself
      holds no reference symbol, the rate is the number of insertions (0 if there are none).
"""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from rapidfuzz.distance import Editop, Editops, Levenshtein

Operation = Literal["hit", "sub", "del", "ins"]
Aligned = tuple[Operation, str | None, str | None]
Interval = tuple[float, float] | None

RULES = (
    "Nothing is normalised for scoring: case, punctuation and Unicode form count as they stand.",
    "Words are separated by white space; characters are Unicode code points.",
    "With punctuation isolated, every punctuation character and symbol (Unicode categories P and S) is a word of its "
    "own, whether or not white space stands around it.",
    "White space at the ends of a line never counts; inside a line it counts as characters, except in the rate without "
    "spaces, which removes all of it from both texts.",
    "A substitution, an insertion and a deletion count as one error each; the alignment with the fewest errors counts.",
    "Rates are sums of errors divided by sums of reference symbols over all lines; with insertions they may exceed 1.",
)

MEASURES = {  # attribute of Score, and of LineScore
    "wer": "words",
    "wer_punctuation": "words_punctuation",
    "cer": "characters",
    "cer_no_spaces": "characters_no_spaces",
}

_OPERATIONS: dict[str, Operation] = {"replace": "sub", "delete": "del", "insert": "ins"}
MIN_SPEAKERS = 5  # with fewer, an interval by speaker would say nothing
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


def isolate_punctuation(text: str) -> str:
    """Put a space on either side of each punctuation character and symbol: Unicode categories P and S."""
    return "".join(f" {sign} " if _is_punctuation(sign) else sign for sign in text)


@lru_cache(maxsize=4096)
def _is_punctuation(sign: str) -> bool:
    return unicodedata.category(sign)[0] in "PS"


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
    lines of one speaker have in common: for that, give the sums of each speaker instead (see :func:`speaker_sums`).
    Bisani and Ney, "Bootstrap estimates for confidence intervals in ASR performance evaluation", ICASSP 2004.

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
    error, total = _resampled((errors, totals), resamples, level, seed)
    return _percentiles(error / np.maximum(total, 1), level)


def paired_bootstrap(
    first: Sequence[Counts], second: Sequence[Counts], resamples: int = 1000, level: float = 0.95, seed: int = 0
) -> tuple[float, float, float]:
    """Compare two recognisers on the same lines: resample the difference of their rates, second minus first.

    Each draw takes the same lines for both, so what makes a line hard for both cancels out. Bisani and Ney
    2004, who call the share of draws that favour one side the probability of improvement.

    Args:
        first: counts of each line.
        second: counts of the same lines in the same order.
        resamples: how many times the lines are drawn.
        level: probability mass of the interval, in (0, 1).
        seed: of the random draws.

    Returns:
        Lower and upper end of the interval of the difference, and the share of draws in which the second rate is lower,
        equal rates counting half.

    Raises:
        ValueError: no lines, unequal lengths, or a resamples or level out of range.
    """
    columns = [[getattr(c, name) for c in counts] for counts in (first, second) for name in ("errors", "reference")]
    error, total, other_error, other_total = _resampled(columns, resamples, level, seed)
    difference = other_error / np.maximum(other_total, 1) - error / np.maximum(total, 1)
    better = np.mean(difference < 0) + np.mean(difference == 0) / 2
    return *_percentiles(difference, level), float(better)


def _resampled(columns: Sequence[npt.ArrayLike], resamples: int, level: float, seed: int) -> npt.NDArray[np.int64]:
    """Draw lines with replacement and sum each column over them: (columns, resamples)."""
    arrays = [np.asarray(column, dtype=np.int64) for column in columns]
    shapes = [array.shape for array in arrays]
    size = len(arrays[0]) if arrays[0].ndim == 1 else 0
    if not size or len(set(shapes)) > 1:
        raise ValueError(f"need one error count and one total per line, got shapes {' and '.join(map(str, shapes))}")
    if resamples < 1 or not 0 < level < 1:
        raise ValueError(f"need resamples >= 1 and 0 < level < 1, got resamples {resamples} and level {level}")
    generator = np.random.default_rng(seed)
    sums = np.empty((len(arrays), resamples), dtype=np.int64)
    step = max(1, _BLOCK // size)
    for start in range(0, resamples, step):
        part = sums[:, start : start + step]
        drawn = generator.integers(0, size, size=(part.shape[1], size), dtype=np.int32)
        for row, array in zip(part, arrays, strict=True):
            row[:] = array[drawn].sum(axis=1)
    return sums


def _percentiles(values: npt.NDArray[np.float64], level: float) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def speaker_sums(counts: Sequence[Counts], speakers: Sequence[str | None]) -> list[Counts] | None:
    """Sum counts per speaker or writer, to be resampled as wholes.

    Returns:
        One sum per speaker, or None if a line's speaker is unknown or there are fewer than MIN_SPEAKERS.
    """
    sums: dict[str, Counts] = {}
    for speaker, line in zip(speakers, counts, strict=True):
        if not speaker:
            return None
        sums[speaker] = sums.get(speaker, Counts()) + line
    return list(sums.values()) if len(sums) >= MIN_SPEAKERS else None


@dataclass(frozen=True, slots=True)
class LineScore:
    """Counts of one line: of words, with punctuation isolated too, and of characters, without white space too."""

    id: str
    words: Counts
    words_punctuation: Counts
    characters: Counts
    characters_no_spaces: Counts


@dataclass(frozen=True, slots=True)
class Score:
    """The score of a set of lines.

    An interval by line draws lines; an interval by speaker draws speakers (or writers) with all their lines, and is
    None if a line's speaker is unknown or there are fewer than MIN_SPEAKERS. Lines of one speaker share what makes
    them hard, so it is the one that tells what to expect from speakers never met, and commonly the wider one; of few
    speakers it is still too narrow.

    Attributes:
        wer: word counts, summed over lines; ``wer.rate`` is the word error rate.
        wer_punctuation: counts of words with punctuation isolated; see :func:`isolate_punctuation`.
        cer: character counts with white space inside lines.
        cer_no_spaces: character counts without any white space.
        wer_interval: lower and upper end of the interval of ``wer.rate`` by line, or None if none was asked for.
        wer_punctuation_interval: the same for ``wer_punctuation.rate``.
        cer_interval: the same for ``cer.rate``.
        cer_no_spaces_interval: the same for ``cer_no_spaces.rate``.
        wer_interval_by_speaker: the interval of ``wer.rate`` by speaker, or None.
        wer_punctuation_interval_by_speaker: the same for ``wer_punctuation.rate``.
        cer_interval_by_speaker: the same for ``cer.rate``.
        cer_no_spaces_interval_by_speaker: the same for ``cer_no_spaces.rate``.
        level: probability mass of the intervals.
        lines: number of lines.
        speakers: number of known speakers or writers.
        exact: lines without any error, white space included.
        per_line: counts of each line, in the order given.
    """

    wer: Counts
    wer_punctuation: Counts
    cer: Counts
    cer_no_spaces: Counts
    wer_interval: Interval
    wer_punctuation_interval: Interval
    cer_interval: Interval
    cer_no_spaces_interval: Interval
    wer_interval_by_speaker: Interval
    wer_punctuation_interval_by_speaker: Interval
    cer_interval_by_speaker: Interval
    cer_no_spaces_interval_by_speaker: Interval
    level: float
    lines: int
    speakers: int
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

        def measure(name: str) -> dict[str, Any]:
            counts: Counts = getattr(self, name)
            by_line, by_speaker = getattr(self, f"{name}_interval"), getattr(self, f"{name}_interval_by_speaker")
            return {
                "rate": counts.rate,
                "interval": list(by_line) if by_line else None,
                "interval_by_speaker": list(by_speaker) if by_speaker else None,
                "errors": counts.errors,
                "reference": counts.reference,
            } | asdict(counts)

        return {
            "lines": self.lines,
            "exact_lines": self.exact,
            "speakers": self.speakers,
            "words": self.words,
            "characters": self.characters,
            "interval_level": self.level,
        } | {name: measure(name) for name in MEASURES}


def score_lines(
    ids: Sequence[str],
    references: Sequence[str],
    hypotheses: Sequence[str],
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    speakers: Sequence[str | None] | None = None,
) -> Score:
    """Score lines: word and character error rates with bootstrap intervals, by line and by speaker.

    Args:
        ids: one per line.
        references: what was said or written, one per line; may be empty strings.
        hypotheses: what was recognised, one per line.
        resamples: draws of the bootstrap; 0 leaves the intervals out.
        level: probability mass of the intervals, in (0, 1).
        seed: of the bootstrap.
        speakers: speaker or writer of each line, None where unknown; None knows none.

    Raises:
        ValueError: no lines, or not as many ids as references, hypotheses and speakers.
    """
    if not len(ids) == len(references) == len(hypotheses):
        raise ValueError(
            f"need as many ids as references and hypotheses, got {len(ids)}, {len(references)} and {len(hypotheses)}"
        )
    if not ids:
        raise ValueError("there is no line to score")
    if speakers is None:
        speakers = [None] * len(ids)
    if len(speakers) != len(ids):
        raise ValueError(f"need one speaker (or None) for each line, got {len(speakers)} for {len(ids)} lines")
    lines = [
        LineScore(
            id=line_id,
            words=word_counts(reference, hypothesis),
            words_punctuation=word_counts(isolate_punctuation(reference), isolate_punctuation(hypothesis)),
            characters=char_counts(reference, hypothesis),
            characters_no_spaces=char_counts(reference, hypothesis, spaces=False),
        )
        for line_id, reference, hypothesis in zip(ids, references, hypotheses, strict=True)
    ]

    def interval(counts: list[Counts] | None) -> Interval:
        if not resamples or counts is None:
            return None
        return bootstrap_interval([c.errors for c in counts], [c.reference for c in counts], resamples, level, seed)

    values: dict[str, Any] = {}
    for name, attribute in MEASURES.items():
        counts: list[Counts] = [getattr(line, attribute) for line in lines]
        values[name] = add(counts)
        values[f"{name}_interval"] = interval(counts)
        values[f"{name}_interval_by_speaker"] = interval(speaker_sums(counts, speakers))
    return Score(
        **values,
        level=level,
        lines=len(lines),
        speakers=len({speaker for speaker in speakers if speaker}),
        exact=sum(not line.characters.errors for line in lines),
        per_line=lines,
    )
