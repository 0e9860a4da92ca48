"""Find out what data somebody has: tables, page files, images or recordings with texts, trees of other tools."""

import shlex
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from seqlab.corpora import kaldi, librispeech, line_pairs, lj_speech, pages
from seqlab.corpora._common import some
from seqlab.corpora._page_splits import split_pages
from seqlab.errors import DataError
from seqlab.fit.beside import find_pairs, pair_lines
from seqlab.fit.tables import find_tables, table_lines
from seqlab.manifest import Line, read_manifest
from seqlab.media.kinds import kind_of
from seqlab.pages import read_page
from seqlab.pages.files import SUFFIXES as PAGE_SUFFIXES
from seqlab.pages.files import find_pages

Parts = dict[str, list[Line]]  # by train, dev, test; "" what is still to be divided

LOOKED_FOR = """\
looked for, in this order:
  table         a CSV, TSV or JSONL file with columns of media and text, or train.csv, dev.csv and test.csv
  kaldi         data directories with wav.scp and text
  librispeech   folders train-clean-100, dev-clean and so on
  lj_speech     metadata.csv with rows ID|TEXT beside a folder wavs
  pages         PAGE XML, ALTO or hOCR files with their images
  line_pairs    line images with a.gt.txt beside a.png
  audio, image, strokes, features    such files with a.txt, a.lab or a.gt.txt beside a.wav, or lists *.trans.txt"""
LAYOUTS = (
    *("table", "kaldi", "librispeech", "lj_speech", "pages", "line_pairs"),
    *("audio", "image", "strokes", "features"),
)
RUN_FILE = "fit.json"  # marks a run folder of seqlab fit, which may lie below the data
_PAGES_OPENED = 20  # page files that are looked into before a folder counts as one without pages


@dataclass(slots=True)
class Found:
    """What lies in a folder or file.

    Attributes:
        layout: one of LAYOUTS.
        told: in words, how much.
        read: reads it; takes the folder of the manifests to write, returns lines by part and what is to be told.
    """

    layout: str
    told: str
    read: Callable[[Path], tuple[Parts, str]]


def discover(
    source: Path, layout: str | None = None, media: Path | None = None, columns: Mapping[str, str] | None = None
) -> Found:
    """Find out what a folder or file holds; nothing is opened but lists and names.

    Args:
        source: the folder or table.
        layout: one of LAYOUTS that it is known to be, or None.
        media: of tables, the folder that media lie below; None looks for them.
        columns: of tables, the column of each thing, as far as known.

    Raises:
        DataError: there is nothing of use, or more than one layout.
        FileNotFoundError: source does not exist.
    """
    if not source.exists():
        raise FileNotFoundError(f"{source} not found; give a folder or a table (CSV, TSV, JSONL) with your data")
    found = _found(source, media, columns or {}, layout)
    if layout is not None:
        if layout not in found:
            raise DataError(f"{source} is not of layout {layout}: {LOOKED_FOR}")
        return found[layout]
    if len(found) > 1:
        told = "; ".join(f"{name} ({one.told})" for name, one in found.items())
        raise DataError(f"{source} could be several things: {told}. Say which: --layout {next(iter(found))}")
    if not found:
        there = Counter(p.suffix.lower() or "no suffix" for p in _files(source)) if source.is_dir() else Counter()
        seen = ", ".join(f"{n} {suffix}" for suffix, n in there.most_common(6)) or "no table"
        raise DataError(f"nothing to learn from in {source} (there: {seen}); {LOOKED_FOR}")
    return next(iter(found.values()))


def _files(folder: Path) -> list[Path]:
    """List the files below a folder, but hidden ones and those of run folders of seqlab fit."""
    files = sorted(p for p in folder.rglob("*") if not p.name.startswith(".") and p.is_file())
    runs = {path.parent for path in files if path.name == RUN_FILE}
    return [path for path in files if runs.isdisjoint(path.parents)] if runs else files


def _found(source: Path, media: Path | None, columns: Mapping[str, str], layout: str | None) -> dict[str, Found]:
    """Return every layout that fits; those of other tools hide what their trees consist of."""
    found: dict[str, Found] = {}

    def importer(name: str, told: str, prepare: Callable[[Path], dict[str, Path]]) -> None:
        found[name] = Found(name, told, lambda out: (_read_back(_imported(name, source, prepare, out)), ""))

    root = str(source)
    if source.is_dir():
        if any((source / place / "wav.scp").is_file() for place in (".", "train", "data/train")):
            importer("kaldi", "wav.scp", lambda out: kaldi.prepare(root, str(out), dev_share=0.0, test_share=0.0))
        if any((place / name).is_dir() for place in (source, source / "LibriSpeech") for name in librispeech.SUBSETS):
            importer("librispeech", "subset folders", lambda out: librispeech.prepare(root, str(out)))
        if (source / "metadata.csv").is_file() and (source / "wavs").is_dir() and _headless(source / "metadata.csv"):
            importer(
                *("lj_speech", "metadata.csv and wavs"),
                lambda out: lj_speech.prepare(root, str(out), text="keep", dev_share=0.0, test_share=0.0),
            )
    if not found or layout == "table":
        tables = find_tables(source)
        if tables:
            told = some([path.name for path in tables.values()])
            found["table"] = Found("table", told, lambda out: table_lines(tables, media, columns, out))
    if source.is_file() or (found and "table" not in found and layout in (None, *found)):
        return found
    files = _files(source)
    if page_files := _pages(source, files):
        importer(
            *("pages", f"{len(page_files)} page files"),
            lambda out: pages.cut(source, {"train": [], **_divided(source, page_files)}, out),
        )
    pairs = find_pairs(source, files)
    if page_files:  # text files beside them are exports of whole pages
        pairs = {kind: pair for kind, pair in pairs.items() if kind not in ("image", "strokes")}
    count = sum(path.name.endswith(line_pairs.TEXT_SUFFIX) for path in files)
    if count and any(kind_of(path) == "image" for path in files):
        pairs.pop("image", None)
        importer(
            *("line_pairs", f"{count} files .gt.txt beside images"),
            lambda out: line_pairs.prepare(root, str(out), dev_share=0.0, test_share=0.0),
        )
    for kind, pair in pairs.items():
        told = f"{len(pair)} files with text beside them"
        found[kind] = Found(kind, told, lambda out, k=kind, p=pair: (pair_lines(k, p, source, out), ""))  # type: ignore[misc]
    return found


def _imported(name: str, source: Path, prepare: Callable[[Path], dict[str, Path]], out: Path) -> dict[str, Path]:
    """Run an importer; where its message names settings of seqlab prepare, say how they are given."""
    try:
        return prepare(out)
    except DataError as error:
        if "corpus.prepare." not in str(error):
            raise
        command = f"seqlab prepare corpus={name} corpus.folder=DIR {shlex.quote(f'corpus.prepare.root={source}')}"
        raise DataError(
            f"{error}\nseqlab fit has no setting corpus.prepare...: prepare first, with it added to\n  {command}\n"
            "and then fit what lies in DIR: seqlab fit DIR"
        ) from None


def _read_back(manifests: dict[str, Path]) -> Parts:
    """Read what an importer wrote; a part that it did not divide is to be divided here."""
    names = {"test-clean": "test"}  # of LibriSpeech
    parts = {names.get(part, part): read_manifest(path) for part, path in manifests.items()}
    kept = {part: lines for part, lines in parts.items() if part in ("train", "dev", "test")}
    return {"": kept["train"]} if set(kept) == {"train"} else kept


def _headless(path: Path) -> bool:
    """Tell LJ Speech's metadata.csv, without a header, from a table."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        first = file.readline(10_000)
    names = [field.strip().lower() for field in first.split("|")]
    return len(names) > 1 and not {"text", "transcript", "transcription", "sentence"} & set(names)


def _divided(folder: Path, page_files: list[Path]) -> dict[str, list[Path]]:
    """Divide page files by folders train, dev and test; the rest is left to be divided here."""
    return split_pages(folder, pages.distinct(page_files), None, 0.0, 0.0, seed=1)


def _pages(folder: Path, files: list[Path]) -> list[Path]:
    """Return page files, none where the first of them are none: ink and metadata are XML, too."""
    if not any(path.suffix.lower() in PAGE_SUFFIXES for path in files):
        return []
    known = set(files)
    paths = [path for path in find_pages(folder) if path in known]
    for path in paths[:_PAGES_OPENED]:
        try:
            read_page(path)
        except (DataError, OSError):
            continue
        return paths
    return []
