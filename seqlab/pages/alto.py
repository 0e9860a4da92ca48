"""ALTO 2, 3 and 4: read the lines of a page and write recognised text into a copy.

What is written follows the schemas (altoxml/schema, alto-v2.0.xsd to alto-4-2.xsd): a TextLine holds Shape, then
String and SP by turns, then HYP. Glyph came with version 4; before it, confidences of characters go to the attribute
CC, from 0 (sure) to 9. Of a filled line all String, SP and HYP are replaced; an empty text is one empty String, as the
schema wants one.

Coordinates may be tenths of a millimetre or 1/1200 inch; the size of the Page leads to pixels.
"""

import re
from pathlib import Path
from xml.etree.ElementTree import Element

import seqlab
from seqlab.errors import DataError
from seqlab.outputs.transcript import Transcript
from seqlab.pages._tree import Tree, attribute, child, children, descendants, insert, like, local, remove
from seqlab.pages.document import (
    LIMIT,
    Found,
    Page,
    PageLine,
    Point,
    box_of,
    composed,
    confidence,
    decimals,
    file_name,
    left_to_right,
    now,
    number,
    points,
    rectangle,
    size,
)

_VERSION = re.compile(r"(?:ns-v|/v|alto-|alto_v)(\d)")
_SOFT_HYPHEN = "\u00ad"


class Alto(Page):
    """An ALTO file."""

    @property
    def version(self) -> int:
        """Major version by namespace or schema; 4 where the file does not say."""
        root = self.tree.root
        said = [value for name, value in root.items() if "xmlns" in name or "chema" in name]
        if (stated := root.get("SCHEMAVERSION", "")[:1]).isdigit():
            return int(stated)
        return next((int(match[1]) for value in said if (match := _VERSION.search(value))), 4)

    def _fill(self, line: PageLine, transcript: Transcript, words: list[Found]) -> None:
        element = line.element
        for name in ("String", "SP", "HYP"):
            for old in children(element, name):
                remove(element, old)
        place = next((i + 1 for i, below in enumerate(element) if local(below) == "Shape"), 0)
        new: list[Element] = []
        for index, word in enumerate(words or [Found("", transcript.confidence, None)], 1):
            if new:
                before, after = words[index - 2].quad, word.quad
                new.append(like(element, "SP", _gap(before, after) if before and after else {}))
            new.append(self._string(line, word, index))
        for offset, below in enumerate(new):
            insert(element, place + offset, below)

    def _string(self, line: PageLine, word: Found, index: int) -> Element:
        string_id = self._new_id(f"{line.id or 'line'}_w{index}")
        box = _box(word.quad) if word.quad else {}
        string = like(line.element, "String", {"ID": string_id, **box, "CONTENT": word.text})
        if word.confidence is not None:
            string.set("WC", decimals(word.confidence))
        if self.version < 4:
            sure = [letter.confidence for letter in word.characters]
            if sure and None not in sure and len(sure) == len(word.text):
                string.set("CC", " ".join(str(round(9 * (1 - min(max(c or 0, 0), 1)))) for c in sure))
            return string
        texts = [composed(letter.text) for letter in word.characters]
        if all(len(text) == 1 for text in texts):  # a Glyph holds one character, and a word has all of its glyphs
            for position, (text, letter) in enumerate(zip(texts, word.characters, strict=True), 1):
                glyph_id = self._new_id(f"{string_id}_g{position}")
                glyph_box = _box(letter.quad) if letter.quad else {}
                glyph = like(line.element, "Glyph", {"ID": glyph_id, **glyph_box, "CONTENT": text})
                if letter.confidence is not None:
                    glyph.set("GC", decimals(letter.confidence))
                string.append(glyph)
        return string

    def _finish(self) -> None:
        """Note in the Description, where there is one, that seqlab made the text."""
        description = child(self.tree.root, "Description")
        if description is None:
            return
        step = [
            like(description, "processingDateTime", text=now()),
            like(description, "processingStepDescription", text="text recognition"),
            like(description, "processingSoftware"),
        ]
        step[2].append(like(description, "softwareName", text="seqlab"))
        step[2].append(like(description, "softwareVersion", text=seqlab.__version__))
        name = "Processing" if self.version >= 4 else "OCRProcessing"
        note = inner = like(description, name, {"ID": self._new_id("seqlab")})
        if self.version < 4:
            inner = like(description, "ocrProcessingStep")
            note.append(inner)
        inner.extend(step)
        last = [i for i, below in enumerate(description) if local(below) == name]
        insert(description, last[-1] + 1 if last else len(description), note)


def read(path: Path, tree: Tree) -> Alto:
    """Read the lines of an ALTO tree, in the order of the file."""
    root = tree.root
    pages = list(descendants(root, "Page"))
    if len(pages) != 1:
        raise DataError(
            f"{path}: one Page per ALTO file is read, this has {len(pages)}; split it, a file for each page"
        )
    page = pages[0]
    tags = {tag.get("ID", ""): tag.get("LABEL", "") for found in children(root, "Tags") for tag in found}
    image = next((found.text for found in descendants(root, "fileName")), "")
    unit = next((found.text or "" for found in descendants(root, "MeasurementUnit")), "pixel").strip()
    lines = []
    for block, line in _lines(page):
        name = attribute(line, "ID") or ""
        where = f"{path}: line {name!r}"
        box = _box_of(line)
        polygon = _polygon(line, where) or box
        strings = [below for below in line if local(below) in ("String", "HYP")]
        sure = [found for string in strings if (found := confidence(string.get("WC"))) is not None]
        lines.append(
            PageLine(
                id=name,
                polygon=polygon,
                baseline=_baseline(line, polygon, where),
                text=_text(strings) if strings else None,
                confidence=sum(sure) / len(sure) if sure else None,
                region=attribute(block, "ID") or "",
                region_type=_label(block, tags),
                line_type=_label(line, tags),
                element=line,
            )
        )
    width, height = (size(number(page.get(name))) for name in ("WIDTH", "HEIGHT"))
    in_pixels = unit in ("pixel", "")
    if not in_pixels and not (width and height):
        raise DataError(f"{path}: its unit is {unit}, and its Page has no WIDTH and HEIGHT to find pixels; add them")
    return Alto(path, tree, file_name(image), width, height, lines, in_pixels)


def _lines(page: Element) -> list[tuple[Element, Element]]:
    return [(block, line) for block in descendants(page, "TextBlock") for line in children(block, "TextLine")]


def _label(element: Element, tags: dict[str, str]) -> str:
    """Return the label of the first tag of a block or line."""
    return next((tags[name] for name in element.get("TAGREFS", "").split() if tags.get(name)), "")


def _text(strings: list[Element]) -> str:
    """Join words with blanks, with or without SP between them; a hyphen belongs to the word before it."""
    text = ""
    for string in strings:
        content = string.get("CONTENT", "")
        if local(string) == "HYP":
            text += "-" if content == _SOFT_HYPHEN else content
        else:
            text += f" {content}" if text else content
    return text


def _box_of(line: Element) -> list[Point]:
    left, top, width, height = (number(line.get(name)) for name in ("HPOS", "VPOS", "WIDTH", "HEIGHT"))
    if not (width > 0 and height > 0 and all(abs(value) < LIMIT for value in (left, top, width, height))):
        return []
    return rectangle(left, top, left + width, top + height)


def _polygon(line: Element, where: str) -> list[Point]:
    shape = child(line, "Shape")
    polygon = None if shape is None else child(shape, "Polygon")
    return [] if polygon is None else points(polygon.get("POINTS"), f"{where}, Polygon")


def _baseline(line: Element, polygon: list[Point], where: str) -> list[Point]:
    """Read BASELINE: points, or as up to version 4.1 a lone y, which crosses the line from left to right."""
    text = attribute(line, "BASELINE")
    level = number(text)
    if level == level:  # a number
        if not polygon:
            return []
        xs, ys = zip(*polygon, strict=True)
        return [(min(xs), level), (max(xs), level)] if min(ys) <= level <= max(ys) else []
    return left_to_right(points(text, f"{where}, BASELINE"))


def _box(quad: list[Point]) -> dict[str, str]:
    left, top, right, bottom = box_of(quad)
    return {"HPOS": str(left), "VPOS": str(top), "WIDTH": str(right - left), "HEIGHT": str(bottom - top)}


def _gap(before: list[Point], after: list[Point]) -> dict[str, str]:
    """Return the place of the white space between two words."""
    _, top, left, _ = box_of(before)
    right = box_of(after)[0]
    return {"WIDTH": str(max(0, right - left)), "HPOS": str(left), "VPOS": str(top)}
