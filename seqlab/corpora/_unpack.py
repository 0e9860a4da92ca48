"""Unpack the archives of a corpus: never outside a folder, whole or not at all."""

import contextlib
import logging
import lzma
import os
import shutil
import tarfile
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from seqlab.errors import DataError

CHUNK = 1 << 20  # bytes
MAX_FILES = 2_000_000  # files in an archive
GB = 1e9
_REPORT_EVERY = 10.0  # seconds between two plain progress lines
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Archive:
    """An archive that a corpus is published in.

    Attributes:
        urls: where it is published; the next is tried where one does not answer.
        holds: folder that it brings, below the folder that it is unpacked in, such as LibriSpeech/dev-clean; when that
            is there, the archive has been unpacked.
        gigabytes: size of the archive, roughly; twice as much is refused, and ten times as much unpacked.
        digest: its checksum, "sha256:..." or "md5:...", or None where none is published.
    """

    urls: tuple[str, ...]
    holds: str
    gigabytes: float
    digest: str | None = None

    @property
    def name(self) -> str:
        """File name of the archive."""
        return self.urls[0].rpartition("/")[2]


@contextlib.contextmanager
def progress(name: str, have: int, total: int | None) -> Iterator[Any]:
    """Show bytes, rate and time left, as a bar or as plain log lines; yields a function that takes the bytes added."""
    console = Console(stderr=True)
    if console.is_terminal:
        columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
        with Progress(TextColumn("{task.description}"), *columns, console=console) as shown:
            task = shown.add_task(name, completed=have, total=total)
            yield lambda count: shown.advance(task, count)
        return
    start = last = time.monotonic()
    new = 0

    def advance(count: int) -> None:
        nonlocal new, last
        new += count
        if (now := time.monotonic()) - last >= _REPORT_EVERY:
            rate, last = new / (now - start), now
            left = f", {(total - have - new) / rate:.0f} s left" if total else ""
            of = f" of {total / 1e6:.0f}" if total else ""
            _log.info("%s: %.0f%s MB, %.1f MB/s%s", name, (have + new) / 1e6, of, rate / 1e6, left)

    yield advance


def unpack(corpus: str, path: Path, archive: Archive, folder: Path) -> None:
    """Unpack a tar archive beside its place, then move what it brings into it; the folder ``holds`` comes last.

    Raises:
        DataError: the archive is damaged, too large, lacks the folder, or has members that would leave the folder or
            are no files, folders and links.
    """
    work, stash = folder / f".{archive.name}.unpacking", folder / f".{archive.name}.ready"
    for stale in (work, stash):
        shutil.rmtree(stale, ignore_errors=True)
    work.mkdir()
    try:
        with path.open("rb") as file, tarfile.open(fileobj=file) as tar:
            _extract(corpus, tar, file, work, archive)
    except (tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError) as error:
        shutil.rmtree(work, ignore_errors=True)
        if isinstance(error, DataError):
            raise
        cure = f"delete {path} and run this again"
        raise DataError(f"{corpus}: {path} cannot be unpacked: {error}; {cure}") from None
    if not (work / archive.holds).is_dir():
        shutil.rmtree(work, ignore_errors=True)
        raise DataError(f"{corpus}: {path} brings no folder {archive.holds}; is it the right archive?")
    (folder / archive.holds).parent.mkdir(parents=True, exist_ok=True)
    (work / archive.holds).rename(stash)
    _merge(work, folder)
    stash.rename(folder / archive.holds)
    shutil.rmtree(work, ignore_errors=True)


def _extract(corpus: str, tar: tarfile.TarFile, file: IO[bytes], work: Path, archive: Archive) -> None:
    limit = 10 * archive.gigabytes * GB
    size = os.fstat(file.fileno()).st_size
    total = count = 0
    with progress(f"unpacking {archive.name}", 0, size) as advance:
        done = 0
        links: set[PurePosixPath] = set()
        for member in tar:
            total, count = total + member.size, count + 1
            name = PurePosixPath(os.path.normpath(member.name))
            if member.islnk() or not links.isdisjoint(name.parents):  # what follows a link may end up anywhere
                raise DataError(f"{corpus}: {archive.name} has a member behind a link, {member.name[:200]}")
            if member.issym():
                links.add(name)
            if total > limit or count > MAX_FILES:
                raise DataError(
                    f"{corpus}: {archive.name} unpacks to more than {limit / GB:.1f} GB; it is not unpacked"
                )
            tar.extract(member, work, filter="data")  # refuses what would leave the folder, and devices
            advance(file.tell() - done)
            done = file.tell()
        while tar.fileobj is not None and tar.fileobj.read(CHUNK):  # to its end, where the checksum of gzip stands
            pass


def _merge(source: Path, target: Path) -> None:
    """Move what a folder has and another has not."""
    for path in sorted(source.iterdir()):
        place = target / path.name
        if place.is_dir() and path.is_dir() and not path.is_symlink():
            _merge(path, place)
        elif not os.path.lexists(place):
            path.rename(place)
