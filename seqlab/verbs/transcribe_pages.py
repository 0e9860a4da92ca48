"""seqlab transcribe on pages: fill PAGE XML, ALTO and hOCR files with the text of their lines."""

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
from seqlab.pages.files import SUFFIXES

BATCH_LINES = 32
BATCH_ASPECT = 400.0  # widths over heights of a batch, padding counted; about twenty lines of a book


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


def find_pages(paths: Sequence[str | Path]) -> list[Path]:
    """Return files as given and the page files of folders, in order of name; METS files are no pages.

    Raises:
        DataError: a folder holds none.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())
            inside = [p for p in inside if p.stem.lower() not in ("mets", "metadata")]
            if not inside:
                raise DataError(f"folder {path} holds no page file ({', '.join(sorted(SUFFIXES))})")
            found += inside
        else:
            found.append(path)
    return found


def transcribe_pages(
    recognizer: LineRecognizer,
    files: Sequence[str | Path],
    out_dir: str | Path,
    console: Console,
    images: str | Path | None = None,
) -> list[str]:
    """Recognise the lines of page files and write filled copies; returns a message for all that failed.

    A file that fails does not stop the others; a line that cannot be cut out stays as it was in its file.

    Args:
        recognizer: gives a list of transcripts, with columns of the line images, for a list of line images.
        files: PAGE XML, ALTO or hOCR files, and folders of them.
        out_dir: folder of the copies, which have the names of their sources.
        console: for progress and messages.
        images: folder of the page images; None looks beside the page files.

    Raises:
        DataError: out_dir is the folder of a page file, which is never overwritten.
    """
    pages = find_pages(files)
    out = Path(out_dir)
    for path in pages:
        if path.parent.resolve() == out.resolve():
            raise DataError(f"{path} lies in {out} and would be overwritten; give another folder for the copies")
    failed: list[str] = []
    written: dict[str, Path] = {}
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("transcribing pages", total=len(pages))
        for path in pages:
            before = len(failed)
            try:
                if path.name in written:
                    raise DataError(f"{path}: {written[path.name]} has the same name; give them folders of their own")
                page = read_page(path)
                failed += [f"{path}: {fault}" for fault in _fill(recognizer, page, images)]
                write_page(page, out / path.name)
                written[path.name] = path
            except (DataError, OSError) as error:
                failed.append(str(error) if str(path) in str(error) else f"{path}: {error}")
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
