"""Transcript and Word: what a recogniser found in one recording or text line."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Word:
    """One recognised word.

    Attributes:
        text: the word.
        start: seconds from the start of the recording.
        end: seconds from the start of the recording.
        confidence: in [0, 1], or None if unknown.
    """

    text: str
    start: float
    end: float
    confidence: float | None = None


@dataclass(slots=True)
class Transcript:
    """What was recognised in one recording or text line.

    Attributes:
        text: the whole text.
        words: words in order, with times; empty if the recogniser gave no times.
        confidence: in [0, 1], or None if unknown.
        duration: seconds of audio, or None if unknown or not audio.
        source: path of the file as it was given, or None.
        id: id of the line in its manifest, or None.
    """

    text: str
    words: list[Word] = field(default_factory=list)
    confidence: float | None = None
    duration: float | None = None
    source: str | None = None
    id: str | None = None
