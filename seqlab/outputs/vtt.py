"""WebVTT subtitles (W3C), as web pages show them; how captions are cut is said in :mod:`seqlab.outputs.segments`.

"&", "<" and ">" are written as WebVTT's character references, so that neither tags nor arrows come from a text.
"""

import html
from collections.abc import Iterable, Iterator

from seqlab.outputs.segments import captions
from seqlab.outputs.srt import clock, only
from seqlab.outputs.transcript import Transcript


def to_lines(transcripts: Iterable[Transcript]) -> Iterator[str]:
    """Yield the lines of the subtitles of one recording.

    Raises:
        DataError: there is more than one transcript, its unit is not seconds, or its words have no times.
    """
    cues = captions(only(transcripts, "vtt"))
    yield from ("WEBVTT", "")
    for start, end, lines in cues:
        texts = (html.escape(line, quote=False) for line in lines)
        yield from (f"{clock(start, '.')} --> {clock(end, '.')}", *texts, "")
