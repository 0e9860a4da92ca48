"""Faults of the files of lines: missing, broken, other than the manifest says, nothing in them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from seqlab.data.sources import Source
from seqlab.diagnosis import Fault, fault
from seqlab.errors import DataError
from seqlab.manifest import Line, used_seconds
from seqlab.media import AudioInfo, audio_info, file_exists, image_size, read_image, read_line

CLIPPED_SHARE = 0.001  # of samples at full scale
SILENT_RMS = 1e-4  # -80 dB below full scale
LENGTH_TOLERANCE = (0.05, 0.02)  # seconds, share
PALE = 12  # grey values from the lightest to the darkest of an image with nothing on it


def file_faults(split: str, line: Line, source: Source, headers: dict[Path, AudioInfo | str]) -> list[Fault]:
    """Compare a line with the headers of its files; sets its length to what the files hold.

    Args:
        split: part of the corpus.
        line: the line.
        source: reads lines of its kind.
        headers: what is known already of recordings; filled.
    """
    if line.kind != source.kind:
        message = f"the line is {line.kind}, the frontend takes {source.kind}; choose another frontend"
        return [fault(split, line, "wrong kind", "error", message)]
    missing = [path for path in line.files if not file_exists(path)]
    if missing:
        return [fault(split, line, "missing file", "error", f"{missing[0]} not found")]
    if line.kind == "audio":
        return _audio_faults(split, line, headers)
    faults = []
    try:
        if line.kind == "image" and line.width is not None and line.height is not None:
            size = image_size(line.files[0])
            if size != (line.width, line.height):
                message = f"width and height say {line.width} x {line.height}, the image has {size[0]} x {size[1]}"
                faults.append(fault(split, line, "wrong size", "warning", message + "; the image counts"))
            line.width, line.height = size
        source.size(line)
    except (DataError, OSError) as error:
        return [fault(split, line, "unreadable file", "error", str(error))]
    return faults


def _audio_faults(split: str, line: Line, headers: dict[Path, AudioInfo | str]) -> list[Fault]:
    durations, rate = [], None
    for path in line.files:
        if path not in headers:
            try:
                headers[path] = audio_info(path)
            except (DataError, OSError) as error:
                headers[path] = str(error)
        info = headers[path]
        if isinstance(info, str):
            kind = "unreadable file" if file_exists(path) else "missing file"
            return [fault(split, line, kind, "error", info)]
        durations.append(info.duration)
        rate = info.sample_rate
    total = used_seconds(line, durations)
    faults: list[Fault] = []
    if line.duration_s is not None and abs(line.duration_s - total) > max(
        LENGTH_TOLERANCE[0], LENGTH_TOLERANCE[1] * total
    ):
        message = f"duration_s says {line.duration_s:.2f} s, the audio has {total:.2f} s; the audio counts"
        faults.append(fault(split, line, "wrong length", "warning", message))
    if line.sample_rate is not None and rate is not None and line.sample_rate != rate:
        message = f"sample_rate says {line.sample_rate} Hz, the audio has {rate} Hz; the audio counts"
        faults.append(fault(split, line, "wrong sample rate", "warning", message))
    line.duration_s = total
    return faults


def content_faults(split: str, line: Line, source: Source) -> Sequence[Fault]:
    """Read a line whole and look whether there is anything in it."""
    try:
        if line.kind == "audio":
            return _sound_faults(split, line, read_line(line, None)[0])
        signal = source.signal(source.read(line))
    except (DataError, OSError) as error:
        return [fault(split, line, "unreadable file", "error", str(error))]
    if not len(signal):
        return [fault(split, line, "empty", "error", "there is nothing in it; remove the line")]
    if line.kind == "image" and np.ptp(np.percentile(read_image(line.files[0]), (0.5, 99.5))) < PALE:
        return [fault(split, line, "blank image", "warning", "no ink to be seen; remove the line or check the image")]
    return []


def _sound_faults(split: str, line: Line, audio: np.ndarray) -> Sequence[Fault]:
    peak = float(np.abs(audio).max()) if len(audio) else 0.0
    rms = float(np.sqrt(np.mean(np.square(audio, dtype=np.float64)))) if len(audio) else 0.0
    clipped = float(np.mean(np.abs(audio) >= 0.999)) if len(audio) else 0.0
    if rms < SILENT_RMS:
        message = f"RMS {rms:.1e} of full scale: nothing to hear; remove the line or check the recording"
        return [fault(split, line, "silence", "warning", message)]
    if clipped > CLIPPED_SHARE and peak >= 0.999:
        message = f"{100 * clipped:.1f} % of the samples are at full scale: recorded too loud"
        return [fault(split, line, "clipping", "warning", message)]
    return []
