"""What a prefix beam search keeps between frames: the tree of prefixes, the beam, room to work in; and sorting."""

from typing import NamedTuple

import numpy as np
from numba import njit

from seqlab.ctc._fusion import jit

FOREVER = np.iinfo(np.int32).max
COUNTS = 4
NODES, SIZE, FRAME, SETTLED = range(COUNTS)


# A prefix that was ever in the beam; row 0 is the empty one.
PREFIX = np.dtype(
    [
        ("parent", np.int32),  # prefix without the last symbol
        ("label", np.int32),  # last symbol, 0 for the empty prefix
        ("child", np.int32),  # its youngest extension, or -1
        ("sibling", np.int32),  # the next older extension of its parent, or -1
        ("slot", np.int32),  # its place in the beam, or -1
        ("born", np.int32),  # frame with which it first entered the beam
        ("seen", np.int32),  # last frame after which it was in the beam; FOREVER while it is
        ("lm", np.int32),  # state of the n-gram model
        ("word", np.int32),  # node of the lexicon
        ("hot", np.int32),  # state of the hotword automaton
        ("gain", np.float64),  # its fusion factor relative to its parent's
    ]
)


class Live(NamedTuple):
    """The beam, best first.

    Attributes:
        node: prefixes, (K,).
        blank: probability of paths that end in a blank, (K,), relative.
        symbol: probability of paths that end in the last symbol, (K,), relative.
        counts: rows of the tree in use; prefixes in the beam; frames read; whether every ``symbol`` is 0.
        scale: natural log of what ``blank`` and ``symbol`` are relative to, (1,).
    """

    node: np.ndarray
    blank: np.ndarray
    symbol: np.ndarray
    counts: np.ndarray
    scale: np.ndarray


class Scratch(NamedTuple):
    """Room for the work on one frame.

    Attributes:
        tried: symbols tried, likeliest first, (V,).
        chance: their probabilities, (V,).
        prob: probability of each label, 0 where it is not tried, (V,).
        column: place of each label in ``tried``, (V,).
        last: last symbol of each prefix in the beam, (K,).
        total: its probability, (K,), relative.
        reach: upper bound of the factor of extending it, apart from a word's end, (K,).
        idle: whether no hotword has begun, and nothing else counts, (K,).
        blank: the next ``blank`` of the beam, if the prefix stays, (K,).
        symbol: the next ``symbol``, likewise, (K,).
        is_stay: extensions that are in the beam already, (K * most symbols tried,).
        values: relative probabilities of the candidates for the next beam, 4K.
        codes: what they are: place << 32 | label of the extension, or 0.
        stack: for sorting, (64, 2).
    """

    tried: np.ndarray
    chance: np.ndarray
    prob: np.ndarray
    column: np.ndarray
    last: np.ndarray
    total: np.ndarray
    reach: np.ndarray
    idle: np.ndarray
    blank: np.ndarray
    symbol: np.ndarray
    is_stay: np.ndarray
    values: np.ndarray
    codes: np.ndarray
    stack: np.ndarray


class Limits(NamedTuple):
    """What is not tried.

    Attributes:
        log_cut: natural log of the smallest probability of a symbol in a frame.
        max_tokens: symbols tried in a frame.
        margin: smallest probability of a prefix relative to the best.
        log_skip: natural log of the blank's probability from which a frame only passes through.
    """

    log_cut: float
    max_tokens: int
    margin: float
    log_skip: float


def new_tree(rows: int) -> np.ndarray:
    """Return an empty tree with room for so many prefixes."""
    return np.empty(rows, PREFIX)


def new_live(beam: int) -> Live:
    """Return an empty beam."""
    return Live(np.empty(beam, np.int64), np.empty(beam), np.empty(beam), np.zeros(COUNTS, np.int64), np.zeros(1))


def grown(tree: np.ndarray) -> np.ndarray:
    """Return the tree with twice the room."""
    return np.concatenate([tree, np.empty_like(tree)])


def begin(tree: np.ndarray, live: Live, lm: int, hot: int) -> None:
    """Set the beam to the empty prefix, with the states that the language model and the hotwords start in."""
    tree[0] = (0, 0, -1, -1, 0, -1, FOREVER, lm, 0, hot, 1.0)  # the fields of PREFIX
    live.node[0], live.blank[0], live.symbol[0] = 0, 1.0, 0.0
    live.counts[:] = (1, 1, 0, 1)
    live.scale[0] = 0.0


@njit(cache=True, nogil=True)
def prune(tree: np.ndarray, live: Live) -> None:
    """Drop prefixes that neither are in the beam nor begin one that is; the rest moves up in place."""
    counts, node = live.counts, live.node
    rows = counts[NODES]
    new = np.zeros(rows, np.int64)
    new[0] = 1
    for i in range(counts[SIZE]):
        row = node[i]
        while new[row] == 0:
            new[row] = 1
            row = tree[row].parent
    count = 0
    for row in range(rows):  # parents stand before their extensions
        if new[row] == 0:
            continue
        new[row] = count
        tree[count] = tree[row]
        here = tree[count]
        here.child, here.sibling = -1, -1
        if count:
            here.parent = new[here.parent]
            here.sibling = tree[here.parent].child
            tree[here.parent].child = count
        count += 1
    for i in range(counts[SIZE]):
        node[i] = new[node[i]]
    counts[NODES] = count


@njit(cache=True, nogil=True)
def agreed(tree: np.ndarray, live: Live) -> int:
    """Return the row of the longest prefix that all in the beam begin with; later frames don't change it."""
    row = live.node[0]
    for i in range(1, live.counts[SIZE]):
        other = live.node[i]
        while row != other:  # parents have smaller numbers
            if row > other:
                row = tree[row].parent
            else:
                other = tree[other].parent
    return row


@njit(cache=True, nogil=True)
def settle(tree: np.ndarray, live: Live, begin: int) -> None:
    """Take the prefixes that don't begin with the one in row ``begin`` out of the beam."""
    counts, node = live.counts, live.node
    kept = 0
    for i in range(counts[SIZE]):
        row = node[i]
        while row > begin:  # parents have smaller numbers
            row = tree[row].parent
        here = tree[node[i]]
        if row == begin:
            node[kept], live.blank[kept], live.symbol[kept] = node[i], live.blank[i], live.symbol[i]
            here.slot = kept
            kept += 1
        else:
            here.slot, here.seen = -1, counts[FRAME] - 1
    counts[SIZE] = kept


@jit
def rank(values: np.ndarray, codes: np.ndarray, size: int, keep: int, stack: np.ndarray) -> None:
    """Bring the ``keep`` largest values to the front, in falling order, equal ones by rising code."""
    depth, low, high = 0, 0, size
    while True:
        while high - low > 16 and low < keep:
            middle = (low + high) >> 1
            a, b, c = values[low], values[middle], values[high - 1]
            pick = middle
            if (b < a) == (a < c):
                pick = low
            elif (b < c) == (c < a):
                pick = high - 1
            pivot, pivot_code = values[pick], codes[pick]
            i, j = low, high - 1
            while i <= j:
                while values[i] > pivot or (values[i] == pivot and codes[i] < pivot_code):
                    i += 1
                while values[j] < pivot or (values[j] == pivot and codes[j] > pivot_code):
                    j -= 1
                if i <= j:
                    values[i], values[j] = values[j], values[i]
                    codes[i], codes[j] = codes[j], codes[i]
                    i += 1
                    j -= 1
            if j + 1 - low > high - i:  # the larger part waits: the stack stays below log2(size)
                stack[depth, 0], stack[depth, 1] = low, j + 1
                low = i
            else:
                stack[depth, 0], stack[depth, 1] = i, high
                high = j + 1
            depth += 1
        if low < keep:
            for i in range(low + 1, high):
                value, code = values[i], codes[i]
                j = i - 1
                while j >= low and (values[j] < value or (values[j] == value and codes[j] > code)):
                    values[j + 1], codes[j + 1] = values[j], codes[j]
                    j -= 1
                values[j + 1], codes[j + 1] = value, code
        if depth == 0:
            return
        depth -= 1
        low, high = stack[depth, 0], stack[depth, 1]
