"""Text files beside the media: a.txt, a.lab or a.gt.txt beside a.wav, or LibriSpeech's lists of many texts.

A list <any>.trans.txt has rows ID TEXT and lies beside ID.flac.
"""

import logging
from pathlib import Path

from seqlab.corpora._common import some
from seqlab.corpora._images import stop
from seqlab.corpora.table import ALIASES
from seqlab.errors import DataError
from seqlab.fit.items import Item, to_lines
from seqlab.manifest import Line
from seqlab.media.kinds import kind_of
from seqlab.media.shards import one_line

TEXT_SUFFIXES = (".gt.txt", ".txt", ".lab")
_MOST_TEXT = 100_000  # bytes of a text file, of a list fifty times as many
_log = logging.getLogger(__name__)


def find_pairs(folder: Path, files: list[Path]) -> dict[str, list[tuple[Path, Path]]]:
    """Match media with text files beside them; returns (medium, text file) by kind.

    Args:
        folder: for messages.
        files: all files below it.

    Raises:
        DataError: a text could belong to several media of one kind.
    """
    by_base: dict[Path, list[Path]] = {}
    for path in files:
        if kind_of(path):
            by_base.setdefault(path.with_suffix(""), []).append(path)
    pairs: dict[str, dict[Path, Path]] = {}
    faults = []
    for suffix in TEXT_SUFFIXES:
        for text in files:
            if not text.name.endswith(suffix) or (suffix == ".txt" and text.name.endswith((".gt.txt", ".trans.txt"))):
                continue
            media = by_base.get(text.with_name(text.name.removesuffix(suffix)), [])
            if any(kind_of(path) != "strokes" for path in media):  # .xml and .json beside them are notes
                media = [path for path in media if path.suffix.lower() not in (".xml", ".json")]
            kinds = {str(kind_of(path)): path for path in media}
            if len(kinds) < len(media):
                faults.append(f"{text}: {some([m.name for m in media])} could be meant; leave one")
                continue
            for kind, path in kinds.items():
                pairs.setdefault(kind, {}).setdefault(path, text)
    for text in files:
        if not text.name.endswith(".trans.txt"):
            continue
        for row in _read(text).splitlines():
            name = row.split(maxsplit=1)[0] if row.strip() else ""
            if "/" in name or "\\" in name:
                raise DataError(f"{text}: {name[:80]!r} is no name of a recording")
            for path in by_base.get(text.with_name(name), []) if name else []:
                if kind_of(path) == "audio":
                    pairs.setdefault("audio", {}).setdefault(path, text)
    stop(faults, f"fit: {folder}")
    return {kind: sorted(found.items()) for kind, found in pairs.items()}


def pair_lines(kind: str, pairs: list[tuple[Path, Path]], folder: Path, out: Path) -> dict[str, list[Line]]:
    """Read the texts of pairs; sub-folders train, dev (val, valid) and test are parts, everything else is part ""."""
    parts: dict[str, list[Item]] = {}
    lists: dict[Path, dict[str, str]] = {}
    faults = []
    for path, text_path in pairs:
        speaker = None
        if text_path.name.endswith(".trans.txt"):
            if text_path not in lists:
                rows = [row.split(maxsplit=1) for row in _read(text_path).splitlines() if row.strip()]
                lists[text_path] = {row[0]: row[1].strip() if len(row) > 1 else "" for row in rows}
            text = lists[text_path].get(path.stem, "")
            if path.stem.startswith(f"{path.parent.parent.name}-{path.parent.name}-"):
                speaker = path.parent.parent.name  # <speaker>/<chapter>/<speaker>-<chapter>-<number>
        else:
            text = _read(text_path)
        try:
            text = one_line(text, kind == "image", str(text_path))
        except DataError as error:
            faults.append(str(error))
        below = path.relative_to(folder)
        top = ALIASES.get(below.parts[0].lower(), "") if len(below.parts) > 1 else ""
        extra = {"folder": below.parent.as_posix()}
        name = below.with_suffix("").as_posix()
        parts.setdefault(top, []).append(Item(name, text, path, speaker, where=str(text_path), extra=extra))
    stop(faults, "fit")
    if "" in parts and "train" not in parts:  # a stray folder test is no division
        parts = {"": [item for items in parts.values() for item in items]}
    if "" in parts and len(parts) > 1:
        outside = [item.id for item in parts.pop("")]
        _log.warning("fit: %d pair(s) left out, beside train, dev and test: %s", len(outside), some(outside))
    return to_lines(kind, parts, out)


def _read(path: Path) -> str:
    """Read a small text file."""
    most = _MOST_TEXT * (50 if path.name.endswith(".trans.txt") else 1)
    with path.open("rb") as file:
        raw = file.read(most + 1)
    if len(raw) > most:
        raise DataError(f"{path} has more than {most} bytes: it is no transcript")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 (byte {error.start}); save it as UTF-8") from None
