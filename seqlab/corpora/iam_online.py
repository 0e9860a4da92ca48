"""IAM-OnDB: English sentences written on a whiteboard, the pen tracked by infrared, cut into lines.

Liwicki and Bunke, "IAM-OnDB - an on-line English sentence database acquired from handwritten text on a whiteboard",
ICDAR 2005; cite it. Free for non-commercial research after registration with its keepers (fki.tic.heia-fr.ch). 221
writers, about 12,200 lines. Two archives are needed, unpacked into one folder, and the four lists of the task t1:

    lineStrokes/<aaa>/<aaa-bbb>/<form>-<nn>.xml      a01/a01-000/a01-000u-01.xml: the middle folder drops the letter
    ascii/<aaa>/<aaa-bbb>/<form>.txt                 texts, one row per line under the heading CSR:
    trainset.txt testset_v.txt testset_t.txt testset_f.txt    forms, one a row
    forms.txt                                        optional: form and writer

**Splits.** Those of the task IAM-OnDB-t1: trainset = train, testset_v = dev, testset_t = dev2 (a second validation
set), testset_f = test; 5,364 / 1,438 / 1,518 / 3,859 lines. The lists name forms, a form being one page.

**Texts.** The rows under ``CSR:`` say what was truly written, errors included, the k-th for the k-th line; those under
``OCR:`` say what was asked for, broken into other lines. 84 characters. Blanks stand around most punctuation, as in the
LOB corpus; they are kept, only runs of blanks become one.

**Traps.** Texts with another number of rows than stroke files cannot be matched to them: left out, counted and named (2
in the full corpus). So are forms without CSR text (z01-000z), lines whose ink is one point or has no height or no
width, and stroke files of forms in no list. 177 texts have no strokes. The lists have a blank before each form and may
have Windows line ends. Sensor faults make the pen jump. Figures on the reduced symbol set of the task t2 are another
task.
"""

import logging
import re
from collections import defaultdict
from pathlib import Path

import numpy as np

from seqlab.corpora._common import find_root, manifest_path, some, track, write_manifests
from seqlab.errors import DataError
from seqlab.manifest import MAX_FAULTS, Line
from seqlab.media.ink import read_ink

LISTS = {
    "train": "trainset.txt",
    "dev": "testset_v.txt",
    "dev2": "testset_t.txt",
    "test": "testset_f.txt",
}
_LAYOUT = (
    "It comes from fki.tic.heia-fr.ch (registration): unpack lineStrokes-all.tar.gz and ascii-all.tar.gz into one "
    "folder, so that it holds lineStrokes/a01/a01-000/a01-000u-01.xml and ascii/a01/a01-000/a01-000u.txt, and put the "
    f"lists {', '.join(LISTS.values())} of the task IAM-OnDB-t1 beside them"
)
_FORM = re.compile(r"[a-z]\d{2}-\d{3}[a-z]?")
_STROKES = re.compile(r"(?P<form>[a-z]\d{2}-\d{3}[a-z]?)-(?P<number>\d+)")
_log = logging.getLogger(__name__)


def prepare(root: str | None, out: str) -> dict[str, Path]:
    """Write one manifest per list, strokes as paths.

    Args:
        root: folder that holds lineStrokes, ascii and the lists, up to two folders down.
        out: folder of the manifests.

    Returns:
        Manifests written: train, dev, dev2, test, as far as there are lines.

    Raises:
        DataError: root is no IAM-OnDB, a form stands in two lists, or stroke files are faulty.
        FileNotFoundError: root does not exist.
    """
    folder = find_root(root, "iam_online", _LAYOUT)
    splits = _splits(folder)
    texts = _texts(_find(folder, "ascii"))
    writers = _writers(folder)
    files = _stroke_files(_find(folder, "lineStrokes"))
    if unlisted := sorted(set(files) - set(splits)):
        _log.warning("iam_online: %d form(s) with strokes stand in no list: %s", len(unlisted), some(unlisted))
    if absent := sorted(set(splits) - set(files)):
        _log.warning("iam_online: %d listed form(s) have no strokes: %s", len(absent), some(absent))
    chosen: list[tuple[str, Path, str]] = []
    textless, uneven = [], []
    for form in sorted(set(files) & set(splits)):
        rows = texts.get(form, [])
        if not rows:
            textless.append(form)
        elif sorted(files[form]) != list(range(1, len(rows) + 1)):
            uneven.append(f"{form} ({len(rows)} rows, {len(files[form])} stroke files)")
        else:
            chosen += [(form, files[form][number], rows[number - 1]) for number in sorted(files[form])]
    if textless:
        _log.warning("iam_online: %d form(s) without CSR text left out: %s", len(textless), some(textless))
    if uneven:
        _log.warning("iam_online: %d form(s) whose text and strokes differ left out: %s", len(uneven), some(uneven))
    if not chosen:
        raise DataError(f"iam_online: no line with both strokes and text in {folder}. {_LAYOUT}")
    return write_manifests(Path(out), _lines(chosen, splits, writers, Path(out)))


def _find(folder: Path, name: str) -> Path:
    """Find a file or folder of this name in folder, or one or two folders down (archives bring their own)."""
    for pattern in (name, f"*/{name}", f"*/*/{name}"):
        if found := sorted(folder.glob(pattern)):
            return found[0]
    raise DataError(f"iam_online: no {name} in {folder}. {_LAYOUT}")


def _splits(folder: Path) -> dict[str, str]:
    """Read form -> split from the four lists; all but that of training may be absent."""
    splits: dict[str, str] = {}
    for split, name in LISTS.items():
        try:
            path = _find(folder, name)
        except DataError:
            if split == "train":
                raise
            _log.warning("iam_online: %s not found, so no manifest %s", name, split)
            continue
        for number, form in enumerate(path.read_text(encoding="latin-1").split("\n"), 1):
            if not (form := form.strip()):
                continue
            if not _FORM.fullmatch(form):
                raise DataError(f"{path}:{number}: {form[:60]!r} is no form like a01-000u; is it the list of task t1?")
            if splits.setdefault(form, split) != split:
                raise DataError(f"{path}:{number}: form {form} stands in {LISTS[splits[form]]} too; splits must differ")
    return splits


def _texts(folder: Path) -> dict[str, list[str]]:
    """Read form -> rows of its CSR section; [] where there is none."""
    texts = {}
    for path in folder.rglob("*.txt"):
        if _FORM.fullmatch(path.stem):
            _, _, csr = path.read_text(encoding="latin-1").replace("\r", "\n").partition("CSR:")
            texts[path.stem] = [" ".join(row.split()) for row in csr.split("\n") if row.strip()]
    return texts


def _writers(folder: Path) -> dict[str, str]:
    """Read form -> writer from forms.txt: the first two words of each row; {} where it is absent."""
    try:
        path = _find(folder, "forms.txt")
    except DataError:
        _log.info("iam_online: no forms.txt, so no writers")
        return {}
    rows = [row.split() for row in path.read_text(encoding="latin-1").splitlines()]
    return {row[0]: row[1] for row in rows if len(row) > 1 and _FORM.fullmatch(row[0])}


def _stroke_files(folder: Path) -> dict[str, dict[int, Path]]:
    """Find form -> number of the line -> stroke file."""
    files: dict[str, dict[int, Path]] = defaultdict(dict)
    strange = []
    for path in sorted(folder.rglob("*.xml")):
        if match := _STROKES.fullmatch(path.stem):
            files[match["form"]][int(match["number"])] = path
        else:
            strange.append(path.name)
    if strange:
        _log.warning("iam_online: %d file(s) left out, not named <form>-<nn>.xml: %s", len(strange), some(strange))
    return files


def _lines(
    chosen: list[tuple[str, Path, str]], splits: dict[str, str], writers: dict[str, str], out: Path
) -> dict[str, list[Line]]:
    """Read the ink of every line, leave out what is none, and sort the rest by split."""
    manifests: dict[str, list[Line]] = {split: [] for split in LISTS}
    flat, faults = [], []
    for form, path, text in track(chosen, "iam_online"):
        try:
            ink = read_ink(path)
        except DataError as error:
            if "holds no points" in str(error):
                flat.append(path.stem)
                continue
            faults.append(str(error))
            if len(faults) == MAX_FAULTS:
                break
            continue
        if (np.ptp(ink[:, :2], axis=0) == 0).any():
            flat.append(path.stem)
            continue
        strokes = manifest_path(path, out)
        extra = {"form": form, "n_points": len(ink)}
        manifests[splits[form]].append(
            Line(id=path.stem, text=text, strokes=strokes, speaker=writers.get(form), extra=extra)
        )
    if faults:
        more = f", looking stopped after {MAX_FAULTS}" if len(faults) == MAX_FAULTS else ""
        raise DataError(f"iam_online: {len(faults)} faulty file(s){more}:\n" + "\n".join(faults))
    if flat:
        _log.warning(
            "iam_online: %d line(s) of one point, or without height or width, left out: %s", len(flat), some(flat)
        )
    return manifests
