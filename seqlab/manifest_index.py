"""Manifests of millions of lines: an index in a file, mapped into memory; a line is parsed when it is asked for.

The index lies beside the manifest (``.NAME.index``), or in the user's cache folder where that cannot be written: a
header of JSON, then one array per column. It is made in one pass that validates every line, and made anew when size,
time or ends of the manifest have changed.
"""

import hashlib
import json
import mmap
import os
import unicodedata
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast, overload

import numpy as np

from seqlab.errors import DataError
from seqlab.files import cache_folder, replacing
from seqlab.manifest import MAX_FAULTS, Line, check_manifest, parse_line, read_manifest, refuse_faults
from seqlab.media._files import member_of

PIECE = 2**18  # lines that are reckoned at once, so that millions take little more memory than their results
LARGE = 100 * 2**20  # bytes of manifests from which they are indexed
KINDS = ("audio", "image", "strokes", "features")
_VERSION = 2
_ENDS = 2**16  # bytes at either end that tell a changed manifest
_HEAD = 2**20  # bytes of the header: a manifest may hold tens of thousands of characters
# name, type code of array, dtype
_COLUMNS = (
    ("offset", "q", "<i8"),  # of the line in the manifest, bytes
    ("length", "q", "<i8"),  # bytes
    ("number", "q", "<i8"),  # of the line in the manifest, from 1
    ("duration", "d", "<f8"),  # seconds; NaN: not known
    ("width", "i", "<i4"),  # pixels; 0: not known
    ("height", "i", "<i4"),
    ("kind", "b", "|i1"),  # index into KINDS
    ("shard", "i", "<i4"),  # tar shard that its media lie in, from 0 as they come; -1: none
)
_UNUSUAL = {"parts", "image", "strokes", "features", "silence_ms", "spans", "writer"}


class ManifestIndex(Sequence[Line]):
    """The lines of one manifest.

    Args:
        path: the manifest.

    Attributes:
        path: the manifest.
        sha256: of the manifest, hexadecimal.
        characters: all that occur in texts (composed, Unicode NFC), sorted.

    Raises:
        DataError: the manifest is empty or lines are broken; the message names up to 20 of them.
        FileNotFoundError: there is no such file.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = check_manifest(path)
        self._pid, self._files = -1, (-1, -1)  # the manifest and its index, as this process opened them
        self._place: Path | None = None  # of the index; None: it lies in memory
        state = _state(self.path)
        for place in _places(self.path):
            if self._load(place, state):
                return
        head, columns = _build(self.path)
        if head.pop("size") != state["size"] or _state(self.path) != state:
            raise DataError(f"{self.path} was changed while it was read; begin again when it is whole")
        for place in _places(self.path):
            try:
                _write(place, head | state, columns)
            except OSError:
                continue
            if self._load(place, state):
                return
        self._set(head, [np.frombuffer(c, dtype) for c, (_, _, dtype) in zip(columns, _COLUMNS, strict=True)])

    def _load(self, place: Path, state: dict[str, Any]) -> bool:
        """Map an index; False if there is none, it is another manifest's or it is damaged."""
        try:
            with place.open("rb") as file:
                head = json.loads(file.read(_HEAD))
            if any(head[key] != value for key, value in state.items()):
                return False
            columns, offset = [], _HEAD
            for _, _, dtype in _COLUMNS:
                columns.append(np.memmap(place, dtype, "r", offset, (head["lines"],)))
                offset += columns[-1].nbytes
            if place.stat().st_size != offset:
                return False
        except (OSError, ValueError, KeyError, TypeError):
            return False
        self._set(head, columns)
        self._place = place
        return True

    def _set(self, head: dict[str, Any], columns: Sequence[np.ndarray]) -> None:
        self.sha256: str = head["sha256"]
        self.characters: str = head["characters"]
        self._offset, self._length, self._number, self.duration, *rest = columns
        self.width, self.height, self.kind, self.shard = rest

    def __len__(self) -> int:
        return len(self._offset)

    @overload
    def __getitem__(self, index: int) -> Line: ...
    @overload
    def __getitem__(self, index: slice) -> list[Line]: ...

    def __getitem__(self, index: int | slice) -> Line | list[Line]:
        """Read one line, or several as a list."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        if self._pid != os.getpid():  # each reading process opens the files for itself
            self._files = os.open(self.path, os.O_RDONLY), os.open(self._place or self.path, os.O_RDONLY)
            self._pid = os.getpid()
        offset, length, number = self._entry(index % len(self))
        raw = os.pread(self._files[0], length, offset)
        where = f"{self.path}:{number}"
        try:
            return parse_line(raw.decode("utf-8-sig"), self.path.parent, where)
        except (DataError, UnicodeDecodeError) as error:
            raise DataError(f"{where}: {error}; was the manifest changed during the run?") from None

    def _entry(self, index: int) -> tuple[int, int, int]:
        """Return where a line begins, its length, both in bytes, and its number.

        A line of the mapped columns would bring 16 pages of each into memory, lines by chance all of them.
        """
        if self._place is None:
            return int(self._offset[index]), int(self._length[index]), int(self._number[index])
        places = (_HEAD + 8 * (column * len(self) + index) for column in range(3))
        offset, length, number = (int.from_bytes(os.pread(self._files[1], 8, p), "little") for p in places)
        return offset, length, number

    def release(self) -> None:
        """Give the memory of columns that were looked at back to the system; they stay readable."""
        for column in (self.duration, self.width, self.height, self.kind, self.shard):
            mapped = getattr(column, "_mmap", None)
            if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
                mapped.madvise(mmap.MADV_DONTNEED)

    def __del__(self) -> None:
        if getattr(self, "_pid", -1) == os.getpid():
            for file in self._files:
                os.close(file)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the open files out."""
        return self.__dict__ | {"_pid": -1, "_files": (-1, -1)}


class IndexedLines(Sequence[Line]):
    """The lines of several manifests, of which some may be left out; reads like a list of lines.

    Args:
        indexes: of the manifests.

    Attributes:
        indexes: of the manifests.
    """

    def __init__(self, indexes: Sequence[ManifestIndex]) -> None:
        self.indexes = list(indexes)
        self._starts = np.cumsum([0] + [len(index) for index in self.indexes])
        self._left_out = np.zeros(0, np.int64)  # positions in all lines, sorted

    def __len__(self) -> int:
        return int(self._starts[-1]) - len(self._left_out)

    @overload
    def __getitem__(self, index: int) -> Line: ...
    @overload
    def __getitem__(self, index: slice) -> list[Line]: ...

    def __getitem__(self, index: int | slice) -> Line | list[Line]:
        """Read one line, or several as a list."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        place = int(self._positions(index % len(self)))
        part = int(np.searchsorted(self._starts, place, side="right")) - 1
        return self.indexes[part][place - int(self._starts[part])]

    def _positions(self, kept: Any) -> Any:
        """Return positions in all lines of positions in those that were kept."""
        before = self._left_out - np.arange(len(self._left_out))  # lines kept before each that was left out
        return kept + np.searchsorted(before, kept, side="right")

    def column(self, name: str) -> np.ndarray:
        """Return one value per line, (lines,): duration (s, NaN unknown), width, height (pixels), kind (of KINDS).

        ``shard`` numbers the tar shards of all manifests, -1 for lines outside of any.
        """
        columns: list[np.ndarray] = [getattr(index, name) for index in self.indexes]
        if name == "shard" and len(columns) > 1:
            starts = np.cumsum([0] + [int(column.max()) + 1 for column in columns[:-1]])
            columns = [np.where(c < 0, c, c + start) for c, start in zip(columns, starts, strict=True)]
        whole = columns[0] if len(columns) == 1 else np.concatenate(columns)
        return np.delete(whole, self._left_out) if len(self._left_out) else whole

    @property
    def texts(self) -> list[str]:
        """Texts that hold every character of the lines: what an alphabet is taken from."""
        characters = sorted({c for index in self.indexes for c in index.characters})
        visible = [c for c in characters if not c.isspace()]
        return [" ".join(visible)] if len(visible) < len(characters) else visible

    def release(self) -> None:
        """Give the memory of columns that were looked at back to the system; they stay readable."""
        for index in self.indexes:
            index.release()

    def leave_out(self, places: Iterable[int]) -> None:
        """Leave lines out, given their positions here."""
        more = self._positions(np.array(list(places), np.int64))
        self._left_out = np.unique(np.concatenate([self._left_out, more]))


def open_manifests(paths: str | Iterable[str]) -> list[Line] | IndexedLines:
    """Read manifests as one list; those of 100 MiB and more, taken together, through an index.

    Raises:
        DataError, FileNotFoundError: as read_manifest.
    """
    found = [check_manifest(path) for path in ([paths] if isinstance(paths, str | os.PathLike) else paths)]
    if sum(path.stat().st_size for path in found) < LARGE:
        return [line for path in found for line in read_manifest(path)]
    return IndexedLines([ManifestIndex(path) for path in found])


def _places(path: Path) -> list[Path]:
    """Return where the index of a manifest may lie, in the order in which it is looked for."""
    name = hashlib.sha256(os.fsencode(os.path.realpath(path))).hexdigest()[:32]
    return [path.with_name(f".{path.name}.index"), cache_folder() / f"{name}.index"]


def _state(path: Path) -> dict[str, Any]:
    """Return what tells whether an index is that of the manifest as it stands."""
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        digest = hashlib.sha256(file.read(_ENDS))
        file.seek(max(status.st_size - _ENDS, 0))
        digest.update(file.read(_ENDS))
    return {
        "version": _VERSION,
        "manifest": str(path.resolve()),
        "size": status.st_size,
        "mtime_ns": status.st_mtime_ns,
        "ends": digest.hexdigest(),
    }


def _write(place: Path, head: dict[str, Any], columns: Sequence["array[Any]"]) -> None:
    raw = json.dumps(head).encode()
    if len(raw) > _HEAD:
        raise OSError("header too long")
    with replacing(place) as temporary, temporary.open("xb") as file:
        file.write(raw.ljust(_HEAD))
        for column in columns:
            column.tofile(file)
        file.flush()
        os.fsync(file.fileno())


def _usual(row: Any) -> bool:
    """Tell whether a parsed line is one plain recording without a fault; others are looked at more closely."""
    if type(row) is not dict or type(row.get("audio")) is not str or type(row.get("text")) is not str:
        return False
    name, seconds, rate, speaker = row.get("id"), row.get("duration_s"), row.get("sample_rate"), row.get("speaker")
    return (
        type(name) is str
        and name != ""
        and (seconds is None or (type(seconds) is float and 0 <= seconds < 1e9))
        and (rate is None or (type(rate) is int and 0 < rate < 1e9))
        and (speaker is None or type(speaker) is str)
        and "width" not in row
        and "height" not in row
        and _UNUSUAL.isdisjoint(row)
    )


def _build(path: Path) -> tuple[dict[str, Any], list["array[Any]"]]:
    """Read and validate a manifest; returns the header of its index and the columns."""
    columns: list[array[Any]] = [array(code) for _, code, _ in _COLUMNS]
    add_offset, add_length, add_number, add_duration, *add = (column.append for column in columns)
    add_width, add_height, add_kind, add_shard = add
    ids = array("q")
    add_id = ids.append
    characters: set[str] = set()
    texts: list[str] = []
    faults: list[str] = []
    shards: dict[str, int] = {}
    count = offset = number = 0
    scan: Any = json.JSONDecoder().scan_once  # type: ignore[attr-defined]
    digest = hashlib.sha256()
    nan = float("nan")
    with path.open("rb") as file:
        for block in _blocks(file):
            digest.update(b"".join(block))
            for raw in block:
                number += 1
                begin, offset = offset, offset + len(raw)
                try:
                    text = raw.decode().rstrip()
                    row, end = scan(text, 0)
                    usual = end == len(text) and _usual(row)
                except (ValueError, StopIteration, RecursionError):
                    usual = False
                if usual:
                    name, words, seconds, width, height, kind = row["id"], row["text"], row.get("duration_s"), 0, 0, 0
                    medium = row["audio"]
                else:
                    if not raw.strip():
                        continue
                    try:
                        line = parse_line(raw.decode("utf-8-sig"), path.parent, "")
                    except (DataError, UnicodeDecodeError) as error:
                        count += 1
                        if len(faults) < MAX_FAULTS:
                            fault = "not UTF-8" if isinstance(error, UnicodeDecodeError) else error
                            faults.append(f"{path}:{number}: {fault}")
                        continue
                    name, words, seconds = line.id, line.text, line.duration_s
                    width, height, kind = line.width or 0, line.height or 0, KINDS.index(line.kind)
                    medium = str(line.files[0]) if line.files else ""
                texts.append(words)
                add_id(hash(name))
                add_offset(begin)
                add_length(len(raw))
                add_number(number)
                add_duration(nan if seconds is None else seconds)
                add_width(width)
                add_height(height)
                add_kind(kind)
                member = member_of(medium) if ".tar@" in medium else None
                add_shard(shards.setdefault(member.tar, len(shards)) if member else -1)
            characters.update(unicodedata.normalize("NFC", "\0".join(texts)))
            texts.clear()
    characters.discard("\0")  # it only keeps texts apart
    repeated = _repeated(path, np.frombuffer(ids, np.int64), columns)
    faults = (faults + repeated)[:MAX_FAULTS]
    refuse_faults(path, faults, count + len(repeated), len(ids))
    head = {"lines": len(ids), "size": offset, "sha256": digest.hexdigest(), "characters": "".join(sorted(characters))}
    return head, columns


def _blocks(file: Any) -> Iterator[list[bytes]]:
    while block := cast(list[bytes], file.readlines(2**18)):
        yield block


def _repeated(path: Path, hashes: np.ndarray, columns: Sequence["array[Any]"]) -> list[str]:
    """Name lines whose id stands already in an earlier one; only ids of equal hash are read again."""
    order = np.argsort(hashes, kind="stable")
    same = np.flatnonzero(hashes[order[1:]] == hashes[order[:-1]])
    offsets, lengths, numbers = columns[:3]
    faults: list[tuple[int, str]] = []
    seen: dict[str, int] = {}
    with path.open("rb") as file:
        for place in sorted({int(order[i + k]) for i in same for k in (0, 1)}):
            file.seek(offsets[place])
            name = json.loads(file.read(lengths[place]).decode("utf-8-sig"))["id"]
            number = numbers[place]
            if name in seen:
                message = f"{path}:{number}: id {name!r} stands already in line {seen[name]}; ids must be unique"
                faults.append((number, message))
            seen.setdefault(name, number)
    return [message for _, message in sorted(faults)]
