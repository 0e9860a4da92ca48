"""Ink: pen strokes as arrays, and the files that hold them.

Ink in memory is one float32 array (N, 4), a row per point: x, y, t, end. x grows right and **y grows down**, in the
units of the device; t is in seconds, from 0 at the first point, and 0 throughout where the source has no times; end is
1 at the last point of each stroke (the pen goes up after it), else 0.

    XML     IAM-OnDB: <StrokeSet><Stroke><Point x="10" y="20" time="1.00"/>...; y grows down already
    XML     InkML: <trace>10 20 0, 14 31 20</trace>, channels X Y and T in ms as its traceFormat says; y grows down
    text    UNIPEN: .PEN_DOWN, a point per row, .PEN_UP; y grows up in the file and is flipped here
    JSON    {"strokes": [[[10, 20], [14, 31]], ...]} or the list alone; points are [x, y] or [x, y, seconds], y down
"""

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from seqlab.errors import DataError
from seqlab.media._files import open_file

MAX_BYTES = 64 * 2**20  # of one ink file; the whole of UNIPEN pendigits has 6 MB
MAX_POINTS = 1_000_000  # of one line of ink: hours of writing
MAX_COORDINATE = 1e9  # sums of squares of less than this keep well within float64, and differences within float32
_LABEL = re.compile(r'"([^"]*)"')
_FORMATS = "IAM-OnDB XML, InkML, UNIPEN text and JSON strokes"


def ink_from_strokes(strokes: Sequence[Any]) -> np.ndarray:
    """Join strokes into one array of ink.

    Args:
        strokes: one sequence or array of points per stroke, each point x, y or x, y, t, t in seconds; y grows down.
            Strokes without points count for nothing.

    Returns:
        Ink (N, 4), float32; (0, 4) without strokes.

    Raises:
        DataError: points are not all pairs, or not all triples, of finite numbers, or there are too many.
    """
    pieces = []
    widths = set()
    for number, stroke in enumerate(strokes):
        if not len(stroke):
            continue
        try:
            points = np.asarray(stroke)
            points = points.astype(np.float64) if points.dtype.kind in "iuf" else np.zeros(0)
        except (TypeError, ValueError, OverflowError):
            points = np.zeros(0)
        if points.ndim != 2 or points.shape[1] not in (2, 3):
            raise DataError(f"stroke {number}: points must all be [x, y] or all [x, y, seconds], numbers only")
        widths.add(points.shape[1])
        if len(widths) > 1:
            raise DataError(f"stroke {number}: some strokes have times and some have none; give them to all or to none")
        piece = np.zeros((len(points), 4))
        piece[:, : points.shape[1]] = points
        piece[-1, 3] = 1
        pieces.append(piece)
    if not pieces:
        return np.zeros((0, 4), np.float32)
    return _checked(np.concatenate(pieces))


def strokes_of(ink: np.ndarray) -> list[np.ndarray]:
    """Split ink (N, 4) into the points (n, 2) of its strokes; a last stroke without an end counts."""
    ends = np.flatnonzero(ink[:, 3] > 0) + 1
    return [stroke for stroke in np.split(ink[:, :2], ends) if len(stroke)]


def read_ink(path: str | os.PathLike[str]) -> np.ndarray:
    """Read an ink file of any of the formats above; its content tells which.

    A UNIPEN file is read as one line of ink: its first sample if it has segments, else all of its strokes.

    Returns:
        Ink (N, 4), float32, with one point or more.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: it is no ink file, damaged, too large, empty, or holds NaN or infinity.
    """
    path = Path(path)
    raw = _read_bytes(path)
    start = raw[:4096].removeprefix(b"\xef\xbb\xbf").lstrip()
    try:
        if start.startswith(b"<") or raw.startswith((b"\xff\xfe", b"\xfe\xff")):
            ink = _from_xml(path)
        elif start.startswith((b"{", b"[")):
            ink = _from_json(raw)
        elif b".PEN_DOWN" in raw:
            ink = next(_samples(raw.decode("latin-1"))).ink()
        else:
            raise DataError(f"no ink file: {_FORMATS} are read")
        if not len(ink):
            raise DataError("holds no points; drop the line")
    except DataError as error:
        raise DataError(str(error) if str(error).startswith(str(path)) else f"{path}: {error}") from None
    return ink


def read_unipen(path: str | os.PathLike[str]) -> list[tuple[str, str, np.ndarray]]:
    """Read every sample of a UNIPEN file such as pendigits-orig.tra.

    A sample begins at ``.SEGMENT`` and owns the strokes that follow it; y is flipped to grow down. Points that the pen
    passed in the air are left out.

    Returns:
        Label (between the quotes of .SEGMENT), writer (second word of .COMMENT, "" if absent) and ink (N, 4) of each.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: a row is no UNIPEN, a sample has no stroke, or there is no sample; the message names the row.
    """
    path = Path(path)
    try:
        samples = [(s.label, s.writer, s.ink()) for s in _samples(_read_bytes(path).decode("latin-1")) if s.row]
        if not samples:
            raise DataError("no .SEGMENT, so no labelled sample; give a UNIPEN file with labels")
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    return samples


def _read_bytes(path: Path) -> bytes:
    try:
        with open_file(path, "ink") as file:
            raw = file.read(MAX_BYTES + 1)
    except (DataError, FileNotFoundError):
        raise
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    if not raw:
        raise DataError(f"{path} is empty (0 bytes); copy it again, or drop the line")
    if len(raw) > MAX_BYTES:
        raise DataError(f"{path} is larger than {MAX_BYTES >> 20} MB; an ink file holds one line. Split it")
    return raw


def _checked(ink: np.ndarray) -> np.ndarray:
    """Check ink (N, 4) in float64 and return it in float32, its times counted from the first."""
    if len(ink) > MAX_POINTS:
        raise DataError(f"{len(ink)} points; {MAX_POINTS} are read at most. Cut the ink into lines")
    sane = np.abs(ink) <= MAX_COORDINATE * np.array([1, 1, 1e4, 1])  # False for NaN; times may count from 1970 in ms
    if not sane.all():
        point, column = np.argwhere(~sane)[0]
        raise DataError(f"point {point}: {'xyt'[column]} is {ink[point, column]:g}; write it again with finite numbers")
    ink[:, 2] -= ink[0, 2]
    return ink.astype(np.float32)


def _from_json(raw: bytes) -> np.ndarray:
    try:
        data = json.loads(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"not JSON ({error})") from None
    strokes = data.get("strokes") if isinstance(data, dict) else data
    if not isinstance(strokes, list) or not all(isinstance(stroke, list) for stroke in strokes):
        raise DataError('needs a list of strokes, or {"strokes": [...]}; a stroke is a list of points [x, y]')
    return ink_from_strokes(strokes)


def _from_xml(path: Path) -> np.ndarray:
    from seqlab.media.xml import local, parse_xml

    root = parse_xml(path)
    if local(root.tag) == "WhiteboardCaptureSession":
        strokes = [
            [[_number(point.get(name), name) for name in ("x", "y", "time")] for point in stroke]
            for stroke in root.iter()
            if local(stroke.tag) == "Stroke"
        ]
        return ink_from_strokes(strokes)
    if local(root.tag) == "ink":
        return _from_inkml(root)
    raise DataError(
        f"XML with root <{local(root.tag)}>; <WhiteboardCaptureSession> (IAM-OnDB) and <ink> (InkML) are read"
    )


def _from_inkml(root: Element) -> np.ndarray:
    """InkML 1.0 (W3C 2011) with explicit values: <trace> points separated by commas, channels by blanks."""
    from seqlab.media.xml import local

    channels: list[tuple[str, float]] = []
    for element in root.iter():  # the first format counts for all traces
        if local(element.tag) == "traceFormat":
            channels = [(c.get("name", ""), _unit(c.get("units"))) for c in element if local(c.tag) == "channel"]
            break
    names = [name.upper() for name, _ in channels] or ["X", "Y"]
    if "X" not in names or "Y" not in names:
        raise DataError(f"its traceFormat has the channels {' '.join(names)}; X and Y are needed")
    columns = [names.index("X"), names.index("Y")] + ([names.index("T")] if "T" in names else [])
    seconds = channels[names.index("T")][1] if "T" in names else 1.0
    strokes = []
    for trace in (element for element in root.iter() if local(element.tag) == "trace"):
        if trace.get("type", "penDown") == "penUp":
            continue
        rows = [row.split() for row in (trace.text or "").split(",") if row.strip()]
        short = [row for row in rows if len(row) <= max(columns)]
        if short:
            raise DataError(f"a trace point {' '.join(short[0])!r} has not the channels {' '.join(names)}")
        points = [[_number(row[column], names[column]) for column in columns] for row in rows]
        strokes.append([[*point[:2], *(value * seconds for value in point[2:])] for point in points])
    return ink_from_strokes(strokes)


def _unit(name: str | None) -> float:
    """Seconds in one unit of a time channel; InkML's default is milliseconds."""
    return {"s": 1.0, "us": 1e-6, "ns": 1e-9}.get(name or "ms", 1e-3)


def _number(text: str | None, name: str) -> float:
    try:
        return float(text or "")
    except ValueError:
        raise DataError(
            f"a point has {name}={text!r}; a number is needed (difference-coded traces are not read)"
        ) from None


@dataclass
class _Sample:
    """One labelled piece of a UNIPEN file; row is that of its .SEGMENT, 0 without one."""

    row: int = 0
    label: str = ""
    writer: str = ""
    strokes: list[list[list[float]]] = field(default_factory=list)

    def ink(self) -> np.ndarray:
        ink = ink_from_strokes([[[x, -y, *time] for x, y, *time in stroke] for stroke in self.strokes])
        if not len(ink):
            raise DataError(f"row {self.row}: the segment {self.label!r} has no stroke after it")
        return ink


def _samples(text: str) -> Iterator[_Sample]:
    """Go through the samples of a UNIPEN file; strokes before the first .SEGMENT make one without label."""
    sample, down = _Sample(), False
    columns = [0, 1]
    for number, row in enumerate(text.splitlines(), 1):
        word, *rest = row.split() or [""]
        if word == ".SEGMENT":
            if sample.row or sample.strokes:
                yield sample
            label = _LABEL.search(row)
            sample, down = _Sample(number, label[1] if label else (rest or [""])[-1]), False
        elif word == ".COMMENT" and sample.row and len(rest) > 1 and not sample.writer:
            sample.writer = rest[1]
        elif word == ".COORD":
            names = [name.upper() for name in rest]
            if "X" not in names or "Y" not in names:
                raise DataError(f"row {number}: .COORD without X and Y")
            columns = [names.index(name) for name in ("X", "Y", "T") if name in names]
        elif word == ".PEN_DOWN":
            down = True
            sample.strokes.append([])
        elif word.startswith("."):
            down = down and word != ".PEN_UP"
        elif down and word:
            values = [word, *rest]
            if len(values) <= max(columns):
                raise DataError(f"row {number}: {row.strip()[:60]!r} is no point with {len(columns)} coordinates")
            point = [_number(values[column], "xyt"[index]) for index, column in enumerate(columns)]
            sample.strokes[-1].append([*point[:2], *(ms / 1000 for ms in point[2:])])
    yield sample


def ink_length(ink: np.ndarray) -> float:
    """Return the length of all strokes together, in the units of x and y; ways of the lifted pen don't count."""
    return float(sum(np.hypot(*np.diff(stroke.astype(np.float64), axis=0).T).sum() for stroke in strokes_of(ink)))
