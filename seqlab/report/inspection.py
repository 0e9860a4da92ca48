"""The picture of what goes on in a network while it reads one line: panels over one axis of time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from seqlab.report.curves import short, ticks
from seqlab.report.drawing import DIVERGING, LEVELS, PAPER, SEQUENTIAL, Drawing, colours, levels

LEFT, RIGHT, GAP = 112.0, 64.0, 12.0
LOWEST = 0.005  # posteriors below are not drawn
_ROOM = 8.0  # pixels that a symbol over a spike needs; nearer ones stand higher


@dataclass(frozen=True, slots=True)
class Panel:
    """A heat map over the frames.

    Attributes:
        name: what it shows, at its left.
        values: (rows, columns), the first row above.
        frames: how many frames the columns stretch over.
        kind: "activity", from 0, or as far both ways, what is unbounded up to its 95th percentile; "range", from low to
            high; "paper", 0 to 1, ink on paper.
        height: in pixels.
        detail: said below the name.
    """

    name: str
    values: np.ndarray
    frames: float
    kind: Literal["activity", "range", "paper"] = "activity"
    height: float = 96.0
    detail: str = ""

    @property
    def ends(self) -> tuple[float, float]:
        """The values of the first and the last colour."""
        if self.kind == "range":
            low, high = np.percentile(self.values, (1, 99.8)).tolist()
            return low, high
        low, high = float(self.values.min()), float(np.abs(self.values).max())
        if high > 1:  # a state may be far above all others: it would leave them without colour
            high = max(float(np.percentile(np.abs(self.values), 95)), 1.0)
        elif low >= 0:
            high = 1.0
        return (0.0 if low >= 0 else -high), high

    @property
    def corners(self) -> Sequence[str]:
        """The colours."""
        if self.kind == "activity" and self.ends[0] < 0:
            return DIVERGING
        return PAPER if self.kind == "paper" else SEQUENTIAL


@dataclass(frozen=True, slots=True)
class Place:
    """A symbol, its frames, fractions counted, and the frame in which it is likeliest."""

    text: str
    start: float
    end: float
    peak: float = 0.0


@dataclass(slots=True)
class Inspection:
    """A line, as a network read it.

    Attributes:
        title: what was read.
        frames: of the output.
        unit: of the axis.
        scale: units per frame; below 0 where a line is read from the right.
        offset: unit at the first frame's begin.
        panels: input and activity.
        posteriors: (T, V), blank 0.
        symbols: texts of the labels.
        text: what was decoded.
        decoded: its symbols.
        aligned: symbols of a given text; empty if none was given.
        ink: points (N, 4) of strokes, else None.
        notes: sentences below the picture.
    """

    title: str
    frames: int
    unit: str
    scale: float
    offset: float
    panels: list[Panel]
    posteriors: np.ndarray
    symbols: list[str]
    text: str
    decoded: list[Place]
    aligned: list[Place] = field(default_factory=list)
    ink: np.ndarray | None = None
    notes: list[str] = field(default_factory=list)


def draw_inspection(told: Inspection) -> Drawing:
    """Draw input, activity, posteriors with their spikes, and alignment, one below the other."""
    wide = min(max(told.frames * 7.0, 560.0), 1500.0)
    heights = [58.0, 116.0 if told.ink is not None else 0.0, *(p.height + GAP for p in told.panels)]
    heights += [124.0, 36.0 if told.aligned else 0.0, 40.0 + 16 * len(told.notes)]
    drawing = Drawing(LEFT + wide + RIGHT, sum(heights), f"{told.title}: {told.text}")
    drawing.text(8, 20, told.title, style="title")
    drawing.text(8, 42, "read as", style="head")
    drawing.text(LEFT, 42, told.text or "(nothing)")
    y = heights[0]

    def x_of(frame: float) -> float:
        share = min(max(frame / max(told.frames, 1), 0.0), 1.0)
        return LEFT + wide * (1 - share if told.scale < 0 else share)

    if told.ink is not None:
        _draw_ink(drawing, told.ink, y, wide)
        y += heights[1]
    for panel in told.panels:
        _draw_panel(drawing, panel, told, y, x_of)
        _draw_key(drawing, panel, LEFT + wide + 8, y)
        y += panel.height + GAP
    _draw_posteriors(drawing, told, y + 24, 92.0, x_of)
    y += 124
    if told.aligned:
        drawing.text(8, y + 16, "aligned text", style="head")
        for place in told.aligned:
            first, last = sorted((x_of(place.start), x_of(place.end)))
            drawing.box(first, y, max(last - first, 1.0), 24, "mark")
            drawing.text((first + last) / 2, y + 16, place.text, "middle")
        y += 36
    _draw_axis(drawing, told, y, x_of)
    for number, note in enumerate(told.notes):
        drawing.text(8, y + 36 + 16 * number, note, style="quiet")
    return drawing


def _draw_panel(drawing: Drawing, panel: Panel, told: Inspection, y: float, x_of: Callable[[float], float]) -> None:
    drawing.text(8, y + 12, panel.name, style="head")
    for number, row in enumerate(panel.detail.split("\n") if panel.detail else ()):
        drawing.text(8, y + 27 + 13 * number, row, style="quiet")
    columns = panel.values.shape[1]
    shown = min(columns, max(round(columns * told.frames / panel.frames), 1))
    values = panel.values[:, :shown]
    first, last = sorted((x_of(0), x_of(panel.frames * shown / columns)))
    heat = levels(values[:, ::-1] if told.scale < 0 else values, *panel.ends)
    drawing.heat(first, y, last - first, panel.height, heat, panel.corners)
    drawing.box(first, y, last - first, panel.height, "frame")


def _draw_key(drawing: Drawing, panel: Panel, x: float, y: float) -> None:
    """Draw which colour is which value."""
    if panel.kind == "paper":
        return
    low, high = panel.ends
    drawing.heat(x, y, 10, panel.height, np.arange(LEVELS, dtype=np.uint8)[::-1, None], panel.corners)
    above, below = "≥" * bool(panel.values.max() > high), "≤" * bool(panel.values.min() < low)
    drawing.text(x + 14, y + 9, above + short(float(f"{high:.2g}")))
    drawing.text(x + 14, y + panel.height, below + short(float(f"{low:.2g}")))


def _draw_ink(drawing: Drawing, ink: np.ndarray, y: float, wide: float) -> None:
    """Draw strokes on paper, their colour telling the time."""
    drawing.text(8, y + 12, "ink", style="head")
    drawing.text(8, y + 27, "dark first,", style="quiet")
    drawing.text(8, y + 40, "bright last", style="quiet")
    drawing.box(LEFT, y, wide, 104, "paper")
    points = ink[:, :2] - ink[:, :2].min(0)
    span = np.maximum(points.max(0), 1e-9)
    places = points * min((wide - 16) / span[0], 88 / span[1]) + (LEFT + 8, y + 8)
    shades = colours(SEQUENTIAL)[: LEVELS * 7 // 8]  # the last are too bright for paper
    ends = np.flatnonzero(ink[:-1, 3] > 0.5) + 1
    for stroke in np.split(np.arange(len(ink)), ends):
        for first in range(0, max(len(stroke) - 1, 1), 8):  # neighbours share a point
            piece = stroke[first : first + 9]
            shade = shades[int(piece[0]) * len(shades) // len(ink)]
            rows = [tuple(places[i].tolist()) for i in piece]
            drawing.line(rows * 2 if len(rows) == 1 else rows, "ink", stroke="#" + bytes(shade).hex())


def _draw_posteriors(
    drawing: Drawing, told: Inspection, y: float, height: float, x_of: Callable[[float], float]
) -> None:
    """Draw the probability of blank, and of every symbol that was decoded or aligned or wins a frame."""
    drawing.text(8, y + 12, "posteriors", style="head")
    drawing.text(8, y + 27, "grey, dashed:", style="quiet")
    drawing.text(8, y + 40, "blank", style="quiet")
    wide = abs(x_of(told.frames) - x_of(0))
    for level in (0.0, 0.5, 1.0):
        drawing.line([(LEFT, y + height * (1 - level)), (LEFT + wide, y + height * (1 - level))], "grid")
        drawing.text(LEFT + wide + 6, y + height * (1 - level) + 4, f"{level:g}")

    def curve(values: np.ndarray, first: int) -> list[tuple[float, float]]:
        return [(x_of(first + i + 0.5), y + height * (1 - float(p))) for i, p in enumerate(values)]

    if len(told.posteriors):
        drawing.line(curve(told.posteriors[:, 0], 0), "blank")
    tall = told.posteriors.max(0, initial=0) > 0.1
    for label in np.flatnonzero(tall[1:]) + 1:
        column = told.posteriors[:, label]
        seen = np.convolve(column > LOWEST, [1, 1, 1])[1:-1] > 0  # a frame on, so that spikes stand on the ground
        edges = np.flatnonzero(np.diff(seen, prepend=False, append=False))
        for first, last in edges.reshape(-1, 2).tolist():
            drawing.curve(curve(column[first:last], first), int(label) % 5)
    before, high = -np.inf, False
    for place in sorted(told.decoded, key=lambda p: x_of(p.peak)):
        x = x_of(place.peak + 0.5)
        high = x - before < _ROOM and not high
        drawing.text(x, y - (15 if high else 4), place.text, "middle", "head")
        before = x


def _draw_axis(drawing: Drawing, told: Inspection, y: float, x_of: Callable[[float], float]) -> None:
    low, high = sorted((told.offset, told.offset + told.frames * told.scale))
    for tick in ticks(low, high, 10):
        if low <= tick <= high:
            x = x_of((tick - told.offset) / told.scale)
            drawing.line([(x, y - 4), (x, y + 1)], "frame")
            drawing.text(x, y + 14, f"{short(tick)} {told.unit}", "middle")
