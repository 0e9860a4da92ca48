"""The folder of a training run: new, continued or replaced, and what is written down in it."""

import hashlib
import json
import platform
import shutil
import subprocess
import time
from importlib.metadata import version as package_version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console

import seqlab
from seqlab.checkpoints import find_checkpoint
from seqlab.config import Config, build, load_yaml, save_yaml
from seqlab.errors import ConfigError

if TYPE_CHECKING:
    from seqlab.training.trainer import Training

# What may not change when a run is resumed: the network, its output and the optimiser, whose state is restored.
FIXED_ON_RESUME = ("init", "lm", "tokenizer", "frontend", "normalize", "stem", "encoder", "optimizer")


def fit_run(training: "Training", task: Any, data: Any, config: Config, resume: Path | None, console: Console) -> Path:
    """Write down what the run is, train, and say what came of it; returns the best checkpoint."""
    from seqlab.training.trainer import is_first_process  # Lightning takes seconds to import

    run_dir = training.run_dir
    loggers = [build(node, "logger", save_dir=str(run_dir)) for node in config["logger"].values()]
    if is_first_process():  # only now is it sure that the new run can begin
        if not resume:
            _clear(run_dir, training.checkpoints)
        save_yaml(config, run_dir / "config.yaml")
        _record(config, run_dir)
    begun = time.process_time()
    trainer = training.fit(task, data, loggers, resume)
    best = find_checkpoint(run_dir)
    minutes = (time.process_time() - begun) / 60
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
        if not taken or not last.exists():
            console.print(f"resume: {run_dir} has no checkpoint yet, training starts from the beginning")
            return None
        saved = load_yaml(run_dir / "config.yaml")
        changed = [k for k in FIXED_ON_RESUME if k in saved and not _same(saved[k], config.get(k))]
        if changed:
            rows = "\n".join(f"  {k}: was {saved[k]}, is {config.get(k)}" for k in changed)
            raise ConfigError(f"resume: {run_dir} was trained with other settings:\n{rows}\nuse another run_dir")
        _check_left(last, config)
        return last
    if taken and not config["overwrite"]:
        raise ConfigError(
            f"{run_dir} already holds a run; resume=true continues it, run_dir=... starts another beside it, "
            "overwrite=true replaces it"
        )
    return None


def _same(saved: Config, now: Config | None) -> bool:
    """Compare two nodes; an alphabet that is not given now was taken from the data then."""
    if now is None or "alphabet" not in saved:
        return saved == now
    return {**saved, "alphabet": None} == {**now, "alphabet": None}


def _check_left(last: Path, config: Config) -> None:
    """Refuse to resume a run that has gone beyond what it is asked for."""
    epochs = config["training"]["max_epochs"]
    done = torch.load(last, map_location="cpu", weights_only=True, mmap=True)["epoch"]
    if epochs is not None and not config["training"]["budget_minutes"] and done >= epochs:
        raise ConfigError(f"resume: {last} is in epoch {done + 1} already; training.max_epochs={epochs} leaves none")


def _clear(run_dir: Path, checkpoints: Path) -> None:
    """Remove what an earlier run left, when it is to be replaced."""
    for path in (checkpoints, run_dir / "metrics.csv", run_dir / "tensorboard"):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _record(config: Config, run_dir: Path) -> None:
    """Write down what the run was made with: versions, commit, hashes of the manifests."""
    names = ("torch", "torchaudio", "lightning", "hydra-core", "numpy", "soundfile", "soxr", "jiwer")
    manifests = [p for split in ("train", "dev", "rejoin_from") for p in config["corpus"].get(split) or []]
    made_with = {
        "seqlab": seqlab.__version__,
        "commit": commit(),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "packages": {name: package_version(name) for name in names},
        "manifests": {p: hashlib.sha256(Path(p).read_bytes()).hexdigest() for p in manifests},
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    (run_dir / "environment.json").write_text(json.dumps(made_with, indent=2), encoding="utf-8")


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
