"""XML files that others wrote: parsed without entities, without fetching anything, within limits."""

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from seqlab.errors import DataError
from seqlab.media._files import open_file

MAX_BYTES = 64 * 2**20
MAX_ELEMENTS = 3_000_000  # some 64 MB of the shortest elements would fill gigabytes of memory
MAX_DEPTH = 200
_WIDE = {b"\xfe\xff": "utf-16-be", b"\0<": "utf-16-be", b"\xff\xfe": "utf-16-le", b"<\0": "utf-16-le"}  # first bytes


def local(tag: str) -> str:
    """Return the name of a tag or attribute without its namespace."""
    return tag.rpartition("}")[2]


def parse_xml(path: str | os.PathLike[str]) -> Element:
    """Parse a file into a tree. Names of a namespace look as in ElementTree, "{uri}name".

    A document type that declares no entity is passed over, as IAM's forms need it; what it points to is never read.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: the file is not well-formed, declares or uses entities of its own, or exceeds a limit; the message
            names file, line and cause.
    """
    return XMLReader(path).read()


class _DocumentTypeEnds(Exception):
    """The root begins: no document type comes any more."""


class XMLReader:
    """Expat with a tree builder behind it. ElementTree's own parser gives no hold on entity declarations.

    The document type is read by itself and an empty one stands in for it. With the true one, whose DTD is not read,
    expat would drop entities that it does not know from attributes without a word; now they are errors.

    Attributes:
        kind: what the file should be, for messages.
        web_page: hint for broken files that look like HTML.
        characters: what may be written as entities where there is a document type.
        separator: what stands between namespace and name for expat; None leaves names as they are written.
        doctype: the document type as it was written, "" if there is none.
    """

    kind = "XML file"
    web_page = ". It looks like a web page"
    characters: Mapping[str, str] = {}
    separator: str | None = "}"

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.builder = TreeBuilder()
        self.doctype = ""
        self.elements = self.depth = 0
        parser: expat.XMLParserType = expat.ParserCreate(None, self.separator)
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = lambda text: self.builder.data(text)
        self.parser = parser

    def read(self) -> Element:
        """Parse the file; returns the root. Raises what parse_xml does."""
        data = self.content()
        encoding = _WIDE.get(data[:2], "ascii")
        try:
            start, end = self._find_doctype(data, encoding)
            if end:
                self.parser.Parse(data[:start])
                self.parser.Parse(self._stand_in().encode(encoding))
            self.parser.Parse(data[end:], True)
        except expat.ExpatError as error:
            raise self._explain(error, data) from None
        except DataError:
            raise
        except (ValueError, LookupError) as error:  # encodings that expat or Python do not know
            raise DataError(
                f"{self.path}: XML in an encoding that cannot be read ({error}); save it as UTF-8"
            ) from None
        return self.builder.close()

    def content(self) -> bytes:
        """Return the content of the file."""
        path = self.path
        with open_file(path, self.kind.removesuffix(" file")) as file:
            data = file.read(MAX_BYTES + 1)  # the size on disk may change, or be none
        if len(data) > MAX_BYTES:
            raise DataError(f"{path} is larger than the {MAX_BYTES >> 20} MB that are read of an XML file; split it")
        if not data.strip():
            raise DataError(f"{path} is empty; copy it again, or leave it out")
        return data

    def _find_doctype(self, data: bytes, encoding: str) -> tuple[int, int]:
        """Find first byte and end of the document type, and keep its text; 0 and 0 if there is none."""
        parser = expat.ParserCreate()
        pieces: list[str] = []
        bounds = [0, 0]

        def text(piece: str) -> None:
            if piece == "<!DOCTYPE":
                bounds[0] = parser.CurrentByteIndex
            if piece == "<!DOCTYPE" or (pieces and not bounds[1]):
                pieces.append(piece)

        def close() -> None:
            bounds[1] = parser.CurrentByteIndex + len(">".encode(encoding))

        def stop(*_: object) -> None:
            raise _DocumentTypeEnds

        def refuse(what: str) -> Callable[..., None]:
            def handler(*_: object) -> None:
                raise DataError(
                    f"{self.path}:{parser.CurrentLineNumber}: the file declares {what}, which is not read for safety's "
                    "sake; remove the document type and write characters themselves"
                )

            return handler

        parser.DefaultHandler = text
        parser.EndDoctypeDeclHandler = close
        parser.StartElementHandler = stop
        parser.EntityDeclHandler = refuse("an entity")
        parser.AttlistDeclHandler = refuse("attributes")
        with suppress(_DocumentTypeEnds):
            parser.Parse(data, True)
        if pieces:
            self.doctype = "".join(pieces).replace("\r\n", "\n") + ">"
        return bounds[0], bounds[1]

    def _stand_in(self) -> str:
        """Return a document type of as many rows, that defines the characters alone."""
        escaped = ((name, "".join(f"&#38;#{ord(c)};" for c in text)) for name, text in self.characters.items())
        entities = "".join(f'<!ENTITY {name} "{text}">' for name, text in escaped)
        return f"<!DOCTYPE x [{entities}" + "\n" * self.doctype.count("\n") + "]>"

    def _explain(self, error: expat.ExpatError, data: bytes) -> DataError:
        reason = expat.ErrorString(error.code)
        if self.doctype and reason == expat.errors.XML_ERROR_UNDEFINED_ENTITY:
            return DataError(
                f"{self.path}:{error.lineno}: the file uses an entity that only its document type could define, which "
                "is not read for safety's sake; write the character itself"
            )
        hint = self.web_page if b"<html" in data[:2000].lower() else ""
        return DataError(f"{self.path}:{error.lineno}: not well-formed XML ({reason}){hint}")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self.elements += 1
        self.depth += 1
        if self.depth > MAX_DEPTH or self.elements > MAX_ELEMENTS:
            raise DataError(
                f"{self.path}:{self.parser.CurrentLineNumber}: more than {MAX_DEPTH} elements within one another, or "
                f"{MAX_ELEMENTS:,} in all"
            )
        self.builder.start(_name(tag), {_name(key): value for key, value in attributes.items()})

    def _end(self, tag: str) -> None:
        self.depth -= 1
        self.builder.end(_name(tag))


def _name(name: str) -> str:
    return "{" + name if "}" in name else name
