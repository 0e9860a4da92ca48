"""seqlab prepare: turn a corpus into manifests."""

from pathlib import Path
from typing import Any

from rich.console import Console

from seqlab.config import Config, build
from seqlab.errors import ConfigError
from seqlab.manifest import read_manifest


def prepare(config: Config, console: Console) -> dict[str, Path]:
    """Prepare the chosen corpus; returns its manifests by name.

    Raises:
        ConfigError: the corpus has nothing to prepare.
        DataError, FileNotFoundError: its folder is missing or not as published.
    """
    corpus: dict[str, Any] = config["corpus"]
    if not corpus.get("prepare"):
        raise ConfigError(f"corpus {corpus['name']!r} is made of your own manifests: there is nothing to prepare")
    manifests: dict[str, Path] = build(corpus["prepare"], "corpus")
    for name, path in manifests.items():
        lines = read_manifest(path)
        hours = sum(line.duration_s or 0.0 for line in lines) / 3600
        much = f", {hours:.2f} h" if hours else ""
        console.print(f"{name}: {len(lines)} lines{much}, {path}", highlight=False, soft_wrap=True)
    return manifests
