"""Tar shards as manifests: a list of their lines, made from headers and texts once, whose media are members.

    a-1.flac  a-1.json {"text": "one two", "speaker": "a"}  a-2.flac  a-2.txt  ...

Members whose names are equal up to the first dot of the last part are one line and stand side by side, as in
webdataset (https://github.com/webdataset/webdataset). The text is ``text``, ``transcript`` or ``transcription`` of
key.json, or key.txt with its white space joined; key.txt of an image has one line. Further fields of key.json are those
of a manifest's line. Fields such as ``audio`` may name any member of the same shard, as those of seqlab prepare do;
without one, the line has the medium of its key. A line without ``id`` is called SHARD/KEY.
"""

import hashlib
import json
import logging
import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from glob import glob, has_magic
from pathlib import Path
from typing import Any, BinaryIO

from seqlab.errors import DataError
from seqlab.files import atomic_write, cache_folder
from seqlab.manifest import MAX_FAULTS, MEDIA, parse_line
from seqlab.media._files import Member
from seqlab.media._tar import Entry, entries
from seqlab.media.audio import audio_info
from seqlab.media.image import IMAGE_SUFFIXES, image_size

KINDS = {
    "audio": (
        *(".wav", ".flac", ".ogg", ".mp3", ".opus", ".aiff", ".aif", ".au", ".sph"),
        *(".m4a", ".mp4", ".webm", ".aac", ".wma", ".amr"),
    ),
    "image": IMAGE_SUFFIXES,
    "features": (".npy", ".npz"),
    "strokes": (".xml", ".inkml", ".unp", ".unipen"),
}
MAX_TEXT = 16 * 2**20  # bytes of one key.json or key.txt
MAX_SHARDS = 1_000_000
_VERSION = 2
_RANGE = re.compile(r"\{([^{}]*)\}")
_log = logging.getLogger(__name__)


def expand(pattern: str) -> list[Path]:
    """Return the shards that a pattern means: train-{000000..000063}.tar, train-{a,b}.tar, train-*.tar or one path.

    Raises:
        DataError: a range is none, or it means more than a million shards.
        FileNotFoundError: shards are missing.
    """
    names = [pattern]
    while match := _RANGE.search(names[0]):
        ends = match[1].split("..")
        if len(ends) == 2 and all(end.isascii() and end.isdigit() for end in ends) and int(ends[0]) <= int(ends[1]):
            first, last = map(int, ends)
            if (last - first + 1) * len(names) > MAX_SHARDS:
                raise DataError(f"{pattern} means more than {MAX_SHARDS:,} shards")
            words = [str(n).zfill(len(ends[0])) for n in range(first, last + 1)]
        elif "," in match[1]:
            words = match[1].split(",")
        else:
            raise DataError(f"{pattern}: {match[0]} is no range; write {{000000..000063}}")
        if len(words) * len(names) > MAX_SHARDS:
            raise DataError(f"{pattern} means more than {MAX_SHARDS:,} shards")
        names = [name.replace(match[0], word, 1) for name in names for word in words]
    paths = [p for name in names for p in (sorted(glob(name)) if has_magic(name) else [name])]
    missing = [p for p in paths if not os.path.exists(p)]
    if missing or not paths:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise FileNotFoundError(f"shard(s) not found: {', '.join(missing[:5]) or pattern}{more}")
    return [Path(os.path.abspath(p)) for p in paths]


def shard_list(pattern: str) -> Path:
    """Return the manifest of the lines of shards, in the order of the shards; it is made anew when one has changed.

    It lies beside the first shard (``.NAME-....jsonl``), or in the user's cache folder where that cannot be written.
    Recordings and images without a length or size in key.json get it from their headers.

    Args:
        pattern: as for expand.

    Raises:
        DataError: shards or lines are faulty; the message names up to 20 of them.
        FileNotFoundError: shards are missing.
    """
    shards = expand(pattern)
    states = [(str(p), status.st_size, status.st_mtime_ns) for p in shards for status in (p.stat(),)]
    series = hashlib.sha256(json.dumps([str(p) for p in shards]).encode()).hexdigest()[:8]
    state = hashlib.sha256(json.dumps([_VERSION, states]).encode()).hexdigest()[:16]
    name = f".{shards[0].stem[:60]}-{series}-{state}.jsonl"
    places = [shards[0].with_name(name), cache_folder() / name]
    for place in places:
        if place.is_file():
            return place
    for place in places[:-1]:
        try:
            return _write(place, shards)
        except DataError:
            raise
        except OSError:
            continue
    return _write(places[-1], shards)


def _write(place: Path, shards: list[Path]) -> Path:
    faults: list[str] = []
    count = 0
    last = time.monotonic()
    with atomic_write(place) as file:
        for number, shard in enumerate(shards):
            for row in _lines(shard, faults):
                file.write(row + "\n")
                count += 1
            if len(faults) >= MAX_FAULTS:
                break
            if time.monotonic() - last > 10:
                last = time.monotonic()
                _log.info("%d of %d shards looked through, %d lines", number + 1, len(shards), count)
        if faults:
            more = f"\nlooking stopped after {MAX_FAULTS}" if len(faults) >= MAX_FAULTS else ""
            raise DataError(f"{len(faults)} fault(s) in tar shards:\n" + "\n".join(faults) + more)
        if not count:
            raise DataError(f"{shards[0]} holds no line: it needs members such as a-1.flac and a-1.txt or a-1.json")
    series, _, state = place.stem.rpartition("-")
    for old in place.parent.iterdir():  # lists of the shards as they were, and indexes of these
        if old.name.lstrip(".").startswith(f"{series[1:]}-") and state not in old.name:
            with suppress(OSError):
                old.unlink()
    _log.info("%d lines in %d shard(s), listed in %s", count, len(shards), place)
    return place


def _lines(shard: Path, faults: list[str]) -> Iterator[str]:
    """Yield the lines of a shard as JSON; faults are added to the list."""
    media: dict[str, Entry] = {}
    seen: set[str] = set()
    key: str | None = None
    group: dict[str, Entry] = {}

    def line() -> str | None:
        try:
            return _line(file, shard, str(key), group, media)
        except DataError as error:
            faults.append(f"{shard}, {key}: {error}")
        return None

    try:
        with shard.open("rb") as file:
            for entry in entries(file, shard):
                folder, _, base = entry.name.rpartition("/")
                stem, dot, suffix = base.partition(".")
                if not stem or not dot:  # as webdataset does: .DS_Store, README
                    continue
                name = f"{folder}/{stem}" if folder else stem
                if name != key:
                    if group and (row := line()):
                        yield row
                    if name in seen:
                        faults.append(f"{shard}, {name}: stands twice, or its members are apart; make the shard anew")
                    key, group = name, {}
                    seen.add(name)
                suffix = suffix.lower()
                if suffix in group:
                    faults.append(f"{shard}, {name}: has two members .{suffix}; keep one and make the shard anew")
                group[suffix] = media[entry.name] = entry
                if len(faults) >= MAX_FAULTS:
                    return
            if group and (row := line()):
                yield row
    except DataError as error:
        faults.append(str(error))


def _line(file: BinaryIO, shard: Path, key: str, group: dict[str, Entry], media: dict[str, Entry]) -> str:
    """Return one line as JSON. Raises DataError for its faults, without its name."""
    row: dict[str, Any] = {}
    if "json" in group:
        text = _text(file, group["json"])
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DataError(f"its json is not JSON ({error}); write it anew") from None
        if not isinstance(found, dict):
            raise DataError('its json must be an object like {"text": "one two"}')
        row = found

    def path(entry: Entry) -> str:
        return Member(str(shard), entry.offset, entry.size, entry.name.rpartition("/")[2]).path()

    strange = []
    for kind in MEDIA:
        value = row.get(kind)
        if isinstance(value, str) and value in media:
            row[kind] = path(media[value])
        elif kind == "parts" and isinstance(value, list) and all(isinstance(v, str) and v in media for v in value):
            row[kind] = [path(media[v]) for v in value]
        elif value is not None and not (kind == "strokes" and isinstance(value, list)):
            strange.append(f"{kind} {str(row.pop(kind))[:80]!r}")  # as other tools write it: where it once lay
    if not any(row.get(kind) for kind in MEDIA):
        own = [(kind, e) for kind, ends in KINDS.items() for s, e in group.items() if f".{s}".endswith(ends)]
        if len(own) != 1:
            has = ", ".join(e.name for _, e in own) or " and ".join(["none", *(f"{s} is no member" for s in strange)])
            raise DataError(
                f'needs one recording, image, array or ink, has {has}; name one in its json, as "audio": "NAME"'
            )
        row[own[0][0]] = path(own[0][1])
    if row.get("text") is None:
        other = row.get("transcript", row.get("transcription"))
        if other is None and "txt" in group:
            other = one_line(_text(file, group["txt"]), bool(row.get("image")), group["txt"].name)
        row["text"] = other
    if row["text"] is None:
        raise DataError(f'has no text: needs {key}.txt, or "text" or "transcript" in {key}.json')
    if not isinstance(row.get("id"), str) or not row["id"]:
        row["id"] = f"{shard.stem}/{key}"
    _measure(row)
    try:
        raw = json.dumps(row)
        parse_line(raw, shard.parent, "")
    except RecursionError:
        raise DataError("its json is nested too deeply; write it anew") from None
    return raw


def one_line(text: str, image: bool, where: str) -> str:
    """Return the text of a file that holds nothing else, white space joined: no line break is a symbol.

    Args:
        text: of the file.
        image: it belongs to a line image, which shows one line.
        where: the file's name, for messages.

    Raises:
        DataError: several lines of text belong to a line image.
    """
    rows = text.strip().splitlines()
    if image and len(rows) > 1:
        raise DataError(f"{where}: {len(rows)} lines of text for one line image; leave one")
    return " ".join(text.split())


def _text(file: BinaryIO, entry: Entry) -> str:
    if entry.size > MAX_TEXT:
        raise DataError(f"{entry.name} has {entry.size} bytes; a text of a line has {MAX_TEXT >> 20} MiB at most")
    try:
        return os.pread(file.fileno(), entry.size, entry.offset).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{entry.name} is not UTF-8; write it anew") from None


def _measure(row: dict[str, Any]) -> None:
    """Add length or size, so that no header is read again; a broken file is named when its line is looked at."""
    try:
        if row.get("audio") and row.get("duration_s") is None and row.get("spans") is None:
            info = audio_info(row["audio"])
            row["duration_s"], row["sample_rate"] = info.duration, info.sample_rate
        elif row.get("image") and (row.get("width") is None or row.get("height") is None):
            row["width"], row["height"] = image_size(row["image"])
    except DataError:
        pass
