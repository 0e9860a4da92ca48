"""Augmentation of ink, on the fly: geometry, shaky lines, lost strokes and points, and joining new strings.

Ink is (N, 4), float32: x, y (growing down), t, 1 at the last point of each stroke (see seqlab.media.ink). Lengths in
settings are in heights of the line, from its highest to its lowest point, so that they mean the same on every device.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from seqlab.data.augment import Augmentation
from seqlab.errors import ConfigError
from seqlab.manifest import Line


def ink_height(ink: np.ndarray) -> float:
    """Return the height of ink (N, 4), of a dash its width, of a dot 1."""
    size = np.ptp(ink[:, :2], axis=0)
    return float(size[1] or size[0] or 1.0)


class StrokeWarp(Augmentation):
    """Turn, shear and scale a line of ink about its middle.

    Args:
        rotation: largest angle, in degrees.
        shear: largest shear, x per y: 0.2 leans strokes by 11 degrees.
        scale_x: the width is scaled by up to this share, narrower or wider.
        scale_y: the same of the height.
    """

    kind = "strokes"

    def __init__(self, rotation: float = 3.0, shear: float = 0.2, scale_x: float = 0.15, scale_y: float = 0.15) -> None:
        for name, value in (("scale_x", scale_x), ("scale_y", scale_y)):
            if not 0 <= value < 1:
                raise ValueError(f"{name} must lie in [0, 1), got {value}")
        if rotation < 0 or shear < 0:
            raise ValueError("rotation and shear must be 0 or more")
        self.bounds = (float(np.radians(rotation)), shear, scale_x, scale_y)

    def draw(self, rng: np.random.Generator) -> Any:
        """Draw angle in radians, shear, and the factors of width and height."""
        angle, shear, x, y = (rng.uniform(-1, 1, 4) * self.bounds).tolist()
        return angle, shear, 1 + x, 1 + y

    def stretch(self, value: Any) -> float:
        """Return the factor of the number of points at equal height: half of all ink runs across."""
        return float((1 + value[2] / value[3]) / 2)

    def apply(self, signal: np.ndarray, value: Any, rng: np.random.Generator) -> np.ndarray:
        """Warp ink (N, 4)."""
        if not len(signal):
            return signal
        angle, shear, scale_x, scale_y = value
        cos, sin = np.cos(angle), np.sin(angle)
        matrix = np.array([[cos, -sin], [sin, cos]]) @ np.array([[scale_x, shear * scale_y], [0, scale_y]])
        middle = (signal[:, :2].min(0) + signal[:, :2].max(0)) / 2
        return _moved(signal, (signal[:, :2] - middle) @ matrix.T + middle)


class StrokeJitter(Augmentation):
    """Shift points by smooth noise, as a shaky or hasty hand would.

    Args:
        low: smallest standard deviation of the shift, in line heights.
        high: largest.
        wavelength: distance along the ink from one independent shift to the next, in line heights; between them the
            shift changes evenly, so that the line stays smooth.
    """

    kind = "strokes"

    def __init__(self, low: float = 0.0, high: float = 0.03, wavelength: float = 0.4) -> None:
        super().__init__(low, high)
        if low < 0 or wavelength <= 0:
            raise ValueError("low must be 0 or more, wavelength above 0")
        self.wavelength = wavelength

    def apply(self, signal: np.ndarray, value: float, rng: np.random.Generator) -> np.ndarray:
        """Shift the points of ink (N, 4)."""
        if not len(signal) or value == 0:
            return signal
        height = ink_height(signal)
        step = np.hypot(*np.diff(signal[:, :2].astype(np.float64), axis=0).T)
        along = np.concatenate([[0.0], np.cumsum(step)]) / (self.wavelength * height)
        along *= min(1.0, 4 * len(signal) / max(along[-1], 1.0))  # jumps of a faulty pen ask for no more noise than ink
        knots = np.arange(int(along[-1]) + 2)
        noise = rng.standard_normal((2, len(knots))) * value * height
        return _moved(signal, signal[:, :2] + np.stack([np.interp(along, knots, axis) for axis in noise], 1))


class StrokeDrop(Augmentation):
    """Lose short strokes and single points, as a pen that skips does. Something always remains.

    Args:
        strokes: probability that a short stroke is lost.
        short: strokes up to this length are short, in line heights.
        points: probability that a point inside a stroke is lost; the ends of strokes stay.
    """

    kind = "strokes"

    def __init__(self, strokes: float = 0.05, short: float = 0.2, points: float = 0.05) -> None:
        for name, value in (("strokes", strokes), ("points", points)):
            if not 0 <= value < 1:
                raise ValueError(f"{name} must lie in [0, 1), got {value}")
        if short < 0:
            raise ValueError(f"short must be 0 or more, got {short}")
        self.strokes, self.short, self.points = strokes, short, points

    def draw(self, rng: np.random.Generator) -> Any:
        """Draw nothing: what is lost is drawn when it is known what is there."""
        return None

    def apply(self, signal: np.ndarray, value: Any, rng: np.random.Generator) -> np.ndarray:
        """Drop strokes and points of ink (N, 4)."""
        if not len(signal):
            return signal
        last = signal[:, 3] > 0
        last[-1] = True
        first = np.concatenate([[True], last[:-1]])
        keep = first | last | (rng.random(len(signal)) >= self.points)
        step = np.hypot(*np.diff(signal[:, :2].astype(np.float64), axis=0, append=signal[-1:, :2]).T)
        lengths = np.add.reduceat(np.where(last, 0.0, step), np.flatnonzero(first))
        lost = (lengths <= self.short * ink_height(signal)) & (rng.random(len(lengths)) < self.strokes)
        if not lost.all():
            keep &= ~lost[np.cumsum(first) - 1]
        return signal[keep]


def _moved(ink: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Return ink with other places (N, 2)."""
    return np.concatenate([xy.astype(np.float32), ink[:, 2:]], 1)


class RejoinStrokes:
    """Set single characters of the same writer side by side to a new line, gaps between them.

    Args:
        pool: lines of single characters, each with ``strokes`` of its own; their y share one frame of reference.
        min_parts: fewest characters in a line.
        max_parts: most characters in a line.
        low_gap: smallest space between two characters, as a share of the median height of the writer's characters.
        high_gap: largest.
        shift: largest shift of a character up or down, as a share of the same height.
        scale: every character is scaled by up to this share, smaller or larger.
    """

    kind = "strokes"
    separator = ""

    def __init__(
        self,
        pool: Sequence[Line],
        min_parts: int = 3,
        max_parts: int = 8,
        low_gap: float = 0.05,
        high_gap: float = 0.5,
        shift: float = 0.0,
        scale: float = 0.0,
    ) -> None:
        if not 1 <= min_parts <= max_parts:
            raise ValueError(f"needs 1 <= min_parts <= max_parts, got {min_parts} and {max_parts}")
        if low_gap > high_gap:
            raise ValueError(f"needs low_gap <= high_gap, got {low_gap} and {high_gap}")
        if shift < 0 or not 0 <= scale < 1:
            raise ValueError(f"shift must be 0 or more and scale lie in [0, 1), got {shift} and {scale}")
        self.counts, self.gap = (min_parts, max_parts), (low_gap, high_gap)
        self.shift, self.scale = shift, scale
        self.pool: dict[str | None, list[_Character]] = defaultdict(list)
        for line in pool:
            if not isinstance(line.strokes, list) or not line.strokes:
                raise ConfigError(f"{line.where}: a line to join from needs strokes of its own (no path)")
            self.pool[line.speaker].append(_Character(line.text, line.strokes))
        self.heights = {w: float(np.median([c.height for c in pool])) or 1.0 for w, pool in self.pool.items()}

    def __call__(self, line: Line, rng: np.random.Generator) -> Line:
        """Return a new line in place of the given one: its writer, other characters.

        Its strokes are arrays (n, 2), which ink_from_strokes takes like lists.
        """
        pool = self.pool.get(line.speaker)
        if not pool:
            return line
        count = int(rng.integers(self.counts[0], self.counts[1], endpoint=True))
        picks = [pool[i] for i in rng.integers(len(pool), size=count)]
        height = self.heights[line.speaker]
        gaps = rng.uniform(*self.gap, count) * height
        shifts = rng.uniform(-self.shift, self.shift, count) * height
        scales = 1 + rng.uniform(-self.scale, self.scale, count)
        strokes: list[Any] = []
        right = 0.0
        for pick, gap, shift, scale in zip(picks, gaps, shifts, scales, strict=True):
            moved = (pick.xy - pick.corner) * scale + [right, pick.corner[1] + shift]
            strokes += np.split(moved, pick.ends)
            right += pick.width * scale + gap
        extra = {**line.extra, "n_points": sum(map(len, strokes))}
        return replace(line, strokes=strokes, text="".join(p.text for p in picks), extra=extra, where="")


class _Character:
    """A single character, ready to be moved: points (n, 2), where strokes end, its left bottom corner, its size."""

    def __init__(self, text: str, strokes: list[Any]) -> None:
        self.text = text
        points = [np.array([point[:2] for point in stroke], np.float64) for stroke in strokes]
        self.xy = np.concatenate(points)
        self.ends = np.cumsum([len(stroke) for stroke in points])[:-1]
        self.corner = np.array([self.xy[:, 0].min(), self.xy[:, 1].max()])
        self.width, self.height = np.ptp(self.xy, axis=0).tolist()
