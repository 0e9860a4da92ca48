"""Divide pages, never lines, into train, dev and test: by lists, by the names of folders, or by chance."""

import logging
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from seqlab.corpora._common import some
from seqlab.corpora._images import stop
from seqlab.errors import DataError

SPLITS = ("train", "dev", "test")
FOLDERS = {
    "train": "train",
    "training": "train",
    "dev": "dev",
    "val": "dev",
    "valid": "dev",
    "validation": "dev",
    "test": "test",
}
_log = logging.getLogger(__name__)


def split_pages(
    folder: Path,
    paths: Sequence[Path],
    lists: Mapping[str, str | list[str]] | None,
    dev_share: float,
    test_share: float,
    seed: int,
) -> dict[str, list[Path]]:
    """Divide pages into train, dev and test, by lists, else by the names of folders, else by chance.

    Raises:
        DataError: a list names a page that is not there or that is in another list, or a split that does not exist.
    """
    if lists is not None:
        return _split_by_lists(folder, paths, lists)
    named: dict[str, list[Path]] = {split: [] for split in SPLITS}
    outside = []
    for path in paths:
        split = next(
            (FOLDERS[part.lower()] for part in path.relative_to(folder).parts[:-1] if part.lower() in FOLDERS), ""
        )
        named[split].append(path) if split else outside.append(path)
    if any(named.values()):
        if outside:
            _log.warning("pages: %d page(s) in no split's folder left out: %s", len(outside), some(outside))
        return named
    order = list(paths)
    random.Random(seed).shuffle(order)
    dev, test = (max(1, round(share * len(order))) if share > 0 else 0 for share in (dev_share, test_share))
    if dev + test >= len(order):
        raise DataError(f"pages: {len(order)} page(s) cannot be divided into three parts; give lists, or shares of 0")
    return {"train": sorted(order[dev + test :]), "dev": sorted(order[:dev]), "test": sorted(order[dev : dev + test])}


def _split_by_lists(folder: Path, paths: Sequence[Path], lists: Mapping[str, str | list[str]]) -> dict[str, list[Path]]:
    known: dict[str, list[Path]] = {}
    for path in paths:
        known.setdefault(path.stem, []).append(path)
        known.setdefault(path.relative_to(folder).with_suffix("").as_posix(), []).append(path)
    faults: list[str] = []
    taken: dict[Path, str] = {}
    for split, names in lists.items():
        if split not in SPLITS:
            raise DataError(f"pages: lists has a split {split!r}; there are {', '.join(SPLITS)}")
        if isinstance(names, str):
            names = [name for name in Path(names).read_text(encoding="utf-8-sig").splitlines() if name.strip()]
        for name in names:
            name = name.strip()
            found = set(known.get(name) or known.get(name.rpartition(".")[0]) or [])
            if len(found) != 1:
                faults.append(f"{split}: {name}: {len(found)} pages have this name")
                continue
            (path,) = found
            if path in taken:
                faults.append(f"{split}: {name} is in the list of {taken[path]} already")
            taken[path] = split
    stop(faults, "pages: lists", f"names are those of page files below {folder}, without suffix")
    if unused := [path for path in paths if path not in taken]:
        _log.warning("pages: %d page(s) in no list left out: %s", len(unused), some(unused))
    return {split: [path for path in paths if taken.get(path) == split] for split in SPLITS}
