"""Pendigits: digits written on a tablet, as the pen moved, and digit strings set side by side from them.

Alpaydin and Alimoglu, "Pen-Based Recognition of Handwritten Digits", 1996, UCI Machine Learning Repository, dataset 81
(doi 10.24432/C5MG6K), CC BY 4.0. 44 people wrote 250 digits each in boxes on a pressure sensitive tablet (500 x 500).
The files with the original pen movements are UNIPEN text; the files of 16 numbers per digit are of no use here:

    pendigits-orig.tra   7,494 digits of 30 writers          pendigits-orig.tes   3,498 digits of 14 other writers

    .SEGMENT DIGIT 0 ? "8"          label
    .COMMENT 8 12 224               label, writer, running number
    .PEN_DOWN                       then one point x y per row, 0 .. 500
    .PEN_UP

A folder of manifests made before from these files is read too: ``train.jsonl``, ``dev.jsonl``, ``test.jsonl`` with
``strokes``, and ``strings_<split>.jsonl`` with ``parts`` (ids of digits) and ``gap`` (units of space before each).

**Splits.** By writer: the corpus's own train and test writers (``tr01`` .. and ``te01`` ..); dev is three of the
training writers. Nobody stands in two splits.

**Strings.** CTC has little to do on single digits, so ``strings_<split>.jsonl`` holds 3-8 digits of one writer and one
split side by side, 10-80 units of space between the right edge of one digit and the left edge of the next. Heights
within the box stay as written.

**Traps.** y grows up in the source and down in the manifests written here (500 - y). There are no times. One writer's
digits are up to 1.8 times as high as another's. Digits of a part of the corpus must be reported as such.
"""

import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seqlab.corpora._common import DIGITS, find_root, some, track, write_manifests
from seqlab.errors import DataError, UserError
from seqlab.manifest import Line, read_manifest
from seqlab.media.ink import read_unipen, strokes_of

SPLITS = ("train", "dev", "test")
BOX = 500  # tablet units; y is flipped within it
PARTS = (3, 8)  # digits in a string
GAP = (10, 80)  # tablet units between two digits
_FILES = {  # part of the corpus -> names that the file goes by
    "tr": ("pendigits-orig.tra", "pendigits-train", "pendigits-orig.tra.txt"),
    "te": ("pendigits-orig.tes", "pendigits-test", "pendigits-orig.tes.txt"),
}
_LAYOUT = (
    "It is dataset 81 of the UCI Machine Learning Repository: pendigits-orig.tra and pendigits-orig.tes (unpack the .Z "
    "files), or a folder of its manifests train.jsonl, dev.jsonl, test.jsonl, strings_train.jsonl ..."
)
Stroke = list[list[int]]


def prepare(
    root: str | None,
    out: str,
    strings_train: int = 2500,
    strings_dev: int = 300,
    strings_test: int = 300,
    dev_writers: Sequence[str] = ("tr03", "tr28", "tr30"),
    seed: int = 1,
) -> dict[str, Path]:
    """Write manifests of the single digits and of digit strings, strokes inline.

    Args:
        root: folder of the UNIPEN files, or of manifests; manifests bring their own splits and strings, and the
            settings below don't touch them.
        out: folder of the manifests.
        strings_train: digit strings for training; 0 writes none.
        strings_dev: for dev.
        strings_test: for test.
        dev_writers: training writers whose digits become dev.
        seed: draws the strings.

    Returns:
        Manifests written: train, dev, test, strings_train, strings_dev, strings_test, as far as there is data.

    Raises:
        DataError: root is no pendigits, or its files are faulty.
        FileNotFoundError: root does not exist.
        UserError: a setting makes no sense, or out is root.
    """
    numbers = {"train": strings_train, "dev": strings_dev, "test": strings_test}
    for split, number in numbers.items():
        if number < 0:
            raise UserError(f"strings_{split} must be 0 or more, got {number}")
    folder = find_root(root, "pendigits", _LAYOUT)
    found = {part: path for part, names in _FILES.items() for name in names if (path := folder / name).is_file()}
    if found:
        singles = _from_unipen(found, dev_writers)
        strings = {f"strings_{split}": draw_strings(singles[split], split, n, seed) for split, n in numbers.items()}
    elif any((folder / f"{split}.jsonl").is_file() for split in SPLITS):
        if folder.resolve() == Path(out).resolve():
            raise UserError(
                f"pendigits: out is the folder that is read, {folder}; give another, corpus.prepare.out=..."
            )
        singles, strings = _from_manifests(folder)
    else:
        raise DataError(f"pendigits: nothing to read in {folder}. {_LAYOUT}")
    return write_manifests(Path(out), singles | strings, [*SPLITS, *(f"strings_{split}" for split in SPLITS)])


def _from_unipen(files: dict[str, Path], dev_writers: Sequence[str]) -> dict[str, list[Line]]:
    """Read the original files into singles by split."""
    singles: dict[str, list[Line]] = {split: [] for split in SPLITS}
    for part, path in files.items():
        for number, (label, writer, ink) in enumerate(track(read_unipen(path), f"pendigits {path.name}")):
            if label not in list("0123456789") or not writer.isdigit():
                raise DataError(f"{path}: sample {number} has label {label!r} and writer {writer!r}; is it pendigits?")
            # read_unipen turned y into -y; the units are whole numbers
            strokes = [[[round(x), BOX + round(y)] for x, y in stroke.tolist()] for stroke in strokes_of(ink)]
            line = _single(f"pendigits-{part}-{number:05d}", label, f"{part}{int(writer):02d}", strokes)
            split = "test" if part == "te" else "dev" if line.speaker in dev_writers else "train"
            singles[split].append(line)
    if "tr" in files and dev_writers and not singles["dev"]:
        writers = sorted({line.speaker or "" for line in singles["train"]})
        raise UserError(
            f"pendigits: none of dev_writers {', '.join(dev_writers)} is there; valid: {', '.join(writers)}"
        )
    return singles


def _from_manifests(folder: Path) -> tuple[dict[str, list[Line]], dict[str, list[Line]]]:
    """Read manifests whose y grows up into singles and strings by split."""
    singles: dict[str, list[Line]] = {}
    strings: dict[str, list[Line]] = {}
    for split in SPLITS:
        if not (path := folder / f"{split}.jsonl").is_file():
            continue
        singles[split] = []
        for line in track(read_manifest(path), f"pendigits {path.name}"):
            if not isinstance(line.strokes, list):
                raise DataError(f"{line.where}: line {line.id} has no strokes of its own. {_LAYOUT}")
            strokes = [[[x, BOX - y] for x, y, *_ in stroke] for stroke in line.strokes]
            singles[split].append(_single(line.id, line.text, line.speaker, strokes))
        if (path := folder / f"strings_{split}.jsonl").is_file():
            strings[f"strings_{split}"] = _listed_strings(path, {line.id: line for line in singles[split]})
    return singles, strings


def _listed_strings(path: Path, singles: dict[str, Line]) -> list[Line]:
    """Compose the strings that a manifest lists by the ids of their digits."""
    strings, faults = [], []
    for line in read_manifest(path):
        parts, gap = line.parts or [], line.extra.get("gap")
        missing = [part for part in parts if part not in singles]
        if not parts or missing:
            faults.append(f"{line.where}: parts that are no digits of this split: {some(missing) or 'none given'}")
        elif not isinstance(gap, list) or len(gap) != len(parts):
            faults.append(f'{line.where}: "gap" must have {len(parts)} entries, one for each of the parts')
        else:
            strings.append(join(line.id, [singles[part] for part in parts], gap))
            if strings[-1].text != line.text:
                faults.append(f"{line.where}: the text is {line.text!r}, its parts say {strings[-1].text!r}")
    if faults:
        raise DataError(f"pendigits: {len(faults)} faulty string(s):\n{some(faults, 20)}")
    return strings


def _single(id: str, digit: str, writer: str | None, strokes: list[Stroke]) -> Line:
    extra = {"n_points": sum(map(len, strokes)), "word": DIGITS[int(digit)]}
    return Line(id=id, text=digit, strokes=strokes, speaker=writer, extra=extra)


def join(id: str, parts: Sequence[Line], gap: Sequence[int]) -> Line:
    """Set digits side by side.

    Args:
        id: of the new line.
        parts: lines of single digits with strokes of their own.
        gap: units of space before each digit, counted from the right edge of the digit before, for the first from 0.

    Returns:
        A line with the strokes of all parts, ``parts_of`` (their ids) and ``gap``.
    """
    strokes: list[Any] = []
    right = 0
    for part, space in zip(parts, gap, strict=True):
        own: list[Stroke] = part.strokes if isinstance(part.strokes, list) else []
        shift = right + space - min(point[0] for stroke in own for point in stroke)
        strokes += [[[x + shift, y] for x, y in stroke] for stroke in own]
        right = max(point[0] for stroke in strokes[-len(own) :] for point in stroke)
    extra = {"n_points": sum(map(len, strokes)), "parts_of": [part.id for part in parts], "gap": list(gap)}
    return Line(id, "".join(part.text for part in parts), strokes=strokes, speaker=parts[0].speaker, extra=extra)


def draw_strings(singles: Sequence[Line], split: str, number: int, seed: int) -> list[Line]:
    """Draw digits to be set side by side; writers take turns, digits are drawn evenly.

    Args:
        singles: digits of one split.
        split: its name; it enters the ids and the draw.
        number: how many strings.
        seed: equal seeds give equal strings.

    Returns:
        Lines with strokes; none if there are no digits.
    """
    written: dict[str, dict[str, list[Line]]] = defaultdict(lambda: defaultdict(list))
    for line in singles:
        written[line.speaker or ""][line.text].append(line)
    rng = random.Random(f"pendigits strings {split} {seed}")
    strings = []
    writers = sorted(written)
    for count in range(number if writers else 0):
        writer = writers[count % len(writers)]
        parts: list[Line] = []
        for digit in [rng.choice(sorted(written[writer])) for _ in range(rng.randint(*PARTS))]:
            choice = written[writer][digit]  # no sample twice in a string while there are others
            used = {part.id for part in parts}
            parts.append(rng.choice([line for line in choice if line.id not in used] or choice))
        gap = [0] + [rng.randint(*GAP) for _ in parts[1:]]
        strings.append(join(f"{writer}-{split}-str{count:04d}", parts, gap))
    return strings
