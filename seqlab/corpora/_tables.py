"""Tables of text with a header: CSV and TSV."""

import codecs
import csv
from collections.abc import Iterator
from pathlib import Path

from seqlab.errors import DataError

SAVE = "save it as UTF-8, for instance: iconv -f latin1 -t utf-8 FILE > NEW"
DELIMITERS = {".tsv": "\t", ".tab": "\t"}  # by the end of the file's name; others are seen from the header


def read_table(
    path: Path, delimiter: str | None = None, quoted: bool = True
) -> tuple[list[str], Iterator[tuple[int, dict[str, str]]]]:
    """Read a table with a header.

    Args:
        path: the file, UTF-8, or UTF-16 with its mark.
        delimiter: what separates columns; None goes by the file's name, else takes the one of "," ";" tab "|" that the
            header has most of.
        quoted: fields may stand in double quotes, as in CSV; else quotes are text.

    Returns:
        Names of the columns, and an iterator over line numbers and rows. Absent fields are "".

    Raises:
        DataError: the file has no header or is of another encoding; while iterating: a row has more fields than the
            header.
    """
    if delimiter is None and (delimiter := DELIMITERS.get(path.suffix.lower())) is None:
        with path.open(encoding=_encoding(path), errors="replace") as head:
            header = next((row for row in head if row.strip()), "")
        delimiter = max(",;\t|", key=header.count)
    quoting = csv.QUOTE_MINIMAL if quoted and delimiter != "\t" else csv.QUOTE_NONE
    rows = _lines(path, delimiter, quoting)
    columns = next((row for _, row in rows if any(row)), [])
    columns = [name.strip() for name in columns]
    if not any(columns):
        raise DataError(f"{path} is empty: its first row names the columns")
    if twice := sorted({name for name in columns if name and columns.count(name) > 1}):
        raise DataError(f"{path}: the header names {', '.join(twice)} twice")
    return columns, _named(path, columns, rows)


def _encoding(path: Path) -> str:
    """Return the encoding of a file by its first bytes."""
    with path.open("rb") as file:
        head = file.read(1000)
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if b"\0" in head:
        raise DataError(f"{path}: line 1 has zero bytes, as UTF-16 without a mark has; save it as UTF-8")
    return "utf-8-sig"


def _bad_byte(path: Path) -> str:
    """Name the first line that is not UTF-8, with its byte."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                return f"{path}:{number}: byte {line[error.start]:#04x} is not UTF-8; {SAVE}"
    return f"{path} is not UTF-8; {SAVE}"


def _lines(path: Path, delimiter: str, quoting: int) -> Iterator[tuple[int, list[str]]]:
    """Yield line numbers and fields."""
    encoding = _encoding(path)
    with path.open(encoding=encoding, newline="") as file:
        rows = csv.reader(file, delimiter=delimiter, quoting=quoting)  # type: ignore[arg-type]
        try:
            for row in rows:
                yield rows.line_num, row
        except csv.Error as error:
            raise DataError(f"{path}:{rows.line_num}: {error}; is it a table with that delimiter?") from None
        except UnicodeDecodeError:
            if encoding == "utf-16":
                raise DataError(f"{path} is damaged UTF-16 after line {rows.line_num}; save it as UTF-8") from None
            raise DataError(_bad_byte(path)) from None


def _named(
    path: Path, columns: list[str], rows: Iterator[tuple[int, list[str]]]
) -> Iterator[tuple[int, dict[str, str]]]:
    for number, row in rows:
        if not any(row):
            continue
        if len(row) > len(columns):
            raise DataError(
                f"{path}:{number}: {len(row)} fields, the header has {len(columns)}; put texts that hold the delimiter "
                "into double quotes, or use a tab as delimiter"
            )
        yield number, dict(zip(columns, [*row, *[""] * (len(columns) - len(row))], strict=True))
