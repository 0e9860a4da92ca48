"""Points along the strokes of a line of ink."""

import numpy as np

from seqlab.frontends._ink import Strokes, check_positive, normalize, numbered, resample


class StrokePoints(Strokes):
    """Offsets from point to point at equal distances along the ink, and where the pen was lifted.

    The line is normalised in size (and slant and skew), and sampled at equal arc length, so that neither the speed of
    the writer nor the rate of the device matter. Offsets with a pen flag are the input of many online recognisers, for
    instance the raw touch points of Carbune et al., "Fast multi-language LSTM-based online handwriting recognition",
    IJDAR 2020 (arXiv 1902.10525); here the direction stands beside the offset as a unit vector, because at equal
    distances all of the shape lies in it. All features lie near [-1, 1].

    A frame holds, in this order: dx, dy from the point before, in line heights, 0 at the first; with ``direction`` the
    cosine and sine of that offset; 1 at the first point of a stroke, else 0; with ``absolute_y`` the height above or
    below the middle of the line; with ``time`` the seconds since the point before.

    Args:
        points_per_height: points on a stroke as long as the line is high.
        slant: make down strokes upright.
        skew: level the baseline.
        direction: append the direction of each offset.
        absolute_y: append y, 0 in the middle of the line, growing down, in line heights.
        time: append the time since the point before; 0 where the ink has no times.
        max_jump: offsets are clipped to this many line heights (pen lifted and moved back to dot an i), seconds too.

    Attributes:
        num_features: size of a frame.
    """

    def __init__(
        self,
        points_per_height: float = 20.0,
        slant: bool = True,
        skew: bool = True,
        direction: bool = True,
        absolute_y: bool = True,
        time: bool = False,
        max_jump: float = 4.0,
    ) -> None:
        check_positive(points_per_height=points_per_height, max_jump=max_jump)
        self.points_per_height = points_per_height
        self.slant, self.skew = slant, skew
        self.direction, self.absolute_y, self.time = direction, absolute_y, time
        self.max_jump = max_jump
        self.num_features = 3 + 2 * direction + absolute_y + time

    def prepare(self, ink: np.ndarray) -> np.ndarray:
        """Turn the ink of one line (N, 4) into frames (T, F), float32; (0, F) for no ink."""
        points = self._points(ink)
        if not len(points):
            return np.zeros((0, self.num_features), np.float32)
        offset = np.diff(points[:, :3], axis=0, prepend=points[:1, :3])
        columns = [offset[:, :2].clip(-self.max_jump, self.max_jump)]
        if self.direction:
            length = np.hypot(offset[:, 0], offset[:, 1])[:, None]
            columns.append(np.divide(offset[:, :2], length, out=np.zeros((len(points), 2)), where=length > 0))
        columns.append(np.concatenate([[1.0], points[:-1, 3]])[:, None])
        if self.absolute_y:
            columns.append(points[:, 1:2])
        if self.time:
            columns.append(offset[:, 2:].clip(-self.max_jump, self.max_jump))
        return np.concatenate(columns, 1).astype(np.float32)

    def places(self, ink: np.ndarray) -> np.ndarray:
        """Return which point of the ink (N, 4) each frame of ``prepare`` stands for, (T,), float64, in [0, N - 1]."""
        return self._points(numbered(ink))[:, 2]

    def _points(self, ink: np.ndarray) -> np.ndarray:
        return resample(normalize(ink, self.skew, self.slant), 1 / self.points_per_height)
