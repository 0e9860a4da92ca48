"""Augmentation of audio by how a voice speaks: tempo at the same pitch, pitch at the same tempo.

Speed, which changes both, is in ``seqlab.data.augment``; the length of the vocal tract alone is changed in the
filterbank, ``seqlab.frontends.vocal_tract``.
"""

import numpy as np
import soxr

from seqlab.data.augment import RATE, Occasional

WINDOW_S = 0.03  # of a piece: some periods of a low voice
REACH_S = 0.0075  # farthest that a piece is looked for: half a period of 66 Hz


def change_tempo(signal: np.ndarray, speed: float, rate: int) -> np.ndarray:
    """Play faster or slower at the same pitch: waveform-similarity overlap-add (Verhelst and Roelands 1993, WSOLA).

    Args:
        signal: audio (S,).
        speed: 2 halves the length.
        rate: sample rate in Hz.

    Returns:
        Audio (round(S / speed),), float32.
    """
    from seqlab.data._wsola import stretch  # numba is imported when it is wanted

    half = max(int(WINDOW_S * rate / 2), 2)
    window = (0.5 - 0.5 * np.cos(np.pi * np.arange(2 * half) / half)).astype(np.float32)
    skip = max(rate // 4000, 1)
    audio = np.ascontiguousarray(signal, dtype=np.float32)
    stretched: np.ndarray = stretch(audio, speed, window, int(REACH_S * rate), skip)
    return stretched


class Tempo(Occasional):
    """Speak faster or slower, pitch kept.

    Args:
        low: slowest tempo; 0.9 makes a line longer by 1/0.9.
        high: fastest tempo.
        share: of the lines that are changed.

    Raises:
        ValueError: a tempo lies outside [0.25, 4], or share outside [0, 1].
    """

    def __init__(self, low: float = 0.85, high: float = 1.2, share: float = 1.0) -> None:
        super().__init__(low, high, share)
        if not 0.25 <= low <= high <= 4:
            raise ValueError(f"a tempo must lie in [0.25, 4], got {low} to {high}")

    def stretch(self, value: float | None) -> float:
        """Return the factor by which the line's length changes."""
        return 1.0 if value is None else 1.0 / value

    def change(self, signal: np.ndarray, value: float, rng: np.random.Generator) -> np.ndarray:
        """Stretch the audio."""
        return change_tempo(signal, value, self.rate)


class Pitch(Occasional):
    """Speak higher or lower, formants along with the pitch, tempo kept: resampled, then stretched back.

    Args:
        low: lowest change in semitones, below 0 for a deeper voice.
        high: highest change.
        share: of the lines that are changed.

    Raises:
        ValueError: a change lies outside [-12, 12], or share outside [0, 1].
    """

    def __init__(self, low: float = -3.0, high: float = 3.0, share: float = 1.0) -> None:
        super().__init__(low, high, share)
        if not -12 <= low <= high <= 12:
            raise ValueError(f"a change must lie in [-12, 12] semitones, got {low} to {high}")

    def change(self, signal: np.ndarray, value: float, rng: np.random.Generator) -> np.ndarray:
        """Shift the audio."""
        speed = 2 ** (value / 12)
        faster = soxr.resample(signal, RATE * speed, RATE, quality="LQ")
        shifted = change_tempo(faster, len(faster) / len(signal), self.rate)[: len(signal)]
        return np.pad(shifted, (0, len(signal) - len(shifted)))
