"""Mel-frequency cepstral coefficients, equal to Kaldi's."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from seqlab.frontends.deltas import WIDTH, append_deltas, check_order
from seqlab.frontends.kaldi import cepstral_lifter
from seqlab.frontends.log_mel import LogMel


class MFCC(nn.Module):
    """Cosine transform of log-mel features, liftered, with deltas (Kaldi's mfcc).

    Always computed in float32.

    Args:
        sample_rate: of the signals, in Hz.
        num_ceps: coefficients kept, the zeroth among them.
        num_mels: filters.
        window_ms: duration of a frame.
        shift_ms: from the start of one frame to the start of the next.
        low_freq: lower edge of the first filter, in Hz.
        high_freq: upper edge of the last filter, in Hz; 0 is the Nyquist frequency, less is an offset from it.
        preemphasis: share of the sample before that is subtracted from each sample.
        use_energy: put the log energy of the frame in place of the zeroth coefficient.
        lifter: Q of the weights 1 + Q / 2 sin(pi i / Q) that even out the coefficients; 0 for none.
        deltas: 1 appends deltas, 2 double deltas too.
        snip_edges: where frames lie, see ``LogMel``.

    Attributes:
        sample_rate: in Hz.
        frame_shift: in seconds.
        num_features: size of a frame.
    """

    kind = "audio"

    def __init__(
        self,
        sample_rate: int = 16000,
        num_ceps: int = 13,
        num_mels: int = 23,
        window_ms: float = 25.0,
        shift_ms: float = 10.0,
        low_freq: float = 20.0,
        high_freq: float = 0.0,
        preemphasis: float = 0.97,
        use_energy: bool = True,
        lifter: float = 22.0,
        deltas: int = 2,
        snip_edges: bool = True,
    ) -> None:
        super().__init__()
        if not 1 <= num_ceps <= num_mels:
            raise ValueError(f"num_ceps must lie in [1, num_mels = {num_mels}], got {num_ceps}")
        if lifter < 0:
            raise ValueError(f"lifter must be 0 or more, got {lifter}")
        self.deltas = check_order(deltas)
        self.use_energy = use_energy
        self.log_mel = LogMel(
            *(sample_rate, num_mels, window_ms, shift_ms, low_freq, high_freq, preemphasis),
            energy=use_energy,
            snip_edges=snip_edges,
        )
        self._dct = {torch.device("cpu"): _liftered_dct(num_ceps, num_mels, lifter)}
        self.sample_rate = sample_rate
        self.frame_shift = self.log_mel.frame_shift
        self.num_features = num_ceps * (deltas + 1)

    def num_frames(self, lengths: Tensor) -> Tensor:
        """Return frames for samples (B,); 0 where a line is shorter than one window."""
        return self.log_mel.num_frames(lengths)

    @property
    def reach(self) -> tuple[int, int, int]:
        """See ``LogMel.reach``."""
        shift, _, window = self.log_mel.reach
        edge = WIDTH * self.deltas * shift
        return shift, edge, window + edge

    def check_warp(self, warp: float) -> None:
        """Make sure that filters can be bent so far, see ``LogMel.check_warp``."""
        self.log_mel.check_warp(warp)

    def forward(self, signal: Tensor, lengths: Tensor, warps: Sequence[float] | None = None) -> tuple[Tensor, Tensor]:
        """Turn waveforms into cepstral coefficients.

        Args:
            signal: audio in [-1, 1], (B, S).
            lengths: valid samples per line, (B,), integer.
            warps: as for ``LogMel.forward``.

        Returns:
            Features (B, T, F) and frames per line (B,); frames past a length are 0.

        Raises:
            DataError: (a ValueError) a line is shorter than one window.
        """
        x, frames = self.log_mel(signal, lengths, warps)
        return self.cepstra(x, frames), frames

    def cepstra(self, x: Tensor, frames: Tensor) -> Tensor:
        """Turn log-mel features (B, T, num_mels), the energy behind them if it is used, into features (B, T, F).

        Args:
            x: as ``self.log_mel`` gives them, 0 past a length.
            frames: per line, (B,).
        """
        if x.device not in self._dct:
            with torch.inference_mode(False):
                self._dct[x.device] = self._dct[torch.device("cpu")].to(x.device)
        dct = self._dct[x.device]
        with torch.autocast(x.device.type, enabled=False):
            ceps = x[..., : len(dct)] @ dct
            if self.use_energy:
                ceps = torch.cat([x[..., -1:], ceps[..., 1:]], 2)
            return append_deltas(ceps, frames, self.deltas)


def _liftered_dct(num_ceps: int, num_mels: int, lifter: float) -> Tensor:
    """Return the orthonormal cosine transform, its columns weighted by the lifter, (num_mels, num_ceps), on the CPU."""
    from torchaudio.functional import create_dct

    with torch.device("cpu"), torch.inference_mode(False):
        return create_dct(num_ceps, num_mels, norm="ortho") * cepstral_lifter(num_ceps, lifter)
