"""Mean and variance normalisation of features, inside the model."""

from typing import Literal

import torch
from torch import Tensor, nn

from seqlab.batch import mask_padding


class Normalize(nn.Module):
    """Bring every feature to mean 0 and variance 1; padding stays 0 and counts for nothing.

    The statistics of `global` are buffers and travel with the weights. They are measured once, with `update` for each
    batch of training features and then `finish`.

    Args:
        input_size: features per frame.
        kind: `none` leaves features as they are; `line` uses the frames of the line itself; `global` uses the
            statistics of the training set, which keeps loudness, and works while a line is still being spoken.
        eps: added to the variance, so that a constant feature and a line of one frame become 0.
    """

    mean: Tensor
    std: Tensor
    fitted: Tensor

    def __init__(self, input_size: int, kind: Literal["none", "line", "global"] = "line", eps: float = 1e-5) -> None:
        super().__init__()
        if input_size < 1:
            raise ValueError(f"input_size must be 1 or more, got {input_size}")
        if kind not in ("none", "line", "global"):
            raise ValueError(f"kind must be one of none, line, global, got {kind!r}")
        if eps <= 0:
            raise ValueError(f"eps must be above 0, got {eps}")
        self.kind, self.eps = kind, eps
        self.num_features = input_size
        if kind == "global":
            self.register_buffer("mean", torch.zeros(input_size))
            self.register_buffer("std", torch.ones(input_size))
            self.register_buffer("fitted", torch.zeros((), dtype=torch.bool))
        self._ready = False
        self._forget()

    def num_frames(self, lengths: Tensor) -> Tensor:
        """Return the lengths as they are."""
        return lengths

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Normalise features.

        Args:
            x: features (B, T, F).
            lengths: frames per line, (B,).

        Returns:
            Features (B, T, F) and the lengths; frames past a length are 0.

        Raises:
            RuntimeError: kind is `global` and the statistics were neither measured nor loaded.
        """
        on_device = lengths.to(x.device)
        x = mask_padding(x, on_device)
        if self.kind == "line":
            count = on_device.clamp(min=1)[:, None, None].to(x.dtype)
            x = mask_padding(x - x.sum(1, keepdim=True) / count, on_device)
            x = x * (x.square().sum(1, keepdim=True) / count + self.eps).rsqrt()
        elif self.kind == "global":
            self._check_fitted()
            x = mask_padding((x - self.mean) / self.std, on_device)
        return x, lengths

    @torch.no_grad()
    def update(self, x: Tensor, lengths: Tensor) -> None:
        """Add a batch of features (B, T, F) with its lengths (B,) to the statistics, in float64 on the CPU."""
        if self.kind != "global":
            raise RuntimeError(f"only kind=global measures statistics, this is kind={self.kind}")
        x, lengths = mask_padding(x.cpu().double(), lengths.cpu()), lengths.cpu()
        self._count += int(lengths.sum())
        self._sum += x.sum((0, 1))
        self._sum_squares += x.square().sum((0, 1))

    @torch.no_grad()
    def finish(self) -> None:
        """Turn what `update` has gathered into the mean and standard deviation that forward uses."""
        if not self._count:
            raise RuntimeError("no frames to measure statistics on; call update with training features first")
        mean = self._sum / self._count
        variance = (self._sum_squares / self._count - mean.square()).clamp(min=0)
        self.mean.copy_(mean)
        self.std.copy_((variance + self.eps).sqrt())
        self.fitted.fill_(True)
        self._forget()

    def _forget(self) -> None:
        self._count = 0
        self._sum = torch.zeros(self.num_features, dtype=torch.float64, device="cpu")
        self._sum_squares = torch.zeros(self.num_features, dtype=torch.float64, device="cpu")

    def _check_fitted(self) -> None:
        # Looked at once: reading a value from a GPU on every call would hold it up.
        if self._ready or torch.compiler.is_compiling():
            return
        if not self.fitted:
            raise RuntimeError(
                "normalize: kind=global has no statistics; call update with features of the training set, then finish, "
                "or load a checkpoint"
            )
        self._ready = True
