"""What is wrong with a report.json that was read: other tools write and mend such files, and disks damage them."""

import reprlib
from typing import Any, TypeGuard

from seqlab.outputs.text import one_line
from seqlab.scoring import MEASURES

_COUNTS = ("hits", "substitutions", "deletions", "insertions")
_HEAD = {"name": str, "kind": str, "decoder": str, "rules": list}


def fault(record: dict[str, Any]) -> str | None:
    """Name the first thing of a record that a comparison needs and that is missing or cannot be, or return None."""
    for key, kind in _HEAD.items():
        if not isinstance(record.get(key), kind | None):
            return f"{key} is {reprlib.repr(record[key])}"
    lines = record.get("lines")
    if not isinstance(record.get("scores"), dict) or not isinstance(lines, list) or not lines:
        return "it has no scores or no lines"
    found = _of_scores(record["scores"])
    for number, line in enumerate(lines):
        found = found or _of_line(number, line)
    return found


def is_count(value: object) -> TypeGuard[int]:
    """Tell whether a value is a whole number that floats hold exactly, 0 or more."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53


def _of_scores(scores: dict[str, Any]) -> str | None:
    for key in ("lines", "words", "characters"):
        if not is_count(scores.get(key)):
            return f"scores.{key} is {reprlib.repr(scores.get(key))}"
    level = scores.get("interval_level")
    if level is not None and not (_is_rate(level) and 0 < level < 1):
        return f"scores.interval_level is {reprlib.repr(level)}"
    for measure in MEASURES:
        part = scores.get(measure)
        if part is None and measure == "wer_punctuation":
            continue
        if not isinstance(part, dict) or not _is_rate(part.get("rate")):
            return f"scores.{measure} has no rate"
        if not is_count(part.get("reference")):
            return f"scores.{measure}.reference is {reprlib.repr(part.get('reference'))}"
        for key in ("interval", "interval_by_speaker"):
            ends = part.get(key)
            if ends is not None and not (isinstance(ends, list) and len(ends) == 2 and all(map(_is_rate, ends))):
                return f"scores.{measure}.{key} is {reprlib.repr(ends)}"
    return None


def _of_line(number: int, line: object) -> str | None:
    if not isinstance(line, dict) or not isinstance(line.get("id"), str):
        return f"lines[{number}] has no id"
    name = one_line(line["id"])
    for key in ("speaker", "reference", "hypothesis"):
        if not isinstance(line.get(key), str | None):
            return f"the {key} of line {name} is {reprlib.repr(line[key])}"
    for key in ("characters", "words"):
        counts = line.get(key)
        if counts is None and key == "words":
            continue  # CER is compared all the same
        if not isinstance(counts, dict) or not all(is_count(counts.get(kind)) for kind in _COUNTS):
            return f"line {name} has no counts of {key}"
        texts = []
        for text, unused in (("reference", "insertions"), ("hypothesis", "deletions")):
            given = line.get(text)
            if given is not None:
                texts.append(given.split() if key == "words" else given.strip())
                if len(texts[-1]) != sum(counts[kind] for kind in _COUNTS if kind != unused):
                    return f"line {name} has {len(texts[-1])} {key} in its {text}, but was counted otherwise"
        if len(texts) == 2 and (texts[0] == texts[1]) != (sum(counts[kind] for kind in _COUNTS[1:]) == 0):
            return f"line {name} has other errors of {key} than its texts"
    return None


def _is_rate(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 2**53  # nan is not
