"""Uploads as work for models. What comes is hostile: it is measured before it is decoded, and a name is no path."""

import os
import re
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from seqlab.errors import DataError
from seqlab.media import array_shape, audio_blocks, image_size, read_ink
from seqlab.media.kinds import SUFFIXES, kind_of
from seqlab.outputs.transcript import Transcript
from seqlab.recognizer import Recognizer
from seqlab.serve.limits import Limits
from seqlab.serve.refused import Refused
from seqlab.serve.worker import Worker
from seqlab.signals import Signal
from seqlab.streaming import LONG_SECONDS, transcribe_long

_PIECE = 2**20  # bytes copied at a time
_LONGEST_NAME = 120


def submit_upload(
    worker: Worker, file: BinaryIO, name: str, limits: Limits, left: Callable[[], bool] = lambda: False
) -> "Future[Transcript]":
    """Give an upload to a model; a recording of more than ten minutes is read from disk, in constant memory.

    Args:
        worker: of the model.
        file: the upload, at its beginning.
        name: of the file, as the client says; only its ending counts.
        limits: of length and size.
        left: tells whether nobody waits for the answer any more; a long recording is then read no further.

    Raises:
        Refused: it is of another kind than the model reads (415), too long (413) or not readable (422), or too many
            lines wait for the model (503).
    """
    signal = _open(worker.recognizer, file, name, limits)
    if isinstance(signal, Signal):
        return worker.submit(signal)
    path = signal

    def go_on(_: float) -> None:
        if left():
            raise gone()

    try:
        future = worker.submit(lambda: transcribe_long(worker.recognizer, path, progress=go_on))
    except Refused:
        path.unlink()
        raise
    future.add_done_callback(lambda _: path.unlink())
    return future


def _open(recognizer: Recognizer, file: BinaryIO, name: str, limits: Limits) -> Signal | Path:
    """Read an upload as the model wants it; a long recording stays on disk, for the caller to delete."""
    kind = recognizer.kind
    other = kind_of(name)
    if other not in (None, kind):
        raise Refused(415, f"this model reads {kind}, the file's name is that of a file of kind {other}")
    with _on_disk(file, Path(name).suffix.lower() if other else "") as path:
        try:
            if kind == "audio":
                samples = _audio(path, int(recognizer.model.sample_rate), limits)
                return path.rename(path.with_stem(f"{path.stem}-long")) if samples is None else recognizer.open(samples)
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


def gone() -> Refused:
    """Return what ends the work for a client that has left; nobody is there to see it but the log."""
    return Refused(499, "the client has left")


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


def _audio(path: Path, rate: int, limits: Limits) -> np.ndarray | None:
    """Decode audio until it is too long: what a header claims does not count. None: it is long, but not too long."""
    blocks: list[np.ndarray] = []
    samples = 0
    for block in audio_blocks(path, rate, limits.seconds):
        samples += len(block)
        if samples > limits.seconds * rate:
            raise too_long(limits)
        blocks.append(block)
        if samples > LONG_SECONDS * rate:
            blocks.clear()
    if not samples:
        raise DataError("the file holds no samples")
    return None if samples > LONG_SECONDS * rate else np.concatenate(blocks)


@contextmanager
def _on_disk(file: BinaryIO, suffix: str) -> Iterator[Path]:
    """Copy an upload to a file of a name of ours, which is deleted at the end, if it is still there."""
    known = suffix if any(suffix in suffixes for suffixes in SUFFIXES.values()) else ""
    handle, name = tempfile.mkstemp(known, "seqlab-")
    try:
        with os.fdopen(handle, "wb") as copy:
            while piece := file.read(_PIECE):
                copy.write(piece)
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)
