"""Weight noise: gradients are taken at weights moved at random, and change the weights as they were."""

from collections.abc import Iterable

import torch
from torch import nn


class WeightNoise:
    """Fresh normal noise on all trained weights for each batch (Graves 2013, "Speech recognition with deep recurrent
    neural networks", section 4: standard deviation 0.075, one draw per sequence; here per batch).

    Args:
        deviation: standard deviation; 0: no noise.
        start: share of the training after which noise begins (in the paper: once training without it is over).

    Raises:
        ValueError: deviation is negative, or start lies outside [0, 1].
    """

    def __init__(self, deviation: float = 0.0, start: float = 0.0) -> None:
        if deviation < 0:
            raise ValueError(f"weight_noise must be 0 or more, got {deviation}")
        if not 0 <= start <= 1:
            raise ValueError(f"weight_noise_from must lie in [0, 1], got {start}")
        self.deviation, self.start = deviation, start
        self._clean: list[tuple[nn.Parameter, torch.Tensor]] = []

    @torch.no_grad()
    def add(self, parameters: Iterable[nn.Parameter], progress: float) -> None:
        """Move the weights, by noise from torch's generator of the CPU, if training has come so far."""
        self.remove()
        if not self.deviation or progress < self.start:
            return
        for parameter in parameters:
            if parameter.requires_grad:
                self._clean.append((parameter, parameter.detach().clone()))
                parameter.add_(torch.randn(parameter.shape).to(parameter), alpha=self.deviation)

    @torch.no_grad()
    def remove(self) -> None:
        """Put back the weights as they were, to the bit; their gradients stay."""
        for parameter, clean in self._clean:
            parameter.copy_(clean)
        self._clean = []
