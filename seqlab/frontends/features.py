"""The frontend of what comes as an array: sensors, gestures, nanopore currents, features of other programs."""

from typing import TYPE_CHECKING

import numpy as np

from seqlab.errors import DataError
from seqlab.frontends._prepared import Prepared

if TYPE_CHECKING:
    from torch import Tensor


class Features(Prepared):
    """Arrays (T, F) as they are.

    Args:
        size: features per frame; an array (T,) counts as one feature per frame.
        frames_per_second: of the arrays, for times in transcripts; 1 counts frames.
    """

    kind = "features"

    def __init__(self, size: int, frames_per_second: float = 1.0) -> None:
        if size < 1 or frames_per_second <= 0:
            raise ValueError(f"size must be 1 or more and frames_per_second above 0, got {size}, {frames_per_second}")
        self.num_features = size
        self.sample_rate = frames_per_second
        self.frame_shift = 1 / frames_per_second

    def prepare(self, array: np.ndarray) -> np.ndarray:
        """Check an array (T, F) or (T,) and return it as float32 (T, F).

        Raises:
            DataError: the array has another size or holds values that are not finite.
        """
        if array.ndim == 1:
            array = array[:, None]
        if array.ndim != 2 or array.shape[1] != self.num_features:
            raise DataError(f"needs an array (frames, {self.num_features}) (frontend.size), got {array.shape}")
        with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused
            array = np.ascontiguousarray(array, dtype=np.float32)
        if not np.isfinite(array).all():
            raise DataError("the array holds values that are not finite")
        return array

    def num_frames(self, lengths: "Tensor") -> "Tensor":
        """Return the lengths as they are."""
        return lengths

    @property
    def reach(self) -> tuple[int, int, int]:
        """See ``LogMel.reach``; a frame is itself."""
        return 1, 0, 1

    def forward(self, x: "Tensor", lengths: "Tensor") -> "tuple[Tensor, Tensor]":
        """Hand frames (B, T, F) on; what lies past a length is 0."""
        from seqlab.batch import mask_padding

        return mask_padding(x, lengths.to(x.device)), lengths
