"""Batches of like length under a budget of frames: shuffled per epoch, resumable, equal in number on every rank.

A plan holds no Python object per line: an order of lines and the borders of batches in it, both arrays.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, cast

import numpy as np
from numba import njit

from seqlab.errors import DataError
from seqlab.manifest_index import PIECE


@njit(cache=True)
def _borders(order: np.ndarray, frames: np.ndarray, batch_frames: int, max_lines: int) -> np.ndarray:
    borders = np.empty(len(order) + 1, np.int64)
    borders[0] = 0
    count, start, longest = 1, 0, 0
    for place in range(len(order)):
        length = frames[order[place]]
        longest = max(longest, length)
        lines = place - start
        if lines and (longest * (lines + 1) > batch_frames or lines >= max_lines):
            borders[count] = place
            count += 1
            start, longest = place, length
    if len(order):
        borders[count] = len(order)
        count += 1
    return borders[:count].copy()  # most of it was never touched


@njit(cache=True)
def _longest(order: np.ndarray, frames: np.ndarray, borders: np.ndarray) -> tuple[np.ndarray, int]:
    longest = np.zeros(len(borders) - 1, np.int64)
    total = 0
    for batch in range(len(longest)):
        for place in range(borders[batch], borders[batch + 1]):
            length = frames[order[place]]
            longest[batch] = max(longest[batch], length)
            total += length
    return longest, total


def batch_borders(order: np.ndarray, frames: np.ndarray, batch_frames: int, max_lines: int) -> np.ndarray:
    """Cut an order of lines into batches whose padded size stays within the budget.

    A line longer than the budget gets a batch of its own.

    Args:
        order: indices of lines, (lines,); neighbours should be of like length.
        frames: frames of every line, integer.
        batch_frames: most frames per batch, padding counted.
        max_lines: most lines per batch.

    Returns:
        Places in the order where batches begin, and the end of the last: (batches + 1,), int64.
    """
    borders: np.ndarray = _borders(order, frames, batch_frames, max_lines)
    return borders


def cut_batches(order: Sequence[int], frames: np.ndarray, batch_frames: int, max_lines: int) -> list[list[int]]:
    """Cut an order of lines as batch_borders does; returns the lines of every batch."""
    places = np.asarray(order, dtype=np.int64)
    borders = batch_borders(places, np.asarray(frames, dtype=np.int64), batch_frames, max_lines)
    return [places[a:b].tolist() for a, b in pairwise(borders)]


def _order_by_length(frames: np.ndarray, jitter: float, rng: np.random.Generator) -> np.ndarray:
    """Return the lines by length, each length moved a little at random, (lines,), uint32.

    Keys are sorted in place: the moved length in the upper 32 bits, as a share of the longest, the line in the lower.
    The generator gives all factors first, then all offsets; two of them make both at once, piece by piece.
    """
    count = len(frames)
    ahead = np.random.PCG64()
    ahead.state = cast(Any, rng.bit_generator.state)
    ahead.advance(count)
    offsets = np.random.Generator(ahead)
    scale = (2**32 - 1) / (float(frames.max()) * (1 + jitter) + 1)
    keys = np.empty(count, np.uint64)
    for begin in range(0, count, PIECE):
        part = frames[begin : begin + PIECE]
        moved = part * rng.uniform(1 - jitter, 1 + jitter, len(part)) + offsets.uniform(0, 1, len(part))
        lines = np.arange(begin, begin + len(part), dtype=np.uint64)
        keys[begin : begin + len(part)] = ((moved * scale).astype(np.uint64) << np.uint64(32)) | lines
    rng.bit_generator.state = ahead.state
    keys.sort()
    words = keys.view(np.uint32)
    for begin in range(0, count, PIECE):  # the lines move to the front: what is read lies never before what is written
        lines = keys[begin : begin + PIECE] & np.uint64(2**32 - 1)
        words[begin : begin + len(lines)] = lines
    del words
    keys.resize(-(-count // 2), refcheck=False)  # the rest goes back to the system
    return keys.view(np.uint32)[:count]


def _windows(
    frames: np.ndarray,
    shards: np.ndarray,
    window: int,
    jitter: float,
    budget: tuple[int, int],
    world: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Plan an epoch that reads shard after shard, a window of lines at a time.

    Within a window lines are in order of length. Batches that the number of ranks leaves over, neighbours somewhere in
    that order, go to the next window with their lines, so that only the last of an epoch may come short.

    Args:
        frames: frames of every line, (lines,).
        shards: shard of every line, (lines,).
        window: lines of a window, about.
        jitter: how far a length may be moved, as a share.
        budget: most frames and most lines per batch.
        world: number of ranks.
        rng: gives the order of the shards, then all of each window.

    Returns:
        Order of the lines (lines,), borders of batches in it (batches + 1,), and groups of neighbouring batches, one
        for each rank, in the order in which they come.
    """
    ranks = rng.permutation(int(shards.max()) + 1)
    sequence = np.argsort(ranks[shards], kind="stable").astype(np.uint32)
    parts = np.array_split(sequence, max(1, round(len(sequence) / window)))
    carried = sequence[:0]
    order, sizes, groups = [], [], []
    done = 0
    for number, part in enumerate(parts):
        lines = np.concatenate([carried, part])
        lines = lines[_order_by_length(frames[lines], jitter, rng)]
        borders = batch_borders(lines, frames, *budget)
        count = len(borders) - 1
        extra = count % world if number < len(parts) - 1 else 0
        first = int(rng.integers(count - extra + 1))
        leave = slice(int(borders[first]), int(borders[first + extra]))
        carried = lines[leave]
        order.append(np.delete(lines, leave))
        sizes.append(np.delete(np.diff(borders), slice(first, first + extra)))
        groups.append(done + rng.permutation(-(-(count - extra) // world)))
        done += len(groups[-1])
    borders = np.concatenate([[0], np.cumsum(np.concatenate(sizes))])
    return np.concatenate(order), borders, np.concatenate(groups)


class BucketBatches:
    """Batches of one epoch.

    Lines are sorted by length, each length moved a little at random, and cut into batches that stay within the budget;
    then the batches are shuffled. The order depends on seed and epoch alone. With several ranks, neighbouring batches
    (of like length) go to different ranks at the same time, and every rank gets the same number of batches: the last
    ones are repeated where the division is not even.

    With shards and a window, the shards come in an order by chance, and a window of lines of consecutive shards at a
    time is sorted, cut and shuffled so; all ranks are in the same window, and what is read next lies near on the disk.

    Args:
        frames: frames of every line, (lines,).
        batch_frames: most frames per batch, padding counted.
        max_lines: most lines per batch.
        jitter: how far a length may be moved, as a share.
        seed: seed of the order.
        epoch: the epoch, from 0.
        rank: which of the processes this is.
        world: number of processes.
        start: batches to leave out at the beginning, when an epoch is resumed.
        shuffle: False keeps the order by length, for validation.
        ordered: batches come from short to long; windows don't count then.
        shards: shard of every line, (lines,), from 0; with ``window``.
        window: about how many lines are shuffled together; 0 shuffles all.
    """

    def __init__(
        self,
        frames: np.ndarray,
        batch_frames: int,
        max_lines: int = 64,
        jitter: float = 0.01,
        seed: int = 0,
        epoch: int = 0,
        rank: int = 0,
        world: int = 1,
        start: int = 0,
        shuffle: bool = True,
        ordered: bool = False,
        shards: np.ndarray | None = None,
        window: int = 0,
    ) -> None:
        if len(frames) == 0:
            raise DataError("there are no lines to make batches of")
        rng = np.random.default_rng([seed, epoch])
        self.order: np.ndarray
        groups: np.ndarray | None = None
        if shuffle and window and shards is not None and not ordered:
            budget = batch_frames, max_lines
            self.order, self.borders, groups = _windows(frames, shards, window, jitter, budget, world, rng)
        elif shuffle:
            self.order = _order_by_length(frames, jitter, rng)
        else:
            if len(frames) < world:
                raise DataError(f"{len(frames)} validation lines cannot be shared out over {world} processes")
            self.order = np.argsort(frames, kind="stable")[rank::world].astype(np.uint32)
        if groups is None:
            self.borders = batch_borders(self.order, frames, batch_frames, max_lines)
        count = len(self.borders) - 1
        if shuffle:
            if groups is None:
                groups = np.arange(-(-count // world)) if ordered else rng.permutation(-(-count // world))
            self.chosen = np.minimum(groups * world + rank, count - 1)
        else:
            self.chosen = np.arange(count)
        self.start = start
        self._longest: np.ndarray
        self._longest, total = _longest(self.order, frames, self.borders)
        padded = int((self._longest * np.diff(self.borders)).sum())
        self.padding = 1 - total / max(padded, 1)

    def _lines(self, batch: int) -> list[int]:
        lines: list[int] = self.order[self.borders[batch] : self.borders[batch + 1]].tolist()
        return lines

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self.chosen[self.start :]:
            yield self._lines(batch)

    def __len__(self) -> int:
        """Return the number of batches of the whole epoch, those left out by ``start`` included."""
        return len(self.chosen)

    def worst(self) -> list[int]:
        """Return the lines of the batch with most frames, padding counted; of equal ones that of the longest line."""
        sizes = self._longest * np.diff(self.borders)
        return self._lines(int(np.lexsort((self._longest, sizes))[-1]))
