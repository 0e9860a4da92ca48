"""Compose configurations and run verbs with Hydra."""

import logging
import os
import sys
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from seqlab.config.nodes import Config, conf_dir, format_faults, load_yaml, node_faults, suggestion, targets, type_fault
from seqlab.errors import ConfigError, UserError

# Types of the settings that belong to no class: those of the top YAMLs and of corpora.
TOP_TYPES: dict[str, Any] = {
    "name": str | int,
    "run_dir": str | int,
    "data_dir": str,
    "seed": int,
    "resume": bool,
    "overwrite": bool,
    "max_faulty": float,
    "shards": int,
    "model": str | int,
    "manifest": str | list[str] | None,
    "out": str | int | None,
    "batch_seconds": float,
    "threads": int,
    "device": Literal["auto", "cpu", "cuda"],
    "backend": Literal["torch", "onnx", "int8"],
    "corpus.train": str | list[str] | None,
    "corpus.dev": str | list[str] | None,
    "corpus.test": str | list[str] | None,
    "corpus.rejoin_from": str | list[str] | None,
}


def _faults(config: Config) -> list[str]:
    """Check every setting: those that belong to no class, and every node against the signature of its class."""
    flat = {**config, **{f"corpus.{k}": v for k, v in (config.get("corpus") or {}).items()}}
    checked = {key: type_fault(flat[key], kind) for key, kind in TOP_TYPES.items() if key in flat}
    faults = [f"{key}: {fault}" for key, fault in checked.items() if fault]
    least = {"threads": 1, "batch_seconds": 0.1, "max_faulty": 0.0, "seed": 0, "shards": 0}
    for key, value in least.items():
        if key in flat and checked[key] is None and flat[key] < value:
            faults.append(f"{key}: must be {value} or more, got {flat[key]}")
    return faults + [fault for path, node in targets(config) for fault in node_faults(path, node)]


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
        place = quoted(f"file://{Path(config_dir).resolve()}").replace("\\${", "${")  # Hydra resolves nothing here
        overrides = [f"hydra.searchpath=[{place}]", *overrides]
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
            for choice in choices:
                if not choice.is_delete() and isinstance(choice.value(), int | float | None):
                    group, value = str(choice.key_or_group), str(choice.input_line).partition("=")[2]
                    named = ", ".join(sorted(path.stem for path in (conf_dir() / group).glob("*.yaml")))
                    raise ConfigError(f"{group}: {value} chooses nothing; leave it out, or take {named}")
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
            texts = [f for _, f in faults] + [f"{k}: unknown key{suggestion(k, known)}" for k in unknown]
            texts += _faults(config)
            if texts:
                raise ConfigError(format_faults(texts, files))
            return config
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(_first_lines(error)) from None
    finally:
        GlobalHydra.instance().clear()


def quoted(text: str) -> str:
    """Return a text, such as a path, as a value in the grammar of Hydra's overrides: it stands for itself."""
    from hydra.core.override_parser.types import Quote, QuotedString

    return QuotedString(text.replace("${", "\\${"), Quote.single).with_quotes()


def read_overrides(overrides: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read overrides; returns choices of groups as a defaults list has them, and settings by dotted key.

    Raises:
        ConfigError: one is not KEY=VALUE, is a sweep, or takes something out.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    groups = {group.as_posix() for group in _groups(conf_dir())}
    choices: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    try:
        parsed = OverridesParser.create().parse_overrides(list(overrides))
    except HydraException as error:
        raise ConfigError(f"settings: {str(error).splitlines()[0]}") from None
    for override in parsed:
        if override.is_sweep_override() or override.is_delete():
            raise ConfigError(f"{override.input_line}: one value for each setting is taken here")
        key = str(override.key_or_group)
        if key in groups:
            choices[f"/{key}" if override.is_add() or override.is_force_add() else f"override /{key}"] = (
                override.value()
            )
        else:
            settings[key] = override.value()
    return choices, settings


def _top_keys(verb: str) -> list[str]:
    """Return the keys that the top YAML of a verb has: its own and those of its groups."""
    top = load_yaml(conf_dir() / f"{verb}.yaml", resolve=False)
    return [str(k) for k in top if k not in ("defaults", "hydra")] + list(_groups_of(verb))


def _groups_of(verb: str) -> dict[str, str | None]:
    """Return the groups of a verb's top YAML, in order, each with its default choice."""
    entries = load_yaml(conf_dir() / f"{verb}.yaml", resolve=False).get("defaults", [])
    choices = [pair for entry in entries if entry != "_self_" for pair in entry.items()]
    return {str(k): v for k, v in choices if not str(k).startswith("override ")}


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
        if override.is_interval_sweep():  # of sweepers such as Optuna
            return f"{override.get_key_element()}={override.value().start}"
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
                faults.append((str(override.key_or_group), f"{key}: unknown key{suggestion(part, known)}"))
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


def help_text(verb: str) -> str:
    """Describe a verb by its YAML: every group with its choices, every top setting with its comment."""
    top = (conf_dir() / f"{verb}.yaml").read_text(encoding="utf-8")
    groups = _groups_of(verb)
    choice = "[GROUP=CHOICE] " if groups else ""
    usage = f"usage: seqlab {verb} {choice}[KEY=VALUE] [--cfg job] [-m] [--config-dir DIR]"
    rows = [top.splitlines()[0].lstrip("# "), "", usage]
    if groups:
        rows += ["", "Groups (* is the default):"]
    for group, chosen in groups.items():
        folder = conf_dir() / group
        for path in [*sorted(folder.glob("*.yaml")), *sorted(folder.glob("*/*.yaml"))]:  # encoder=..., encoder/cell=...
            comments = [x for x in path.read_text(encoding="utf-8").splitlines() if x.startswith("# ") and "@" not in x]
            mark = "*" if chosen == path.stem and path.parent == folder else " "
            name = f"{path.parent.relative_to(conf_dir()).as_posix()}={path.stem}"
            if group == "experiment":
                name = f"experiment={path.relative_to(folder).with_suffix('').as_posix()}"
            rows.append(f"  {mark} {name:<32} {comments[0].lstrip('# ')}")
    own = top.partition("\n\n")[2]
    rows += ["", "Settings:", *(f"    {line}" for line in own.partition("hydra:")[0].strip().splitlines()), ""]
    example = f"seqlab {verb} --cfg job" + (f" -p {next(iter(groups))}" if groups else "")
    rows += [f"{example} shows settings inside groups; -m KEY=A,B runs once for each value."]
    return "\n".join(rows) + "\n"


_SWEEP = (
    "training.devices: a sweep on this machine trains in one process; set training.devices=1, or give each job of the "
    "sweep its processes through Slurm (hydra/launcher=submitit_slurm, hydra.launcher.tasks_per_node)"
)


def run(verb: str, arguments: Sequence[str], job: Callable[[Config, Path], Any]) -> None:
    """Run a verb under Hydra: --help, --cfg job, -m sweeps, --config-dir and tab completion all work.

    Args:
        verb: name of the top YAML.
        arguments: what followed the verb on the command line.
        job: called with the checked plain configuration and the run folder, once per sweep job; what it returns is
            what a sweeper such as Optuna minimises.

    Raises:
        ConfigError: before anything is read or written.
    """
    arguments = [_quoted(a) for a in arguments]
    if any(a in ("-h", "--help") for a in arguments):
        sys.stdout.write(help_text(verb))
        return
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.errors import HydraException
    from hydra.types import RunMode
    from omegaconf import DictConfig, OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    options, overrides, config_dir = _split_arguments(arguments)
    flags = ("--hydra-help", "--version", "-sc", "--shell-completion", "--info", "-i")
    if not any(a.split("=")[0] in flags for a in arguments):
        compose(verb, overrides, config_dir)

    @hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=verb)
    def main(composed: DictConfig) -> Any:
        config = typing.cast(Config, OmegaConf.to_container(composed, resolve=True))
        logging.captureWarnings(True)
        folder = Path(HydraConfig.get().runtime.output_dir)
        if faults := _faults(config):
            failures.append(ConfigError(format_faults(faults)))  # a further value of a sweep
            raise failures[-1]
        if HydraConfig.get().mode == RunMode.RUN:
            pending.append((config, folder))
            return None
        if (config.get("training") or {}).get("devices", 1) > 1 and not {"SLURM_NTASKS", "RANK"} & set(os.environ):
            failures.append(ConfigError(_SWEEP))  # Lightning would start the sweep again in place of the job
            raise failures[-1]
        try:
            return job(config, folder)
        except (UserError, OSError) as error:  # a sweep goes on with its other jobs: Hydra hands it on after them
            failures.append(error)
            raise

    # A single job runs after Hydra is done: Lightning starts further processes by the command line, and under Hydra it
    # would leave the verb out of it.
    pending: list[tuple[Config, Path]] = []
    failures: list[Exception] = []
    saved = sys.argv
    sys.argv = [f"seqlab {verb}", *options, *overrides]  # Hydra's parser refuses overrides on both sides of an option
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra hands the exception on instead of printing its own report
    try:
        main()
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(_first_lines(error)) from None
    except (UserError, OSError) as error:
        if not failures:  # of a job that a launcher ran in another process, or of Hydra itself
            raise
        if error not in failures:
            failures.append(error)
    finally:
        sys.argv = saved
    for config, folder in pending:
        job(config, folder)
    if len(failures) == 1:
        raise failures[0]
    if failures:
        raise ConfigError(f"{len(failures)} jobs of the sweep failed:\n" + "\n".join(str(f) for f in failures))


def _quoted(argument: str) -> str:
    """Quote a plain value that Hydra's grammar would refuse, such as a file name with an equals sign or an accent."""
    from hydra.core.override_parser.types import Quote, QuotedString

    key, _, value = argument.partition("=")
    foreign = "," not in value and (not value.isascii() or "'" in value)  # a comma: a sweep
    if argument.startswith("-") or value[:1] in ("", *"'\"[{$") or not ("=" in value or foreign):
        return argument
    return f"{key}={QuotedString(value, Quote.single).with_quotes()}"


def _split_arguments(arguments: Sequence[str]) -> tuple[list[str], list[str], str | None]:
    """Separate Hydra's options from its overrides; returns both and --config-dir."""
    options: list[str] = []
    overrides: list[str] = []
    config_dir, takes_value = None, False
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
            options.append(argument)
            takes_value = False
        elif argument.startswith("-"):
            options.append(argument)
            takes_value = argument in with_value
            if argument.startswith("--config-dir="):
                config_dir = argument.partition("=")[2]
        else:
            overrides.append(argument)
        previous = argument
    return options, overrides, config_dir
