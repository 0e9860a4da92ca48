"""When each symbol of a decoded line was said: its best alignment among the paths that the search followed."""

import numpy as np
from numba import njit

BLANK_STAY, BLANK_ENTER = 0, 1
SYMBOL_STAY, SYMBOL_AFTER_BLANK, SYMBOL_AFTER_SYMBOL = 0, 1, 2


@njit(cache=True, nogil=True)
def path_to(row: int, tree: np.ndarray) -> np.ndarray:
    """Return the rows of a tree from the root to one row."""
    length, up = 1, row
    while up:
        up = tree[up].parent
        length += 1
    path = np.empty(length, np.int64)
    for k in range(length - 1, -1, -1):
        path[k] = row
        row = tree[row].parent
    return path


@njit(cache=True, nogil=True, error_model="numpy")
def align(log_probs: np.ndarray, path: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Align symbols with frames (Viterbi over blanks and symbols), where their prefix was in the beam.

    The band makes it cheap: at each frame only the prefixes that the beam held then are open.

    Args:
        log_probs: log-probabilities (T, V), float32.
        path: prefixes of the line, the empty one first, (L + 1,), as rows of the search's tree.

    Returns:
        First frame, one past the last frame, and largest probability within, each (L,).
    """
    frames, size = log_probs.shape[0], path.size
    low, offset = np.empty(frames, np.int64), np.empty(frames + 1, np.int64)
    first, last, cells = 0, 0, 0
    for t in range(frames):
        while first < size - 1 and path[first].seen < t:
            first += 1
        while last < size - 1 and path[last + 1].born <= t:
            last += 1
        low[t], offset[t] = first, cells - first
        cells += max(last - first + 1, 1)
    offset[frames] = cells
    back = np.zeros(cells, np.uint8)  # of the blank: bit 0; of the symbol: the bits above
    blank, symbol = np.full(size, -np.inf), np.full(size, -np.inf)
    blank[0] = 0.0
    last = 0
    for t in range(frames):
        first = low[t]
        while last < size - 1 and path[last + 1].born <= t:
            last += 1
        row = log_probs[t]
        for u in range(last, first - 1, -1):  # falling: u - 1 still holds the frame before
            code = 0
            after = blank[u]
            if symbol[u] > after:
                after, code = symbol[u], BLANK_ENTER
            if u:
                here, step = symbol[u], SYMBOL_STAY
                if blank[u - 1] > here:
                    here, step = blank[u - 1], SYMBOL_AFTER_BLANK
                if symbol[u - 1] > here and path[u - 1].label != path[u].label:
                    here, step = symbol[u - 1], SYMBOL_AFTER_SYMBOL
                symbol[u] = here + row[path[u].label]
                code |= step << 1
            blank[u] = after + row[0]
            back[offset[t] + u] = code
        for u in range(low[t - 1] if t else 0, first):
            blank[u] = symbol[u] = -np.inf
    start, end, peak = np.zeros(size - 1, np.int64), np.zeros(size - 1, np.int64), np.zeros(size - 1)
    u, in_symbol = size - 1, symbol[size - 1] > blank[size - 1]
    for t in range(frames - 1, -1, -1):
        if u == 0:
            break
        code = back[offset[t] + u] if u >= low[t] else 0
        if not in_symbol:
            in_symbol = code & 1 == BLANK_ENTER
            continue
        if end[u - 1] == 0:
            end[u - 1] = t + 1
        start[u - 1] = t
        peak[u - 1] = max(peak[u - 1], np.exp(np.float64(log_probs[t, path[u].label])))
        step = code >> 1
        if step != SYMBOL_STAY:
            u -= 1
            in_symbol = step == SYMBOL_AFTER_SYMBOL
    return start, end, np.minimum(peak, 1.0)
