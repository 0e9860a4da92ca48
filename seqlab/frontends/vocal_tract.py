"""Vocal tract length perturbation: each training line read by filters bent at random (Jaitly and Hinton 2013)."""

import torch
from torch import nn

STEPS = 20  # between the bounds: a filterbank is made for each step only


class VocalTract(nn.Module):
    """Draw the warp factors of a batch of lines; only while training.

    A log-mel frontend bends the places of its filters by them: Kaldi's piecewise linear warp of frequencies (that of
    its VTLN), which leaves both ends of the band in place. A factor above 1 makes formants seem higher, as those of a
    shorter vocal tract.

    Args:
        low: smallest factor.
        high: largest factor.

    Raises:
        ValueError: the bounds are out of order or outside [0.7, 1.4].
    """

    shared = True

    def __init__(self, low: float = 0.9, high: float = 1.1) -> None:
        super().__init__()
        check_factors(low, high)
        self.low, self.high = low, high

    def draw(self, lines: int) -> list[float]:
        """Return a factor for each line, one of STEPS + 1 from low to high, from torch's generator of the CPU."""
        steps = torch.randint(STEPS + 1, (lines,)).tolist()
        return [round(self.low + (self.high - self.low) * step / STEPS, 6) for step in steps]


def check_factors(low: float, high: float) -> None:
    """Raise ValueError unless factors are in order and within [0.7, 1.4]."""
    if not 0.7 <= low <= high <= 1.4:
        raise ValueError(f"factors must be in order and in [0.7, 1.4], got {low:g} and {high:g}")
