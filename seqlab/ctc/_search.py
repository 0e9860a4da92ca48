"""CTC prefix beam search on flat arrays, fed frame by frame (Graves 2012, section 7.5; Hannun et al. 2014).

A prefix l is a node of a tree. For each in the beam stand the probability of all paths that collapse to l and end in a
blank, and of those that end in its last symbol, both times the prefix's fusion factor exp(LM, words, hotwords), both
relative to the best prefix of the last frame that extended any.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit

from seqlab.ctc import _fusion, _prefixes
from seqlab.ctc._fusion import Fusion, close, extend, jit
from seqlab.ctc._prefixes import (
    FOREVER,
    FRAME,
    NODES,
    SETTLED,
    SIZE,
    Limits,
    Live,
    Scratch,
    agreed,
    begin,
    grown,
    new_live,
    new_tree,
    prune,
    rank,
    settle,
)
from seqlab.lm import tables

__all__ = [
    "FRAME",
    "NODES",
    "SIZE",
    "Limits",
    "advance",
    "agreed",
    "begin",
    "finish",
    "grown",
    "new_live",
    "new_tree",
    "prune",
    "settle",
]


@jit
def _tried(row: np.ndarray, limits: Limits, tried: np.ndarray, chance: np.ndarray, stack: np.ndarray) -> int:
    """Choose the symbols of a frame, likeliest first; none where the blank leaves no room. Returns their number."""
    if row[0] > np.log1p(-np.exp(limits.log_cut)):
        return 0
    count, best = 0, 0
    cut = np.float32(limits.log_cut)
    for label in range(1, row.size):
        if row[label] >= cut:
            tried[count], chance[count] = label, row[label]
            count += 1
        if row[label] > row[best]:
            best = label
    if count == 0 and best:  # flat: nothing reaches the cut
        tried[0], chance[0], count = best, row[best], 1
    keep = min(count, limits.max_tokens)
    if count > 1:
        rank(chance, tried, count, keep, stack)
    for k in range(keep):
        chance[k] = np.exp(chance[k])
    return keep


@jit
def _child(tree: np.ndarray, parent: int, label: int) -> int:
    """Return the row of an extension, or -1."""
    row = tree[parent].child
    while row >= 0 and tree[row].label != label:
        row = tree[row].sibling
    return row


@jit
def _advance(
    log_probs: np.ndarray, tree: np.ndarray, live: Live, limits: Limits, fusion: Fusion, scratch: Scratch
) -> int:
    """See ``advance``."""
    beam, width, room = live.node.size, scratch.is_stay.size // live.node.size, scratch.values.size
    tried, chance, prob, column, last, total, reach, idle, blank, symbol, is_stay, values, codes, stack = scratch
    node, old_blank, old_symbol, counts = live.node, live.blank, live.symbol, live.counts
    on, tables, labels, lexicon, hotwords, hear, neural = fusion
    alone = on.hot and not (on.words or on.by_symbol or on.neural)
    for t in range(log_probs.shape[0]):
        row = log_probs[t]
        size = counts[SIZE]
        count = 0
        if row[0] < limits.log_skip:
            count = _tried(row, limits, tried, chance, stack)
        if count == 0:  # every prefix stays and keeps its rank
            if counts[SETTLED] == 0:
                for i in range(size):
                    old_blank[i] += old_symbol[i]
                    old_symbol[i] = 0.0
                counts[SETTLED] = 1
            live.scale[0] += row[0]
            counts[FRAME] += 1
            continue
        if counts[NODES] + beam > tree.size:
            return t
        for k in range(count):
            prob[tried[k]], column[tried[k]] = chance[k], k
        for i in range(size):
            here = tree[node[i]]
            last[i], total[i], reach[i] = here.label, old_blank[i] + old_symbol[i], 1.0
            idle[i] = alone and here.hot == 0
            if on.active:
                reach[i] = on.constant * hotwords[here.hot].most
        # prefixes that stay: by a blank, by repeating the last symbol, or reached from their parent in the beam
        p_blank = np.exp(np.float64(row[0]))
        best, least = 0.0, np.inf
        for i in range(size):
            label = last[i]
            p = prob[label]
            blank[i], symbol[i] = total[i] * p_blank, old_symbol[i] * p
            if p > 0.0:
                here = tree[node[i]]
                j = tree[here.parent].slot
                if j >= 0:
                    symbol[i] += (old_blank[j] if last[j] == label else total[j]) * p * here.gain
                    is_stay[j * width + column[label]] = True
            values[i], codes[i] = blank[i] + symbol[i], i << 32
            best, least = max(best, values[i]), min(least, values[i])
        # prefixes that are new in the beam; whatever is below the bound cannot be among the best
        bound = max(best * limits.margin, least if size == beam else 0.0)
        filled = size
        for k in range(count):
            label, p = tried[k], chance[k]
            closes = on.words and labels[label].boundary
            calm = alone and labels[label].quiet
            for i in range(size):
                if not closes and total[i] * p * on.most < bound:
                    break  # the beam is sorted
                value = p * (old_blank[i] if last[i] == label else total[i])
                if calm and idle[i]:  # as ``extend`` would do it
                    value *= labels[label].constant
                    if value < bound or value <= 0.0 or is_stay[i * width + k]:
                        continue
                elif (value * reach[i] < bound and not closes) or is_stay[i * width + k]:
                    continue
                elif on.active:
                    here = tree[node[i]]
                    lm, word, hot = here.lm, here.word, here.hot
                    if closes and value * reach[i] * lexicon[word].close < bound:
                        continue
                    value *= extend(lm, word, hot, label, on, tables, labels, lexicon, hotwords, hear)[0]
                    if on.neural:
                        value *= neural[i, label]
                    if value < bound:
                        continue
                if value <= 0.0:
                    continue
                values[filled], codes[filled] = value, i << 32 | label
                filled += 1
                if value > best:
                    best = value
                    bound = max(bound, best * limits.margin)
                if filled == room:
                    rank(values, codes, filled, beam, stack)
                    filled = beam
                    bound = max(bound, values[beam - 1])
        for k in range(count):
            prob[tried[k]] = 0.0
        is_stay[: size * width] = False
        if best > 0.0:
            rank(values, codes, filled, beam, stack)
            filled = min(filled, beam)
            while values[filled - 1] < best * limits.margin or values[filled - 1] <= 0.0:
                filled -= 1
            _commit(tree, live, values, codes, filled, blank, symbol, idle, fusion)
        else:  # nothing is possible: keep what there is
            live.scale[0] = -np.inf
        counts[FRAME] += 1
        if on.neural:
            return t + 1  # the neural model reads on
    return log_probs.shape[0]


@jit
def _commit(
    tree: np.ndarray,
    live: Live,
    values: np.ndarray,
    codes: np.ndarray,
    filled: int,
    blank: np.ndarray,
    symbol: np.ndarray,
    idle: np.ndarray,
    fusion: Fusion,
) -> None:
    """Make the ranked candidates the beam: a code is the prefix's old place and the symbol that extends it, or 0."""
    counts, node, scale = live.counts, live.node, 1.0 / values[0]
    frame, rows = counts[FRAME], counts[NODES]
    on, tables, labels, lexicon, hotwords, hear, neural = fusion
    for i in range(counts[SIZE]):
        tree[node[i]].slot, tree[node[i]].seen = -1, frame - 1
    for r in range(filled):
        i, label = codes[r] >> 32, codes[r] & 0xFFFFFFFF
        row = node[i]
        if label:
            parent = row
            row = _child(tree, parent, label)
            live.blank[r], live.symbol[r] = 0.0, values[r] * scale
            if row < 0:
                row = rows
                rows += 1
                new, up = tree[row], tree[parent]
                new.parent, new.label, new.child, new.sibling, new.born = parent, label, -1, up.child, frame
                new.lm, new.word, new.hot, new.gain = up.lm, up.word, up.hot, 1.0
                up.child = row
                if idle[i] and labels[label].quiet:
                    new.gain = labels[label].constant
                elif on.active:
                    lm, word, hot = up.lm, up.word, up.hot
                    gain, lm, word, hot = extend(lm, word, hot, label, on, tables, labels, lexicon, hotwords, hear)
                    new.gain, new.lm, new.word, new.hot = gain, lm, word, hot
                    if on.neural:
                        new.gain *= neural[i, label]
        else:
            live.blank[r], live.symbol[r] = blank[i] * scale, symbol[i] * scale
        codes[r] = row
    for r in range(filled):
        node[r] = codes[r]
        tree[node[r]].slot, tree[node[r]].seen = r, FOREVER
    counts[NODES], counts[SIZE], counts[SETTLED] = rows, filled, 0
    live.scale[0] += np.log(values[0])


@njit(nogil=True, error_model="numpy")
def _finish(live: Live, tree: np.ndarray, fusion: Fusion) -> tuple[np.ndarray, np.ndarray]:
    """See ``finish``."""
    size = live.counts[SIZE]
    scores, codes = np.empty(size), np.empty(size, np.int64)
    for i in range(size):
        here = tree[live.node[i]]
        scores[i] = live.scale[0] + np.log(live.blank[i] + live.symbol[i]) + close(here.lm, here.word, here.hot, fusion)
        if fusion.on.neural:
            scores[i] += np.log(fusion.neural[i, 0])
        codes[i] = i
    rank(scores, codes, size, size, np.empty((64, 2), np.int64))
    while size and scores[size - 1] == -np.inf:
        size -= 1
    if size:
        return live.node[codes[:size]], scores[:size]
    row = live.node[0]
    while close(tree[row].lm, tree[row].word, tree[row].hot, fusion) == -np.inf:
        row = tree[row].parent
    return np.full(1, row), np.full(1, -np.inf)


Entry = Callable[..., Any]


def stored(stamp: int) -> tuple[Entry, Entry]:
    """Return ``advance`` and ``finish``, compiled when they are first called and then kept on disk.

    numba stores code by the file and the closure of a function, and knows nothing of the files of what it calls. So
    the rest is not stored by itself, and a stamp of all files stands in the closure.
    """

    @njit(cache=True, nogil=True, error_model="numpy")
    def advance(log_probs: np.ndarray, tree: np.ndarray, live: Live, limits: Limits, fusion: Fusion) -> int:
        """Read frames.

        Args:
            log_probs: normalised log-probabilities (T, V), blank 0, float32.
            tree: the prefixes, changed in place.
            live: the beam, changed in place.
            limits: what is not tried.
            fusion: what else counts.

        Returns:
            Frames read. Fewer than T when the tree is full: enlarge it and go on with the rest. With a neural model
            the first frame that may change the beam is the last one: bring its factors up to date and go on.
        """
        _ = stamp
        beam, num_labels = live.node.size, log_probs.shape[1]
        room = max(4 * beam, 64)
        scratch = Scratch(
            np.empty(num_labels, np.int64),
            np.empty(num_labels),
            np.zeros(num_labels),
            np.zeros(num_labels, np.int64),
            np.empty(beam, np.int64),
            np.empty(beam),
            np.empty(beam),
            np.empty(beam, np.bool_),
            np.empty(beam),
            np.empty(beam),
            np.zeros(beam * min(limits.max_tokens, num_labels - 1), np.bool_),
            np.empty(room),
            np.empty(room, np.int64),
            np.empty((64, 2), np.int64),
        )
        return _advance(log_probs, tree, live, limits, fusion, scratch)

    @njit(cache=True, nogil=True, error_model="numpy")
    def finish(live: Live, tree: np.ndarray, fusion: Fusion) -> tuple[np.ndarray, np.ndarray]:
        """Rank the beam as finished lines: the last word closed, the end of the sentence, hotwords that broke off.

        Returns:
            Rows of the tree, best first, and their scores (natural log), without lines that cannot end here. If none
            can, the longest part of the best one that could, with score -inf.
        """
        _ = stamp
        return _finish(live, tree, fusion)

    return advance, finish


_FILES = (__file__, _fusion.__file__, _prefixes.__file__, tables.__file__)
_STAMP = hashlib.sha256(b"".join(Path(file).read_bytes() for file in _FILES)).digest()
advance, finish = stored(int.from_bytes(_STAMP[:7], "big"))
