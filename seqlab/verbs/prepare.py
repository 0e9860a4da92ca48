"""seqlab prepare: turn a corpus into manifests, and these into tar shards."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from seqlab.config import Config, build
from seqlab.errors import ConfigError
from seqlab.manifest import Line, check_manifest
from seqlab.manifest_index import open_manifests


def prepare(config: Config, console: Console) -> dict[str, Path]:
    """Prepare the chosen corpus; returns its manifests by name, those of the shards where shards are asked for.

    Raises:
        ConfigError: the corpus has nothing to prepare.
        DataError, FileNotFoundError: its folder is missing or not as published.
    """
    corpus: dict[str, Any] = config["corpus"]
    if corpus.get("prepare"):
        manifests: dict[str, Path] = build(corpus["prepare"], "corpus")
    elif config["shards"]:
        manifests = _own(corpus)
    else:
        raise ConfigError(
            f"corpus {corpus['name']!r} is made of your own manifests: there is nothing to prepare but shards=N"
        )
    for name, path in list(manifests.items()):
        lines = open_manifests([str(path)])
        _tell(name, lines, path, console)
        if config["shards"]:
            from seqlab.data.shards import write_shards

            folder = path.parent if corpus.get("prepare") else Path(corpus.get("folder") or path.parent)
            manifests[name] = write_shards(lines, path.stem, folder / "shards", config["shards"])
            _tell(f"{name}, {config['shards']} shard(s)", lines, manifests[name], console)
    return manifests


def _tell(what: str, lines: Sequence[Line], path: Path, console: Console) -> None:
    hours = sum(line.duration_s or 0.0 for line in lines) / 3600
    much = f", {hours:.2f} h" if hours else ""
    console.print(f"{what}: {len(lines)} lines{much}, {path}", highlight=False, markup=False, soft_wrap=True)


def _own(corpus: Config) -> dict[str, Path]:
    """Return the manifests of a corpus that is made of nothing else, by the names of their files."""
    manifests: dict[str, Path] = {}
    for split in ("train", "dev", "test"):
        paths = corpus.get(split) or []
        for given in [paths] if isinstance(paths, str) else paths:
            path = check_manifest(given)
            if path.stem in manifests:
                raise ConfigError(f"corpus.{split}: {path} and {manifests[path.stem]} would make shards of one name")
            manifests[path.stem] = path
    if not manifests:
        raise ConfigError("shards: no manifest given; e.g. corpus.train=[my/train.jsonl]")
    return manifests
