"""JSON lines, the native format: one JSON object per transcript.

    {"id": "a-1", "source": "a-1.flac", "text": "one two", "duration": 1.5, "confidence": 0.93,
     "unit": "s", "segments": [{"text": "one two", "start": 0.21, "end": 0.97, "confidence": 0.94, "words": 2}, ...],
     "words": [{"text": "one", "start": 0.21, "end": 0.48, "confidence": 0.95,
                "alternatives": [{"text": "on", "confidence": 0.04}]}, ...],
     "characters": [{"text": "o", "start": 0.21, "end": 0.24, "confidence": 0.97}, ...],
     "alternatives": [{"text": "on two", "confidence": 0.04}, ...]}

Times are seconds from the start of the recording; for images they are pixels ("unit": "px"), for ink points, for arrays
frames. What is unknown is null. Confidences of the line, its words and characters are the probability that they are
right, calibrated where `seqlab tune` has been run.

segments, where the unit is seconds, are the words between pauses of a second or more; "words" says how many they are,
in the order of the list, and the confidence is the mean of theirs, so the share of them that should be right.

alternatives are other readings, likeliest first: of the line, and of single words (an empty text stands for no word, a
text may be several). They stand there only where the decoder keeps several readings and these differ. Their confidence
is their share of the probability of the readings kept, which is surer than it should be: use it to rank them.
"""

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from seqlab.files import write_lines
from seqlab.outputs.segments import segments
from seqlab.outputs.transcript import Alternative, Transcript, Word


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it: numbers that are not finite become None, unknown objects their text.

    numpy scalars and tensors of one element become Python numbers; paths become strings; tuples and sets become lists.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    return str(value)


def dumps(value: Any, indent: int | None = None) -> str:
    """Return JSON text, never NaN or Infinity, which are no JSON."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)
    except (TypeError, ValueError):  # it holds what ``plain`` is for, which takes as long as all the rest
        return json.dumps(plain(value), ensure_ascii=False, allow_nan=False, indent=indent)


def to_row(transcript: Transcript) -> dict[str, Any]:
    """Return a transcript as a plain dict, in the order of the format."""
    row: dict[str, Any] = {
        "id": transcript.id,
        "source": transcript.source,
        "text": transcript.text,
        "duration": transcript.duration,
        "confidence": transcript.confidence,
        "unit": transcript.unit,
    }
    if transcript.unit == "s":
        row["segments"] = [_segment(words) for words in segments(transcript)]
    row["words"] = [_word(word) for word in transcript.words]
    row["characters"] = [_word(character) for character in transcript.characters]
    if transcript.alternatives:
        row["alternatives"] = _alternatives(transcript.alternatives)
    return row


def _word(word: Word) -> dict[str, Any]:
    row: dict[str, Any] = {"text": word.text, "start": word.start, "end": word.end, "confidence": word.confidence}
    if word.alternatives:
        row["alternatives"] = _alternatives(word.alternatives)
    return row


def _alternatives(alternatives: Sequence[Alternative]) -> list[dict[str, Any]]:
    return [{"text": other.text, "confidence": other.confidence} for other in alternatives]


def _segment(words: Sequence[Word]) -> dict[str, Any]:
    sure = [word.confidence for word in words if word.confidence is not None]
    return {
        "text": " ".join(word.text for word in words),
        "start": words[0].start,
        "end": words[-1].end,
        "confidence": round(sum(sure) / len(sure), 4) if len(sure) == len(words) else None,
        "words": len(words),
    }


def to_lines(transcripts: Iterable[Transcript]) -> Iterator[str]:
    """Yield one line of JSON per transcript."""
    for transcript in transcripts:
        yield dumps(to_row(transcript))


def write(path: str | os.PathLike[str], transcripts: Iterable[Transcript]) -> int:
    """Write a JSON lines file, whole or not at all. Returns the number of lines."""
    return write_lines(path, to_lines(transcripts))


def write_rows(path: str | os.PathLike[str], rows: Iterable[Mapping[str, Any]]) -> int:
    """Write plain dicts as JSON lines, whole or not at all. Returns the number of lines."""
    return write_lines(path, (dumps(row) for row in rows))
