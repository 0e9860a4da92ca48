"""PAGE XML: read the lines of a page and write recognised text into a copy.

Any namespace date is read, also none, with or without prefix. What is written follows the element order of the schema
(PRImA-Research-Lab/PAGE-XML, pagecontent.xsd, 2013-07-15 and 2019-07-15): in a TextLine Coords, Baseline, Word,
TextEquiv, TextStyle; in a Word Coords, Glyph, TextEquiv.

Of a filled line the words are replaced, and of its TextEquiv the one that readers take for its text; further ones and
``custom`` stay, even where they speak about the old text.
"""

import re
from pathlib import Path
from xml.etree.ElementTree import Element

from seqlab.errors import DataError
from seqlab.outputs.transcript import Transcript
from seqlab.pages._tree import Tree, attribute, child, children, clean, descendants, insert, like, local, remove
from seqlab.pages.document import (
    Found,
    Page,
    PageLine,
    Point,
    confidence,
    decimals,
    file_name,
    left_to_right,
    now,
    number,
    points,
    size,
)

_INDEX = re.compile(r"readingOrder\s*\{[^{}]*index\s*:\s*(\d{1,9})(?!\d)")
_TYPE = re.compile(r"structure\s*\{[^{}]*type\s*:\s*([^;}]+)")
_AFTER_TEXT = {"TextStyle", "UserDefined", "Labels"}  # what follows TextEquiv in the schema


class PageXML(Page):
    """A PAGE XML file."""

    def _fill(self, line: PageLine, transcript: Transcript, words: list[Found]) -> None:
        element = line.element
        for old in children(element, "Word"):
            remove(element, old)
        for count, word in enumerate(words, 1):
            if word.quad is not None:
                new = self._word(element, word, f"{line.id or 'line'}_w{count}")
                insert(element, _place(element, {"TextEquiv"} | _AFTER_TEXT), new)
        _set_text(element, transcript.text, transcript.confidence)

    def _word(self, model: Element, word: Found, base: str) -> Element:
        word_id = self._new_id(base)
        element = like(model, "Word", {"id": word_id})
        element.append(like(model, "Coords", {"points": _written(word.quad or [])}))
        for count, letter in enumerate(word.characters, 1):
            glyph = like(model, "Glyph", {"id": self._new_id(f"{word_id}_g{count}")})
            glyph.append(like(model, "Coords", {"points": _written(letter.quad or [])}))
            glyph.append(_text_equiv(model, letter.text, letter.confidence))
            element.append(glyph)
        element.append(_text_equiv(model, word.text, word.confidence))
        return element

    def _finish(self) -> None:
        root = self.tree.root
        texts = {id(line.element): line.text or "" for line in self.lines}
        filled = {id(line.element) for line in self.filled}
        for region in descendants(root, "TextRegion"):
            lines = children(region, "TextLine")
            if children(region, "TextEquiv") and any(id(line) in filled for line in lines):
                ordered = _in_order(lines)
                _set_text(region, "\n".join(texts.get(id(line), "") for line in ordered), None)
        metadata = child(root, "Metadata")
        if metadata is None:
            return
        if (changed := child(metadata, "LastChange")) is None:
            created = child(metadata, "Created")
            changed = like(metadata, "LastChange")
            insert(metadata, 0 if created is None else list(metadata).index(created) + 1, changed)
        changed.text = now()


def read(path: Path, tree: Tree) -> PageXML:
    """Read the lines of a PAGE XML tree, in reading order."""
    found = children(tree.root, "Page")
    if len(found) != 1:
        raise DataError(f"{path}: a PAGE XML file has one Page, this has {len(found)}; is it cut off?")
    page = found[0]
    lines = []
    for region, line in _lines(page):
        name = attribute(line, "id") or ""
        where = f"{path}: line {name!r}"
        equiv = _main_text(line)
        lines.append(
            PageLine(
                id=name,
                polygon=_outline(line, "Coords", where),
                baseline=left_to_right(_outline(line, "Baseline", where)),
                text=None if equiv is None else _content(equiv),
                confidence=None if equiv is None else confidence(equiv.get("conf")),
                region=attribute(region, "id") or "",
                region_type=attribute(region, "type") or _custom_type(region),
                line_type=_custom_type(line),
                element=line,
            )
        )
    width, height = (size(number(page.get(name))) for name in ("imageWidth", "imageHeight"))
    return PageXML(path, tree, file_name(page.get("imageFilename")), width, height, lines)


def _lines(page: Element) -> list[tuple[Element, Element]]:
    """List regions and their lines in reading order: as ReadingOrder says, where it says so, else as in the file."""
    order: dict[str, int] = {}
    reading = child(page, "ReadingOrder")
    if reading is not None:
        for reference in _references(reading):
            order.setdefault(reference, len(order))
    keyed: list[tuple[int, Element]] = []

    def walk(element: Element, rank: int) -> None:
        for below in element:
            below_rank = order.get(attribute(below, "id") or "", rank)
            if local(below).endswith(("Region", "TableCell")):
                if children(below, "TextLine"):
                    keyed.append((below_rank, below))
                walk(below, below_rank)

    walk(page, len(order))
    keyed.sort(key=lambda pair: pair[0])  # stable: equal ranks stay as in the file
    pairs = [(region, line) for _, region in keyed for line in _in_order(children(region, "TextLine"))]
    return pairs + [(page, line) for line in children(page, "TextLine")]  # of writers that know no regions


def _references(group: Element) -> list[str]:
    """List the region ids of a reading order, depth first."""
    members = [element for element in group if local(element)]
    if "Ordered" in local(group) and "Unordered" not in local(group):
        members.sort(key=_index)
    names = []
    for element in members:
        if (name := attribute(element, "regionRef")) is not None:
            names.append(name)
        names += _references(element)
    return names


def _in_order(lines: list[Element]) -> list[Element]:
    """Sort lines of a region by the index in ``custom`` if all have one."""
    found = [_INDEX.search(line.get("custom", "")) for line in lines]
    numbers = [int(match[1]) for match in found if match]
    if len(numbers) < len(lines):
        return lines
    return [lines[i] for i in sorted(range(len(lines)), key=numbers.__getitem__)]


def _index(element: Element) -> float:
    """Return the attribute ``index``, 0 if there is none."""
    value = number(element.get("index"))
    return value if value > 0 else 0.0


def _custom_type(element: Element) -> str:
    match = _TYPE.search(element.get("custom", ""))
    return match[1].strip() if match else ""


def _outline(line: Element, name: str, where: str) -> list[Point]:
    """Read the points of Coords or Baseline; the oldest schemas had Point elements instead of an attribute."""
    element = child(line, name)
    if element is None:
        return []
    if element.get("points") is not None:
        return points(element.get("points"), f"{where}, {name}")
    pairs = " ".join(f"{point.get('x', '?')},{point.get('y', '?')}" for point in children(element, "Point"))
    return points(pairs, f"{where}, {name}")


def _main_text(element: Element) -> Element | None:
    """Return the TextEquiv that counts: a direct child, of several the one with the lowest index."""
    return min(children(element, "TextEquiv"), key=_index, default=None)


def _content(equiv: Element) -> str | None:
    for name in ("Unicode", "PlainText"):
        if (found := child(equiv, name)) is not None:
            return "".join(found.itertext())
    return None


def _text_equiv(model: Element, text: str, conf: float | None) -> Element:
    equiv = like(model, "TextEquiv", {} if conf is None else {"conf": decimals(conf)})
    equiv.append(like(model, "Unicode", text=text))
    return equiv


def _set_text(element: Element, text: str, conf: float | None) -> None:
    """Put a text into the main TextEquiv, or into a new one at its place in the schema."""
    equiv = _main_text(element)
    if equiv is None:
        insert(element, _place(element, _AFTER_TEXT), _text_equiv(element, text, conf))
        return
    equiv.attrib.pop("conf", None)
    if conf is not None:
        equiv.set("conf", decimals(conf))
    for old in children(equiv, "PlainText"):
        remove(equiv, old)
    if (content := child(equiv, "Unicode")) is None:
        content = like(equiv, "Unicode")
        insert(equiv, 0, content)
    for below in list(content):
        content.remove(below)
    content.text = clean(text)


def _place(element: Element, followers: set[str]) -> int:
    """Return where an element goes that the schema wants before those."""
    return next((i for i, below in enumerate(element) if local(below) in followers), len(element))


def _written(quad: list[Point]) -> str:
    """Write points as the schema wants them: whole numbers of 0 or more."""
    return " ".join(f"{max(0, round(x))},{max(0, round(y))}" for x, y in quad)
