"""Pictures of lines for the report, as data URIs: images as small PNG files, ink as drawn strokes.

A browser shows them in an <img>, where an SVG can neither run a script nor load anything.
"""

import base64
import io
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
from PIL import Image

HEIGHT = 64  # pixels, at most
MOST_WIDTH = 4096  # pixels; a longer line is drawn smaller
_LEVELS = 16  # grey values of a PNG: half the bytes of 256, and no eye misses them in a line of text
_UNITS = 4  # steps of an ink's coordinates per pixel
_MARGIN = 3  # pixels around ink


def image_uri(image: npt.NDArray[np.uint8]) -> str:
    """Return an image as the data URI of a PNG of at most HEIGHT pixels and 16 grey values.

    Args:
        image: grey values (Y, S), uint8, 0 black and 255 white.

    Raises:
        ValueError: it is not an image of uint8 with at least one pixel.
    """
    if image.ndim != 2 or image.dtype != np.uint8 or not image.size:
        raise ValueError(f"need grey values (Y, S), uint8, got {image.dtype} of shape {image.shape}")
    picture = Image.fromarray(np.ascontiguousarray(image))
    scale = min(1.0, HEIGHT / picture.height, MOST_WIDTH / picture.width)
    if scale < 1:
        size = (max(1, round(scale * picture.width)), max(1, round(scale * picture.height)))
        picture = picture.resize(size, Image.Resampling.BOX)
    step = 255 // (_LEVELS - 1)
    levels = Image.fromarray(((np.asarray(picture, dtype=np.uint16) + step // 2) // step).astype(np.uint8), mode="L")
    levels.putpalette([value for level in range(_LEVELS) for value in (level * step,) * 3])
    file = io.BytesIO()
    levels.save(file, "PNG", bits=4, optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def ink_uri(ink: npt.NDArray[np.floating]) -> str:
    """Return ink as the data URI of an SVG of at most HEIGHT pixels, each stroke a line and each lone point a dot.

    Args:
        ink: points (N, 4): x, y (growing downwards), t, and end, 1 at the last point of each stroke; N may be 0.

    Raises:
        ValueError: it has another shape, or a coordinate is not finite.
    """
    if ink.ndim != 2 or ink.shape[1] != 4:
        raise ValueError(f"need points (N, 4): x, y, t, end, got shape {ink.shape}")
    points = np.asarray(ink[:, :2], dtype=np.float64)
    if not np.isfinite(points).all():
        raise ValueError("ink holds a coordinate that is not finite")
    if len(points):
        points = points - points.min(axis=0)
    extent = points.max(axis=0) if len(points) else np.zeros(2)
    scale = _scale(extent)
    pixels = np.rint(points * scale * _UNITS).astype(np.int64)
    ends = np.flatnonzero(ink[:-1, 3] > 0.5) + 1  # the last point ends its stroke, whatever it says
    strokes = np.split(pixels, ends) if len(pixels) else []
    width, height = (int(np.ceil(span * scale)) + 2 * _MARGIN for span in extent)
    margin = _MARGIN * _UNITS
    svg = (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}' "
        f"viewBox='{-margin} {-margin} {width * _UNITS} {height * _UNITS}'>"
        f"<path fill='none' stroke='black' stroke-width='{2 * _UNITS}' stroke-linecap='round' stroke-linejoin='round' "
        f"d='{''.join(_path(stroke) for stroke in strokes)}'/></svg>"
    )
    return "data:image/svg+xml," + quote(svg, safe=" =:/'-.,")


def ink_share(ink: npt.NDArray[np.floating], start: float, end: float) -> tuple[float, float]:
    """Return how far, as shares of the picture's width, the points from start to end of some ink reach to the sides."""
    if not len(ink):
        return 0.0, 0.0
    points = np.asarray(ink[:, :2], dtype=np.float64)
    points = points - points.min(axis=0)
    first = min(int(start), len(points) - 1)
    part = points[first : max(int(np.ceil(end)), first + 1), 0]
    extent = points.max(axis=0)
    scale = _scale(extent)
    low, high = (np.array([part.min(), part.max()]) * scale + _MARGIN) / (np.ceil(extent[0] * scale) + 2 * _MARGIN)
    return float(low), float(high)


def _scale(extent: npt.NDArray[np.float64]) -> float:
    """Return pixels per unit of an ink of this extent (x, y)."""
    room = (MOST_WIDTH - 2 * _MARGIN, HEIGHT - 2 * _MARGIN)
    return min((size / span for size, span in zip(room, extent.tolist(), strict=True) if span > 0), default=1.0)


def _path(stroke: npt.NDArray[np.int64]) -> str:
    """Write a stroke as an SVG path: where it begins, then a step per point, without those that round to nothing."""
    steps = np.diff(stroke, axis=0)
    steps = steps[steps.any(axis=1)]
    if not len(steps):
        return f"M{stroke[0, 0]} {stroke[0, 1]}h0"  # a round cap makes it a dot
    return f"M{stroke[0, 0]} {stroke[0, 1]}l" + " ".join(f"{x} {y}" for x, y in steps.tolist())
