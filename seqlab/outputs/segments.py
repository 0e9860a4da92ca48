"""Segments of a transcript, and the captions of subtitles.

A segment ends where nothing is said for PAUSE. Captions keep these rules, which are those of Netflix's Timed Text Style
Guide (General Requirements, and reading speed of adult programmes in the English Template guide; partnerhelp.
netflixstudios.com, read in 2026), where what is said leaves room for them:

- at most 2 lines of 42 columns; a Chinese, Japanese or Korean character counts two, a combining mark none;
- on the screen for 5/6 s to 7 s, from the first word's begin;
- 2 frames of 24 per second without text between two captions;
- at most 17 characters per second, for which a caption may stay 12 frames of 24 longer than its words;
- one line while it fits; else broken into lines of like length, rather after a punctuation mark, the lower one rather
  longer.

The order in which rules yield: the two lines and the gap never do; 7 s does for one word that lasts longer; 5/6 s and
17 characters per second do where the next words come too soon. Which words share a caption is found by dynamic
programming: fewest captions, ends at the ends of sentences and at pauses, little that is too fast or too short.
"""

import math
import re
import unicodedata
from collections.abc import Sequence

from seqlab.errors import DataError
from seqlab.outputs.text import one_line
from seqlab.outputs.transcript import Transcript, Word

PAUSE = 1.0  # seconds
COLUMNS = 42
SHORTEST, LONGEST = 5 / 6, 7.0  # seconds
GAP = 2 / 24
STAY = 12 / 24
SPEED = 17.0  # characters per second
_SENTENCE = re.compile("[.!?…。！？؟।][\"'”’»)\\]]*$")
_CLAUSE = re.compile("[,;:、，；：،—–][\"'”’»)\\]]*$")


def segments(transcript: Transcript) -> list[list[Word]]:
    """Divide the words of a transcript at pauses of PAUSE seconds or more."""
    found: list[list[Word]] = []
    for word in transcript.words:
        if not found or word.start - found[-1][-1].end >= PAUSE:
            found.append([])
        found[-1].append(word)
    return found


def in_order(words: Sequence[Word], duration: float = math.inf) -> list[Word]:
    """Return words without overlap, inside [0, duration]; those without length go."""
    found: list[Word] = []
    at = 0.0
    for word in words:
        start, end = max(word.start, at), min(word.end, duration)
        if start < end:
            found.append(Word(word.text, start, end, word.confidence))
            at = end
    return found


def captions(transcript: Transcript) -> list[tuple[float, float, list[str]]]:
    """Return captions (start, end, lines) in order of time, one or two lines each.

    Raises:
        DataError: the transcript's unit is not seconds, or it has text but no times.
    """
    if transcript.unit != "s":
        raise DataError(f"{transcript.source}: subtitles hold times in seconds, not {transcript.unit}; use json")
    if transcript.text.strip() and not transcript.words:
        raise DataError(f"{transcript.source}: subtitles need times of words, and there are none; use txt")
    groups = [_pieces(group, transcript.characters) for group in segments(transcript)]
    groups = [group for group in groups if group]
    found: list[Sequence[Word]] = []
    for number, group in enumerate(groups):
        after = groups[number + 1][0].start if number + 1 < len(groups) else math.inf
        found += _divided(group, after)
    result: list[tuple[float, float, list[str]]] = []
    for number, caption in enumerate(found):
        start = max(caption[0].start, result[-1][1] + GAP if result else 0.0)
        after = found[number + 1][0].start if number + 1 < len(found) else math.inf
        end = max(_end(caption, after), start + 0.001)
        if after - GAP < end:  # words without time between them
            end = max(after - GAP, start + 0.001)
        result.append((start, end, _lines(caption)))
    return result


def width(text: str) -> int:
    """Return the columns that a text takes."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in unicodedata.normalize("NFC", text)
    )


def _pieces(words: Sequence[Word], characters: Sequence[Word]) -> list[Word]:
    """Return words in one line each; those longer than a line, as of scripts without spaces, in their characters."""
    found = []
    for word in words:
        text = one_line(word.text)
        if width(text) <= COLUMNS:
            found += [Word(text, word.start, word.end)] if text else []
            continue
        inside = [c for c in characters if c.start >= word.start and c.end <= word.end and c.text.strip()]
        if "".join(c.text for c in inside) != word.text:
            step = (word.end - word.start) / len(text)
            inside = [Word(c, word.start + i * step, word.start + (i + 1) * step) for i, c in enumerate(text)]
        part = inside[:1]
        for character in [*inside[1:], None]:
            if character is not None and width("".join(c.text for c in [*part, character])) <= COLUMNS:
                part.append(character)
                continue
            found.append(Word("".join(c.text for c in part), part[0].start, part[-1].end))
            part = [] if character is None else [character]
    return found


def _text(words: Sequence[Word]) -> str:
    return " ".join(word.text for word in words)


def _end(words: Sequence[Word], after: float) -> float:
    """Return when a caption goes, given when the next one comes."""
    start, said = words[0].start, words[-1].end
    reading = min(start + len(_text(words)) / SPEED, said + STAY)
    end = max(said, min(max(reading, start + SHORTEST), start + LONGEST))
    return min(end, after - GAP)


def _divided(words: Sequence[Word], after: float) -> list[Sequence[Word]]:
    """Divide a segment into captions of least cost."""
    best: list[tuple[float, int]] = [(0.0, 0)]  # cost of the words so far, where their last caption begins
    for stop in range(1, len(words) + 1):
        following = words[stop].start if stop < len(words) else after
        costs = []
        for start in range(stop - 1, -1, -1):
            part = words[start:stop]
            if len(part) > 1 and (part[-1].end - part[0].start > LONGEST or not _fits(part)):
                break
            costs.append((best[start][0] + _cost(part, following, stop == len(words)), start))
        best.append(min(costs))
    found: list[Sequence[Word]] = []
    stop = len(words)
    while stop:
        start = best[stop][1]
        found.append(words[start:stop])
        stop = start
    return found[::-1]


def _fits(words: Sequence[Word]) -> bool:
    text = _text(words)
    if width(text) <= COLUMNS:
        return True
    return width(text) <= 2 * COLUMNS + 1 and bool(_breaks(text))


def _cost(words: Sequence[Word], after: float, last: bool) -> float:
    """Return how little a caption pleases: 1 for each, up to 2 for where it ends, what lacks to be read in peace."""
    text = words[-1].text
    place = 0.0 if last or _SENTENCE.search(text) else 0.7 if _CLAUSE.search(text) else 2.0
    silence = 1.0 if last else max(1 - (after - words[-1].end) / PAUSE, 0.0)
    inside = sum(1.5 for word in words[:-1] if _SENTENCE.search(word.text))
    shown = max(_end(words, after) - words[0].start, 0.001)
    fast = min(max(len(_text(words)) / SPEED / shown - 1, 0.0), 3.0)
    short = min(max(SHORTEST / shown - 1, 0.0), 3.0)
    return 1 + place * silence + inside + 2 * fast + 2 * short


def _breaks(text: str) -> list[int]:
    """Return the spaces at which a text can be broken into two lines that fit."""
    places = [i for i, character in enumerate(text) if character == " "]
    return [i for i in places if width(text[:i]) <= COLUMNS and width(text[i + 1 :]) <= COLUMNS]


def _lines(words: Sequence[Word]) -> list[str]:
    text = _text(words)
    if width(text) <= COLUMNS:
        return [text]

    def pleases(place: int) -> int:
        upper, lower = width(text[:place]), width(text[place + 1 :])
        mark = _SENTENCE.search(text[:place]) or _CLAUSE.search(text[:place])
        return abs(upper - lower) + (8 if upper > lower else 0) - (24 if mark else 0)

    place = min(_breaks(text), key=pleases)
    return [text[:place], text[place + 1 :]]
