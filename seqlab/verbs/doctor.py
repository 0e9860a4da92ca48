"""seqlab doctor: examine manifests before training, or the machine."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from seqlab.config import build, compose
from seqlab.diagnosis import Diagnosis
from seqlab.doctor import examine
from seqlab.errors import ConfigError
from seqlab.files import atomic_write
from seqlab.machine import Choice, Probe, choose, probe
from seqlab.manifest import Line, read_manifest, read_manifests
from seqlab.model import CTCModel
from seqlab.recognizer import Recognizer
from seqlab.verbs import transcribe


def doctor(
    manifests: Sequence[str], model: str | None, overrides: Sequence[str], out: str, console: Console
) -> Diagnosis:
    """Examine manifests: the first is the training part, the others are named after their files.

    Args:
        manifests: manifest files; none takes those of the configured corpus.
        model: a trained model whose alphabet and frames the lines must fit, or None.
        overrides: Hydra overrides of conf/train.yaml, such as stem.factor=2.
        out: file for the whole list of faults.
        console: for progress and the summary.
    """
    if model and overrides:
        raise ConfigError("a model brings its own settings: give --model or --override, not both")
    if model:
        recognizer = Recognizer.load(model, "cpu")
        net, tokenizer, config = recognizer.model, recognizer.tokenizer, recognizer.config
    else:
        config = compose("train", overrides)
        tokenizer = build(config["tokenizer"], "tokenizer")
    splits: dict[str, list[Line]] = {}
    if manifests:
        for number, path in enumerate(manifests):
            name = "train" if number == 0 and not model else Path(path).stem
            splits[name if name not in splits else path] = read_manifest(path)
    else:
        for split in ("train", "dev", "test"):
            if config["corpus"].get(split):
                splits[split] = read_manifests(config["corpus"][split])
    if not splits:
        raise ConfigError("no manifest given: seqlab doctor TRAIN.jsonl [DEV.jsonl ...], or -s corpus=NAME")
    if not model:
        if "train" not in splits:
            raise ConfigError("corpus.train names no manifest, so there is no alphabet; name one, or give --model")
        tokenizer.fit(line.text for line in splits["train"])
        with torch.device("meta"):
            net = CTCModel(config, len(tokenizer.symbols))
    diagnosis = examine(splits, tokenizer, net, None, console if console.is_terminal else None)
    console.print(diagnosis.summary(), highlight=False, markup=False, soft_wrap=True)
    diagnosis.write(Path(out))
    console.print(f"the whole list: {out}", highlight=False, markup=False, soft_wrap=True)
    return diagnosis


def machine(as_json: bool, out: str | None, console: Console) -> None:
    """Measure this machine and say what suits it.

    Args:
        as_json: one JSON object on the standard output: machine, measured, choices.
        out: file for the same object, or None.
        console: for the table.
    """
    found = probe()
    choices = choose(found, defaults())
    text = json.dumps(told(found, choices), indent=2) + "\n"
    if out:
        with atomic_write(out) as file:
            file.write(text)
    if as_json:
        sys.stdout.write(text)
        return

    def say(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    say(f"{found.processor}, {found.cores} core(s), {found.memory_gb:g} GB; {found.gpu or 'no GPU'}")
    for (precision, threads), rate in found.gflops.items():
        say(f"matrices, {precision}, {threads} thread(s): {rate:.0f} GFLOP/s")
    if found.load >= found.cores:
        say(f"other programs are at work (load {found.load:g}): measure again when it is quiet")
    table = Table("setting", "default", "here", "why")
    for c in choices:
        default, choice = ("null" if value is None else str(value) for value in (c.default, c.choice))
        table.add_row(c.setting, default, choice + ("" if c.agrees else "  <-"), c.why)
    console.print(table, highlight=False, markup=False)
    settings = " ".join(f"{c.setting}={c.choice}".lower() for c in choices if not c.agrees and c.setting[0] != "-")
    if settings:
        say(f"for a training here: seqlab train ... {settings}")


def defaults() -> dict[str, Any]:
    """Return what seqlab train and seqlab transcribe use when nothing is said, by setting."""
    config = compose("train", [])
    keys = ("accelerator", "threads", "precision", "find_budget")
    options = vars(transcribe.build_parser().parse_args(["RUN", "FILE"]))
    return (
        {f"training.{key}": config["training"][key] for key in keys}
        | {f"data.{key}": config["data"][key] for key in ("batch_frames", "num_workers")}
        | {f"--{name}": options[name] for name in ("device", "backend", "threads", "processes")}
    )


def told(found: Probe, choices: Sequence[Choice]) -> dict[str, Any]:
    """Return what was found and chosen as what JSON can hold."""
    measured = asdict(found)
    for name in ("gflops", "step_s"):
        measured[name] = [
            {"precision": precision, "threads": threads, "value": round(value, 5)}
            for (precision, threads), value in measured[name].items()
        ]
    measured["read_s"] = [{"threads": count, "value": round(value, 5)} for count, value in found.read_s.items()]
    return {"machine": measured, "choices": [asdict(choice) | {"agrees": choice.agrees} for choice in choices]}
