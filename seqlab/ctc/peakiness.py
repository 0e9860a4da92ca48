"""How peaky the output of a CTC model is: few frames that say a symbol, the rest sure blanks."""

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from seqlab.batch import valid_mask

SURE = 0.99


@dataclass(slots=True, frozen=True)
class Peakiness:
    """Sums over the frames of some lines; two of them add up.

    Attributes:
        frames: how many.
        blanks: whose likeliest symbol is the blank.
        runs: stretches of frames with one and the same symbol, not blank, likeliest.
        entropy_sum: entropies of all frames in nats (Shannon 1948).
        sure: frames with a posterior above 0.99.
    """

    frames: int = 0
    blanks: int = 0
    runs: int = 0
    entropy_sum: float = 0.0
    sure: int = 0

    def __add__(self, other: "Peakiness") -> "Peakiness":
        return Peakiness(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def rates(self) -> dict[str, float]:
        """Return shares and means; what has nothing to be taken over is 0.

        Returns:
            ``blank`` share of frames, ``frames_per_symbol`` (mean length of a run; 1 is the peakiest), ``entropy`` per
            frame in nats, ``sure`` share of frames.
        """
        frames = max(self.frames, 1)
        return {
            "blank": self.blanks / frames,
            "frames_per_symbol": (self.frames - self.blanks) / max(self.runs, 1),
            "entropy": self.entropy_sum / frames,
            "sure": self.sure / frames,
        }


def peakiness(log_probs: Tensor, lengths: Tensor) -> Peakiness:
    """Measure a batch.

    Args:
        log_probs: log-probabilities (B, T, V), blank 0.
        lengths: frames per line, (B,).
    """
    log_probs = log_probs.float()
    valid = valid_mask(lengths.to(log_probs.device), log_probs.shape[1])  # (B, T)
    best, path = log_probs.max(2)
    said = (path != 0) & valid
    first = said.clone()
    first[:, 1:] &= path[:, 1:] != path[:, :-1]
    entropy = -torch.xlogy(log_probs.exp(), log_probs.exp()).sum(2)
    frames = int(lengths.sum())
    return Peakiness(
        frames,
        frames - int(said.sum()),
        int(first.sum()),
        float(entropy[valid].sum(dtype=torch.float64)),
        int(((best.exp() > SURE) & valid).sum()),
    )
