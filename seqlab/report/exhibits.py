"""What the page shows of single lines: recordings as data URIs, posteriors packed small, measures of the signal."""

import base64
import io
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
import soundfile

MOST_BYTES = 15_000_000  # of all that is embedded in one page
LEAST = 0.02  # symbols whose posterior never reaches it are left out
_SILENCE = -100.0  # dB, of digital silence
_SHOWN = {  # endings of files that browsers play or show
    "audio": {".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a"},
    "image": {".png", ".jpg", ".jpeg", ".gif", ".webp"},
}


def sound_uri(audio: npt.NDArray[np.floating], sample_rate: int) -> str:
    """Return a recording as the data URI of a WAV file of 16 bits: every browser plays it and finds any place in it.

    Args:
        audio: mono (S,), in [-1, 1]; what is louder is clipped.
        sample_rate: in Hz.

    Raises:
        ValueError: it is not mono.
    """
    if audio.ndim != 1:
        raise ValueError(f"need mono audio (S,), got shape {audio.shape}")
    file = io.BytesIO()
    soundfile.write(file, audio.clip(-1, 1), sample_rate, format="WAV", subtype="PCM_16")
    return "data:audio/wav;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def link(file: Path, folder: Path, kind: str) -> str | None:
    """Return the relative address of a file from a folder's page; None where a browser could not show it.

    The address begins with "./" or "../" and is percent-encoded, so no name of a file can make another scheme of it.
    """
    if file.suffix.lower() not in _SHOWN.get(kind, ()) or not file.is_file():
        return None
    try:
        path = Path(os.path.relpath(file.resolve(), folder.resolve())).as_posix()
    except ValueError:  # on another drive
        return None
    return quote(path if path.startswith("../") else f"./{path}")


def pack(posteriors: npt.NDArray[np.floating], symbols: list[str], ends: tuple[float, float]) -> dict[str, Any]:
    """Pack posteriors for the page: a byte per frame for the blank, and for each symbol only where it is seen.

    Args:
        posteriors: (T, V) in [0, 1], blank 0.
        symbols: texts of the V symbols.
        ends: where the first frame begins and the last one ends, as shares of the line's length.

    Returns:
        ``ends``; ``blank``, base64 of T bytes, 255 for 1; ``spikes``, list of [symbol, first frame, base64 of bytes],
        each stretch of frames with a posterior of at least LEAST.
    """
    levels = np.rint(255 * posteriors).clip(0, 255).astype(np.uint8)
    spikes = []
    for label in np.flatnonzero(levels[:, 1:].max(0, initial=0) >= 255 * LEAST) + 1:
        edges = np.flatnonzero(np.diff(levels[:, label] >= 255 * LEAST, prepend=False, append=False))
        for first, last in edges.reshape(-1, 2).tolist():
            spikes.append([symbols[label], first, _base64(levels[first:last, label])])
    return {
        "ends": [round(end, 4) for end in ends],
        "blank": _base64(levels[:, 0]),
        "spikes": sorted(spikes, key=lambda spike: spike[1]),
    }


def _base64(values: npt.NDArray[np.uint8]) -> str:
    return base64.b64encode(values.tobytes()).decode("ascii")


def sound_measures(audio: npt.NDArray[np.floating], sample_rate: float) -> dict[str, float]:
    """Measure a recording.

    Args:
        audio: mono (S,), in [-1, 1].
        sample_rate: in Hz.

    Returns:
        ``level_db``, the root mean square below full scale, and ``range_db``, how far the 95th percentile of the levels
        of frames of 20 ms lies above the 10th: a rough guess of signal to noise. Nothing for an empty recording.
    """
    if not len(audio):
        return {}
    size = max(round(sample_rate / 50), 1)
    power = np.square(audio, dtype=np.float64)
    frames = power[: len(power) // size * size].reshape(-1, size).mean(1) if len(power) >= size else power.mean()[None]
    levels = 10 * np.log10(np.maximum(frames, 10 ** (_SILENCE / 10)))
    low, high = np.percentile(levels, (10, 95))
    level = 10 * np.log10(max(power.mean(), 10 ** (_SILENCE / 10)))
    return {"level_db": round(float(level), 1), "range_db": round(float(high - low), 1)}


def image_measures(image: npt.NDArray[np.uint8]) -> dict[str, float]:
    """Measure a line image (Y, S) of uint8: its height, and the contrast of its 1st and its 90th percentile of grey."""
    dark, paper = np.percentile(image, (1, 90))
    return {"height_px": float(image.shape[0]), "contrast": round(float(paper - dark) / 255, 3)}
