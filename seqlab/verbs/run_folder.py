"""The folder of a training run: new, continued or replaced, and what is written down in it."""

import hashlib
import json
import platform
import shutil
import subprocess
import time
from contextlib import suppress
from importlib.metadata import version as package_version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console

import seqlab
from seqlab.checkpoints import find_checkpoint
from seqlab.config import Config, build, load_yaml, save_yaml, with_defaults
from seqlab.errors import ConfigError, Preempted
from seqlab.files import atomic_write
from seqlab.manifest import check_manifest

if TYPE_CHECKING:
    from seqlab.training.trainer import Training

# What may not change when a run is resumed: the network, its output and the optimiser, whose state is restored.
FIXED_ON_RESUME = ("init", "lm", "tokenizer", "frontend", "normalize", "stem", "encoder", "optimizer")
STATEFUL_LOSS = ("prior_weight", "shortcut")  # weights of the loss that bring state: neither from 0 nor to 0


def fit_run(training: "Training", task: Any, data: Any, config: Config, resume: Path | None, console: Console) -> Path:
    """Write down what the run is, train, and say what came of it; returns the best checkpoint."""
    from seqlab.training.trainer import is_first_process  # Lightning takes seconds to import

    run_dir = training.run_dir
    loggers = [build(node, "logger", save_dir=str(run_dir)) for node in config["logger"].values()]
    if is_first_process():  # only now is it sure that the new run can begin
        if not resume:
            _clear(run_dir, training.checkpoints)
        save_yaml(config, run_dir / "config.yaml")
        _record(config, run_dir, resume is not None)
    begun, wall = time.process_time(), time.monotonic()
    ended = "finished"
    try:
        trainer = training.fit(task, data, loggers, resume)
    except BaseException as error:
        ended = "told to end" if isinstance(error, Preempted | KeyboardInterrupt) else "failed"
        raise
    finally:
        if is_first_process():
            cpu = time.process_time() - begun + data.reading_s
            _note_session(run_dir, ended, time.monotonic() - wall, cpu, task)
    best = find_checkpoint(run_dir)
    minutes = (time.process_time() - begun + data.reading_s) / 60
    console.print(
        f"trained {trainer.global_step} steps, {trainer.current_epoch} epochs in {minutes:.1f} CPU minutes\n"
        f"best checkpoint: {best}",
        highlight=False,
        soft_wrap=True,
    )
    return best


def open_run(config: Config, run_dir: Path, last: Path, console: Console, first: bool) -> Path | None:
    """Decide whether the run folder is new, continued or replaced; returns the checkpoint to go on from."""
    taken = last.parent.is_dir() and any(last.parent.glob("*.ckpt"))
    if config["resume"]:
        if not taken:
            console.print(f"resume: {run_dir} has no checkpoint yet, training starts from the beginning")
            return None
        if not last.exists():
            start = f"; run_dir=... init.model={run_dir} starts another from its weights" if "init" in config else ""
            raise ConfigError(
                f"resume: {last.parent} holds checkpoints, but no {last.name} to go on from{start}; overwrite=true in "
                "place of resume=true removes them and starts from the beginning"
            )
        saved = load_yaml(run_dir / "config.yaml")
        changed = [
            (k, saved[k], config.get(k))
            for k in FIXED_ON_RESUME
            if k in saved and not _same(k, saved[k], config.get(k))
        ]
        loss, loss_now = saved.get("loss") or {}, config.get("loss") or {}
        changed += [
            (f"loss.{k}", loss.get(k), loss_now.get(k))
            for k in STATEFUL_LOSS
            if bool(loss.get(k)) != bool(loss_now.get(k))
        ]
        if changed:
            rows = "\n".join(f"  {k}: was {was}, is {now}" for k, was, now in changed)
            raise ConfigError(f"resume: {run_dir} was trained with other settings:\n{rows}\nuse another run_dir")
        _check_left(last, config)
        return last
    if taken and not config["overwrite"]:
        raise ConfigError(
            f"{run_dir} already holds a run; resume=true continues it, run_dir=... starts another beside it, "
            "overwrite=true replaces it"
        )
    return None


def _same(key: str, saved: Config | None, now: Config | None) -> bool:
    """Compare two nodes; an alphabet that is not given now was taken from the data then."""
    if saved is None or now is None:
        return saved == now
    given = {"alphabet": None} if "alphabet" in saved else {}
    then, today = (with_defaults({**node, **given}, key) for node in (saved, now))
    return bool(then == today)


def _check_left(last: Path, config: Config) -> None:
    """Refuse to resume a run that has gone beyond what it is asked for."""
    epochs = config["training"]["max_epochs"]
    done = torch.load(last, map_location="cpu", weights_only=True, mmap=True)["epoch"]
    if epochs is not None and done >= epochs:
        raise ConfigError(f"resume: {last} is in epoch {done + 1} already; training.max_epochs={epochs} leaves none")


def _clear(run_dir: Path, checkpoints: Path) -> None:
    """Remove what an earlier run left, when it is to be replaced."""
    for path in (checkpoints, run_dir / "metrics.csv", run_dir / "tensorboard"):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _record(config: Config, run_dir: Path, resumed: bool) -> None:
    """Write down what the run was made with: versions, commit, hashes of the manifests, seed, ended sessions."""
    names = ("torch", "torchaudio", "lightning", "hydra-core", "numpy", "soundfile", "soxr", "jiwer")
    manifests = [p for split in ("train", "dev", "rejoin_from") for p in config["corpus"].get(split) or []]
    made_with = {
        "seqlab": seqlab.__version__,
        "commit": commit(),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "packages": {name: package_version(name) for name in names},
        "manifests": {p: _sha256(p) for p in manifests},
        "seed": config["seed"],
        "processor": _processor(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "sessions": _sessions(run_dir) if resumed else [],
    }
    with atomic_write(run_dir / "environment.json") as file:
        json.dump(made_with, file, indent=2)


def _sessions(run_dir: Path) -> list[Any]:
    """Return the sessions of a run that have ended; one that was killed has left nothing."""
    try:
        return list(json.loads((run_dir / "environment.json").read_text(encoding="utf-8"))["sessions"])
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _note_session(run_dir: Path, ended: str, wall_s: float, cpu_s: float, task: Any) -> None:
    """Add a session to environment.json: how it ended, its time, the steps of the run by now, its throughput."""
    path = run_dir / "environment.json"
    session: dict[str, Any] = {"ended": ended, "wall_s": round(wall_s, 1), "cpu_s": round(cpu_s, 1)}
    with suppress(OSError, ValueError, RuntimeError):  # a full disk must not hide what else went wrong
        trainer = task.trainer
        session |= {"steps": trainer.global_step, "epochs": trainer.current_epoch}
        if (speed := trainer.callback_metrics.get("train/frames_per_s")) is not None:
            session["frames_per_s"] = round(float(speed))
        record = json.loads(path.read_text(encoding="utf-8"))
        record["sessions"] = [*record.get("sessions", []), session]
        with atomic_write(path) as file:
            json.dump(record, file, indent=2)


def _sha256(path: str) -> str:
    with check_manifest(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _processor() -> str:
    """Return the name of the GPU, or of the processor as far as the system tells."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor() or platform.machine()


def commit() -> str | None:
    """Return the commit of the checkout that seqlab runs from, or None."""
    folder = Path(seqlab.__file__).parent
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), "describe", "--always", "--dirty"], capture_output=True, text=True, timeout=5
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
