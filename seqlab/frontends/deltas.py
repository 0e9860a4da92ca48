"""Deltas: how features change over time."""

import torch
from torch import Tensor

from seqlab.batch import mask_padding

WIDTH = 2


def deltas(x: Tensor, lengths: Tensor) -> Tensor:
    """Compute the slope of every feature by regression over five frames.

    d[t] = sum over n = 1, 2 of n (x[t + n] - x[t - n]) / (2 sum of n^2), that is / 10: the formula of HTK, Kaldi and
    torchaudio. Before the first and after the last frame of a line, its first and its last frame repeat; padding
    counts for nothing.

    Args:
        x: features (B, T, F).
        lengths: frames per line (B,).

    Returns:
        (B, T, F); frames past a length are 0.
    """
    frames = x.shape[1]
    time = torch.arange(-WIDTH, frames + WIDTH, device=x.device)
    index = time.minimum(lengths.to(x.device)[:, None] - 1).clamp(min=0)  # (B, T + 2 WIDTH)
    edged = x.gather(1, index[:, :, None].expand(-1, -1, x.shape[2]))
    slope = torch.zeros_like(x)
    for n in range(1, WIDTH + 1):
        later, earlier = WIDTH + n, WIDTH - n
        slope = slope + n * (edged[:, later : later + frames] - edged[:, earlier : earlier + frames])
    return mask_padding(slope / (2 * sum(n * n for n in range(1, WIDTH + 1))), lengths.to(x.device))


def append_deltas(x: Tensor, lengths: Tensor, order: int) -> Tensor:
    """Append deltas up to an order; the second are the deltas of the first.

    Args:
        x: features (B, T, F).
        lengths: frames per line (B,).
        order: 0 (x alone), 1 or 2.

    Returns:
        (B, T, F (order + 1)): features, deltas, double deltas.
    """
    parts = [x]
    for _ in range(order):
        parts.append(deltas(parts[-1], lengths))
    return torch.cat(parts, 2) if order else x


def check_order(order: int) -> int:
    """Return the order of deltas if it is one that exists."""
    if order not in (0, 1, 2):
        raise ValueError(f"deltas must be 0, 1 or 2, got {order}")
    return order
