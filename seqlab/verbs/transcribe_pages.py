"""seqlab transcribe on pages: fill PAGE XML, ALTO and hOCR files with the text of their lines."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from rich.console import Console
from rich.progress import Progress

from seqlab.errors import DataError
from seqlab.media import read_image
from seqlab.outputs.transcript import Transcript
from seqlab.pages import LineImage, Page, PageLine, crop_line, find_image, line_reach, read_page, write_page
from seqlab.pages.files import SUFFIXES, find_pages
from seqlab.verbs.transcribe_files import is_done

BATCH_LINES = 32
BATCH_ASPECT = 400.0  # widths over heights of a batch, padding counted; about twenty lines of a book
_log = logging.getLogger(__name__)


class LineRecognizer(Protocol):
    """What is asked of a recogniser: a transcript for each grey line image (Y, S), uint8, of a list."""

    def transcribe(self, source: list[np.ndarray], /) -> list[Transcript]:
        """Transcribe a batch."""
        ...


@dataclass(slots=True)
class _Crop:
    line: PageLine
    image: LineImage

    @property
    def aspect(self) -> float:
        return self.image.image.shape[1] / self.image.image.shape[0]


def find_sources(paths: Sequence[str | Path], out: Path) -> list[tuple[Path, Path]]:
    """List files as given, and the page files of folders, each with the path of its copy.

    Raises:
        DataError: a folder holds none, or a copy would overwrite a source.
    """
    found: list[tuple[Path, Path]] = []
    for path in map(Path, paths):
        if not path.is_dir():
            found.append((path, out / path.name))
        elif inside := find_pages(path, skip=out):
            found += [(page, out / page.relative_to(path)) for page in inside]
        else:
            raise DataError(f"folder {path} holds no page file ({', '.join(sorted(SUFFIXES))})")
    sources = {path.resolve() for path, _ in found}
    for _, copy in found:
        if copy.resolve() in sources:
            raise DataError(f"{copy} is a source and would be overwritten; give another folder for the copies")
    return found


def transcribe_pages(
    recognizer: LineRecognizer,
    files: Sequence[str | Path],
    out_dir: str | Path,
    console: Console,
    images: str | Path | None = None,
    shard: tuple[int, int] = (1, 1),
    made_of: Sequence[Path] | None = None,
) -> list[str]:
    """Recognise the lines of page files and write filled copies; returns a message for all that failed.

    A file that fails does not stop the others; a line that cannot be cut out stays as it was in its file.

    Args:
        recognizer: gives a list of transcripts, with columns of the line images, for a list of line images.
        files: PAGE XML, ALTO or hOCR files, and folders of them, searched to any depth.
        out_dir: folder of the copies, which have the names of their sources, below folders their paths.
        console: for progress and messages.
        images: folder of the page images; None looks beside the page files.
        shard: which part of how many of the files is done, from 1 on.
        made_of: files of the model; given, pages whose copy is newer than they and the source are left out.

    Raises:
        DataError: a folder holds no page file, or a copy would overwrite a source.
    """
    out = Path(out_dir)
    pages = find_sources(files, out)[shard[0] - 1 :: shard[1]]
    if made_of is not None:
        total = len(pages)
        pages = [(path, copy) for path, copy in pages if not is_done([copy], [path, *made_of])]
        console.print(f"{total - len(pages)} of {total} page files are done already", highlight=False, soft_wrap=True)
    failed: list[str] = []
    written: dict[Path, Path] = {}
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("transcribing pages", total=len(pages))
        for path, copy in pages:
            before = len(failed)
            try:
                if copy in written:
                    raise DataError(f"{path}: {written[copy]} has the same name; give them folders of their own")
                page = read_page(path)
                failed += [f"{path}: {fault}" for fault in _fill(recognizer, page, images)]
                write_page(page, copy)
                written[copy] = path
            except (DataError, OSError) as error:
                failed.append(str(error) if str(path) in str(error) else f"{path}: {error}")
            except Exception as error:  # of one file, which shall not cost the others
                _log.debug("%s", path, exc_info=True)
                failed.append(f"{path}: {type(error).__name__}: {error}; please report it, with the file")
            for message in failed[before:]:
                console.print(f"failed: {message}", highlight=False, markup=False, soft_wrap=True)
            progress.advance(task)
    console.print(f"{len(written)} of {len(pages)} page files written to {out}", highlight=False, soft_wrap=True)
    return failed


def _fill(recognizer: LineRecognizer, page: Page, images: str | Path | None) -> list[str]:
    """Recognise the lines of a page and fill it; returns the faults of single lines."""
    image = read_image(find_image(page, images))
    page.fit(image.shape[1], image.shape[0])
    reach = line_reach(page.lines)
    faults: list[str] = []
    crops: list[_Crop] = []
    for line in page.lines:
        try:
            crops.append(_Crop(line, crop_line(image, line, reach)))
        except DataError as error:
            faults.append(str(error))
    for batch in _batches(crops):
        try:
            answers = recognizer.transcribe([crop.image.image for crop in batch])
        except DataError:
            faults += _one_by_one(recognizer, page, batch)
            continue
        for crop, transcript in zip(batch, answers, strict=True):
            page.fill(crop.line, transcript, crop.image)
    return faults


def _one_by_one(recognizer: LineRecognizer, page: Page, batch: Sequence[_Crop]) -> list[str]:
    """Recognise the lines of a batch that failed, so that one line does not cost the others."""
    faults = []
    for crop in batch:
        try:
            (transcript,) = recognizer.transcribe([crop.image.image])
        except DataError as error:
            faults.append(f"line {crop.line.id!r}: {error}")
        else:
            page.fill(crop.line, transcript, crop.image)
    return faults


def _batches(crops: Sequence[_Crop]) -> Iterator[list[_Crop]]:
    """Group lines of like shape, so that little is padding."""
    batch: list[_Crop] = []
    for crop in sorted(crops, key=lambda crop: crop.aspect):  # the last one is the longest
        if batch and (len(batch) == BATCH_LINES or crop.aspect * (len(batch) + 1) > BATCH_ASPECT):
            yield batch
            batch = []
        batch.append(crop)
    if batch:
        yield batch
