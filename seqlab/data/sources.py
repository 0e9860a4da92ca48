"""Where signals come from: recordings, line images, ink and arrays, each read as the model's frontend wants it.

A source knows how long a line is without decoding it, reads it into an array that can be kept and augmented, and turns
that array into what the model takes.
"""

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from seqlab.data.cache import DecodedCache
from seqlab.data.text import TextSource
from seqlab.errors import ConfigError, DataError
from seqlab.manifest import Line, used_seconds
from seqlab.manifest_index import KINDS, PIECE, IndexedLines
from seqlab.media import (
    array_shape,
    audio_info,
    image_size,
    ink_from_strokes,
    read_array,
    read_audio,
    read_image,
    read_ink,
    read_line,
)
from seqlab.media.image import MAX_COLUMNS, TOO_WIDE

Kind = Literal["audio", "image", "strokes", "features"]


class Source(Protocol):
    """What the data asks of a source.

    Attributes:
        kind: of the lines that it reads: audio, image, strokes or features (a language model's: text).
        unit: what `sample_rate` samples make: "s" of audio, "columns", "points", "frames", "characters".
    """

    kind: Kind
    unit: str

    def size(self, line: Line) -> int:
        """Return the samples of a line as the model takes it (before augmentation), from its header or manifest."""
        ...

    def read(self, line: Line) -> np.ndarray:
        """Read what augmentation works on; callers must not write into it."""
        ...

    def open(self, path: str | Path) -> np.ndarray:
        """Read a file by itself, as `read` does a line."""
        ...

    def signal(self, array: np.ndarray) -> np.ndarray:
        """Turn what was read, and perhaps augmented, into the model's signal, (S, ...), float32."""
        ...


class Cache:
    """Arrays kept in memory, the least recently used dropped first.

    Args:
        megabytes: most memory to use; 0 keeps nothing.
    """

    def __init__(self, megabytes: int) -> None:
        self.limit = megabytes * 2**20
        self.used = 0
        self._kept: OrderedDict[Any, np.ndarray] = OrderedDict()

    def get(self, key: Any) -> np.ndarray | None:
        """Return a kept array, or None."""
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def keep(self, key: Any, array: np.ndarray) -> np.ndarray:
        """Keep an array if there is room for it; returns the array."""
        if array.nbytes <= self.limit // 8:
            self._kept[key] = array
            self.used += array.nbytes
            while self.used > self.limit:
                self.used -= self._kept.popitem(last=False)[1].nbytes
        return array


def duration(line: Line) -> float:
    """Return the seconds of a recording: as its manifest says, else from the headers of its files."""
    if line.duration_s is None:
        line.duration_s = used_seconds(line, [audio_info(path).duration for path in line.files])
    return line.duration_s


class AudioSource:
    """Recordings as float32 mono (S,) at the frontend's rate."""

    kind: Kind = "audio"
    unit = "s"

    def __init__(self, frontend: Any, cache_mb: int = 0, decoded: DecodedCache | None = None) -> None:
        self.rate = frontend.sample_rate
        self.cache = Cache(cache_mb)
        self.decoded = decoded

    def size(self, line: Line) -> int:
        """Return the samples of a line."""
        return round(duration(line) * self.rate)

    def read(self, line: Line) -> np.ndarray:
        """Read and join the recordings of a line."""
        return read_line(line, self.rate, load=self._load)[0]

    def _load(
        self, path: str | Path, rate: int | None = None, span: tuple[float, float] | None = None
    ) -> tuple[np.ndarray, int]:
        key = (str(path), rate, span)
        kept = self.cache.get(key)
        if kept is None:
            kept = self.decoded.get(path, rate, span) if self.decoded else None
            if kept is None:
                kept = read_audio(path, rate, span)[0]
                if self.decoded:
                    self.decoded.keep(path, rate, kept, span)
            self.cache.keep(key, kept)
        return kept, self.rate

    def open(self, path: str | Path) -> np.ndarray:
        """Read a recording."""
        return read_audio(path, self.rate)[0]

    def signal(self, array: np.ndarray) -> np.ndarray:
        """Return the audio as it is."""
        return array


class _PreparedSource(ABC):
    """A source whose frontend prepares each line by itself, once."""

    def __init__(self, frontend: Any, cache_mb: int = 0) -> None:
        self.frontend = frontend
        self.cache = Cache(cache_mb)

    @abstractmethod
    def open(self, path: str | Path) -> np.ndarray:
        """Read a file by itself."""

    def _kept(self, line: Line) -> np.ndarray:
        path = line.files[0]
        key = line.where or str(path)
        kept = self.cache.get(key)
        return self.cache.keep(key, self.open(path)) if kept is None else kept


class ImageSource(_PreparedSource):
    """Line images as ink (S, Y), uint8, at the frontend's height."""

    kind: Kind = "image"
    unit = "columns"

    def size(self, line: Line) -> int:
        """Return the columns of a line."""
        if line.width is None or line.height is None:
            line.width, line.height = image_size(line.files[0])
        columns: int = self.frontend.columns(line.width, line.height)
        if columns > MAX_COLUMNS:
            raise DataError(f"{line.files[0]}: {TOO_WIDE.format(line.width, line.height, columns)}")
        return columns

    def read(self, line: Line) -> np.ndarray:
        """Read and prepare the image of a line."""
        return self._kept(line)

    def open(self, path: str | Path) -> np.ndarray:
        """Read and prepare an image."""
        try:
            return self.frontend.prepare(read_image(path))
        except DataError as error:
            raise error if str(path) in str(error) else DataError(f"{path}: {error}") from None

    def signal(self, array: np.ndarray) -> np.ndarray:
        """Bring ink to [0, 1]."""
        return array.astype(np.float32) * np.float32(1 / 255)


class StrokesSource(_PreparedSource):
    """Ink (N, 4): x, y, t, end of stroke; the frontend makes features of it after augmentation."""

    kind: Kind = "strokes"
    unit = "points"

    def __init__(self, frontend: Any, cache_mb: int = 0) -> None:
        super().__init__(frontend, cache_mb)
        self._sizes: dict[Any, int] = {}

    def size(self, line: Line) -> int:
        """Return the frames of a line; measured once."""
        if not line.where:  # joined on the fly, never seen again
            return len(self.frontend.prepare(self.read(line)))
        if line.where not in self._sizes:
            self._sizes[line.where] = len(self.frontend.prepare(self.read(line)))
        return self._sizes[line.where]

    def read(self, line: Line) -> np.ndarray:
        """Read the ink of a line."""
        return self._kept(line) if isinstance(line.strokes, str) else ink_from_strokes(line.strokes or [])

    def open(self, path: str | Path) -> np.ndarray:
        """Read an ink file."""
        return read_ink(path)

    def signal(self, array: np.ndarray) -> np.ndarray:
        """Make features of the ink."""
        return self.frontend.prepare(array)


class FeaturesSource(_PreparedSource):
    """Arrays (T, F)."""

    kind: Kind = "features"
    unit = "frames"

    def __init__(self, frontend: Any, cache_mb: int = 0) -> None:
        super().__init__(frontend, cache_mb)
        self._sizes: dict[Path, int] = {}
        if frontend.sample_rate != 1:
            self.unit = "s"

    def size(self, line: Line) -> int:
        """Return the frames of a line; looked up once."""
        path = line.files[0]
        if path not in self._sizes:
            self._sizes[path] = array_shape(path)[0]
        return self._sizes[path]

    def read(self, line: Line) -> np.ndarray:
        """Read the array of a line."""
        return self._kept(line)

    def open(self, path: str | Path) -> np.ndarray:
        """Read an array."""
        try:
            return self.frontend.prepare(read_array(path))
        except DataError as error:
            raise error if str(path) in str(error) else DataError(f"{path}: {error}") from None

    def signal(self, array: np.ndarray) -> np.ndarray:
        """Return the array as it is."""
        return array


_SOURCES: dict[str, Any] = {s.kind: s for s in (AudioSource, ImageSource, StrokesSource, FeaturesSource, TextSource)}


def source_of(frontend: Any, cache_mb: int = 0) -> Source:
    """Return the source that reads what a frontend takes."""
    source: Source = _SOURCES[frontend.kind](frontend, cache_mb)
    return source


def sizes_of(lines: Sequence[Line], source: Source) -> tuple[np.ndarray, bool]:
    """Return the samples of every line before augmentation, (lines,), int32, and whether asking again costs little.

    Of indexed lines those whose length or size stands in the manifest are reckoned at once; the others are read.
    """
    sizes = np.full(len(lines), -1, np.int32)
    cheap = isinstance(lines, IndexedLines) and isinstance(source, AudioSource)
    if isinstance(lines, IndexedLines) and isinstance(source, AudioSource):
        seconds = lines.column("duration")
        for begin in range(0, len(lines), PIECE):
            samples = np.rint(seconds[begin : begin + PIECE] * source.rate)
            sizes[begin : begin + PIECE] = np.where(np.isfinite(samples), samples, -1)
    elif isinstance(lines, IndexedLines) and isinstance(source, ImageSource):
        shapes = np.stack([lines.column("width"), lines.column("height")], axis=1)
        known, which = np.unique(shapes, axis=0, return_inverse=True)
        columns = [source.frontend.columns(*shape) if min(shape) else -1 for shape in known.tolist()]
        sizes[:] = np.array([-1 if count > MAX_COLUMNS else count for count in columns])[which.reshape(-1)]
    if isinstance(lines, IndexedLines):
        lines.release()
    unknown = np.flatnonzero(sizes < 0).tolist()
    for index in unknown:
        sizes[index] = source.size(lines[index])
    return sizes, cheap and not unknown


def check_kind(lines: Sequence[Line], kind: str) -> None:
    """Refuse lines of another kind than the frontend takes.

    Raises:
        ConfigError: a line has another kind; the message names it and frontends that would take it.
    """
    fits = {"audio": "log_mel", "image": "image_columns", "strokes": "stroke_points", "features": "features"}
    if isinstance(lines, IndexedLines):
        others = np.flatnonzero(lines.column("kind") != KINDS.index(kind))
        lines = [lines[int(index)] for index in others[:1]]
    for line in lines:
        if line.kind != kind:
            raise ConfigError(
                f"{line.where} {line.id}: the line is {line.kind}, the frontend takes {kind}; "
                f"choose frontend={fits[line.kind]} or another corpus"
            )
