"""The formats of this folder by name, as ``--format`` of the command line takes them."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from seqlab.files import write_lines
from seqlab.outputs import ctm, eaf, json_lines, srt, textgrid, trn, txt, vtt
from seqlab.outputs.transcript import Transcript


@dataclass(frozen=True, slots=True)
class Format:
    """How transcripts are written.

    Attributes:
        to_lines: makes the lines of a file; may raise DataError.
        suffix: of the file's name, without a dot.
        single: whether a file holds one recording only.
        needs: "s" if the format tells times in seconds, "px" if places on an image, "" if anything.
        words: whether it tells more of a transcript than its text, id and source.
    """

    to_lines: Callable[[Iterable[Transcript]], Iterator[str]]
    suffix: str
    single: bool = False
    needs: str = ""
    words: bool = True

    def write(self, path: str | os.PathLike[str], transcripts: Iterable[Transcript]) -> int:
        """Write a file, whole or not at all. Returns the number of lines.

        Raises:
            DataError: the format cannot hold the transcripts.
            OSError: the file could not be written.
        """
        return write_lines(path, self.to_lines(transcripts))


FORMATS = {
    "txt": Format(txt.to_lines, "txt", words=False),
    "json": Format(json_lines.to_lines, "json"),
    "srt": Format(srt.to_lines, "srt", True, "s"),
    "vtt": Format(vtt.to_lines, "vtt", True, "s"),
    "ctm": Format(ctm.to_lines, "ctm", False, "s"),
    "trn": Format(trn.transcript_lines, "trn", words=False),
    "textgrid": Format(textgrid.to_lines, "TextGrid", True, "s"),
    "eaf": Format(eaf.to_lines, "eaf", True, "s"),
}
