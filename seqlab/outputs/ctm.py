"""ctm, the time-marked words of NIST's sclite: ``recording channel start duration word confidence``.

    a-1 1 0.210 0.270 one 0.950

Times are seconds. White space in an id or a word becomes "_"; a confidence that is unknown is left out. Characters
that sclite takes for syntax are written as :mod:`seqlab.outputs.trn` says.
"""

import os
from collections.abc import Iterable, Iterator

from seqlab.errors import DataError
from seqlab.files import write_lines
from seqlab.outputs.text import one_line
from seqlab.outputs.transcript import Transcript
from seqlab.outputs.trn import legible


def to_lines(transcripts: Iterable[Transcript]) -> Iterator[str]:
    """Yield one line per word.

    Raises:
        DataError: the unit of a transcript is not seconds.
    """
    for transcript in transcripts:
        if transcript.unit != "s":
            raise DataError(f"{transcript.source}: ctm holds times in seconds, not {transcript.unit}; use json")
        name = _word(transcript.id or transcript.source or "") or "unknown"
        for word in transcript.words:
            confidence = "" if word.confidence is None else f" {word.confidence:.3f}"
            length = round(word.end, 3) - round(word.start, 3)
            yield f"{name} 1 {word.start:.3f} {length:.3f} {_word(word.text)}{confidence}"


def _word(text: str) -> str:
    return legible(one_line(text)).replace(" ", "_")


def write(path: str | os.PathLike[str], transcripts: Iterable[Transcript]) -> int:
    """Write a ctm file, whole or not at all. Returns the number of lines."""
    return write_lines(path, to_lines(transcripts))
