"""A training that is killed and resumed ends with the same bits as one that was not."""

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import Run, small_settings

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


@pytest.mark.slow
def test_twenty_kills_at_random_leave_no_trace(corpus: Path, tmp_path: Path, whole: dict[str, Any]) -> None:
    """Kill a training that saves after every batch, at any moment, saves included."""
    folder = tmp_path / "run"
    command = settings(corpus, folder, 0)
    last = folder / "checkpoints" / "last.ckpt"
    rng = random.Random(1)
    kills = within = 0
    while kills < 20:
        process = subprocess.Popen(
            command + ["resume=true"] * last.exists() + ["overwrite=true"] * (not last.exists()),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        before = last.stat().st_mtime_ns if last.exists() else None
        deadline = time.monotonic() + 120
        saved = 0
        while process.poll() is None and time.monotonic() < deadline and saved < 1:  # it makes its way, at least
            now = last.stat().st_mtime_ns if last.exists() else None
            saved, before = saved + (now != before), now
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.02))  # a batch or two
        within += last.with_name("last.ckpt.part").exists()
        process.send_signal(signal.SIGKILL)
        if process.wait() == 0:
            break  # it was faster
        kills += 1
    finish([*command, "resume=true"])
    assert kills >= 15
    resumed = torch.load(last, weights_only=True)
    for key in ("epoch", "global_step", "state_dict", "current_model_state", "optimizer_states"):
        same(whole[key], resumed[key], key)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_asked_to_end_it_saves_and_says_so(
    corpus: Path, tmp_path: Path, whole: dict[str, Any], number: signal.Signals
) -> None:
    folder = tmp_path / "run"
    command = settings(corpus, folder, 5)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (folder / "checkpoints" / "last.ckpt").exists() and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 75
    assert f"seqlab: {number.name}: saved in {folder}/checkpoints/last.ckpt; it goes on with resume=true" in error
    assert "Traceback" not in error
    finish([*command, "resume=true"])
    record = json.loads((folder / "environment.json").read_text())
    assert [session["ended"] for session in record["sessions"]] == ["told to end", "finished"]
    assert all(0 < session["cpu_s"] < 600 and session["wall_s"] > 0 for session in record["sessions"])
    assert record["sessions"][1]["steps"] == whole["global_step"]
    assert record["sessions"][1]["frames_per_s"] > 0
    assert record["seed"] == 1
    resumed = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    for key in ("epoch", "global_step", "state_dict", "current_model_state", "optimizer_states"):
        same(whole[key], resumed[key], key)


def test_whole_process_group_asked_to_end_is_saved(corpus: Path, tmp_path: Path, whole: dict[str, Any]) -> None:
    folder = tmp_path / "run"
    command = [*settings(corpus, folder, 0), "data.num_workers=2"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 120
    while not (folder / "checkpoints" / "last.ckpt").exists() and time.monotonic() < deadline:
        time.sleep(0.002)
    time.sleep(0.05)  # the second reading process is there, too
    os.killpg(process.pid, signal.SIGTERM)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 75, error
    assert "it goes on with resume=true" in error
    finish([*command, "resume=true"])
    same(whole["state_dict"], torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"])


def test_resume_with_reading_processes_is_bit_equal(corpus: Path, tmp_path: Path, whole: dict[str, Any]) -> None:
    folder = tmp_path / "run"
    command = [*settings(corpus, folder, 0), "data.num_workers=2"]
    last = folder / "checkpoints" / "last.ckpt"
    kill_after(command, last, 5)
    finish([*command, "resume=true"])
    resumed = torch.load(last, weights_only=True)
    same(whole["state_dict"], resumed["state_dict"])


@pytest.mark.slow
def test_two_processes_resume_bit_equal(corpus: Path, tmp_path: Path) -> None:
    two = ["training.devices=2", "training.accelerator=cpu"]
    finish([*settings(corpus, tmp_path / "whole", 0), *two])
    folder = tmp_path / "run"
    last = folder / "checkpoints" / "last.ckpt"
    command = [*settings(corpus, folder, 0), *two]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 200
    while not last.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=100)
    assert process.returncode == 75, error
    finish([*command, "resume=true"])
    first, second = (
        torch.load(tmp_path / n / "checkpoints" / "last.ckpt", weights_only=True) for n in ("whole", "run")
    )
    for key in ("epoch", "global_step", "state_dict", "current_model_state", "optimizer_states"):
        same(first[key], second[key], key)


class FullDisk:
    """A file on a disk that has no room for more than half of what is written."""

    def __init__(self, file: Any) -> None:
        self.file = file

    def __enter__(self) -> "FullDisk":
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()

    def write(self, content: Any) -> None:
        self.file.write(bytes(content)[: len(content) // 2])
        self.file.flush()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_full_disk_leaves_the_last_good_checkpoint_and_training_goes_on(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seqlab: Run
) -> None:
    arguments = settings(corpus, Path("run"), 5)[4:]
    original, full = Path.open, {"from": 3, "writes": 0}

    def open_(self: Path, mode: str = "r", *rest: Any, **named: Any) -> Any:
        file = original(self, mode, *rest, **named)
        if self.name.endswith(".ckpt.part") and "w" in mode:
            full["writes"] += 1
            return FullDisk(file) if full["writes"] >= full["from"] else file
        return file

    monkeypatch.setattr(Path, "open", open_)
    done = seqlab("train", *arguments)  # one best and one last checkpoint fit on the disk
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "run" / "checkpoints"
    log = (tmp_path / "run" / "train.log").read_text()
    assert "No space left on device; the one before is kept, training goes on. Make room" in log
    kept = torch.load(folder / "last.ckpt", weights_only=True)
    assert kept["datamodule"]["epoch"] if "datamodule" in kept else kept["epoch"] == 0
    assert len(list(folder.glob("best-epoch000*"))) == 1
    assert not list(folder.glob("*.part"))
    monkeypatch.setattr(Path, "open", original)
    done = seqlab("train", *arguments, "resume=true")
    assert done.returncode == 0, done.stderr
    assert torch.load(folder / "last.ckpt", weights_only=True)["epoch"] == EPOCHS - 1


def test_full_disk_keeps_the_average_before(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seqlab: Run
) -> None:
    arguments = [*settings(corpus, Path("run"), 5)[4:], "training.average_best=2"]
    assert seqlab("train", *arguments).returncode == 0
    folder = tmp_path / "run" / "checkpoints"
    (made,) = folder.glob("best-average-*")
    made = made.rename(folder / "best-average-cer9.0000.ckpt")  # else the new one has the same name
    original = Path.open

    def open_(self: Path, mode: str = "r", *rest: Any, **named: Any) -> Any:
        file = original(self, mode, *rest, **named)
        return FullDisk(file) if self.name.startswith("best-average") and "w" in mode else file

    monkeypatch.setattr(Path, "open", open_)
    done = seqlab("train", *arguments, "resume=true")
    assert done.returncode == 0, done.stderr
    assert list(folder.glob("best-average-*")) == [made]
    assert "No space left on device" in (tmp_path / "run" / "train.log").read_text()


def test_full_disk_costs_rows_of_metrics_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from seqlab.training.metrics_csv import MetricsCSV

    log = MetricsCSV(str(tmp_path))
    log.log_metrics({"a": 1.0}, 0)

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(MetricsCSV, "_append", full)
        log.log_metrics({"a": 2.0}, 1)
    log.log_metrics({"a": 3.0}, 2)
    assert [row.split(",")[-1] for row in (tmp_path / "metrics.csv").read_text().split()] == ["a", "1", "3"]


def test_finished_run_resumes_to_itself(trained: Path, corpus: Path) -> None:
    last = trained / "checkpoints" / "last.ckpt"
    before = last.read_bytes()
    command = [sys.executable, "-m", "seqlab", "train", *small_settings(corpus)]
    output = finish([*command, "training.max_epochs=30", "augment=none", f"run_dir={trained}", "resume=true"])
    assert "best checkpoint" in output
    assert last.read_bytes() == before
    assert os.path.exists(trained / "metrics.csv")
