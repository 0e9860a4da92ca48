"""Training curves: read the metrics file that Lightning's CSVLogger writes and draw it as SVG."""

import csv
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree

Points = list[tuple[float, float]]

WIDTH, HEIGHT = 360, 230
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 12, 34
_MOST_POINTS = 300  # per curve; more are averaged in groups
_LOG_FROM = 30.0  # ratio of largest to smallest value from which the vertical axis is logarithmic


@dataclass(frozen=True, slots=True)
class Panel:
    """One diagram: a title, the columns of the metrics file that it shows, and whether they are shares of 1."""

    title: str
    columns: tuple[str, ...]
    percent: bool = False


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawn diagram: its title, its SVG, and one sentence per curve that says the same in words."""

    title: str
    svg: str
    notes: list[str]


PANELS = (
    Panel("Loss", ("train/loss", "val/loss")),
    Panel("Error rates on validation lines", ("val/cer", "val/wer"), percent=True),
    Panel("Share of blank frames on validation lines", ("val/blank",), percent=True),
)


def read_metrics(path: str | os.PathLike[str]) -> dict[str, Points]:
    """Read a metrics file into (step, value) points per column; empty and non-finite cells are left out.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not a CSV file with a column "step".
    """
    with open(path, encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        try:
            if "step" not in (reader.fieldnames or []):
                raise ValueError('it has no column "step"')
            points: dict[str, Points] = {}
            for row in reader:
                step = _number(row["step"])
                for column, cell in row.items():
                    value = _number(cell)
                    if column and step is not None and value is not None:
                        points.setdefault(column, []).append((step, value))
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(f"it is not a CSV file ({error})") from None
    return points


def _number(cell: object) -> float | None:
    try:
        value = float(cell)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None


def draw_charts(metrics: dict[str, Points]) -> list[Chart]:
    """Draw every panel that the metrics hold something for."""
    charts = []
    for panel in PANELS:
        curves = {name: sorted(points) for name in panel.columns if (points := _column(metrics, name))}
        if curves:
            charts.append(Chart(panel.title, draw(panel, curves), [_note(panel, *item) for item in curves.items()]))
    return charts


def _column(metrics: dict[str, Points], name: str) -> Points:
    # Lightning appends the ending where a metric is logged both ways
    return metrics.get(name) or metrics.get(f"{name}_epoch") or metrics.get(f"{name}_step") or []


def _note(panel: Panel, name: str, points: Points) -> str:
    step, value = min(points, key=lambda point: point[1])
    last_step, last = points[-1]
    if step == last_step:
        return f"{name}: lowest at the end, {_label(last, panel.percent)} at step {last_step:,.0f}"
    return (
        f"{name}: lowest {_label(value, panel.percent)} at step {step:,.0f}, "
        f"last {_label(last, panel.percent)} at step {last_step:,.0f}"
    )


def draw(panel: Panel, curves: dict[str, Points]) -> str:
    """Draw curves into one SVG element; they differ by dashes and marks as well as by colour.

    Colours are the classes ``curve-1``, ``curve-2``, ... and are left to the page's style sheet.

    Args:
        panel: title and unit.
        curves: (step, value) points per name, sorted by step, finite.
    """
    values = [value for points in curves.values() for _, value in points]
    steps = [step for points in curves.values() for step, _ in points]
    logarithmic = min(values) > 0 and max(values) / min(values) >= _LOG_FROM
    y_ticks = log_ticks(min(values), max(values)) if logarithmic else ticks(min(values), max(values), 5)
    x_ticks = ticks(min(steps), max(steps), 4)
    scale = math.log10 if logarithmic else float
    y_low, y_high = scale(min(y_ticks[0], *values)), scale(max(y_ticks[-1], *values))
    x_low, x_high = min(steps), max(steps)

    def x_of(step: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * ((step - x_low) / (x_high - x_low) if x_high > x_low else 0.5)

    def y_of(value: float) -> float:
        share = (scale(value) - y_low) / (y_high - y_low) if y_high > y_low else 0.5
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share

    svg = ElementTree.Element("svg", viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img")
    ElementTree.SubElement(svg, "title").text = f"{panel.title}: " + ", ".join(curves)
    for tick in y_ticks:
        level = f"{y_of(tick):.1f}"
        ends = {"x1": str(LEFT), "x2": str(WIDTH - RIGHT), "y1": level, "y2": level}
        ElementTree.SubElement(svg, "line", {"class": "grid"} | ends)
        add_text(svg, LEFT - 5, y_of(tick) + 4, "end", _label(tick, panel.percent))
    for tick in x_ticks:
        if x_low <= tick <= x_high:
            add_text(svg, x_of(tick), HEIGHT - BOTTOM + 15, "middle", short(tick))
    add_text(
        svg, (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 4, "middle", "step" + (", logarithmic scale upwards" * logarithmic)
    )
    for number, points in enumerate(curves.values(), 1):
        spots = [(x_of(step), y_of(value)) for step, value in _thinned(points)]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
        ElementTree.SubElement(svg, "polyline", {"class": f"curve curve-{number}", "points": line})
        for spot in spots if len(spots) <= 40 else ():
            mark = {"class": f"mark curve-{number}", "d": _mark(number, *spot)}
            ElementTree.SubElement(svg, "path", mark)
    return ElementTree.tostring(svg, encoding="unicode")


def add_text(svg: ElementTree.Element, x: float, y: float, anchor: str, text: str) -> None:
    """Write text into a drawing; the anchor is "start", "middle" or "end"."""
    ElementTree.SubElement(svg, "text", {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor}).text = text


def _mark(number: int, x: float, y: float) -> str:
    if number == 1:
        return f"M{x - 2.5:.1f} {y - 2.5:.1f}h5v5h-5z"
    return f"M{x:.1f} {y - 3.5:.1f}l3.5 6.5h-7z"


def _thinned(points: Points) -> Iterator[tuple[float, float]]:
    """Average neighbouring points so that no curve holds more than a page can show."""
    group = math.ceil(len(points) / _MOST_POINTS)
    for start in range(0, len(points), group):
        part = points[start : start + group]
        yield sum(step for step, _ in part) / len(part), sum(value for _, value in part) / len(part)


def ticks(low: float, high: float, about: int) -> list[float]:
    """Return round numbers 1, 2 or 5 times a power of ten apart that span low to high."""
    if high <= low:
        return [low]
    rough = (high - low) / about
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough * 0.999)
    return [step * number for number in range(math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Return powers of ten between low and high; with 2 and 5 times them too where that leaves few."""
    decades = range(math.floor(math.log10(low)), math.floor(math.log10(high)) + 1)
    ticks: list[float] = []
    for factors in ((1, 2, 5), (1,)):
        ticks = [factor * 10.0**decade for decade in decades for factor in factors]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) <= 8:
            return ticks
    return ticks[:: math.ceil(len(ticks) / 8)]


def _label(value: float, percent: bool) -> str:
    return f"{100 * value:.3g} %" if percent else short(value)


def short(value: float) -> str:
    """Format a number in few signs: 12345 becomes "12.35k"."""
    if abs(value) >= 1e6:
        return f"{value / 1e6:.4g}M"
    if abs(value) >= 1e4:
        return f"{value / 1e3:.4g}k"
    return f"{value:.4g}"
