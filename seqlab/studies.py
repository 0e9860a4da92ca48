"""What the studies of recipes/ share: rows of results that survive a stop, trainings, intervals of means."""

import json
import math
import resource
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scipy.stats import t as student

from seqlab.errors import ConfigError


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of results.jsonl, none where it is missing; a line that was cut short is left out."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return rows


def append_row(path: Path, row: Mapping[str, Any]) -> None:
    """Add a row to results.jsonl, on a line of its own even if the last one was cut short."""
    cut = path.exists() and not path.read_text(encoding="utf-8").endswith("\n")
    with path.open("a", encoding="utf-8") as file:
        file.write("\n" * cut + json.dumps(row) + "\n")


def run(arguments: Sequence[str]) -> float:
    """Run seqlab in a process of its own; returns its CPU minutes.

    Raises:
        ConfigError: it failed; its messages are on standard error.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-m", "seqlab", *arguments], stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise ConfigError(f"seqlab {' '.join(arguments)} ended with status {done.returncode}")
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / 60


def mean_and_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean and the ends of its 95 % interval by Student's t; NaN for ends of a single value."""
    mean = sum(values) / len(values)
    if len(values) < 2:
        return mean, math.nan, math.nan
    spread = math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1))
    half = float(student.ppf(0.975, len(values) - 1)) * spread / math.sqrt(len(values))
    return mean, mean - half, mean + half
