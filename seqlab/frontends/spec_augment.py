"""SpecAugment: masks over time and over features (Park et al. 2019, section 2; without time warp)."""

import torch
from torch import Tensor, nn


class SpecAugment(nn.Module):
    """Set random bands of frames and of features to 0, the mean of normalised features; only while training.

    Args:
        time_masks: masks over frames per line.
        time_width: widest of them, in frames.
        time_share: widest of them as a share of the line.
        feature_masks: masks over features per line.
        feature_width: widest of them, in features.
    """

    def __init__(
        self,
        time_masks: int = 2,
        time_width: int = 40,
        time_share: float = 0.2,
        feature_masks: int = 2,
        feature_width: int = 15,
    ) -> None:
        super().__init__()
        for name, value in (("time_masks", time_masks), ("feature_masks", feature_masks)):
            if value < 0:
                raise ValueError(f"{name} must be 0 or more, got {value}")
        if not 0 <= time_share <= 1:
            raise ValueError(f"time_share must lie in [0, 1], got {time_share}")
        if time_width < 0 or feature_width < 0:
            raise ValueError("mask widths must be 0 or more")
        self.time_masks, self.time_width, self.time_share = time_masks, time_width, time_share
        self.feature_masks, self.feature_width = feature_masks, feature_width

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Mask a batch of features (B, T, F); lengths stay as they are."""
        if not self.training:
            return x, lengths
        lines, frames, features = x.shape
        valid = lengths.to(x.device).float()
        widest = (valid * self.time_share).clamp(max=self.time_width)
        keep = ~_bands(self.time_masks, valid, widest, frames)[:, :, None]
        size = torch.full((lines,), float(features), device=x.device)
        widest = size.clamp(max=self.feature_width)
        keep = keep & ~_bands(self.feature_masks, size, widest, features)[:, None, :]
        return x * keep, lengths


def _bands(count: int, lengths: Tensor, widest: Tensor, size: int) -> Tensor:
    """Return (B, size), True inside `count` random bands per line, none wider than `widest`, within the length."""
    if not count:
        return torch.zeros(len(lengths), size, dtype=torch.bool, device=lengths.device)
    # Random numbers come from the CPU generator, so that a seed means the same on every device.
    width = (torch.rand(len(lengths), count).to(lengths.device) * (widest[:, None] + 1)).floor()
    start = (torch.rand(len(lengths), count).to(lengths.device) * (lengths[:, None] - width + 1).clamp(min=1)).floor()
    position = torch.arange(size, device=lengths.device)
    inside = (position >= start[..., None]) & (position < (start + width)[..., None])  # (B, count, size)
    return inside.any(1)
