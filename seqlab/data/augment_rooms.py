"""Augmentation of audio by what is around a speaker: noise, rooms, lines and codecs between speaker and listener."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import soxr
from scipy.signal import butter, fftconvolve, sosfilt

from seqlab.data.augment import Occasional
from seqlab.data.sources import Cache, Source
from seqlab.errors import DataError

Colour = Literal["white", "pink", "brown", "babble"]
Way = Literal["mu_law", "telephone", "blocks"]
SLOPES = {"white": 0.0, "pink": 1.0, "brown": 2.0}  # power falls with this power of the frequency
LOWEST = 40.0  # Hz: below, coloured noise would have nearly all its power where no speech is
DRAWN = 2**18  # samples of each colour, of which lines get pieces
CACHE_MB = 256
AUDIO = (".wav", ".flac", ".ogg", ".mp3", ".opus")


def recordings(folder: str, what: str) -> list[Path]:
    """Return the recordings of a folder and its subfolders, sorted.

    Raises:
        ValueError: the folder does not exist or holds none.
    """
    found = sorted(path for path in Path(folder).expanduser().rglob("*") if path.suffix.lower() in AUDIO)
    if not found:
        raise ValueError(f"{what}: no recording ({', '.join(AUDIO)}) in {folder}")
    return found


def read_whole(path: Path, source: Source, cache: Cache) -> np.ndarray:
    """Read a recording of a folder (S,), or take it from memory.

    Raises:
        DataError: there is nothing in it.
    """
    kept = cache.get(path)
    if kept is None:
        kept = cache.keep(path, source.open(path))
    if not len(kept):
        raise DataError(f"{path}: the recording is empty; take it out of the folder")
    return kept


def level(signal: np.ndarray) -> float:
    """Return the root of the mean square of a signal (S,)."""
    return float(np.sqrt(np.mean(np.square(signal, dtype=np.float64)))) if len(signal) else 0.0


def excerpt(signal: np.ndarray, samples: int, rng: np.random.Generator) -> np.ndarray:
    """Cut a piece from a random place; what is too short is repeated."""
    if len(signal) < samples:
        signal = np.tile(signal, -(-samples // max(len(signal), 1)) + 1)
    start = int(rng.integers(len(signal) - samples, endpoint=True))
    return signal[start : start + samples]


def coloured(colour: str, samples: int, rate: int, rng: np.random.Generator) -> np.ndarray:
    """Make noise whose power falls with frequency from 40 Hz on: white not at all, pink as 1/f, brown as 1/f^2.

    Args:
        colour: white, pink or brown.
        samples: how many.
        rate: sample rate in Hz.
        rng: the chance.

    Returns:
        Noise (samples,), float32, of level 1.
    """
    frequency = np.fft.rfftfreq(samples, 1 / rate)
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    spectrum *= np.where(frequency < LOWEST, 0.0, np.maximum(frequency, LOWEST) ** (-SLOPES[colour] / 2))
    noise = np.fft.irfft(spectrum, samples)
    return (noise / level(noise)).astype(np.float32)


class Noise(Occasional):
    """Add noise at a ratio of signal to noise drawn in decibels: recordings of a folder, else made noise.

    Babble is several lines of the corpus at once, each as loud as the others.

    Args:
        low_db: loudest noise, as a ratio of signal to noise in dB.
        high_db: softest noise.
        share: of the lines that get noise.
        folder: recordings of noise (such as MUSAN's folder `noise`), at any rate; null: noise of the kinds below.
        kinds: made noise, one drawn for each line.
        voices: lines in a babble.

    Raises:
        ValueError: a bound is wrong, no kind is named, or the folder holds no recording.
    """

    def __init__(
        self,
        low_db: float = 5.0,
        high_db: float = 30.0,
        share: float = 0.5,
        folder: str | None = None,
        kinds: Sequence[Colour] = ("white", "pink", "brown", "babble"),
        voices: int = 4,
    ) -> None:
        super().__init__(low_db, high_db, share)
        if not kinds:
            raise ValueError("kinds must name one kind of noise or more")
        if voices < 1:
            raise ValueError(f"voices must be 1 or more, got {voices}")
        self.files = recordings(folder, "noise") if folder else []
        self.kinds, self.voices = list(kinds), voices
        self.cache = Cache(CACHE_MB)
        self._made: dict[str, np.ndarray] = {}

    def change(self, signal: np.ndarray, value: float, rng: np.random.Generator) -> np.ndarray:
        """Add noise."""
        noise = self._draw_noise(len(signal), rng)
        loud = level(noise)
        if not loud:
            return signal
        return signal + noise * np.float32(level(signal) / loud * 10 ** (-value / 20))

    def _draw_noise(self, samples: int, rng: np.random.Generator) -> np.ndarray:
        if self.files:
            path = self.files[int(rng.integers(len(self.files)))]
            return excerpt(read_whole(path, self._source, self.cache), samples, rng)
        kind = self.kinds[int(rng.integers(len(self.kinds)))]
        if kind not in self._made:
            own = np.random.default_rng(0)  # the same for every line, worker and epoch
            self._made[kind] = self._talk(own) if kind == "babble" else coloured(kind, DRAWN, self.rate, own)
        voices = self.voices if kind == "babble" else 1
        noise = excerpt(self._made[kind], samples, rng)
        for _ in range(voices - 1):
            noise = noise + excerpt(self._made[kind], samples, rng)
        return noise

    def _talk(self, rng: np.random.Generator) -> np.ndarray:
        """Join lines of the corpus, each of level 1."""
        talk: list[np.ndarray] = []
        while sum(map(len, talk)) < DRAWN:
            line = self._source.read(self._lines[int(rng.integers(len(self._lines)))])
            talk.append(line / np.float32(max(level(line), 1e-6)))
        return np.concatenate(talk)


class Reverberation(Occasional):
    """Put the speaker into a room: convolve with an impulse response, recorded or made; the level stays.

    A made response is the direct sound, some early reflections within 30 ms, and noise that decays by 60 dB in the
    time drawn. A recorded one starts at its largest sample, so that nothing is delayed.

    Args:
        low_s: shortest time in which sound decays by 60 dB, in seconds; recordings have their own.
        high_s: longest.
        share: of the lines that are changed.
        folder: recordings of impulse responses; null: made ones.
        low_db: least ratio of direct to other sound in made responses, in dB.
        high_db: largest.

    Raises:
        ValueError: a bound is wrong, or the folder holds no recording.
    """

    def __init__(
        self,
        low_s: float = 0.1,
        high_s: float = 0.6,
        share: float = 0.3,
        folder: str | None = None,
        low_db: float = 0.0,
        high_db: float = 12.0,
    ) -> None:
        super().__init__(low_s, high_s, share)
        if low_s <= 0 or low_db > high_db:
            raise ValueError(f"needs low_s above 0 and low_db <= high_db, got {low_s}, {low_db} and {high_db}")
        self.files = recordings(folder, "reverberation") if folder else []
        self.low_db, self.high_db = low_db, high_db
        self.cache = Cache(CACHE_MB)

    def change(self, signal: np.ndarray, value: float, rng: np.random.Generator) -> np.ndarray:
        """Convolve, and cut off what rings on after the line."""
        response = self.recorded(rng) if self.files else self.made(value, rng)
        wet = fftconvolve(signal, response)[: len(signal)]
        return (wet * (level(signal) / max(level(wet), 1e-9))).astype(np.float32)

    def recorded(self, rng: np.random.Generator) -> np.ndarray:
        """Draw a recorded response (N,), from its largest sample on."""
        path = self.files[int(rng.integers(len(self.files)))]
        whole = read_whole(path, self._source, self.cache)
        return whole[int(np.abs(whole).argmax()) :]

    def made(self, decay: float, rng: np.random.Generator) -> np.ndarray:
        """Make a response (N,) that decays by 60 dB in so many seconds; its first sample, the direct sound, is 1."""
        time = np.arange(max(int(decay * self.rate), 2)) / self.rate
        rest = rng.standard_normal(len(time)) * 10 ** (-3 * time / decay)
        early = rng.integers(1, max(min(len(time), int(0.03 * self.rate)), 2), size=6)
        rest[early] += rng.choice((-1.0, 1.0), 6) * 3 * 10 ** (-3 * time[early] / decay)
        rest[0] = 0.0
        ratio = 10 ** (rng.uniform(self.low_db, self.high_db) / 20)
        response = rest / max(float(np.sqrt(np.sum(rest**2))), 1e-9) / ratio
        response[0] = 1.0
        return response.astype(np.float32)


class Codec(Occasional):
    """Send the line through something that costs quality, one way drawn for each line.

    mu_law is G.711: 8 bits on a logarithmic scale. telephone keeps 300 to 3,400 Hz. blocks quantises the samples of
    each 20 ms to 4 bits of their largest, as the residual is in GSM's full-rate codec (there 3 bits).

    Args:
        share: of the lines that are changed.
        ways: those to draw from.

    Raises:
        ValueError: no way is named.
    """

    def __init__(self, share: float = 0.2, ways: Sequence[Way] = ("mu_law", "telephone", "blocks")) -> None:
        super().__init__(0.0, 1.0, share)
        if not ways:
            raise ValueError("ways must name one way or more")
        self.ways = list(ways)
        self._filters: dict[int, Any] = {}

    def change(self, signal: np.ndarray, value: float, rng: np.random.Generator) -> np.ndarray:
        """Code and decode the audio."""
        way = self.ways[int(value * len(self.ways)) % len(self.ways)]
        if way == "mu_law":
            return mu_law(signal)
        if way == "blocks":
            return blocks(signal, max(self.rate // 50, 1))
        if self.rate not in self._filters:
            top = min(3400.0, 0.47 * self.rate)
            self._filters[self.rate] = butter(4, (300.0, top), "bandpass", fs=self.rate, output="sos")
        return sosfilt(self._filters[self.rate], signal).astype(np.float32)


def mu_law(signal: np.ndarray) -> np.ndarray:
    """Quantise audio in [-1, 1] to 8 bits on the scale sign(x) ln(1 + 255 |x|) / ln 256 (ITU-T G.711)."""
    x = np.clip(signal, -1.0, 1.0)
    scaled = np.sign(x) * np.log1p(255 * np.abs(x)) / np.log(256)
    coarse = np.round(scaled * 127) / 127
    return (np.sign(coarse) * np.expm1(np.abs(coarse) * np.log(256)) / 255).astype(np.float32)


def blocks(signal: np.ndarray, size: int) -> np.ndarray:
    """Quantise the samples of each block of a size to 15 steps from minus to plus their largest."""
    padded = np.pad(signal, (0, -len(signal) % size)).reshape(-1, size)
    largest = np.maximum(np.abs(padded).max(1, keepdims=True), 1e-9)
    return (np.round(padded / largest * 7) / 7 * largest).reshape(-1)[: len(signal)].astype(np.float32)


class LowerRate(Occasional):
    """Make a line sound as if recorded at a lower sample rate: nothing above half of it is left.

    Args:
        rates: sample rates in Hz, one drawn for each line; those not below the frontend's change nothing.
        share: of the lines that are changed.

    Raises:
        ValueError: a rate is not above 0, or there is none.
    """

    def __init__(self, rates: Sequence[int] = (8000, 11025), share: float = 0.2) -> None:
        super().__init__(0.0, 1.0, share)
        if not rates or min(rates) < 1:
            raise ValueError(f"rates must be one rate or more, each above 0, got {list(rates)}")
        self.rates = list(rates)

    def change(self, signal: np.ndarray, value: float, rng: np.random.Generator) -> np.ndarray:
        """Resample down and up again."""
        rate = self.rates[int(value * len(self.rates)) % len(self.rates)]
        if rate >= self.rate:
            return signal
        low = soxr.resample(signal, self.rate, rate, quality="LQ")
        again = soxr.resample(low, rate, self.rate, quality="LQ")[: len(signal)]
        return np.pad(again, (0, len(signal) - len(again))).astype(np.float32)


class Clip(Occasional):
    """Cut off peaks, as a recording that was too loud has them cut off.

    Args:
        low_db: least that is cut off, in dB below the line's peak.
        high_db: most.
        share: of the lines that are changed.
    """

    def __init__(self, low_db: float = 1.0, high_db: float = 12.0, share: float = 0.1) -> None:
        super().__init__(low_db, high_db, share)

    def change(self, signal: np.ndarray, value: float, rng: np.random.Generator) -> np.ndarray:
        """Cut off peaks."""
        limit = np.abs(signal).max() * np.float32(10 ** (-value / 20))
        return np.clip(signal, -limit, limit)
