"""Which lines CTC can align: a line needs a frame for every label and one more between two equal labels."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor


def required_frames(labels: Sequence[int]) -> int:
    """Return the fewest frames that can carry the labels: their number plus the blanks between equal neighbours."""
    return len(labels) + sum(a == b for a, b in pairwise(labels))


def infeasible(lengths: Tensor, labels: Tensor, label_lengths: Tensor) -> Tensor:
    """Tell which lines of a batch have too few frames for their labels.

    Args:
        lengths: frames per line, (B,).
        labels: label ids (B, L), padded with 0.
        label_lengths: labels per line, (B,).

    Returns:
        (B,), bool.
    """
    repeats = ((labels[:, 1:] == labels[:, :-1]) & (labels[:, 1:] != 0)).sum(1)
    return torch.as_tensor(lengths) < label_lengths + repeats
