"""Kaldi's log-mel filterbank, on frames: the definition of torchaudio.compliance.kaldi, computed in fewer passes."""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

# Log of less than this is not taken, as in Kaldi: the step of float32 at 1.
FLOOR = torch.finfo(torch.float32).eps
FILTERS_PER_BAND = 16


@dataclass(frozen=True)
class Framing:
    """How a signal is cut into frames, in Kaldi's two ways.

    With snip_edges a frame lies wholly inside its line, and the first one begins with it. Without, frame t has its
    middle at (t + 1/2) shift, and the line is mirrored at its ends as often as a frame needs it.

    Attributes:
        sample_rate: in Hz.
        window: samples per frame.
        shift: samples from one frame to the next.
        snip_edges: whether frames lie inside their line.
    """

    sample_rate: int
    window: int
    shift: int
    snip_edges: bool = True

    @classmethod
    def from_ms(cls, sample_rate: int, window_ms: float, shift_ms: float, snip_edges: bool = True) -> "Framing":
        """Convert durations in ms; parts of a sample are dropped, as in Kaldi."""
        if sample_rate <= 0:
            raise ValueError(f"sample_rate must be above 0, got {sample_rate}")
        # Rounded first, so that 0.999... samples of a float product count as 1.
        window = int(round(sample_rate * window_ms / 1000, 6))
        shift = int(round(sample_rate * shift_ms / 1000, 6))
        if window < 2:
            raise ValueError(f"window_ms must give 2 samples or more, got {window_ms} ms at {sample_rate} Hz")
        if shift < 1:
            raise ValueError(f"shift_ms must give 1 sample or more, got {shift_ms} ms at {sample_rate} Hz")
        return cls(sample_rate, window, shift, snip_edges)

    @property
    def fft_size(self) -> int:
        """Samples per frame after padding: the next power of two."""
        return 1 << (self.window - 1).bit_length()

    @property
    def lead(self) -> int:
        """Samples from the start of a frame to t shift; the first frame begins so many before its line."""
        return 0 if self.snip_edges else self.window // 2 - self.shift // 2

    @property
    def shortest(self) -> int:
        """Fewest samples that give a frame."""
        return self.window if self.snip_edges else self.shift - self.shift // 2

    def num_frames(self, lengths: Tensor) -> Tensor:
        """Return frames for samples; 0 where a line is shorter than ``shortest``."""
        return (lengths - self.shortest + self.shift).clamp(min=0) // self.shift

    def lay_out(self, signal: Tensor, lengths: Tensor) -> Tensor:
        """Return a signal whose frames, cut from its first sample on, are those of the lines.

        Args:
            signal: (B, S), S at least ``shortest``.
            lengths: valid samples per line, (B,), integer.

        Returns:
            The signal itself with snip_edges; without, the lines mirrored, (B, S'). Past a line's frames it means
            nothing.
        """
        if self.snip_edges:
            return signal
        frames = (signal.shape[1] - self.shortest + self.shift) // self.shift
        place = torch.arange((frames - 1) * self.shift + self.window, device=signal.device) - self.lead
        twice = 2 * lengths.to(signal.device).clamp(min=1)[:, None]  # a line and its mirror image, again and again
        place = place % twice
        return signal.gather(1, torch.minimum(place, twice - 1 - place))


@dataclass(frozen=True)
class Filterbank:
    """Constants of a log-mel filterbank.

    Attributes:
        framing: how the signal is cut.
        preemphasis: share of the sample before that is subtracted from each sample.
        energy: append the log energy of the frame.
        floor: smallest energy whose logarithm is taken.
        window: Povey's window without its first weight, which is 0, (window - 1,).
        bands: groups of neighbouring filters: first and last FFT bin that the group touches, and its weights
            (bins, filters). 97 % of a whole mel matrix are zeros; small ones save half of the multiplication.
    """

    framing: Framing
    preemphasis: float
    energy: bool
    floor: float
    window: Tensor
    bands: tuple[tuple[int, int, Tensor], ...]

    @classmethod
    def build(
        cls,
        framing: Framing,
        num_mels: int,
        low_freq: float,
        high_freq: float,
        preemphasis: float,
        energy: bool = False,
        floor: float = FLOOR,
        warp: float = 1.0,
    ) -> "Filterbank":
        """Compute the constants on the CPU; high_freq of 0 or less counts from the Nyquist frequency."""
        if floor < FLOOR:
            raise ValueError(f"floor must be {FLOOR:.3g} or more, got {floor}")
        if not 0 <= preemphasis <= 1:
            raise ValueError(f"preemphasis must lie in [0, 1], got {preemphasis}")
        with torch.device("cpu"), torch.inference_mode(False):
            window = torch.hann_window(framing.window, periodic=False).pow(0.85)[1:]
            filters = mel_filters(num_mels, framing, low_freq, high_freq, warp)
            bands = []
            for group in filters.split(FILTERS_PER_BAND):
                bins = group.any(0).nonzero().flatten()
                first, last = int(bins[0]), int(bins[-1]) + 1
                bands.append((first, last, group[:, first:last].T.contiguous()))
        return cls(framing, preemphasis, energy, floor, window, tuple(bands))

    def to(self, device: torch.device) -> "Filterbank":
        """Return the constants on another device."""
        with torch.inference_mode(False):
            bands = tuple((first, last, weights.to(device)) for first, last, weights in self.bands)
            return replace(self, window=self.window.to(device), bands=bands)

    def __call__(self, frames: Tensor) -> Tensor:
        """Turn frames of the signal (..., window), float32, into log-mel features (..., F).

        The order of the operations is torchaudio's: another order rounds differently, which shows (up to 1e-3) in
        filters that hold next to nothing.
        """
        frames = frames - frames.mean(-1, keepdim=True)
        x = (frames[..., 1:] - self.preemphasis * frames[..., :-1]) * self.window
        x = functional.pad(x, (1, self.framing.fft_size - self.framing.window))
        spectrum = torch.fft.rfft(x)
        power = spectrum.real.square() + spectrum.imag.square()
        features = [power[..., first:last] @ weights for first, last, weights in self.bands]
        if self.energy:
            features.append(frames.square().sum(-1, keepdim=True))
        return torch.cat(features, -1).clamp_(min=self.floor).log_()


def mel_filters(num_mels: int, framing: Framing, low_freq: float, high_freq: float, warp: float = 1.0) -> Tensor:
    """Return triangular filters on Kaldi's mel scale, (num_mels, fft_size / 2), on the CPU.

    With a warp other than 1 the filters stand where Kaldi's VTLN puts them (from 100 Hz to 500 Hz below the Nyquist
    frequency at 1 / warp of their frequencies, the ends of the band in place), so a signal seems to have `warp` times
    its frequencies.

    Raises:
        ValueError: the frequencies are out of range, or a filter is too narrow to hold an FFT bin.
    """
    from torchaudio.compliance.kaldi import get_mel_banks

    nyquist = framing.sample_rate / 2
    top = high_freq if high_freq > 0 else nyquist + high_freq
    if num_mels < 4:
        raise ValueError(f"num_mels must be 4 or more, got {num_mels}")
    if not 0 <= low_freq < top <= nyquist:
        raise ValueError(
            f"low_freq and high_freq must fit 0 <= low < high <= {nyquist:g} Hz (half the sample rate), got "
            f"low_freq={low_freq:g}, high_freq={high_freq:g} (0 and less count from {nyquist:g} Hz)"
        )
    filters, _ = get_mel_banks(num_mels, framing.fft_size, framing.sample_rate, low_freq, top, 100.0, -500.0, warp)
    empty = int((~filters.any(1)).sum())
    if empty:
        raise ValueError(
            f"num_mels={num_mels} is too many for a {framing.fft_size}-point FFT at {framing.sample_rate} Hz: "
            f"{empty} filter(s) lie between two FFT bins; use fewer, or a longer window_ms"
        )
    return filters


def cepstral_lifter(num_ceps: int, lifter: float) -> Tensor:
    """Return the weights of Kaldi's lifter, 1 + Q / 2 sin(pi i / Q), (num_ceps,); ones where Q is 0."""
    if lifter == 0:
        return torch.ones(num_ceps)
    return 1 + 0.5 * lifter * torch.sin(torch.arange(num_ceps) * (math.pi / lifter))
