"""Log-mel features and cepstra as convolutions over the signal, in which every ONNX runtime can compute them."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqlab.batch import mask_padding
from seqlab.frontends.deltas import append_deltas
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


def in_graph(frontend: Any) -> nn.Module:
    """Return a frontend in a form that an ONNX graph can hold; those that only hand frames on stay as they are."""
    if isinstance(frontend, LogMel):
        return ConvolvedLogMel(frontend)
    return ConvolvedMFCC(frontend) if isinstance(frontend, MFCC) else frontend
