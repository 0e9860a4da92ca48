"""The score of a set of lines."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from seqlab.scoring.bootstrap import Interval, bootstrap_interval, speaker_sums
from seqlab.scoring.counts import Counts, add, char_counts, isolate_punctuation, word_counts

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
