"""Cut a text line out of a page, straightened along its baseline, and find the way back.

Column and row of a line image mean arc length along the baseline and distance from it. The baseline is resampled in
steps of one pixel, smoothed so that its corners do not fan out, and lengthened straight on to the ends of the outline;
column j of the image is what the page shows along the perpendicular at its middle, j + 0.5. A level baseline gives the
pixels of the page unchanged. What lies outside the outline is painted with the grey of the paper.

Coordinates are continuous: pixel i reaches from i to i + 1.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import scipy
from PIL import Image, ImageDraw

from seqlab.errors import DataError

if TYPE_CHECKING:
    from seqlab.pages.document import PageLine

Point = tuple[float, float]
MAX_LINE_PIXELS = 50_000_000
MAX_WINDING = 50  # outlines and baselines are at most so many times as long as width and height of the page together
_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class LineImage:
    """A line cut out of a page.

    Attributes:
        image: grey values, (Y, S), uint8, dark ink on light paper as on the page.
        feet: the points of the baseline at the edges of the columns, (S + 1, 2), x and y on the page.
        ups: unit vectors away from the baseline towards the top of the letters, (S + 1, 2).
        above: rows above the baseline, in pixels.
        below: rows below it.
    """

    image: np.ndarray
    feet: np.ndarray
    ups: np.ndarray
    above: float
    below: float

    def to_page(self, start: float, end: float) -> list[Point]:
        """Return the four corners of what lies between two columns, on the page.

        Args:
            start: column where it begins; 0 is the left edge of the image, values outside are brought inside.
            end: column where it ends.

        Returns:
            Corners (x, y) in pixels of the page: top left, top right, bottom right, bottom left, as the line is read
            in the image.
        """
        columns = np.arange(len(self.feet))
        corners = []
        for column in (min(start, end), max(start, end)):
            x, y, right, down = (float(np.interp(column, columns, v)) for v in (*self.feet.T, *self.ups.T))
            top = (x + right * self.above, y + down * self.above)
            corners.append((top, (x - right * self.below, y - down * self.below)))
        (top_left, bottom_left), (top_right, bottom_right) = corners
        return [top_left, top_right, bottom_right, bottom_left]


def crop_line(image: np.ndarray, line: "PageLine", reach: tuple[float, float] | None = None) -> LineImage:
    """Cut a line out of the image of its page.

    Args:
        image: grey values of the page, (Y, S), uint8.
        line: with coordinates in pixels of that image (see Page.fit).
        reach: pixels above and below the baseline for a line without an outline; see line_reach.

    Raises:
        DataError: the line has neither outline nor baseline, lies outside the page, or makes no sense.
    """
    size = (image.shape[1], image.shape[0])
    polygon, baseline = np.array(line.polygon, float).reshape(-1, 2), np.array(line.baseline, float).reshape(-1, 2)
    if len(polygon) < 3 or np.ptp(polygon[:, 0]) < 1 or np.ptp(polygon[:, 1]) < 1:
        polygon = np.zeros((0, 2))
    if len(baseline) < 2 or np.ptp(baseline, axis=0).max() < 1:
        baseline = np.zeros((0, 2))
    if not len(polygon) and not len(baseline):
        raise DataError(f"line {line.id!r} has neither an outline nor a baseline; draw one of them, or remove the line")
    if len(polygon):
        polygon = np.clip(polygon, 0, size)
        if np.ptp(polygon[:, 0]) < 1 or np.ptp(polygon[:, 1]) < 1:
            raise DataError(f"line {line.id!r} lies outside its image of {size[0]} x {size[1]} pixels")
        _check_winding(polygon, line, size)
        if len(baseline):  # it may run beside the page, where letters are cut off
            baseline = np.clip(baseline, -max(size), 2 * max(size))
        if not len(baseline) or np.ptp(baseline, axis=0).max() < 1:
            baseline = straight_baseline(polygon)
        above = below = 0.0
        height = min(_area(polygon) / _length(baseline), float(np.ptp(polygon, axis=0).min()))
    else:
        above, below = (min(part, size[1]) for part in reach or (size[1] / 40, size[1] / 100))
        height = above + below
        baseline = np.clip(baseline, 0, size)
        if np.ptp(baseline, axis=0).max() < 1:
            raise DataError(f"line {line.id!r} lies outside its image of {size[0]} x {size[1]} pixels")
    _check_winding(baseline, line, size)
    path = _lengthen(baseline, polygon) if len(polygon) else baseline
    edges, ups = _arc(path, height)
    if len(polygon):
        above, below, first, last = _bounds(edges, ups, polygon)
        edges, ups = edges[first : last + 1], ups[first : last + 1]
    rows, columns = max(1, int(np.ceil(above + below - 1e-6))), len(edges) - 1
    if columns < 1 or rows * columns > MAX_LINE_PIXELS:
        raise DataError(f"line {line.id!r} would be {columns} x {rows} pixels; correct its outline or baseline")
    below = rows - above
    return LineImage(_sample(image, edges, ups, above, rows, polygon), edges, ups, above, below)


def line_reach(lines: Sequence["PageLine"]) -> tuple[float, float] | None:
    """Estimate how far lines reach above and below their baselines, in pixels, for those that have no outline.

    The median of the lines that have both; else a share of the distance between baselines that lie over one another.
    None if neither is there.
    """
    both = [
        _extent(np.array(line.baseline, float), np.array(line.polygon, float))
        for line in lines
        if len(line.baseline) > 1 and len(line.polygon) > 2
    ]
    if both:
        above, below = np.median(np.array(both), axis=0)
        return float(above), float(below)
    boxes = [(np.min(line.baseline, axis=0), np.max(line.baseline, axis=0)) for line in lines if len(line.baseline) > 1]
    heights = sorted((float((low[1] + high[1]) / 2), float(low[0]), float(high[0])) for low, high in boxes)
    gaps = []
    for index, (y, left, right) in enumerate(heights):
        below_it = (other for other in heights[index + 1 :] if other[1] < right and other[2] > left and other[0] > y)
        if (nearest := next(below_it, None)) is not None:
            gaps.append(nearest[0] - y)
    if not gaps:
        return None
    gap = float(np.median(gaps))
    return 0.7 * gap, 0.3 * gap


def straight_baseline(polygon: np.ndarray) -> np.ndarray:
    """Lay a straight baseline at the bottom third of an outline (N, 2): a line fitted between its edges.

    It is level if the outline is upright, or if the slope comes to less than two pixels in all.
    """
    dense = _dense(polygon)
    left, right = polygon[:, 0].min(), polygon[:, 0].max()
    margin = (right - left) / 10  # ends may be slanted, which says nothing about the line
    middles, levels = [], []
    for start, end in pairwise(np.linspace(left + margin, right - margin, 17)):
        ys = dense[(dense[:, 0] >= start) & (dense[:, 0] <= end), 1]
        if len(ys):
            middles.append((start + end) / 2)
            levels.append(ys.max() - np.ptp(ys) / 3)
    if not levels:
        levels = [polygon[:, 1].max() - np.ptp(polygon[:, 1]) / 3]
    slope, level = np.polyfit(middles, levels, 1) if len(middles) > 1 else (0.0, levels[0])
    if abs(slope) * (right - left) < 2 or np.ptp(polygon[:, 1]) > right - left:
        return np.array([(left, np.median(levels)), (right, np.median(levels))])
    return np.array([(left, slope * left + level), (right, slope * right + level)])


def _length(path: np.ndarray) -> float:
    return float(np.hypot(*np.diff(path, axis=0).T).sum())


def _check_winding(path: np.ndarray, line: "PageLine", size: tuple[int, int]) -> None:
    """Refuse what would take ever so many steps of a pixel."""
    if (length := _length(path)) > MAX_WINDING * sum(size):
        raise DataError(
            f"line {line.id!r} winds over {length:.0f} pixels of a page of {size[0]} x {size[1]}; correct its outline "
            "or baseline"
        )


def _dense(polygon: np.ndarray, step: float = 1.0) -> np.ndarray:
    """Return points along the edges of a closed polygon, about a step apart."""
    pieces = []
    for start, end in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        count = max(1, int(np.ceil(np.hypot(*(end - start)) / step)))
        pieces.append(start + (end - start) * np.arange(count)[:, None] / count)
    return np.concatenate(pieces)


def _area(polygon: np.ndarray) -> float:
    x, y = polygon.T
    return abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2


def _extent(baseline: np.ndarray, polygon: np.ndarray) -> tuple[float, float]:
    """Measure roughly how far an outline reaches above and below a baseline, in pixels of y."""
    distance = np.interp(polygon[:, 0], baseline[:, 0], baseline[:, 1]) - polygon[:, 1]
    return float(max(distance.max(), 1.0)), float(max(-distance.min(), 0.0))


def _lengthen(baseline: np.ndarray, polygon: np.ndarray) -> np.ndarray:
    """Carry a baseline straight on, in the direction of its ends, to the ends of the outline."""
    ends = []
    for points in (baseline, baseline[::-1]):
        direction = points[0] - points[_far(points)]
        direction = direction / np.hypot(*direction)
        ends.append(points[0] + direction * max(0.0, float(((polygon - points[0]) @ direction).max())))
    return np.concatenate([ends[:1], baseline, ends[1:]])


def _far(points: np.ndarray) -> int:
    """Return the index of the first point that lies a few pixels off the first one: a direction needs some length."""
    distances = np.hypot(*(points - points[0]).T)
    return int(np.argmax(distances >= min(8.0, distances.max())))


def _arc(path: np.ndarray, height: float) -> tuple[np.ndarray, np.ndarray]:
    """Resample a path in steps of one pixel; returns its points and the unit vectors to its upper side, (N, 2)."""
    path = _steps(path, 1.0)
    if len(path) > 3 and np.abs(np.diff(path, 2, axis=0)).max() > 1e-6:
        # Past its ends the path goes straight on, so that smoothing neither shortens nor bends them.
        count = int(height) + 2
        head = path[0] + (path[0] - path[1]) * np.arange(count, 0, -1)[:, None]
        tail = path[-1] + (path[-1] - path[-2]) * np.arange(1, count + 1)[:, None]
        smooth = scipy.ndimage.gaussian_filter1d(
            np.concatenate([head, path, tail]), max(1.0, height / 2), axis=0, mode="nearest"
        )
        path = _steps(smooth[count:-count], 1.0)
    along = np.gradient(path, axis=0) if len(path) > 1 else np.array([[1.0, 0.0]])
    along /= np.maximum(np.hypot(along[:, 0], along[:, 1]), 1e-9)[:, None]
    return path, np.stack([along[:, 1], -along[:, 0]], axis=1)


def _steps(path: np.ndarray, step: float) -> np.ndarray:
    """Return points on a path a step apart; the last step may reach beyond its end."""
    lengths = np.hypot(*np.diff(path, axis=0).T)
    path, lengths = np.concatenate([path[:1], path[1:][lengths > 0]]), lengths[lengths > 0]
    position = np.concatenate([[0.0], np.cumsum(lengths)])
    wanted = np.arange(0, np.ceil(position[-1] / step - 1e-6) + 1) * step
    points = np.stack([np.interp(wanted, position, path[:, axis]) for axis in (0, 1)], axis=1)
    beyond = wanted[-1] - position[-1]
    points[-1] += (path[-1] - path[-2]) / lengths[-1] * beyond
    return points


def _bounds(edges: np.ndarray, ups: np.ndarray, polygon: np.ndarray) -> tuple[float, float, int, int]:
    """Return how far the outline reaches above and below the path, and its first and last column edge."""
    dense = _dense(polygon, 2.0)
    dense = np.concatenate([polygon, dense])
    _, nearest = scipy.spatial.cKDTree(edges).query(dense)
    distance = ((dense - edges[nearest]) * ups[nearest]).sum(axis=1)
    above, below = max(float(distance.max()), 1.0), max(float(-distance.min()), 0.0)
    first, last = int(nearest.min()), int(nearest.max())
    return above, below, first, max(last, first + 1) if last + 1 < len(edges) else len(edges) - 1


def _sample(
    image: np.ndarray, edges: np.ndarray, ups: np.ndarray, above: float, rows: int, polygon: np.ndarray
) -> np.ndarray:
    """Read the page along the perpendiculars of the path; paper outside the outline and the page."""
    feet = (edges[1:] + edges[:-1]) / 2
    normals = (ups[1:] + ups[:-1]) / 2
    heights = above - 0.5 - np.arange(rows)
    xs = feet[:, 0] + heights[:, None] * normals[:, 0] - 0.5  # (Y, S)
    ys = feet[:, 1] + heights[:, None] * normals[:, 1] - 0.5
    left, top = (int(np.clip(np.floor(v.min()) - 1, 0, n - 1)) for v, n in ((xs, image.shape[1]), (ys, image.shape[0])))
    right, bottom = int(np.ceil(xs.max())) + 2, int(np.ceil(ys.max())) + 2
    part = image[top : max(bottom, top + 1), left : max(right, left + 1)]
    inside = np.ones(part.shape, np.uint8)
    if len(polygon):
        mask = Image.new("L", part.shape[::-1], 0)
        corners = [(float(x - left - 0.5), float(y - top - 0.5)) for x, y in polygon]
        ImageDraw.Draw(mask).polygon(corners, fill=1, outline=1)
        inside = np.asarray(mask)
    ys, xs = ys - top, xs - left
    values = scipy.ndimage.map_coordinates(part, (ys, xs), np.float32, order=1, mode="nearest")
    kept = scipy.ndimage.map_coordinates(inside, (ys, xs), order=0, mode="constant", cval=0) > 0
    paper = np.percentile(values[kept] if kept.any() else part, 75)  # ink covers less than half: the paper's median
    return np.clip(np.round(np.where(kept, values, paper)), 0, 255).astype(np.uint8)
