"""Batches of like length under a budget of frames: shuffled per epoch, resumable, equal in number on every rank."""

from collections.abc import Iterator, Sequence

import numpy as np

from seqlab.errors import DataError


def cut_batches(order: Sequence[int], frames: np.ndarray, batch_frames: int, max_lines: int) -> list[list[int]]:
    """Cut an order of lines into batches whose padded size stays within the budget.

    A line longer than the budget gets a batch of its own.

    Args:
        order: indices of lines; neighbours should be of like length.
        frames: frames of every line, (lines,).
        batch_frames: most frames per batch, padding counted.
        max_lines: most lines per batch.
    """
    batches: list[list[int]] = []
    batch: list[int] = []
    longest = 0
    for index in order:
        longest = max(longest, int(frames[index]))
        if batch and (longest * (len(batch) + 1) > batch_frames or len(batch) >= max_lines):
            batches.append(batch)
            batch, longest = [], int(frames[index])
        batch.append(int(index))
    if batch:
        batches.append(batch)
    return batches


class BucketBatches:
    """Batches of one epoch.

    Lines are sorted by length, each length moved a little at random, and cut into batches that stay within the budget;
    then the batches are shuffled. The order depends on seed and epoch alone. With several ranks, neighbouring batches
    (of like length) go to different ranks at the same time, and every rank gets the same number of batches: the last
    ones are repeated where the division is not even.

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
    ) -> None:
        if len(frames) == 0:
            raise DataError("there are no lines to make batches of")
        rng = np.random.default_rng([seed, epoch])
        if shuffle:
            moved = frames * rng.uniform(1 - jitter, 1 + jitter, len(frames)) + rng.uniform(0, 1, len(frames))
            batches = cut_batches(np.argsort(moved).tolist(), frames, batch_frames, max_lines)
            groups = [batches[i : i + world] for i in range(0, len(batches), world)]
            groups[-1] += [batches[-1]] * (world - len(groups[-1]))
            chosen = [groups[i][rank] for i in rng.permutation(len(groups))]
        else:
            if len(frames) < world:
                raise DataError(f"{len(frames)} validation lines cannot be shared out over {world} processes")
            share = np.argsort(frames, kind="stable")[rank::world]
            batches = chosen = cut_batches(share.tolist(), frames, batch_frames, max_lines)
        self.batches = chosen
        self.start = start
        padded = sum(len(b) * int(frames[b].max()) for b in batches)
        self.padding = 1 - float(sum(int(frames[b].sum()) for b in batches)) / max(padded, 1)

    def __iter__(self) -> Iterator[list[int]]:
        yield from self.batches[self.start :]

    def __len__(self) -> int:
        """Return the number of batches of the whole epoch, those left out by ``start`` included."""
        return len(self.batches)
