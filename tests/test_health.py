"""Signs of a sick training, and what is said of them."""

import csv
import itertools
import math
from pathlib import Path

import pytest
import torch

from seqlab.training import health
from seqlab.training.health import causes, constant_losses
from tests.conftest import Run, small_settings


def enumerated(frames: int, labels: list[int], symbols: int) -> float:
    """Add up the probabilities of all paths of a constant output that read as the labels."""
    q = len(labels) / frames
    total = 0.0
    for path in itertools.product(range(symbols), repeat=frames):
        read = [symbol for symbol, _ in itertools.groupby(path) if symbol]
        if read == labels:
            total += math.prod(1 - q if s == 0 else q / (symbols - 1) for s in path)
    return -math.log(total)


@pytest.mark.parametrize(("frames", "labels"), [(5, [1, 2]), (5, [1, 1]), (4, [2]), (6, [1, 2, 1])])
def test_constant_loss_is_that_of_all_paths(frames: int, labels: list[int]) -> None:
    padded = torch.tensor([[*labels, 0], [1] * (len(labels) + 1)])
    lengths, counts = torch.tensor([frames, 9]), torch.tensor([len(labels), 1])
    loss = constant_losses(lengths, padded, counts, 3)
    assert loss[0].item() == pytest.approx(enumerated(frames, labels, 3), rel=1e-9)


def test_constant_loss_is_0_where_frames_do_not_suffice() -> None:
    labels = torch.tensor([[1, 1]])
    assert constant_losses(torch.tensor([2]), labels, torch.tensor([2]), 3).tolist() == [0.0]


def test_causes_begin_with_what_is_measured() -> None:
    sound = causes({"train/grad_norm": 1.0, "train/lr": 1e-3, "val/blank": 0.7, "val/emission": 1.0})
    assert sound[0].startswith("too few steps")
    sick = causes({"train/grad_norm": 1e-6, "train/lr": 1e-3, "val/blank": 1.0, "train/skipped": 0.0})
    assert sick[0].startswith("the gradient is next to nothing (1.0e-06)")
    assert sick[1].startswith("only blanks come out")


def test_signs_are_logged_and_a_stuck_run_gets_causes(
    corpus: Path, seqlab: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "PATIENCE", 2)
    settings = [*small_settings(corpus), "run_dir=run", "optimizer.lr=1e-9", "training.ema=null"]
    done = seqlab("train", *settings)
    assert done.returncode == 0, done.stderr
    with (tmp_path / "run" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    found = {name: [float(r[name]) for r in rows if r.get(name)] for name in rows[0]}
    assert all(0 <= share < 1 for share in found["train/wait"])
    assert all(100 < size < 20_000 for size in found["train/memory_mb"])
    assert len(set(found["val/constant"])) == 1
    assert found["val/loss"][-1] > found["val/constant"][0]
    assert found["val/emission"]
    assert found["train/grad_norm"]
    log = (tmp_path / "run" / "train.log").read_text()
    assert log.count("no better than a constant output") == 1
    assert "the learning rate is" in log
