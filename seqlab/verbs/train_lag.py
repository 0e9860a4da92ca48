"""seqlab train lag=adding: a long-lag task of 1997 or after, learnt by any encoder until its published criterion."""

import csv
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

import seqlab
from seqlab.config import Config, build, conf_dir, load_yaml, save_yaml
from seqlab.errors import ConfigError
from seqlab.lab.loop import Loop
from seqlab.lab.meter import Result, Row
from seqlab.verbs.run_folder import commit

USED = ("name", "run_dir", "seed", "lag", "encoder", "optimizer", "schedule")  # the nodes and settings of such a run
SHOWN = 5.0  # seconds between two lines of progress
MODEL = "model.pt"


def train_lag(config: Config, run_dir: Path, console: Console) -> Path:
    """Learn a long-lag task; writes config.yaml, metrics.csv, result.json and model.pt, the weights, which it returns.

    Raises:
        ConfigError: a setting is wrong, has no meaning here, or the run folder is taken.
    """
    if config["resume"]:
        raise ConfigError("resume: a lag task is learnt in one go; overwrite=true begins it again")
    if config["init"]["model"]:
        raise ConfigError("init.model: a lag task is learnt from random weights; leave it null")
    if unused := list(_unused(config)):
        raise ConfigError(
            "a lag task makes its own sequences, and of the groups takes lag, encoder, optimizer and schedule alone; "
            f"leave out: {', '.join(unused)}"
        )
    torch.set_num_threads(config["training"]["threads"])
    loop: Loop = build(config["lag"], "lag")
    schedule = build(config["schedule"], "schedule")
    torch.manual_seed(config["seed"])
    encoder = build(config["encoder"], "encoder", input_size=loop.task.num_inputs)
    try:
        network = loop.network(encoder)
    except ValueError as error:
        raise ConfigError(f"encoder: {error}") from None
    optimizer = build(config["optimizer"], "optimizer", params=list(network.parameters()))
    _open(config, run_dir)
    weights = sum(p.numel() for p in network.parameters())
    console.print(
        f"seqlab {seqlab.__version__} ({commit() or 'no commit'}), seed {config['seed']}, {weights} weights\n"
        f"{type(loop.task).__name__}, done when: {loop.task.criterion}\n"
        f"at most {loop.max_sequences} sequences, {loop.batch_size} at a time\n"
        f"configuration: {run_dir / 'config.yaml'}",
        highlight=False,
        soft_wrap=True,
    )
    with (run_dir / "metrics.csv").open("w", newline="", encoding="utf-8") as file:
        log = _Log(file, console)
        result = loop.learn(network, optimizer, config["seed"], schedule.factor, log)
    torch.save(network.state_dict(), run_dir / MODEL)
    made_by = {"seqlab": seqlab.__version__, "commit": commit(), "name": config["name"], "seed": config["seed"]}
    text = json.dumps(made_by | {"criterion": str(loop.task.criterion)} | asdict(result), indent=2)
    (run_dir / "result.json").write_text(text + "\n", encoding="utf-8")
    console.print(_said(result, run_dir), highlight=False, soft_wrap=True)
    return run_dir / MODEL


class _Log:
    """Writes rows of figures to metrics.csv, and now and then to the console."""

    def __init__(self, file: Any, console: Console) -> None:
        self._file, self._console = file, console
        self._writer: csv.DictWriter[str] | None = None
        self._shown = time.monotonic()

    def __call__(self, row: Row) -> None:
        if self._writer is None:
            self._writer = csv.DictWriter(self._file, list(row))
            self._writer.writeheader()
        self._writer.writerow({name: f"{value:.6g}" for name, value in row.items()} | {"step": int(row["step"])})
        self._file.flush()
        if time.monotonic() - self._shown >= SHOWN:
            self._shown = time.monotonic()
            self._console.print(
                f"{int(row['step']):>9} sequences, {row['sequences_per_s']:.0f} a second, "
                f"mean error {row['train/error']:.4f}, {row['train/wrong']:.1%} wrong",
                highlight=False,
            )


def _said(result: Result, run_dir: Path) -> str:
    reasons = {"sequences": "no more sequences", "time": "out of time", "diverged": "errors are no numbers any more"}
    how = "learnt" if result.solved else f"not learnt ({reasons[result.stopped]})"
    test = result.test
    tested = f"{test['wrong']} of {test['sequences']} fresh sequences wrong"
    if "mean_length" in test:
        tested = f"{test['mean_length']:.0f} symbols of a fresh stream foretold, mean of {test['sequences']}"
    seconds = f"{result.cpu_seconds:.1f} CPU seconds"
    return f"{how} after {result.sequences} sequences, {seconds}; {tested}\nresult: {run_dir / 'result.json'}"


def _unused(config: Config) -> Iterator[str]:
    """Name settings that were changed and that a lag task does not look at."""
    groups = [entry for entry in load_yaml(conf_dir() / "train.yaml", resolve=False)["defaults"] if entry != "_self_"]
    for group, choice in (pair for entry in groups for pair in entry.items()):
        if group not in USED and choice is not None and group in config:
            default = load_yaml(conf_dir() / group / f"{choice}.yaml", resolve=False)
            given = config[group] | ({"threads": default["threads"]} if group == "training" else {})
            yield from _changed(default, given, group, config)
    if config.get("lm"):
        yield "lm"


def _changed(default: Mapping[str, Any], given: Any, path: str, config: Config) -> Iterator[str]:
    for key, value in default.items():
        if key == "defaults":
            continue
        if not isinstance(given, Mapping) or key not in given:
            yield path
            return
        if isinstance(value, Mapping):
            yield from _changed(value, given[key], f"{path}.{key}", config)
            continue
        folder = os.path.join(config["data_dir"], "spoken_digits")
        plain = str(value).replace("${..folder}", folder).replace("${data_dir}", config["data_dir"])
        if plain != str(given[key]):
            yield f"{path}.{key}"


def _open(config: Config, run_dir: Path) -> None:
    """Begin the run folder, unless it holds a run already."""
    made = [run_dir / name for name in ("result.json", MODEL, "checkpoints", "metrics.csv")]
    if not config["overwrite"] and any(path.exists() for path in made[:3]):
        raise ConfigError(
            f"{run_dir} already holds a run; run_dir=... starts another beside it, overwrite=true replaces it"
        )
    for path in made:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    run_dir.mkdir(parents=True, exist_ok=True)
    save_yaml({key: config[key] for key in USED}, run_dir / "config.yaml")
