"""Look, divide, examine, choose: from somebody's data to manifests and the experiment of a training."""

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from seqlab.config import Config, build, compose, read_overrides, save_yaml
from seqlab.data.augment import Rejoin
from seqlab.doctor import examine
from seqlab.errors import DataError
from seqlab.files import atomic_write
from seqlab.fit.choose import FEASIBLE, LEAST_HIDDEN, PASSES, Choice, choose, feasible, look, smaller_strides
from seqlab.fit.discover import discover
from seqlab.fit.items import MAX_FAULTY
from seqlab.fit.speed import on_gpu, seconds_per_pass
from seqlab.fit.split import divide
from seqlab.machine import quicker, threads_to_try
from seqlab.manifest import Line, read_manifest, read_manifests, write_manifest
from seqlab.model import build_on_meta

LISTENED = 2000  # lines of each part that are read whole before training
TUNED_ON = 300  # lines of dev, at most, that decoding is tuned on
JOINED_LINES = 200  # strings joined of the single recordings of dev and test each, at most
RESERVE = 0.05  # share of the time that tuning and evaluation get
LEAST_TRAINED = 0.5  # share of the time that training gets, however long the rest takes
MEASURED = 0.02  # share of the time that a measurement of speed may take, 5 s at most


@dataclass(slots=True)
class Wish:
    """What was asked for.

    Attributes:
        source: folder or table.
        name: of the run.
        minutes: for all of it.
        overrides: settings of seqlab train, on top of the chosen.
        layout: see discover.
        media: see discover.
        columns: see discover.
        recipe: experiment to go out from, or None for the one that fits best.
        shares: of dev and test, where they are not given; None: see divide.
        split_by: speaker, document, line, or None for the first that serves.
        seed: of split and training.
    """

    source: Path
    name: str
    minutes: float = 30.0
    overrides: Sequence[str] = ()
    layout: str | None = None
    media: Path | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    recipe: str | None = None
    shares: tuple[float, float] | None = None
    split_by: str | None = None
    seed: int = 1


def compose_fit(run: Path, overrides: Sequence[str] = ()) -> Config:
    """Compose the training of a run folder from its experiment/fit.yaml, as seqlab train would."""
    return compose("train", ["experiment=fit", *overrides], str(run))


@dataclass(slots=True)
class _Experiment:
    """experiment/fit.yaml in the making."""

    run: Path
    wish: Wish
    corpus: Config
    choice: Choice

    def finish(self) -> Config:
        """Write the file with the overrides in it, so that it says all, and compose the training from it alone."""
        choices, settings = read_overrides(self.wish.overrides)
        self._write(choices, self.choice.settings | settings)
        return compose_fit(self.run)

    def compose(self, **more: Any) -> Config:
        """Write the file, with further settings for this time, and compose the training with the overrides on top."""
        self._write({}, self.choice.settings | more)
        return compose_fit(self.run, self.wish.overrides)

    def _write(self, choices: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
        """Write the file: choices of groups beside the recipe's, and dotted settings."""
        groups = [{name: choice} for name, choice in ({"override /corpus": "manifest"} | dict(choices)).items()]
        node: Config = {"defaults": [self.choice.recipe, *groups, "_self_"]}
        node |= {"name": self.wish.name, "seed": self.wish.seed, "corpus": self.corpus}
        for key, value in settings.items():
            *steps, last = key.split(".")
            place = node
            for step in steps:
                place = place.setdefault(step, {})
            if isinstance(value, dict) and isinstance(place.get(last), dict):
                value = {**place[last], **value}
            place[last] = value
        path = self.run / "experiment" / "fit.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        save_yaml(node, path)
        text = path.read_text(encoding="utf-8")
        reasons = [f"# {what}: {why}" for what, why in self.choice.reasons]
        with atomic_write(path) as file:
            file.write("\n".join(["# @package _global_", f"# {self.wish.name}: chosen by seqlab fit", *reasons, text]))


def prepare(wish: Wish, run: Path, console: Console) -> Config:
    """Find, divide and examine data, and choose settings; writes <run>/data and <run>/experiment/fit.yaml.

    Args:
        wish: what was asked for.
        run: the run folder.
        console: for what was found and chosen.

    Returns:
        The composed configuration of the training.

    Raises:
        DataError: the data are not understood, or of no use.
        ConfigError: an override is wrong.
    """
    begun, data = time.process_time(), run / "data"
    found = discover(wish.source, wish.layout, wish.media, wish.columns)
    _say(console, f"found: {found.layout}, {found.told}")
    divided, told = found.read(data)
    split = divide(divided, wish.shares, wish.split_by, wish.seed)
    for path in data.glob("*.jsonl"):
        path.unlink()  # an importer's
    parts = _written(split.parts, data)
    sizes = ", ".join(f"{part} {len(lines)}" for part, lines in parts.items())
    _say(console, f"{sizes} lines ({split.told})" + (f"; {told}" if told else ""))
    facts = look(parts)
    corpus: Config = {part: [str(data / f"{part}.jsonl")] for part in parts}
    if facts.single:
        corpus["rejoin_from"] = corpus["train"]
    own = read_overrides(wish.overrides)[1]
    given = {key for key, value in own.items() if not isinstance(value, dict)}
    experiment = _Experiment(run, wish, corpus, choose(facts, wish.recipe, given))
    tokenizer = build(experiment.compose()["tokenizer"], "tokenizer")
    texts = [line.text for line in parts["train"]]
    if facts.single and facts.kind == "audio":  # what stands between joined texts has a label, too
        texts.append(" ".join(texts[:2]))
    tokenizer.fit(texts)
    _fit_stride(experiment, parts["train"], tokenizer)
    parts = _examine(experiment.compose(), parts, tokenizer, run, console)
    for part in ("dev", "test"):
        if part in parts and facts.single and facts.kind == "audio":
            write_manifest(data / f"{part}_joined.jsonl", _join(parts[part]))
            corpus[part].append(str(data / f"{part}_joined.jsonl"))
    _keep_some(corpus["dev"], data / "dev_tune.jsonl")
    ratio = _fit_time(experiment, parts["train"], tokenizer)
    used = (time.process_time() - begun) / 60
    budget = ratio * max(wish.minutes * (1 - RESERVE) - used, LEAST_TRAINED * wish.minutes)
    limits = {"training.budget_minutes": round(budget, 3)}
    experiment.choice.set(limits | {"training.max_epochs": None}, f"{wish.minutes:g} minutes for all of it")
    for what, why in experiment.choice.reasons:
        _say(console, f"  {what}: {why}")
    return experiment.finish()


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def _written(parts: Mapping[str, list[Line]], data: Path) -> dict[str, list[Line]]:
    """Write manifests and read them back, so that every line knows its place."""
    for part, lines in parts.items():
        write_manifest(data / f"{part}.jsonl", lines)
    return {part: read_manifest(data / f"{part}.jsonl") for part in parts}


def _keep_some(manifests: list[str], path: Path) -> None:
    """Write a sample of dev to tune on, where dev is large."""
    lines = read_manifests(manifests)
    if len(lines) > TUNED_ON:
        write_manifest(path, random.Random(1).sample(lines, TUNED_ON))


def _fit_stride(experiment: _Experiment, lines: list[Line], tokenizer: Any) -> None:
    """Lower the stem's stride until nearly every line has frames enough for its labels."""
    config = experiment.compose()
    before = best = feasible(config, lines, tokenizer)
    chosen: dict[str, Any] = {}
    for settings in smaller_strides(config) if before < FEASIBLE else []:
        now = feasible(experiment.compose(**settings), lines, tokenizer)
        if now > best:
            best, chosen = now, settings
        if now >= FEASIBLE:
            break
    if chosen:
        why = f"{100 * best:.1f} % of the lines have frames enough for their labels so, {100 * before:.1f} % before"
        experiment.choice.set(chosen, why)


def _examine(
    config: Config, parts: Mapping[str, list[Line]], tokenizer: Any, run: Path, console: Console
) -> dict[str, list[Line]]:
    """Run the doctor and leave out what cannot be learnt or read; returns the lines kept."""
    model = build_on_meta(config, len(tokenizer.symbols))
    diagnosis = examine(parts, tokenizer, model, LISTENED, console if console.is_terminal else None)
    path = run / "data" / "doctor.jsonl"
    diagnosis.write(path)
    _say(console, diagnosis.summary())
    bad = {part: diagnosis.unusable(part) for part in parts}
    for part, lines in parts.items():
        if len(bad[part]) > MAX_FAULTY * len(lines):
            raise DataError(
                f"{len(bad[part])} of {len(lines)} lines of {part} are unusable, see above; mend them, or take them out"
            )
    if not any(bad.values()):
        return dict(parts)
    counts = ", ".join(f"{len(where)} of {part}" for part, where in bad.items() if where)
    _say(console, f"left out as unusable: {counts}; the whole list: {path}")
    return _written({part: [x for x in rows if x.where not in bad[part]] for part, rows in parts.items()}, run / "data")


def _join(lines: Sequence[Line]) -> list[Line]:
    """Join strings of the single recordings of a part, each of one speaker."""
    joiner = Rejoin(lines, min_parts=2)
    rng = np.random.default_rng(1)
    count = min(len(lines), JOINED_LINES)
    strings = []
    for number in range(count):
        line = joiner(lines[number * len(lines) // count], rng)
        length = round((line.duration_s or 0.0) - 0.001 * len(line.parts or []), 4)  # spans end that much later
        strings.append(replace(line, id=f"joined-{number:04d}", spans=None, duration_s=length, extra={}))
    return strings


def _fit_time(experiment: _Experiment, lines: list[Line], tokenizer: Any) -> float:
    """Measure this machine: threads, precision, and a net that it trains in time.

    Returns:
        Budget minutes, which are CPU minutes, in a minute of the whole: 1 with one thread.
    """
    minutes, choice = experiment.wish.minutes, experiment.choice
    config = experiment.compose()
    config["tokenizer"] |= tokenizer.state()
    most = min(5.0, MEASURED * 60 * minutes)
    wall, cpu = seconds_per_pass(config, lines, lines, tokenizer, most)
    gpu = on_gpu(config)
    threads = threads_to_try()
    training = config["training"]
    for key, value, wanted in (
        ("threads", threads, training["threads"] == 1 < threads and not gpu),
        ("precision", "32-true", training["precision"] != "32-true" and not gpu),
    ):
        if not wanted or choice.asked(f"training.{key}"):
            continue
        trial = {**config, "training": {**training, key: value}}
        now, now_cpu = seconds_per_pass(trial, lines, lines, tokenizer, most)
        # of one thread its CPU time counts, as others may be at work on the machine
        before, after = (cpu, now_cpu) if trial["training"]["threads"] == 1 else (wall, now)
        if quicker(after, before):
            choice.set({f"training.{key}": value}, f"{before / after:.1f} times as quick as {training[key]} here")
            config, training, wall, cpu = trial, trial["training"], now, now_cpu
    ratio = max(cpu / wall, 1.0) if training["threads"] > 1 and not gpu else 1.0
    passes = 60 * minutes * (1 - RESERVE) / max(wall if gpu else cpu / ratio, 1e-9)
    told = f"about {passes:.1f} passes over the training lines in the time"
    hidden = config["encoder"].get("hidden_size")
    if choice.asked("encoder.hidden_size"):
        choice.reasons.append(("size as asked for", told))
    elif passes >= PASSES or not isinstance(hidden, int) or hidden // 2 < LEAST_HIDDEN:
        choice.reasons.append(("size as the recipe has it", told))
    else:
        choice.set({"encoder.hidden_size": hidden // 2}, f"{told}: a smaller net learns more in it")
    return ratio
