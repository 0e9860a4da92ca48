"""TextGrid, the annotation format of Praat (long text form, UTF-8), with tiers of words and of characters.

A tier covers the whole recording: what lies between two words is an interval with no text. Times are seconds.
"""

import os
from collections.abc import Iterable, Iterator, Sequence

from seqlab.errors import DataError
from seqlab.files import write_lines
from seqlab.outputs.segments import in_order
from seqlab.outputs.srt import only
from seqlab.outputs.text import one_line
from seqlab.outputs.transcript import Transcript, Word


def to_lines(transcripts: Iterable[Transcript]) -> Iterator[str]:
    """Yield the lines of the TextGrid of one transcript.

    Raises:
        DataError: there is more than one transcript, its unit is not seconds, or its duration is unknown.
    """
    transcript = only(transcripts, "TextGrid")
    if transcript.unit != "s" or transcript.duration is None:
        raise DataError(f"{transcript.source}: a TextGrid holds times in seconds, not {transcript.unit}; use json")
    end = transcript.duration
    tiers = {"words": transcript.words, "characters": transcript.characters}
    yield 'File type = "ooTextFile"'
    yield 'Object class = "TextGrid"'
    yield ""
    yield "xmin = 0"
    yield f"xmax = {_number(end)}"
    yield "tiers? <exists>"
    yield f"size = {len(tiers)}"
    yield "item []:"
    for number, (name, words) in enumerate(tiers.items(), 1):
        yield f"    item [{number}]:"
        yield '        class = "IntervalTier"'
        yield f"        name = {_quoted(name)}"
        yield "        xmin = 0"
        yield f"        xmax = {_number(end)}"
        intervals = _intervals(words, end)
        yield f"        intervals: size = {len(intervals)}"
        for count, (first, last, text) in enumerate(intervals, 1):
            yield f"        intervals [{count}]:"
            yield f"            xmin = {_number(first)}"
            yield f"            xmax = {_number(last)}"
            yield f"            text = {_quoted(text)}"


def write(path: str | os.PathLike[str], transcripts: Iterable[Transcript]) -> int:
    """Write the TextGrid of one transcript, whole or not at all. Returns the number of lines."""
    return write_lines(path, to_lines(transcripts))


def _intervals(words: Sequence[Word], duration: float) -> list[tuple[float, float, str]]:
    """Return intervals (start, end, text) without gap or overlap from 0 to the duration."""
    found: list[tuple[float, float, str]] = []
    at = 0.0
    for word in in_order(words, duration):  # Praat refuses intervals without length
        if word.start > at:
            found.append((at, word.start, ""))
        found.append((word.start, word.end, word.text))
        at = word.end
    if at < duration or not found:
        found.append((at, duration, ""))
    return found


def _number(value: float) -> str:
    return f"{value:.6f}".rstrip("0").rstrip(".")


def _quoted(text: str) -> str:
    return '"' + (one_line(text) or " " * bool(text)).replace('"', '""') + '"'
