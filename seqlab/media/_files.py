"""How every reader opens a path: a file of its own, or a member of a tar shard, of which it sees those bytes alone.

``shards/train-000000.tar@1536+34567/a-1.flac`` are the 34,567 bytes from byte 1,536 on in train-000000.tar: its member
a-1.flac. The header that stands before them must be a tar header of that name and size, so that a shard that was
written anew is noticed.
"""

import io
import os
import re
import stat
from functools import lru_cache
from typing import BinaryIO, NamedTuple, cast

from seqlab.errors import DataError

_AT_ONCE = 2**24  # bytes of a member that are read into memory when it is opened
BLOCK = 512  # bytes of a header, and what members are rounded up to
_MEMBER = re.compile(r"(.+?\.tar)@(\d{1,15})\+(\d{1,15})/(.+)", re.DOTALL)


class Member(NamedTuple):
    """A place in a tar file.

    Attributes:
        tar: path of the tar file.
        offset: of the first byte of the content.
        size: bytes of the content.
        name: of the member, without folders if it has any.
    """

    tar: str
    offset: int
    size: int
    name: str

    def path(self) -> str:
        """Return the place as a path, as manifests name it."""
        return f"{self.tar}@{self.offset}+{self.size}/{self.name}"


def member_of(path: str | os.PathLike[str]) -> Member | None:
    """Return the place in a tar file that a path means, or None if it means a file of its own."""
    path = os.fspath(path)
    return _parsed(path) if ".tar@" in path else None


@lru_cache(maxsize=1024)  # one reading asks several times
def _parsed(path: str) -> Member | None:
    match = _MEMBER.fullmatch(path)
    return Member(match[1], int(match[2]), int(match[3]), match[4]) if match else None


def file_exists(path: str | os.PathLike[str]) -> bool:
    """Tell whether there is such a file, or such a tar file; whether it has the member shows when it is read."""
    member = member_of(path)
    return os.path.exists(member.tar if member else path)


def file_stamp(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Return size in bytes and time of the last change in ns; a member has the time of its tar file.

    Raises:
        OSError: there is no such file.
    """
    member = member_of(path)
    status = os.stat(member.tar if member else path)
    return member.size if member else status.st_size, status.st_mtime_ns


def check_file(path: str | os.PathLike[str], what: str) -> None:
    """Refuse what is no regular file: a pipe would block for ever.

    Args:
        path: the file.
        what: its kind, such as "audio", for messages.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: it is a folder, a pipe or a device, or cannot be looked at.
    """
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        raise FileNotFoundError(f"{what} file {path} not found") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    article = "an" if what[0].lower() in "aeiou" else "a"
    if stat.S_ISDIR(mode):
        raise DataError(f"{path} is a folder; give {article} {what} file")
    if not stat.S_ISREG(mode):
        raise DataError(f"{path} is no regular file (a pipe or device?); give {article} {what} file")


def open_file(path: str | os.PathLike[str], what: str) -> BinaryIO:
    """Open a file or a member of a tar shard for reading.

    Args:
        path: as in manifests.
        what: its kind, such as "audio", for messages.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: it is no regular file, cannot be read, or the tar file has no such member there.
    """
    member = member_of(path)
    check_file(member.tar if member else path, "shard" if member else what)
    try:
        file = open(member.tar if member else path, "rb", buffering=0 if member else -1)  # noqa: SIM115
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    if member is None:
        return cast(BinaryIO, file)
    try:
        _check_member(file.fileno(), member)
        if member.size <= _AT_ONCE:  # decoders call back for every few kB, and this answers without Python
            with file:
                return io.BytesIO(os.pread(file.fileno(), member.size, member.offset))
    except BaseException:
        file.close()
        raise
    return io.BufferedReader(_Window(cast(io.FileIO, file), member.offset, member.size), 2**16)


def is_header(block: bytes) -> bool:
    """Tell whether 512 bytes are a tar header: their sum, its own field taken as blanks, stands in them."""
    try:
        stored = int(block[148:156].split(b"\0")[0].strip() or b"-1", 8)
    except ValueError:
        return False
    return len(block) == BLOCK and stored == sum(block) - sum(block[148:156]) + 256


def size_in(block: bytes) -> int:
    """Return the size of content that a tar header gives, octal or (GNU) binary; -1 if it makes no sense."""
    field = block[124:136]
    if field[0] & 0x80:
        return int.from_bytes(field[1:], "big") if field[0] == 0x80 else -1
    try:
        digits = field.split(b"\0")[0].strip()
        return int(digits, 8) if digits.isdigit() else -1
    except ValueError:
        return -1


def _check_member(descriptor: int, member: Member) -> None:
    """Refuse a place in a tar file that is not that of the member."""
    status = os.fstat(descriptor)
    if member.offset + member.size > status.st_size:
        raise DataError(
            f"{member.path()} ends beyond the end of the shard, which has {status.st_size} bytes: it is cut off or was "
            "written anew; copy it again, or make its manifest anew"
        )
    head = os.pread(descriptor, BLOCK, member.offset - BLOCK) if member.offset in range(BLOCK, 2**60, BLOCK) else b""
    name = head[:100].split(b"\0")[0]
    unsure = len(name) == 100 or len(member.name) > 80 or not member.name.isascii()  # cut or replaced in old headers
    fits = unsure or name.endswith(member.name.encode())
    if not is_header(head) or size_in(head) != member.size or not fits:
        raise DataError(
            f"{member.tar} has no member {member.name} of {member.size} bytes at byte {member.offset}: it was written "
            "anew or is damaged; make its manifest anew with seqlab prepare, or give the shards themselves"
        )


class _Window(io.RawIOBase):
    """A stretch of a file, read as if it were a file; nothing outside of it can be reached."""

    def __init__(self, file: io.FileIO, start: int, size: int) -> None:
        self._file, self._start, self._size, self._at = file, start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise OSError("seek before the beginning")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: "memoryview[int]") -> int:  # type: ignore[override]
        length = max(0, min(len(buffer), self._size - self._at))
        count = os.preadv(self._file.fileno(), [memoryview(buffer)[:length]], self._start + self._at)
        self._at += count
        return count

    def close(self) -> None:
        self._file.close()
        super().close()
