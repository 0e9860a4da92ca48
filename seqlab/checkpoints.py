"""Which file of a run folder holds its weights, and what is in it."""

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from seqlab.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

CONFIG, WEIGHTS = "config.yaml", "model.safetensors"  # of a model folder, as seqlab export writes it


def find_checkpoint(path: str | Path) -> Path:
    """Return the checkpoint of a run folder (its best, else its last), the weights of a model folder, or a file itself.

    Raises:
        FileNotFoundError: there is no such path.
        DataError: the folder holds no checkpoint.
    """
    path = Path(path)
    if path.is_file():
        return path
    if not path.exists():
        raise FileNotFoundError(f"model {path} not found; give a run folder, a model folder or a checkpoint (.ckpt)")
    if (path / WEIGHTS).is_file():
        return path / WEIGHTS
    folder = path / "checkpoints" if (path / "checkpoints").is_dir() else path
    best = sorted(folder.glob("best-*.ckpt"), key=lambda file: (metric_in_name(file), file.name))
    if best:
        return best[0]
    if (folder / "last.ckpt").is_file():
        return folder / "last.ckpt"
    raise DataError(f"{path} holds no checkpoint; a run folder has checkpoints/*.ckpt, a model folder {WEIGHTS}")


def read_checkpoint(file: Path) -> "tuple[dict[str, Any], dict[str, Tensor]]":
    """Return the configuration and the weights of a model; nothing in the file is executed.

    A damaged or hostile file raises whatever it leads to, which ``reason`` puts into words.
    """
    if file.suffix == ".safetensors":
        from safetensors.torch import load_file

        return read_config(file.parent), load_file(file)
    import torch

    checkpoint = torch.load(file, map_location="cpu", weights_only=True)
    weights = {k.removeprefix("model."): v for k, v in checkpoint["state_dict"].items() if k[:6] == "model."}
    return checkpoint["hyper_parameters"]["config"], weights


def read_config(folder: Path) -> dict[str, Any]:
    """Return the configuration of a model folder, as it stands: a stranger's file, of which nothing is filled in.

    Raises:
        FileNotFoundError: there is none.
        DataError: it is damaged.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise FileNotFoundError(f"{path} not found; a model folder of seqlab export has one")
    return read_yaml(path)


class _Loader(yaml.SafeLoader):
    """YAML as OmegaConf reads it: 1e-3 is a number."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def read_yaml(path: Path) -> dict[str, Any]:
    """Return a stranger's configuration, of which nothing is filled in; without OmegaConf, which is slow to import.

    Raises:
        DataError: it is damaged.
    """
    try:
        text = path.read_text(encoding="utf-8")
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
            raise ValueError("it has aliases, of which a few lines may make billions")
        config = yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DataError(f"{path} is no configuration: {reason(error)}") from None
    if not isinstance(config, dict):
        raise DataError(f"{path} is no configuration: it holds no keys")
    return config


def reason(error: Exception) -> str:
    """Say in one line why a checkpoint could not be read."""
    if "weights_only" in str(error):  # torch's advice would be to run the code in it
        return "it is no plain file of weights"
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def metric_in_name(path: Path) -> float:
    """Return the number that a name such as best-epoch009-cer0.1500.ckpt ends in; lower is better. Infinity: none."""
    number = re.search(r"(?<=[a-z])\d+(\.\d+)?$", path.stem)
    return float(number[0]) if number else math.inf
