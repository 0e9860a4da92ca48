"""SubRip subtitles (.srt); how captions are cut and timed is said in :mod:`seqlab.outputs.segments`.

The format knows no escape. What players take for syntax is written in full width: the second half of an arrow, the
"<" of what looks like a tag, the "{" of what looks like an override ("{\\an8}").
"""

import re
from collections.abc import Iterable, Iterator

from seqlab.errors import DataError
from seqlab.outputs.segments import captions
from seqlab.outputs.transcript import Transcript


def to_lines(transcripts: Iterable[Transcript]) -> Iterator[str]:
    """Yield the lines of the subtitles of one recording.

    Raises:
        DataError: there is more than one transcript, its unit is not seconds, or its words have no times.
    """
    for number, (start, end, lines) in enumerate(captions(only(transcripts, "srt")), 1):
        yield from (str(number), f"{clock(start, ',')} --> {clock(end, ',')}", *map(_legible, lines), "")


def only(transcripts: Iterable[Transcript], form: str) -> Transcript:
    """Return the one transcript of a file that holds one recording.

    Raises:
        DataError: there are more, or none.
    """
    found = list(transcripts)
    if len(found) != 1:
        raise DataError(f"a file of {form} holds one recording, got {len(found)}; write one file each (--output-dir)")
    return found[0]


def clock(seconds: float, mark: str) -> str:
    """Write a time as hours:minutes:seconds with three decimals after a mark."""
    minutes, thousandths = divmod(round(1000 * seconds), 60_000)
    hours, minutes = divmod(minutes, 60)
    seconds, thousandths = divmod(thousandths, 1000)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}{mark}{thousandths:03d}"


def _legible(text: str) -> str:
    text = text.replace("-->", "--\uff1e")
    return re.sub(r"\{(?=\\)", "\uff5b", re.sub(r"<(?=[/A-Za-z])", "\uff1c", text))
