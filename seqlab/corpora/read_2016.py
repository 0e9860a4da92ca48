"""READ 2016: handwritten minutes of the council of Bozen, 1470-1805, in Early Modern German.

The data of the ICFHR 2016 competition (Sánchez, Romero, Toselli, Vidal: ICFHR2016 Competition on Handwritten Text
Recognition on the READ Dataset), https://zenodo.org/records/1164045. PAGE XML by Transkribus with RGB page images:

    PublicData/Training/page/*.xml      PublicData/Training/Images/*.JPG      of Train-And-Val-ICFHR-2016.tgz
    PublicData/Validation/page/*.xml    PublicData/Validation/Images/*.JPG
    Test-ICFHR-2016/page/*.xml          Test-ICFHR-2016/*.JPG                 of Test-ICFHR-2016.tgz

The innermost folder whose name begins with Train, Valid or Test tells the split of a page, so other programs' names
of these folders do as well.

**Totals.** Papers count 8,349 / 1,040 / 1,138 lines; other counts here are logged as a warning, for they mean that
results cannot be compared. Lines without text are left out, as there.

**Traps.** Text has ¬ for a hyphen at the end of a line. Images are colour photographs with dark borders. The hands of
the test pages are those of the training pages.
"""

import logging
from pathlib import Path

from seqlab.corpora._common import find_root, some
from seqlab.corpora.pages import cut, distinct
from seqlab.errors import DataError
from seqlab.manifest import read_manifest
from seqlab.pages.files import find_pages

LINES = {"train": 8349, "dev": 1040, "test": 1138}
_PREFIXES = {"train": "train", "valid": "dev", "test": "test"}
_LAYOUT = (
    "It is the unpacked READ 2016 data of zenodo.org/records/1164045: PAGE XML files and images below folders whose "
    "names begin with Train, Valid and Test, for instance PublicData/Training/page/Seite0001.xml"
)
_log = logging.getLogger(__name__)


def prepare(root: str | None, out: str) -> dict[str, Path]:
    """Cut the lines of READ 2016 and write manifests of its own splits.

    Args:
        root: folder that the archives were unpacked in.
        out: folder of the line images and manifests.

    Returns:
        Manifests written: train, dev and test, as far as they are there.

    Raises:
        DataError: root is no READ 2016, pages are faulty, or images are missing.
        FileNotFoundError: root does not exist.
    """
    folder = find_root(root, "read_2016", _LAYOUT)
    splits: dict[str, list[Path]] = {split: [] for split in LINES}
    strays = []
    for path in distinct(find_pages(folder), corpus="read_2016"):
        split = split_of(path.relative_to(folder))
        splits[split].append(path) if split else strays.append(path)
    if not any(splits.values()):
        raise DataError(f"read_2016: {folder} holds no page file of a split. {_LAYOUT}")
    if strays:
        _log.warning("read_2016: %d page file(s) in no split's folder left out: %s", len(strays), some(strays))
    splits = {split: paths for split, paths in splits.items() if paths}
    written = cut(folder, splits, Path(out), corpus="read_2016")
    for split, expected in LINES.items():
        count = len(read_manifest(written[split])) if split in written else 0
        if count == expected:
            _log.info("read_2016 %s: %d lines, as published", split, count)
        else:
            _log.warning(
                "read_2016 %s: %d lines, published are %d; do not compare results with others'", split, count, expected
            )
    return written


def split_of(path: Path) -> str | None:
    """Return the split that the folders of a page file name, the innermost first, or None."""
    for part in reversed(path.parts[:-1]):
        for prefix, split in _PREFIXES.items():
            if part.lower().startswith(prefix):
                return split
    return None
