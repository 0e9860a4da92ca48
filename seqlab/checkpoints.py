"""Which file of a run folder holds its weights."""

import math
import re
from pathlib import Path

from seqlab.errors import DataError


def find_checkpoint(path: str | Path) -> Path:
    """Return the checkpoint of a run folder (its best, else its last), or the path itself when it is a file.

    Raises:
        FileNotFoundError: there is no such path.
        DataError: the folder holds no checkpoint.
    """
    path = Path(path)
    if path.is_file():
        return path
    if not path.exists():
        raise FileNotFoundError(f"model {path} not found; give a run folder or a checkpoint (.ckpt)")
    folder = path / "checkpoints" if (path / "checkpoints").is_dir() else path
    best = sorted(folder.glob("best-*.ckpt"), key=_metric_in_name)
    if best:
        return best[0]
    if (folder / "last.ckpt").is_file():
        return folder / "last.ckpt"
    raise DataError(f"{path} holds no checkpoint; a run folder has checkpoints/*.ckpt")


def _metric_in_name(path: Path) -> tuple[float, str]:
    """Return the number that a name such as best-epoch009-cer0.1500.ckpt ends in; lower is better."""
    number = re.search(r"(?<=[a-z])\d+(\.\d+)?$", path.stem)
    return (float(number[0]) if number else math.inf), path.name
