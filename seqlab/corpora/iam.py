"""IAM: English handwriting, 13,353 text lines on 1,539 pages by 657 writers.

U.-V. Marti and H. Bunke, "The IAM-database: an English sentence database for offline handwriting recognition", IJDAR 5,
2002; cite it. Registration at fki.tic.heia-fr.ch, non-commercial research only: nothing of it is shipped or downloaded
here. What is read of your folder:

    ascii/lines.txt                                   ID ok|err GRAY NCOMP X Y W H word|word|...
    ascii/forms.txt                                   FORM WRITER ..., optional
    lines/<aaa>/<aaa-bbb>/<aaa-bbb-cc>.png            of lines.tgz, a01/a01-000u/a01-000u-00.png
    xml/<form>.xml                                    for conventions C and D
    lists of the splits                               anywhere below the folder

**Splits.** Four are in use and none may be mixed: Aachen test holds 1,313 lines of official test and 1,468 of the
official validation sets, so never tune on one and test on the other.

    official     the corpus's own lists of lines: 6,161 train, 900 dev, 940 dev2, 1,861 test
    aachen-966   6,161 / 966 / 2,915: the official list for train, all lines of the listed forms for dev and test
    aachen-976   6,482 / 976 / 2,915: all lines of the listed forms; dev has form c04-160
    aachen-2781  6,161 / 910 / 2,781: as aachen-966, dev and test cut to lines of the official lists

**Conventions.** One line is written in four ways, and a perfect reader of one scores up to 31 % word errors on another:

    A  ( Parlophone ) , a lively song      lines.txt, every | a space
    B  as A, "B B C" is BBC, 's 'd 'll 'm 've 't 're joined to the word before
    C  ( Parlophone ), a lively song       A2iA's XML, attribute Value of Line
    D  (Parlophone), a lively song         the corpus's XML, attribute text of line, escaped twice

Lines, characters and words of each part are logged and written to totals.json: they identify split and convention. Give
them beside every error rate.

**Traps.** ``err`` means that the segmentation into *words* failed; text and image of the line are sound. Dropping
these lines makes a fifth of the test disappear (``keep_err: false`` does it, for comparison with papers that did). Some
tokens hold spaces ("M P"). ``#`` is a crossed-out or illegible word and stays in the text. Lines of the XML are missing
here and there; they are left out, counted and named. Images that are web pages are login pages, saved by mistake.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

from seqlab.corpora._common import find_root, manifest_path, some, write_manifests
from seqlab.corpora._iam_text import NAME, Row, read_lines, read_writers, rows_of, text_a, text_b, texts_c, texts_d
from seqlab.corpora._images import read_sizes, report_totals, stop, totals
from seqlab.errors import DataError, UserError
from seqlab.manifest import Line

Split = Literal["official", "aachen-966", "aachen-976", "aachen-2781"]
Convention = Literal["A", "B", "C", "D"]

OFFICIAL = {"train": "trainset", "dev": "validationset1", "dev2": "validationset2", "test": "testset"}
AACHEN = {"train": ("train", "tr"), "dev": ("val", "validation", "valid", "va", "dev"), "test": ("test", "te")}
KNOWN_LINES: dict[str, dict[str, int]] = {
    "official": {"train": 6161, "dev": 900, "dev2": 940, "test": 1861},
    "aachen-966": {"train": 6161, "dev": 966, "test": 2915},
    "aachen-976": {"train": 6482, "dev": 976, "test": 2915},
    "aachen-2781": {"train": 6161, "dev": 910, "test": 2781},
}
KNOWN_TEST = {"A": (125_616, 25_932), "B": (125_494, 25_810), "C": (123_090, 23_406), "D": (121_897, 22_219)}

_C04_160 = "c04-160"  # the form of Aachen's dev that aachen-976 has and the others lack
_LIST_SUFFIXES = (".uttlist", ".lst", ".ln", ".lines", ".txt")
_LAYOUT = (
    "It comes from fki.tic.heia-fr.ch after registration: ascii/lines.txt and lines/<aaa>/<aaa-bbb>/<aaa-bbb-cc>.png, "
    "for instance lines/a01/a01-000u/a01-000u-00.png"
)
_SOURCES = {
    "official": "it comes with largeWriterIndependentTextLineRecognitionTask.zip from fki.tic.heia-fr.ch",
    "aachen": "Aachen's lists of forms come from openslr.org/56 or with the code of papers, as train.uttlist, "
    "validation.uttlist and test.uttlist",
}
_log = logging.getLogger(__name__)


def prepare(
    root: str | None,
    out: str,
    split: Split = "official",
    convention: Convention = "A",
    keep_err: bool = True,
) -> dict[str, Path]:
    """Write one manifest per part of a split.

    Args:
        root: the folder of the corpus.
        out: folder of the manifests and of totals.json.
        split: which lines make train, dev and test.
        convention: how the texts are written.
        keep_err: keep the lines whose segmentation into words failed, as nearly all papers do.

    Returns:
        Manifests written: train, dev, test; of the official split dev2, too. A line's extra fields are ``form``,
        ``status`` and ``tokens``, TEXT of lines.txt.

    Raises:
        UserError: unknown split or convention.
        DataError: files are missing or not as published, or images are faulty.
        FileNotFoundError: root does not exist.
    """
    for name, value, valid in (("split", split, get_args(Split)), ("convention", convention, get_args(Convention))):
        if value not in valid:
            raise UserError(f"iam: {name} must be one of {', '.join(valid)}, got {value!r}")
    folder, target = find_root(root, "iam", _LAYOUT), Path(out)
    files = _files(folder)
    lines_file, forms_file = _text_file(folder, "lines.txt"), _text_file(folder, "forms.txt")
    if lines_file is None:
        raise DataError(f"iam: no ascii/lines.txt in {folder}; unpack ascii.tgz there. {_LAYOUT}")
    lines = read_lines(lines_file)
    writers = read_writers(forms_file) if forms_file else {}
    if not writers:
        _log.info("iam: no forms.txt in %s, so writers are unknown", folder)
    parts = _parts(split, files, lines)
    if not keep_err:
        dropped = sum(row.status == "err" for rows in parts.values() for row in rows)
        parts = {part: [row for row in rows if row.status == "ok"] for part, rows in parts.items()}
        _log.warning("iam: %d line(s) with status err left out; results compare with no usual split", dropped)
    parts, texts = _texts(convention, files, lines, parts)
    images = {row.id: _image(folder, row) for rows in parts.values() for row in rows}
    cure = "Unpack lines.tgz there; files that are web pages are login pages: load the archive again, logged in."
    sizes = dict(zip(images, read_sizes(list(images.values()), "iam images", cure), strict=True))
    manifests = {
        part: [
            Line(
                id=row.id,
                text=texts[row.id],
                image=manifest_path(images[row.id], target),
                width=sizes[row.id][0],
                height=sizes[row.id][1],
                speaker=writers.get(row.form),
                extra={"form": row.form, "status": row.status, "tokens": row.tokens},
            )
            for row in rows
        ]
        for part, rows in parts.items()
    }
    written = write_manifests(target, manifests, OFFICIAL)
    counts = totals(manifests)
    report_totals(target, "iam", {"split": split, "convention": convention, "keep_err": keep_err}, counts, _log)
    if keep_err:
        _compare(split, convention, counts)
    return written


def _files(folder: Path) -> dict[str, list[Path]]:
    """Find the text files and XML files below the folder; returns lower-case file name -> paths."""
    found: dict[str, list[Path]] = {}
    for top, _, names in os.walk(folder):
        for name in names:
            if name.lower().endswith((*_LIST_SUFFIXES, ".xml")) and not name.startswith("."):
                found.setdefault(name.lower(), []).append(Path(top) / name)
    return {name: sorted(paths) for name, paths in sorted(found.items())}


def _text_file(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / "ascii" / name, folder / name) if path.is_file()), None)


def _image(folder: Path, row: Row) -> Path:
    """Return where the image of a line lies, or should: in the published tree, or flat."""
    tree = Path(row.id.partition("-")[0], row.form, f"{row.id}.png")
    choices = [folder / "lines" / tree, folder / tree, folder / "lines" / tree.name]
    return next((path for path in choices if path.is_file()), choices[0])


def _parts(split: Split, files: Mapping[str, list[Path]], lines: Mapping[str, Row]) -> dict[str, list[Row]]:
    """Return the lines of each part of a split."""
    by_form: dict[str, list[Row]] = {}
    for row in lines.values():
        by_form.setdefault(row.form, []).append(row)
    faults: list[str] = []

    def official(part: str) -> list[Row]:
        return _known(_read_list(_official(files, part, split)), lines, by_form, faults)

    def aachen(part: str) -> list[Row]:
        return _known(_aachen(files, part, split), lines, by_form, faults)

    if split == "official":
        parts = {part: official(part) for part in OFFICIAL}
    else:
        train = aachen("train") if split == "aachen-976" else official("train")
        dev = [row for row in aachen("dev") if row.form != _C04_160]
        parts = {"train": train, "dev": dev, "test": aachen("test")}
    if split == "aachen-976":
        parts["dev"] += by_form.get(_C04_160, [])
    if split == "aachen-2781":
        listed = {row.id for part in OFFICIAL for row in official(part)}
        parts |= {part: [row for row in parts[part] if row.id in listed] for part in ("dev", "test")}
    stop(faults, "iam lists", "Lists and lines.txt must be of the same, whole corpus.")
    owner: dict[str, str] = {}
    for part, rows in parts.items():
        if twice := [row.id for row in rows if owner.setdefault(row.id, part) != part]:
            raise DataError(f"iam: {some(twice)} in {part} and in {owner[twice[0]]}: these lists are not of one split")
        if not rows:
            raise DataError(f"iam: no line in {part} of split {split}; its list is empty or of another split")
    return parts


def _read_list(path: Path) -> dict[str, str]:
    """Read a list of forms, lines or line images; returns name -> "file:line"."""
    listed: dict[str, str] = {}
    faults = []
    for number, row in rows_of(path):
        name = row.rpartition("/")[2].removesuffix(".png")
        if NAME.fullmatch(name):
            listed.setdefault(name, f"{path}:{number}")
        else:
            faults.append(f"{path}:{number}: {row[:60]!r} is neither a form (a01-000u) nor a line (a01-000u-00)")
    stop(faults, "iam lists", "If this is no list of IAM, move it out of the folder.")
    return listed


def _official(files: Mapping[str, list[Path]], part: str, split: str) -> Path:
    """Find an official list."""
    name = f"{OFFICIAL[part]}.txt"
    if name not in files:
        raise DataError(f"iam: split {split} needs {name} somewhere below the folder; {_SOURCES['official']}")
    return _one(files[name])


def _aachen(files: Mapping[str, list[Path]], part: str, split: str) -> dict[str, str]:
    """Read an Aachen list as forms; that of train has the forms of the official trainset.txt."""
    names = [f"{stem}{suffix}" for stem in AACHEN[part] for suffix in _LIST_SUFFIXES]
    paths = [path for name in names for path in files.get(name, [])]
    if not paths and part == "train" and "trainset.txt" in files:
        paths = files["trainset.txt"]
    if not paths:
        raise DataError(
            f"iam: split {split} needs the list of {part} forms, {AACHEN[part][0]}.uttlist (or .lst, .ln, .txt; "
            f"also named {', '.join(AACHEN[part][1:])}), somewhere below the folder; {_SOURCES['aachen']}"
        )
    forms: dict[str, str] = {}
    for name, where in _read_list(_one(paths)).items():
        if match := NAME.fullmatch(name):
            forms.setdefault(match["form"], where)
    return forms


def _one(paths: Sequence[Path]) -> Path:
    """Return the first of several files, if all list the same."""
    different = [path for path in paths[1:] if _read_list(path).keys() != _read_list(paths[0]).keys()]
    if different:
        raise DataError(f"iam: {paths[0]} and {some(different)} differ; leave only one of them in the folder")
    return paths[0]


def _known(
    listed: Mapping[str, str], lines: Mapping[str, Row], by_form: Mapping[str, list[Row]], faults: list[str]
) -> list[Row]:
    """Return the lines that a list means, all lines of a form; names that lines.txt lacks go to faults."""
    rows: dict[str, Row] = {}
    for name, where in listed.items():
        if name in lines:
            rows[name] = lines[name]
        elif name in by_form:
            rows |= {row.id: row for row in by_form[name]}
        else:
            faults.append(f"{where}: {name} is not in lines.txt")
    return list(rows.values())


def _texts(
    convention: Convention, files: Mapping[str, list[Path]], lines: Mapping[str, Row], parts: dict[str, list[Row]]
) -> tuple[dict[str, list[Row]], dict[str, str]]:
    """Write the texts; returns the parts without lines that the XML lacks, and id -> text."""
    rows = [row for part in parts.values() for row in part]
    if convention in ("A", "B"):
        write = text_a if convention == "A" else text_b
        return parts, {row.id: write(row.tokens) for row in rows}
    xml = [path for name, paths in files.items() if name.endswith(".xml") for path in paths]
    what = "A2iA's XML files (SinglePage, Line Value=)" if convention == "C" else "the XML files of xml.tgz, <form>.xml"
    texts = texts_c(xml, list(lines.values())) if convention == "C" else texts_d(xml, rows)
    missing = [row.id for row in rows if row.id not in texts]
    if len(missing) == len(rows):
        raise DataError(f"iam: convention {convention} needs {what}, somewhere below the folder; no line was found")
    if missing:
        _log.warning("iam: %d line(s) left out, not in %s: %s", len(missing), what, some(missing))
    return {part: [row for row in rows if row.id in texts] for part, rows in parts.items()}, texts


def _compare(split: str, convention: str, counts: Mapping[str, Mapping[str, int]]) -> None:
    """Warn where counts are not those known of the whole corpus."""
    for part, known in KNOWN_LINES[split].items():
        if counts[part]["lines"] != known:
            _log.warning(
                "iam %s: %d lines, the whole %s has %d; say so with every result",
                *(part, counts[part]["lines"], split, known),
            )
    test = counts["test"]
    if split in ("aachen-966", "aachen-976") and (test["characters"], test["words"]) != KNOWN_TEST[convention]:
        _log.warning(
            "iam test: %d characters and %d words, convention %s is known to have %d and %d",
            *(test["characters"], test["words"], convention, *KNOWN_TEST[convention]),
        )
