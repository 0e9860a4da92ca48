"""Start a training from a trained model: its weights, its symbols, parts of it kept as they are."""

import logging
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from seqlab.config import Config, with_defaults
from seqlab.errors import ConfigError
from seqlab.model import CTCModel, build_on_meta
from seqlab.recognizer import Recognizer
from seqlab.tokenizers.characters import Characters

logger = logging.getLogger(__name__)

NETWORK = ("frontend", "normalize", "stem", "encoder")
ALPHABETS = ("grow", "keep", "replace")
# What may differ: how weights start, what only training does, and how far chunks see.
FREE = ("dropout", "init", "longest_lag", "variational", "grow_at", "chunk", "right")


def load_start(config: Config) -> Recognizer:
    """Load the model that ``init.model`` names and hold the configuration against it.

    With ``init.network`` the nodes of the network are replaced by the model's; the tokenizer's Unicode form and case
    must be those of the model in any case, as its symbols would mean something else. Dropout is free to change, and
    so is what a chunk sees. The encoder may be another one if its weights are equal in name and shape:
    ``latency_controlled`` goes on from ``blstm``, ``look_ahead`` from ``lstm``. Normalisation by lines may become
    global: its statistics are then measured as for a new model. What either configuration does not name has the default
    of its class: a model older than an argument works with its default.

    Raises:
        ConfigError: text or network differ from the model's; the message says what to set.
    """
    init = config["init"]
    if init["alphabet"] not in ALPHABETS:
        raise ConfigError(f"init.alphabet must be one of {', '.join(ALPHABETS)}, got {init['alphabet']!r}")
    start = Recognizer.load(init["model"], "cpu")
    theirs = start.config
    faults = [
        f"tokenizer.{key} is {config['tokenizer'][key]}, the model's text was {theirs['tokenizer'][key]}; "
        f"set tokenizer.{key}={theirs['tokenizer'][key]}"
        for key in ("normalization", "case")
        if config["tokenizer"][key] != theirs["tokenizer"][key]
    ]
    if init["network"]:
        for node in NETWORK:
            config[node] = theirs[node]
    else:
        other = config["encoder"]["_target_"] != theirs["encoder"]["_target_"]
        global_now = (theirs["normalize"]["kind"], config["normalize"]["kind"]) == ("line", "global")
        different = [
            fault
            for node in NETWORK
            if not (node == "encoder" and other) and not (node == "normalize" and global_now)
            for fault in _differences(node, config[node], theirs[node])
        ]
        if other and not different:
            different = _other_weights(build_on_meta(config).encoder, start.model.encoder)
        if different:
            faults += [*different, "init.network=true takes the network from the model"]
    if faults:
        raise ConfigError(f"init.model {init['model']} does not fit the configuration:\n  " + "\n  ".join(faults))
    return start


def _differences(name: str, ours: Config, theirs: Config) -> list[str]:
    """Say in which settings two nodes differ; of two classes, that they are two."""
    ours, theirs = with_defaults(ours, name), with_defaults(theirs, name)
    same = ours["_target_"] == theirs["_target_"]
    return [
        f"{name}.{key} is {ours.get(key)!r}, the model has {theirs.get(key)!r}"
        for key in (dict.fromkeys([*theirs, *ours]) if same else ("_target_",))
        if ours.get(key) != theirs.get(key) and not key.endswith(FREE)
    ]


def _other_weights(ours: nn.Module, theirs: nn.Module) -> list[str]:
    """Say in which weights two encoders differ, by name and shape; ``neutral`` ones need no counterpart."""
    sizes, given = ({name: list(w.shape) for name, w in part.state_dict().items()} for part in (ours, theirs))
    for name in getattr(ours, "neutral", ()):
        given.setdefault(name, sizes[name])
    names = [type(part).__name__ for part in (ours, theirs)]
    return [
        f"encoder: {name} is {sizes.get(name, 'not there')} in {names[0]}, {given.get(name, 'not there')} in {names[1]}"
        for name in dict.fromkeys([*sizes, *given])
        if sizes.get(name) != given.get(name)
    ][:5]


def start_alphabet(kind: str, start: Recognizer, tokenizer: Any, texts: Iterable[str]) -> list[str] | str | None:
    """Return the alphabet that training starts with: characters, the model's pieces, or None for one of its own.

    Args:
        kind: "grow": the model's and those of the texts that it lacks; "keep": the model's; "replace": those of the
            texts, some of them perhaps the model's. Pieces hang together: they cannot grow, and are kept or replaced.
        start: the model.
        tokenizer: normalises the texts.
        texts: the training texts.
    """
    theirs = start.tokenizer
    if not (isinstance(tokenizer, Characters) and isinstance(theirs, Characters)):
        return theirs.state()["alphabet"] if type(tokenizer) is type(theirs) and kind != "replace" else None
    old = list(theirs.symbols[1:])
    if kind == "keep":
        return old
    seen = sorted({c for text in texts for c in tokenizer.normalize(text)})
    return seen if kind == "replace" else old + [c for c in seen if c not in old]


@torch.no_grad()
def carry_weights(model: CTCModel, symbols: list[str], start: Recognizer) -> str:
    """Copy a model's weights into a new one; rows of the output layer follow their symbols.

    New symbols keep their random weights, with the bias of the rarest old one, so that they begin unlikely.

    Args:
        model: of the same network.
        symbols: its symbols, blank first.
        start: the model to copy from.

    Returns:
        What became of the alphabet, in words.
    """
    weights = start.model.state_dict()
    head = {k: weights.pop(f"head.{k}") for k in ("weight", "bias")}
    model.load_state_dict(weights, strict=False)
    old = {symbol: i for i, symbol in enumerate(start.tokenizer.symbols)}
    model.head.bias.fill_(float(head["bias"].min()))
    for i, symbol in enumerate(symbols):
        if symbol in old:
            model.head.weight[i] = head["weight"][old[symbol]]
            model.head.bias[i] = head["bias"][old[symbol]]
    new = [s for s in symbols if s not in old]
    gone = [s for s in old if s not in symbols]
    kept = len(symbols) - len(new) - 1
    parts = [f"{kept} symbols kept"]
    parts += [f"{len(new)} new ({' '.join(map(repr, new[:20]))})"] if new else []
    parts += [f"{len(gone)} dropped ({' '.join(map(repr, gone[:20]))})"] if gone else []
    return ", ".join(parts)
