"""Write the lines of a manifest and their media into tar shards, and a manifest that names the members."""

import heapq
import json
import logging
import os
import random
import re
import shutil
import tarfile
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from seqlab.errors import ConfigError, DataError
from seqlab.files import replacing
from seqlab.manifest import MAX_FAULTS, Line, line_to_row, write_manifest
from seqlab.manifest_index import IndexedLines
from seqlab.media import file_stamp
from seqlab.media._files import BLOCK, Member, check_file, member_of, open_file
from seqlab.media._tar import entries

_END = 10240  # what tar rounds the size of a file up to
_LARGEST = 8**11 - 1  # bytes, and seconds since 1970, that a header can say
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Content:
    """A member to be written: what lies in it, a file or bytes."""

    name: str
    size: int
    time: int
    source: str | bytes


@dataclass(slots=True)
class _Shard:
    """A shard to be written: the numbers of its lines in order, and its bytes without the end."""

    path: Path
    lines: "array[int]" = field(default_factory=lambda: array("q"))
    size: int = 0


def write_shards(lines: Sequence[Line], name: str, folder: Path, count: int) -> Path:
    """Write lines with their media into <folder>/<name>-000000.tar and on, and the manifest <folder>/<name>.jsonl.

    Members are KEY.SUFFIX, the media as they are to the byte, then KEY.json with the fields of the line; a recording
    that several lines use is stored once, as those lines go to the same shard. Lines are spread by chance, always the
    same, so that shards have about the same size; the manifest keeps their order. Shards are written whole or not at
    all; those that stand there already and hold what they should are left as they are.

    Args:
        lines: of a manifest.
        name: of the part, for instance train.
        folder: where shards and manifest go.
        count: of shards.

    Returns:
        The manifest of the members.

    Raises:
        DataError: there are fewer lines than shards, media are missing, shards of another division lie there, or the
            disk has too little room.
        OSError: a shard could not be written.
    """
    stamps = _stamps(lines)
    places = [folder / f"{name}-{number:06d}.tar" for number in range(count)]
    others = sorted(set(folder.glob(f"{name}-[0-9][0-9][0-9][0-9][0-9][0-9].tar")) - set(places))
    if others:
        raise DataError(
            f"{others[0]} is of a division into more than {count} shards; remove the old shards of {name} in {folder}"
        )
    layout = _Layout(lines, stamps, _plan(lines, stamps, places))
    todo = [shard for shard in layout.shards if not _whole(shard.path, layout.members(shard))]
    needed = sum(shard.size + _END for shard in todo)
    folder.mkdir(parents=True, exist_ok=True)
    if needed > (free := shutil.disk_usage(folder).free):
        raise DataError(
            f"{folder}: {len(todo)} shard(s) of {name} need {needed / 2**30:.2f} GiB, the disk has {free / 2**30:.2f} "
            "GiB left; make room or prepare into another folder"
        )
    for number, shard in enumerate(todo):
        _log.info("%s (%d of %d, %.0f MiB)", shard.path, number + 1, len(todo), shard.size / 2**20)
        _write(shard.path, layout.members(shard))
    manifest = folder / f"{name}.jsonl"
    write_manifest(manifest, (_with(line, layout.places[index]) for index, line in enumerate(lines)))
    return manifest


def shards_of(lines: Sequence[Line]) -> np.ndarray:
    """Return the number of the tar shard of every line, (lines,), from 0.

    Raises:
        ConfigError: a line lies outside of shards.
    """
    if isinstance(lines, IndexedLines):
        shards = lines.column("shard")
    else:
        numbers: dict[str, int] = {}
        tars = [member.tar if line.files and (member := member_of(line.files[0])) else None for line in lines]
        shards = np.array([-1 if tar is None else numbers.setdefault(tar, len(numbers)) for tar in tars], np.int32)
    if (outside := np.flatnonzero(shards < 0)).size:
        line = lines[int(outside[0])]
        raise ConfigError(
            f"data.shuffle_window is for tar shards, and {line.where} {line.id} is no line of one; leave it out, or "
            "make shards with seqlab prepare shards=N"
        )
    return shards


def _stamps(lines: Sequence[Line]) -> dict[str, tuple[int, int]]:
    """Return size and seconds of change of all media; those that are missing or no files are named together.

    A time that a header cannot say becomes the nearest that it can.
    """
    stamps: dict[str, tuple[int, int]] = {}
    faults: list[str] = []
    count = 0
    for line in lines:
        for path in line.files:
            if str(path) in stamps:
                continue
            try:
                member = member_of(path)
                check_file(member.tar if member else path, line.kind)
                size, changed = file_stamp(path)
                if size > _LARGEST:
                    raise DataError(f"{path} has more than 8 GiB, which no member of a shard may have; cut it up")
                stamps[str(path)] = size, min(max(changed // 10**9, 0), _LARGEST)
            except (DataError, FileNotFoundError) as error:
                count += 1
                if count <= MAX_FAULTS:
                    faults.append(f"{line.where}: {error}")
    if count:
        more = f"\n... and {count - len(faults)} more" if count > len(faults) else ""
        raise DataError(f"{count} file(s) cannot be put into shards:\n" + "\n".join(faults) + more)
    return stamps


def _plan(lines: Sequence[Line], stamps: dict[str, tuple[int, int]], places: list[Path]) -> list[_Shard]:
    """Share lines out among shards of about the same size; those that share their (first) recording stay together."""
    first: dict[str, int] = {}
    group_of = array("q")
    weights = array("q")
    more: dict[int, set[str]] = {}  # recordings of groups that have several
    for line in lines:
        files = {str(path) for path in line.files}
        name = str(line.files[0]) if files else ""
        group = first.setdefault(name, len(weights)) if name else len(weights)
        if group == len(weights):
            weights.append(0)
        seen = more.get(group, {name} if weights[group] else set())
        weights[group] += sum(stamps[path][0] for path in files - seen) + 2 * BLOCK
        if len(files | seen) > 1:
            more[group] = files | seen
        group_of.append(group)
    del first, more
    if len(weights) < len(places):
        raise DataError(
            f"{len(weights)} recording(s) cannot be spread over {len(places)} shards; give a smaller shards"
        )
    order = list(range(len(weights)))
    random.Random(0).shuffle(order)
    lightest = [(0, number) for number in range(len(places))]
    owners = np.zeros(len(order), np.int32)
    for group in sorted(order, key=lambda group: -weights[group]):  # the heaviest first, each to the lightest
        weight, owners[group] = lightest[0]
        heapq.heapreplace(lightest, (weight + weights[group], int(owners[group])))
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order))
    shards = [_Shard(path) for path in places]
    for index in np.argsort(ranks[group_of], kind="stable").tolist():
        shards[owners[group_of[index]]].lines.append(index)
    return shards


def _keys(lines: Sequence[Line]) -> list[str]:
    """Return names that are safe in any file system, without dots, and unique even where case does not count."""
    keys = []
    seen: set[str] = set()
    for index, line in enumerate(lines):
        key = re.sub(r"[^A-Za-z0-9_-]", "_", line.id)[:60]
        if key != line.id or key.lower() in seen:
            key += f"-n{index}"
        while key.lower() in seen:
            key += "_"
        seen.add(key.lower())
        keys.append(key)
    return keys


class _Layout:
    """Where lines go in shards, to the byte. Members are made when they are asked for: there may be millions.

    Attributes:
        places: paths of the members of every line's files.
    """

    def __init__(self, lines: Sequence[Line], stamps: dict[str, tuple[int, int]], shards: list[_Shard]) -> None:
        self.lines, self.stamps, self.shards = lines, stamps, shards
        self.keys = _keys(lines)
        self.places: list[tuple[str, ...]] = [()] * len(lines)
        for shard in shards:
            shard.size = sum(BLOCK + _padded(content.size) for content in self.members(shard))

    def members(self, shard: _Shard) -> Iterator[_Content]:
        """Yield the members of a shard in order, and take note of their places."""
        offset = BLOCK
        stored: dict[str, tuple[str, str]] = {}  # member's name and path of each recording of lines that share one
        begin = None
        for index in shard.lines:
            line, key = self.lines[index], self.keys[index]
            files = [str(path) for path in line.files]
            if not files or files[0] != begin:
                stored, begin = {}, files[0] if files else None
            for number, path in enumerate(files):
                if path in stored:
                    continue
                suffix = Path(path).suffix[1:].lower()
                plain = re.fullmatch("[a-z0-9]{1,8}", suffix) and suffix != "json"
                ending = suffix if plain else line.kind
                name = f"{key}.{number}.{ending}" if line.parts is not None else f"{key}.{ending}"
                content = _Content(name, *self.stamps[path], path)
                stored[path] = name, Member(shard.path.name, offset, content.size, name).path()
                offset += BLOCK + _padded(content.size)
                yield content
            self.places[index] = tuple(stored[path][1] for path in files)
            row = line_to_row(_with(line, [stored[path][0] for path in files]))
            raw = json.dumps(row, ensure_ascii=False).encode("utf-8", "backslashreplace")
            offset += BLOCK + _padded(len(raw))
            yield _Content(f"{key}.json", len(raw), 0, raw)


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _with(line: Line, files: Sequence[str]) -> Line:
    """Return a line with other paths of its media."""
    if line.parts is not None:
        return replace(line, parts=list(files))
    changes: dict[str, Any] = {line.kind: files[0]} if files else {}
    return replace(line, **changes)


def _whole(path: Path, members: Iterable[_Content]) -> bool:
    """Tell whether a shard stands there with the very members that it should have."""
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            for there, wanted in zip(entries(file, path), members, strict=True):
                same = (there.name, there.size, there.time) == (wanted.name, wanted.size, wanted.time)
                text = wanted.source if isinstance(wanted.source, bytes) else None
                if not same or (text is not None and os.pread(file.fileno(), there.size, there.offset) != text):
                    raise DataError("of other lines")
    except ValueError:  # DataError, or more or fewer members
        _log.warning("%s holds other lines or media than the manifest names now; it is written anew", path)
        return False
    return True


def _write(path: Path, members: Iterable[_Content]) -> None:
    with replacing(path) as temporary, temporary.open("xb") as file:
        for content in members:
            info = tarfile.TarInfo(content.name)
            info.size, info.mtime, info.mode = content.size, content.time, 0o644
            file.write(info.tobuf(tarfile.USTAR_FORMAT))
            _copy(content, file)
            file.write(bytes(-content.size % BLOCK))
        file.write(bytes(2 * BLOCK + -(file.tell() + 2 * BLOCK) % _END))
        file.flush()
        os.fsync(file.fileno())  # a full disk may show only here


def _copy(content: _Content, file: BinaryIO) -> None:
    if isinstance(content.source, bytes):
        file.write(content.source)
        return
    begin = file.tell()
    with open_file(content.source, "media") as source:
        shutil.copyfileobj(source, file, 2**20)
    if file.tell() - begin != content.size:
        raise DataError(f"{content.source} was changed while it was copied; begin again when it is whole")
