"""Augmentation on the fly: what all kinds share, and that of audio: speed, gain, noise, joining new strings.

An augmentation first draws its parameters, so that the sampler knows how long a line will be, and is applied when the
line is read. Both draw from a generator seeded by (seed, epoch, line): an epoch can be replayed exactly.
"""

import functools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soxr

from seqlab.errors import ConfigError
from seqlab.manifest import Line

if TYPE_CHECKING:
    from seqlab.data.sources import Source

RATE = 16000  # for soxr, which takes two rates where their ratio is meant


class Augmentation:
    """Base of the signal augmentations: draws one value uniformly between two bounds.

    Attributes:
        kind: of the signals that it changes: audio, image or strokes.
    """

    kind = "audio"

    def __init__(self, low: float, high: float) -> None:
        if low > high:
            raise ValueError(f"the lower bound {low} exceeds the upper bound {high}")
        self.low, self.high = low, high

    def bind(self, source: "Source", lines: Sequence[Line]) -> None:
        """Take note of what the signals come from: its sample rate, and the lines themselves; called once."""

    def draw(self, rng: np.random.Generator) -> Any:
        """Draw the parameter of one line."""
        return float(rng.uniform(self.low, self.high))

    def stretch(self, value: Any) -> float:
        """Return the factor by which the line's length changes."""
        return 1.0

    def apply(self, signal: np.ndarray, value: Any, rng: np.random.Generator) -> np.ndarray:
        """Change the signal of one line: audio (S,) in [-1, 1], ink of an image (S, Y), or points (N, 4)."""
        raise TypeError(f"{type(self).__name__} has no apply")


class Occasional(Augmentation):
    """Base of augmentations of audio that leave some lines alone, and that may need to know the sample rate.

    Args:
        low: lower bound of what is drawn.
        high: upper bound.
        share: of the lines that are changed.

    Attributes:
        rate: of the signals in Hz.
    """

    def __init__(self, low: float, high: float, share: float = 1.0) -> None:
        super().__init__(low, high)
        if not 0 <= share <= 1:
            raise ValueError(f"share must lie in [0, 1], got {share}")
        self.share = share
        self.rate = RATE

    def bind(self, source: "Source", lines: Sequence[Line]) -> None:
        """Take note of the sample rate, of how recordings are read, and of the lines."""
        self._source, self._lines = source, lines
        self.rate = int(getattr(source, "rate", RATE))

    def draw(self, rng: np.random.Generator) -> float | None:
        """Draw the parameter of one line; None: it is left alone."""
        value = float(rng.uniform(self.low, self.high))
        return value if rng.random() < self.share else None

    def apply(self, signal: np.ndarray, value: float | None, rng: np.random.Generator) -> np.ndarray:
        """Change the audio (S,), unless there is nothing in it or its line is left alone."""
        return signal if value is None or not len(signal) else self.change(signal, value, rng)

    def change(self, signal: np.ndarray, value: float, rng: np.random.Generator) -> np.ndarray:
        """Change the audio (S,)."""
        raise NotImplementedError


class Speed(Augmentation):
    """Play faster or slower, pitch included (Ko et al. 2015).

    Args:
        low: slowest speed; 0.9 makes a line longer by 1/0.9.
        high: fastest speed.
    """

    def __init__(self, low: float = 0.9, high: float = 1.1) -> None:
        super().__init__(low, high)
        if low <= 0:
            raise ValueError(f"a speed must be positive, got {low}")

    def stretch(self, value: float) -> float:
        """Return the factor by which the line's length changes."""
        return 1.0 / value

    def apply(self, signal: np.ndarray, value: float, rng: np.random.Generator) -> np.ndarray:
        """Resample the audio; the sample rate counts as unchanged."""
        return soxr.resample(signal, RATE * value, RATE, quality="LQ")


class Gain(Augmentation):
    """Make louder or softer by some decibels, clipped at full scale.

    Args:
        low_db: lowest gain in dB.
        high_db: highest gain in dB.
    """

    def __init__(self, low_db: float = -6.0, high_db: float = 6.0) -> None:
        super().__init__(low_db, high_db)

    def apply(self, signal: np.ndarray, value: float, rng: np.random.Generator) -> np.ndarray:
        """Multiply the audio."""
        return np.clip(signal * np.float32(10 ** (value / 20)), -1.0, 1.0)


@functools.cache
def _numbers() -> np.ndarray:
    return np.random.default_rng(0).standard_normal(2**20, dtype=np.float32)


def white_noise(count: int, rng: np.random.Generator) -> np.ndarray:
    """Return white noise of variance 1, (count,), float32, not to be written into.

    A stretch, from a place that is drawn on, of a million numbers that are drawn once: noise does not get old, and
    drawing all of it anew costs as much as the rest of an augmentation.
    """
    numbers = _numbers()
    start = int(rng.integers(len(numbers)))
    if start + count <= len(numbers):
        return numbers[start : start + count]
    return numbers.take(np.arange(start, start + count), mode="wrap")


class WhiteNoise(Augmentation):
    """Add white noise of a level drawn in decibels below full scale.

    Args:
        low_db: lowest level in dB, e.g. -90.
        high_db: highest level in dB.
    """

    def __init__(self, low_db: float = -90.0, high_db: float = -50.0) -> None:
        super().__init__(low_db, high_db)

    def apply(self, signal: np.ndarray, value: float, rng: np.random.Generator) -> np.ndarray:
        """Add the noise."""
        return signal + white_noise(len(signal), rng) * np.float32(10 ** (value / 20))


class Rejoin:
    """Join a new line from single recordings of the same speaker, silences between them.

    Args:
        pool: lines of single recordings, each with ``audio`` and ``speaker``.
        min_parts: fewest recordings in a line.
        max_parts: most recordings in a line.
        low_ms: shortest silence before, between and after, in milliseconds.
        high_ms: longest silence.
        trim: largest share cut off the start or the end of a recording; half of them are cut.
    """

    kind = "audio"
    separator = " "  # between the texts of joined recordings

    def __init__(
        self,
        pool: Sequence[Line],
        min_parts: int = 3,
        max_parts: int = 7,
        low_ms: int = 20,
        high_ms: int = 210,
        trim: float = 0.0,
    ) -> None:
        if not 1 <= min_parts <= max_parts:
            raise ValueError(f"needs 1 <= min_parts <= max_parts, got {min_parts} and {max_parts}")
        if not 0 <= low_ms <= high_ms:
            raise ValueError(f"needs 0 <= low_ms <= high_ms, got {low_ms} and {high_ms}")
        if not 0 <= trim < 1:
            raise ValueError(f"trim must lie in [0, 1), got {trim}")
        self.trim = trim
        self.counts = (min_parts, max_parts)
        self.silence = (low_ms, high_ms)
        self.pool: dict[str | None, list[Line]] = defaultdict(list)
        for line in pool:
            if line.audio is None or line.duration_s is None:
                raise ConfigError(f"{line.where}: a line to join from needs audio and duration_s")
            self.pool[line.speaker].append(line)

    def __call__(self, line: Line, rng: np.random.Generator) -> Line:
        """Return a new line in place of the given one: its speaker, other recordings."""
        pool = self.pool.get(line.speaker)
        if not pool:
            return line
        count = int(rng.integers(self.counts[0], self.counts[1], endpoint=True))
        picks = [pool[i] for i in rng.integers(len(pool), size=count)]
        silence = rng.integers(self.silence[0], self.silence[1], size=count + 1, endpoint=True).tolist()
        spans = [self._span(float(p.duration_s or 0.0), rng) for p in picks]
        return replace(
            line,
            audio=None,
            parts=[str(p.root / str(p.audio)) for p in picks],
            silence_ms=silence,
            spans=spans,
            text=" ".join(p.text for p in picks),
            duration_s=sum(end - start for start, end in spans) + sum(silence) / 1000,
            root=Path(),
        )

    def _span(self, duration: float, rng: np.random.Generator) -> list[float]:
        """Draw what is kept of a recording; the end may lie a little beyond it."""
        cut = duration * self.trim * float(rng.random())
        side = int(rng.integers(4))  # start, end, or neither
        return [cut if side == 0 else 0.0, duration - cut if side == 1 else duration + 0.001]


Drawn = list[tuple[Augmentation, Any]]


def draw_all(augmentations: Sequence[Augmentation], rng: np.random.Generator) -> tuple[Drawn, float]:
    """Draw the parameters of every augmentation; returns them and the factor of the line's length."""
    drawn = [(augmentation, augmentation.draw(rng)) for augmentation in augmentations]
    return drawn, float(np.prod([a.stretch(value) for a, value in drawn])) if drawn else 1.0


def apply_all(drawn: Drawn, signal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Apply drawn augmentations in order."""
    for augmentation, value in drawn:
        signal = augmentation.apply(signal, value, rng)
    return signal
