"""Batches: budget, padding, order, ranks, resume."""

import numpy as np
import pytest

from seqlab.data.sampler import BucketBatches, cut_batches
from seqlab.errors import DataError


def plain_batches(order: list[int], frames: np.ndarray, batch_frames: int, max_lines: int) -> list[list[int]]:
    """Cut an order as the definition says, line by line."""
    batches: list[list[int]] = []
    for index in order:
        batch = [*batches[-1], index] if batches else [index]
        fits = max(frames[i] for i in batch) * len(batch) <= batch_frames and len(batch) <= max_lines
        if batches and fits:
            batches[-1] = batch
        else:
            batches.append([index])
    return batches


@pytest.mark.parametrize(("budget", "max_lines"), [(1, 1), (50, 3), (300, 64), (10**6, 7)])
def test_cutting_equals_the_plain_loop(budget: int, max_lines: int) -> None:
    rng = np.random.default_rng(budget)
    frames = rng.integers(0, 60, 500)
    order = rng.permutation(500).tolist()
    assert cut_batches(order, frames, budget, max_lines) == plain_batches(order, frames, budget, max_lines)
    assert cut_batches([], frames, budget, max_lines) == []


@pytest.mark.parametrize("piece", [7, 10**6])
def test_order_is_that_of_the_moved_lengths(piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seqlab.data.sampler.PIECE", piece)
    frames = lengths(1000)
    rng = np.random.default_rng([5, 2])
    moved = frames * rng.uniform(0.99, 1.01, 1000) + rng.uniform(0, 1, 1000)
    batches = cut_batches(np.argsort(moved).tolist(), frames, 3000, 64)
    expected = [batches[i] for i in rng.permutation(len(batches))]
    assert list(BucketBatches(frames, 3000, seed=5, epoch=2)) == expected


def test_worst_batch_has_most_frames() -> None:
    frames = lengths(3000)
    sampler = BucketBatches(frames, 20000)
    sizes = [len(b) * int(frames[b].max()) for b in sampler]
    worst = sampler.worst()
    assert len(worst) * frames[worst].max() == max(sizes)
    assert sorted(worst) in [sorted(b) for b in sampler]


def lengths(count: int = 3000) -> np.ndarray:
    return np.random.default_rng(0).integers(100, 1700, count)


def test_batches_stay_within_the_budget() -> None:
    frames = np.array([5, 5, 6, 20, 3])
    batches = cut_batches([4, 0, 1, 2, 3], frames, batch_frames=15, max_lines=10)
    assert batches == [[4, 0, 1], [2], [3]]  # 3 x 5 = 15 fits, 4 x 6 does not; 20 is longer than the budget


def test_batches_hold_at_most_max_lines() -> None:
    assert cut_batches(range(5), np.ones(5, dtype=int), 1000, 2) == [[0, 1], [2, 3], [4]]


@pytest.mark.parametrize(("count", "budget"), [(2000, 3000), (28539, 20000)])
def test_every_line_once_and_padding_small(count: int, budget: int) -> None:
    frames = lengths(count)
    sampler = BucketBatches(frames, budget)
    assert sorted(i for batch in sampler for i in batch) == list(range(len(frames)))
    assert all(len(b) * frames[b].max() <= budget for b in sampler)
    padded = sum(len(b) * frames[b].max() for b in sampler)
    assert 1 - frames.sum() / padded <= 0.02
    assert sampler.padding == pytest.approx(1 - frames.sum() / padded)


def test_epochs_differ_and_repeat_by_seed() -> None:
    frames = lengths(500)
    first = list(BucketBatches(frames, 3000, seed=1, epoch=0))
    assert first == list(BucketBatches(frames, 3000, seed=1, epoch=0))
    second = list(BucketBatches(frames, 3000, seed=1, epoch=1))
    assert first != second
    assert {tuple(sorted(b)) for b in first} != {tuple(sorted(b)) for b in second}
    assert first != list(BucketBatches(frames, 3000, seed=2, epoch=0))


def test_resume_goes_on_where_the_epoch_stopped() -> None:
    frames = lengths(500)
    whole = BucketBatches(frames, 3000, epoch=3)
    rest = BucketBatches(frames, 3000, epoch=3, start=7)
    assert list(rest) == list(whole)[7:]
    assert len(rest) == len(whole)


@pytest.mark.parametrize("world", [2, 3, 4])
def test_ranks_share_the_lines_evenly(world: int) -> None:
    frames = lengths(10000)
    ranks = [list(BucketBatches(frames, 3000, rank=r, world=world)) for r in range(world)]
    assert len({len(batches) for batches in ranks}) == 1
    seen = [i for batches in ranks for batch in batches for i in batch]
    assert set(seen) == set(range(len(frames)))
    assert len(seen) - len(frames) <= (world - 1) * max(len(b) for b in ranks[0])
    for step in zip(*ranks, strict=True):
        longest = [frames[b].max() for b in step]
        assert max(longest) <= 1.1 * min(longest) + 20  # one step, one length


def test_validation_keeps_order_by_length() -> None:
    frames = np.array([3, 1, 2])
    assert list(BucketBatches(frames, 2, shuffle=False)) == [[1], [2], [0]]


def test_no_lines_is_an_error() -> None:
    with pytest.raises(DataError, match="no lines"):
        BucketBatches(np.array([], dtype=int), 100)


def test_ranks_share_validation_without_repetition() -> None:
    frames = lengths(11)
    ranks = [list(BucketBatches(frames, 10**6, rank=r, world=3, shuffle=False)) for r in range(3)]
    assert all(ranks)
    assert sorted(i for batches in ranks for batch in batches for i in batch) == list(range(11))
    with pytest.raises(DataError, match="cannot be shared"):
        BucketBatches(frames[:2], 100, world=3, shuffle=False)


def in_shards(count: int, shards: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, shards, count).astype(np.int32)


@pytest.mark.parametrize(("world", "window"), [(1, 100), (2, 400), (3, 250), (8, 60), (2, 10**6)])
def test_windows_hold_each_line_once_and_equal_counts(world: int, window: int) -> None:
    frames, shards = lengths(3000), in_shards(3000, 30)
    ranks = [
        list(BucketBatches(frames, 20000, seed=3, epoch=4, rank=r, world=world, shards=shards, window=window))
        for r in range(world)
    ]
    assert len({len(batches) for batches in ranks}) == 1
    every = [tuple(batch) for batches in ranks for batch in batches]
    assert sorted(line for batch in set(every) for line in batch) == list(range(3000))
    assert len(every) - len(set(every)) < world  # only the last batch of the epoch may be repeated
    assert all(frames[list(b)].max() * len(b) <= 20000 or len(b) == 1 for b in every)
    again = BucketBatches(frames, 20000, seed=3, epoch=4, world=world, shards=shards, window=window, start=5)
    assert list(again) == ranks[0][5:]
    other = list(BucketBatches(frames, 20000, seed=3, epoch=5, world=world, shards=shards, window=window))
    assert other != ranks[0]


def test_windows_read_shard_after_shard() -> None:
    frames, shards = lengths(3000), in_shards(3000, 30)
    batches = list(BucketBatches(frames, 5000, shards=shards, window=200))
    places: dict[int, list[int]] = {}
    for place, line in enumerate(line for batch in batches for line in batch):
        places.setdefault(int(shards[line]), []).append(place)
    spans = {shard: max(p) - min(p) for shard, p in places.items()}
    assert max(spans.values()) < len(frames) / 30 * 1.5 + 2 * 200  # all of a shard within its windows
    assert sorted(places, key=lambda s: places[s][0]) != sorted(places)
    lines = [line for batch in batches[:10] for line in batch]
    assert lines != sorted(lines)
    assert BucketBatches(frames, 5000, shards=shards, window=1000).padding < 0.05


def test_ranks_are_in_the_same_window() -> None:
    frames, shards = lengths(3000), in_shards(3000, 30)
    ranks = [BucketBatches(frames, 5000, rank=r, world=4, shards=shards, window=300) for r in range(4)]
    first = ranks[0]
    where = {int(line): place for place, line in enumerate(first.order)}
    for group in zip(*ranks, strict=True):
        there = [where[line] for batch in group for line in batch]
        assert len(set(there)) == max(there) - min(there) + 1  # neighbours in the order by length of one window


def test_without_a_window_shards_change_nothing() -> None:
    frames, shards = lengths(500), in_shards(500, 5)
    plain = list(BucketBatches(frames, 5000, seed=1, epoch=2))
    assert list(BucketBatches(frames, 5000, seed=1, epoch=2, shards=shards)) == plain
    assert list(BucketBatches(frames, 5000, seed=1, epoch=2, window=50)) == plain
    ordered = list(BucketBatches(frames, 5000, seed=1, epoch=2, shards=shards, window=50, ordered=True))
    assert ordered == list(BucketBatches(frames, 5000, seed=1, epoch=2, ordered=True))
