"""Uploads as signals. What comes is hostile: it is measured before it is decoded, and names are never paths."""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from seqlab.errors import DataError
from seqlab.media import array_shape, audio_blocks, image_size, read_ink
from seqlab.media.kinds import SUFFIXES, kind_of
from seqlab.recognizer import Recognizer, Signal
from seqlab.serve.limits import Limits
from seqlab.serve.refused import Refused

_PIECE = 2**20  # bytes copied at a time
_LONGEST_NAME = 120


def open_upload(recognizer: Recognizer, file: BinaryIO, name: str, limits: Limits) -> Signal:
    """Read an upload as the model wants it.

    Args:
        recognizer: the model.
        file: the upload, at its beginning.
        name: of the file, as the client says; only its ending counts.
        limits: of length and size.

    Raises:
        Refused: it is of another kind than the model reads (415), too long (413) or not readable (422).
    """
    kind = recognizer.kind
    other = kind_of(name)
    if other not in (None, kind):
        raise Refused(415, f"this model reads {kind}, the file's name is that of a file of kind {other}")
    with _on_disk(file, Path(name).suffix.lower() if other else "") as path:
        try:
            if kind == "audio":
                return recognizer.open(_audio(path, int(recognizer.model.sample_rate), limits))
            if kind == "image":
                width, height = image_size(path)
                if width * height > limits.megapixels * 1e6:
                    raise Refused(
                        413, f"the image has {width} x {height} pixels; {limits.megapixels:g} million at most"
                    )
            elif kind == "strokes":
                ink = read_ink(path)
                check_points(len(ink), limits)
                return recognizer.open(ink)
            else:
                check_points(array_shape(path)[0], limits)
            return recognizer.open(path)
        except (DataError, FileNotFoundError) as error:
            raise Refused(422, without_paths(str(error))) from None


def check_points(count: int, limits: Limits) -> None:
    """Refuse ink of too many points, or an array of too many rows (413)."""
    if count > limits.points:
        raise Refused(413, f"{count} points; {limits.points} at most: send one line")


def too_long(limits: Limits) -> Refused:
    """Return the refusal of a recording that is too long."""
    return Refused(413, f"longer than {limits.seconds:g} seconds; cut the recording up")


def without_paths(message: str) -> str:
    """Return a message without the server's paths of the file that it is about."""
    folder = re.escape(tempfile.gettempdir())
    return re.sub(rf"{folder}[^\s:;,)]*", "the file", message)


def label(name: str) -> str:
    """Return a file's name as a label of its transcript: no folders, no control characters, not too long."""
    last = re.split(r"[/\\]", name)[-1]
    return "".join(c for c in last if c.isprintable())[:_LONGEST_NAME]


def _audio(path: Path, rate: int, limits: Limits) -> np.ndarray:
    """Decode audio until it is too long: what a header claims does not count."""
    blocks, samples = [], 0
    for block in audio_blocks(path, rate, limits.seconds):
        samples += len(block)
        if samples > limits.seconds * rate:
            raise too_long(limits)
        blocks.append(block)
    if not samples:
        raise DataError("the file holds no samples")
    return np.concatenate(blocks)


@contextmanager
def _on_disk(file: BinaryIO, suffix: str) -> Iterator[Path]:
    """Copy an upload to a file of a name of ours, which is deleted at the end."""
    known = suffix if any(suffix in suffixes for suffixes in SUFFIXES.values()) else ""
    handle, name = tempfile.mkstemp(known, "seqlab-")
    try:
        with os.fdopen(handle, "wb") as copy:
            while piece := file.read(_PIECE):
                copy.write(piece)
        yield Path(name)
    finally:
        os.unlink(name)
