"""Plain text: one line of text per transcript, nothing else."""

import os
from collections.abc import Iterable, Iterator

from seqlab.files import write_lines
from seqlab.outputs.text import one_line
from seqlab.outputs.transcript import Transcript


def to_lines(transcripts: Iterable[Transcript]) -> Iterator[str]:
    """Yield the text of each transcript; white space inside it, line breaks too, becomes one space.

    Control characters, which a terminal would obey, are left out.
    """
    for transcript in transcripts:
        yield one_line(transcript.text)


def write(path: str | os.PathLike[str], transcripts: Iterable[Transcript]) -> int:
    """Write a text file, whole or not at all. Returns the number of lines."""
    return write_lines(path, to_lines(transcripts))
