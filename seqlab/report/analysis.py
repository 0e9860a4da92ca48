"""Analysis: all that the page and the summary tell of an evaluation, computed once."""

from dataclasses import dataclass

from seqlab.report.breakdown import Breakdown, Signs, breakdowns, error_signs
from seqlab.report.evaluation import Evaluation
from seqlab.report.findings import findings
from seqlab.report.tables import (
    Confusion,
    Tally,
    TokenErrors,
    WorstLine,
    aligned_by_words,
    confusions,
    line_pair,
    token_errors,
    worst_lines,
)
from seqlab.scoring import Reliability, Score


@dataclass(slots=True)
class Analysis:
    """What is told of an evaluation.

    Attributes:
        evaluation: what was recognised.
        score: its score.
        by_words: whether lines are shown aligned by words.
        tallies: of the errors, by unit: "words" where by_words, and "characters".
        confusions: the most frequent errors, by unit.
        tokens: the most missed and the most made up tokens, by unit.
        signs: what the errors of characters are made of.
        divided: the lines by properties.
        findings: what stands out, in sentences.
        worst: the worst lines.
        calibration: of the words' confidences.
    """

    evaluation: Evaluation
    score: Score
    by_words: bool
    tallies: dict[str, Tally]
    confusions: dict[str, list[Confusion]]
    tokens: dict[str, tuple[list[TokenErrors], list[TokenErrors]]]
    signs: Signs
    divided: list[Breakdown]
    findings: list[str]
    worst: list[WorstLine]
    calibration: Reliability | None


def analyse(evaluation: Evaluation, score: Score) -> Analysis:
    """Compute what the page and the summary tell."""
    rows, by_words = evaluation.rows, aligned_by_words(score)
    tallies = {
        unit: Tally(line_pair(*line, unit == "words") for line in zip(rows, score.per_line, strict=True))
        for unit in (("words", "characters") if by_words else ("characters",))
    }
    errors = {unit: confusions(own) for unit, own in tallies.items()}
    signs, divided, calibration = error_signs(rows, score), breakdowns(evaluation, score), evaluation.calibration(score)
    return Analysis(
        evaluation,
        score,
        by_words,
        tallies,
        errors,
        {unit: (token_errors(own, 0), token_errors(own, 1)) for unit, own in tallies.items()},
        signs,
        divided,
        findings(evaluation, score, signs, divided, errors["characters"], calibration),
        worst_lines(rows, score),
        calibration,
    )
