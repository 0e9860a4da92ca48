"""Log-mel features and cepstra as convolutions over the signal, in which every ONNX runtime can compute them."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqlab.batch import mask_padding
from seqlab.errors import ConfigError
from seqlab.frontends.deltas import WIDTH, append_deltas
from seqlab.frontends.log_mel import LogMel
from seqlab.frontends.mfcc import MFCC


class ConvolvedLogMel(nn.Module):
    """What LogMel computes, without an FFT and without cutting frames.

    Of a frame x, its mean taken away (C), pre-emphasised (P) and windowed (W), the spectrum is D W P C x: one matrix
    whose rows run over the signal as filters of a convolution with the frame shift as its stride. The graph holds the
    formula of that matrix, not its 400 x 514 numbers; a runtime computes it once, when it loads the graph. The mel
    filters are a convolution of width 1.

    Args:
        frontend: whose features are wanted.
    """

    bins: Tensor
    window: Tensor
    filters: Tensor
    ones: Tensor

    def __init__(self, frontend: LogMel) -> None:
        super().__init__()
        bank = frontend._bank(torch.device("cpu"))
        framing = bank.framing
        size, bins = framing.window, framing.fft_size // 2 + 1
        filters = torch.zeros(sum(w.shape[1] for _, _, w in bank.bands), bins)
        row = 0
        for first, last, part in bank.bands:
            filters[row : row + part.shape[1], first:last] = part.T
            row += part.shape[1]
        self.register_buffer("bins", torch.arange(bins, dtype=torch.float32)[:, None])
        self.register_buffer("window", functional.pad(bank.window, (1, 0)))  # Povey's first weight is 0
        self.preemphasis = bank.preemphasis
        self.register_buffer("filters", filters[:, :, None])
        self.register_buffer("ones", torch.ones(1, 1, size))
        self.framing, self.floor, self.energy, self.deltas = framing, bank.floor, bank.energy, frontend.deltas

    def forward(self, signal: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Turn audio (B, S) with lengths (B,) into features (B, T, F), 0 past a length, and frames per line (B,)."""
        frames = self.framing.num_frames(lengths)
        signal, shift = self.framing.lay_out(signal, lengths)[:, None], self.framing.shift
        real, imaginary = functional.conv1d(signal, self._spectrum(), stride=shift).chunk(2, 1)  # (B, bins, T)
        features = functional.conv1d(real * real + imaginary * imaginary, self.filters)
        if self.energy:
            total = functional.conv1d(signal, self.ones, stride=shift)
            squares = functional.conv1d(signal * signal, self.ones, stride=shift)
            features = torch.cat([features, squares - total * total / self.framing.window], 1)
        x = features.clamp(min=self.floor).log().transpose(1, 2)
        return append_deltas(mask_padding(x, frames), frames, self.deltas), frames

    def _spectrum(self) -> Tensor:
        """Compute D W P C, real parts above imaginary ones, (2 bins, 1, window)."""
        size = self.framing.fft_size
        time = torch.arange(self.framing.window, dtype=torch.float32)
        turns = self.bins @ time[None]  # whole numbers below 2^24: exact, and so is what is left of whole turns
        angle = (turns - (turns / size).floor() * size) * (2 * math.pi / size)
        matrix = torch.cat([angle.cos(), angle.sin()]) * self.window  # the sign of the sine is squared away
        matrix = matrix - self.preemphasis * functional.pad(matrix[:, 1:], (0, 1))
        matrix = matrix - matrix.mean(1, keepdim=True)
        return matrix.reshape(size + 2, 1, self.framing.window)  # numbers, so that the exporter knows them


class ConvolvedMFCC(nn.Module):
    """What MFCC computes, on a ConvolvedLogMel.

    Args:
        frontend: whose features are wanted.
    """

    dct: Tensor

    def __init__(self, frontend: MFCC) -> None:
        super().__init__()
        self.log_mel = ConvolvedLogMel(frontend.log_mel)
        self.register_buffer("dct", frontend._dct[torch.device("cpu")].T[:, :, None].clone())
        self.use_energy, self.deltas = frontend.use_energy, frontend.deltas

    def forward(self, signal: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Turn audio (B, S) with lengths (B,) into cepstra (B, T, F), 0 past a length, and frames per line (B,)."""
        x, frames = self.log_mel(signal, lengths)
        ceps = functional.conv1d(x[..., : self.dct.shape[1]].transpose(1, 2), self.dct).transpose(1, 2)
        if self.use_energy:
            ceps = torch.cat([x[..., -1:], ceps[..., 1:]], 2)
        return append_deltas(mask_padding(ceps, frames), frames, self.deltas), frames


class AfterFilters(nn.Module):
    """What a frontend of audio does with its log-mel filters: the floor, cepstra and deltas; the filters lie outside.

    Args:
        frontend: LogMel or MFCC.

    Attributes:
        num_filters: what comes in: filters, and the log energy behind them where the frontend uses it.
        num_features: size of a frame that goes on.

    Raises:
        ConfigError: the frontend is another one.
    """

    kind = "features"

    def __init__(self, frontend: Any) -> None:
        super().__init__()
        if not isinstance(frontend, LogMel | MFCC):
            raise ConfigError(
                "--features outside is for frontend=log_mel and mfcc; the model has a frontend "
                f"{type(frontend).__name__}, of which there is nothing to make outside"
            )
        filters = frontend if isinstance(frontend, LogMel) else frontend.log_mel
        bank = filters._bank(torch.device("cpu"))
        self.floor, self.deltas = math.log(bank.floor), frontend.deltas
        self.num_filters, self.num_features = filters.num_features // (filters.deltas + 1), frontend.num_features
        self.sample_rate, self.frame_shift = 1 / frontend.frame_shift, frontend.frame_shift
        self.cepstra: Callable[[Tensor, Tensor], Tensor] | None = (
            frontend.cepstra if isinstance(frontend, MFCC) else None
        )

    def num_frames(self, lengths: Tensor) -> Tensor:
        """Return the lengths as they are."""
        return lengths

    @property
    def reach(self) -> tuple[int, int, int]:
        """See ``LogMel.reach``, in frames."""
        edge = WIDTH * self.deltas
        return 1, edge, 1 + edge

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Turn log-mel filters (B, T, F) with lengths (B,) into features, 0 past a length, and the lengths."""
        x = x.clamp(min=self.floor)
        x = append_deltas(x, lengths, self.deltas) if self.cepstra is None else self.cepstra(x, lengths)
        return mask_padding(x, lengths), lengths


def input_size(frontend: Any) -> int:
    """Return the size of a frame that a frontend of frames takes."""
    size: int = frontend.num_filters if isinstance(frontend, AfterFilters) else frontend.num_features
    return size


def in_graph(frontend: Any) -> nn.Module:
    """Return a frontend in a form that an ONNX graph can hold; those that only hand frames on stay as they are."""
    if isinstance(frontend, LogMel):
        return ConvolvedLogMel(frontend)
    return ConvolvedMFCC(frontend) if isinstance(frontend, MFCC) else frontend
