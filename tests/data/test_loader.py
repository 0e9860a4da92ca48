"""Reading processes: the same batches as without them, from epoch to epoch; what they take is counted."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from seqlab.batch import Batch
from seqlab.data.augment import Gain, Speed, WhiteNoise
from seqlab.data.dataset import LineDataset
from seqlab.data.loader import Loader
from seqlab.data.sampler import BucketBatches
from seqlab.data.sources import source_of
from seqlab.errors import DataError
from seqlab.frontends.log_mel import LogMel
from seqlab.manifest import read_manifest
from seqlab.tokenizers.characters import Characters
from tests.conftest import RATE, write_corpus


@pytest.fixture
def lines(tmp_path: Path) -> LineDataset:
    """Return eight lines whose signals depend on the epoch."""
    manifest = write_corpus(tmp_path, {"train": 8})["train"]
    tokenizer = Characters(None)
    read = read_manifest(manifest)
    tokenizer.fit([line.text for line in read])
    augment = [Speed(), Gain(), WhiteNoise()]
    return LineDataset(read, tokenizer, source_of(LogMel(RATE), 16), 1, augment, training=True)


def batches(epoch: int) -> BucketBatches:
    return BucketBatches(np.full(8, 10), 20, seed=1, epoch=epoch)  # four of two lines


def kept(loader: Loader) -> list[tuple[list[str], torch.Tensor]]:
    return [(batch.ids, batch.signal.clone()) for batch in loader]


@pytest.fixture
def apart(lines: LineDataset) -> Iterator[Loader]:
    loader = Loader(lines, 1)
    yield loader
    loader.close()


def test_one_process_reads_every_epoch_as_the_training_would(lines: LineDataset, apart: Loader) -> None:
    here = Loader(lines, 0)
    for epoch in (0, 1, 2):
        wanted = kept(here.begin(epoch, batches(epoch)))
        lines.begin(7)  # what is drawn does not hang on the epoch that this process is in
        found = kept(apart.begin(epoch, batches(epoch)))
        assert len(apart) == len(found) == 4
        for (ids, signal), (other_ids, other) in zip(wanted, found, strict=True):
            assert ids == other_ids
            assert torch.equal(signal, other)
    assert os.getpid() not in apart._cpu
    assert len(apart._cpu) == 1  # one process for all epochs
    assert apart.reading_s > 0 == here.reading_s
    assert apart.waited > 0


def test_an_epoch_left_early_does_not_reach_into_the_next(lines: LineDataset, apart: Loader) -> None:
    first: Batch = next(iter(apart.begin(0, batches(0))))
    assert first.ids == kept(Loader(lines, 0).begin(0, batches(0)))[0][0]
    wanted = kept(Loader(lines, 0).begin(1, batches(1)))
    for (ids, signal), (other_ids, other) in zip(wanted, kept(apart.begin(1, batches(1))), strict=True):
        assert ids == other_ids
        assert torch.equal(signal, other)


def test_an_error_of_a_reading_process_is_raised_where_its_batch_is_waited_for(
    lines: LineDataset, apart: Loader
) -> None:
    lines.lines[3].files[0].unlink()
    with pytest.raises(DataError, match=lines.lines[3].id):
        kept(apart.begin(0, batches(0)))
