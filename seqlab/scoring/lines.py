"""The score of a set of lines."""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from rapidfuzz.distance import Editops

from seqlab.scoring.bootstrap import MIN_SPEAKERS, Interval, bootstrap_intervals
from seqlab.scoring.counts import Counts, char_counts, count, counted, find_errors, isolate_punctuation

RULES = (
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


@dataclass(frozen=True, slots=True)
class LineScore:
    """Counts of one line: of words, with punctuation isolated too, and of characters, without white space too.

    Attributes:
        id: of the line.
        words: counts of what stands between white space.
        words_punctuation: the same with punctuation isolated.
        characters: counts of code points, white space inside the line included.
        characters_no_spaces: the same without white space.
        word_errors: the alignment behind ``words``, for :func:`align` and :func:`edits`.
        character_errors: the alignment behind ``characters``.
    """

    id: str
    words: Counts
    words_punctuation: Counts
    characters: Counts
    characters_no_spaces: Counts
    word_errors: Editops = field(default_factory=Editops, compare=False, repr=False)
    character_errors: Editops = field(default_factory=Editops, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Score:
    """The score of a set of lines.

    An interval by line draws lines; an interval by speaker draws speakers (or writers) with all their lines, and is
    None if a line's speaker is unknown or there are fewer than MIN_SPEAKERS. Lines of one speaker share what makes
    them hard, so it is the one that tells what to expect from speakers never met, and commonly the wider one.

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
        per_line: counts of each line, in the order given; empty if they were streamed.
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
    tally = _Tally()
    per_line = []
    for line_id, reference, hypothesis, speaker in zip(ids, references, hypotheses, speakers, strict=True):
        line = score_line(line_id, reference, hypothesis)
        tally.add(line, speaker)
        per_line.append(line)
    return tally.score(resamples, level, seed, per_line)


def score_stream(
    lines: Iterable[tuple[str, str, str | None]], resamples: int = 1000, level: float = 0.95, seed: int = 0
) -> Score:
    """Score any number of lines as they come; the score is that of :func:`score_lines`, without ``per_line``.

    Texts and alignments are let go at once; 32 bytes a line stay, and some 300 while the bootstrap runs.

    Args:
        lines: (reference, hypothesis, speaker or None) of each line.
        resamples: draws of the bootstrap; 0 leaves the intervals out.
        level: probability mass of the intervals, in (0, 1).
        seed: of the bootstrap.

    Raises:
        ValueError: no lines.
    """
    tally = _Tally()
    for reference, hypothesis, speaker in lines:
        tally.add(score_line("", reference, hypothesis), speaker)
    if not tally.lines:
        raise ValueError("there is no line to score")
    return tally.score(resamples, level, seed, [])


def score_line(line_id: str, reference: str, hypothesis: str) -> LineScore:
    """Count the errors of one line."""
    said, heard = reference.split(), hypothesis.split()
    word_errors = find_errors(said, heard)
    words = counted(word_errors, len(said))
    isolated, isolated_heard = isolate_punctuation(reference), isolate_punctuation(hypothesis)
    if isolated == reference and isolated_heard == hypothesis:
        words_punctuation = words
    else:
        words_punctuation = count(isolated.split(), isolated_heard.split())
    reference, hypothesis = reference.strip(), hypothesis.strip()
    character_errors = find_errors(reference, hypothesis)
    characters = counted(character_errors, len(reference))
    without_spaces = char_counts("".join(said), "".join(heard))
    return LineScore(line_id, words, words_punctuation, characters, without_spaces, word_errors, character_errors)


class _Tally:
    """Sums over lines and over speakers, and what the bootstrap needs of each line: errors and reference symbols."""

    def __init__(self) -> None:
        self.lines = self.exact = 0
        self.sums = [[0, 0, 0, 0] for _ in MEASURES]
        self.drawn = array("i")  # of each line its errors and reference symbols, measure after measure
        self.speakers: dict[str, list[int]] = {}  # the same summed
        self.all_known = True

    def add(self, line: LineScore, speaker: str | None) -> None:
        row: list[int] = []
        for sums, counts in zip(
            self.sums, (line.words, line.words_punctuation, line.characters, line.characters_no_spaces), strict=True
        ):
            hits, substitutions, deletions, insertions = (
                counts.hits,
                counts.substitutions,
                counts.deletions,
                counts.insertions,
            )
            sums[0] += hits
            sums[1] += substitutions
            sums[2] += deletions
            sums[3] += insertions
            row += (substitutions + deletions + insertions, hits + substitutions + deletions)
        self.lines += 1
        self.exact += not line.characters.errors
        self.drawn.extend(row)
        if speaker:
            known = self.speakers.get(speaker)
            self.speakers[speaker] = [a + b for a, b in zip(known, row, strict=True)] if known else row
        else:
            self.all_known = False

    def score(self, resamples: int, level: float, seed: int, per_line: list[LineScore]) -> Score:
        def intervals(table: npt.NDArray[Any]) -> Sequence[Interval]:
            return bootstrap_intervals(list(table.T), resamples, level, seed)

        none: Sequence[Interval] = [None] * len(MEASURES)
        by_line = intervals(np.frombuffer(self.drawn, np.intc).reshape(self.lines, -1)) if resamples else none
        by_speaker = none
        if resamples and self.all_known and len(self.speakers) >= MIN_SPEAKERS:
            by_speaker = intervals(np.array(list(self.speakers.values())))
        values: dict[str, Any] = {}
        for name, sums, line, speaker in zip(MEASURES, self.sums, by_line, by_speaker, strict=True):
            values |= {name: Counts(*sums), f"{name}_interval": line, f"{name}_interval_by_speaker": speaker}
        return Score(
            **values,
            level=level,
            lines=self.lines,
            speakers=len(self.speakers),
            exact=self.exact,
            per_line=per_line,
        )
