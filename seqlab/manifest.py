"""Manifests: JSON lines, one utterance or text line each. Read, write and validate them.

    {"id": "a-1", "audio": "audio/a-1.flac", "text": "one two", "speaker": "a", "sample_rate": 16000, "duration_s": 1.5}
    {"id": "b-1", "parts": ["audio/1.flac", "audio/2.flac"], "silence_ms": [80, 40, 100], "text": "one two"}
    {"id": "c-1", "image": "images/c-1.png", "text": "one two", "writer": "c", "width": 900, "height": 64}
    {"id": "d-1", "strokes": [[[10, 12], [11, 15]], [[20, 12], [22, 14]]], "text": "12"}
    {"id": "e-1", "features": "arrays/e-1.npy", "text": "one two"}

``id`` and ``text`` are required, and one of ``audio``, ``parts``, ``image``, ``strokes`` and ``features``. Paths are
absolute or relative to the manifest's folder. A line with ``parts`` joins recordings; ``silence_ms`` has one entry more
than parts: before the first, between two, after the last. ``spans`` takes only a stretch of each recording: [start,
end] in seconds, one for ``audio`` or one for each of the parts. ``strokes`` is ink, a list of strokes of [x, y] or
[x, y, seconds] with y growing downwards, or the path of an ink file; ``features`` is the path of an array (T, F).
A path may name a member of a tar shard: train-000000.tar@1536+34567/a-1.flac, its place and bytes before its name.
``duration_s``, ``sample_rate``, ``width`` and ``height`` (pixels of the image) are optional and spare a look at every
file. Further fields are kept as they are.
"""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seqlab.errors import DataError
from seqlab.files import write_lines

MAX_FAULTS = 20  # faults named in one message; the rest is counted


@dataclass(slots=True)
class Line:
    """One line of a manifest.

    Attributes:
        id: unique within its manifest.
        text: the reference transcript, as written in the manifest.
        audio: path of the recording as written in the manifest, or None.
        parts: paths of recordings to be joined, or None.
        silence_ms: milliseconds of silence around the parts, one entry more than parts.
        spans: [start, end] in seconds of what is used of each recording, or None for all of it.
        speaker: speaker or writer, if known.
        sample_rate: in Hz, if known.
        duration_s: seconds, if known.
        image: path of the picture of a text line, or None.
        width: of the image in pixels, if known.
        height: of the image in pixels, if known.
        strokes: ink, a list of strokes of points [x, y] or [x, y, seconds], or the path of an ink file, or None.
        features: path of an array (T, F), .npy or .npz, or None.
        extra: every other field.
        root: folder that relative paths start from.
        where: "file:line", for messages.
    """

    id: str
    text: str
    audio: str | None = None
    parts: list[str] | None = None
    silence_ms: list[int] | None = None
    spans: list[list[float]] | None = None
    speaker: str | None = None
    sample_rate: int | None = None
    duration_s: float | None = None
    image: str | None = None
    width: int | None = None
    height: int | None = None
    strokes: str | list[Any] | None = None
    features: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    root: Path = Path()
    where: str = ""

    @property
    def files(self) -> list[Path]:
        """Paths of all media files of the line; ink that stands in the manifest has none."""
        if self.parts is not None:
            return [self.root / part for part in self.parts]
        one = (self.audio, self.image, self.features, self.strokes)
        return [self.root / path for path in one if isinstance(path, str)]

    @property
    def kind(self) -> str:
        """What the line is: "audio", "image", "strokes" or "features"."""
        return next((k for k in ("image", "strokes", "features") if getattr(self, k) is not None), "audio")


def used_seconds(line: Line, durations: list[float]) -> float:
    """Return the seconds of a line, given those of its files: spans and silences counted."""
    silence = sum(line.silence_ms or []) / 1000
    if line.spans is None:
        return sum(durations) + silence
    return sum(min(e, d) - min(s, d) for (s, e), d in zip(line.spans, durations, strict=True)) + silence


_TYPES: dict[str, tuple[type, ...]] = {
    "id": (str,),
    "text": (str,),
    "audio": (str,),
    "parts": (list,),
    "silence_ms": (list,),
    "spans": (list,),
    "speaker": (str,),
    "sample_rate": (int,),
    "duration_s": (int, float),
    "image": (str,),
    "width": (int,),
    "height": (int,),
    "strokes": (str, list),
    "features": (str,),
}
_MOST = 1e9  # seconds, pixels, Hz or coordinates: beyond it a number is a mistake
MEDIA = ("audio", "parts", "image", "strokes", "features")  # fields, of which a line has one


def _is_span(span: Any) -> bool:
    numbers = isinstance(span, list) and all(isinstance(x, int | float) and not isinstance(x, bool) for x in span)
    return numbers and len(span) == 2 and 0 <= span[0] < span[1] < _MOST


def _check_strokes(strokes: list[Any]) -> None:
    if len({len(p) for s in strokes if isinstance(s, list) for p in s if isinstance(p, list)}) > 1:
        raise DataError('"strokes": some points have a time and some have none; give it to all or to none')
    for stroke in strokes:
        if not isinstance(stroke, list) or not stroke:
            raise DataError('"strokes" must be a list of strokes, each a list of one or more points')
        for point in stroke:
            if not (isinstance(point, list) and len(point) in (2, 3) and all(map(_is_number, point))):
                raise DataError(f'"strokes": a point is [x, y] or [x, y, seconds], got {point!r}')


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -_MOST < value < _MOST  # no NaN


def parse_line(raw: str, root: Path, where: str) -> Line:
    """Read one line of a manifest.

    Args:
        raw: the JSON object.
        root: folder that relative paths start from.
        where: "file:line", for messages.

    Raises:
        DataError: the line is faulty; the message says how, not where.
    """
    try:
        row = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise DataError(f"not JSON ({error})") from None
    if not isinstance(row, dict):
        raise DataError('a line must be a JSON object like {"id": ..., "audio": ..., "text": ...}')
    for key in ("id", "text"):
        if row.get(key) is None:
            raise DataError(f'field "{key}" is missing')
    if (writer := row.get("writer")) is not None and row.get("speaker") is None:
        if not isinstance(writer, str):
            raise DataError(f'field "writer" must be str, got {writer!r}')
        row["speaker"] = writer
    for key, kinds in _TYPES.items():
        value = row.get(key)
        if value is not None and (not isinstance(value, kinds) or isinstance(value, bool)):
            raise DataError(f'field "{key}" must be {" or ".join(k.__name__ for k in kinds)}, got {value!r}')
    if not row["id"]:
        raise DataError('field "id" is empty')
    given = [key for key in MEDIA if row.get(key) is not None]
    if not given:
        raise DataError('needs a field "audio" (or "parts", "image", "strokes", "features")')
    if len(given) > 1:
        raise DataError(f"has both {' and '.join(repr(key) for key in given)}; give one of them".replace("'", '"'))
    if isinstance(row.get("strokes"), list):
        _check_strokes(row["strokes"])
    if (parts := row.get("parts")) is not None:
        if not parts or not all(isinstance(p, str) for p in parts):
            raise DataError('"parts" must be a list of one or more paths')
        silence = row.get("silence_ms")
        if silence is None:
            row["silence_ms"] = [0] * (len(parts) + 1)
        elif len(silence) != len(parts) + 1:
            raise DataError(f'"silence_ms" needs {len(parts) + 1} entries for {len(parts)} parts, got {len(silence)}')
        elif not all(isinstance(s, int | float) and 0 <= s < 1e6 for s in silence):
            raise DataError('"silence_ms" must hold milliseconds, 0 or more')
    elif row.get("silence_ms") is not None:
        raise DataError('"silence_ms" goes with "parts"; this line has one recording')
    if (spans := row.get("spans")) is not None:
        files = len(parts) if parts is not None else 1
        if len(spans) != files or not all(_is_span(span) for span in spans):
            raise DataError(f'"spans" needs {files} pair(s) [start, end] in seconds with 0 <= start < end')
    if (duration := row.get("duration_s")) is not None and not 0 <= duration < _MOST:
        raise DataError(f'"duration_s" must be 0 or more and below {_MOST:g}, got {duration}')
    for key in ("sample_rate", "width", "height"):
        if (size := row.get(key)) is not None and not 0 < size < _MOST:
            raise DataError(f'"{key}" must be positive and below {_MOST:g}, got {size}')
    known = {key: row.pop(key, None) for key in _TYPES}
    return Line(**known, extra=row, root=root, where=where)


def read_manifest(path: str | os.PathLike[str]) -> list[Line]:
    """Read a manifest and validate every line.

    Raises:
        DataError: the file is empty or lines are broken; the message names up to 20 of them, with the fault of each.
        FileNotFoundError: there is no such file.
    """
    path = check_manifest(path)
    lines: list[Line] = []
    faults: list[str] = []
    seen: dict[str, int] = {}
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            if not raw.strip():
                continue
            where = f"{path}:{number}"
            try:
                line = parse_line(raw.decode("utf-8-sig"), path.parent, where)
            except UnicodeDecodeError:
                faults.append(f"{where}: not UTF-8")
                continue
            except DataError as error:
                faults.append(f"{where}: {error}")
                continue
            if line.id in seen:
                faults.append(f"{where}: id {line.id!r} stands already in line {seen[line.id]}; ids must be unique")
                continue
            seen[line.id] = number
            lines.append(line)
    refuse_faults(path, faults[:MAX_FAULTS], len(faults), len(lines))
    return lines


def check_manifest(path: str | os.PathLike[str]) -> Path:
    """Return the path of a manifest if there is such a file; for tar shards, the manifest of their lines.

    Args:
        path: a manifest, or shards as train-{000000..000063}.tar or train-*.tar, see seqlab.media.shards.

    Raises:
        DataError: it is a folder, or shards are faulty.
        FileNotFoundError: there is no such file.
    """
    path = Path(path)
    if path.is_dir():
        raise DataError(f"{path} is a folder; give a manifest file (.jsonl)")
    if path.suffix == ".tar":
        from seqlab.media.shards import shard_list  # it parses lines, too

        return shard_list(str(path))
    if path.suffix == ".tgz" or path.name.endswith((".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst")):
        raise DataError(f"{path} is compressed, and its members cannot be found by their place; unpack it to .tar")
    if not path.exists():
        raise FileNotFoundError(
            f"manifest {path} not found; 'seqlab prepare' writes manifests, or give the path of your own"
        )
    return path


def refuse_faults(path: Path, faults: list[str], count: int, lines: int) -> None:
    """Raise one DataError for all faulty lines of a manifest, or when it has no line at all.

    Args:
        path: the manifest.
        faults: the first of them, each with its place.
        count: of all.
        lines: good ones.
    """
    if count:
        more = f"\n... and {count - len(faults)} more" if count > len(faults) else ""
        raise DataError(f"{count} faulty line(s) in {path}:\n" + "\n".join(faults) + more)
    if not lines:
        raise DataError(f"manifest {path} is empty: it needs one JSON object per line")


def read_manifests(paths: str | Iterable[str]) -> list[Line]:
    """Read one manifest or several as one list; ids may repeat across files."""
    paths = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    return [line for path in paths for line in read_manifest(path)]


def line_to_row(line: Line) -> dict[str, Any]:
    """Return the JSON object of a line, without fields that are None."""
    row = {key: getattr(line, key) for key in _TYPES if getattr(line, key) is not None}
    return row | line.extra


def write_manifest(path: str | os.PathLike[str], lines: Iterable[Line]) -> int:
    """Write lines to a manifest, whole or not at all. Returns the number of lines."""
    rows = (json.dumps(line_to_row(line), ensure_ascii=False) for line in lines)
    return write_lines(path, rows)
