"""Write the lines of a manifest and their media into tar shards, and a manifest that names the members."""

import heapq
import json
import logging
import os
import random
import re
import shutil
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from seqlab.errors import ConfigError, DataError
from seqlab.files import replacing
from seqlab.manifest import MAX_FAULTS, Line, line_to_row, write_manifest
from seqlab.manifest_index import IndexedLines
from seqlab.media import file_stamp
from seqlab.media._files import BLOCK, Member, check_file, member_of, open_file
from seqlab.media._tar import entries

_END = 10240  # what tar rounds the size of a file up to
_LARGEST = 8**11 - 1  # bytes that the size field of a header can say
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Content:
    """A member to be written: what lies in it, a file or bytes."""

    name: str
    size: int
    time: int
    source: Path | bytes


@dataclass(slots=True)
class _Shard:
    """A shard to be written: its members, and the bytes of it so far."""

    path: Path
    members: list[_Content] = field(default_factory=list)
    size: int = 0

    def add(self, content: _Content) -> str:
        """Add a member; returns its path, relative to the shard's folder."""
        place = Member(self.path.name, self.size + BLOCK, content.size, content.name).path()
        self.members.append(content)
        self.size += BLOCK + -(-content.size // BLOCK) * BLOCK
        return place


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
    shards, named = _plan(lines, stamps, places)
    todo = [shard for shard in shards if not _whole(shard)]
    needed = sum(shard.size + _END for shard in todo)
    folder.mkdir(parents=True, exist_ok=True)
    if needed > (free := shutil.disk_usage(folder).free):
        raise DataError(
            f"{folder}: {len(todo)} shard(s) of {name} need {needed / 2**30:.2f} GiB, the disk has {free / 2**30:.2f} "
            "GiB left; make room or prepare into another folder"
        )
    for number, shard in enumerate(todo):
        _log.info("%s (%d of %d, %.0f MiB)", shard.path, number + 1, len(todo), shard.size / 2**20)
        _write(shard)
    manifest = folder / f"{name}.jsonl"
    write_manifest(manifest, named)
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


def _stamps(lines: Sequence[Line]) -> dict[Path, tuple[int, int]]:
    """Return size and seconds of change of all media; those that are missing or no files are named together."""
    stamps: dict[Path, tuple[int, int]] = {}
    faults: list[str] = []
    count = 0
    for line in lines:
        for path in line.files:
            if path in stamps:
                continue
            try:
                member = member_of(path)
                check_file(member.tar if member else path, line.kind)
                size, changed = file_stamp(path)
                if size > _LARGEST:
                    raise DataError(f"{path} has more than 8 GiB, which no member of a shard may have; cut it up")
                stamps[path] = size, changed // 10**9
            except (DataError, FileNotFoundError) as error:
                count += 1
                if count <= MAX_FAULTS:
                    faults.append(f"{line.where}: {error}")
    if count:
        more = f"\n... and {count - len(faults)} more" if count > len(faults) else ""
        raise DataError(f"{count} file(s) cannot be put into shards:\n" + "\n".join(faults) + more)
    return stamps


def _plan(
    lines: Sequence[Line], stamps: dict[Path, tuple[int, int]], places: list[Path]
) -> tuple[list[_Shard], list[Line]]:
    """Lay out the shards to the byte; returns them and the lines with paths of members."""
    together: dict[Path | int, list[int]] = {}  # lines that share their (first) recording
    for index, line in enumerate(lines):
        together.setdefault(line.files[0] if line.files else index, []).append(index)
    groups = list(together.values())
    if len(groups) < len(places):
        raise DataError(f"{len(groups)} recording(s) cannot be spread over {len(places)} shards; give a smaller shards")
    random.Random(0).shuffle(groups)
    weights = [
        sum(stamps[path][0] for path in {p for i in group for p in lines[i].files}) + 2 * BLOCK * len(group)
        for group in groups
    ]
    lightest = [(0, number) for number in range(len(places))]
    owners = [0] * len(groups)
    for index in sorted(range(len(groups)), key=lambda i: -weights[i]):  # the heaviest first, each to the lightest
        weight, owners[index] = lightest[0]
        heapq.heapreplace(lightest, (weight + weights[index], owners[index]))
    shards = [_Shard(path) for path in places]
    named: list[Line | None] = [None] * len(lines)
    keys = _keys(lines)
    for group, owner in zip(groups, owners, strict=True):
        stored: dict[Path, tuple[str, str]] = {}  # member's name and path of each recording
        for index in group:
            named[index] = _add(shards[owner], lines[index], keys[index], stamps, stored)
    return shards, [line for line in named if line is not None]


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


def _add(
    shard: _Shard, line: Line, key: str, stamps: dict[Path, tuple[int, int]], stored: dict[Path, tuple[str, str]]
) -> Line:
    """Add the members of a line to a shard; returns the line with paths of members."""
    files = line.files
    for number, path in enumerate(files):
        if path not in stored:
            suffix = path.suffix[1:].lower()
            plain = re.fullmatch("[a-z0-9]{1,8}", suffix) and suffix != "json"
            ending = suffix if plain else line.kind
            name = f"{key}.{number}.{ending}" if line.parts is not None else f"{key}.{ending}"
            stored[path] = name, shard.add(_Content(name, *stamps[path], path))
    row, member = line_to_row(line), line_to_row(line)
    if line.parts is not None:
        row["parts"], member["parts"] = ([stored[p][which] for p in files] for which in (0, 1))
    elif files:
        field_name = line.kind
        row[field_name], member[field_name] = stored[files[0]]
    raw = json.dumps(row, ensure_ascii=False).encode("utf-8", "backslashreplace")
    shard.add(_Content(f"{key}.json", len(raw), 0, raw))
    extra = {name: member[name] for name in line.extra}
    known = {name: value for name, value in member.items() if name not in extra}
    return Line(**known, extra=extra, root=shard.path.parent)


def _whole(shard: _Shard) -> bool:
    """Tell whether a shard stands there with the very members that it should have."""
    if not shard.path.is_file():
        return False
    try:
        with shard.path.open("rb") as file:
            for there, wanted in zip(entries(file, shard.path), shard.members, strict=True):
                same = (there.name, there.size, there.time) == (wanted.name, wanted.size, wanted.time)
                text = wanted.source if isinstance(wanted.source, bytes) else None
                if not same or (text is not None and os.pread(file.fileno(), there.size, there.offset) != text):
                    raise DataError("of other lines")
    except ValueError:  # DataError, or more or fewer members
        _log.warning("%s holds other lines or media than the manifest names now; it is written anew", shard.path)
        return False
    return True


def _write(shard: _Shard) -> None:
    with replacing(shard.path) as temporary, temporary.open("xb") as file:
        for content in shard.members:
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
