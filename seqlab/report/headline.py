"""The headline: what an evaluation found, in a few lines of text for a terminal."""

from typing import Any

from seqlab.outputs.text import one_line
from seqlab.report.evaluation import Evaluation
from seqlab.report.totals import Totals, described
from seqlab.scoring import Score

NAMES = {
    "wer": "WER",
    "wer_punctuation": "WER, punctuation isolated",
    "cer": "CER",
    "cer_no_spaces": "CER without spaces",
}


def headline(evaluation: Evaluation, score: Score) -> str:
    """Return name, reference totals, the rates with their intervals, what confidences are worth, and speed."""
    summary = score.summary()
    totals = described(Totals(score.lines, score.characters, score.words))
    lines = [f"{one_line(evaluation.name)}: {totals} in the references"]
    width = max(map(len, NAMES.values()))
    lines += [f"{name:<{width}}  {_rate(summary[key], score, evaluation.person)}" for key, name in NAMES.items()]
    calibration = evaluation.calibration(score)
    if calibration:
        nce = "" if calibration.nce is None else f", NCE {calibration.nce:.3f}"
        lines.append(f"{'confidence':<{width}}  ECE {calibration.ece:.4f}{nce} over {calibration.count:,} words")
    if evaluation.seconds is not None:
        factor = evaluation.real_time_factor
        lines.append(f"{evaluation.seconds:.1f} s" + (f", real-time factor {factor:.4f}" if factor else ""))
    return "\n".join(lines)


def _rate(measure: dict[str, Any], score: Score, person: str) -> str:
    text = f"{100 * measure['rate']:6.2f}%"
    by_line, by_speaker = span(measure["interval"]), span(measure["interval_by_speaker"])
    if by_line:
        text += f"  ({100 * score.level:g}% by line {by_line}"
        text += f", by {person} {by_speaker})" if by_speaker else ")"
    return text


def span(interval: list[float] | None) -> str:
    """Write an interval in per cent, or nothing for none."""
    return f"{100 * interval[0]:.2f} to {100 * interval[1]:.2f}" if interval else ""
