"""Line pairs: your own line images, each with its text in a file beside it, as OCR tools read and write them.

    page1/line-001.png       page1/line-001.gt.txt       one line of text, UTF-8

**Which text belongs to which image.** ``a.gt.txt`` belongs to ``a.png`` (or .jpg, .tif and the like) in the
same folder. If there is none, to the one image whose name has more dots: ``a.bin.png``, ``a.nrm.png``. A text
``a.bin.gt.txt`` belongs to ``a.bin.png``. Texts without image, images without text and empty texts are left out,
counted and named; more than one choice, more than one line of text, or bytes that are not UTF-8 stop the run.

**Splits.** Three sub-folders train, dev and test are taken as they are. Without them, lines are drawn from the seed,
or whole folders, ``split_by: folder``: where a folder is a page, a book or a writer, that is the honest split, for the
lines of one page help each other. Dev and test then have at least one folder each, and may exceed their shares.

**Traps.** Lines of one writer in train and test give error rates that a new writer will not reach. Files are sought to
any depth, so other things that end in .gt.txt are found, too; names that begin with a dot are passed over.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from seqlab.corpora._common import check_shares, draw_splits, find_root, manifest_path, some, write_manifests
from seqlab.corpora._images import read_sizes, stop
from seqlab.errors import DataError, UserError
from seqlab.manifest import Line
from seqlab.media.image import IMAGE_SUFFIXES
from seqlab.media.shards import one_line

SPLITS = ("train", "dev", "test")
TEXT_SUFFIX = ".gt.txt"

_LAYOUT = "It holds line images and their texts, a.png and a.gt.txt, to any depth"
_log = logging.getLogger(__name__)


def prepare(
    root: str | None,
    out: str,
    split_by: Literal["line", "folder"] = "line",
    dev_share: float = 0.1,
    test_share: float = 0.1,
    seed: int = 1,
) -> dict[str, Path]:
    """Write manifests of all pairs below a folder.

    Args:
        root: the folder.
        out: folder of the manifests.
        split_by: draw lines, or whole folders. Without effect where root has folders train, dev and test.
        dev_share: share of the lines that go to dev, from 0 (no dev) to below 1.
        test_share: share of test.
        seed: draws the split.

    Returns:
        Manifests train, dev and test, as far as they have lines. A line's id is its path below root without suffix.

    Raises:
        UserError: shares make no sense.
        DataError: pairs are ambiguous or faulty, there is none, or too few to split.
        FileNotFoundError: root does not exist.
    """
    if split_by not in ("line", "folder"):
        raise UserError(f"line_pairs: split_by must be line or folder, got {split_by!r}")
    check_shares("line_pairs", dev_share, test_share)
    folder = find_root(root, "line_pairs", _LAYOUT)
    lines = _lines(folder, Path(out))
    if present := [name for name in SPLITS if (folder / name).is_dir()]:
        if len(present) < len(SPLITS):
            raise DataError(
                f"line_pairs: {folder} has {' and '.join(present)}, but not all of train, dev and test. Make the "
                "missing folder(s), or rename these if they are no splits"
            )
        return write_manifests(Path(out), _as_they_lie(lines))
    units: dict[str, list[Line]] = {}
    for line in lines:
        units.setdefault(line.id if split_by == "line" else line.extra["folder"], []).append(line)
    cure = ", split_by=line, or folders train, dev and test"
    return write_manifests(Path(out), draw_splits("line_pairs", units, split_by, dev_share, test_share, seed, cure))


def _lines(folder: Path, out: Path) -> list[Line]:
    """Read all pairs, sorted by path."""
    pairs, faults = _pairs(folder)
    texts: dict[Path, str] = {}
    empty: list[str] = []
    for text_path in pairs:
        try:
            text = one_line(text_path.read_bytes().decode("utf-8-sig"), True, str(text_path))
        except UnicodeDecodeError as error:
            faults.append(f"{text_path}: not UTF-8 (byte {error.start}); save it as UTF-8")
        except DataError as error:
            faults.append(str(error))
        else:
            if text:
                texts[text_path] = text
            else:
                empty.append(text_path.relative_to(folder).as_posix())
    stop(faults, "line_pairs")
    if empty:
        _log.warning("line_pairs: %d pair(s) left out, the text is empty: %s", len(empty), some(empty))
    if not texts:
        raise DataError(f"line_pairs: no pair of image and text in {folder}. {_LAYOUT}")
    sizes = read_sizes([pairs[path] for path in texts], "line_pairs")
    return [
        Line(
            id=path.relative_to(folder).as_posix().removesuffix(TEXT_SUFFIX),
            text=text,
            image=manifest_path(pairs[path], out),
            width=width,
            height=height,
            extra={"folder": path.parent.relative_to(folder).as_posix()},
        )
        for (path, text), (width, height) in zip(texts.items(), sizes, strict=True)
    ]


def _pairs(folder: Path) -> tuple[dict[Path, Path], list[str]]:
    """Match texts and images; returns text file -> image file, and faults. What stays alone is logged."""
    images: dict[Path, list[Path]] = {}  # by path without the image's suffix
    wanted: list[Path] = []
    for path in sorted(folder.rglob("*")):
        if path.name.startswith(".") or not path.is_file():
            continue
        if path.name.endswith(TEXT_SUFFIX):
            wanted.append(path)
        elif path.suffix.lower() in IMAGE_SUFFIXES:
            images.setdefault(path.with_suffix(""), []).append(path)
    bases = {path.with_name(path.name.removesuffix(TEXT_SUFFIX)): path for path in wanted}
    longer: dict[Path, list[Path]] = {}  # text file -> images of longer names, each with the longest base that fits
    for stem, paths in images.items():
        base = stem
        while base not in bases and "." in base.name.lstrip("."):
            base = base.with_name(base.name.rpartition(".")[0])
        if base in bases and base != stem:
            longer.setdefault(bases[base], []).extend(paths)
    pairs: dict[Path, Path] = {}
    faults: list[str] = []
    alone: list[str] = []
    for base, path in bases.items():
        choices = images.get(base) or longer.get(path, [])
        if len(choices) == 1:
            pairs[path] = choices[0]
        elif choices:
            names = some([choice.name for choice in choices])
            faults.append(f"{path}: {len(choices)} images could be meant, {names}; leave one, or give each its text")
        else:
            alone.append(path.relative_to(folder).as_posix())
    if alone:
        rule = f"no image of the same name with {', '.join(IMAGE_SUFFIXES)}, nor of that name and more dots (a.bin.png)"
        _log.warning("line_pairs: %d text(s) left out, %s: %s", len(alone), rule, some(alone))
    used = set(pairs.values())
    if left := [path for paths in images.values() for path in paths if path not in used] if not faults else []:
        names = some([path.relative_to(folder).as_posix() for path in left])
        _log.warning("line_pairs: %d image(s) left out, no %s of their own: %s", len(left), TEXT_SUFFIX, names)
    return pairs, faults


def _as_they_lie(lines: Sequence[Line]) -> dict[str, list[Line]]:
    """Split by the folders train, dev and test."""
    manifests: dict[str, list[Line]] = {name: [] for name in SPLITS}
    outside: list[Line] = []
    for line in lines:
        manifests.get(line.extra["folder"].partition("/")[0], outside).append(line)
    if outside:
        names = some([line.id for line in outside])
        _log.warning("line_pairs: %d pair(s) left out, beside train, dev and test: %s", len(outside), names)
    if bare := [name for name, part in manifests.items() if not part]:
        raise DataError(f"line_pairs: no pair in folder {' and '.join(bare)}; fill it, or rename it if it is no split")
    return manifests
