"""Two processes (gloo) train as one does with the same batches per step; launchers, sweeps."""

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch
from hydra.experimental.callback import Callback

from seqlab import base_task
from seqlab.cli import main
from seqlab.data.sampler import BucketBatches
from seqlab.frontends.log_mel import LogMel
from seqlab.manifest import read_manifest
from seqlab.training import trainer as trainer_module
from tests.conftest import RATE, Run, small_settings, write_corpus
from tests.test_resume import same

TWO = ["training.devices=2", "training.accelerator=cpu"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def torchrun(*arguments: object, processes: int = 2) -> list[str]:
    """Return the command line that starts seqlab under torchrun."""
    launcher = [sys.executable, "-m", "torch.distributed.run", f"--nproc_per_node={processes}"]
    launcher += ["--master_addr=127.0.0.1", f"--master_port={free_port()}"]
    return [*launcher, "-m", "seqlab", *map(str, arguments)]


def finish(command: list[str], folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | variables
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=580)


def last(run: Path) -> dict[str, Any]:
    checkpoint: dict[str, Any] = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    return checkpoint


def metrics(run: Path) -> dict[str, list[float]]:
    """Return the values of every column of metrics.csv."""
    with (run / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name]) for row in rows if row[name]] for name in rows[0]}


def close(a: Any, b: Any, path: str = "") -> None:
    """Compare as `same` does, floating-point numbers within 1e-5."""
    if isinstance(a, torch.Tensor) and a.is_floating_point():
        torch.testing.assert_close(a, b, rtol=0, atol=1e-5, msg=lambda text: f"{path}: {text}")
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), path
        for key in a:
            close(a[key], b[key], f"{path}.{key}")
    elif isinstance(a, list):
        for index, (x, y) in enumerate(zip(a, b, strict=True)):
            close(x, y, f"{path}[{index}]")
    elif isinstance(a, float):
        assert a == pytest.approx(b, abs=1e-6), path
    else:
        same(a, b, path)


FRAMES = 240  # of a batch; 15 batches or so, and a validation of two batches on rank 0 and of one on rank 1


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return a training without chance but that of the signals, whose validation shares are uneven for two."""
    folder = tmp_path_factory.mktemp("shares")
    manifests = write_corpus(folder, {"train": 40, "dev": 9, "test": 1})
    samples = torch.tensor([round((line.duration_s or 0) * RATE) for line in read_manifest(manifests["dev"])])
    frames = LogMel(RATE).num_frames(samples).numpy()
    shares = [len(BucketBatches(frames, 2 * FRAMES, rank=rank, world=2, shuffle=False)) for rank in (0, 1)]
    assert shares == [2, 1]
    chance = ["augment.features=null", f"data.batch_frames={FRAMES}", "training.accelerator=cpu"]
    return ["train", *small_settings(folder), *chance, "data.sorted_epochs=9", "encoder.num_layers=2"]


def test_two_processes_learn_what_one_does_of_the_same_batches(
    settings: list[str], tmp_path: Path, seqlab: Run
) -> None:
    done = finish(torchrun(*settings, *TWO, "run_dir=two"), tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("best checkpoint: ") == 1  # one of them speaks
    one = seqlab(*settings, "training.accumulate=2", "run_dir=one")
    assert one.returncode == 0, one.stderr
    whole, shared = last(tmp_path / "one"), last(tmp_path / "two")
    assert whole["global_step"] == shared["global_step"] >= 10
    for key in ("epoch", "state_dict", "current_model_state", "optimizer_states"):
        close(whole[key], shared[key], key)
    first, second = metrics(tmp_path / "one"), metrics(tmp_path / "two")
    for name in ("val/cer", "val/wer", "val/blank"):  # sums of counts, so they are equal, not close
        assert first[name] == second[name]
    assert first["val/loss"] == pytest.approx(second["val/loss"], abs=1e-5)
    assert len(first["val/cer"]) == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one", "two"]
    assert sorted(p.name for p in (tmp_path / "two").iterdir()) == sorted(p.name for p in (tmp_path / "one").iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["torchrun", "srun"])
def test_told_to_end_all_processes_save_and_go_on_to_the_bit(
    settings: list[str], tmp_path: Path, launcher: str
) -> None:
    command = [*settings, *TWO, "training.max_epochs=3", "training.checkpoint_minutes=0"]

    def start(run: str, *more: str) -> list[subprocess.Popen[str]]:
        given = [*command, f"run_dir={run}", *more]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        if launcher == "torchrun":
            commands, variables = [torchrun(*given)], [environment]
        else:  # no Slurm here: what srun tells each of its tasks
            job = {"SLURM_JOB_ID": "1", "SLURM_JOB_NAME": "train", "SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2"}
            job |= {"SLURM_NNODES": "1", "SLURM_NODEID": "0", "SLURM_NODELIST": "localhost"}
            job |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
            commands = [[sys.executable, "-m", "seqlab", *given]] * 2
            variables = [environment | job | {"SLURM_PROCID": r, "SLURM_LOCALID": r} for r in "01"]
        return [
            subprocess.Popen(c, cwd=tmp_path, env=v, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            for c, v in zip(commands, variables, strict=True)
        ]

    def end(processes: list[subprocess.Popen[str]]) -> tuple[list[int], str]:
        output = "".join(process.communicate(timeout=300)[0] for process in processes)
        return [process.returncode for process in processes], output

    status, output = end(start("whole"))
    assert set(status) == {0}, output
    processes = start("run")
    saved = tmp_path / "run" / "checkpoints" / "last.ckpt"
    deadline = time.monotonic() + 300
    while not saved.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    for process in processes:
        process.send_signal(signal.SIGTERM if launcher == "torchrun" else signal.SIGUSR1)
    status, output = end(processes)
    assert "it goes on with resume=true" in output
    assert 0 not in status
    if launcher == "srun":
        assert status == [75, 75], output
    status, output = end(start("run", "resume=true"))
    assert set(status) == {0}, output
    for key in ("epoch", "global_step", "state_dict", "current_model_state", "optimizer_states"):
        same(last(tmp_path / "whole")[key], last(tmp_path / "run")[key], key)
    assert not list(tmp_path.rglob("hpc_ckpt*"))  # Lightning's own requeueing is off
    record = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert [session["ended"] for session in record["sessions"]] == ["told to end", "finished"]


@pytest.mark.parametrize(
    "variables",
    [
        {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0"},
        {"SLURM_NTASKS": "2", "SLURM_JOB_NAME": "train", "SLURM_PROCID": "0", "SLURM_NTASKS_PER_NODE": "2"},
    ],
)
def test_processes_that_would_each_train_alone_are_refused(
    variables: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=r"devices=1 x num_nodes=1 does not fit the 2 process\(es\)"):
        trainer_module.Training("run")
    assert trainer_module.Training("run", devices=2).devices == 2
    with pytest.raises(ValueError, match="devices=2 x num_nodes=2"):
        trainer_module.Training("run", devices=2, num_nodes=2)


def test_shell_of_an_interactive_job_is_no_process_of_srun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_NTASKS", "8")
    monkeypatch.setenv("SLURM_JOB_NAME", "interactive")
    assert trainer_module.started_processes() is None


class OtherRank:
    """A second rank that holds given values."""

    def __init__(self, theirs: torch.Tensor) -> None:
        self.theirs = theirs

    def reduce(self, ours: torch.Tensor, reduce_op: str) -> torch.Tensor:
        both = torch.stack([ours, self.theirs.to(ours.dtype)])
        return both.mean(0) if reduce_op == "mean" else both.max(0).values


class Stub(torch.nn.Module):
    """As much of a task as its methods need."""

    device = torch.device("cpu")
    budget_s, spent_s, _clock = 60.0, 10.0, 3.0
    _busiest_s: float | None = None
    bad_steps = skipped_lines = 0

    def __init__(self, theirs: torch.Tensor) -> None:
        super().__init__()
        loop = SimpleNamespace(epoch_loop=SimpleNamespace(total_batch_idx=0))
        self.trainer: Any = SimpleNamespace(world_size=2, strategy=OtherRank(theirs), fit_loop=loop)
        self.schedule: Any = SimpleNamespace(state_dict=dict)

    def _now(self) -> float:
        return 8.0  # 5 s since the clock was read


def test_running_statistics_become_the_mean_over_ranks() -> None:
    task = Stub(torch.tensor([3.0, 5.0, 0.5, 1.0]))
    task.register_buffer("running_mean", torch.tensor([1.0, 1.0]))
    task.register_buffer("running_var", torch.tensor([1.0, 2.0]))
    task.register_buffer("window", torch.tensor([7.0]))  # a constant: not touched
    base_task.Task._share_statistics(task)  # type: ignore[arg-type]
    assert {name: buffer.tolist() for name, buffer in task.named_buffers()} == {
        "running_mean": [2.0, 3.0],
        "running_var": [0.75, 1.5],
        "window": [7.0],
    }


def test_budget_is_that_of_the_busiest_rank() -> None:
    """Ours takes 5 s each time, theirs 2, 9 and 3: 15 and 14 in all, where a sum of the larger ones would be 19."""
    task = Stub(torch.tensor(12.0))
    progress = []
    for batch, theirs in enumerate((12.0, 21.0, 24.0)):
        task.trainer.strategy.theirs = torch.tensor(theirs)
        task.trainer.fit_loop.epoch_loop.total_batch_idx = batch * base_task.SHARE_EVERY
        progress.append(base_task.Task._time_spent(task) * 60)  # type: ignore[arg-type]
        task._clock = 3.0
    assert progress == [15.0, 21.0, 25.0]
    assert task.spent_s == 25.0
    saved: dict[str, Any] = {}
    task.trainer.strategy.theirs = torch.tensor(70.0)
    base_task.Task._time_spent(task)  # type: ignore[arg-type]
    base_task.Task.on_save_checkpoint(task, saved)  # type: ignore[arg-type]
    assert (task.spent_s, saved["seqlab"]["spent_s"]) == (30.0, 70.0)  # whichever process saves


def test_time_spent_is_exchanged_now_and_then() -> None:
    task = Stub(torch.tensor(12.0))
    told = []
    for batch in range(7, 21):  # resumed at batch 7: asks at once
        task.trainer.strategy.theirs = torch.tensor(100.0 + batch)
        task.trainer.fit_loop.epoch_loop.total_batch_idx = batch
        told.append(round(base_task.Task._time_spent(task) * 60))  # type: ignore[arg-type]
    assert told == [107] * 3 + [110] * 10 + [120]


def test_sweep_that_would_start_itself_again_is_refused(settings: list[str], tmp_path: Path, seqlab: Run) -> None:
    done = seqlab(*settings, *TWO, "run_dir=run", "-m", "seed=1")
    assert done.returncode == 2
    assert "a sweep on this machine trains in one process; set training.devices=1" in done.stderr
    assert not list(tmp_path.rglob("*.ckpt"))


class Returned(Callback):
    """What the jobs of a sweep hand to the sweeper."""

    values: ClassVar[list[Any]] = []

    def on_job_end(self, config: Any, job_return: Any, **kwargs: Any) -> None:
        self.values.append(job_return.return_value)


def test_sweeper_is_given_the_best_metric(settings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from seqlab.verbs import train as verb

    monkeypatch.setattr(verb, "train", lambda *_: Path("best-epoch003-cer0.1250.ckpt"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main([*settings, "run_dir=run", "-m", "seed=1,2", "+hydra.callbacks.seen._target_=tests.test_ddp.Returned"])
    assert stop.value.code == 0
    assert Returned.values == [0.125, 0.125]
