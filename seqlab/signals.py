"""What models read: signals, where their samples lie in the source, and arrays of applications in their form."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from seqlab.errors import DataError
from seqlab.media.containers import overflowing


@dataclass(slots=True)
class Signal:
    """What a model reads, and where its samples lie in the source.

    Attributes:
        samples: (S, ...), float32.
        step: seconds, pixels, points or frames from one sample to the next; below 0 where a line is read backwards.
        length: of the source, in the same unit; null: that of the samples.
        unit: "s", "px", "points" or "frames".
        offset: place of the first sample.
        at: of ink, which point of it each sample stands for, and how many points there are, (S + 1,); else None.
    """

    samples: np.ndarray
    step: float = 1.0
    length: float | None = None
    unit: str = "s"
    offset: float = 0.0
    at: np.ndarray | None = None

    @property
    def extent(self) -> float:
        """Length of the source in its unit."""
        if self.at is not None:
            return float(self.at[-1])
        return self.length if self.length is not None else len(self.samples) * self.step


def audio_samples(source: np.ndarray, rate: float, sample_rate: int | None = None) -> np.ndarray:
    """Return mono audio as float32 at the rate of a model.

    Args:
        source: (S,), floats in [-1, 1] or integers at their full scale.
        rate: of the model, in Hz.
        sample_rate: of the source; the model's when not given.

    Raises:
        DataError: it holds something else, is not mono, or a sample is not finite; the rate is not above 0.
    """
    if source.dtype.kind not in "fi":
        raise DataError(f"audio must hold floats or signed integers, got {source.dtype}")
    scale = np.iinfo(source.dtype).max if np.issubdtype(source.dtype, np.integer) else 1
    with np.errstate(over="ignore"):
        audio = np.asarray(source, dtype=np.float32) / np.float32(scale)
    if sample_rate is not None and sample_rate <= 0:
        raise DataError(f"sample_rate must be positive, got {sample_rate}")
    if audio.ndim != 1:
        raise DataError(f"audio must be mono, shape (S,); got {audio.shape}")
    if (at := overflowing(audio)) is not None:
        raise DataError(f"the audio holds a sample of {audio[at]:g}, at place {at}; give samples in [-1, 1]")
    if sample_rate and sample_rate != rate:
        import soxr

        audio = soxr.resample(audio, sample_rate, rate)
    return audio


def grey(image: np.ndarray) -> np.ndarray:
    """Return an image (Y, S) or (Y, S, 3) as grey uint8."""
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3):
        form = f"{image.dtype} {image.shape}"
        raise DataError(f"an image must hold uint8, (rows, columns) or (rows, columns, 3); got {form}")
    if image.ndim == 2:
        return image
    return np.asarray(image @ np.array([0.299, 0.587, 0.114]) + 0.5).astype(np.uint8)  # as Pillow's mode L


def numbers(source: Any) -> np.ndarray:
    """Return what is an array of real numbers as one.

    Raises:
        DataError: it holds something else, or is a single number.
    """
    try:
        array = np.asarray(source.numpy(force=True) if hasattr(source, "numpy") else source)  # a tensor has
    except (ValueError, TypeError, RuntimeError) as error:
        raise DataError(f"needs an array of real numbers: {error}") from None
    if array.dtype.kind not in "fiub":
        raise DataError(f"needs an array of real numbers, got {array.dtype}")
    if not array.ndim:
        raise DataError("needs an array, got a single number")
    return array


def ink_points(points: np.ndarray) -> np.ndarray:
    """Return ink (N, 4) as float32.

    Raises:
        DataError: it has another form, or numbers that are not finite.
    """
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused
        points = np.asarray(points, dtype=np.float32)
    if points.ndim != 2 or points.shape[1] != 4 or not np.isfinite(points).all():
        raise DataError(f"ink must be finite points (N, 4): x, y, time, end of stroke; got {points.shape}")
    return points
