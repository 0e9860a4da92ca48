"""SpecAugment: time warp, and masks over time and over features (Park et al. 2019, section 2)."""

import torch
from torch import Tensor, nn


class TimeWarp(nn.Module):
    """Move one frame of each line to another place in time, all others along with it; only while training.

    Park et al. 2019, section 2, 1: a frame between W and T - W is moved by up to W frames; the parts before and after
    are stretched and shrunk linearly between it and the ends, which stay. Features between frames are interpolated.
    Two views of a line (CR-CTC) have one warp, so that their frames still belong together.

    Args:
        width: farthest move W, in frames; lines of 2 W frames or less are moved by less than half their length.

    Raises:
        ValueError: width is negative.
    """

    shared = True

    def __init__(self, width: int = 40) -> None:
        super().__init__()
        if width < 0:
            raise ValueError(f"width must be 0 or more, got {width}")
        self.width = width

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Warp a batch of features (B, T, F); lengths stay as they are."""
        if not (self.training and self.width):
            return x, lengths
        draws = torch.rand(2, len(x)).to(x.device)  # of the CPU generator, so that a seed means the same everywhere
        last = (lengths.to(x.device).float() - 1).clamp(min=0)
        width = torch.minimum(torch.full_like(last, float(self.width)), ((last - 1) / 2).floor().clamp(min=0))
        middle = (width + draws[0] * (last - 2 * width)).round()
        moved = middle + ((2 * draws[1] - 1) * width).round()
        position = torch.arange(x.shape[1], device=x.device)
        source = warped(position, middle[:, None], moved[:, None], last[:, None])
        low = source.floor().long()
        high = (low + 1).clamp(max=x.shape[1] - 1)
        share = (source - low)[..., None].to(x.dtype)
        index = torch.arange(len(x), device=x.device)[:, None]
        return torch.lerp(x[index, low], x[index, high], share), lengths


def warped(position: Tensor, middle: Tensor, moved: Tensor, last: Tensor) -> Tensor:
    """Return where each frame of a warped line comes from.

    Args:
        position: frames of the warped line, (T,).
        middle: the frame that was moved, (B, 1).
        moved: where it is now, (B, 1).
        last: the last frame of each line, (B, 1); frames after it stay.

    Returns:
        Places in the line as it was, (B, T), not whole.
    """
    before = position * middle / moved.clamp(min=1)
    after = middle + (position - moved) * (last - middle) / (last - moved).clamp(min=1)
    return torch.where(position > last, position, torch.where(position < moved, before, after))


class SpecAugment(nn.Module):
    """Set random bands of frames and of features to 0, the mean of normalised features; only while training.

    Args:
        time_masks: masks over frames per line.
        time_width: widest of them, in frames.
        time_share: widest of them as a share of the line.
        feature_masks: masks over features per line.
        feature_width: widest of them, in features.
    """

    shared = False

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
