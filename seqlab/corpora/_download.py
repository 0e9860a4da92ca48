"""Load the archives of a corpus and unpack them: resumed where they broke off, checked, and never outside a folder."""

import contextlib
import hashlib
import http.client
import logging
import lzma
import os
import shutil
import socket
import tarfile
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from seqlab.errors import DataError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

CHUNK = 1 << 20  # bytes
TIMEOUT = 30.0  # seconds without a byte
ATTEMPTS = 5  # in a row that bring no byte
PAUSE = 2.0  # seconds before the second attempt; doubled each time
MAX_FILES = 2_000_000  # files in an archive
_REPORT_EVERY = 10.0  # seconds between two plain progress lines
_GB = 1e9
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


def place_of(root: str | None, out: str) -> Path:
    """Return the folder that a corpus is loaded into: root, or else <out>/download."""
    return Path(root).expanduser() if root is not None else Path(out) / "download"


def obtain(corpus: str, archives: Sequence[Archive], folder: Path) -> None:
    """Load and unpack archives into a folder; what is there already is not loaded again.

    An archive that lies in the folder, loaded by other means, is checked and taken. Archives stay there.

    Args:
        corpus: for messages.
        archives: what to load.
        folder: is made where it is missing.

    Raises:
        DataError: no network, or a server refuses; a checksum is wrong; the disk is full; another process is at it; an
            archive is damaged, too large, or holds paths that leave the folder.
    """
    missing = [archive for archive in archives if not (folder / archive.holds).is_dir()]
    if not missing:
        _log.info("%s: %s is there already, nothing to load", corpus, ", ".join(a.holds for a in archives))
        return
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(corpus, folder):
        need = 2 * _GB * sum(archive.gigabytes for archive in missing)
        there = sum(p.stat().st_size for a in missing for p in folder.glob(f"{a.name}*") if p.is_file())
        if (free := shutil.disk_usage(folder).free) < need - there:
            raise DataError(
                f"{corpus}: loading and unpacking takes about {need / _GB:.1f} GB, {free / _GB:.1f} GB are free in "
                f"{folder}; give another folder, corpus.prepare.root=... on the command line"
            )
        for archive in missing:
            unpack(corpus, fetch(corpus, archive, folder), archive, folder)
    _log.info("%s: the archives in %s are unpacked and may be deleted", corpus, folder)


@contextlib.contextmanager
def _alone(corpus: str, folder: Path) -> Iterator[None]:
    """Keep a second process from writing the same files."""
    with (folder / ".download.lock").open("w") as lock:
        try:
            if fcntl is not None:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DataError(f"{corpus}: another process is loading into {folder}; wait for it") from None
        yield


def fetch(corpus: str, archive: Archive, folder: Path) -> Path:
    """Load one archive and check its sum; goes on where an earlier run stopped. Returns its path."""
    path, part = folder / archive.name, folder / f"{archive.name}.part"
    if not path.is_file():
        for number, url in enumerate(archive.urls):
            try:
                _load(corpus, url, part, archive)
                break
            except DataError as error:
                if number == len(archive.urls) - 1:
                    raise DataError(f"{error}. {_by_hand(archive, folder)}") from None
                _log.warning("%s; trying %s", error, archive.urls[number + 1])
        _tag(part).unlink(missing_ok=True)
        _check_sum(corpus, part, archive)
        part.replace(path)
    elif archive.digest:
        _check_sum(corpus, path, archive)
    return path


def _by_hand(archive: Archive, folder: Path) -> str:
    return (
        f"By hand: load {archive.urls[0]} elsewhere, put it into {folder} and run this again, or unpack it and give "
        "that folder, corpus.prepare.root=... with corpus.prepare.download=false. What was loaded so far is kept"
    )


def _load(corpus: str, url: str, part: Path, archive: Archive) -> None:
    """Bring the partial file to its full length."""
    opener = urllib.request.OpenerDirector()  # http and https alone, wherever the server sends us; no file:, no ftp:
    for handler in (
        *(urllib.request.ProxyHandler(), urllib.request.HTTPHandler(), urllib.request.HTTPSHandler()),
        *(urllib.request.HTTPRedirectHandler(), urllib.request.HTTPErrorProcessor()),
        *(urllib.request.HTTPDefaultErrorHandler(), urllib.request.UnknownHandler()),
    ):
        opener.add_handler(handler)
    attempt, started = 0, False
    while True:
        before = part.stat().st_size if part.is_file() else 0
        try:
            if _continue(corpus, opener, url, part, archive):
                return
            reason: object = "the server ended too early"
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 416 and before:  # nothing beyond what we have: whole already, or another file by now
                if archive.digest is not None:
                    whole = _sum(part, archive.digest) == archive.digest.partition(":")[2]
                else:
                    whole = error.headers.get("Content-Range", "") == f"bytes */{before}"
                if whole:
                    return
                part.unlink()
            elif error.code < 500 and error.code not in (408, 429):
                raise DataError(f"{corpus}: {url} answers {error.code} {error.reason}") from None
            reason = f"{error.code} {error.reason}"
        except (OSError, http.client.HTTPException) as error:  # no route, no name, no answer, cut off
            reason = getattr(error, "reason", None) or error or type(error).__name__
        grown = part.is_file() and part.stat().st_size > before
        attempt = 1 if grown else attempt + 1
        started = started or grown
        if attempt >= ATTEMPTS or (isinstance(reason, socket.gaierror) and not started):  # no name: no network
            raise DataError(f"{corpus}: {url} cannot be loaded, {reason}: there is no network, or the site is down")
        _log.info("%s: %s (%s), going on in %.0f s", corpus, url, reason, PAUSE * 2 ** (attempt - 1))
        time.sleep(PAUSE * 2 ** (attempt - 1))


def _continue(corpus: str, opener: urllib.request.OpenerDirector, url: str, part: Path, archive: Archive) -> bool:
    """Ask for what is missing and write it; returns whether the file is whole."""
    have = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "seqlab", "Accept-Encoding": "identity"})
    if have:
        request.add_header("Range", f"bytes={have}-")
        origin, tag = _read_tag(part)
        if origin == url and tag:  # all of it is sent if it is another file by now
            request.add_header("If-Range", tag)
    with opener.open(request, timeout=TIMEOUT) as answer:
        if answer.status != 206 or not answer.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            have = 0  # the server sends all of it
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length and length.isdigit() else None
        limit = 2 * archive.gigabytes * _GB
        if (total or 0) > limit:
            raise DataError(f"{corpus}: {url} has {(total or 0) / _GB:.1f} GB, {archive.gigabytes:g} were expected")
        with _progress(archive.name, have, total) as advance:
            truncate = not have
            while chunk := answer.read(CHUNK):
                try:
                    with part.open("wb" if truncate else "ab") as file:
                        if truncate:
                            etag = answer.headers.get("ETag", "")  # a weak one, W/..., does not vouch for bytes
                            tag = etag if etag.startswith('"') else answer.headers.get("Last-Modified", "")
                            _tag(part).write_text(f"{url}\n{tag}\n", encoding="latin-1")
                        file.write(chunk)
                except OSError as error:
                    raise DataError(f"{corpus}: {part} cannot be written: {error.strerror or error}") from None
                truncate = False
                have += len(chunk)
                if have > limit:
                    raise DataError(f"{corpus}: {url} sends more than {limit / _GB:.1f} GB")
                advance(len(chunk))
    return total is None or have >= total


def _tag(part: Path) -> Path:
    """Return where the address of a partial file and its ETag or date are kept."""
    return part.with_name(f"{part.name}.tag")


def _read_tag(part: Path) -> tuple[str, str]:
    try:
        origin, tag, *_ = [*_tag(part).read_text(encoding="latin-1").splitlines(), "", ""]
    except OSError:
        return "", ""
    return origin, tag


@contextlib.contextmanager
def _progress(name: str, have: int, total: int | None) -> Iterator[Any]:
    """Show bytes, rate and time left, as a bar or as plain log lines; yields a function that takes the bytes added."""
    console = Console(stderr=True)
    if console.is_terminal:
        columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
        with Progress(TextColumn("{task.description}"), *columns, console=console) as progress:
            task = progress.add_task(name, completed=have, total=total)
            yield lambda count: progress.advance(task, count)
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


def _sum(path: Path, digest: str) -> str:
    """Compute the sum of a file by the method that a digest names."""
    with path.open("rb") as file:
        return hashlib.file_digest(
            file, lambda: hashlib.new(digest.partition(":")[0], usedforsecurity=False)
        ).hexdigest()


def _check_sum(corpus: str, path: Path, archive: Archive) -> None:
    if archive.digest is None:
        _log.warning("%s: no checksum of %s is known, it is taken as it came", corpus, archive.name)
        return
    method, _, right = archive.digest.partition(":")
    if (found := _sum(path, archive.digest)) != right:
        path.unlink()
        raise DataError(
            f"{corpus}: {archive.name} is damaged or another file, and was deleted: its {method} is {found}, not "
            f"{right}. Run this again to load it anew"
        )


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
    limit = 10 * archive.gigabytes * _GB
    size = os.fstat(file.fileno()).st_size
    total = count = 0
    with _progress(f"unpacking {archive.name}", 0, size) as advance:
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
                    f"{corpus}: {archive.name} unpacks to more than {limit / _GB:.1f} GB; it is not unpacked"
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
