"""Audio files and lines of a manifest as arrays, and back."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from seqlab.errors import DataError
from seqlab.manifest import Line
from seqlab.media.containers import (
    MAX_RATE,
    MIN_RATE,
    UNKNOWN_LENGTH,
    check_complete,
    mono_blocks,
    open_audio,
    plausible_samples,
)


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """What the header of an audio file says.

    Attributes:
        samples: samples per channel.
        sample_rate: in Hz.
        channels: 1 is mono.
    """

    samples: int
    sample_rate: int
    channels: int

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.samples / self.sample_rate


def read_audio(path: str | os.PathLike[str], sample_rate: int | None = None) -> tuple[np.ndarray, int]:
    """Read an audio file as mono.

    Channels are averaged. Values are not clipped: a float file may hold samples beyond 1.

    Args:
        path: the file.
        sample_rate: rate to resample to, in Hz; None keeps the file's own.

    Returns:
        The signal (S,), float32, and its sample rate.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: it is no audio file, cut off, damaged, empty, holds NaN or infinity, or its header makes no sense.
    """
    if sample_rate is not None and not MIN_RATE <= sample_rate <= MAX_RATE:
        raise ValueError(f"sample_rate must lie between {MIN_RATE} and {MAX_RATE} Hz, got {sample_rate}")
    with open_audio(path) as file:
        rate = int(file.samplerate)
        target = rate if sample_rate is None else int(sample_rate)
        stream = soxr.ResampleStream(rate, target, 1, dtype="float32", quality="HQ") if target != rate else None
        signal = _Growing(plausible_samples(file, path) * target // rate + 1)
        count = 0
        for block in mono_blocks(file, path):
            count += len(block)
            signal.add(block if stream is None else stream.resample_chunk(block))
        if stream is not None:
            signal.add(stream.resample_chunk(np.zeros(0, np.float32), last=True))
        check_complete(file, path, count)
    samples = signal.done()
    if not len(samples):
        raise DataError(f"{path}: {count} sample(s) at {rate} Hz leave none at {target} Hz; drop the file")
    return samples, target


def audio_info(path: str | os.PathLike[str]) -> AudioInfo:
    """Read the header of an audio file.

    Only reading it whole shows whether a compressed file is damaged further in, or holds NaN. A format that needs
    ffmpeg is decoded whole.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: as for read_audio, as far as the header tells.
    """
    with open_audio(path) as file:
        samples = int(file.frames)
        if samples >= UNKNOWN_LENGTH:
            samples = sum(len(block) for block in mono_blocks(file, path))
        return AudioInfo(samples, int(file.samplerate), int(file.channels))


def read_line(
    line: Line,
    sample_rate: int | None = None,
    load: Callable[[Path, int | None], tuple[np.ndarray, int]] = read_audio,
) -> tuple[np.ndarray, int]:
    """Read the audio of a manifest line: its file, or its parts joined with silence.

    Parts of unequal rates are brought to the highest of them unless sample_rate is given. Silence is zeros,
    round(silence_ms * rate / 1000) samples of them.

    Args:
        line: a line with ``audio`` or ``parts``.
        sample_rate: rate to resample to, in Hz; None keeps the rate of the recordings.
        load: reads one file, for instance from a cache.

    Returns:
        The signal (S,), float32, and its sample rate.

    Raises:
        FileNotFoundError: a file is missing; the message names the line.
        DataError: a file is faulty; the message names the line.
    """
    try:
        if line.parts is None:
            signal, rate = load(line.files[0], sample_rate)
            return _cut(signal, rate, line, 0), rate
        loaded = [load(path, sample_rate) for path in line.files]
        rate = max(rate for _, rate in loaded)
        if any(r != rate for _, r in loaded):
            loaded = [load(path, rate) for path in line.files]
    except FileNotFoundError as error:
        raise FileNotFoundError(f"line {line.id} ({line.where}): {error}") from None
    except DataError as error:
        raise DataError(f"line {line.id} ({line.where}): {error}") from None
    silences = [np.zeros(round(ms * rate / 1000), np.float32) for ms in line.silence_ms or [0] * (len(loaded) + 1)]
    pieces = [silences[0]]
    for number, ((signal, _), silence) in enumerate(zip(loaded, silences[1:], strict=True)):
        pieces += [_cut(signal, rate, line, number), silence]
    return np.concatenate(pieces), rate


def _cut(signal: np.ndarray, rate: int, line: Line, number: int) -> np.ndarray:
    """Return what the line uses of its recording with this number."""
    if line.spans is None:
        return signal
    start, end = (round(seconds * rate) for seconds in line.spans[number])
    if start >= len(signal):
        raise DataError(
            f"line {line.id} ({line.where}): its span begins at {start / rate:.2f} s, {line.files[number]} ends at "
            f"{len(signal) / rate:.2f} s"
        )
    return signal[start:end]


def write_wav(path: str | os.PathLike[str], samples: np.ndarray, sample_rate: int) -> None:
    """Write mono audio (S,) as 16-bit WAV, whole or not at all. Samples beyond [-1, 1] are clipped."""
    _write(Path(path), samples, sample_rate, "WAV")


def write_flac(path: str | os.PathLike[str], samples: np.ndarray, sample_rate: int) -> None:
    """Write mono audio (S,) as 16-bit FLAC, whole or not at all. Samples beyond [-1, 1] are clipped."""
    _write(Path(path), samples, sample_rate, "FLAC")


def _write(path: Path, samples: np.ndarray, sample_rate: int, container: str) -> None:
    samples = np.asarray(samples)
    if samples.ndim != 1 or not np.isfinite(samples).all():
        raise ValueError(f"{path}: samples must be finite numbers, (S,); got shape {samples.shape}")
    scaled = np.round(np.clip(samples, -1, 1) * 32767).astype(np.int16)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        soundfile.write(temporary, scaled, sample_rate, format=container, subtype="PCM_16")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


class _Growing:
    """A float32 array that grows in place while blocks are added."""

    def __init__(self, capacity: int) -> None:
        self._data = np.empty(capacity, np.float32)
        self._size = 0

    def add(self, block: np.ndarray) -> None:
        end = self._size + len(block)
        if end > len(self._data):
            self._data.resize(max(end, len(self._data) * 3 // 2), refcheck=False)
        self._data[self._size : end] = block
        self._size = end

    def done(self) -> np.ndarray:
        self._data.resize(self._size, refcheck=False)
        return self._data
