"""A training that is killed and resumed ends with the same bits as one that was not."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import small_settings

EPOCHS = 4


def settings(corpus: Path, folder: Path, minutes: float) -> list[str]:
    return [
        sys.executable,
        "-m",
        "seqlab",
        "train",
        *small_settings(corpus),
        f"run_dir={folder}",
        f"training.max_epochs={EPOCHS}",
        f"training.checkpoint_minutes={minutes}",
        "training.early_stopping=3",
        "schedule=plateau",
        "encoder.num_layers=2",
        "encoder.dropout=0.2",
    ]


def finish(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def kill_after(command: list[str], checkpoint: Path, writes: int) -> None:
    """Start a training and SIGKILL it once its last checkpoint has been written so many times."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    seen, last = 0, checkpoint.stat().st_mtime_ns if checkpoint.exists() else None
    deadline = time.monotonic() + 120
    while seen < writes and process.poll() is None and time.monotonic() < deadline:
        now = checkpoint.stat().st_mtime_ns if checkpoint.exists() else None
        if now != last:
            seen, last = seen + 1, now
        time.sleep(0.001)
    assert process.poll() is None, "the training was over before it could be killed"
    process.send_signal(signal.SIGKILL)
    process.wait()


def same(a: Any, b: Any, path: str = "") -> None:
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), path
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), path
        for key in a:
            same(a[key], b[key], f"{path}.{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), path
        for index, (x, y) in enumerate(zip(a, b, strict=True)):
            same(x, y, f"{path}[{index}]")
    else:
        assert a == b, path


@pytest.fixture(scope="module")
def whole(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the last checkpoint of a training that nothing stopped."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    finish(settings(corpus, folder, 5))
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


@pytest.mark.parametrize(
    ("minutes", "kills"),
    [
        (0, [3, 4]),  # after every batch: killed twice in the middle of epochs
        (5, [1, 1]),  # after every epoch: killed twice early in the next one
    ],
)
def test_killed_and_resumed_is_bit_equal(
    corpus: Path, tmp_path: Path, whole: dict[str, Any], minutes: float, kills: list[int]
) -> None:
    folder = tmp_path / "run"
    command = settings(corpus, folder, minutes)
    last = folder / "checkpoints" / "last.ckpt"
    for number, writes in enumerate(kills):
        kill_after(command + ["resume=true"] * (number > 0), last, writes)
    output = finish([*command, "resume=true"])
    assert f"{EPOCHS} epochs" in output
    resumed = torch.load(last, weights_only=True)
    for key in ("epoch", "global_step", "state_dict", "current_model_state", "optimizer_states"):
        same(whole[key], resumed[key], key)
    assert not list(folder.rglob("*.part"))
    steps = [int(row.split(",")[1]) for row in (folder / "metrics.csv").read_text().splitlines()[1:]]
    assert steps == sorted(steps)


def test_finished_run_resumes_to_itself(trained: Path, corpus: Path) -> None:
    last = trained / "checkpoints" / "last.ckpt"
    before = last.read_bytes()
    command = [sys.executable, "-m", "seqlab", "train", *small_settings(corpus)]
    output = finish([*command, "training.max_epochs=30", "augment=none", f"run_dir={trained}", "resume=true"])
    assert "best checkpoint" in output
    assert last.read_bytes() == before
    assert os.path.exists(trained / "metrics.csv")
