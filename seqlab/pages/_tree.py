"""XML trees that are changed in places and written back with all the rest as it was.

Names stay as they are written, prefix included ("pc:TextLine"), and declarations of namespaces are attributes like
others, so a copy has the same prefixes in the same places. Comments, processing instructions, the document type and
what stands outside the root are kept. A copy differs from its source only where XML says that nothing differs: the
encoding (always UTF-8), quotes around attributes, CDATA sections.
"""

import html.entities
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.etree.ElementTree import Comment, Element, ProcessingInstruction, TreeBuilder

from seqlab.files import atomic_write
from seqlab.media.xml import XMLReader

# HTML's named characters, which an XHTML document type stands for.
_CHARACTERS = {name[:-1]: text for name, text in html.entities.html5.items() if name.endswith(";")}
# What XML 1.0 cannot hold, not even as a character reference.
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_VOID = {"area", "base", "br", "col", "hr", "img", "input", "link", "meta", "wbr"}  # HTML's elements without an end


@dataclass(slots=True)
class Tree:
    """An XML document.

    Attributes:
        root: its root; tags and attributes have the names as written, prefix included.
        before: what stands before the root, after the XML declaration.
        after: what stands after the root.
        declaration: version and "standalone" of the XML declaration, or None if there was none.
        newline: how its lines end.
    """

    root: Element
    before: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)
    declaration: tuple[str, bool | None] | None = None
    newline: str = "\n"

    @property
    def is_html(self) -> bool:
        """Whether it is a web page, where only some elements may be written as <br/>."""
        return local(self.root) == "html"

    def text(self) -> str:
        """Return the document as text, in lines that end with a line feed; it is to be stored as UTF-8."""
        parts = []
        if self.declaration is not None:
            version, standalone = self.declaration
            tail = "" if standalone is None else f' standalone="{"yes" if standalone else "no"}"'
            parts.append(f'<?xml version="{version}" encoding="UTF-8"{tail}?>\n')
        parts += [f"{piece}\n" for piece in self.before]
        _serialise(self.root, parts, self.is_html)
        parts += [f"\n{piece}" for piece in self.after]
        return "".join(parts) + "\n"

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the document in UTF-8, whole or not at all."""
        text = self.text()
        with atomic_write(path) as file:
            file.write(text.replace("\n", self.newline) if self.newline != "\n" else text)


def local(element: Element) -> str:
    """Return the name of an element without its prefix; "" for comments and processing instructions."""
    return element.tag.rpartition(":")[2] if isinstance(element.tag, str) else ""


def attribute(element: Element, name: str) -> str | None:
    """Return the value of an attribute without a prefix, stripped, or None."""
    value = element.get(name)
    return None if value is None else value.strip()


def children(element: Element, name: str) -> list[Element]:
    """Return the direct children with a local name."""
    return [child for child in element if local(child) == name]


def child(element: Element, name: str) -> Element | None:
    """Return the first direct child with a local name."""
    return next((found for found in element if local(found) == name), None)


def descendants(element: Element, name: str) -> Iterator[Element]:
    """Yield the elements below, in document order, with a local name."""
    return (found for found in element.iter() if found is not element and local(found) == name)


def clean(text: str) -> str:
    """Replace what XML cannot hold by the replacement character."""
    return _FORBIDDEN.sub("\ufffd", text)


def like(model: Element, name: str, attributes: dict[str, str] | None = None, text: str | None = None) -> Element:
    """Make an element in the namespace of another: with its prefix."""
    prefix = model.tag.rpartition(":")[0] if isinstance(model.tag, str) else ""
    element = Element(f"{prefix}:{name}" if prefix else name, {k: clean(v) for k, v in (attributes or {}).items()})
    element.text = None if text is None else clean(text)
    return element


def insert(parent: Element, index: int, new: Element) -> None:
    """Insert an element with its children, indented as its siblings are."""
    margin = _margin(parent)
    if margin is not None:
        _indent(new, margin)
        if index < len(parent):
            new.tail = margin
        elif len(parent):
            new.tail, parent[-1].tail = parent[-1].tail, margin
        else:
            new.tail = parent.text[: parent.text.rfind("\n")] if parent.text else None
    parent.insert(index, new)


def remove(parent: Element, old: Element) -> None:
    """Remove an element; what stands around it stays indented."""
    index = list(parent).index(old)
    if index == len(parent) - 1 and index and not (parent[index - 1].tail or "").strip():
        parent[index - 1].tail = old.tail
    parent.remove(old)


def _margin(parent: Element) -> str | None:
    """Return the white space before each child, or None where there is none."""
    text = parent.text
    return text if text and "\n" in text and not text.strip() else None


def _indent(element: Element, margin: str) -> None:
    unit = "\t" if margin.endswith("\t") else "  "
    if len(element):
        element.text = margin + unit
        for below in element:
            _indent(below, margin + unit)
            below.tail = margin + unit
        element[-1].tail = margin


def parse(path: str | os.PathLike[str]) -> Tree:
    """Parse a file.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: it is not well-formed, declares entities or attributes, uses entities that HTML does not name, or
            exceeds a limit; the message names file and line.
    """
    reader = _Reader(path)
    root = reader.read()
    return Tree(root, reader.before, reader.after, reader.declaration, reader.newline)


class _Reader(XMLReader):
    """A reader that keeps names, comments, instructions and what stands around the root as they are written."""

    kind = "page file"
    web_page = "; hOCR is read as XHTML: close every tag and quote every attribute (tidy -asxml does)"
    characters = _CHARACTERS
    separator = None

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(path)
        self.builder = TreeBuilder(insert_comments=True, insert_pis=True)
        self.before: list[str] = []
        self.after: list[str] = []
        self.declaration: tuple[str, bool | None] | None = None
        self.newline = "\n"
        self.parser.CommentHandler = self._comment
        self.parser.ProcessingInstructionHandler = self._instruction
        self.parser.XmlDeclHandler = self._declare
        self.parser.StartDoctypeDeclHandler = lambda *_: self.before.append(self.doctype)

    def content(self) -> bytes:
        """Return the content of the file, and note how its lines end."""
        data = super().content()
        self.newline = "\r\n" if b"\r\n" in data else "\n"
        return data

    def _outside(self) -> list[str] | None:
        return None if self.depth else self.after if self.elements else self.before

    def _comment(self, text: str) -> None:
        if (outside := self._outside()) is not None:
            outside.append(f"<!--{text}-->")
        else:
            self.builder.comment(text)

    def _instruction(self, target: str, data: str) -> None:
        if (outside := self._outside()) is not None:
            outside.append(f"<?{target} {data}?>" if data else f"<?{target}?>")
        else:
            self.builder.pi(target, data)

    def _declare(self, version: str, _encoding: str | None, standalone: int) -> None:
        self.declaration = (version, None if standalone < 0 else bool(standalone))


def _serialise(root: Element, parts: list[str], is_html: bool) -> None:
    """Append the text of an element, its children and tails; the root's own tail left out."""
    stack: list[Element | str] = [root]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            parts.append(item)
            continue
        tail = _text(item.tail or "") if item is not root else ""
        if item.tag is Comment:
            parts.append(f"<!--{item.text or ''}-->{tail}")
            continue
        if item.tag is ProcessingInstruction:
            parts.append(f"<?{item.text or ''}?>{tail}")
            continue
        head = f"<{item.tag}" + "".join(f' {name}="{_value(value)}"' for name, value in item.items())
        if not len(item) and not item.text and (not is_html or local(item) in _VOID):
            parts.append(f"{head}/>{tail}")
            continue
        parts.append(f"{head}>{_text(item.text or '')}")
        stack.append(f"</{item.tag}>{tail}")
        stack.extend(reversed(item))


def _text(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#13;")


def _value(text: str) -> str:
    text = _text(text).replace('"', "&quot;")
    return text.replace("\t", "&#9;").replace("\n", "&#10;")
