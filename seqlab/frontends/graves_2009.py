"""The 25 features per point of ink with which BLSTM and CTC first read handwriting."""

import numpy as np

from seqlab.frontends._ink import Strokes, baselines, check_positive, normalize, numbered, resample, stroke_starts

MAX_SPEED = 50.0  # line heights per second; faster is a fault of the times
MAX_CURLINESS = 10.0
MAX_JUMP = 10.0  # line heights; sensors jump, and one jump must not rule the statistics of a corpus
MARGIN = 0.1  # line heights; ink nearer to the corpus line or the baseline is neither ascender nor descender


class Graves2009(Strokes):
    """25 features per point, about its place, its neighbours along the ink, and the ink around it.

    The set of Liwicki and Bunke, used by Graves et al., "A novel connectionist system for unconstrained handwriting
    recognition", IEEE TPAMI 31(5), 2009. The papers themselves were not at hand: the list and the meaning of each
    feature are as described in a later book chapter of the same school, second-hand, and where that leaves a number or
    a sign open it is a choice made here, marked (*) below. The network then wants ``normalize=global``.

    | feature | number | meaning |
    |---|---|---|
    | pen-up | 1 | 1 at the first point after the pen was down again (*), else 0 |
    | hat | 1 | 1 where a delayed stroke (dot, bar) was taken away above or below the point |
    | speed | 1 | line heights per second (*), measured before resampling; 0 without times |
    | x | 1 | less the mean x of the points up to one line height of ink away (*) |
    | y | 1 | from the baseline, growing down (*), in line heights |
    | direction | 2 | cosine and sine of the step that starts at the point |
    | curvature | 2 | cosine and sine of the turn from the step before to the step after; 1, 0 when straight (*) |
    | aspect | 1 | (height - width) / (height + width) of the vicinity |
    | slope | 2 | cosine and sine of the line from the vicinity's first to its last point |
    | curliness | 1 | length of the vicinity by the larger of its width and height |
    | linearity | 1 | mean squared distance of the vicinity from that line, in squared distances of points (*) |
    | ascender, descender | 2 | ink near in x and above the corpus line, below the baseline, in line heights (*) |
    | context map | 9 | ink in the 3 x 3 cells around the point, row by row from above, in line heights (*) |

    The vicinity is the points up to ``vicinity`` before and after in the same stroke (*). A delayed stroke (*) is
    shorter than a line height, lies left of the right end of what was written before, and stays above the middle
    between corpus line and baseline.

    Args:
        points_per_height: points on a stroke as long as the line is high.
        vicinity: points on each side that make the vicinity of a point.
        cell: side of a cell of the context map, in line heights; ascenders and descenders count within 1.5 cells in x.
        delayed: take delayed strokes away; the hat feature tells where they were.

    Attributes:
        num_features: 25.
    """

    def __init__(
        self, points_per_height: float = 20.0, vicinity: int = 3, cell: float = 0.25, delayed: bool = True
    ) -> None:
        check_positive(points_per_height=points_per_height, vicinity=vicinity, cell=cell)
        self.points_per_height, self.vicinity, self.cell, self.delayed = points_per_height, vicinity, cell, delayed
        self.num_features = 25

    def prepare(self, ink: np.ndarray) -> np.ndarray:
        """Turn the ink of one line (N, 4) into frames (T, 25), float32; (0, 25) for no ink."""
        ink = normalize(ink)
        if not len(ink):
            return np.zeros((0, self.num_features), np.float32)
        base, corpus = baselines(ink)
        ink[:, 1] -= base
        corpus -= base
        removed: list[tuple[float, float]] = []
        if self.delayed:
            ink, removed = without_delayed(ink, corpus / 2)
        points = resample(_with_speed(ink), 1 / self.points_per_height)
        xy, end = points[:, :2], points[:, 3]
        starts = stroke_starts(end)
        counts = np.diff(np.append(starts, len(xy)))
        columns = [
            np.isin(np.arange(len(xy)), starts),
            _within(xy[:, 0], removed),
            points[:, 2],
            (xy[:, 0] - _moving_mean(xy[:, 0], round(self.points_per_height))).clip(-MAX_JUMP, MAX_JUMP),
            xy[:, 1].clip(-MAX_JUMP, MAX_JUMP),
            *self._local(xy, np.repeat(starts, counts), np.repeat(starts + counts - 1, counts)),
            *self._around(xy, corpus),
        ]
        return np.stack(columns, 1).astype(np.float32)

    def places(self, ink: np.ndarray) -> np.ndarray:
        """Return which point of the ink (N, 4) each frame of ``prepare`` stands for, (T,), float64, in [0, N - 1]."""
        ink = normalize(numbered(ink))
        if self.delayed and len(ink):
            base, corpus = baselines(ink)
            ink[:, 1] -= base
            ink, _ = without_delayed(ink, (corpus - base) / 2)
        return resample(ink, 1 / self.points_per_height)[:, 2]

    def _local(self, xy: np.ndarray, first: np.ndarray, last: np.ndarray) -> list[np.ndarray]:
        """Compute direction, curvature and the vicinity's features, given the ends of each point's stroke."""
        here = np.arange(len(xy))
        after, before = np.minimum(here + 1, last), np.maximum(here - 1, first)
        ahead = xy[after] - xy[np.where(after == here, before, here)]  # the last point keeps the step that led to it
        behind = xy[np.where(before == here, after, here)] - xy[before]
        direction, arrival = _unit(ahead), _unit(behind)
        turn = (direction * arrival).sum(1), arrival[:, 0] * direction[:, 1] - arrival[:, 1] * direction[:, 0]

        low, high = np.maximum(here - self.vicinity, first), np.minimum(here + self.vicinity, last)
        near = (here[:, None] + np.arange(-self.vicinity, self.vicinity + 1)).clip(low[:, None], high[:, None])
        around = xy[near]  # (T, 2 vicinity + 1, 2); past the ends of a stroke its end points repeat
        width, height = np.ptp(around, axis=1).T
        along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(xy, axis=0).T))])
        chord = xy[high] - xy[low]
        slope = _unit(chord)
        off = around - xy[low][:, None]
        across = off[..., 0] * slope[:, None, 1] - off[..., 1] * slope[:, None, 0]
        squares = np.where((chord == 0).all(1)[:, None], (off**2).sum(2), across**2).sum(1)
        return [
            *direction.T,
            *turn,
            _ratio(height - width, height + width),
            *slope.T,
            _ratio(along[high] - along[low], np.maximum(width, height)).clip(max=MAX_CURLINESS),
            squares / (high - low + 1) * self.points_per_height**2,
        ]

    def _around(self, xy: np.ndarray, corpus: float) -> list[np.ndarray]:
        """Compute ascenders, descenders and the context map from the ink as a picture of coarse cells."""
        columns = []
        reach = 1.5 * self.cell
        for beyond in (xy[:, 1] < corpus - MARGIN, xy[:, 1] > MARGIN):
            x = np.sort(xy[beyond, 0])
            columns.append(np.searchsorted(x, xy[:, 0] + reach, "right") - np.searchsorted(x, xy[:, 0] - reach))
        cells = np.floor(xy / self.cell).clip(-1e6, 1e6).astype(np.int64)
        keys = cells[:, 0] * 10**7 + cells[:, 1]
        filled, ink = np.unique(keys, return_counts=True)
        for row in (-1, 0, 1):
            for column in (-1, 0, 1):
                key = keys + column * 10**7 + row
                at = np.searchsorted(filled, key).clip(max=len(filled) - 1)
                columns.append(np.where(filled[at] == key, ink[at], 0))
        return [column / self.points_per_height for column in columns]


def without_delayed(ink: np.ndarray, floor: float) -> tuple[np.ndarray, list[tuple[float, float]]]:
    """Take delayed strokes away.

    Args:
        ink: (N, 4), in line heights, y growing down.
        floor: delayed strokes stay above this y.

    Returns:
        The rest of the ink, and from where to where each stroke that went reached in x.
    """
    keep = np.ones(len(ink), bool)
    removed = []
    right = -np.inf
    starts = stroke_starts(ink[:, 3])
    for start, stop in zip(starts, np.append(starts[1:], len(ink)), strict=True):
        x, y = ink[start:stop, 0], ink[start:stop, 1]
        if x.max() < right and y.max() < floor and np.hypot(np.diff(x), np.diff(y)).sum() < 1:
            keep[start:stop] = False
            removed.append((float(x.min()), float(x.max())))
        else:
            right = max(right, x.max())
    return ink[keep], removed


def _within(x: np.ndarray, spans: list[tuple[float, float]]) -> np.ndarray:
    """Tell which values of x (N,) lie in any of the spans."""
    inside = np.zeros(len(x), bool)
    for low, high in spans:
        inside |= (x >= low) & (x <= high)
    return inside


def _with_speed(ink: np.ndarray) -> np.ndarray:
    """Return ink (N, 4) with the speed that led to each point in place of t; the first of a stroke takes the next."""
    step = np.diff(ink[:, :3], axis=0)
    speed = _ratio(np.hypot(step[:, 0], step[:, 1]), step[:, 2]).clip(0, MAX_SPEED)
    speed[ink[:-1, 3] > 0] = 0
    out = ink.copy()
    out[:, 2] = np.concatenate([[0.0], speed])
    starts = stroke_starts(ink[:, 3])
    starts = starts[(starts + 1 < len(ink)) & (ink[starts, 3] == 0)]
    out[starts, 2] = out[starts + 1, 2]
    return out


def _moving_mean(x: np.ndarray, reach: int) -> np.ndarray:
    """Return the mean of up to ``reach`` values on each side of every value of x (N,), and of itself."""
    total = np.concatenate([[0.0], np.cumsum(x)])
    here = np.arange(len(x))
    low, high = np.maximum(here - reach, 0), np.minimum(here + reach + 1, len(x))
    return (total[high] - total[low]) / (high - low)


def _ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Divide, 0 where b is not above 0."""
    return np.divide(a, b, out=np.zeros(len(a)), where=b > 0)


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Scale vectors (N, 2) to length 1; those without length become (1, 0), a step to the right."""
    length = np.hypot(vectors[:, 0], vectors[:, 1])[:, None]
    flat = np.broadcast_to([1.0, 0.0], vectors.shape).copy()
    return np.divide(vectors, length, out=flat, where=length > 0)
