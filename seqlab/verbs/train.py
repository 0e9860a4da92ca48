"""seqlab train: check, read, examine, train."""

import json
import os
import random
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import nn

import seqlab
from seqlab.config import Config, build, load_yaml, resolve_target, with_defaults
from seqlab.data.dataset import LineDataset
from seqlab.data.sampler import cut_batches
from seqlab.data.sources import check_kind
from seqlab.decoding import FILES
from seqlab.diagnosis import Diagnosis, amount
from seqlab.doctor import examine
from seqlab.errors import ConfigError, DataError
from seqlab.finetune import NETWORK, carry_weights, load_start, start_alphabet
from seqlab.manifest import Line, read_manifests
from seqlab.manifest_index import IndexedLines, open_manifests
from seqlab.model import CTCModel, build_on_meta, freeze
from seqlab.tokenizers.characters import Characters
from seqlab.tokenizers.pieces import SentencePieces
from seqlab.verbs.run_folder import commit, fit_run, open_run
from seqlab.verbs.train_lm import train_lm

LISTENED = 2000  # lines per split whose audio is decoded before epoch 1; seqlab doctor listens to all
EXAMINED = 5000  # lines of an indexed split that are examined at all
PIECES_FROM = 100_000  # lines of an indexed split that pieces are made from
NORMALIZED = 1000  # lines that global normalisation is measured on


def train(config: Config, run_dir: Path, console: Console) -> Path:
    """Train as configured, a recogniser, a language model or a long-lag task; returns the best checkpoint.

    Raises:
        ConfigError: a setting is wrong or the run folder is taken.
        DataError: too many training lines are faulty.
    """
    if config.get("lag"):
        from seqlab.verbs.train_lag import train_lag  # recognisers need none of it

        return train_lag(config, run_dir, console)
    if config.get("lm"):
        return train_lm(config, run_dir, console)
    from seqlab.training.trainer import Training, is_first_process  # Lightning takes seconds to import

    first = is_first_process()
    console = console if first else Console(quiet=True)

    start = None
    if config["init"]["model"]:
        if config["resume"] and (run_dir / "checkpoints" / "last.ckpt").exists():  # all of the model's lies in the run
            saved = load_yaml(run_dir / "config.yaml")
            config |= {node: saved[node] for node in NETWORK} if config["init"]["network"] else {}
        else:
            start = load_start(config)
    tokenizer = build(config["tokenizer"], "tokenizer")
    for node in ("loss", "schedule"):  # what the task builds later refuses its values here
        build(config[node], node)
    freeze(build_on_meta(config), config["init"]["freeze"])
    training: Training = build(config["training"], "training", run_dir=str(run_dir))
    build(config["optimizer"], "optimizer", params=[nn.Parameter(torch.zeros(1))])
    resume = open_run(config, run_dir, training.last, console, first)
    training.set_threads()

    for split in ("train", "dev", "test", "rejoin_from"):
        paths = config["corpus"].get(split) or []
        # absolute, so that the run can be evaluated from any folder
        config["corpus"][split] = [os.path.abspath(p) for p in ([paths] if isinstance(paths, str) else paths)]
    splits: dict[str, list[Line] | IndexedLines] = {}
    for split in ("train", "dev"):
        if not config["corpus"].get(split):
            raise ConfigError(f"corpus.{split}: no manifest given; e.g. corpus.{split}=[my/{split}.jsonl]")
        splits[split] = open_manifests(config["corpus"][split])
    rejoin = config["augment"]["rejoin"]
    if rejoin and not config["corpus"].get("rejoin_from"):
        raise ConfigError("augment.rejoin joins single recordings: name their manifest with corpus.rejoin_from=[...]")
    pool = read_manifests(config["corpus"]["rejoin_from"]) if rejoin else []
    kind = build(config["frontend"], "frontend").kind
    for lines in (*splits.values(), pool):
        check_kind(lines, kind)
    _check_augment(config["augment"], kind)
    if resume:
        config["tokenizer"]["alphabet"] = load_yaml(run_dir / "config.yaml")["tokenizer"]["alphabet"]
        tokenizer = build(config["tokenizer"], "tokenizer")
    else:
        texts = [*_texts(splits["train"], tokenizer), *(line.text for line in pool)]
        if rejoin:  # what stands between joined texts has a label, too
            joiner: Any = resolve_target(rejoin["_target_"], "augment")
            texts.append(joiner.separator.join(texts[:2]))
        if start and config["tokenizer"]["alphabet"] is None:
            config["tokenizer"]["alphabet"] = start_alphabet(config["init"]["alphabet"], start, tokenizer, texts)
            tokenizer = build(config["tokenizer"], "tokenizer")
        tokenizer.fit(texts)
    config["tokenizer"] |= tokenizer.state()
    _check_characters(splits["train"], tokenizer)
    for key in FILES:  # the run can then be read from any folder
        if isinstance(config["decoder"].get(key), str):
            config["decoder"][key] = os.path.abspath(config["decoder"][key])
    build(config["decoder"], "decoder", tokenizer=tokenizer)
    diagnosis = _examine(config, run_dir, splits, pool, tokenizer, console, first)

    if rejoin:
        _check_pool(splits["train"], pool, console)
    config = json.loads(json.dumps(config))

    from seqlab.data.datamodule import DataModule
    from seqlab.task import CTCTask

    torch.manual_seed(config["seed"])
    task = CTCTask(config)
    if start and not resume:
        carried = carry_weights(task.model, tokenizer.symbols, start)
        console.print(f"starting from {start.name}: {carried}", highlight=False, markup=False, soft_wrap=True)
    data: DataModule = build(
        config["data"],
        "data",
        train=splits["train"],
        dev=splits["dev"],
        tokenizer=tokenizer,
        frontend=task.model.frontend,
        seed=config["seed"],
        augment=[build(node, "augment") for node in (config["augment"]["signal"] or {}).values()],
        rejoin=build(rejoin, "augment", pool=pool) if rejoin else None,
    )
    _say_hello(config, run_dir, splits, diagnosis, task.model, console)
    before, now = (with_defaults(c["normalize"], "normalize") for c in (start.config if start else config, config))
    if not resume and not (start and before == now):
        _fit_normalization(task.model, data.train_set)
    best = fit_run(training, task, data, config, resume, console)
    run = shlex.quote(str(run_dir))
    told = f"next: seqlab evaluate {shlex.quote(f'model={run_dir}')}   or   seqlab transcribe {run} FILE..."
    console.print(told, highlight=False, soft_wrap=True)
    return best


def _check_augment(augment: Config, kind: str) -> None:
    """Refuse augmentation of another kind of signal than the frontend takes."""
    nodes = {f"signal.{name}": node for name, node in (augment["signal"] or {}).items()}
    nodes |= {"rejoin": augment["rejoin"]} if augment["rejoin"] else {}
    for name, node in nodes.items():
        theirs = getattr(resolve_target(node["_target_"], "augment"), "kind", None)
        if theirs != kind:
            fits = {"audio": "speech", "image": "lines", "strokes": "strokes"}.get(kind, "none")
            what = f"augment.{name} changes {theirs or 'features'}, the frontend takes {kind}"
            raise ConfigError(f"{what}; use augment={fits}")


def _texts(lines: Sequence[Line], tokenizer: Any) -> list[str]:
    """Return texts for a tokenizer to be made from: of indexed lines each character, or pieces' sample, or all."""
    if isinstance(lines, IndexedLines) and isinstance(tokenizer, Characters):
        return lines.texts
    if isinstance(lines, IndexedLines) and isinstance(tokenizer, SentencePieces):
        return lines.texts + [line.text for line in _sample(lines, PIECES_FROM)[0]]
    return [line.text for line in lines]


def _check_characters(lines: Sequence[Line], tokenizer: Any) -> None:
    """Refuse indexed training lines with characters or symbols that have no label, as nobody looks at each of them."""
    if not isinstance(lines, IndexedLines):
        return
    unknown = sorted({c for text in _texts(lines, tokenizer) for c in tokenizer.unknown(text)})
    if unknown:
        shown = " ".join(map(repr, unknown))
        raise DataError(
            f"corpus.train: {shown} are not in the alphabet; mend the texts ('seqlab doctor' names the lines)"
        )


def _sample(lines: Sequence[Line], most: int) -> tuple[list[Line], list[int]]:
    """Return lines drawn without repetition, always the same, and their places."""
    places = sorted(random.Random(0).sample(range(len(lines)), min(most, len(lines))))
    return [lines[place] for place in places], places


def _check_pool(train: Sequence[Line], pool: list[Line], console: Console) -> None:
    """Name speakers of training lines that have no single recordings to join from."""
    without = sorted({str(line.speaker) for line in train} - {str(line.speaker) for line in pool})
    if without and len(without) == len({str(line.speaker) for line in train}):
        raise ConfigError(f"corpus.rejoin_from holds no recording of any speaker in train ({', '.join(without[:5])})")
    if without:
        console.print(f"no recordings to join from, lines stay as they are: speakers {', '.join(without)}")


def _examine(
    config: Config,
    run_dir: Path,
    splits: Mapping[str, list[Line] | IndexedLines],
    pool: list[Line],
    tokenizer: Any,
    console: Console,
    first: bool,
) -> Diagnosis:
    """Run the doctor; leave faulty lines out, or stop when there are too many. Of indexed lines it sees a sample."""
    model = CTCModel(config, len(tokenizer.symbols))
    parts: dict[str, list[Line]] = {"rejoin_from": pool} if pool else {}
    places: dict[str, dict[str, int]] = {}  # of sampled lines, by "file:line"
    for split, lines in splits.items():
        if isinstance(lines, IndexedLines):
            parts[split], chosen = _sample(lines, EXAMINED)
            places[split] = {line.where: place for line, place in zip(parts[split], chosen, strict=True)}
            told = f"{split}: {len(chosen)} of {len(lines)} lines examined, the others as they are read"
            console.print(f"{told}; 'seqlab doctor' examines all", highlight=False, soft_wrap=True)
        else:
            parts[split] = lines
    listened = LISTENED // 10 if places else LISTENED
    diagnosis = examine(parts, tokenizer, model, listened, console if console.is_terminal else None)
    path = run_dir / "doctor.jsonl"
    if first:
        diagnosis.write(path)
    if diagnosis.faults:
        console.print(diagnosis.summary() + f"\nthe whole list: {path}", highlight=False, markup=False, soft_wrap=True)
    for split, lines in (("train", splits["train"]), ("dev", splits["dev"]), ("rejoin_from", pool)):
        bad = diagnosis.unusable(split)
        seen = len(places.get(split, lines))
        if len(bad) > config["max_faulty"] * seen:
            raise DataError(
                f"{len(bad)} of {seen} lines of {split} are unusable, more than "
                f"max_faulty={config['max_faulty']} allows; they are named above and in {path}. "
                "Mend them, or raise max_faulty to leave them out"
            )
        if isinstance(lines, IndexedLines):
            lines.leave_out(places[split][where] for where in bad)
            diagnosis.amounts[split] *= len(lines) / max(seen - len(bad), 1)
        else:
            lines[:] = [line for line in lines if line.where not in bad]
        if bad and not lines:
            raise DataError(f"every line of {split} is unusable; they are named above and in {path}")
    return diagnosis


def _say_hello(
    config: Config,
    run_dir: Path,
    splits: Mapping[str, Sequence[Line]],
    diagnosis: Diagnosis,
    model: CTCModel,
    console: Console,
) -> None:
    sizes = ", ".join(
        f"{name} {len(lines)} lines {amount(diagnosis.amounts[name], diagnosis.unit)}" for name, lines in splits.items()
    )
    unit = diagnosis.unit
    step = f"{1000 * model.frame_shift:.0f} ms" if unit == "s" else f"{model.frame_shift:g} {unit}"
    weights = sum(p.numel() for p in model.parameters())
    console.print(
        f"seqlab {seqlab.__version__} ({commit() or 'no commit'}), seed {config['seed']}, "
        f"{weights / 1e6:.2f} M parameters, {model.head.out_features} symbols\n{sizes}\n"
        f"an output frame every {step}, batches of {config['data']['batch_frames']} frames\n"
        f"configuration: {run_dir / 'config.yaml'}",
        highlight=False,
        soft_wrap=True,
    )


@torch.inference_mode()
def _fit_normalization(model: CTCModel, dataset: LineDataset) -> None:
    """Measure global normalisation on the first training lines, in an order by length."""
    if model.normalize.kind != "global":
        return
    samples = dataset.plan(0)[:NORMALIZED]
    from seqlab.batch import collate

    for indices in cut_batches(samples.argsort().tolist(), samples, max(int(60 * model.sample_rate), 4000), 64):
        batch = collate([dataset[i] for i in indices])
        model.normalize.update(*model.features(batch.signal, batch.lengths))
    model.normalize.finish()
