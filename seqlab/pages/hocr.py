"""hOCR, written as XHTML: read the lines of a page and write recognised text into a copy.

A line is an element of class ocr_line, or of one of the classes that some programs use for lines of another kind;
its place stands in ``title`` as "bbox left top right bottom", "baseline slope offset" (from the bottom left corner of
the box) and, of some writers, "poly x y x y ..." (https://kba.github.io/hocr-spec/1.2/). Of a filled line everything
inside is replaced by ocrx_word with x_wconf, and ocrx_cinfo with x_conf for each character.
"""

import re
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

import seqlab
from seqlab.errors import DataError
from seqlab.outputs.transcript import Transcript
from seqlab.pages._tree import Tree, attribute, clean, descendants, like
from seqlab.pages.document import (
    LIMIT,
    Found,
    Page,
    PageLine,
    Point,
    box_of,
    file_name,
    left_to_right,
    number,
    points,
    rectangle,
    size,
)

LINES = {"ocr_line", "ocrx_line", "ocr_header", "ocr_caption", "ocr_textfloat"}
_REGIONS = {"ocr_carea", "ocrx_block", "ocr_par"}
_PROPERTY = re.compile(r"""(?:[^;"']|"[^"]*"|'[^']*'|["'])+""")  # a lone quote is a letter; nothing is tried twice


class Hocr(Page):
    """An hOCR file."""

    def _fill(self, line: PageLine, transcript: Transcript, words: list[Found]) -> None:
        element = line.element
        for below in list(element):
            element.remove(below)
        element.text = None if words else clean(transcript.text)
        for index, word in enumerate(words, 1):
            name = self._new_id(f"{line.id or 'line'}_w{index}")
            span = _span(element, "ocrx_word", name, "bbox", word, "x_wconf")
            if word.characters:
                span.text = None
                span.extend(
                    _span(element, "ocrx_cinfo", "", "x_bboxes", letter, "x_conf") for letter in word.characters
                )
            span.tail = " " if index < len(words) else None
            element.append(span)

    def _finish(self) -> None:
        """Name seqlab, and what the file can tell now, in the head."""
        for meta in descendants(self.tree.root, "meta"):
            content = meta.get("content", "")
            if meta.get("name") == "ocr-system" and "seqlab" not in content:
                meta.set("content", f"{content}, seqlab {seqlab.__version__}".lstrip(", "))
            if meta.get("name") == "ocr-capabilities":
                told = {name for name in ("ocrx_word", "ocrx_cinfo") if name not in content.split()}
                meta.set("content", " ".join([content.strip(), *sorted(told)]).strip())


def read(path: Path, tree: Tree) -> Hocr:
    """Read the lines of an hOCR tree, in the order of the file."""
    pages = [element for element in tree.root.iter() if "ocr_page" in _classes(element)]
    if len(pages) != 1:
        raise DataError(
            f"{path}: one element of class ocr_page per hOCR file is read, this has {len(pages)}; "
            + ("split it, a file for each page" if pages else "is it hOCR?")
        )
    properties = _properties(pages[0])
    box = _numbers(properties.get("bbox", ""))
    lines: list[PageLine] = []
    _collect(pages[0], ("", ""), lines, str(path))
    width, height = (size(box[2] - box[0]), size(box[3] - box[1])) if len(box) == 4 else (0.0, 0.0)
    return Hocr(path, tree, file_name(properties.get("image", "").strip("\"'")), width, height, lines)


def _collect(element: Element, region: tuple[str, str], lines: list[PageLine], path: str) -> bool:
    """Append the lines below an element, the innermost where lines lie within lines; returns whether there were any."""
    classes = _classes(element)
    if kind := next((name for name in classes if name in _REGIONS), ""):
        region = (attribute(element, "id") or region[0], kind)
    found = False
    for below in element:
        found |= _collect(below, region, lines, path)
    if found or not (kind := next((name for name in classes if name in LINES), "")):
        return found
    name = attribute(element, "id") or ""
    properties = _properties(element)
    box = _numbers(properties.get("bbox", ""))
    polygon = points(properties.get("poly"), f"{path}: line {name!r}, poly")
    if not polygon and len(box) == 4 and box[0] < box[2] and box[1] < box[3]:
        polygon = rectangle(*box)
    words = [word for word in element.iter() if "ocrx_word" in _classes(word)]
    sure = [min(max(values[0] / 100, 0), 1) for w in words if (values := _numbers(_properties(w).get("x_wconf", "")))]
    text = " ".join("".join(word.itertext()) for word in words) if words else "".join(element.itertext())
    lines.append(
        PageLine(
            id=name,
            polygon=polygon,
            baseline=_baseline(box, _numbers(properties.get("baseline", ""))),
            text=" ".join(text.split()),
            confidence=sum(sure) / len(sure) if sure else None,
            region=region[0],
            region_type=region[1],
            line_type=kind,
            element=element,
        )
    )
    return True


def _classes(element: Element) -> list[str]:
    return (element.get("class") or "").split()


def _properties(element: Element) -> dict[str, str]:
    """Read "name value; name value" in ``title``; values may be quoted."""
    pieces = (match[0].split(maxsplit=1) for match in _PROPERTY.finditer(element.get("title") or ""))
    return {piece[0]: piece[1].strip() if len(piece) > 1 else "" for piece in pieces if piece}


def _numbers(text: str) -> list[float]:
    numbers = [number(piece) for piece in text.split()]
    return numbers if all(abs(found) < LIMIT for found in numbers) else []  # NaN fails too


def _baseline(box: list[float], coefficients: list[float]) -> list[Point]:
    """Follow a polynomial, highest power first, whose origin is the bottom left corner of the box."""
    if len(box) != 4 or not 1 <= len(coefficients) <= 5 or box[2] - box[0] < 1:
        return []
    left, _, right, bottom = box
    xs = np.linspace(0, right - left, 2 if len(coefficients) <= 2 else 17)
    ys = np.polyval(coefficients, xs)
    return left_to_right([(left + float(x), bottom + float(y)) for x, y in zip(xs, ys, strict=True)])


def _span(model: Element, kind: str, name: str, box: str, found: Found, sure: str) -> Element:
    """Make an element for a word or a character."""
    title = [f"{box} {' '.join(map(str, box_of(found.quad)))}"] if found.quad else []
    if found.confidence is not None:
        title.append(f"{sure} {round(100 * found.confidence, 2):g}")
    attributes = {"class": kind} | ({"id": name} if name else {}) | ({"title": "; ".join(title)} if title else {})
    return like(model, "span", attributes, found.text)
