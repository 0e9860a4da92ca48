"""RIMES 2011: French letters by some 1,300 writers, text lines cut out of grey page images.

E. Grosicki and H. El-Abed, "ICDAR 2011: French handwriting recognition competition", ICDAR 2011; cite it. From A2iA
after a signed agreement: nothing of it is shipped or downloaded here. Four files, the two archives unpacked:

    training_2011.xml, eval_2011_annotated.xml        SinglePage FileName= > Paragraph > Line Value= Left= Top= ...
    training_2011_gray.tar, eval_2011_gray.tar        images_gray/<page>.png

A line image is the crop of its box: left and top inside, right and bottom outside. Crops are written to
``lines/<page>-<nn>.png`` beside the manifests, nn counting the lines of a page in the order of the XML.

**Splits.** Test is the evaluation set, 778 lines on 100 pages. Dev is the last 100 training pages, by the number in
their names (as the reader of Vertical Attention OCR takes them; its authors state 10,532 train and 801 dev lines in one
place, 9,947 and 1,333 in another, PyLaia 10,188 and 1,138). So lines, characters and words of each part are logged and
written to totals.json; give them beside every error rate.

**Traps.** Boxes may be negative or leave the page: they are clamped. Lines with an empty text or with nothing left of
their box are left out, counted and named. The training XML has errors, for which the toolkit Laia has a patch; apply it
to the file first. The page-level RIMES with one XML per page is another corpus.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree.ElementTree import Element

from seqlab.corpora._common import find_root, manifest_path, some, track, write_manifests
from seqlab.corpora._images import report_totals, stop, totals
from seqlab.errors import DataError, UserError
from seqlab.manifest import Line
from seqlab.media import read_image, write_image
from seqlab.media.image import IMAGE_SUFFIXES
from seqlab.media.xml import local, parse_xml

KNOWN_TEST_LINES = 778

_XML = {"train": "training_2011.xml", "test": "eval_2011_annotated.xml"}
_LAYOUT = (
    "It comes from A2iA after a signed agreement: training_2011.xml, eval_2011_annotated.xml and the page images of "
    "training_2011_gray.tar and eval_2011_gray.tar, unpacked"
)
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Page:
    """A page: its name, its image, and id, text and box (left, top, right, bottom) of its lines."""

    name: str
    image: Path
    lines: list[tuple[str, str, tuple[int, int, int, int]]] = field(default_factory=list)

    @property
    def number(self) -> int | None:
        """The number that ends the name, train2011-17."""
        digits = re.search(r"\d+$", self.name)
        return int(digits[0]) if digits else None


def prepare(root: str | None, out: str, dev_pages: int = 100) -> dict[str, Path]:
    """Cut the lines out and write manifests.

    Args:
        root: folder with the XML files and the unpacked page images, at any depth.
        out: folder of the manifests, of the line images and of totals.json.
        dev_pages: how many of the last training pages make dev.

    Returns:
        Manifests train, dev and test, as far as there is data. A line's extra fields are ``page`` and ``box``, the
        clamped [left, top, right, bottom] in pixels of the page.

    Raises:
        UserError: dev_pages is not positive.
        DataError: files are missing, not as published or faulty.
        FileNotFoundError: root does not exist.
    """
    if dev_pages < 1:
        raise UserError(f"rimes: dev_pages must be 1 or more, got {dev_pages}")
    folder, target = find_root(root, "rimes", _LAYOUT), Path(out)
    files = {part: path for part, name in _XML.items() if (path := next(iter(sorted(folder.rglob(name))), None))}
    if not files:
        raise DataError(f"rimes: neither {' nor '.join(_XML.values())} in {folder}. {_LAYOUT}")
    for part in _XML.keys() - files.keys():
        _log.warning("rimes: no %s in %s, so there is no %s", _XML[part], folder, part)
    images: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith("."):
            images.setdefault(path.stem, []).append(path)
    parts = {part: _pages(path, images) for part, path in files.items()}
    if "train" in parts:
        pages = parts["train"]
        if len(pages) <= dev_pages:
            raise DataError(f"rimes: {len(pages)} training page(s) are too few for {dev_pages} of dev; lower dev_pages")
        if all(page.number is not None for page in pages):
            pages.sort(key=lambda page: page.number or 0)
        parts = {"train": pages[:-dev_pages], "dev": pages[-dev_pages:]} | {"test": parts.get("test", [])}
    manifests = _cut(parts, target)
    written = write_manifests(target, manifests)
    counts = totals({part: lines for part, lines in manifests.items() if lines})
    report_totals(target, "rimes", {"dev_pages": dev_pages}, counts, _log)
    if "test" in counts and counts["test"]["lines"] != KNOWN_TEST_LINES:
        _log.warning(
            "rimes test: %d lines, the whole test has %d; say so with every result",
            *(counts["test"]["lines"], KNOWN_TEST_LINES),
        )
    return written


def _pages(path: Path, images: Mapping[str, list[Path]]) -> list[_Page]:
    """Read the pages of an XML file, in its order, without lines that have no text."""
    pages: dict[str, _Page] = {}
    faults: list[str] = []
    empty: list[str] = []
    for element in parse_xml(path).iter():
        if local(element.tag) != "SinglePage":
            continue
        file_name = element.get("FileName", "").replace("\\", "/")
        name = file_name.rpartition("/")[2].rpartition(".")[0] or file_name.rpartition("/")[2]
        if name in pages:
            faults.append(f"{path}: page {name!r} stands there twice; keep one")
            continue
        image = _image_of(file_name, images.get(name, []))
        if isinstance(image, str):
            faults.append(f"{path}: page {file_name!r}: {image}")
            continue
        page = pages[name] = _Page(name, image)
        for number, line in enumerate(line for line in element.iter() if local(line.tag) == "Line"):
            line_id = f"{name}-{number:02d}"
            text = " ".join(line.get("Value", "").split())
            box = _box(line)
            if not text:
                empty.append(line_id)
            elif box is None:
                given = {key: line.get(key) for key in ("Left", "Top", "Right", "Bottom")}
                faults.append(f"{path}: line {line_id}: the box must be four whole numbers, got {given}")
            else:
                page.lines.append((line_id, text, box))
    stop(faults, "rimes")
    if not pages:
        raise DataError(f"rimes: no SinglePage in {path}: it is another XML, or of the page-level corpus. {_LAYOUT}")
    if empty:
        _log.warning("rimes: %d line(s) of %s left out, no text: %s", len(empty), path.name, some(empty))
    return list(pages.values())


def _image_of(file_name: str, found: Sequence[Path]) -> Path | str:
    """Choose the image of a page among the files of that name; returns the fault if there is none to choose."""
    if len(found) > 1:
        found = [path for path in found if f"/{path.as_posix()}".endswith(f"/{file_name}")] or found
    if not found:
        return "no such image in the folder; unpack training_2011_gray.tar and eval_2011_gray.tar there"
    if len(found) > 1:
        return f"there are several images of that name, {some(found)}; leave only one"
    return found[0]


def _box(line: Element) -> tuple[int, int, int, int] | None:
    try:
        left, top, right, bottom = (int(line.get(key, "")) for key in ("Left", "Top", "Right", "Bottom"))
    except ValueError:
        return None
    return left, top, right, bottom


def _cut(parts: Mapping[str, Sequence[_Page]], out: Path) -> dict[str, list[Line]]:
    """Write the line images; returns the lines of each part."""
    manifests: dict[str, list[Line]] = {part: [] for part in parts}
    faults: list[str] = []
    nothing: list[str] = []
    for part, page in track([(part, page) for part, pages in parts.items() for page in pages], "rimes pages"):
        try:
            grey = read_image(page.image)  # (Y, S)
        except (DataError, FileNotFoundError) as error:
            faults.append(str(error))
            continue
        height, width = grey.shape
        for line_id, text, box in page.lines:
            left, right = (min(max(x, 0), width) for x in box[::2])
            top, bottom = (min(max(y, 0), height) for y in box[1::2])
            if left >= right or top >= bottom:
                nothing.append(f"{line_id} {box} in {width} x {height}")
                continue
            path = out / "lines" / f"{line_id}.png"
            write_image(path, grey[top:bottom, left:right])
            line = Line(
                id=line_id,
                text=text,
                image=manifest_path(path, out),
                width=right - left,
                height=bottom - top,
                extra={"page": page.name, "box": [left, top, right, bottom]},
            )
            manifests[part].append(line)
    stop(faults, "rimes pages", "Unpack training_2011_gray.tar and eval_2011_gray.tar again.")
    if nothing:
        _log.warning("rimes: %d line(s) left out, nothing of their box is on the page: %s", len(nothing), some(nothing))
    return manifests
