"""Transcript, Word and Alternative: what a recogniser found in one recording or text line."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Alternative:
    """Another reading of a line or of a word.

    Attributes:
        text: of the whole line; or what stands in the word's place, which may be nothing or several words.
        confidence: its share of the probability of the decoder's n-best list, in [0, 1]; not calibrated.
    """

    text: str
    confidence: float


@dataclass(slots=True)
class Word:
    """One recognised word, or one character.

    Attributes:
        text: the word.
        start: seconds from the start of the recording; columns of the image, points of the ink, frames of the array.
        end: likewise.
        confidence: in [0, 1], or None if unknown.
        alternatives: other readings of the word, likeliest first; empty if the decoder keeps one reading of the line,
            or all that it keeps agree.
    """

    text: str
    start: float
    end: float
    confidence: float | None = None
    alternatives: list[Alternative] = field(default_factory=list)


@dataclass(slots=True)
class Transcript:
    """What was recognised in one recording or text line.

    Attributes:
        text: the whole text.
        words: words in order, with times; empty if the recogniser gave no times.
        characters: symbols in order, with times, spaces included; empty likewise.
        confidence: in [0, 1], or None if unknown.
        duration: seconds of audio (width of an image, points of ink, frames of an array), or None if unknown.
        unit: of starts, ends and duration: "s", "px", "points" or "frames".
        alternatives: other readings of the line, likeliest first; empty if the decoder keeps one.
        source: path of the file as it was given, or None.
        id: id of the line in its manifest, or None.
    """

    text: str
    words: list[Word] = field(default_factory=list)
    confidence: float | None = None
    duration: float | None = None
    source: str | None = None
    id: str | None = None
    characters: list[Word] = field(default_factory=list)
    unit: str = "s"
    alternatives: list[Alternative] = field(default_factory=list)
