"""Line images: one frame per column of the height-normalised image."""

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image

from seqlab.errors import DataError
from seqlab.frontends._prepared import Prepared
from seqlab.media.image import MAX_COLUMNS, TOO_WIDE

if TYPE_CHECKING:
    from torch import Tensor


class ImageColumns(Prepared):
    """Every pixel column of a text line is a frame, every row a feature: 0 is paper, 1 is ink.

    What belongs to the image alone (size, contrast, slope) is done once per line by `prepare`, on the CPU; the
    network gets columns of equal height.

    Args:
        height: rows after scaling; the aspect is kept.
        polarity: what is ink: "dark" on light paper, "light" on dark, or "auto", the side that is rarer.
        contrast: "none" maps 0..255 to 1..0; "stretch" maps the 1st percentile to full ink and the 60th to paper;
            "local" does so within windows of two heights, with ink of at least half the line's, so that shadows and
            words written faintly even out; "binary" thresholds after Otsu (1979).
        deskew: turn the line so that the row profile is sharpest, by at most 4 degrees.
        deslant: shear the line so that strokes stand upright (Vinciarelli and Luettin 2001): the shear, of at most
            45 degrees, whose columns have the longest unbroken strokes.
        pad: columns of paper added on both sides.
        direction: "ltr", or "rtl" for scripts written from the right: columns are handed out from the right, so that
            frames follow the text in its logical order.
    """

    kind = "image"
    sample_rate = 1  # columns are counted, there is no time
    frame_shift = 1.0

    def __init__(
        self,
        height: int = 48,
        polarity: Literal["auto", "dark", "light"] = "auto",
        contrast: Literal["none", "stretch", "local", "binary"] = "stretch",
        deskew: bool = False,
        deslant: bool = False,
        pad: int = 0,
        direction: Literal["ltr", "rtl"] = "ltr",
    ) -> None:
        if height < 1 or pad < 0:
            raise ValueError(f"height must be 1 or more and pad 0 or more, got {height} and {pad}")
        self.height, self.polarity, self.contrast = height, polarity, contrast
        self.deskew, self.deslant, self.pad, self.direction = deskew, deslant, pad, direction
        self.num_features = height

    def columns(self, width: int, height: int) -> int:
        """Return the columns that an image of a size has when prepared; deslanting adds some."""
        return max(round(width * self.height / max(height, 1)), 1) + 2 * self.pad

    def prepare(self, image: np.ndarray) -> np.ndarray:
        """Bring a line image to the network's form.

        Args:
            image: grey, (Y, S), uint8.

        Returns:
            Ink (S, height), uint8, 255 full ink.

        Raises:
            DataError: the image is far wider than a line of text.
        """
        return self.prepare_placed(image)[0]

    def prepare_placed(self, image: np.ndarray) -> tuple[np.ndarray, int]:
        """Do what `prepare` does, and tell how many columns were added on the left.

        Args:
            image: grey, (Y, S), uint8.

        Returns:
            Ink (S, height), uint8, and the column, counted from the left, at which the image begins.

        Raises:
            DataError: the image is far wider than a line of text.
        """
        if image.ndim != 2 or image.size == 0 or image.dtype != np.uint8:
            raise DataError(f"a line image must be grey, (rows, columns) of uint8; got {image.dtype} {image.shape}")
        columns = self.columns(image.shape[1], image.shape[0])
        if columns > MAX_COLUMNS:
            raise DataError(TOO_WIDE.format(image.shape[1], image.shape[0], columns))
        size = (columns - 2 * self.pad, self.height)
        scaled = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
        ink = self._to_ink(scaled)
        if self.deskew:
            ink = _deskew(ink)
        left = 0
        if self.deslant:
            ink, left = _deslant(ink)
        ink = np.pad(ink, ((0, 0), (self.pad, self.pad))).T
        return np.ascontiguousarray(ink[::-1] if self.direction == "rtl" else ink), left + self.pad

    def _to_ink(self, grey: np.ndarray) -> np.ndarray:
        counts = np.bincount(grey.ravel(), minlength=256)  # of each grey: all that is asked but the local levels
        light = self.polarity == "light"
        if self.polarity == "auto":
            low, median, high = _percentiles(counts, (1, 50, 99))
            light = median < (low + high) / 2  # half-way between the darkest and the lightest, outliers aside
        ink, counts = (grey, counts) if light else (255 - grey, counts[::-1])
        if self.contrast == "none":
            return ink
        levels = np.arange(256)
        if self.contrast == "binary":
            return np.where(levels > _otsu(counts), 255, 0).astype(np.uint8)[ink]
        paper, full = _percentiles(counts, (40, 99))
        if self.contrast == "local":
            return _spread(ink, *_local(ink, full - paper))
        return _spread(levels, paper, full)[ink]

    def num_frames(self, lengths: "Tensor") -> "Tensor":
        """Return the lengths: a frame per column."""
        return lengths

    def forward(self, signal: "Tensor", lengths: "Tensor") -> "tuple[Tensor, Tensor]":
        """Hand columns (B, S, Y) on as frames (B, T, F); what lies past a length is 0."""
        from seqlab.batch import mask_padding

        return mask_padding(signal, lengths.to(signal.device)), lengths


def _percentiles(counts: np.ndarray, shares: Sequence[float]) -> np.ndarray:
    """Return percentiles of greys by their histogram, as np.percentile of the image, several times as fast."""
    below = counts.cumsum()
    places = (below[-1] - 1) * (np.asarray(shares) / 100)
    ranks = np.floor(places).astype(int)
    left, right = (below.searchsorted(np.minimum(r, below[-1] - 1), "right") for r in (ranks, ranks + 1))
    part = places - ranks
    return np.where(part < 0.5, left + (right - left) * part, right - (right - left) * (1 - part))


def _spread(ink: np.ndarray, paper: Any, full: Any) -> np.ndarray:
    """Return ink with the level of paper at 0 and that of full ink at 255."""
    return np.clip((ink - paper) * (255 / np.maximum(full - paper, 8)), 0, 255).astype(np.uint8)


def _otsu(counts: np.ndarray) -> int:
    """Return the threshold that parts a histogram into two classes of least inner variance (Otsu 1979).

    Where all is of one grey there are no two classes, and nothing lies above the threshold.
    """
    histogram = counts.astype(np.float64)
    if histogram.max() == counts.sum():
        return 255
    below = histogram.cumsum()
    mass = (histogram * np.arange(256)).cumsum()
    above = below[-1] - below
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (mass / below - (mass[-1] - mass) / above) ** 2
    return int(np.nan_to_num(between, nan=-1.0, posinf=-1.0).argmax())


def _local(ink: np.ndarray, range_: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the levels of paper and of full ink at each column, by windows of two heights."""
    height, width = ink.shape
    edges = np.linspace(0, width, max(round(width / (2 * height)), 1) + 1).round().astype(int)
    levels = np.array([np.percentile(ink[:, a:b], (40, 98)) for a, b in itertools.pairwise(edges)])
    paper, full = (np.interp(np.arange(width), (edges[:-1] + edges[1:]) / 2, level) for level in levels.T)
    return paper, np.maximum(full, paper + range_ / 2)


def _affine(ink: np.ndarray, width: int, matrix: tuple[float, ...]) -> np.ndarray:
    image = Image.fromarray(ink)
    return np.asarray(image.transform((width, ink.shape[0]), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR))


def _deskew(ink: np.ndarray) -> np.ndarray:
    """Turn small slopes level: the slope whose row sums vary most."""
    width = ink.shape[1]

    def sloped(slope: float) -> np.ndarray:
        return _affine(ink, width, (1, 0, 0, slope, 1, -slope * width / 2))

    slopes = np.tan(np.radians(np.arange(-4, 4.5, 0.5)))
    profiles = [sloped(s).sum(1, dtype=np.float64).var() for s in slopes]
    best = int(np.argmax(profiles))
    level = 8  # index of slope 0
    return sloped(float(slopes[best])) if profiles[best] > 1.05 * profiles[level] else ink


def _deslant(ink: np.ndarray) -> tuple[np.ndarray, int]:
    """Shear upright: the shear with the largest sum of squared lengths of unbroken columns of ink."""
    height, width = ink.shape
    room = height  # a shear of 45 degrees moves the top by one height
    wide = np.pad(ink, ((0, 0), (room // 2, room - room // 2)))

    def sheared(shear: float) -> np.ndarray:
        return _affine(wide, wide.shape[1], (1, shear, -shear * height / 2, 0, 1, 0))

    def upright(image: np.ndarray) -> float:
        strokes = image > 96
        count = strokes.sum(0)
        rows = np.arange(height)[:, None]
        extent = np.where(strokes, rows, -1).max(0) - np.where(strokes, rows, height).min(0) + 1
        return float(np.square(count[(count == extent) & (count > 0)], dtype=np.float64).sum())

    shears = np.tan(np.radians(np.arange(-45, 46, 5)))
    best = float(shears[int(np.argmax([upright(sheared(s)) for s in shears]))])
    turned = sheared(best)
    inked = np.flatnonzero(turned.max(0) > 0)
    if not len(inked):
        return ink, 0
    begin = min(int(inked[0]), room // 2)
    return turned[:, begin : max(int(inked[-1]) + 1, room // 2 + width)], room // 2 - begin
