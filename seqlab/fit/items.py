"""Media and their texts as people keep them, before they are lines of a manifest."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seqlab.corpora._common import manifest_path, some
from seqlab.corpora._images import read_sizes, stop
from seqlab.corpora._speech import Utterance, speech_lines
from seqlab.errors import DataError
from seqlab.manifest import Line

MAX_FAULTY = 0.2  # share of recordings that may be missing or broken before data counts as misunderstood
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Item:
    """A medium and its text, before anybody opened the medium."""

    id: str
    text: str
    path: Path
    speaker: str | None = None
    start: float = 0.0
    end: float | None = None
    where: str = ""
    extra: dict[str, Any] = field(default_factory=dict)


def to_lines(kind: str, parts: Mapping[str, list[Item]], out: Path) -> dict[str, list[Line]]:
    """Make manifest lines of items of one kind; items without text are left out and counted.

    Raises:
        DataError: ids stand twice, media are missing or broken, or nothing is left.
    """
    if kind == "audio":
        utterances = {
            part: [Utterance(i.id, i.text, i.path, i.speaker, i.start, i.end, i.where, i.extra) for i in items]
            for part, items in parts.items()
        }
        return speech_lines("fit", utterances, out, MAX_FAULTY, "Put the recordings where their names say", None)
    spans = [i for items in parts.values() for i in items if i.start or i.end is not None]
    stop([f"{i.where}: start and end are for recordings alone" for i in spans], "fit")
    empty = [item.id for items in parts.values() for item in items if not item.text]
    if empty:
        _log.warning("fit: %d line(s) left out, the text is empty: %s", len(empty), some(empty))
    lines: dict[str, list[Line]] = {}
    for part, items in parts.items():
        items = [item for item in items if item.text]
        stop([f"{i.where}: {i.path} not found" for i in items if not i.path.is_file()], "fit")
        lines[part] = [_line(kind, item, out) for item in items]
        if kind == "image":
            sizes = read_sizes([item.path for item in items], "fit")
            for line, (width, height) in zip(lines[part], sizes, strict=True):
                line.width, line.height = width, height
    if not any(lines.values()):
        raise DataError("fit: every text is empty, there is nothing to learn from")
    return lines


def _line(kind: str, item: Item, out: Path) -> Line:
    medium: dict[str, Any] = {kind: manifest_path(item.path, out)}
    return Line(id=item.id, text=item.text, speaker=item.speaker, extra=item.extra, where=item.where, **medium)
