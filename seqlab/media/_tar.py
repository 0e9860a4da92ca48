"""Members of a tar file, from its headers alone: ustar, pax and GNU long names. Nothing is ever unpacked.

The formats are those of POSIX.1-2001 (pax) and of GNU tar's manual, "Basic Tar Format". Where Python's tarfile takes a
damaged header for the end and says nothing, everything that is not as it should be is a DataError here.
"""

import logging
import os
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import BinaryIO, NamedTuple

from seqlab.errors import DataError
from seqlab.media._files import BLOCK, is_header, size_in

MAX_NAME = 2**20  # bytes of a pax header or of a long name
_OTHERS = {b"1": "hard link", b"2": "symbolic link", b"3": "device", b"4": "device", b"6": "pipe"}
_PACKED = {b"\x1f\x8b": "gunzip", b"BZ": "bunzip2", b"\xfd7": "unxz", b"(\xb5": "unzstd", b"PK": "unzip"}
_AGAIN = "copy it again, or make the shard anew"
_log = logging.getLogger(__name__)


class Entry(NamedTuple):
    """A regular file in a tar file: name with folders, place and bytes of its content, seconds since 1970."""

    name: str
    offset: int
    size: int
    time: int


def entries(file: BinaryIO, path: str | os.PathLike[str]) -> Iterator[Entry]:
    """Go through the regular files of a tar file; folders are passed over, links and devices with a warning.

    Args:
        file: the tar file, opened for reading.
        path: its name, for messages.

    Raises:
        DataError: it is no tar file, cut off, damaged or compressed, a member is sparse, or a name leads out of the
            archive; the message names the member.
    """
    total = os.fstat(file.fileno()).st_size
    at = 0
    long: dict[str, str] = {}  # what a pax or GNU header says of the next member
    others: list[str] = []
    while True:
        head = os.pread(file.fileno(), BLOCK, at)
        if len(head) < BLOCK:
            raise DataError(f"{path} is cut off: it ends at byte {total} without an end mark; {_AGAIN}")
        if not any(head):
            break
        if not is_header(head):
            raise DataError(f"{path} {_what(head, at)}")
        size, kind = size_in(head), head[156:157]
        size = 0 if kind in _OTHERS or kind == b"5" else size
        name = long.get("path") or _name(head)
        begin, end = at + BLOCK, at + BLOCK + size
        if size < 0 or end > total:
            raise DataError(f"{path} is cut off or damaged: member {name!r} ends beyond the end of the file; {_AGAIN}")
        at = begin + -(-size // BLOCK) * BLOCK
        if kind in b"xgLK":
            if size > MAX_NAME:
                raise DataError(f"{path}: a name or header of {size} bytes at byte {begin}; make the shard anew")
            content = os.pread(file.fileno(), size, begin)
            if kind == b"L":
                long["path"] = _decoded(content.rstrip(b"\0"), path)
            elif kind != b"K":
                found = _pax(content, path, begin)
                if kind == b"x":
                    long |= found
                elif found.keys() & {"path", "size"}:
                    raise DataError(f"{path}: a pax header gives one name or size to all members; make the shard anew")
            continue
        if kind == b"S" or any(key.startswith("GNU.sparse") for key in long):
            raise DataError(f"{path}: member {name!r} is sparse; make the shard anew without --sparse")
        if long.get("size", str(size)) != str(size):
            raise DataError(f"{path}: member {name!r} has two sizes, {long['size']} and {size}; make the shard anew")
        long = {}
        if kind in _OTHERS:
            others.append(f"{_OTHERS[kind]} {name!r}")
        elif kind in (b"0", b"\0", b"7"):
            if not name.endswith("/"):
                yield Entry(_inside(name, path), begin, size, _time(head))
        elif kind != b"5":
            raise DataError(f"{path}: member {name!r} is of type {kind!r}, which is not read; make the shard anew")
    for begin in range(at, total, 2**20):
        if any(os.pread(file.fileno(), 2**20, begin)):
            raise DataError(
                f"{path}: more follows after its end mark at byte {at}: joined tar files or a damaged one; give each "
                "tar file by itself, or make the shard anew"
            )
    if others:
        more = f" and {len(others) - 5} more" if len(others) > 5 else ""
        _log.warning("%s: left out, as only regular files are read: %s%s", path, ", ".join(others[:5]), more)


def _what(head: bytes, at: int) -> str:
    """Say what a block is that is no header."""
    if at == 0 and head[:2] in _PACKED:
        return f"is compressed, and members of it cannot be found by their place; unpack it first ({_PACKED[head[:2]]})"
    if at == 0:
        return "is no tar file; give shards as webdataset and seqlab prepare write them"
    return f"is damaged: no header at byte {at}; {_AGAIN}"


def _name(head: bytes) -> str:
    name = head[:100].split(b"\0")[0]
    if head[257:263] == b"ustar\0" and head[345]:  # GNU's has other things there
        name = head[345:500].split(b"\0")[0] + b"/" + name
    return name.decode("utf-8", "replace")


def _decoded(name: bytes, path: str | os.PathLike[str]) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        raise DataError(f"{path}: the name {name[:80]!r} is not UTF-8; make the shard anew") from None


def _pax(content: bytes, path: str | os.PathLike[str], at: int) -> dict[str, str]:
    """Read a pax header: records "LENGTH KEY=VALUE\\n", of which those of names, sizes and sparse files matter."""
    found = {}
    while content:
        digits, blank, _ = content[:20].partition(b" ")
        length = int(digits) if digits.isdigit() else 0
        record = content[len(digits) + 1 : length]
        key, equals, value = record.partition(b"=")
        if not (blank and equals and record.endswith(b"\n") and length <= len(content)):
            raise DataError(f"{path} is damaged: the pax header at byte {at} makes no sense; {_AGAIN}")
        if key in (b"path", b"size") or key.startswith(b"GNU.sparse"):
            found[key.decode("ascii", "replace")] = _decoded(value[:-1], path)
        content = content[length:]
    return found


def _inside(name: str, path: str | os.PathLike[str]) -> str:
    """Return the name of a member as it counts from the top of the archive."""
    parts = PurePosixPath(name).parts
    if name.startswith("/") or ".." in parts or "\0" in name or not parts:
        raise DataError(
            f"{path}: the name {name!r} leads out of the archive; no such shard is read. Make it anew with plain names"
        )
    return "/".join(parts)


def _time(head: bytes) -> int:
    try:
        return int(head[136:148].split(b"\0")[0].strip() or b"0", 8)
    except ValueError:
        return 0
