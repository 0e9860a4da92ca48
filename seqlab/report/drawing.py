"""Pictures that stand alone: an SVG with its own colours for light and dark pages, heat maps, curves with a legend.

No colour tells anything alone: curves differ by their dashes, too, and the maps of heat go evenly from dark to light
(or from the middle to both ends), which eyes without colour vision and grey printers keep.
"""

import base64
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from xml.etree import ElementTree

import numpy as np
from PIL import Image

from seqlab.report.curves import Points, short, ticks

LEVELS = 64  # colours of a heat map: no eye tells more, and a file stays small
MOST_COLUMNS = 1600  # of a heat map; more are averaged in groups
_DASHES = ("", "7 3", "2 3", "9 3 2 3")
_CURVES = (  # light page, dark page: after Okabe and Ito, told apart by all eyes
    ("#0b57b8", "#6cb2ff"),
    ("#b3400a", "#ffa366"),
    ("#00694d", "#3fd3a5"),
    ("#8f2f77", "#f0a0d8"),
    ("#5c5f66", "#b9bec7"),
)
_STYLE = (
    ":root{color-scheme:light dark;--page:#fff;--text:#1c2128;--quiet:#57606a;--line:#d0d7de;LIGHT}"
    "@media(prefers-color-scheme:dark){:root{--page:#14181d;--text:#e4e8ed;--quiet:#a3adb8;--line:#363e48;DARK}}"
    ".page{fill:var(--page)}text{font:11px system-ui,sans-serif;fill:var(--text)}.quiet{fill:var(--quiet)}"
    ".title{font-size:14px;font-weight:700}.head{font-weight:700}.small{font-size:9px}"
    ".grid{fill:none;stroke:var(--line)}.frame{fill:none;stroke:var(--quiet)}.paper{fill:#fff}"
    ".blank{fill:none;stroke:var(--quiet);stroke-dasharray:3 2}.curve{fill:none;stroke-width:1.6;stroke-linejoin:round}"
    ".mark{fill:var(--quiet);fill-opacity:.14;stroke:var(--quiet)}.heat{image-rendering:pixelated}"
    ".ink{fill:none;stroke-width:2;stroke-linecap:round;stroke-linejoin:round}"
).replace("LIGHT", "".join(f"--c{i}:{light};" for i, (light, _) in enumerate(_CURVES)))
_STYLE = _STYLE.replace("DARK", "".join(f"--c{i}:{dark};" for i, (_, dark) in enumerate(_CURVES)))
_STYLE += "".join(f".c{i}{{stroke:var(--c{i})}}" for i in range(len(_CURVES)))

# Corners of the maps, between which colours are interpolated.
SEQUENTIAL = ("#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30", "#fde725")
DIVERGING = ("#08306b", "#2171b5", "#6baed6", "#c6dbef", "#f7f7f7", "#fdd0a2", "#fd8d3c", "#d94801", "#7f2704")
PAPER = ("#ffffff", "#000000")


def colours(corners: Sequence[str], count: int = LEVELS) -> np.ndarray:
    """Return so many colours from the first corner to the last, (count, 3), uint8."""
    points = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in corners], dtype=float)
    at = np.linspace(0, len(corners) - 1, count)
    return np.stack([np.interp(at, range(len(corners)), points[:, i]) for i in range(3)], 1).round().astype(np.uint8)


class Drawing:
    """A picture in the making.

    Args:
        width: in pixels, as all places are.
        height: grows downwards.
        title: told by screen readers, and when a pointer rests on it.
    """

    def __init__(self, width: float, height: float, title: str) -> None:
        box = {"viewBox": f"0 0 {width:.0f} {height:.0f}", "width": f"{width:.0f}", "height": f"{height:.0f}"}
        self._svg = ElementTree.Element("svg", {"xmlns": "http://www.w3.org/2000/svg", "role": "img"} | box)
        self._add("title").text = printable(title)
        self._add("style").text = _STYLE
        self.box(0, 0, width, height, "page")

    def _add(self, tag: str, style: str = "", **places: float | str) -> ElementTree.Element:
        named = {key: value if isinstance(value, str) else f"{value:.1f}" for key, value in places.items()}
        return ElementTree.SubElement(self._svg, tag, ({"class": style} if style else {}) | named)

    def text(self, x: float, y: float, text: str, anchor: str = "start", style: str = "") -> None:
        """Write a text whose baseline is y; the anchor is "start", "middle" or "end"."""
        self._add("text", style, x=x, y=y, **{"text-anchor": anchor}).text = printable(text)

    def box(self, x: float, y: float, width: float, height: float, style: str) -> None:
        """Draw a rectangle."""
        self._add("rect", style, x=x, y=y, width=width, height=height)

    def line(self, points: Iterable[tuple[float, float]], style: str, **options: str) -> None:
        """Draw a line through points."""
        self._add("polyline", style, points=" ".join(f"{x:.1f},{y:.1f}" for x, y in points), fill="none", **options)

    def curve(self, points: Iterable[tuple[float, float]], number: int) -> None:
        """Draw the curve of a number; numbers have colours and dashes of their own."""
        dash = _DASHES[number // len(_CURVES) % len(_DASHES)]
        options = {"stroke-dasharray": dash} if dash else {}
        self.line(points, f"curve c{number % len(_CURVES)}", **options)

    def heat(self, x: float, y: float, width: float, height: float, levels: np.ndarray, corners: Sequence[str]) -> None:
        """Draw levels (rows, columns), 0 to LEVELS - 1, uint8, from the top, as colours between corners."""
        picture = Image.fromarray(np.ascontiguousarray(levels), mode="P")
        picture.putpalette(colours(corners).tobytes())
        file = io.BytesIO()
        picture.save(file, "PNG", optimize=True)
        data = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")
        places = {"x": x, "y": y, "width": width, "height": height}
        self._add("image", "heat", **places, href=data, preserveAspectRatio="none")

    def svg(self) -> str:
        """Return the picture as the text of an SVG file."""
        return ElementTree.tostring(self._svg, encoding="unicode") + "\n"


def printable(text: str) -> str:
    """Return a text that XML can hold and an eye can see: a space alone as ␣, what cannot be shown as ·."""
    return "␣" if text == " " else "".join(c if c.isprintable() else "·" for c in text)


def levels(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return values (rows, columns) between two ends as levels of a heat map; wide ones are averaged in groups."""
    group = math.ceil(values.shape[1] / MOST_COLUMNS)
    if group > 1:
        starts = np.arange(0, values.shape[1], group)
        values = np.add.reduceat(values, starts, axis=1) / np.diff(starts, append=values.shape[1])
    share = (values - low) / (high - low if high > low else 1.0)
    return (np.nan_to_num(share).clip(0, 1) * (LEVELS - 1)).round().astype(np.uint8)


def plot(
    title: str,
    curves: Mapping[str, Points],
    x_label: str,
    y_label: str,
    floor: float,
) -> Drawing:
    """Draw curves over a logarithmic scale; where there are several, with a legend in their order.

    Args:
        title: of the picture.
        curves: (x, y) points per name, sorted by x; a curve ends where it falls below the floor.
        x_label: what x is, with its unit.
        y_label: what y is.
        floor: lowest y that is shown, above 0.
    """
    left, top, wide, high = 52.0, 46.0, 480.0, 300.0
    legend = 210.0 if len(curves) > 1 else 16.0
    drawing = Drawing(left + wide + legend, top + high + 46, title)
    drawing.text(8, 18, title, style="title")
    drawing.text(8, 36, y_label, style="quiet")
    xs = [x for points in curves.values() for x, _ in points]
    low, high_y = math.log10(floor), max(y for points in curves.values() for _, y in points)
    ceiling = math.ceil(math.log10(high_y) - 1e-9)
    x_low, x_high = min(xs), max(xs)

    def x_of(x: float) -> float:
        return left + wide * (x - x_low) / ((x_high - x_low) or 1.0)

    def y_of(y: float) -> float:
        return top + high * (ceiling - math.log10(y)) / ((ceiling - low) or 1.0)

    step = math.ceil((ceiling - low) / 8)
    for power in range(ceiling, math.ceil(low) - 1, -step):
        drawing.line([(left, y_of(10.0**power)), (left + wide, y_of(10.0**power))], "grid")
        drawing.text(left - 6, y_of(10.0**power) + 4, f"1e{power}" if power else "1", "end")
    for tick in ticks(x_low, x_high, 6):
        if x_low <= tick <= x_high:
            drawing.text(x_of(tick), top + high + 16, short(tick), "middle")
    drawing.text(left + wide / 2, top + high + 36, x_label, "middle")
    for number, (name, points) in enumerate(curves.items()):
        seen = [(x_of(x), y_of(y)) for x, y in points if y >= floor]
        drawing.curve(_thinned(seen), number)
        if len(curves) > 1:
            y = top + 8 + 18 * number
            drawing.curve([(left + wide + 16, y), (left + wide + 48, y)], number)
            drawing.text(left + wide + 54, y + 4, name)
    drawing.box(left, top, wide, high, "frame")
    return drawing


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Keep at most 300 points, the last among them."""
    return points[:: math.ceil(len(points) / 300) or 1] + points[-1:]
