"""Analysis: all that the page and the summary tell of an evaluation, computed once."""

from dataclasses import dataclass

from seqlab.report.breakdown import Breakdown, Signs, breakdowns, error_signs
from seqlab.report.evaluation import Evaluation
from seqlab.report.findings import findings
from seqlab.report.tables import (
    Confusion,
    TokenErrors,
    WorstLine,
    aligned_by_words,
    confusions,
    line_tokens,
    token_errors,
    worst_lines,
)
from seqlab.scoring import Reliability, Score

Pairs = list[tuple[list[str] | str, list[str] | str]]


@dataclass(slots=True)
class Analysis:
    """What is told of an evaluation.

    Attributes:
        evaluation: what was recognised.
        score: its score.
        by_words: whether lines are shown aligned by words.
        pairs: tokens of reference and hypothesis of each line, by unit: "words" where by_words, and "characters".
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
    pairs: dict[str, Pairs]
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
    pairs: dict[str, Pairs] = {"words": [line_tokens(row, True) for row in rows]} if by_words else {}
    pairs["characters"] = [line_tokens(row, False) for row in rows]
    errors = {unit: confusions(own) for unit, own in pairs.items()}
    signs, divided = error_signs(rows), breakdowns(evaluation, score)
    return Analysis(
        evaluation,
        score,
        by_words,
        pairs,
        errors,
        {unit: (token_errors(own, 0), token_errors(own, 1)) for unit, own in pairs.items()},
        signs,
        divided,
        findings(evaluation, score, signs, divided, errors["characters"]),
        worst_lines(rows, score),
        evaluation.calibration(),
    )
