"""What stands out, in sentences: where the errors gather, and what to do about it.

Each sentence has a rule of its own with a threshold that is stated here; where a number is too small to tell, nothing
is said. None of them is a test of significance: they say where to look first.
"""

from seqlab.report.breakdown import Breakdown, Signs
from seqlab.report.evaluation import Evaluation
from seqlab.report.tables import Confusion
from seqlab.scoring import Reliability, Score

FEWEST = 20  # errors below which nothing is said of their kinds
LOPSIDED = 3.0  # times as many deletions as insertions, or the other way round
SLIGHT = 0.25  # share of errors that are only spaces or punctuation
GATHERED = 2.0  # times as large a share of the errors as of the characters
ONE_CONFUSION = 0.1  # share of the errors that is one confusion
UNSURE = 0.05  # expected calibration error
WIDE = 0.25  # half an interval, as a share of its rate


def findings(
    evaluation: Evaluation,
    score: Score,
    signs: Signs,
    divided: list[Breakdown],
    confusions: list[Confusion],
    calibration: Reliability | None,
) -> list[str]:
    """Return sentences, the most telling first; empty if nothing stands out.

    Args:
        evaluation: what was recognised.
        score: its score.
        signs: of its errors.
        divided: its lines by properties.
        confusions: of its characters.
        calibration: of its words' confidences.
    """
    counts, told = score.cer, []
    silent = sum(not row.hypothesis.strip() and bool(row.reference.strip()) for row in evaluation.rows)
    if silent:
        told.append(
            f"{silent:,} of {score.lines:,} lines got no text at all: look at them first; a wrong file, a wrong "
            "sample rate or a line that is too short shows like this."
        )
    if counts.errors >= FEWEST:
        told += _lopsided(evaluation, score)
        if signs.slight >= SLIGHT:
            told.append(
                f"{100 * signs.slight:.0f} % of the character errors are only spaces or punctuation: see whether the "
                "transcripts of training and test follow one convention."
            )
        if confusions and confusions[0].count >= max(ONE_CONFUSION * counts.errors, 5):
            first = confusions[0]
            told.append(
                f"One confusion makes {100 * first.count / counts.errors:.0f} % of the character errors: "
                f"{_sign(first.reference)} read as {_sign(first.hypothesis)}."
            )
        for breakdown in divided:
            told += _gathered(breakdown, score)
    if calibration and calibration.ece > UNSURE:
        told.append(
            f"Confidences are off by {100 * calibration.ece:.1f} points on average (ECE): seqlab tune calibrates them."
        )
    ends = score.wer_interval_by_speaker or score.wer_interval
    if ends and counts.errors and ends[1] - ends[0] > 2 * WIDE * score.wer.rate > 0:
        told.append(
            f"The word error rate is known to {100 * ends[0]:.2f} to {100 * ends[1]:.2f} % only: more lines or more "
            f"{evaluation.person}s would make it surer; compare models on the same lines with seqlab compare."
        )
    return told


def _sign(token: str | None) -> str:
    return "nothing" if token is None else "a space" if token == " " else f"“{token}”"


def _lopsided(evaluation: Evaluation, score: Score) -> list[str]:
    left, made = score.cer.deletions, score.cer.insertions
    if left + made < FEWEST or max(left, made) < LOPSIDED * max(min(left, made), 1):
        return []
    if left > made:
        blank = evaluation.peakiness.get("blank")
        share = "" if blank is None else f" ({100 * blank:.0f} % of the frames are blank)"
        return [
            f"Characters are left out {left:,} times and made up {made:,} times{share}: the decoder prefers short "
            "texts; seqlab tune weighs the blank and the length of texts."
        ]
    return [
        f"Characters are made up {made:,} times and left out {left:,} times: see whether lines hold more than their "
        "references say; seqlab tune weighs the length of texts."
    ]


def _gathered(breakdown: Breakdown, score: Score) -> list[str]:
    """Name the group with the highest rate, if its interval lies apart from the rate of all lines."""
    groups = [group for group in breakdown.groups if group.characters.errors >= FEWEST]
    worst = max(groups, key=lambda group: group.characters.rate, default=None)
    if worst is None or worst.interval is None or worst.interval[0] <= score.cer.rate:
        return []
    if worst.characters.rate < GATHERED * score.cer.rate:
        return []
    errors = worst.characters.errors / score.cer.errors
    symbols = worst.characters.reference / max(score.cer.reference, 1)
    return [
        f"{breakdown.title}: {worst.label} has {100 * errors:.0f} % of the character errors on {100 * symbols:.0f} % "
        f"of the characters (CER {100 * worst.characters.rate:.2f} %, all lines {100 * score.cer.rate:.2f} %)."
    ]
