"""Page files of any of the formats, and the images that belong to them."""

import logging
import os
from pathlib import Path

from seqlab.errors import DataError
from seqlab.media.image import IMAGE_SUFFIXES
from seqlab.pages import alto, hocr, page_xml
from seqlab.pages._tree import local, parse
from seqlab.pages.document import Page

SUFFIXES = {".xml", ".hocr", ".html", ".htm", ".xhtml"}
_READERS = {"PcGts": page_xml.read, "alto": alto.read, "html": hocr.read}
_log = logging.getLogger(__name__)


def find_pages(folder: Path, skip: Path | None = None) -> list[Path]:
    """List the page files below a folder, to any depth, in order of path.

    METS and metadata files are no pages; hidden files and folders, and macOS's "._" files, are passed over.

    Args:
        folder: where to look.
        skip: folder below it that is left out, for instance that of the results.
    """
    left_out = skip.resolve() if skip is not None and folder.resolve() in skip.resolve().parents else None
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and path.is_file()
        and path.stem.lower() not in ("mets", "metadata")
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and not (left_out and path.resolve().is_relative_to(left_out))
    )


def read_page(path: str | os.PathLike[str]) -> Page:
    """Read a PAGE XML, ALTO or hOCR file; its root element tells which.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: it is none of these, not well-formed, unsafe, or holds several pages.
    """
    path = Path(path)
    tree = parse(path)
    name = local(tree.root)
    if name not in _READERS:
        raise DataError(f"{path} begins with <{name}>; PAGE XML (<PcGts>), ALTO (<alto>) and hOCR (<html>) are read")
    return _READERS[name](path, tree)


def write_page(page: Page, path: str | os.PathLike[str]) -> None:
    """Write a page with what was filled into it, whole or not at all; all else is as it was read."""
    page.write(Path(path))


def find_image(page: Page, images: str | os.PathLike[str] | None = None) -> Path:
    """Find the image of a page by its name.

    Folders that the page file states are those of another machine and do not count. Looked through are the folder of
    the page file, its subfolder ``images``, the folder above (Transkribus keeps its files in a subfolder ``page``) and
    ``images`` there; or the one folder that is given. Where the very name is missing, an image of another kind with
    the same stem will do, and last one with the stem of the page file, which is logged if the file names another.

    Raises:
        FileNotFoundError: none of the folders holds it.
    """
    here = page.path.parent
    folders = [base / sub for base in (here, here.parent) for sub in ("", "images", "Images")]
    folders = folders if images is None else [Path(images)]
    if page.image not in ("", ".", ".."):
        for candidate in (place / page.image for place in folders):
            if candidate.is_file():
                return candidate
        if (found := _with_stem(folders, Path(page.image).stem)) is not None:
            return found
    if (found := _with_stem(folders, page.path.stem)) is not None:
        if page.image:
            _log.warning("%s: its image %r is missing, %s has the name of the page file", page.path, page.image, found)
        return found
    name = page.image or f"{page.path.stem}.png"
    looked = ", ".join(str(place) for place in folders if place.name != "Images")
    raise FileNotFoundError(
        f"{page.path}: its image {name!r} was not found in {looked}; put it there or give the folder of the images"
    )


def _with_stem(folders: list[Path], stem: str) -> Path | None:
    """Return the first image with a stem, of any kind that is read."""
    names = (
        place / f"{stem}{end}" for place in folders for suffix in IMAGE_SUFFIXES for end in (suffix, suffix.upper())
    )
    return next((path for path in names if path.is_file()), None)
