"""Find conf/, compose a configuration, check every node against the signature of its class, build it.

The only module that knows Hydra and ``_target_``. Everything else receives plain dicts and built objects.
"""

import difflib
import importlib
import inspect
import logging
import os
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from seqlab.errors import ConfigError, UserError

Config = dict[str, Any]

# Rooms whose public classes and functions a configuration may name, and the few names from outside.
ALLOWED_ROOMS = (
    "seqlab.corpora.",
    "seqlab.tokenizers.",
    "seqlab.frontends.",
    "seqlab.stems.",
    "seqlab.cells.",
    "seqlab.encoders.",
    "seqlab.ctc.",
    "seqlab.data.",
    "seqlab.schedules.",
    "seqlab.training.",
)
ALLOWED_NAMES = (
    "torch.optim.AdamW",
    "torch.optim.SGD",
    "lightning.pytorch.loggers.TensorBoardLogger",
)
# Arguments that the program passes, by the node's name: a YAML must not set them.
PROVIDED: dict[str, frozenset[str]] = {
    "stem": frozenset({"input_size"}),
    "encoder": frozenset({"input_size"}),
    "normalize": frozenset({"input_size"}),
    "optimizer": frozenset({"params"}),
    "rejoin": frozenset({"pool"}),
    "data": frozenset({"train", "dev", "tokenizer", "frontend", "seed", "augment", "rejoin"}),
    "training": frozenset({"run_dir"}),
    "csv": frozenset({"save_dir"}),
    "tensorboard": frozenset({"save_dir"}),
}


def conf_dir() -> Path:
    """Return the folder of the YAML files: inside the installed package, else beside it."""
    package = Path(__file__).resolve().parent
    for folder in (package / "conf", package.parent / "conf"):
        if (folder / "train.yaml").is_file():
            return folder
    raise ConfigError(f"no conf/ folder found in or beside {package}; reinstall seqlab")


def resolve_target(name: str) -> Callable[..., Any]:
    """Return the class or function that a ``_target_`` names, if it is on the allow-list.

    Raises:
        ConfigError: the name is not allowed or does not exist.
    """
    if not isinstance(name, str) or not (name in ALLOWED_NAMES or name.startswith(ALLOWED_ROOMS)):
        rooms = ", ".join(room.rstrip(".") for room in ALLOWED_ROOMS)
        raise ConfigError(f"_target_ {name!r} is not allowed; a target lies in {rooms} or is one of {ALLOWED_NAMES}")
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
        raise ConfigError(f"_target_ {name!r} does not exist{_did_you_mean(attribute, public)}")
    return target


def _did_you_mean(word: str, known: Sequence[str]) -> str:
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
        return f"must be one of {options}, got {value!r}{_did_you_mean(str(value), [str(a) for a in arguments])}"
    if origin in (typing.Union, types.UnionType):
        faults = [type_fault(value, a) for a in arguments]
        return None if None in faults else f"must be {_type_name(annotation)}, got {value!r}"
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
    return str(annotation).replace("typing.", "")


def _nodes(config: Any, path: str = "") -> Iterator[tuple[str, Config]]:
    """Yield every node with a ``_target_`` and its dotted path."""
    if isinstance(config, Mapping):
        if "_target_" in config:
            yield path, dict(config)
        for key, value in config.items():
            yield from _nodes(value, f"{path}.{key}" if path else str(key))
    elif isinstance(config, list):
        for index, value in enumerate(config):
            yield from _nodes(value, f"{path}[{index}]")


def node_faults(path: str, node: Config) -> list[str]:
    """Check one node against the signature of its target; returns the faults, one string each."""
    try:
        target = resolve_target(node["_target_"])
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
            faults.append(f"{path}.{key}: unknown key{_did_you_mean(key, settable)}")
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


def check(config: Config, files: Mapping[str, str] | None = None) -> None:
    """Check every node of a configuration; nothing is built and no data is read.

    Args:
        config: a composed configuration as a plain dict.
        files: for each top key the YAML file it came from, for the message.

    Raises:
        ConfigError: with all faults at once, each with file, key and, where one is near, the right name.
    """
    faults = [fault for path, node in _nodes(config) for fault in node_faults(path, node)]
    if faults:
        raise ConfigError(format_faults(faults, files))


def format_faults(faults: Sequence[str], files: Mapping[str, str] | None = None) -> str:
    """Join faults into one message, each with the file it came from."""

    def place(fault: str) -> str:
        key = fault.split(":", 1)[0]
        best = max((p for p in files or {} if key == p or key.startswith(p + ".")), key=len, default=None)
        return f"  {fault}" + (f"  ({files[best]})" if files and best else "")

    return f"{len(faults)} fault(s) in the configuration:\n" + "\n".join(place(f) for f in faults)


def build(node: Config, **provided: Any) -> Any:
    """Build the object that a node describes; nested nodes are built first.

    Raises:
        ConfigError: the node does not fit its target, or the target refuses a value.
    """
    node = {k: _build_nested(v) for k, v in node.items()}
    target = resolve_target(node.pop("_target_"))
    try:
        return target(**node, **provided)
    except UserError:
        raise
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{target.__module__}.{target.__qualname__}: {error}") from error


def _build_nested(value: Any) -> Any:
    if isinstance(value, Mapping):
        return build(dict(value)) if "_target_" in value else {k: _build_nested(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_build_nested(v) for v in value]
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


def compose(verb: str, overrides: Sequence[str] = (), config_dir: str | None = None) -> Config:
    """Compose and check the configuration of a verb, as the command line would.

    Args:
        verb: "prepare", "train" or "evaluate".
        overrides: Hydra overrides such as "encoder.hidden_size=64".
        config_dir: a further folder with configuration groups, searched after ours.

    Returns:
        A plain dict, all interpolations resolved.

    Raises:
        ConfigError: with all faults.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.core.config_loader import ConfigLoader
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    if config_dir:
        overrides = [f"hydra.searchpath=[file://{Path(config_dir).resolve()}]", *overrides]
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            loader: ConfigLoader = GlobalHydra.instance().config_loader()
            parsed = []
            for text in overrides:
                try:
                    parsed += OverridesParser.create(config_loader=loader).parse_overrides([text])
                except HydraException as error:
                    raise ConfigError(f"setting {text!r} is not KEY=VALUE: {str(error).splitlines()[0]}") from None
            groups = {str(g) for g in _groups(conf_dir())}
            choices = [o for o in parsed if o.get_key_element().strip("+~") in groups or o.key_or_group == "hydra"]
            plain = [o for o in parsed if o not in choices and not o.is_hydra_override()]
            hydra_only = [o for o in parsed if o.is_hydra_override()]
            base = hydra_compose(
                verb, [_first(o) for o in choices] + [str(o.input_line) for o in hydra_only], return_hydra_config=True
            )
            faults = _override_faults(base, plain)
            wrong = {key for key, _ in faults}
            good = [o for o in plain if o.key_or_group not in wrong]
            composed = hydra_compose(
                verb,
                [_first(o) for o in choices + good] + [str(o.input_line) for o in hydra_only],
                return_hydra_config=True,
            )
            # hydra.* can be resolved only inside a job; the two names used by conf/ are given here.
            OmegaConf.set_readonly(composed.hydra, False)
            OmegaConf.set_struct(composed, False)
            files = _files(composed, {str(o.key_or_group): "command line" for o in good})
            composed.pop("hydra")
            missing = [str(k) for k in OmegaConf.missing_keys(composed)]
            faults += [(k, f"{k}: is required; give {k}=...") for k in missing]
            if missing:
                raise ConfigError(format_faults([f for _, f in faults], files))
            config = typing.cast(Config, OmegaConf.to_container(composed, resolve=True))
            known = _top_keys(verb)
            unknown = [k for k in config if k not in known]
            texts = [f for _, f in faults] + [f"{k}: unknown key{_did_you_mean(k, known)}" for k in unknown]
            texts += [f for p, n in _nodes(config) for f in node_faults(p, n)]
            if texts:
                raise ConfigError(format_faults(texts, files))
            return config
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(_first_lines(error)) from None
    finally:
        GlobalHydra.instance().clear()


def _top_keys(verb: str) -> list[str]:
    """Return the keys that the top YAML of a verb has: its own and those of its groups."""
    top = load_yaml(conf_dir() / f"{verb}.yaml", resolve=False)
    groups = [
        str(key).removeprefix("optional ") for entry in top.get("defaults", []) if entry != "_self_" for key in entry
    ]
    return [str(k) for k in top if k not in ("defaults", "hydra")] + groups


def _first_lines(error: Exception) -> str:
    text = str(error).strip()
    return "\n".join(line for line in text.splitlines() if line.strip() and "full_key" not in line)


def _groups(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            yield path.relative_to(folder)


def _first(override: Any) -> str:
    """Return an override as text; of a sweep only its first value."""
    if override.is_sweep_override():
        return f"{override.get_key_element()}={next(iter(override.sweep_string_iterator()))}"
    return str(override.input_line)


def _override_faults(base: Any, overrides: Sequence[Any]) -> list[tuple[str, str]]:
    """Name overrides whose key is nowhere in the composed configuration."""
    from omegaconf import OmegaConf

    faults = []
    for override in overrides:
        if override.is_add() or override.is_force_add():
            continue
        node: Any = base
        walked: list[str] = []
        for part in str(override.key_or_group).split("."):
            if not OmegaConf.is_dict(node):
                break
            if part not in list(node.keys()):  # "in" would deny keys whose value is missing
                key = ".".join([*walked, part])
                known = [str(k) for k in node if k not in ("_target_", "hydra")]
                faults.append((str(override.key_or_group), f"{key}: unknown key{_did_you_mean(part, known)}"))
                break
            walked.append(part)
            if OmegaConf.is_missing(node, part):
                break
            node = node._get_node(part)
            if OmegaConf.is_interpolation(node):
                break
    return faults


def _files(composed: Any, from_command_line: Mapping[str, str]) -> dict[str, str]:
    """Map configuration keys to the YAML they came from."""
    choices = dict(composed.hydra.runtime.choices)
    files = {
        group.replace("/", "."): f"conf/{group}/{choice}.yaml"
        for group, choice in choices.items()
        if choice and not group.startswith("hydra/") and "@" not in group
    }
    return files | dict(from_command_line)


def run(verb: str, arguments: Sequence[str], job: Callable[[Config, Path], Any]) -> None:
    """Run a verb under Hydra: --help, --cfg job, -m sweeps, --config-dir and tab completion all work.

    Args:
        verb: name of the top YAML.
        arguments: what followed the verb on the command line.
        job: called with the checked plain configuration and the run folder, once per sweep job.

    Raises:
        ConfigError: before anything is read or written.
    """
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.errors import HydraException
    from hydra.types import RunMode
    from omegaconf import DictConfig, OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    flags = ("-h", "--help", "--hydra-help", "--version", "-sc", "--shell-completion", "--info", "-i")
    if not any(a.split("=")[0] in flags for a in arguments):
        overrides, config_dir = _split_arguments(arguments)
        compose(verb, overrides, config_dir)

    @hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=verb)
    def main(composed: DictConfig) -> None:
        config = typing.cast(Config, OmegaConf.to_container(composed, resolve=True))
        logging.captureWarnings(True)
        folder = Path(HydraConfig.get().runtime.output_dir)
        if HydraConfig.get().mode == RunMode.RUN:
            pending.append((config, folder))
            return
        try:
            job(config, folder)
        except (UserError, OSError) as error:  # a sweep goes on with its other jobs
            failures.append(error)

    # A single job runs after Hydra is done: Lightning starts further processes by the command line, and under Hydra it
    # would leave the verb out of it.
    pending: list[tuple[Config, Path]] = []
    failures: list[Exception] = []
    saved = sys.argv
    sys.argv = [f"seqlab {verb}", *arguments]
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra hands the exception on instead of printing its own report
    try:
        main()
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(_first_lines(error)) from None
    finally:
        sys.argv = saved
    for config, folder in pending:
        job(config, folder)
    if failures:
        raise failures[0]


def _split_arguments(arguments: Sequence[str]) -> tuple[list[str], str | None]:
    """Separate Hydra's overrides from its options; returns the overrides and --config-dir."""
    overrides, config_dir, takes_value = [], None, False
    with_value = (
        "--config-dir",
        "-cd",
        "--config-name",
        "-cn",
        "--config-path",
        "-cp",
        "--cfg",
        "-c",
        "--package",
        "-p",
    )
    previous = ""
    for argument in arguments:
        if takes_value:
            if previous in ("--config-dir", "-cd"):
                config_dir = argument
            takes_value = False
        elif argument.startswith("-"):
            takes_value = argument in with_value
            if argument.startswith("--config-dir="):
                config_dir = argument.partition("=")[2]
        else:
            overrides.append(argument)
        previous = argument
    return overrides, config_dir
