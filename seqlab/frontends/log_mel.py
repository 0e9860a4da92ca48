"""Log-mel filterbank features, equal to Kaldi's."""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from seqlab.batch import mask_padding
from seqlab.errors import DataError
from seqlab.frontends.deltas import WIDTH, append_deltas, check_order
from seqlab.frontends.kaldi import FLOOR, Filterbank, Framing

# Frames per piece on the CPU: a whole batch at once falls out of the cache and is about 4 times slower
# (scripts/bench/features.py).
BLOCK = 512


class LogMel(nn.Module):
    """Log energies of mel filters, per frame (Kaldi's fbank: no dither, Povey's window).

    Padding never reaches a frame that counts. Always computed in float32.

    Args:
        sample_rate: of the signals, in Hz.
        num_mels: filters.
        window_ms: duration of a frame.
        shift_ms: from the start of one frame to the start of the next.
        low_freq: lower edge of the first filter, in Hz.
        high_freq: upper edge of the last filter, in Hz; 0 is the Nyquist frequency, less is an offset from it.
        preemphasis: share of the sample before that is subtracted from each sample.
        energy: append the log energy of the frame before pre-emphasis (floored at 1.2e-7, as in Kaldi itself;
            torchaudio's default floor of 1 would cut off all quiet frames of a signal in [-1, 1]).
        floor: smallest energy; 1.2e-7 is Kaldi's. Raised to 1e-5 (white noise about 80 dB below full scale
            at 16 kHz) it makes digital silence, as between joined recordings, look like a quiet room.
        deltas: 1 appends deltas, 2 double deltas too.
        snip_edges: frames lie wholly inside their line, the first at its start. False, what sherpa-onnx computes: the
            middle of frame t lies at (t + 1/2) shift, and the line is mirrored at its ends.

    Attributes:
        sample_rate: in Hz.
        frame_shift: in seconds.
        num_features: size of a frame.
    """

    kind = "audio"

    def __init__(
        self,
        sample_rate: int = 16000,
        num_mels: int = 80,
        window_ms: float = 25.0,
        shift_ms: float = 10.0,
        low_freq: float = 20.0,
        high_freq: float = 0.0,
        preemphasis: float = 0.97,
        energy: bool = False,
        floor: float = FLOOR,
        deltas: int = 0,
        snip_edges: bool = True,
    ) -> None:
        super().__init__()
        self.framing = Framing.from_ms(sample_rate, window_ms, shift_ms, snip_edges)
        self.deltas = check_order(deltas)
        self._build = partial(Filterbank.build, self.framing, num_mels, low_freq, high_freq, preemphasis, energy, floor)
        # Not buffers: they would follow model.half() and lose their precision.
        self._banks = {(torch.device("cpu"), 1.0): self._build()}
        self.sample_rate = sample_rate
        self.frame_shift = self.framing.shift / sample_rate
        self.num_features = (num_mels + energy) * (deltas + 1)

    def num_frames(self, lengths: Tensor) -> Tensor:
        """Return frames for samples (B,); 0 where a line is too short for one."""
        return self.framing.num_frames(lengths)

    @property
    def reach(self) -> tuple[int, int, int]:
        """Samples from a frame's place to the next one's; and those before and from it on that the frame depends on."""
        framing = self.framing
        edge = WIDTH * self.deltas * framing.shift
        return framing.shift, max(framing.lead, 0) + edge, framing.window - framing.lead + edge

    def forward(self, signal: Tensor, lengths: Tensor, warps: Sequence[float] | None = None) -> tuple[Tensor, Tensor]:
        """Turn waveforms into log-mel features.

        Args:
            signal: audio in [-1, 1], (B, S).
            lengths: valid samples per line, (B,), integer.
            warps: factor by which each line's frequencies shall seem to be multiplied, B of them (see
                ``seqlab.frontends.vocal_tract``); None: 1.

        Returns:
            Features (B, T, F) and frames per line (B,); frames past a length are 0.

        Raises:
            DataError: (a ValueError) a line is too short for one frame.
        """
        check_signal(signal, lengths, self.framing)
        frames = self.num_frames(lengths)
        with torch.autocast(signal.device.type, enabled=False):
            laid = self.framing.lay_out(signal.float(), lengths)
            x = append_deltas(self._static(laid, frames, warps), frames, self.deltas)
        return x, frames

    def _static(self, signal: Tensor, frames: Tensor, warps: Sequence[float] | None) -> Tensor:
        """Compute features (B, T, F) without deltas; frames past a length are 0."""
        cut = signal.unfold(1, self.framing.window, self.framing.shift)  # (B, T, window), a view
        if warps is None and (signal.device.type != "cpu" or torch.compiler.is_compiling()):
            return mask_padding(self._bank(signal.device)(cut), frames.to(signal.device))
        banks = [self._bank(signal.device, warp) for warp in warps or [1.0] * len(cut)]
        lines = [
            torch.cat([bank(piece) for piece in line[:n].split(BLOCK)])
            for line, n, bank in zip(cut, frames.tolist(), banks, strict=True)
        ]
        x = nn.utils.rnn.pad_sequence(lines, batch_first=True)
        return nn.functional.pad(x, (0, 0, 0, cut.shape[1] - x.shape[1]))

    def check_warp(self, warp: float) -> None:
        """Make sure that filters can be bent so far.

        Raises:
            ValueError: a filter would be too narrow to hold an FFT bin.
        """
        self._bank(torch.device("cpu"), warp)

    def _bank(self, device: torch.device, warp: float = 1.0) -> Filterbank:
        if (device, warp) not in self._banks:
            own = self._banks.get((torch.device("cpu"), warp)) or self._build(warp=warp)
            self._banks[device, warp] = own.to(device)
        return self._banks[device, warp]


def check_signal(signal: Tensor, lengths: Tensor, framing: Framing) -> None:
    """Raise DataError unless the signal is (B, S) and every line gives a frame."""
    if signal.dim() != 2:
        raise ValueError(f"a signal is (lines, samples), got the shape {tuple(signal.shape)}")
    if torch.compiler.is_compiling():
        return
    short = (lengths < framing.shortest).nonzero().flatten().tolist()
    if short:
        first = short[0]
        raise DataError(
            f"line {first} of the batch (counted from 0) has {int(lengths[first])} samples, one frame needs "
            f"{framing.shortest} ({1000 * framing.shortest / framing.sample_rate:g} ms at {framing.sample_rate} Hz); "
            f"{len(short)} of {len(lengths)} lines are too short"
        )
