"""Tables of any names: CSV and TSV with a header, or JSON lines; which column is what is guessed, and told.

Looked at are the names of columns and which values are files on disk. JSON lines that are a manifest are read as one.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from seqlab.corpora._common import manifest_path, some
from seqlab.corpora._images import stop
from seqlab.corpora._speech import inside
from seqlab.corpora._tables import SAVE, read_table
from seqlab.corpora.table import ALIASES, USUAL, Row, read_rows
from seqlab.errors import DataError
from seqlab.fit.items import Item, to_lines
from seqlab.manifest import Line, read_manifest
from seqlab.media.kinds import kind_of

TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl")
COLUMNS = ("media", "text", "speaker", "split", "id", "start", "end")
NATIVE = ("audio", "parts", "image", "strokes", "features")  # fields of a manifest that hold the medium
_SPEAKERS = (*USUAL["speaker"], "writer", "writer_id", "author")
_LOOKED_AT = 200  # rows that columns are guessed from
_NOTES = (".xml", ".json")  # beside other media they are notes, no ink
Endings = dict[Path, dict[str, list[Path]]]  # media files by folder and by name without ending


def find_tables(source: Path) -> dict[str, Path]:
    """Return the tables of a folder, or the one table that is given, by part; "" where a table holds all.

    Raises:
        DataError: there are several, and their names are not those of parts.
    """
    if source.is_file():
        return {"": source} if source.suffix.lower() in TABLE_SUFFIXES else {}
    files = sorted(p for p in source.iterdir() if p.suffix.lower() in TABLE_SUFFIXES and not p.name.startswith("."))
    found: dict[str, Path] = {}
    for file in files:
        if (part := ALIASES.get(file.stem.lower())) is None:
            continue
        if part in found:
            raise DataError(f"{found[part].name} and {file.name} of {source} are both {part}; leave one")
        found[part] = file
    if not found and len(files) > 1:
        raise DataError(f"{source} holds {some([f.name for f in files])}; which is it? seqlab fit {files[0]}")
    return found or ({"": files[0]} if files else {})


def table_lines(
    tables: Mapping[str, Path], media: Path | None, given: Mapping[str, str], out: Path
) -> tuple[dict[str, list[Line]], str]:
    """Read tables.

    Args:
        tables: by part, as find_tables has them.
        media: folder that the media lie below; None: where they are found, the table's folder or one in it.
        given: column by what it holds, of COLUMNS; the others are guessed.
        out: folder of the manifests to write, for paths.

    Returns:
        Lines by part, part "" of rows that name none; and in words which columns were taken.

    Raises:
        DataError: columns cannot be told, or rows are faulty.
    """
    if unknown := sorted(set(given) - set(COLUMNS)):
        raise DataError(f"--columns: {', '.join(unknown)}: there are {', '.join(COLUMNS)}")
    first = next(iter(tables.values()))
    if not given and _is_manifest(first):
        native = {part: read_manifest(path) for part, path in tables.items()}
        for lines in native.values():
            for line in lines:
                rebase(line, out)
        return _by_split(native), "fields of a manifest"
    columns, rows = _sample(first)
    base, chosen, kind = _guess(first, columns, rows, media, dict(given))
    faults: list[str] = []
    endings: Endings = {}
    parts: dict[str, list[Item]] = {}
    for part, path in tables.items():
        if lacking := [c for c in chosen.values() if c not in _sample(path)[0]]:
            raise DataError(f"{path} has no column {', '.join(lacking)}, {first.name} has")
        for own, item in _items(path, base if media or path == first else path.parent, chosen, faults, endings):
            parts.setdefault(part or own, []).append(item)
    stop(faults, "fit")
    told = ", ".join(f"{what} {column!r}" for what, column in chosen.items())
    if unused := [column for column in columns if column and column not in chosen.values()]:
        told += f"; not used: {', '.join(map(repr, unused))}"
    return to_lines(kind, parts, out), f"{kind}; columns: {told}" + (f"; media below {base}" if kind else "")


def rebase(line: Line, out: Path) -> None:
    """Let the paths of a line, relative to its own manifest, count from another folder."""
    for key in ("audio", "image", "features", "strokes"):
        if isinstance(path := getattr(line, key), str):
            setattr(line, key, manifest_path(line.root / path, out))
    if line.parts is not None:
        line.parts = [manifest_path(line.root / part, out) for part in line.parts]
    line.root = out


def _by_split(parts: dict[str, list[Line]]) -> dict[str, list[Line]]:
    """Divide lines of no part by their field "split", where each has one that is known."""
    lines = parts.get("", [])
    own = [str(line.extra.get("split", "")).lower() for line in lines]
    if len(parts) > 1 or not lines or not all(name in ALIASES for name in own):
        return parts
    divided: dict[str, list[Line]] = {}
    for name, line in zip(own, lines, strict=True):
        divided.setdefault(ALIASES[name], []).append(line)
    return divided


def _is_manifest(path: Path) -> bool:
    if path.suffix.lower() != ".jsonl":
        return False
    columns = _sample(path)[0]
    return {"id", "text"} <= set(columns) and any(key in columns for key in NATIVE)


def _sample(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Return the columns of a table and its first rows."""
    columns, rows = _table(path)
    return columns, [row for (_, row), _ in zip(rows, range(_LOOKED_AT), strict=False)]


def _table(path: Path) -> tuple[list[str], Iterator[tuple[int, dict[str, str]]]]:
    """Return columns and rows; of JSON lines the columns are the fields of the first, values as text."""
    if path.suffix.lower() != ".jsonl":
        return read_table(path)
    first = next(_objects(path), None)
    if first is None:
        raise DataError(f"{path} is empty: it needs one JSON object per line")
    return list(first[1]), _objects(path)


def _objects(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            if not raw.strip():
                continue
            try:
                row = json.loads(raw.decode("utf-8-sig"))
            except UnicodeDecodeError as error:
                raise DataError(f"{path}:{number}: byte {raw[error.start]:#04x} is not UTF-8; {SAVE}") from None
            except (ValueError, RecursionError) as error:
                raise DataError(f"{path}:{number}: not JSON ({error})") from None
            if not isinstance(row, dict):
                raise DataError(f"{path}:{number}: a line must be a JSON object")
            yield number, {k: v if isinstance(v, str) else json.dumps(v) for k, v in row.items() if v is not None}


def _guess(
    path: Path, columns: list[str], rows: list[dict[str, str]], media: Path | None, given: dict[str, str]
) -> tuple[Path, dict[str, str], str]:
    """Tell the folder of the media, the column of each thing, and the kind of the media."""
    folders = [media] if media else [path.parent, *sorted(p for p in path.parent.iterdir() if p.is_dir())]
    endings: Endings = {}
    if path.suffix.lower() != ".jsonl" and (no_names := _headless(columns, folders, endings)):
        raise DataError(
            f"{path}: the first row names a file, {no_names}: there is no header; put one on top that names the "
            f"columns, such as file,text ({len(columns)} columns)"
        )
    if absent := [name for name in given.values() if name not in columns]:
        raise DataError(f"{path} has no column {', '.join(absent)}; its header is {', '.join(columns)}")
    plain = {_plain(column): column for column in reversed(columns)}
    names = USUAL | {"speaker": _SPEAKERS}
    chosen = dict(given)
    candidates = [given["media"]] if "media" in given else [c for c in columns if c]
    named = [c for c in candidates if any(kind_of(r.get(c, "")) for r in rows)]
    hits: dict[tuple[str, Path], int] = {}
    best = None
    for tried in (named, candidates):  # names with an ending come first
        hits = {
            (c, f): sum(_locate(f, r.get(c, ""), endings) is not None for r in rows) for c in tried for f in folders
        }
        best = max(hits, key=lambda place: hits[place], default=None)
        if best and hits[best]:
            break
    if best is None or not hits[best]:
        values = [row.get(column, "") for column in candidates for row in rows]
        if several := next((fits for v in values for f in folders if len(fits := _fitting(f, v, endings)) > 1), None):
            raise DataError(
                f"{path}: names of files need their ending: {several[0].stem} could be "
                f"{some([file.name for file in several])}"
            )
        if windows := next((v for v in values if "\\" in v and kind_of(v)), None):
            raise DataError(
                f"{path}: {windows} is a path of Windows, and no such file lies below {media or path.parent}; write "
                "paths that count from the table's folder, or give the folder that they count from, --media DIR"
            )
        looked = f"below {media}" if media else f"in {path.parent} and the folders there"
        raise DataError(
            f"{path}: no column names files that are {looked}; its header is {', '.join(columns)}"
            + (f", its first row {', '.join(list(rows[0].values())[:4])}" if rows else "")
            + ". Give the folder that they lie below, --media DIR, and if need be the column, --columns media=NAME"
        )
    chosen["media"] = best[0]
    if rivals := sorted({c for (c, _), n in hits.items() if n == hits[best] and c != best[0]}):
        raise DataError(f"{path}: {best[0]} and {', '.join(rivals)} both name files; say which, --columns media=NAME")
    for what in COLUMNS[1:]:
        usual = next((plain[_plain(name)] for name in names[what] if _plain(name) in plain), None)
        if what not in chosen and usual is not None and usual not in chosen.values():
            chosen[what] = usual
    if "text" not in chosen:
        rest = [column for column in columns if column and column not in chosen.values()]
        if len(rest) != 1:
            raise DataError(
                f"{path}: which column is the text? Its header is {', '.join(columns)}; say so, --columns text=NAME"
            )
        chosen["text"] = rest[0]
    found = (_locate(best[1], row.get(best[0], ""), endings) for row in rows)
    kinds = {kind_of(file) for file in found if file}
    if len(kinds) != 1:
        raise DataError(f"{path}: column {best[0]} names {' and '.join(sorted(map(str, kinds)))}; fit takes one kind")
    ordered = {what: chosen[what] for what in COLUMNS if what in chosen}
    return best[1], ordered, str(kinds.pop())


def _plain(name: str) -> str:
    """Return a name without what is written this way and that: Speaker ID, speaker-id, speaker_id."""
    return "".join(c for c in name.lower() if c.isalnum())


def _headless(columns: Sequence[str], folders: Iterable[Path], endings: Endings) -> str | None:
    """Return what stands in place of a column's name and names a file."""
    usual = {_plain(name) for names in (*USUAL.values(), _SPEAKERS) for name in names}
    known = any(_plain(column) in usual for column in columns)
    for column in columns:
        if kind_of(column) or (not known and any(_locate(folder, column, endings) for folder in folders)):
            return column
    return None


def _locate(folder: Path, name: str, endings: Endings) -> Path | None:
    """Return the one media file that a name means: as it stands, with slashes for backslashes, or without ending."""
    for spelled in (name, name.replace("\\", "/")):
        try:
            path = inside(folder, spelled, "")
            if kind_of(path) and path.is_file():
                return path
        except (DataError, OSError, ValueError):
            continue
    fits = _fitting(folder, name, endings)
    return fits[0] if len(fits) == 1 else None


def _fitting(folder: Path, name: str, endings: Endings) -> list[Path]:
    """Return the media files that a name without ending could mean."""
    try:
        path = inside(folder, name.strip().replace("\\", "/"), "")
        if kind_of(path):
            return []
        if path.parent not in endings:
            found: dict[str, list[Path]] = {}
            for file in sorted(path.parent.iterdir()) if path.parent.is_dir() else ():
                if kind_of(file) and not file.name.startswith("."):
                    found.setdefault(file.stem, []).append(file)
            endings[path.parent] = found
    except (DataError, OSError, ValueError):
        return []
    fits = endings[path.parent].get(path.name, [])
    return [file for file in fits if file.suffix.lower() not in _NOTES] or fits


def _items(
    path: Path, base: Path, chosen: Mapping[str, str], faults: list[str], endings: Endings
) -> Iterator[tuple[str, Item]]:
    """Yield the part that a row names, or "", with its item."""

    def find(name: str, where: str) -> Path:
        medium = _locate(base, name, endings) or inside(base, name, where)
        if several := _fitting(base, name, endings)[1:]:
            raise DataError(f"{where}: {name}: the name needs its ending, {several[0].name} fits, too")
        return medium

    before: dict[tuple[Path, float, str], Row] = {}
    for row in read_rows(path, _table(path)[1], chosen, find, faults, "media"):
        if not row.fields.get(chosen.get("id", ""), "").strip():
            first = before.setdefault((row.medium, row.span[0], row.part), row)
            if first is not row:
                rows = " and ".join(r.where.rpartition(":")[2] for r in (first, row))
                faults.append(f"{path}: {row.fields[chosen['media']].strip()} is named twice, rows {rows}: leave one")
                continue
        text = " ".join(row.text.split())
        yield row.part, Item(row.id, text, row.medium, row.speaker, *row.span, row.where)
