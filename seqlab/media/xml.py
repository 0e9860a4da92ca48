"""XML files that others wrote: parsed without entities, without fetching anything, within limits."""

import os
from collections.abc import Callable
from pathlib import Path
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from seqlab.errors import DataError

MAX_BYTES = 64 * 2**20
MAX_ELEMENTS = 3_000_000  # some 64 MB of the shortest elements would fill gigabytes of memory
MAX_DEPTH = 200


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
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"XML file {path} not found")
    if not path.is_file():
        raise DataError(f"{path} is a folder or device; give an XML file")
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)  # the size on disk may change, or be none
    if len(data) > MAX_BYTES:
        raise DataError(f"{path} is larger than the {MAX_BYTES >> 20} MB that are read of an XML file; split it")
    if not data.strip():
        raise DataError(f"{path} is empty; an XML file is needed")
    reader = _Reader(path)
    try:
        reader.parser.Parse(data, True)
    except expat.ExpatError as error:
        hint = " It looks like a web page" if b"<html" in data[:1000].lower() else ""
        raise DataError(
            f"{path}:{error.lineno}: not well-formed XML ({expat.ErrorString(error.code)}).{hint}"
        ) from None
    except DataError:
        raise
    except (ValueError, LookupError) as error:  # encodings that expat or Python do not know
        raise DataError(f"{path}: XML in an encoding that cannot be read ({error}); save it as UTF-8") from None
    return reader.builder.close()


class _Reader:
    """Expat with a tree builder behind it. ElementTree's own parser gives no hold on entity declarations."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.builder = TreeBuilder()
        self.elements = self.depth = 0
        parser: expat.XMLParserType = expat.ParserCreate(None, "}")
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self.builder.data
        parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
        parser.EntityDeclHandler = self._refuse("declares an entity")
        parser.ExternalEntityRefHandler = self._refuse("refers to another file")
        parser.SkippedEntityHandler = self._refuse("uses an entity that XML does not define")
        self.parser = parser

    def _fault(self, cause: str) -> DataError:
        return DataError(f"{self.path}:{self.parser.CurrentLineNumber}: {cause}")

    def _refuse(self, what: str) -> Callable[..., int]:
        def handler(*_: object) -> int:
            raise self._fault(f"the file {what}, which is not read for safety's sake; write the character itself")

        return handler

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self.elements += 1
        self.depth += 1
        if self.depth > MAX_DEPTH or self.elements > MAX_ELEMENTS:
            raise self._fault(f"more than {MAX_DEPTH} elements within one another, or {MAX_ELEMENTS:,} in all")
        self.builder.start(_name(tag), {_name(key): value for key, value in attributes.items()})

    def _end(self, tag: str) -> None:
        self.depth -= 1
        self.builder.end(_name(tag))


def _name(name: str) -> str:
    return "{" + name if "}" in name else name
