"""How sure a reading is, per symbol, word and line, as probabilities that come true.

The raw confidence of a symbol is the decoder's; a word's is the product over its symbols and the spaces at its ends, as
it is right when all of them are; a line's is the product over all its symbols. Of what was tried on the dev parts of
fsdd and peraire (mean, least and product, with and without the spaces; share of the n-best list; both together) the
product with the spaces told right words from wrong ones best: scripts/bench/calibration.py prints the figures.

Calibration then maps each kind by logit(q) = logit(p) / temperature + bias: Platt 1999 ("Probabilistic outputs for
support vector machines", equation 1), written with the temperature of Guo et al. 2017 ("On calibration of modern neural
networks", section 4); of two readings the surer one stays the surer one.
"""

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy

from seqlab.ctc.hypothesis import Hypothesis, Span
from seqlab.errors import DataError
from seqlab.scoring import matches

CLIP = 1e-6  # confidences are kept this far from 0 and 1, where the logit has no value
KINDS = ("symbol", "word", "line")
# Standard deviations of log temperature and bias before any line is seen: few lines leave both near 0, that is the
# confidences as they are, and where all is right the bias stays finite.
SPREAD = np.array([0.5, 2.0])


def logit(p: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return log(p / (1 - p)), p clipped to ``CLIP`` and 1 - ``CLIP``."""
    p = np.clip(np.asarray(p, dtype=np.float64), CLIP, 1 - CLIP)
    return np.log(p) - np.log1p(-p)


@dataclass(frozen=True, slots=True)
class Scaling:
    """Temperature and bias of one kind of confidence; as it stands it changes nothing.

    Attributes:
        temperature: above 0; above 1 makes less sure.
        bias: added to the logit; above 0 makes surer.
    """

    temperature: float = 1.0
    bias: float = 0.0

    def __call__(self, confidence: float) -> float:
        """Map one confidence in [0, 1]."""
        p = min(max(confidence, CLIP), 1 - CLIP)
        scaled = (math.log(p) - math.log1p(-p)) / self.temperature + self.bias  # logit, quicker for one number
        return (1 + math.tanh(scaled / 2)) / 2  # the logistic function, which never overflows so


def word_ranges(spans: Sequence[Span], space: int | None, starts: Container[int] = ()) -> list[range]:
    """Return for every word the indices of its symbols; spaces separate words, and labels in ``starts`` begin one."""
    words: list[range] = []
    begin = 0
    for i, span in enumerate(spans):
        if span.label == space or span.label in starts:
            words.append(range(begin, i))
            begin = i + (span.label == space)
    return [word for word in (*words, range(begin, len(spans))) if word]


class Confidence:
    """Confidences of what a decoder answers.

    Args:
        space: label of the space, or None.
        starts: labels that begin a word without a space.
        calibration: what :func:`fit_calibration` returned; None leaves confidences raw.

    Raises:
        DataError: the calibration is damaged.
    """

    def __init__(
        self, space: int | None, calibration: Mapping[str, Any] | None = None, starts: Container[int] = ()
    ) -> None:
        self.space = space
        self.starts = starts
        given = {} if calibration is None else calibration
        if not isinstance(given, Mapping):
            raise DataError(f"decoding.yaml: calibration is {given!r}, no temperatures and biases; run seqlab tune")
        self.scalings = {kind: _scaling(kind, given.get(kind, {})) for kind in KINDS}

    def symbols(self, hypothesis: Hypothesis) -> list[float]:
        """Return the confidence of every symbol."""
        return [self.scalings["symbol"](span.confidence) for span in hypothesis.spans]

    def words(self, hypothesis: Hypothesis) -> list[float]:
        """Return the confidence of every word."""
        spans = hypothesis.spans
        ranges = word_ranges(spans, self.space, self.starts)
        wide = int(not self.starts)  # a word is as sure as the spaces around it
        wider = [spans[max(r.start - wide, 0) : r.stop + wide] for r in ranges]
        return [self.scalings["word"](_product(part)) for part in wider]

    def line(self, hypothesis: Hypothesis) -> float:
        """Return the confidence of the line as a whole; 0 if nothing was recognised."""
        return self.scalings["line"](_product(hypothesis.spans)) if hypothesis.spans else 0.0


def _product(spans: Sequence[Span]) -> float:
    return math.prod(span.confidence for span in spans)


def _scaling(kind: str, given: Any) -> Scaling:
    try:
        scaling = Scaling(**{key: float(value) for key, value in given.items()})
    except (AttributeError, TypeError, ValueError):
        scaling = Scaling(math.nan)
    if not (scaling.temperature > 0 and math.isfinite(scaling.temperature) and math.isfinite(scaling.bias)):
        raise DataError(f"decoding.yaml: calibration of {kind}: {given!r} is no temperature and bias; run seqlab tune")
    return scaling


def fit_calibration(
    tokenizer: Any, hypotheses: Sequence[Hypothesis], references: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Fit the calibration of a decoder on lines that the model did not learn from.

    Args:
        tokenizer: the model's.
        hypotheses: what the decoder answered, one per line.
        references: texts in the tokenizer's form.

    Returns:
        ``{"symbol": {"temperature": ..., "bias": ...}, "word": ..., "line": ...}``, which :class:`Confidence` takes.
    """
    return {
        kind: asdict(fit_scaling(*judged))
        for kind, judged in judge(
            Confidence(tokenizer.space, None, tokenizer.starts), tokenizer, hypotheses, references
        ).items()
    }


def judge(
    confidence: Confidence, tokenizer: Any, hypotheses: Sequence[Hypothesis], references: Sequence[str]
) -> dict[str, tuple[list[float], list[bool]]]:
    """Return by kind the confidence of all that was recognised, and whether it was right; see ``seqlab.scoring``.

    Empty hypotheses are left out: they hold nothing that could be sure.
    """
    judged: dict[str, tuple[list[float], list[bool]]] = {kind: ([], []) for kind in KINDS}
    for hypothesis, reference in zip(hypotheses, references, strict=True):
        if not hypothesis.spans:
            continue
        labels = hypothesis.labels
        wanted, found = ([tokenizer.symbols[i] for i in x] for x in (tokenizer.encode(reference, True), labels))
        ranges = word_ranges(hypothesis.spans, tokenizer.space, tokenizer.starts)
        words = [tokenizer.decode(labels[r.start : r.stop]) for r in ranges]
        for kind, values, right in (
            ("symbol", confidence.symbols(hypothesis), matches(wanted, found)),
            ("word", confidence.words(hypothesis), matches(reference.split(), words)),
            ("line", [confidence.line(hypothesis)], [tokenizer.decode(labels) == reference]),
        ):
            judged[kind][0].extend(values)
            judged[kind][1].extend(right)
    return judged


def fit_scaling(confidences: Sequence[float], correct: Sequence[bool]) -> Scaling:
    """Fit temperature and bias by maximum a posteriori: likelihood of right and wrong, times a wide normal prior.

    The prior stands around the identity (see ``SPREAD``), so that nothing given, little given, or everything right or
    wrong needs no rule of its own.

    Args:
        confidences: raw, in [0, 1].
        correct: whether each was right.
    """
    x, sign = logit(confidences), np.where(np.asarray(correct, dtype=bool), 1.0, -1.0)

    def loss(parameters: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        slope = np.exp(-parameters[0])  # parameters: log temperature, bias
        z = sign * (slope * x + parameters[1])
        pull = -sign * np.exp(-np.logaddexp(0, z))  # derivative of log(1 + exp(-z)) by the logit
        gradient = np.array([-(pull * x).sum() * slope, pull.sum()])
        prior = parameters / SPREAD
        return float(np.logaddexp(0, -z).sum() + (prior**2).sum() / 2), gradient + prior / SPREAD

    log_temperature, bias = scipy.optimize.minimize(loss, np.zeros(2), jac=True, method="L-BFGS-B").x
    return Scaling(round(math.exp(log_temperature), 4), round(float(bias), 4))
