"""Audio files and lines of a manifest as arrays, and back."""

import math
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
    seeks_exactly,
)

MARGIN = 512  # samples of the lower rate read around a span that is resampled: the filter reaches less far
Span = tuple[float, float]


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


def read_audio(
    path: str | os.PathLike[str], sample_rate: int | None = None, span: Span | None = None
) -> tuple[np.ndarray, int]:
    """Read an audio file as mono, or a part of it.

    Channels are averaged. Values are not clipped: a float file may hold samples beyond 1. Of formats that can be
    entered at any sample a part is decoded alone; of others all is decoded, and the part is cut out.

    Args:
        path: the file.
        sample_rate: rate to resample to, in Hz; None keeps the file's own.
        span: begin and end of the part in seconds; None reads all. What lies beyond the file's end is left out.

    Returns:
        The signal (S,), float32, and its sample rate.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: it is no audio file, cut off, damaged, empty, holds NaN or infinity, its header makes no sense, or
            the span begins after its end.
    """
    if sample_rate is not None and not MIN_RATE <= sample_rate <= MAX_RATE:
        raise ValueError(f"sample_rate must lie between {MIN_RATE} and {MAX_RATE} Hz, got {sample_rate}")
    with open_audio(path) as file:
        rate = int(file.samplerate)
        target = rate if sample_rate is None else int(sample_rate)
        stream = soxr.ResampleStream(rate, target, 1, dtype="float32", quality="HQ") if target != rate else None
        first, last = 0, None  # of the file's own samples
        if span is not None and seeks_exactly(file):
            first, last = _bounds(span, rate, target, int(file.frames))
        reserved = plausible_samples(file, path) if last is None else last - first
        signal = _Growing(reserved * target // rate + 1)
        count = 0
        for block in mono_blocks(file, path, first, last):
            count += len(block)
            signal.add(block if stream is None else stream.resample_chunk(block))
        if stream is not None:
            signal.add(stream.resample_chunk(np.zeros(0, np.float32), last=True))
        check_complete(file, path, first + count, last)
    samples = signal.done()
    if span is not None:
        return _cut(samples, target, span, path, first * target // rate), target
    if not len(samples):
        raise DataError(f"{path}: {count} sample(s) at {rate} Hz leave none at {target} Hz; drop the file")
    return samples, target


def _bounds(span: Span, rate: int, target: int, frames: int) -> tuple[int, int]:
    """Return the samples of a file to read for a span, so that it is what cutting the whole, resampled, would give.

    Where it is resampled, reading begins at a sample that is one of the target's, too, and some are read around it.
    """
    step = rate // math.gcd(rate, target)
    margin = math.ceil(MARGIN * max(rate / target, 1.0)) if rate != target else 0
    begin, end = (round(seconds * target) for seconds in span)
    first = max(min(begin * rate // target, frames - 1) - margin, 0) // step * step
    return first, max(min(-(-end * rate // target) + margin, frames), first + 1)


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
    load: Callable[[Path, int | None, Span | None], tuple[np.ndarray, int]] = read_audio,
) -> tuple[np.ndarray, int]:
    """Read the audio of a manifest line: its file, or its parts joined with silence.

    Parts of unequal rates are brought to the highest of them unless sample_rate is given. Silence is zeros,
    round(silence_ms * rate / 1000) samples of them.

    Args:
        line: a line with ``audio`` or ``parts``.
        sample_rate: rate to resample to, in Hz; None keeps the rate of the recordings.
        load: reads one file or a span of it, for instance from a cache.

    Returns:
        The signal (S,), float32, and its sample rate.

    Raises:
        FileNotFoundError: a file is missing; the message names the line.
        DataError: a file is faulty; the message names the line.
    """
    try:
        if line.parts is None:
            return load(line.files[0], sample_rate, (line.spans[0][0], line.spans[0][1]) if line.spans else None)
        # whole, though spans are cut out of them: they are short, and joined again and again
        loaded = [load(path, sample_rate, None) for path in line.files]
        rate = max(rate for _, rate in loaded)
        if any(r != rate for _, r in loaded):
            loaded = [load(path, rate, None) for path in line.files]
        spans = line.spans or [[0.0, len(signal) / rate] for signal, _ in loaded]
        used = [
            _cut(signal, rate, (span[0], span[1]), path)
            for (signal, _), span, path in zip(loaded, spans, line.files, strict=True)
        ]
    except FileNotFoundError as error:
        raise FileNotFoundError(f"line {line.id} ({line.where}): {error}") from None
    except DataError as error:
        raise DataError(f"line {line.id} ({line.where}): {error}") from None
    silences = [np.zeros(round(ms * rate / 1000), np.float32) for ms in line.silence_ms or [0] * (len(loaded) + 1)]
    pieces = [silences[0]]
    for signal, silence in zip(used, silences[1:], strict=True):
        pieces += [signal, silence]
    return np.concatenate(pieces), rate


def _cut(signal: np.ndarray, rate: int, span: Span, path: str | os.PathLike[str], first: int = 0) -> np.ndarray:
    """Cut a span out of a recording, of which the samples from the first on are there."""
    start, end = (round(seconds * rate) - first for seconds in span)
    if not 0 <= start < len(signal):
        ends = (first + len(signal)) / rate
        raise DataError(f"the span begins at {span[0]:.2f} s, {path} ends at {ends:.2f} s")
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
