"""Resampling an image through a mesh of quadrilaterals, compiled: PIL's costs more in Python than in pixels."""

import numpy as np
from numba import njit


@njit(cache=True)
def warp(image: np.ndarray, x: np.ndarray, y: np.ndarray, source_x: np.ndarray, source_y: np.ndarray) -> np.ndarray:
    """Resample an image, its grid's nodes moved; places between nodes and between pixels are interpolated bilinearly.

    Args:
        image: (S, Y), uint8.
        x: columns of the nodes in the result, rising from 0 to its width, (N,), integer.
        y: rows of the nodes, rising from 0 to its height, (M,), integer.
        source_x: which place of the image each node shows, (M, N).
        source_y: likewise.

    Returns:
        (x[-1], y[-1]), uint8; 0 where a place lies outside of the image.
    """
    columns, rows = image.shape
    out = np.zeros((x[-1], y[-1]), np.uint8)
    for j in range(len(x) - 1):
        for i in range(len(y) - 1):
            wide, high = x[j + 1] - x[j], y[i + 1] - y[i]
            for c in range(wide):
                u = (c + 0.5) / wide
                # the sides above and below at this column; between them places go evenly
                top_x = source_x[i, j] + u * (source_x[i, j + 1] - source_x[i, j])
                top_y = source_y[i, j] + u * (source_y[i, j + 1] - source_y[i, j])
                step_x = (source_x[i + 1, j] + u * (source_x[i + 1, j + 1] - source_x[i + 1, j]) - top_x) / high
                step_y = (source_y[i + 1, j] + u * (source_y[i + 1, j + 1] - source_y[i + 1, j]) - top_y) / high
                for r in range(high):
                    at_x, at_y = top_x + (r + 0.5) * step_x, top_y + (r + 0.5) * step_y
                    if not (0 <= at_x < columns and 0 <= at_y < rows):
                        continue
                    at_x, at_y = at_x - 0.5, at_y - 0.5  # pixels are what lies around their middles
                    left, above = int(np.floor(at_x)), int(np.floor(at_y))
                    share_x, share_y = at_x - left, at_y - above
                    right, below = min(left + 1, columns - 1), min(above + 1, rows - 1)
                    left, above = max(left, 0), max(above, 0)
                    first = image[left, above] * (1 - share_y) + image[left, below] * share_y
                    second = image[right, above] * (1 - share_y) + image[right, below] * share_y
                    out[x[j] + c, y[i] + r] = int(first * (1 - share_x) + second * share_x + 0.5)
    return out
