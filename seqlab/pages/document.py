"""Page and PageLine: what PAGE XML, ALTO and hOCR have in common, and how recognised text enters them."""

import datetime
import logging
import math
import re
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree.ElementTree import Element

from seqlab.errors import DataError
from seqlab.outputs.transcript import Transcript, Word
from seqlab.pages._tree import Tree
from seqlab.pages.crop import LineImage

Point = tuple[float, float]
LIMIT = 1e7  # of coordinates and sizes
_NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?")
_DIGITS = 40  # longest number that is read
_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class PageLine:
    """One text line of a page.

    Attributes:
        id: as in the file, which may use one twice; "" if it has none.
        polygon: its outline, (x, y) in pixels, x to the right and y downwards; empty if unknown.
        baseline: points on which the letters stand, from left to right; empty if unknown.
        text: what the file says, or None if the file holds no text for it.
        confidence: of the text, in [0, 1], or None.
        region: id of the region it lies in.
        region_type: type of that region ("paragraph", "marginalia" ...), or "".
        line_type: type of the line itself, or "".
        element: the line in the XML tree.
    """

    id: str
    polygon: list[Point]
    baseline: list[Point]
    text: str | None
    confidence: float | None
    region: str
    region_type: str
    line_type: str
    element: Element


@dataclass(slots=True)
class Found:
    """A recognised word or character on the page.

    Attributes:
        text: the word or character.
        confidence: in [0, 1], or None.
        quad: four corners in the units of the file, from the top left one clockwise; None if its place is unknown.
        characters: of a word, where known.
    """

    text: str
    confidence: float | None
    quad: list[Point] | None
    characters: "list[Found]" = field(default_factory=list)


@dataclass(slots=True)
class Page(ABC):
    """A page file that was read, can be filled with recognised text, and written.

    Attributes:
        path: where it was read.
        tree: the whole file.
        image: name of the page's image without folders, "" if the file names none.
        width: of the page in the units of the file, 0 if the file does not say.
        height: likewise.
        lines: in reading order.
        in_pixels: whether those units are pixels of the image.
        scale: what fit() multiplied x and y with.
        filled: lines that fill() changed.
    """

    path: Path
    tree: Tree
    image: str
    width: float
    height: float
    lines: list[PageLine]
    in_pixels: bool = True
    scale: tuple[float, float] = (1.0, 1.0)
    filled: list[PageLine] = field(default_factory=list)
    _ids: set[str] = field(default_factory=set)

    def fit(self, width: int, height: int) -> None:
        """Bring the coordinates of all lines to pixels of an image; a difference in size is logged.

        Args:
            width: of the image, in pixels.
            height: likewise.

        Raises:
            DataError: the image is turned by 90 degrees against the page.
        """
        if not self.width or not self.height or (self.width, self.height) == (width, height):
            return
        if self.in_pixels:
            sizes = f"the page is {self.width:g} x {self.height:g}, its image {width} x {height} pixels"
            turned = abs(math.log(self.width * width / (self.height * height)))  # 0 if sides are swapped
            straight = abs(math.log(self.width * height / (self.height * width)))
            if turned < 0.02 < straight:
                raise DataError(f"{self.path}: {sizes}: the image seems turned; turn it, or mend its EXIF tag")
            _log.warning("%s: %s; coordinates are scaled", self.path, sizes)
        x, y = width / self.width, height / self.height
        for line in self.lines:
            line.polygon = [(a * x, b * y) for a, b in line.polygon]
            line.baseline = [(a * x, b * y) for a, b in line.baseline]
        self.width, self.height = width, height
        self.scale = (self.scale[0] * x, self.scale[1] * y)

    def line(self, line_id: str) -> PageLine:
        """Return the line with an id.

        Raises:
            KeyError: no line, or more than one, has it.
        """
        found = [line for line in self.lines if line.id == line_id]
        if len(found) != 1:
            raise KeyError(f"{self.path}: {len(found)} lines have the id {line_id!r}")
        return found[0]

    def fill(self, line: PageLine | str, transcript: Transcript, crop: LineImage | None = None) -> None:
        """Put recognised text into a line, in place of what the file held for it.

        Args:
            line: a line of this page, or its id where that is unique.
            transcript: words and characters count in columns of the crop.
            crop: the line image that was recognised; without it no places of words are written.
        """
        line = self.line(line) if isinstance(line, str) else line
        words = self._found(transcript, crop)
        self._fill(line, transcript, words)
        line.text, line.confidence = transcript.text, transcript.confidence
        self.filled.append(line)

    def write(self, path: str | Path) -> None:
        """Write the page with what fill() put into it, whole or not at all; all else is as it was read."""
        if self.filled:
            self._finish()
        self.tree.write(path)

    def lines_of_file(self) -> list[str]:
        """Return what ``write`` writes, line by line."""
        if self.filled:
            self._finish()
        return self.tree.text().split("\n")[:-1]

    @abstractmethod
    def _fill(self, line: PageLine, transcript: Transcript, words: list[Found]) -> None: ...

    @abstractmethod
    def _finish(self) -> None: ...

    def _found(self, transcript: Transcript, crop: LineImage | None) -> list[Found]:
        """Bring words and their characters to the page."""
        words = [self._place(word, crop) for word in transcript.words]
        if not words:
            words = [Found(text, transcript.confidence, None) for text in transcript.text.split()]
        rest = [self._place(letter, crop) for letter in transcript.characters if letter.text.strip()]
        for word in words:
            taken = 0
            while taken < len(rest) and len("".join(c.text for c in rest[:taken])) < len(word.text):
                taken += 1
            if "".join(c.text for c in rest[:taken]) != word.text:
                break  # words and characters do not tell the same: better no characters than wrong ones
            word.characters, rest = rest[:taken], rest[taken:]
        return words

    def _place(self, word: Word, crop: LineImage | None) -> Found:
        quad = None
        if crop is not None:
            quad = [(x / self.scale[0], y / self.scale[1]) for x, y in crop.to_page(word.start, word.end)]
        return Found(word.text, word.confidence, quad)

    def _new_id(self, base: str) -> str:
        """Return an id that the file does not use yet."""
        if not self._ids:
            names = ("id", "ID", "xml:id")
            self._ids = {element.get(name, "") for element in self.tree.root.iter() for name in names}
        number, name = 1, base
        while name in self._ids:
            number += 1
            name = f"{base}-{number}"
        self._ids.add(name)
        return name


def points(text: str | None, where: str) -> list[Point]:
    """Read points "x,y x,y ..." or "x y x y ..."; numbers may have fractions and signs.

    What cannot be read gives no points and a warning: one broken outline shall not cost a page.
    """
    if text is None or not text.strip():
        return []
    pieces = text.replace(",", " ").split()
    numbers = [number(piece) for piece in pieces]
    if len(numbers) % 2 or not all(abs(found) < LIMIT for found in numbers):  # NaN fails too
        _log.warning("%s: points cannot be read: %r", where, text[:60])
        return []
    pairs = list(zip(numbers[::2], numbers[1::2], strict=True))
    return [pair for index, pair in enumerate(pairs) if not index or pair != pairs[index - 1]]


def left_to_right(baseline: list[Point]) -> list[Point]:
    """Return a baseline that is rather level than upright from left to right, whichever way it was drawn."""
    if len(baseline) < 2:
        return []
    (x0, y0), (x1, y1) = baseline[0], baseline[-1]
    return baseline[::-1] if x1 < x0 and abs(x1 - x0) >= abs(y1 - y0) else baseline


def box_of(quad: Iterable[Point]) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of points as whole numbers of 0 or more."""
    xs, ys = zip(*quad, strict=True)
    left, top = max(0, round(min(xs))), max(0, round(min(ys)))
    return left, top, max(left, round(max(xs))), max(top, round(max(ys)))


def rectangle(left: float, top: float, right: float, bottom: float) -> list[Point]:
    """Return the corners of a box, from the top left one clockwise."""
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def number(text: str | None) -> float:
    """Return a finite number, or NaN for anything else."""
    text = (text or "").strip()
    value = float(text) if len(text) <= _DIGITS and _NUMBER.fullmatch(text) else math.nan
    return value if math.isfinite(value) else math.nan


def size(value: float) -> float:
    """Return the width or height of a page, or 0 where it makes no sense."""
    return value if 1 <= value < LIMIT else 0.0


def confidence(text: str | None) -> float | None:
    """Return a confidence in [0, 1], or None."""
    value = number(text)
    return value if 0 <= value <= 1 else None


def decimals(value: float) -> str:
    """Write a confidence with up to four decimals."""
    return f"{min(max(value, 0.0), 1.0):.4f}".rstrip("0").rstrip(".")


def file_name(text: str | None) -> str:
    """Return the name of a file without its folders, which may be those of another machine, or a URL."""
    return re.split(r"[/\\]", (text or "").strip())[-1]


def composed(text: str) -> str:
    """Return text in Unicode's composed form (NFC)."""
    return unicodedata.normalize("NFC", text)


def now() -> str:
    """Return the time in UTC, as XML Schema's dateTime."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
