"""How a model decodes: what `seqlab tune` chose for it, kept beside its weights in RUN/decoding.yaml.

    decoder: {_target_: seqlab.ctc.beam.Beam, lm: lm.ngram, lm_weight: 0.6, ...}
    chosen_on: {lines: 138, metric: cer, greedy: 0.069, cer: 0.060, wer: 0.263}
    calibration: {word: {temperature: 0.9, bias: 1.9}, symbol: ..., line: ...}  # of seqlab.ctc.confidence, optional

Files that the decoder names lie in the run folder and are given relative to it, so that the folder can be moved.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seqlab.checkpoints import read_yaml
from seqlab.config import Config, compose, conf_dir, quoted
from seqlab.config.nodes import node_faults
from seqlab.errors import DataError

FILE = "decoding.yaml"
FILES = ("lm", "lexicon", "neural_lm", "priors", "hotwords")  # arguments of decoders that name files
_PLAIN = re.compile(  # settings that need no grammar
    r"decoder(?:\.(?P<key>[a-z][a-z_]*))?="
    r"(?:(?P<number>[+-]?(?:0|[1-9]\d*)(?P<part>\.\d+)?(?P<power>[eE][+-]?\d+)?)"
    r"|(?P<text>(?!(?i:nan|inf)$)[a-zA-Z/][a-zA-Z0-9_./-]*))",
    re.ASCII,
)
_WORDS = {"true": True, "false": False, "null": None}


def run_folder(model: str | Path) -> Path:
    """Return the folder of a run, given it or one of its checkpoints."""
    model = Path(model)
    if model.is_dir():
        return model
    return model.parent.parent if model.parent.name == "checkpoints" else model.parent


def stored(model: str | Path) -> Config:
    """Return what is kept for a model, the decoder's files as whole paths; empty if nothing is.

    Raises:
        DataError: the file is damaged.
    """
    path = run_folder(model) / FILE
    if not path.is_file():
        return {}
    try:
        kept = read_yaml(path)
    except DataError as error:
        raise DataError(f"{error}; delete it, or run seqlab tune again") from None
    decoder = kept.get("decoder")
    if not isinstance(decoder, dict):
        raise DataError(f"{path} names no decoder; delete it, or run seqlab tune again")
    if "${" in str(decoder):
        raise DataError(f"{path}: a decoder's values stand for themselves, without ${{}}; run seqlab tune again")
    for key in FILES:
        if isinstance(decoder.get(key), str):
            decoder[key] = str(path.parent / decoder[key])
    return kept


def changed(model: str | Path, overrides: Sequence[str]) -> list[str]:
    """Return overrides of seqlab evaluate in which decoder.KEY=VALUE changes what tune chose for the model.

    Where no decoder is named, the stored one is spelled out before them; where none is stored, or greedy, it is beam.

    Raises:
        DataError: decoding.yaml is damaged.
    """
    keys = [override.lstrip("+~").partition("=")[0] for override in overrides]
    if "decoder" in keys or not any(key.startswith("decoder.") for key in keys):
        return list(overrides)
    name, node = _to_change(model)
    return [f"decoder={name}", *(f"decoder.{key}={_spelled(value)}" for key, value in node.items()), *overrides]


def composed(model: str | Path, overrides: Sequence[str]) -> Config | None:
    """Return the node of a decoder that settings decoder=NAME and decoder.KEY=VALUE make of what tune chose.

    It is what ``compose`` makes of ``changed``; plain settings without a fault go without Hydra, slow to start.

    Raises:
        ConfigError: with all faults of the settings.
        DataError: decoding.yaml is damaged.
    """
    node = _composed_plainly(model, overrides)
    return compose("evaluate", [*changed(model, overrides), "model=none"]).get("decoder") if node is None else node


def _composed_plainly(model: str | Path, overrides: Sequence[str]) -> Config | None:
    """Return the node where all is plain and right, else None."""
    settings: Config = {}
    for override in overrides:
        found = _PLAIN.fullmatch(override)
        key = (found["key"] or "_target_") if found else ""
        if not found or (key == "_target_" and key in settings):
            return None
        if found["number"]:
            settings[key] = float(found["number"]) if found["part"] or found["power"] else int(found["number"])
        else:
            settings[key] = _WORDS.get(found["text"].lower(), found["text"])
    name, kept = (settings.pop("_target_"), {}) if "_target_" in settings else _to_change(model)
    file = conf_dir() / "decoder" / f"{name}.yaml"
    if not str(name).isidentifier() or not file.is_file():
        return None
    known = read_yaml(file)
    node = known | kept | settings
    return None if len(node) > len(known) or node_faults("decoder", node) else node


def _to_change(model: str | Path) -> tuple[str, Config]:
    """Return name and settings of the decoder that is changed where none is named: the stored one, else beam."""
    node = dict(stored(model).get("decoder") or {})
    name = str(node.pop("_target_", "")).rpartition(".")[0].rpartition(".")[2]
    return ("beam", {}) if name in ("", "greedy") else (name, node)


def same_reading(decoder: Config, kept: Config) -> bool:
    """Tell whether a decoder reads as the stored one does, so that its calibration holds."""
    free = ("n_best", "threads")
    return all(decoder.get(key) == value for key, value in kept.items() if key not in free)


def _spelled(value: Any) -> str:
    """Return a value in the grammar of Hydra's overrides."""
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, list):
        return "[" + ",".join(map(_spelled, value)) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{_spelled(str(k))}:{_spelled(v)}" for k, v in value.items()) + "}"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return repr(value)
