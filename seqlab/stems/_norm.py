"""Batch and group normalisation of maps (B, C, T, F) that ignore what lies past a line's length."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class _MaskedBatchNorm(torch.autograd.Function):
    """Batch normalisation with statistics over the valid part of a map whose padding is 0.

    torch's own kernel runs over the whole map; as padding adds nothing to a sum, its mean and variance, and the means
    in its gradient, are turned into those of the valid part by the ratio of the counts.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, valid: Tensor, eps: float) -> Any:
        ratio = x.numel() / x.shape[1] / valid  # (), 1 where there is no padding
        out, mean, scale = torch.native_batch_norm(x, weight, bias, None, None, True, 0.0, eps)
        square = (scale.square().reciprocal() - eps + mean.square()) * ratio
        mean = mean * ratio
        variance = (square - mean.square()).clamp(min=0)
        out = torch.native_batch_norm(x, weight, bias, mean, variance, False, 0.0, eps)[0]
        inverse = (variance + eps).rsqrt()
        ctx.save_for_backward(x, weight, mean, inverse, ratio)
        ctx.eps = eps
        ctx.mark_non_differentiable(mean, variance)
        return out, mean, variance

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        x, weight, mean, inverse, ratio = ctx.saved_tensors
        gradient = gradients[0]
        dx, dweight, dbias = torch.ops.aten.native_batch_norm_backward(
            gradient, x, weight, None, None, mean, inverse, True, ctx.eps, [True, True, True]
        )
        direct = (weight * inverse * (1 - ratio)).to(x.dtype)[:, None, None]
        return torch.addcmul(dx * ratio.to(x.dtype), gradient, direct), dweight, dbias, None, None


class MaskedBatchNorm(nn.Module):
    """Batch normalisation (Ioffe and Szegedy 2015) over valid positions only.

    Args:
        channels: channels of the map.
        momentum: share of the newest batch in the running statistics.
        eps: added to the variance.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, momentum: float = 0.1, eps: float = 1e-5) -> None:
        super().__init__()
        self.momentum, self.eps = momentum, eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """Normalise.

        Args:
            x: (B, C, T, F), 0 past each line's length.
            valid: number of positions (b, t, f) that count, ().

        Returns:
            (B, C, T, F); what lies past a length is not 0 any more.
        """
        if not self.training:
            return functional.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        out, mean, variance = _MaskedBatchNorm.apply(x, self.weight, self.bias, valid, self.eps)
        with torch.no_grad():
            unbiased = variance * (valid / (valid - 1).clamp(min=1))
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(unbiased, self.momentum)
        return out


class MaskedGroupNorm(nn.Module):
    """Group normalisation (Wu and He 2018) over the valid positions of each line.

    Args:
        channels: channels of the map.
        groups: groups of channels; lowered to a divisor of the channels.
        eps: added to the variance.
    """

    def __init__(self, channels: int, groups: int = 8, eps: float = 1e-5) -> None:
        super().__init__()
        self.groups = next(g for g in range(min(groups, channels), 0, -1) if channels % g == 0)
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Normalise x (B, C, T, F), 0 past each line's length, with lengths (B,)."""
        lines, channels, _, features = x.shape
        count = (lengths.clamp(min=1) * features * (channels // self.groups)).float()[:, None]  # (B, 1)
        sums = x.sum((2, 3), dtype=torch.float32).view(lines, self.groups, -1).sum(2)
        mean = sums / count
        squares = x.float().square().sum((2, 3)).view(lines, self.groups, -1).sum(2)
        inverse = (squares / count - mean.square()).clamp(min=0).add(self.eps).rsqrt()
        size = channels // self.groups
        scale = inverse.repeat_interleave(size, 1) * self.weight
        shift = self.bias - mean.repeat_interleave(size, 1) * scale
        return x * scale.to(x.dtype)[:, :, None, None] + shift.to(x.dtype)[:, :, None, None]
