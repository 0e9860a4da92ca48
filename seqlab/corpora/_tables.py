"""Tables of text with a header: CSV and TSV."""

import csv
from collections.abc import Iterator
from pathlib import Path

from seqlab.errors import DataError

DELIMITERS = {".tsv": "\t", ".tab": "\t"}  # by the end of the file's name; others are seen from the header


def read_table(
    path: Path, delimiter: str | None = None, quoted: bool = True
) -> tuple[list[str], Iterator[tuple[int, dict[str, str]]]]:
    """Read a table with a header.

    Args:
        path: the file, UTF-8.
        delimiter: what separates columns; None goes by the file's name, else takes the one of "," ";" tab "|" that the
            header has most of.
        quoted: fields may stand in double quotes, as in CSV; else quotes are text.

    Returns:
        Names of the columns, and an iterator over line numbers and rows. Absent fields are "".

    Raises:
        DataError: the file has no header or is not UTF-8; while iterating: a row has more fields than the header.
    """
    if delimiter is None and (delimiter := DELIMITERS.get(path.suffix.lower())) is None:
        with path.open(encoding="utf-8-sig", errors="replace") as head:
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


def _lines(path: Path, delimiter: str, quoting: int) -> Iterator[tuple[int, list[str]]]:
    """Yield line numbers and fields."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file, delimiter=delimiter, quoting=quoting)  # type: ignore[arg-type]
        try:
            for row in rows:
                yield rows.line_num, row
        except csv.Error as error:
            raise DataError(f"{path}:{rows.line_num}: {error}; is it a table with that delimiter?") from None
        except UnicodeDecodeError:
            raise DataError(f"{path} is not UTF-8 after line {rows.line_num}; save it as UTF-8") from None


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
