"""Load the archives of a corpus and unpack them: resumed where they broke off, and checked."""

import contextlib
import hashlib
import http.client
import logging
import shutil
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

from seqlab.corpora._unpack import CHUNK, GB, Archive, progress, unpack
from seqlab.errors import DataError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

TIMEOUT = 30.0  # seconds without a byte
ATTEMPTS = 5  # in a row that bring no byte
PAUSE = 2.0  # seconds before the second attempt; doubled each time
_log = logging.getLogger(__name__)


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
        need = 2 * GB * sum(archive.gigabytes for archive in missing)
        there = sum(p.stat().st_size for a in missing for p in folder.glob(f"{a.name}*") if p.is_file())
        if (free := shutil.disk_usage(folder).free) < need - there:
            raise DataError(
                f"{corpus}: loading and unpacking takes about {need / GB:.1f} GB, {free / GB:.1f} GB are free in "
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
        limit = 2 * archive.gigabytes * GB
        if (total or 0) > limit:
            raise DataError(f"{corpus}: {url} has {(total or 0) / GB:.1f} GB, {archive.gigabytes:g} were expected")
        with progress(archive.name, have, total) as advance:
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
                    raise DataError(f"{corpus}: {url} sends more than {limit / GB:.1f} GB")
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
