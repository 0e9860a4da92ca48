"""Texts of IAM: lines.txt, forms.txt, and the four conventions in which papers write one and the same line."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element
from xml.sax.saxutils import unescape

from seqlab.corpora._common import track
from seqlab.corpora._images import stop
from seqlab.errors import DataError
from seqlab.media.xml import local, parse_xml

NAME = re.compile(r"(?P<form>[a-z]\d{2}-\d{3}[a-z]?)(?P<line>-\d{2})?")  # of a form, or of one of its lines
_COLUMNS = "ID STATUS GRAY NCOMP X Y W H TEXT"
_GLUED = frozenset({"'s", "'d", "'ll", "'m", "'ve", "'t", "'re"})


@dataclass(frozen=True, slots=True)
class Row:
    """One line of lines.txt: its id, whether its words were segmented well ("ok" or "err"), and TEXT as written."""

    id: str
    status: str
    tokens: str

    @property
    def form(self) -> str:
        """Id of the page."""
        return self.id.rpartition("-")[0]


def rows_of(path: Path) -> list[tuple[int, str]]:
    """Return number and text of the rows of a text file that are neither empty nor comments.

    Raises:
        DataError: a row is not UTF-8.
    """
    rows = []
    for number, raw in enumerate(path.read_bytes().split(b"\n"), 1):  # splitlines would cut at more than line ends
        try:
            row = raw.decode("utf-8-sig").strip()
        except UnicodeDecodeError:
            raise DataError(f"{path}:{number}: not UTF-8; give the file as published") from None
        if row and not row.startswith("#"):
            rows.append((number, row))
    return rows


def read_lines(path: Path) -> dict[str, Row]:
    """Read lines.txt; TEXT may hold spaces ("M P" is one token), so a row has at most eight that part columns.

    Raises:
        DataError: rows are not as published; up to 20 are named.
    """
    lines: dict[str, Row] = {}
    faults = []
    for number, row in rows_of(path):
        columns = row.split(" ", 8)
        name = NAME.fullmatch(columns[0])
        if len(columns) != 9 or not name or not name["line"] or columns[1] not in ("ok", "err"):
            faults.append(f"{path}:{number}: {row[:60]!r} is not '{_COLUMNS}'")
        elif columns[0] in lines:
            faults.append(f"{path}:{number}: {columns[0]} stands there already; keep one")
        else:
            lines[columns[0]] = Row(columns[0], columns[1], columns[8])
    stop(faults, "iam", "Take ascii/lines.txt as it comes in ascii.tgz.")
    return lines


def read_writers(path: Path) -> dict[str, str]:
    """Read form -> writer from forms.txt, "FORM WRITER ..."; further columns are not used.

    Raises:
        DataError: a row has no writer.
    """
    rows = [(number, row.split()) for number, row in rows_of(path)]
    faults = [f"{path}:{number}: {' '.join(c)[:60]!r} is not 'FORM WRITER ...'" for number, c in rows if len(c) < 2]
    stop(faults, "iam", "Take ascii/forms.txt as it comes in ascii.tgz.")
    return {columns[0]: columns[1] for _, columns in rows}


def text_a(tokens: str) -> str:
    """Convention A: tokens parted by spaces."""
    return tokens.replace("|", " ")


def text_b(tokens: str) -> str:
    """Convention B: as A, with spaces inside tokens removed and 's 'd 'll 'm 've 't 're joined to the word before."""
    text = ""
    for token in tokens.split("|"):
        token = token.replace(" ", "")
        text += token if token in _GLUED or not text else " " + token
    return text


def texts_d(files: Iterable[Path], lines: Sequence[Row]) -> dict[str, str]:
    """Convention D: natural texts from the XML files of the corpus, <form>.xml. Lines that are not there are left out.

    The attribute text is escaped twice: ``&amp;quot;`` is a quotation mark.
    """
    forms = {line.form for line in lines}
    texts = {}
    for path in track([path for path in files if path.stem in forms], "iam XML"):
        root = parse_xml(path)
        if local(root.tag) != "form":
            continue  # of the other kind, A2iA's
        for line in root.iter():
            if local(line.tag) == "line" and (text := _plain(line.get("text"))):
                texts[line.get("id", "")] = text
    return texts


def texts_c(files: Sequence[Path], lines: Sequence[Row]) -> dict[str, str]:
    """Convention C: texts from A2iA's XML, whose lines have no ids.

    Lines of a page are found by their letters, for spaces are all that differs from lines.txt; what is left over is
    taken in order, where the page has as many lines here as there. Other lines are left out.

    Args:
        files: XML files; a file may hold many pages, and files of the other kind are passed over.
        lines: all lines of lines.txt, in order; those of a page must be complete.

    Raises:
        DataError: a page stands in two files with different texts.
    """
    pages: dict[str, list[str]] = {}
    for path in track(files, "iam XML"):
        for page in parse_xml(path).iter():
            if local(page.tag) != "SinglePage":
                continue
            form = _stem(page.get("FileName", ""))
            values = _values(page)
            if pages.setdefault(form, values) != values:
                raise DataError(f"iam: {path} has other lines for page {form} than a file before it; keep one of them")
    forms: dict[str, list[Row]] = {}
    for line in lines:
        forms.setdefault(line.form, []).append(line)
    return {name: text for form, rows in forms.items() for name, text in _align(rows, pages.get(form, [])).items()}


def _values(page: Element) -> list[str]:
    return [element.get("Value", "").strip() for element in page.iter() if local(element.tag) == "Line"]


def _stem(file_name: str) -> str:
    return file_name.replace("\\", "/").rpartition("/")[2].partition(".")[0]


def _plain(text: str | None) -> str:
    return unescape(text or "", {"&quot;": '"', "&apos;": "'"}).strip()


def _align(rows: Sequence[Row], values: Sequence[str]) -> Mapping[str, str]:
    """Give the values of a page to its lines."""
    texts: dict[str, str] = {}
    left = list(values)
    for row in rows:
        letters = re.sub(r"[|\s]", "", row.tokens)
        match = next((value for value in left if re.sub(r"\s", "", value) == letters), None)
        if match is not None:
            texts[row.id] = match
            left.remove(match)
    if len(rows) == len(values):
        texts |= zip([row.id for row in rows if row.id not in texts], left, strict=True)
    return {name: text for name, text in texts.items() if text}
