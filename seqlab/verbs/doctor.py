"""seqlab doctor: examine manifests before training."""

from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console

from seqlab.config import build, compose
from seqlab.diagnosis import Diagnosis
from seqlab.doctor import examine
from seqlab.errors import ConfigError
from seqlab.manifest import Line, read_manifest, read_manifests
from seqlab.model import CTCModel
from seqlab.recognizer import Recognizer


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
