"""Reading processes: the same batches as without them, from epoch to epoch; what they take is counted."""

import csv
import multiprocessing
import os
import pickle
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from seqlab import batch as batch_module
from seqlab.batch import Batch, Example, collate
from seqlab.data.augment import Gain, Speed, WhiteNoise
from seqlab.data.datamodule import DataModule
from seqlab.data.dataset import LineDataset
from seqlab.data.loader import Loader
from seqlab.data.sampler import BucketBatches
from seqlab.data.sources import source_of
from seqlab.errors import DataError
from seqlab.frontends.log_mel import LogMel
from seqlab.manifest import read_manifest
from seqlab.tokenizers.characters import Characters
from tests.conftest import RATE, Run, small_settings, write_corpus


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
        for (ids, wave), (other_ids, other) in zip(wanted, found, strict=True):
            assert ids == other_ids
            assert torch.equal(wave, other)
    assert os.getpid() not in apart._cpu
    assert len(apart._cpu) == 1  # one process for all epochs
    assert apart.reading_s > 0 == here.reading_s
    assert apart.waited > 0


def test_an_epoch_left_early_does_not_reach_into_the_next(lines: LineDataset, apart: Loader) -> None:
    first: Batch = next(iter(apart.begin(0, batches(0))))
    assert first.ids == kept(Loader(lines, 0).begin(0, batches(0)))[0][0]
    wanted = kept(Loader(lines, 0).begin(1, batches(1)))
    for (ids, wave), (other_ids, other) in zip(wanted, kept(apart.begin(1, batches(1))), strict=True):
        assert ids == other_ids
        assert torch.equal(wave, other)


def test_an_error_of_a_reading_process_is_raised_where_its_batch_is_waited_for(
    lines: LineDataset, apart: Loader
) -> None:
    lines.lines[3].files[0].unlink()
    with pytest.raises(DataError, match=lines.lines[3].id):
        kept(apart.begin(0, batches(0)))


@pytest.mark.parametrize("large", [0, 2**30])
def test_a_batch_that_was_sent_is_the_same(large: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_module, "LARGE", large)
    examples = [
        Example("a", torch.randn(5, 2), "b c", torch.tensor([2, 3])),
        Example("d", torch.randn(3, 2), "", torch.tensor([], dtype=torch.int64)),
    ]
    sent = collate(examples)
    found = pickle.loads(pickle.dumps(sent))
    assert (found.ids, found.texts) == (["a", "d"], ["b c", ""])
    for name in ("signal", "lengths", "labels", "label_lengths"):
        wanted, tensor = getattr(sent, name), getattr(found, name)
        assert tensor.dtype == wanted.dtype
        assert torch.equal(tensor, wanted)
    found.signal += 1  # memory of its own
    assert not torch.equal(found.signal, sent.signal)


def test_losses_are_the_same_bits_with_any_number_of_processes(
    corpus: Path, seqlab: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seqlab.data.loader.FEW_LINES", 0)
    monkeypatch.setattr("seqlab.training.trainer.usable_cores", lambda: 2)
    workers_of = DataModule._workers
    asked: list[int] = []
    monkeypatch.setattr(DataModule, "_workers", lambda data: asked.append(workers_of(data)) or asked[-1])
    losses = []
    for workers in ("0", "1", "null"):
        settings = [*small_settings(corpus), f"data.num_workers={workers}", f"run_dir=run-{workers}"]
        assert seqlab("train", *settings, "training.show_lines=0").returncode == 0
        with (tmp_path / f"run-{workers}" / "metrics.csv").open() as file:
            rows = list(csv.DictReader(file))
        losses.append([row[name] for row in rows for name in ("train/loss", "val/loss")])
        assert not multiprocessing.active_children()
    assert asked == [0, 1, 1]
    assert losses[0] == losses[1] == losses[2]
    assert len([loss for loss in losses[0] if loss]) >= 4  # two epochs


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")
def test_a_reading_process_ends_when_its_training_was_killed(
    lines: LineDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seqlab.data.loader.WATCH_S", 0.1)
    read, write = os.pipe()
    training = os.fork()
    if not training:
        try:
            iterator = iter(Loader(lines, 1).begin(0, batches(0)))
            next(iterator)
            os.write(write, str(multiprocessing.active_children()[0].pid).encode())
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    os.close(write)
    os.waitpid(training, 0)
    reader = Path("/proc", os.read(read, 20).decode(), "stat")
    deadline = time.monotonic() + 60
    while reader.exists() and reader.read_text().rpartition(")")[2].split()[0] != "Z" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert time.monotonic() < deadline
