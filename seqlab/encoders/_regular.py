"""What the recurrent encoders share while training: dropout with one mask per line, and layers that join in later."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional


def check_shares(**shares: float) -> None:
    """Refuse shares of dropout outside [0, 1).

    Raises:
        ValueError: a share is out of range.
    """
    for name, share in shares.items():
        if not 0 <= share < 1:
            raise ValueError(f"{name} must lie in [0, 1), got {share}")


class Dropout(nn.Dropout):
    """Dropout over states (T, B, H) or (B, T, H).

    Args:
        p: share of states set to 0, while training.
        time: the dimension of frames; every frame of a line then has the same mask (Gal and Ghahramani 2016, "A
            theoretically grounded application of dropout in recurrent neural networks", section 4.2). None: each frame
            its own mask.
    """

    def __init__(self, p: float, time: int | None = None) -> None:
        super().__init__(p)
        self.time = time

    def forward(self, input: Tensor) -> Tensor:  # torch's name
        """Drop states."""
        if self.time is None or not (self.training and self.p):
            return super().forward(input)
        return input * functional.dropout(torch.ones_like(input.narrow(self.time, 0, 1)), self.p)


class Growth(nn.Module):
    """How many layers are in use: layer-wise pretraining (Hinton, Osindero and Teh 2006; Zeyer et al. 2017 for LSTMs).

    Training starts with the lowest layers; at each share of it one more joins in, and the output layer reads the
    highest in use. All of those are trained. The depth is a buffer: it travels with checkpoints.

    Args:
        num_layers: of the whole network.
        grow_at: shares of training at which a layer joins in, ascending, in (0, 1), fewer than num_layers; none: all
            layers from the start.

    Raises:
        ValueError: the shares are out of range or order, or too many.
    """

    depth: Tensor

    def __init__(self, num_layers: int, grow_at: Sequence[float] = ()) -> None:
        super().__init__()
        shares = list(grow_at)
        fits = all(0 < share < 1 for share in shares) and all(a < b for a, b in pairwise(shares))
        if not fits or len(shares) >= num_layers:
            raise ValueError(
                f"grow_at must hold ascending shares between 0 and 1, fewer than num_layers={num_layers}, got {shares}"
            )
        self.num_layers, self.grow_at = num_layers, shares
        if shares:
            self.register_buffer("depth", torch.tensor(num_layers - len(shares)))

    @property
    def layers(self) -> int:
        """Number of layers in use."""
        return int(self.depth) if self.grow_at else self.num_layers

    def grow(self, progress: float) -> None:
        """Use as many layers as belong to a share of training done."""
        if self.grow_at:
            joined = sum(share <= progress for share in self.grow_at)
            self.depth.fill_(self.num_layers - len(self.grow_at) + joined)
