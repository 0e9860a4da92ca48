"""What the frontends for ink share: their base class, normalisation of a line, and resampling along its strokes.

Ink is (N, 4), see seqlab.media.ink: x, y (growing down), t in seconds, 1 at the last point of each stroke.
"""

from typing import TYPE_CHECKING

import numpy as np

from seqlab.frontends._prepared import Prepared

if TYPE_CHECKING:
    from torch import Tensor

QUANTILE = 0.1  # of y: the line height is measured between this and its mirror, so that one tall letter changes little
MIN_HEIGHT = 0.1  # of the median larger side of the strokes; a dash alone has no height of its own
MAX_SLANT = np.pi / 4
MAX_SKEW = np.pi / 12
MIN_WIDTH = (
    6.0  # line heights; narrower writing tells nothing of its baseline: on level digit strings 3 degrees of noise
)
MAX_FRAMES = 20_000  # per line; strange ink is sampled more coarsely instead of filling the memory
FLAT = np.zeros((0, 4))


class Strokes(Prepared):
    """Base of the frontends for ink: ``prepare`` turns ink into frames line by line, ``forward`` masks padding.

    Attributes:
        kind: "strokes".
        sample_rate: 1; the natural unit of prepared ink is the frame.
        frame_shift: 1.0, for the same reason.
        num_features: size of a frame.
    """

    kind = "strokes"
    sample_rate = 1
    frame_shift = 1.0
    num_features: int

    def prepare(self, ink: np.ndarray) -> np.ndarray:
        """Turn the ink of one line (N, 4) into frames (T, F), float32; (0, F) for no ink."""
        raise TypeError(f"{type(self).__name__} has no prepare")

    def places(self, ink: np.ndarray) -> np.ndarray:
        """Return which point of the ink (N, 4) each frame of ``prepare`` stands for, (T,), float64, in [0, N - 1]."""
        raise TypeError(f"{type(self).__name__} has no places")

    def num_frames(self, lengths: "Tensor") -> "Tensor":
        """Return frames for frames: lengths as they are."""
        return lengths

    def forward(self, x: "Tensor", lengths: "Tensor") -> "tuple[Tensor, Tensor]":
        """Pass prepared frames on.

        Args:
            x: prepared frames, (B, T, F).
            lengths: frames per line, (B,), integer.

        Returns:
            Frames (B, T, F), 0 past a length, and the lengths.

        Raises:
            ValueError: x is not (B, T, F).
        """
        if x.dim() != 3 or x.shape[2] != self.num_features:
            raise ValueError(f"prepared ink is (lines, frames, {self.num_features}), got the shape {tuple(x.shape)}")
        from seqlab.batch import mask_padding

        return mask_padding(x, lengths), lengths


def normalize(ink: np.ndarray, skew: bool = True, slant: bool = True) -> np.ndarray:
    """Bring a line of ink to height 1, level and upright.

    The line is turned until its baseline is level, sheared until its down strokes are upright, divided by its height
    and moved: x begins at 0, y is 0 in the middle of the line.

    Args:
        ink: (N, 4).
        skew: level the baseline.
        slant: make down strokes upright.

    Returns:
        Ink (N, 4), float64, in line heights. Points that repeat the one before within a stroke are dropped.
    """
    ink = without_repeats(np.asarray(ink, np.float64).reshape(-1, 4))
    if not len(ink):
        return ink
    ink[-1, 3] = 1
    xy = ink[:, :2] - ink[0, :2]
    if skew:
        angle = skew_of(xy, ink[:, 3])
        cos, sin = np.cos(angle), np.sin(angle)
        xy = xy @ np.array([[cos, -sin], [sin, cos]])
    if slant:
        xy = xy - np.outer(xy[:, 1] * np.tan(slant_of(xy, ink[:, 3])), [1, 0])
    low, high = body(xy[:, 1])
    ink[:, :2] = (xy - [xy[:, 0].min(), (low + high) / 2]) / line_height(xy, ink[:, 3])
    return ink


def numbered(ink: np.ndarray) -> np.ndarray:
    """Return a copy of ink (N, 4) with the numbers of its points in place of t: they go where the points go."""
    ink = np.array(ink, np.float64).reshape(-1, 4)
    ink[:, 2] = np.arange(len(ink))
    return ink


def without_repeats(ink: np.ndarray) -> np.ndarray:
    """Return a copy of ink (N, 4) without points that lie where the point before them in their stroke lies."""
    if len(ink) < 2:
        return ink.copy()
    again = np.zeros(len(ink), bool)
    again[1:] = (ink[1:, 0] == ink[:-1, 0]) & (ink[1:, 1] == ink[:-1, 1]) & (ink[:-1, 3] == 0)
    kept = np.flatnonzero(~again)
    out = ink[kept]
    out[:, 3] = np.maximum.reduceat(ink[:, 3], kept)  # the end of a stroke may have been among the repeats
    return out


def line_height(xy: np.ndarray, end: np.ndarray) -> float:
    """Return the height of a line (N, 2), above 0.

    80 % of the points lie in 0.8 of a line's height if they are spread evenly: the distance between the quantiles 0.1
    and 0.9 of y is divided by 0.8, which gives an upright bar its true height.
    """
    low, high = body(xy[:, 1])
    starts = stroke_starts(end)
    sides = np.sort((np.maximum.reduceat(xy, starts) - np.minimum.reduceat(xy, starts)).max(1))
    height = max((high - low) / (1 - 2 * QUANTILE), MIN_HEIGHT * sides[len(sides) // 2], sides[-1] / 1e3)
    return float(height) if height > 0 else 1.0


def body(y: np.ndarray) -> tuple[float, float]:
    """Return the quantiles 0.1 and 0.9 of y (N,), interpolated."""
    low, high = np.interp(np.array([QUANTILE, 1 - QUANTILE]) * (len(y) - 1), np.arange(len(y)), np.sort(y))
    return float(low), float(high)


def stroke_starts(end: np.ndarray) -> np.ndarray:
    """Return the index of the first point of each stroke, given the column of stroke ends (N,)."""
    return np.concatenate([[0], np.flatnonzero(end[:-1] > 0) + 1])


def slant_of(xy: np.ndarray, end: np.ndarray) -> float:
    """Estimate the slant of down strokes: their mean angle to the vertical in radians, positive like a backslash.

    Each step between points that is nearer to the vertical than 45 degrees counts with its length.
    """
    step = np.diff(xy, axis=0)[end[:-1] == 0]
    step = step[np.abs(step[:, 1]) > np.abs(step[:, 0])]
    if not len(step):
        return 0.0
    angle = np.arctan(step[:, 0] / step[:, 1])
    return float(np.clip(np.average(angle, weights=np.hypot(*step.T)), -MAX_SLANT, MAX_SLANT))


def extrema(xy: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the points (n, 2) where strokes turn upwards (bottoms) and where they turn downwards (tops).

    Ends of strokes count when the stroke leaves them or reaches them vertically.
    """
    dy = np.zeros(len(xy) + 1)
    dy[1:-1] = np.sign(np.diff(xy[:, 1])) * (end[:-1] == 0)
    before, after = dy[:-1], dy[1:]
    bottoms = (before >= 0) & (after <= 0) & (before != after)
    tops = (before <= 0) & (after >= 0) & (before != after)
    return xy[bottoms], xy[tops]


def baselines(ink: np.ndarray) -> tuple[float, float]:
    """Return y of the baseline and of the corpus line, the upper edge of letters like x, of level ink (N, 4).

    They are the medians of the bottoms and of the tops of the strokes; where these leave less than a fifth of the line
    height between them, as in a dash, y of the middle plus and minus a quarter of a line height.
    """
    bottoms, tops = extrema(ink[:, :2], ink[:, 3])
    if len(bottoms) and len(tops):
        base, corpus = float(np.median(bottoms[:, 1])), float(np.median(tops[:, 1]))
        if base - corpus >= 0.2:
            return base, corpus
    return 0.25, -0.25


def skew_of(xy: np.ndarray, end: np.ndarray) -> float:
    """Estimate the angle of the baseline in radians, positive where it falls to the right (y grows down).

    A line is fitted to the bottoms of the strokes, twice: the second time without those further from the first line
    than half a height, such as descenders. 0 for writing narrower than MIN_WIDTH.
    """
    bottoms, _ = extrema(xy, end)
    x = xy[:, 0] - xy[:, 0].mean()
    rough = float(x @ xy[:, 1] / max(x @ x, 1e-300))  # the height of a skewed line shows when it is roughly level
    rough = min(max(rough, -np.tan(MAX_SKEW)), np.tan(MAX_SKEW))
    height = line_height(np.stack([x, xy[:, 1] - rough * x], 1), end)
    slope = 0.0
    for _ in range(2):
        if len(bottoms) < 4 or np.ptp(bottoms[:, 0]) < MIN_WIDTH * height:
            return 0.0
        x = bottoms[:, 0] - bottoms[:, 0].mean()
        slope = float(x @ bottoms[:, 1] / (x @ x))
        off = bottoms[:, 1] - slope * x
        bottoms = bottoms[np.abs(off - np.median(off)) < height / 2]
    return float(np.clip(np.arctan(slope), -MAX_SKEW, MAX_SKEW))


def resample(ink: np.ndarray, spacing: float) -> np.ndarray:
    """Place points along each stroke at equal distances.

    A stroke of length L becomes round(L / spacing) equal steps, one at least, its ends kept; a stroke without length
    becomes one point. t is interpolated like x and y.

    Args:
        ink: (N, 4).
        spacing: distance between points, in the units of x and y.

    Returns:
        Ink (M, 4), float64, of MAX_FRAMES points at most, or two per stroke if there are more strokes than that.
    """
    if not len(ink):
        return FLAT
    up = ink[:-1, 3] > 0
    step = np.hypot(*np.diff(ink[:, :2], axis=0).T)
    # one axis for all strokes: arc length, with a gap between two strokes that no point falls into
    along = np.concatenate([[0.0], np.cumsum(np.where(up, 1.0, step))])
    starts = stroke_starts(ink[:, 3])
    stops = np.append(starts[1:], len(ink)) - 1
    lengths = along[stops] - along[starts]
    spacing = max(spacing, float(lengths.sum()) / MAX_FRAMES)
    steps = np.where(lengths > 0, np.maximum(np.rint(lengths / spacing), 1), 0).astype(np.int64)
    counts = steps + 1
    stroke = np.repeat(np.arange(len(starts)), counts)
    number = np.arange(len(stroke)) - np.repeat(np.cumsum(counts) - counts, counts)
    position = along[starts][stroke] + lengths[stroke] * number / np.maximum(steps, 1)[stroke]
    out = np.empty((len(stroke), 4))
    for column in range(3):
        out[:, column] = np.interp(position, along, ink[:, column])
    out[:, 3] = number == steps[stroke]
    return out


def check_positive(**values: float) -> None:
    """Raise ValueError unless every named value is above 0."""
    for name, value in values.items():
        if not value > 0:
            raise ValueError(f"{name} must be above 0, got {value}")
