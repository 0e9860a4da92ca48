"""Configuration nodes: find conf/, check every ``_target_`` against the signature of its class, build it."""

import difflib
import functools
import importlib
import inspect
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from seqlab.errors import ConfigError, UserError

Config = dict[str, Any]

# What each top key of a configuration may name: rooms (ending in a dot), whose public classes and functions are meant,
# and single names. A model's file is a stranger's: its decoder must not be something that writes files.
ROOMS: dict[str, tuple[str, ...]] = {
    "corpus": ("seqlab.corpora.",),
    "tokenizer": ("seqlab.tokenizers.",),
    "frontend": ("seqlab.frontends.",),
    "normalize": ("seqlab.frontends.",),
    "augment": (
        "seqlab.data.augment.",
        "seqlab.data.augment_images.",
        "seqlab.data.augment_rooms.",
        "seqlab.data.augment_voices.",
        "seqlab.data.augment_strokes.",
        "seqlab.frontends.",
    ),
    "stem": ("seqlab.stems.",),
    "encoder": ("seqlab.encoders.",),
    "cell": ("seqlab.cells.",),
    "lm": ("seqlab.lm.neural.",),
    "lag": ("seqlab.lab.",),
    "loss": ("seqlab.ctc.",),
    "decoder": ("seqlab.ctc.",),
    "scoring": ("seqlab.scoring.normalization.",),
    "optimizer": ("torch.optim.AdamW", "torch.optim.SGD"),
    "schedule": ("seqlab.schedules.",),
    "data": ("seqlab.data.datamodule.",),
    "training": ("seqlab.training.trainer.",),
    "logger": ("seqlab.training.metrics_csv.", "lightning.pytorch.loggers.TensorBoardLogger"),
}
# Nodes that are handed on unbuilt, as a class with its arguments: who gets one builds as many as it needs. They have
# rooms of their own, wherever they stand.
FACTORIES = frozenset({"cell"})
# Arguments that the program passes, by the node's name: a YAML must not set them.
PROVIDED: dict[str, frozenset[str]] = {
    "stem": frozenset({"input_size"}),
    "encoder": frozenset({"input_size"}),
    "cell": frozenset({"input_size"}),
    "normalize": frozenset({"input_size"}),
    "optimizer": frozenset({"params"}),
    "lm": frozenset({"num_symbols"}),
    "loss": frozenset({"num_symbols"}),
    "decoder": frozenset({"tokenizer"}),
    "rejoin": frozenset({"pool"}),
    "data": frozenset({"train", "dev", "tokenizer", "frontend", "seed", "augment", "rejoin"}),
    "training": frozenset({"run_dir"}),
    "csv": frozenset({"save_dir"}),
    "tensorboard": frozenset({"save_dir"}),
}


def conf_dir() -> Path:
    """Return the folder of the YAML files: inside the installed package, else beside it."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "conf", package.parent / "conf"):
        if (folder / "train.yaml").is_file():
            return folder
    raise ConfigError(f"no conf/ folder found in or beside {package}; reinstall seqlab")


def resolve_target(name: str, key: str) -> Callable[..., Any]:
    """Return the class or function that a ``_target_`` names, if the top key that it stands under allows it.

    Raises:
        ConfigError: the name is not allowed there or does not exist.
    """
    allowed = ROOMS.get(key, ())
    fits = isinstance(name, str) and any(name.startswith(a) if a.endswith(".") else name == a for a in allowed)
    if not fits:
        rooms = ", ".join(room.rstrip(".") for room in allowed) or "nothing"
        raise ConfigError(f"_target_ {name!r} is not allowed under {key!r}, which takes {rooms}")
    module_name, _, attribute = name.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and not module_name.startswith(error.name):
            raise
        raise ConfigError(f"_target_ {name!r}: there is no module {module_name}") from None
    target = vars(module).get(attribute)
    own = name.startswith("seqlab.")
    if not callable(target) or attribute.startswith("_") or (own and target.__module__ != module_name):
        public = [k for k, v in vars(module).items() if callable(v) and getattr(v, "__module__", "") == module_name]
        raise ConfigError(f"_target_ {name!r} does not exist{suggestion(attribute, public)}")
    return target


def suggestion(word: str, known: Sequence[str]) -> str:
    """Return "; did you mean 'x'?" when a known word is near, else "; known: ..."."""
    match = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if match:
        return f"; did you mean {match[0]!r}?"
    return f"; known: {', '.join(sorted(known))}" if known else ""


def type_fault(value: Any, annotation: Any) -> str | None:
    """Say what is wrong with a value for a parameter's annotation, or None when it fits.

    Understands what YAML can hold: bool, int, float, str, None, lists, dicts, unions and Literal. Annotations beyond
    that are not judged.
    """
    if annotation is inspect.Parameter.empty or annotation is Any:
        return None
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        if value in arguments:
            return None
        options = ", ".join(str(a) for a in arguments)
        return f"must be one of {options}, got {value!r}{suggestion(str(value), [str(a) for a in arguments])}"
    if origin in (typing.Union, types.UnionType):
        faults = [type_fault(value, a) for a in arguments]
        return None if None in faults else f"must be {_type_name(annotation)}, got {value!r}"
    if origin is Callable:
        return f"must be a node with a _target_, got {value!r}"
    kind = origin or annotation
    if isinstance(kind, str) or not isinstance(kind, type):
        return None
    if kind is type(None):
        fits = value is None
    elif kind is bool:
        fits = isinstance(value, bool)
    elif kind is int:
        fits = isinstance(value, int) and not isinstance(value, bool)
    elif kind is float:
        fits = isinstance(value, int | float) and not isinstance(value, bool)
    elif kind is str or issubclass(kind, Path):
        fits = isinstance(value, str | Path)
    elif issubclass(kind, Mapping):
        fits = isinstance(value, Mapping)
    elif kind is tuple:
        fits = isinstance(value, list | tuple)
        if fits and arguments and arguments[-1] is not Ellipsis and len(value) != len(arguments):
            return f"must hold {len(arguments)} values, got {value!r}"
    elif issubclass(kind, list) or kind in (Sequence, typing.Iterable) or kind.__module__ == "collections.abc":
        fits = isinstance(value, list | tuple)
    else:
        return None  # a class of the program: a built object
    if not fits:
        return f"must be {_type_name(annotation)}, got {value!r}"
    if kind is tuple and arguments and arguments[-1] is not Ellipsis:
        return next((f for v, a in zip(value, arguments, strict=True) if (f := type_fault(v, a))), None)
    if isinstance(value, list | tuple) and arguments:
        return next((f for v in value if (f := type_fault(v, arguments[0]))), None)
    return None


def _type_name(annotation: Any) -> str:
    if isinstance(annotation, type) and not typing.get_args(annotation):
        return annotation.__name__
    return str(annotation).replace("typing.", "").replace("None", "null")


def targets(config: Any, path: str = "") -> Iterator[tuple[str, Config]]:
    """Yield every node with a ``_target_`` and its dotted path."""
    if isinstance(config, Mapping):
        if "_target_" in config:
            yield path, dict(config)
        for key, value in config.items():
            yield from targets(value, f"{path}.{key}" if path else str(key))
    elif isinstance(config, list):
        for index, value in enumerate(config):
            yield from targets(value, f"{path}[{index}]")


def _room(path: str) -> str:
    """Return the key of ROOMS that says what a node at a path may name: its top key, or its own if it is a factory."""
    own = path.rpartition(".")[2]
    return own if own in FACTORIES else path.split(".")[0].split("[")[0]


def node_faults(path: str, node: Config) -> list[str]:
    """Check one node against the signature of its target; returns the faults, one string each."""
    try:
        target = resolve_target(node["_target_"], _room(path))
    except ConfigError as error:
        return [f"{path}: {error}"]
    provided = PROVIDED.get(path.rpartition(".")[2], frozenset())
    parameters = {k: p for k, p in inspect.signature(target).parameters.items() if k != "self"}
    hints = typing.get_type_hints(target.__init__ if inspect.isclass(target) else target)
    settable = [k for k in parameters if k not in provided]
    faults = []
    for key, value in node.items():
        if key == "_target_":
            continue
        if key in provided:
            faults.append(f"{path}.{key}: is given by the program, remove it")
        elif key not in parameters:
            hint = suggestion(key, settable)
            hint += "" if hint.endswith("?") else f"; ~{path}.{key} takes it out"
            faults.append(f"{path}.{key}: unknown key{hint}")
        elif not (isinstance(value, Mapping) and "_target_" in value):
            fault = type_fault(value, hints.get(key, inspect.Parameter.empty))
            if fault:
                faults.append(f"{path}.{key}: {fault}")
    for key in settable:
        parameter = parameters[key]
        named = parameter.kind not in (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
        if parameter.default is inspect.Parameter.empty and named and key not in node:
            faults.append(f"{path}.{key}: is missing and has no default")
    return faults


def with_defaults(value: Any, path: str) -> Any:
    """Return a node, and the nodes in it, with the defaults of what their targets take and they do not name.

    Two configurations of one network are then equal, though a YAML of today names more than one of last year.
    """
    if not isinstance(value, Mapping):
        return [with_defaults(item, path) for item in value] if isinstance(value, list | tuple) else value
    node = {key: with_defaults(item, f"{path}.{key}") for key, item in value.items()}
    if "_target_" in node:
        parameters = inspect.signature(resolve_target(node["_target_"], _room(path))).parameters
        default = {k: p.default for k, p in parameters.items() if p.default is not inspect.Parameter.empty}
        node = {k: with_defaults(v, k) for k, v in default.items()} | node
    return node


def format_faults(faults: Sequence[str], files: Mapping[str, str] | None = None) -> str:
    """Join faults into one message, each with the file it came from."""

    def place(fault: str) -> str:
        key = fault.split(":", 1)[0]
        best = max((p for p in files or {} if key == p or key.startswith(p + ".")), key=len, default=None)
        return f"  {fault}" + (f"  ({files[best]})" if files and best else "")

    return f"{len(faults)} fault(s) in the configuration:\n" + "\n".join(place(f) for f in faults)


def build(node: Config, key: str, **provided: Any) -> Any:
    """Build the object that a node describes; nested nodes are built first, those of FACTORIES become a partial.

    Args:
        node: the node, with ``_target_`` and arguments.
        key: the top key that it stands under, such as "encoder"; says what it may name.
        provided: arguments that the program gives.

    Raises:
        ConfigError: the node does not fit its target, or the target refuses a value.
    """
    if not isinstance(node, Mapping) or "_target_" not in node:
        raise ConfigError(f"{key}: needs a node with a _target_, got {node!r}")
    arguments = {k: _build_nested(v, k if k in FACTORIES else key) for k, v in node.items() if k != "_target_"}
    target = resolve_target(node["_target_"], key)
    try:
        return target(**arguments, **provided)
    except UserError:
        raise
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{target.__module__}.{target.__qualname__}: {error}") from error


def _build_nested(value: Any, key: str) -> Any:
    if isinstance(value, Mapping) and "_target_" in value and key in FACTORIES:
        arguments = {k: _build_nested(v, key) for k, v in value.items() if k != "_target_"}
        return functools.partial(resolve_target(value["_target_"], key), **arguments)
    if isinstance(value, Mapping):
        return build(dict(value), key) if "_target_" in value else {k: _build_nested(v, key) for k, v in value.items()}
    if isinstance(value, list):
        return [_build_nested(v, key) for v in value]
    return value


def load_yaml(path: str | Path, resolve: bool = True) -> Config:
    """Read a plain configuration file, such as a run folder's config.yaml."""
    from omegaconf import OmegaConf

    config = OmegaConf.to_container(OmegaConf.load(path), resolve=resolve)
    if not isinstance(config, dict):
        raise ConfigError(f"{path}: not a configuration")
    return typing.cast(Config, config)


def save_yaml(config: Config, path: str | Path) -> None:
    """Write a plain configuration file."""
    from omegaconf import OmegaConf

    OmegaConf.save(OmegaConf.create(config), path)
