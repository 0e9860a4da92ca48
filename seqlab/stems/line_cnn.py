"""The stem of text line images: convolutions, normalisation and pooling, down to one vector per frame."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqlab.batch import valid_mask
from seqlab.stems._norm import MaskedBatchNorm, MaskedGroupNorm


class LineCNN(nn.Module):
    """Convolutions over (time, features), stage by stage; the last maps are collapsed over the features.

    One stage is a convolution, a normalisation, an activation, residual blocks (He et al. 2016) if it has any, and
    max-pooling. Collapsing by the maximum over the rows of each column ("column max-pooling", Retsinas et al. 2022)
    keeps the encoder's input small; joining all rows ("concat") is what CRNN (Shi et al. 2015) and Puigcerver (2017)
    do. Exact for every length: padding is set to 0 before each convolution and counts in no statistic. A stride s
    leaves ceil(T / s) frames.

    Args:
        input_size: features per frame: rows of the image.
        channels: output channels of each stage.
        kernel_size: odd; the same for time and features; the kernel of the first stage may be given apart.
        first_kernel: kernel of the first stage; null: as the others.
        strides: (time, features) strides of each stage's convolution.
        pools: (time, features) of each stage's max-pooling; [1, 1] is none.
        blocks: residual blocks of each stage, of two convolutions each.
        norm: normalisation after each convolution.
        activation: relu, or leaky_relu with a slope of 0.01.
        dropout: share of whole channels set to 0 before each stage but the first, while training.
        out_dropout: share of output features set to 0, while training.
        collapse: how a column's maps become one vector.
    """

    def __init__(
        self,
        input_size: int,
        channels: Sequence[int] = (16, 32, 64, 128),
        kernel_size: int = 3,
        first_kernel: int | None = None,
        strides: Sequence[Sequence[int]] = ((2, 2), (1, 1), (1, 1), (1, 1)),
        pools: Sequence[Sequence[int]] = ((1, 1), (2, 2), (1, 2), (1, 1)),
        blocks: Sequence[int] = (0, 0, 0, 0),
        norm: Literal["batch", "group", "none"] = "batch",
        activation: Literal["relu", "leaky_relu"] = "relu",
        dropout: float = 0.0,
        out_dropout: float = 0.0,
        collapse: Literal["max", "concat"] = "max",
    ) -> None:
        super().__init__()
        stages = {"channels": channels, "strides": strides, "pools": pools, "blocks": blocks}
        if len({len(v) for v in stages.values()}) != 1 or not channels:
            sizes = ", ".join(f"{name} {len(v)}" for name, v in stages.items())
            raise ValueError(f"channels, strides, pools and blocks need one entry for each stage, got {sizes}")
        for name, pairs in (("strides", strides), ("pools", pools)):
            if any(len(pair) != 2 or min(pair) < 1 for pair in pairs):
                raise ValueError(f"{name} must be pairs [time, features] of 1 or more, got {list(pairs)}")
        if min(input_size, *channels) < 1 or min(blocks) < 0:
            raise ValueError("input_size and channels must be 1 or more, blocks 0 or more")
        for name, share in (("dropout", dropout), ("out_dropout", out_dropout)):
            if not 0 <= share < 1:
                raise ValueError(f"{name} must lie in [0, 1), got {share}")
        kernels = [first_kernel or kernel_size] + [kernel_size] * (len(channels) - 1)
        if any(k < 1 or k % 2 == 0 for k in kernels):
            raise ValueError(f"kernel_size and first_kernel must be odd, got {kernel_size} and {first_kernel}")
        inputs = [1, *channels[:-1]]
        self.stages = nn.ModuleList(
            _Stage(i, o, k, s, p, b, norm, activation)
            for i, o, k, s, p, b in zip(inputs, channels, kernels, strides, pools, blocks, strict=True)
        )
        self.dropout, self.out_dropout = nn.Dropout2d(dropout), nn.Dropout(out_dropout)
        self.collapse = collapse
        self.stride = math.prod(s[0] * p[0] for s, p in zip(strides, pools, strict=True))
        self.feature_stride = math.prod(s[1] * p[1] for s, p in zip(strides, pools, strict=True))
        rows = -(-input_size // self.feature_stride)
        self.num_features = channels[-1] * (rows if collapse == "concat" else 1)

    def num_frames(self, lengths: Tensor) -> Tensor:
        """Return ceil(T / stride)."""
        return (lengths + self.stride - 1) // self.stride

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Convolve features.

        Args:
            x: features (B, T, F).
            lengths: frames per line, (B,).

        Returns:
            (B, T', F') and frames per line; frames past a length are 0.
        """
        frames, rows = x.shape[1:]
        # To a multiple of the strides, so that each of them divides evenly and no line loses its last frame.
        fill = ((rows + self.feature_stride - 1) // self.feature_stride * self.feature_stride) - rows
        more = ((frames + self.stride - 1) // self.stride * self.stride) - frames
        x = functional.pad(x, (0, fill, 0, more))[:, None].contiguous(memory_format=torch.channels_last)
        valid = lengths.to(x.device)
        x = _mask(x, valid)  # (B, C, T, F)
        for number, stage in enumerate(self.stages):
            if number:
                x = self.dropout(x)
            x, valid = stage(x, valid)
        x = x.amax(3) if self.collapse == "max" else x.transpose(2, 3).flatten(1, 2)  # (B, F, T)
        return self.out_dropout(x.transpose(1, 2)), self.num_frames(lengths)


class _Stage(nn.Module):
    def __init__(
        self,
        inputs: int,
        channels: int,
        kernel: int,
        stride: Sequence[int],
        pool: Sequence[int],
        blocks: int,
        norm: str,
        activation: str,
    ) -> None:
        super().__init__()
        self.conv = _Convolution(inputs, channels, kernel, tuple(stride), norm)
        self.blocks = nn.ModuleList(_Block(channels, norm, activation) for _ in range(blocks))
        self.pool = tuple(pool)
        self.slope = 0.0 if activation == "relu" else 0.01

    def forward(self, x: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        x, valid = self.conv(x, valid)
        x = functional.leaky_relu(x, self.slope) if self.slope else functional.relu(x)
        for block in self.blocks:
            x = block(x, valid)
        if self.pool != (1, 1):
            x = functional.max_pool2d(x, self.pool)
            valid = (valid + self.pool[0] - 1) // self.pool[0]
        return x, valid


class _Convolution(nn.Module):
    """A convolution and its normalisation; padding of the answer is 0."""

    def __init__(self, inputs: int, channels: int, kernel: int, stride: tuple[int, ...], norm: str) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, channels, kernel, stride, kernel // 2, bias=norm == "none")  # type: ignore[arg-type]
        self.norm = {"batch": MaskedBatchNorm, "group": MaskedGroupNorm}[norm](channels) if norm != "none" else None
        self.stride = stride[0]

    def forward(self, x: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        x = self.conv(x)
        valid = (valid + self.stride - 1) // self.stride
        if not isinstance(self.norm, MaskedBatchNorm) or self.norm.training:  # else it mixes no positions
            x = _mask(x, valid)
        if isinstance(self.norm, MaskedBatchNorm):
            x = _mask(self.norm(x, valid.sum() * x.shape[3]), valid)
        elif self.norm is not None:
            x = _mask(self.norm(x, valid), valid)
        return x, valid


class _Block(nn.Module):
    """Two convolutions beside a way past them."""

    def __init__(self, channels: int, norm: str, activation: str) -> None:
        super().__init__()
        self.first = _Convolution(channels, channels, 3, (1, 1), norm)
        self.second = _Convolution(channels, channels, 3, (1, 1), norm)
        self.slope = 0.0 if activation == "relu" else 0.01

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        y = functional.leaky_relu(self.first(x, valid)[0], self.slope)
        return functional.leaky_relu(x + self.second(y, valid)[0], self.slope)


class _ZeroTails(torch.autograd.Function):
    """Set what lies past each line's length to 0 in place: a copy of the whole map would cost more than its padding."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, valid: Tensor) -> Tensor:
        ctx.lengths = valid.tolist()
        ctx.mark_dirty(x)
        for line, length in zip(x, ctx.lengths, strict=True):
            line[:, length:] = 0
        return x

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        gradient = gradients[0].clone(memory_format=torch.preserve_format)
        for line, length in zip(gradient, ctx.lengths, strict=True):
            line[:, length:] = 0
        return gradient, None


def _mask(x: Tensor, valid: Tensor) -> Tensor:
    """Set x (B, C, T, F) to 0 past each line's length; on a CPU in place, and nothing where nothing is padded."""
    if x.device.type == "cpu" and not torch.jit.is_tracing() and not torch.compiler.is_compiling():
        padded = int(valid.min()) < x.shape[2]
        return _ZeroTails.apply(x, valid) if padded else x
    mask = valid_mask(valid, x.shape[2])[:, None, :, None]
    if torch.jit.is_tracing():  # in ONNX Runtime the other takes several times as long
        return x * mask
    return x.masked_fill(~mask, 0)
