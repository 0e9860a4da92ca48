"""Augmentation of line images, on the fly: geometry in one resampling, stroke thickness, ink and paper.

Images are ink (S, Y), uint8, as ``ImageColumns.prepare`` makes them: 0 paper, 255 full ink.
"""

from typing import Any

import numpy as np

from seqlab.data.augment import Augmentation, white_noise


class LineWarp(Augmentation):
    """Scale, shear, turn, shift and bend a line, all in one resampling of quadrilaterals.

    What a shear leans out of the picture is lost: the frontend's `pad` leaves room at both ends.

    Args:
        width: the width is scaled by up to this share, narrower or wider.
        height: the writing's height is scaled by up to this share; the image keeps its rows.
        shear: largest shear, columns per row: 0.3 leans strokes by 17 degrees.
        slope: largest slope of the line, rows per column.
        shift: largest shift up or down, as a share of the height.
        bend: size of the random displacements of a grid's nodes, standard deviation as a share of the height;
            0 bends nothing.
        cell: distance of the nodes along the line, as a share of the height; there are three rows of them.
    """

    kind = "image"

    def __init__(
        self,
        width: float = 0.15,
        height: float = 0.1,
        shear: float = 0.3,
        slope: float = 0.012,
        shift: float = 0.05,
        bend: float = 0.0,
        cell: float = 0.75,
    ) -> None:
        for name, value in (("width", width), ("height", height)):
            if not 0 <= value < 1:
                raise ValueError(f"{name} must lie in [0, 1), got {value}")
        if min(shear, slope, shift, bend) < 0 or cell <= 0:
            raise ValueError("shear, slope, shift and bend must be 0 or more, cell above 0")
        self.width, self.height, self.shear, self.slope = width, height, shear, slope
        self.shift, self.bend, self.cell = shift, bend, cell

    def draw(self, rng: np.random.Generator) -> Any:
        """Draw the parameters of one line: scales of width and height, shear, slope, shift."""
        bounds = np.array([self.width, self.height, self.shear, self.slope, self.shift])
        return (rng.uniform(-1, 1, 5) * bounds).tolist()

    def stretch(self, value: Any) -> float:
        """Return the factor by which the line's length changes."""
        return 1.0 + float(value[0])

    def apply(self, signal: np.ndarray, value: Any, rng: np.random.Generator) -> np.ndarray:
        """Warp an image (S, Y)."""
        from seqlab.data._mesh import warp  # numba is imported when it is wanted

        columns, rows = signal.shape
        width, height, shear, slope, shift = value
        size = max(round(columns * (1 + width)), 1)
        nodes = 4 if self.bend else 2
        across = max(round(size / (self.cell * rows)), 1) + 1 if self.bend else 2
        x = np.unique(np.linspace(0, size, across).round())  # nodes of tiny images may coincide
        y = np.unique(np.linspace(0, rows, nodes).round())
        across, nodes = len(x), len(y)
        target_x, target_y = np.meshgrid(x, y)  # (nodes, across)
        level = target_y - rows / 2
        source_x = target_x / (1 + width) + shear * level
        source_y = rows / 2 + level / (1 + height) + (shift + slope * (target_x - size / 2) / rows) * rows
        if self.bend:
            moved = rng.normal(0, self.bend * rows, (2, nodes, across))
            source_x = source_x + moved[0]
            source_y = source_y + moved[1]
        warped: np.ndarray = warp(
            np.ascontiguousarray(signal), x.astype(np.int64), y.astype(np.int64), source_x, source_y
        )
        return warped


class Thickness(Augmentation):
    """Make strokes thicker (positive) or thinner (negative), by a share of a pixel on each side.

    Args:
        low: thinnest, -1 or more.
        high: thickest, 1 or less.
    """

    kind = "image"

    def __init__(self, low: float = -0.5, high: float = 0.7) -> None:
        super().__init__(low, high)
        if low < -1 or high > 1:
            raise ValueError(f"low and high must lie in [-1, 1], got {low} and {high}")

    def apply(self, signal: np.ndarray, value: float, rng: np.random.Generator) -> np.ndarray:
        """Blend an image (S, Y) with what a cross of five pixels makes of it."""
        edge = np.pad(signal, 1, mode="edge")
        combine = np.maximum if value > 0 else np.minimum
        other = combine(combine(edge[:-2, 1:-1], edge[2:, 1:-1]), combine(edge[1:-1, :-2], edge[1:-1, 2:]))
        other = combine(other, signal)
        share = round(abs(value) * 256)
        return ((signal.astype(np.uint16) * (256 - share) + other.astype(np.uint16) * share) >> 8).astype(np.uint8)


class InkAndPaper(Augmentation):
    """Change how dark the ink is and how clean the paper: strength, gamma, background, grain.

    Args:
        strength: the ink is multiplied by 1 plus or minus up to this.
        gamma: largest change of the exponent; 0.4 draws it between 1/1.4 and 1.4.
        paper: largest grey added to the paper, as a share of full ink.
        grain: largest standard deviation of white noise, as a share of full ink.
    """

    kind = "image"

    def __init__(self, strength: float = 0.25, gamma: float = 0.3, paper: float = 0.05, grain: float = 0.06) -> None:
        if not 0 <= strength < 1 or min(gamma, paper, grain) < 0:
            raise ValueError("strength must lie in [0, 1), gamma, paper and grain must be 0 or more")
        self.strength, self.gamma, self.paper, self.grain = strength, gamma, paper, grain

    def draw(self, rng: np.random.Generator) -> Any:
        """Draw the parameters of one line."""
        exponent = float(np.exp(rng.uniform(-1, 1) * np.log1p(self.gamma)))
        return (1 + self.strength * rng.uniform(-1, 1), exponent, self.paper * rng.random(), self.grain * rng.random())

    def apply(self, signal: np.ndarray, value: Any, rng: np.random.Generator) -> np.ndarray:
        """Change an image (S, Y)."""
        strength, exponent, paper, grain = value
        levels = (np.arange(256) / 255) ** exponent * strength + paper
        image = (levels * 255).astype(np.float32)[signal]
        if grain:
            image += white_noise(image.size, rng).reshape(image.shape) * np.float32(255 * grain)
        return np.clip(image, 0, 255, out=image).astype(np.uint8)
