"""What a confidence is worth: whether those of 0.9 are right nine times out of ten.

What was recognised is right where the alignment with the fewest errors pairs it with an equal token of the reference;
what is missing from the hypothesis has no confidence and counts nowhere here.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from seqlab.scoring.counts import align

BINS = 10
CLIP = 1e-6  # confidences nearer to 0 or 1 count as this near, or one wrong word at 1.0 would cost infinitely much


def matches(reference: Sequence[str], hypothesis: Sequence[str]) -> list[bool]:
    """Tell for every token of the hypothesis whether it is right; see :func:`seqlab.scoring.align`."""
    return [operation == "hit" for operation, _, heard in align(reference, hypothesis) if heard is not None]


@dataclass(frozen=True, slots=True)
class Bin:
    """The items whose confidence lies in one interval.

    Attributes:
        low: lower end of the interval; belongs to it.
        high: upper end; belongs to the last interval only.
        count: items.
        confidence: their mean confidence, or None without items.
        correct: share of them that is right, or None without items.
    """

    low: float
    high: float
    count: int
    confidence: float | None
    correct: float | None


@dataclass(frozen=True, slots=True)
class Reliability:
    """How well confidences agree with what came true.

    Attributes:
        count: items.
        correct: share of them that is right.
        ece: expected calibration error (Naeini et al. 2015, section 2; Guo et al. 2017, equation 3): the distance
            between mean confidence and share right in each of ``BINS`` bins of equal width, weighted by the bin's share
            of the items. 0 is perfect, and what always says the share right comes near it, so look at ``nce`` too.
        nce: normalised cross entropy (NIST; Siu et al. 1997): share of the uncertainty about right and wrong that the
            confidences take away. 1 is perfect, 0 as good as knowing the share right only, below 0 worse; None where
            all or none are right, as there is no uncertainty then.
        bins: in order.
    """

    count: int
    correct: float
    ece: float
    nce: float | None
    bins: list[Bin]

    def summary(self) -> dict[str, Any]:
        """Return it as plain dict, list, int and float."""
        return asdict(self)


def reliability(confidences: npt.ArrayLike, correct: npt.ArrayLike, bins: int = BINS) -> Reliability | None:
    """Compare confidences with what came true.

    Args:
        confidences: in [0, 1], (N,).
        correct: whether each was right, (N,).
        bins: number of bins.

    Returns:
        The comparison, or None without items.

    Raises:
        ValueError: unequal lengths, or a confidence outside [0, 1].
    """
    p, right = np.asarray(confidences, dtype=np.float64), np.asarray(correct, dtype=bool)
    if p.shape != right.shape or p.ndim != 1:
        raise ValueError(f"need one confidence for each item, got shapes {p.shape} and {right.shape}")
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError("confidences must lie in [0, 1]")
    if not len(p):
        return None
    number = np.minimum((p * bins).astype(int), bins - 1)
    found, error = [], 0.0
    for b in range(bins):
        here = number == b
        count = int(here.sum())
        means = (float(p[here].mean()), float(right[here].mean())) if count else None
        error += count / len(p) * abs(means[0] - means[1]) if means else 0.0
        found.append(Bin(b / bins, (b + 1) / bins, count, *(means or (None, None))))
    return Reliability(len(p), float(right.mean()), error, _nce(p, right), found)


def _nce(p: npt.NDArray[np.float64], right: npt.NDArray[np.bool_]) -> float | None:
    share = right.mean()
    if share in (0, 1):
        return None
    most = -(share * np.log(share) + (1 - share) * np.log(1 - share))
    left = -np.log(np.clip(np.where(right, p, 1 - p), CLIP, 1 - CLIP)).mean()
    return float(1 - left / most)
