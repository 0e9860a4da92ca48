"""Ink as a short sequence of Bezier curves."""

from functools import lru_cache

import numpy as np

from seqlab.frontends._ink import Strokes, check_positive, normalize, numbered, resample, stroke_starts

SAMPLING = 32.0  # points per line height that curves are fitted to
MIN_CHORD = 0.3  # of the arc length: a curve that nearly closes has no direction, and is split
MAX_VALUE = 10.0  # of lengths and times, in line heights and seconds; a pen may rest for minutes
STRAIGHT = (1 / 3, 1 / 3, 0.0, 0.0)  # control points at a third and two thirds of the chord


class Bezier(Strokes):
    """Cubic curves fitted to the strokes, one frame each: about five times fewer frames than points.

    Carbune et al., "Fast multi-language LSTM-based online handwriting recognition", IJDAR 2020 (arXiv 1902.10525),
    section on Bezier curves. A frame holds, for the curve with end points P0, P3 and control points P1, P2:

    - dx, dy of P3 - P0, in line heights;
    - |P1 - P0| and |P2 - P3| by |P3 - P0|;
    - the angles from P3 - P0 to P1 - P0 and from P0 - P3 to P2 - P3, in radians, positive clockwise as y grows down;
    - g1, g2, g3 of the time t(s) = g1 s + g2 s^2 + g3 s^3 since P0, s in [0, 1] along the curve; in seconds, and where
      the ink has no times, the arc length in line heights stands for t;
    - 1 where the pen is up: the way from the end of one stroke to the start of the next is one straight curve.

    Choices of this implementation, which the paper makes otherwise or leaves open: s is the arc length of the ink and
    is not refined by Newton steps, curves begin and end on the ink, a piece that is off by more than the tolerance is
    split where it is furthest off in its middle half, and pieces are not merged again.

    Args:
        tolerance: largest distance of the ink from its curve, in line heights.
        slant: make down strokes upright.
        skew: level the baseline.

    Attributes:
        num_features: 10.
    """

    def __init__(self, tolerance: float = 0.03, slant: bool = True, skew: bool = True) -> None:
        check_positive(tolerance=tolerance)
        self.tolerance, self.slant, self.skew = tolerance, slant, skew
        self.num_features = 10

    def prepare(self, ink: np.ndarray) -> np.ndarray:
        """Turn the ink of one line (N, 4) into frames (T, 10), float32; (0, 10) for no ink."""
        points = resample(normalize(ink, self.skew, self.slant), 1 / SAMPLING)
        frames: list[tuple[float, ...]] = []
        if not len(points):
            return np.zeros((0, self.num_features), np.float32)
        timed = bool(np.ptp(points[:, 2]) > 0)
        starts = stroke_starts(points[:, 3])
        before: np.ndarray | None = None
        for start, stop in zip(starts, np.append(starts[1:], len(points)), strict=True):
            stroke = points[start:stop, :3]
            if before is not None:
                dx, dy, dt = stroke[0] - before
                frames.append((dx, dy, *STRAIGHT, dt if timed else np.hypot(dx, dy), 0.0, 0.0, 1.0))
            before = stroke[-1]
            frames += [self._frame(piece, timed) for piece in split(stroke, self.tolerance)]
        out = np.array(frames)
        columns = [0, 1, 2, 3, 6, 7, 8]
        out[:, columns] = out[:, columns].clip(-MAX_VALUE, MAX_VALUE)
        return out.astype(np.float32)

    def places(self, ink: np.ndarray) -> np.ndarray:
        """Return which point of the ink (N, 4) each frame of ``prepare`` stands for, (T,), float64, in [0, N - 1].

        It is the middle of a curve; where the pen is lifted, the first point after.
        """
        points = resample(normalize(numbered(ink), self.skew, self.slant), 1 / SAMPLING)
        found: list[float] = []
        for stroke in np.split(points[:, :3], stroke_starts(points[:, 3])[1:]) if len(points) else ():
            found += [stroke[0, 2]] * bool(found)
            found += [(piece[0, 2] + piece[-1, 2]) / 2 for piece in split(stroke, self.tolerance)]
        return np.array(found)

    @staticmethod
    def _frame(piece: np.ndarray, timed: bool) -> tuple[float, ...]:
        """Describe the curve of a piece of stroke (n, 3)."""
        if len(piece) < 2:
            return (0.0,) * 10  # a dot
        chord = piece[-1, :2] - piece[0, :2]
        p1, p2 = control_points(piece[:, :2])
        one, two = p1 - piece[0, :2], p2 - piece[-1, :2]
        length = max(float(np.hypot(*chord)), 1e-6)
        steps = np.hypot(*np.diff(piece[:, :2], axis=0).T)
        times = _time_fit(len(piece)) @ (piece[:, 2] - piece[0, 2]) if timed else (float(steps.sum()), 0.0, 0.0)
        distances = np.hypot(*one) / length, np.hypot(*two) / length
        return (*chord, *distances, angle(chord, one), angle(-chord, two), *times, 0.0)


def split(stroke: np.ndarray, tolerance: float) -> list[np.ndarray]:
    """Split a stroke (n, 3) of equally spaced points into pieces that a cubic curve fits; they share end points."""
    done, waiting = [], [stroke]
    while waiting:
        piece = waiting.pop()
        last = len(piece) - 1
        if last >= 2:
            xy = piece[:, :2]
            off = np.hypot(*(curve(xy[0], control_points(xy), xy[-1], last) - xy).T)
            arc = np.hypot(*np.diff(xy, axis=0).T).sum()
            if off.max() > tolerance or np.hypot(*(xy[-1] - xy[0])) < MIN_CHORD * arc:
                low = max(1, last // 4)  # not near an end, so that the number of splits stays small
                at = low + int(off[low : last - low + 1].argmax())
                waiting += [piece[at:], piece[: at + 1]]
                continue
        done.append(piece)
    return done


def curve(start: np.ndarray, inner: np.ndarray, stop: np.ndarray, steps: int) -> np.ndarray:
    """Return points (steps + 1, 2) of a cubic Bezier curve at equal steps of its parameter; inner is (2, 2)."""
    return _bernstein(steps + 1) @ np.concatenate([start[None], inner, stop[None]])


def control_points(xy: np.ndarray) -> np.ndarray:
    """Return the inner control points (2, 2) of the curve nearest in squares to equally spaced points (n, 2).

    The curve begins and ends in the first and the last point; for two points it is straight.
    """
    straight = np.stack([(2 * xy[0] + xy[-1]) / 3, (xy[0] + 2 * xy[-1]) / 3])
    if len(xy) < 3:
        return straight
    return straight + _fit(len(xy)) @ (xy - curve(xy[0], straight, xy[-1], len(xy) - 1))


def angle(a: np.ndarray, b: np.ndarray) -> float:
    """Return the angle from vector a to vector b, in [-pi, pi]; 0 where one has no length."""
    return float(np.arctan2(a[0] * b[1] - a[1] * b[0], a @ b))


@lru_cache(maxsize=512)
def _bernstein(count: int) -> np.ndarray:
    """Bernstein polynomials of degree 3 at ``count`` parameters from 0 to 1, (count, 4)."""
    s = np.linspace(0.0, 1.0, count)
    return np.stack([(1 - s) ** 3, 3 * s * (1 - s) ** 2, 3 * s**2 * (1 - s), s**3], 1)


@lru_cache(maxsize=512)
def _fit(count: int) -> np.ndarray:
    """Matrix (2, count) from points to inner control points."""
    return np.linalg.pinv(_bernstein(count)[:, 1:3])


@lru_cache(maxsize=512)
def _time_fit(count: int) -> np.ndarray:
    """Matrix (3, count) from times to the coefficients of s, s^2, s^3."""
    s = np.linspace(0.0, 1.0, count)
    return np.linalg.pinv(np.stack([s, s**2, s**3], 1))
