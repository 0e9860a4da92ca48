"""Audio files of any length, block by block."""

import os
from collections.abc import Iterator

import numpy as np
import soxr

from seqlab.media.containers import MAX_DURATION, check_complete, mono_blocks, open_audio


def audio_blocks(path: str | os.PathLike[str], sample_rate: int, longest: float = MAX_DURATION) -> Iterator[np.ndarray]:
    """Read an audio file as mono, a block at a time: what ``read_audio`` returns, in constant memory.

    Args:
        path: the file.
        sample_rate: rate to resample to, in Hz.
        longest: seconds that are of use. What ffmpeg must decode, into a temporary file, ends a second later; who
            refuses longer files counts the samples.

    Yields:
        Blocks (S,), float32; some may be empty.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: as for read_audio; that a file is cut off may show at its end only.
    """
    with open_audio(path, longest) as file:
        rate, count = int(file.samplerate), 0
        stream = (
            soxr.ResampleStream(rate, sample_rate, 1, dtype="float32", quality="HQ") if rate != sample_rate else None
        )
        for block in mono_blocks(file, path):
            count += len(block)
            yield block if stream is None else stream.resample_chunk(block)
        if stream is not None:
            yield stream.resample_chunk(np.zeros(0, np.float32), last=True)
        check_complete(file, path, count)
