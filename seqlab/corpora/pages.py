"""Your own pages: a folder of PAGE XML, ALTO or hOCR files with images, cut into text lines.

This is what kraken, eScriptorium and Transkribus export. Page files are searched in all subfolders, images beside them
(see seqlab.pages.find_image). Of PAGE XML, ALTO and hOCR of one image the first is kept. Every line with text becomes a
PNG, straightened along its baseline:

    <out>/lines/<page>/<line>.png        <out>/train.jsonl dev.jsonl test.jsonl

**Splits** go by page, never by line, for the lines of one page know each other. First that applies: lists of pages
(``lists``); subfolders of root that are named train or training, dev, val, valid or validation, and test; else shares,
drawn from the seed.

**Left out**, counted and named: lines without text or with less than ``min_chars`` characters, lines of the region or
line types in ``leave_out``, lines with neither outline nor baseline. White space in a text becomes single blanks, and
the text Unicode's composed form (NFC).
"""

import logging
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from seqlab.corpora._common import find_root, manifest_path, some, track, write_manifests
from seqlab.corpora._images import stop
from seqlab.corpora._page_splits import split_pages
from seqlab.errors import DataError, UserError
from seqlab.manifest import Line
from seqlab.media import read_image, write_image
from seqlab.pages import Page, crop_line, find_image, line_reach, read_page
from seqlab.pages.alto import Alto
from seqlab.pages.document import composed
from seqlab.pages.files import find_pages
from seqlab.pages.hocr import Hocr
from seqlab.pages.page_xml import PageXML

_LAYOUT = "It holds PAGE XML, ALTO or hOCR files with their images beside them, in folders to any depth"
_KINDS: list[type[Page]] = [PageXML, Alto, Hocr]  # the best first
_UNSAFE = re.compile(r"[^\w.-]+")
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Cuts:
    """What came of the lines of one page: manifest lines, and why the others were left out."""

    lines: list[Line] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    named: list[str] = field(default_factory=list)


def prepare(
    root: str | None,
    out: str,
    lists: dict[str, str | list[str]] | None = None,
    dev_share: float = 0.1,
    test_share: float = 0.1,
    seed: int = 1,
    min_chars: int = 1,
    leave_out: list[str] | None = None,
    images: str | None = None,
) -> dict[str, Path]:
    """Cut pages into line images and write manifests of them.

    Args:
        root: folder of the page files.
        out: folder of the line images and manifests.
        lists: pages of train, dev and test: names without suffix, or a text file of one name in each line; pages in no
            list are left out.
        dev_share: share of the pages for dev, where neither lists nor folders decide.
        test_share: likewise for test.
        seed: draws the pages.
        min_chars: shorter texts are left out.
        leave_out: types of regions and lines to leave out, for instance [marginalia, page-number].
        images: folder of the page images; None looks beside the page files.

    Returns:
        Manifests written: train, dev and test, as far as there are lines.

    Raises:
        DataError: there are no pages, pages are faulty, or images are missing; the message names up to 20.
        FileNotFoundError: root does not exist.
    """
    if min(dev_share, test_share) < 0 or dev_share + test_share >= 1:
        raise UserError(
            f"dev_share and test_share must be 0 or more and leave something, got {dev_share}, {test_share}"
        )
    folder = find_root(root, "pages", _LAYOUT)
    paths = distinct(find_pages(folder), images)
    if not paths:
        raise DataError(f"pages: {folder} holds no page file. {_LAYOUT}")
    splits = split_pages(folder, paths, lists, dev_share, test_share, seed)
    return cut(folder, splits, Path(out), min_chars, leave_out or [], images)


def distinct(paths: Sequence[Path], images: str | None = None, corpus: str = "pages") -> list[Path]:
    """Leave out page files whose image another one has, too, so that no page gets into two splits.

    Transkribus, for one, exports each page as page/*.xml and alto/*.xml. PAGE XML goes before ALTO, ALTO before hOCR.

    Args:
        paths: page files; those that cannot be read, or whose image is missing, are kept for cut() to name.
        images: folder of the page images; None looks beside the page files.
        corpus: name for messages.

    Raises:
        DataError: several page files of one format have the same image; the message names up to 20.
    """
    kinds: dict[Path, type[Page]] = {}
    of_image: dict[Path, list[Path]] = {}
    for path in track(paths, f"{corpus} images"):
        try:
            page = read_page(path)
            of_image.setdefault(find_image(page, images).resolve(), []).append(path)
        except (DataError, OSError):
            continue
        kinds[path] = type(page)
    faults: list[str] = []
    left: set[Path] = set()
    for image, rivals in of_image.items():
        best = min((kinds[path] for path in rivals), key=_KINDS.index)
        if len(same := [path for path in rivals if kinds[path] is best]) > 1:
            faults.append(f"{some(same)}: all have the image {image}")
        left.update(path for path in rivals if kinds[path] is not best)
    stop(faults, f"{corpus}: pages", "keep one page file of each image, move copies and results out of the folder")
    if left:
        names = some(sorted(left))
        _log.warning(
            "%s: %d page file(s) left out, their images have others that are kept: %s", corpus, len(left), names
        )
    return [path for path in paths if path not in left]


def cut(
    folder: Path,
    splits: Mapping[str, Sequence[Path]],
    out: Path,
    min_chars: int = 1,
    leave_out: Sequence[str] = (),
    images: str | None = None,
    corpus: str = "pages",
) -> dict[str, Path]:
    """Cut the lines of pages out, write them as PNG, and write a manifest of each split.

    Args:
        folder: what names of pages are relative to.
        splits: page files by split.
        out: folder to write to.
        min_chars: shorter texts are left out.
        leave_out: types of regions and lines to leave out.
        images: folder of the page images; None looks beside the page files.
        corpus: name for messages.

    Raises:
        DataError: pages are faulty, or images are missing; the message names up to 20. No manifest is written then.
    """
    manifests: dict[str, list[Line]] = {}
    page_names: set[str] = set()
    line_ids: set[str] = set()
    left_out: Counter[str] = Counter()
    named: list[str] = []
    faults: list[str] = []
    for split, paths in splits.items():
        manifests[split] = []
        for path in track(paths, f"{corpus} {split}"):
            name = _UNSAFE.sub("_", path.relative_to(folder).with_suffix("").as_posix().replace("/", "_"))
            name = _unused(name, "", page_names)
            try:
                cuts = _cut_page(read_page(path), name, line_ids, out, min_chars, leave_out, images)
            except (DataError, OSError) as error:
                faults.append(str(error))
                continue
            manifests[split] += cuts.lines
            left_out += cuts.left_out
            named += cuts.named
    stop(faults, f"{corpus}: pages", "mend these pages, or move them out of the folder")
    for reason, count in left_out.items():
        _log.warning("%s: %d line(s) left out: %s", corpus, count, reason)
    if named:
        _log.warning("%s: left out: %s", corpus, some(named, 20))
    if not any(manifests.values()):
        raise DataError(
            f"{corpus}: no line of {sum(map(len, splits.values()))} page(s) is of use; are they transcribed?"
        )
    for split, lines in manifests.items():
        _log.info("%s %s: %d lines of %d pages", corpus, split, len(lines), len(splits[split]))
    return write_manifests(out, manifests)


def _unused(name: str, prefix: str, used: set[str]) -> str:
    """Return a name that is new with its prefix, in capitals or not, and note it."""
    number, new = 1, name
    while (key := f"{prefix}{new}".casefold()) in used:
        number += 1
        new = f"{name}-{number}"
    used.add(key)
    return new


def _cut_page(
    page: Page, name: str, ids: set[str], out: Path, min_chars: int, leave_out: Sequence[str], images: str | None
) -> _Cuts:
    """Cut one page; its image is opened only if a line of it is wanted. New line ids are added to those in use."""
    cuts = _Cuts()
    wanted = []
    for number, line in enumerate(page.lines, 1):
        text = composed(" ".join((line.text or "").split()))
        line_name = _UNSAFE.sub("_", line.id) or f"line{number}"
        kind = next((kind for kind in (line.region_type, line.line_type) if kind in leave_out), None)
        if kind is not None:
            cuts.left_out[f"type {kind}"] += 1
        elif not text:
            cuts.left_out["no text"] += 1
        elif len(text) < min_chars:
            cuts.left_out[f"text shorter than {min_chars}"] += 1
            cuts.named.append(f"{name} {line_name} {text!r}")
        else:
            wanted.append((line, line_name, text))
    if not wanted:
        return cuts
    image = read_image(find_image(page, images))
    page.fit(image.shape[1], image.shape[0])
    reach = line_reach(page.lines)
    for line, line_name, text in wanted:
        try:
            crop = crop_line(image, line, reach)
        except DataError as error:
            cuts.left_out["cannot be cut out"] += 1
            cuts.named.append(f"{page.path}: {error}")
            continue
        line_name = _unused(line_name, f"{name}-", ids)
        path = out / "lines" / name / f"{line_name}.png"
        write_image(path, crop.image)
        height, width = crop.image.shape
        extra = {"page": name, "zone": line.region} | ({"type": line.region_type} if line.region_type else {})
        cuts.lines.append(
            Line(
                id=f"{name}-{line_name}",
                text=text,
                image=manifest_path(path, out),
                width=width,
                height=height,
                extra=extra,
            )
        )
    return cuts
