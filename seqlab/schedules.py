"""Learning-rate schedules as functions of training progress.

A schedule answers with the share of the optimiser's learning rate, given progress in [0, 1]: the share done of the
epochs, steps or minutes that a run was given. So the same schedule serves every budget and ends annealed, and a resumed
run needs no scheduler state (the plateau's counters excepted).
"""

import math
from typing import Any


def _check_share(name: str, value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"{name} must lie in [0, 1], got {value}")


class Constant:
    """The same learning rate throughout."""

    def factor(self, progress: float) -> float:
        """Return the share of the learning rate at a progress in [0, 1]."""
        return 1.0

    def epoch_end(self, metric: float) -> None:
        """Take note of the validation metric (lower is better)."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain values."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state."""


class WarmupCosine(Constant):
    """Linear warm-up, then half a cosine.

    Args:
        warmup: share of the run spent on the way up.
        final: share of the learning rate at the end.
    """

    def __init__(self, warmup: float = 0.1, final: float = 0.002) -> None:
        _check_share("warmup", warmup)
        _check_share("final", final)
        self.warmup, self.final = warmup, final

    def factor(self, progress: float) -> float:
        """Return the share of the learning rate at a progress in [0, 1]."""
        if progress < self.warmup:
            return max(progress, 0.01 * self.warmup) / self.warmup
        rest = (min(progress, 1.0) - self.warmup) / max(1.0 - self.warmup, 1e-9)
        return self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * rest))


class OneCycle(Constant):
    """Up along a cosine, then down along another (Smith 2018, super-convergence).

    Args:
        peak: share of the run at which the learning rate is reached.
        start: share of the learning rate at the beginning.
        final: share of the learning rate at the end.
    """

    def __init__(self, peak: float = 0.3, start: float = 0.04, final: float = 1e-4) -> None:
        for name, value in (("peak", peak), ("start", start), ("final", final)):
            _check_share(name, value)
        self.peak, self.start, self.final = peak, start, final

    def factor(self, progress: float) -> float:
        """Return the share of the learning rate at a progress in [0, 1]."""
        if progress < self.peak:
            low, share = self.start, 1 - progress / self.peak
        else:
            low, share = self.final, (min(progress, 1.0) - self.peak) / max(1 - self.peak, 1e-9)
        return low + (1 - low) * 0.5 * (1 + math.cos(math.pi * share))


class Plateau(Constant):
    """Warm-up, then constant; lowered whenever the validation metric stops falling.

    Args:
        warmup: share of the run spent on the way up.
        factor: what the learning rate is multiplied with at a plateau.
        patience: validations without improvement before that.
        threshold: smallest fall of the metric that counts as improvement.
    """

    def __init__(self, warmup: float = 0.02, factor: float = 0.5, patience: int = 3, threshold: float = 1e-4) -> None:
        _check_share("warmup", warmup)
        _check_share("factor", factor)
        if patience < 0:
            raise ValueError(f"patience must be 0 or more, got {patience}")
        self.warmup, self.reduction, self.patience, self.threshold = warmup, factor, patience, threshold
        self.scale, self.best, self.waited = 1.0, math.inf, 0

    def factor(self, progress: float) -> float:
        """Return the share of the learning rate at a progress in [0, 1]."""
        ramp = min(1.0, max(progress, 0.01 * self.warmup) / self.warmup) if self.warmup else 1.0
        return ramp * self.scale

    def epoch_end(self, metric: float) -> None:
        """Take note of the validation metric (lower is better)."""
        if metric < self.best - self.threshold:
            self.best, self.waited = metric, 0
            return
        self.waited += 1
        if self.waited > self.patience:
            self.scale, self.waited = self.scale * self.reduction, 0

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain values."""
        return {"scale": self.scale, "best": self.best, "waited": self.waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state."""
        self.scale, self.best, self.waited = state["scale"], state["best"], state["waited"]
