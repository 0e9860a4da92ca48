"""Error rates: edit counts per line, their sums, the rates of the sums and intervals around them.

The rules, all of them jiwer's with its default transforms (a test compares the counts on random pairs):
    - Nothing is normalised here: case, punctuation and Unicode form count as they stand. What an evaluation changes
      before it scores, it does by the named rules of :mod:`seqlab.scoring.normalization`, and says so.
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

from seqlab.scoring.bootstrap import MIN_SPEAKERS, Interval, bootstrap_interval, paired_bootstrap, speaker_sums
from seqlab.scoring.calibration import Reliability, matches, reliability
from seqlab.scoring.counts import (
    Aligned,
    Counts,
    Operation,
    add,
    align,
    char_counts,
    count,
    edits,
    find_errors,
    isolate_punctuation,
    word_counts,
)
from seqlab.scoring.lines import MEASURES, RULES, LineScore, Score, score_lines, score_stream

__all__ = [
    "MEASURES",
    "MIN_SPEAKERS",
    "RULES",
    "Aligned",
    "Counts",
    "Interval",
    "LineScore",
    "Operation",
    "Reliability",
    "Score",
    "add",
    "align",
    "bootstrap_interval",
    "char_counts",
    "count",
    "edits",
    "find_errors",
    "isolate_punctuation",
    "matches",
    "paired_bootstrap",
    "reliability",
    "score_lines",
    "score_stream",
    "speaker_sums",
    "word_counts",
]
