"""What the corpus files share: roots, paths, headers read with progress, and manifests written together."""

import logging
import os
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from seqlab.errors import DataError
from seqlab.manifest import MAX_FAULTS, Line, write_manifest
from seqlab.media import AudioInfo, audio_info

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_REPORT_EVERY = 10.0  # seconds between two plain progress lines

T = TypeVar("T")
_log = logging.getLogger(__name__)


def find_root(root: str | os.PathLike[str] | None, corpus: str, layout: str) -> Path:
    """Return root as an existing folder.

    Args:
        root: what the user gave.
        corpus: name for messages.
        layout: where the corpus comes from and what its tree looks like, for messages.

    Raises:
        DataError: no root was given, or it is a file.
        FileNotFoundError: there is no such folder.
    """
    if root is None:
        raise DataError(
            f"{corpus} needs the folder of the corpus, corpus.prepare.root=... on the command line, root in Python. "
            f"{layout}"
        )
    path = Path(root).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"{corpus}: folder {path} not found. {layout}")
    if not path.is_dir():
        raise DataError(f"{corpus}: {path} is a file, the folder of the corpus is needed. {layout}")
    return path


def manifest_path(path: Path, folder: Path) -> str:
    """Return path as a manifest in folder shall name it: relative where it lies below, else absolute."""
    absolute, base = Path(os.path.abspath(path)), Path(os.path.abspath(folder))
    return absolute.relative_to(base).as_posix() if absolute.is_relative_to(base) else str(absolute)


def track(items: Sequence[T], what: str) -> Iterator[T]:
    """Go through items with a progress bar, or with plain log lines where the output is no terminal."""
    console = Console(stderr=True)
    if console.is_terminal:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TaskProgressColumn(show_speed=True),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console) as progress:
            yield from progress.track(items, description=what)
        return
    start = last = time.monotonic()
    for done, item in enumerate(items):
        if (now := time.monotonic()) - last >= _REPORT_EVERY:
            rate = done / (now - start)
            _log.info("%s: %d of %d, %.0f/s, %.0f s left", what, done, len(items), rate, (len(items) - done) / rate)
            last = now
        yield item


def read_headers(paths: Sequence[Path], what: str) -> list[AudioInfo]:
    """Read the headers of audio files.

    Raises:
        DataError: files are faulty; the message names up to 20 of them.
    """
    headers, faults = [], []
    for path in track(paths, what):
        try:
            headers.append(audio_info(path))
        except (DataError, FileNotFoundError) as error:
            faults.append(str(error))
            if len(faults) == MAX_FAULTS:
                break
    if faults:
        more = f", looking stopped after {MAX_FAULTS}" if len(faults) == MAX_FAULTS else ""
        raise DataError(f"{what}: {len(faults)} faulty file(s){more}:\n" + "\n".join(faults))
    return headers


def some(names: Sequence[object], limit: int = 5) -> str:
    """Join the first names for a message and count the rest."""
    rest = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(str(name) for name in names[:limit]) + rest


def write_manifests(
    out: Path, manifests: Mapping[str, Sequence[Line]], parts: Collection[str] = ("train", "dev", "test")
) -> dict[str, Path]:
    """Write <out>/<part>.jsonl for each part that has lines; returns their paths.

    Manifests of the other parts that lie there are of an earlier run, whose splits would overlap with these: they are
    removed.

    Args:
        out: folder of the manifests.
        manifests: lines by part.
        parts: all that the corpus may have with any options; those in ``manifests`` count anyway.
    """
    written = {name: out / f"{name}.jsonl" for name, lines in manifests.items() if lines}
    for name in sorted({*parts, *manifests} - written.keys()):
        if (old := out / f"{name}.jsonl").is_file():
            old.unlink()
            _log.warning("%s is of an earlier run and was removed; this one has no %s", old, name)
    for name, path in written.items():
        write_manifest(path, manifests[name])
    return written
