"""What the corpus files share: roots, paths, headers read with progress, and manifests written together."""

import json
import logging
import os
import random
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from seqlab.errors import DataError, UserError
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


def read_headers(paths: Sequence[Path], what: str, keep: Path | None = None) -> list[AudioInfo]:
    """Read the headers of audio files.

    Args:
        paths: the files.
        what: for messages and progress.
        keep: folder that remembers the headers, see try_headers.

    Raises:
        DataError: files are faulty; the message names up to 20 of them.
    """
    found, faults = try_headers(paths, what, keep, most=MAX_FAULTS)
    if faults:
        more = f", looking stopped after {MAX_FAULTS}" if len(faults) == MAX_FAULTS else ""
        raise DataError(f"{what}: {len(faults)} faulty file(s){more}:\n" + "\n".join(faults.values()))
    return [found[path] for path in paths]


def try_headers(
    paths: Sequence[Path], what: str, keep: Path | None = None, most: int | None = None
) -> tuple[dict[Path, AudioInfo], dict[Path, str]]:
    """Read the headers of audio files; returns those that can be read, and the faults of the others.

    With ``keep`` nothing is read twice, neither by a second run nor after a run that was interrupted: the file
    headers.cache there has path, size, time of change and header of each file, and a file that changed is read again.

    Args:
        paths: the files; each is read once, however often it is named.
        what: for messages and progress.
        keep: folder of headers.cache.
        most: faults after which looking stops; None looks at all.
    """
    cache = keep / "headers.cache" if keep is not None else None
    known = _kept_headers(cache) if cache is not None and cache.is_file() else {}
    found: dict[Path, AudioInfo] = {}
    faults: dict[Path, str] = {}
    log = None
    try:
        for path in track(list(dict.fromkeys(paths)), what):
            try:
                state = os.stat(path)
                key = (os.path.abspath(path), state.st_size, state.st_mtime_ns)
                if key not in known:
                    known[key] = audio_info(path)
                    if cache is not None:
                        if log is None:
                            cache.parent.mkdir(parents=True, exist_ok=True)
                            log = cache.open("a", encoding="utf-8", errors="surrogateescape")
                        info = known[key]
                        log.write(json.dumps([*key, info.samples, info.sample_rate, info.channels]) + "\n")
                found[path] = known[key]
            except FileNotFoundError:
                faults[path] = f"{path} not found"
            except (DataError, OSError) as error:
                faults[path] = str(error)
            if most is not None and len(faults) == most:
                break
    finally:
        if log is not None:
            log.close()
    return found, faults


def _kept_headers(cache: Path) -> dict[tuple[str, int, int], AudioInfo]:
    """Read headers.cache; rows that are damaged, as the last of an interrupted run may be, don't count."""
    known = {}
    for row in cache.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        try:
            path, size, changed, *header = json.loads(row)
            known[path, size, changed] = AudioInfo(*map(int, header))
        except (ValueError, TypeError):
            continue
    return known


def some(names: Sequence[object], limit: int = 5) -> str:
    """Join the first names for a message and count the rest."""
    rest = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(str(name) for name in names[:limit]) + rest


def check_shares(corpus: str, dev_share: float, test_share: float) -> None:
    """Refuse shares that leave nothing to train on.

    Raises:
        UserError: shares make no sense.
    """
    if not (0 <= dev_share < 1 and 0 <= test_share < 1 and dev_share + test_share < 1):
        raise UserError(
            f"{corpus}: dev_share {dev_share} and test_share {test_share} must lie in [0, 1) and leave train"
        )


def draw_splits(
    corpus: str,
    units: Mapping[str, Sequence[Line]],
    kind: str,
    dev_share: float,
    test_share: float,
    seed: int,
    cure: str = "",
) -> dict[str, list[Line]]:
    """Draw whole units (lines, folders, speakers) into test and dev until each has its share of lines.

    The rest is train. A part with a share gets at least one unit, and may so exceed its share; one without stays empty.

    Args:
        corpus: names the draw and messages.
        units: lines by unit.
        kind: what a unit is, for messages.
        dev_share: share of the lines.
        test_share: share of the lines.
        seed: of the draw.
        cure: what else to do where there are too few units, for messages.

    Raises:
        DataError: the units are too few.
    """
    names = sorted(units)
    random.Random(f"{corpus} {seed}").shuffle(names)
    total = sum(map(len, units.values()))
    shares = {"test": test_share, "dev": dev_share}
    parts: dict[str, list[str]] = {part: [] for part in shares}
    for part, share in shares.items():
        count = 0
        while names and share and count < max(1, round(share * total)):
            parts[part].append(names.pop())
            count += len(units[parts[part][-1]])
    if not names or any(share and not parts[part] for part, share in shares.items()):
        raise DataError(
            f"{corpus}: {len(units)} {kind}(s) with {total} line(s) are too few to split by {kind}; give smaller "
            f"shares{cure}"
        )
    parts["train"] = names
    return {part: [line for name in sorted(parts[part]) for line in units[name]] for part in ("train", "dev", "test")}


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
