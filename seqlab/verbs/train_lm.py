"""seqlab train lm=lstm: a neural language model, under the same settings as a recogniser."""

import json
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console
from torch import nn

import seqlab
from seqlab.config import Config, build, load_yaml
from seqlab.data.text import Text, read_texts
from seqlab.errors import ConfigError
from seqlab.manifest import Line
from seqlab.verbs.run_folder import commit, fit_run, open_run

if TYPE_CHECKING:
    from seqlab.data.datamodule import DataModule
    from seqlab.training.trainer import Training

# The nodes of a recogniser alone: not part of the run, and not of its config.yaml.
OTHERS = ("init", "max_faulty", "frontend", "normalize", "augment", "stem", "encoder", "loss", "decoder")


def train_lm(config: Config, run_dir: Path, console: Console) -> Path:
    """Train a language model on the texts of corpus.train; returns the best checkpoint by perplexity on corpus.dev.

    Raises:
        ConfigError: a setting is wrong or the run folder is taken.
        DataError: a file of text is faulty.
    """
    from seqlab.training.trainer import is_first_process  # Lightning takes seconds to import

    first = is_first_process()
    console = console if first else Console(quiet=True)
    if config["init"]["model"]:
        raise ConfigError("init.model: a language model starts from random weights; leave it null")
    config = {key: value for key, value in config.items() if key not in OTHERS}
    tokenizer = build(config["tokenizer"], "tokenizer")
    build(config["schedule"], "schedule")  # what the task builds later refuses its values here
    with torch.device("meta"):
        build(config["lm"], "lm", num_symbols=2)
    training: Training = build(config["training"], "training", run_dir=str(run_dir))
    build(config["optimizer"], "optimizer", params=[nn.Parameter(torch.zeros(1))])
    resume = open_run(config, run_dir, training.last, console, first)
    training.set_threads()

    splits: dict[str, list[Line]] = {}
    for split in ("train", "dev"):
        paths = config["corpus"].get(split) or []
        if not paths:
            raise ConfigError(f"corpus.{split}: no text given; e.g. corpus.{split}=[my/{split}.jsonl,more.txt]")
        paths = [os.path.abspath(p) for p in ([paths] if isinstance(paths, str) else paths)]
        splits[split] = read_texts(paths)
        config["corpus"][split] = paths
    if resume:
        config["tokenizer"]["alphabet"] = load_yaml(run_dir / "config.yaml")["tokenizer"]["alphabet"]
        tokenizer = build(config["tokenizer"], "tokenizer")
    tokenizer.fit([line.text for line in splits["train"]])
    config["tokenizer"] |= tokenizer.state()
    config = json.loads(json.dumps(config))
    unknown = _check_alphabet(tokenizer, splits)

    from seqlab.lm_task import LMTask

    torch.manual_seed(config["seed"])
    task = LMTask(config)
    data: DataModule = build(
        config["data"],
        "data",
        train=splits["train"],
        dev=splits["dev"],
        tokenizer=tokenizer,
        frontend=Text(),
        seed=config["seed"],
    )
    weights = sum(p.numel() for p in task.model.parameters())
    sizes = ", ".join(f"{name} {len(x)} lines {sum(len(i.text) for i in x)} characters" for name, x in splits.items())
    console.print(
        f"seqlab {seqlab.__version__} ({commit() or 'no commit'}), seed {config['seed']}, "
        f"language model of {weights / 1e6:.2f} M parameters, {len(tokenizer.symbols)} symbols\n{sizes}{unknown}\n"
        f"batches of {config['data']['batch_frames']} characters\nconfiguration: {run_dir / 'config.yaml'}",
        highlight=False,
        soft_wrap=True,
    )
    best = fit_run(training, task, data, config, resume, console)
    told = f"next: seqlab tune RUN --neural {shlex.quote(str(run_dir))}, RUN being a recogniser"
    console.print(told, highlight=False, soft_wrap=True)
    return best


def _check_alphabet(tokenizer: Any, splits: dict[str, list[Line]]) -> str:
    """Refuse training text outside a given alphabet; tell of such characters in dev, which are left out there."""
    faults = {line.where: unknown for line in splits["train"] if (unknown := tokenizer.unknown(line.text))}
    if faults:
        where, unknown = next(iter(faults.items()))
        raise ConfigError(
            f"tokenizer.alphabet lacks characters of {len(faults)} training lines: {' '.join(map(repr, unknown))} in "
            f"{where}; add them, clean the text, or leave the alphabet null to take it from the text"
        )
    strange = sorted({c for line in splits["dev"] for c in tokenizer.unknown(line.text)})
    told = " ".join(map(repr, strange[:20]))
    return f"\ncharacters of dev that training lacks, left out of the perplexity: {told}" if strange else ""
