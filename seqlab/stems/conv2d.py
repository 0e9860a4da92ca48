"""The stem of strided convolutions over time and features."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from seqlab.batch import mask_padding


class Conv2d(nn.Module):
    """Convolutions over (time, feature), each with ReLU, then a linear layer; strides drop frames and features.

    Exact for every length: what lies past a line is set to 0 before each convolution, which is what the convolution
    itself puts past the edge. A stride s leaves ceil(T / s) frames, so no line that has a frame loses its last.

    Args:
        input_size: features per frame.
        channels: output channels of each convolution.
        kernel_size: odd; the same for time and features.
        time_strides: one for each convolution.
        feature_strides: one for each convolution.
        out_size: features per frame after the linear layer.
        dropout: share of whole channels set to 0 after each convolution, while training.
    """

    def __init__(
        self,
        input_size: int,
        channels: Sequence[int] = (32, 32),
        kernel_size: int = 3,
        time_strides: Sequence[int] = (2, 2),
        feature_strides: Sequence[int] = (2, 2),
        out_size: int = 256,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if not len(channels) == len(time_strides) == len(feature_strides) > 0:
            raise ValueError(
                "channels, time_strides and feature_strides need one number for each convolution, got "
                f"{len(channels)}, {len(time_strides)} and {len(feature_strides)}"
            )
        if min(input_size, out_size, *channels, *time_strides, *feature_strides) < 1:
            raise ValueError("input_size, out_size, channels and strides must be 1 or more")
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, got {kernel_size}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must lie in [0, 1), got {dropout}")
        self.time_strides, self.kernel_size = list(time_strides), kernel_size
        self.convolutions = nn.ModuleList()
        size, previous = input_size, 1
        for channel, time_stride, feature_stride in zip(channels, time_strides, feature_strides, strict=True):
            stride = (time_stride, feature_stride)
            self.convolutions.append(nn.Conv2d(previous, channel, kernel_size, stride, padding=kernel_size // 2))
            size, previous = -(-size // feature_stride), channel
        self.dropout = nn.Dropout2d(dropout)
        self.linear = nn.Linear(previous * size, out_size)
        self.stride = math.prod(time_strides)
        self.num_features = out_size

    def num_frames(self, lengths: Tensor) -> Tensor:
        """Return ceil(T / stride), stride by stride."""
        for stride in self.time_strides:
            lengths = (lengths + stride - 1) // stride  # not -(-T // stride): ONNX rounds that towards 0
        return lengths

    @property
    def reach(self) -> tuple[int, int, int]:
        """Frames in for one out; and those before the first of them, and from it on, that the one depends on."""
        side, step = 0, 1
        for stride in self.time_strides:
            side += step * (self.kernel_size // 2)
            step *= stride
        return step, side, side + 1

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Convolve features.

        Args:
            x: features (B, T, F).
            lengths: frames per line, (B,).

        Returns:
            (B, T', out_size) and frames per line; frames past a length are 0.
        """
        valid = lengths.to(x.device)
        x = mask_padding(x, valid)[:, :, None]  # (B, T, C, F)
        for convolution, stride in zip(self.convolutions, self.time_strides, strict=True):
            x = self.dropout(torch.relu(convolution(x.transpose(1, 2)))).transpose(1, 2)  # (B, T, C, F)
            valid = (valid + stride - 1) // stride
            x = mask_padding(x, valid)
        x = self.linear(x.flatten(2))
        return mask_padding(x, valid), self.num_frames(lengths)
