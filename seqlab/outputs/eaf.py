"""EAF 3.0, the annotation format of ELAN (EAF_Annotation_Format_3.0_and_ELAN.pdf, EAFv3.0.xsd of the MPI, Nijmegen).

Three tiers, each included in the one before it: segments (see :mod:`seqlab.outputs.segments`), words, characters. Times
are whole milliseconds; annotations of a tier do not overlap, and those of no length are left out, as ELAN wants. ELAN
finds the recording by the address that is written, and asks for it where it has moved.
"""

import datetime
import mimetypes
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from seqlab.errors import DataError
from seqlab.outputs.segments import in_order, segments
from seqlab.outputs.srt import only
from seqlab.outputs.text import one_line
from seqlab.outputs.transcript import Transcript, Word

_SCHEMA = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
_XSI = "http://www.w3.org/2001/XMLSchema-instance"
TIERS = {"segments": "", "words": "segments", "characters": "words"}
CONSTRAINTS = {
    "Time_Subdivision": "Time subdivision of parent annotation's time interval, no time gaps allowed within this "
    "interval",
    "Symbolic_Subdivision": "Symbolic subdivision of a parent annotation. Annotations refering to the same parent are "
    "ordered",
    "Symbolic_Association": "1-1 association with a parent annotation",
    "Included_In": "Time alignable annotations within the parent annotation's time interval, gaps are allowed",
}  # as ELAN writes them
Span = tuple[int, int, str]  # start and end in ms, text


def to_lines(transcripts: Iterable[Transcript]) -> Iterator[str]:
    """Yield the lines of the annotations of one recording.

    Raises:
        DataError: there is more than one transcript, or its unit is not seconds.
    """
    transcript = only(transcripts, "eaf")
    if transcript.unit != "s":
        raise DataError(f"{transcript.source}: eaf holds times in seconds, not {transcript.unit}; use json")
    root = Element(
        "ANNOTATION_DOCUMENT",
        {
            "AUTHOR": "seqlab",
            "DATE": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "FORMAT": "3.0",
            "VERSION": "3.0",
            "xmlns:xsi": _XSI,
            "xsi:noNamespaceSchemaLocation": _SCHEMA,
        },
    )
    header = SubElement(root, "HEADER", {"MEDIA_FILE": "", "TIME_UNITS": "milliseconds"})
    if transcript.source:
        kind = mimetypes.guess_type(transcript.source)[0] or "unknown"
        address = Path(transcript.source).absolute().as_uri()
        SubElement(header, "MEDIA_DESCRIPTOR", {"MEDIA_URL": address, "MIME_TYPE": kind})
    tiers = _tiers(transcript)
    count = sum(map(len, tiers.values()))
    SubElement(header, "PROPERTY", {"NAME": "lastUsedAnnotationId"}).text = str(count)
    _annotations(root, tiers)
    for name, parent in TIERS.items():
        attributes = {"LINGUISTIC_TYPE_ID": name, "TIME_ALIGNABLE": "true", "GRAPHIC_REFERENCES": "false"}
        SubElement(root, "LINGUISTIC_TYPE", attributes | ({"CONSTRAINTS": "Included_In"} if parent else {}))
    for name, said in CONSTRAINTS.items():
        SubElement(root, "CONSTRAINT", {"STEREOTYPE": name, "DESCRIPTION": said})
    indent(root, "    ")
    yield '<?xml version="1.0" encoding="UTF-8"?>'
    yield from tostring(root, "unicode").split("\n")


def _tiers(transcript: Transcript) -> dict[str, list[Span]]:
    """Return the annotations of each tier, in order, each inside one of the tier before it."""
    tiers: dict[str, list[Span]] = {name: [] for name in TIERS}
    characters = _spans([c for c in transcript.characters if c.text.strip()], transcript.duration)
    place = 0
    for group in segments(transcript):
        words = _spans(group, transcript.duration)
        if not words:
            continue
        tiers["segments"].append((words[0][0], words[-1][1], " ".join(text for *_, text in words)))
        tiers["words"] += words
        for start, end, _ in words:
            while place < len(characters) and characters[place][0] < end:
                first, last, text = characters[place]
                if max(first, start) < min(last, end):
                    tiers["characters"].append((max(first, start), min(last, end), text))
                place += 1
    return tiers


def _spans(words: Sequence[Word], duration: float | None) -> list[Span]:
    rounded = [Word(one_line(w.text), round(1000 * w.start), round(1000 * w.end)) for w in words]
    limit = float("inf") if duration is None else round(1000 * duration)
    return [(round(word.start), round(word.end), word.text) for word in in_order(rounded, limit)]


def _annotations(root: Element, tiers: dict[str, list[Span]]) -> None:
    """Add time slots, in order of time, and the tiers that refer to them."""
    ends = [
        (span[side], tier, i, side) for tier, spans in tiers.items() for i, span in enumerate(spans) for side in (0, 1)
    ]
    slots = {}
    order = SubElement(root, "TIME_ORDER")
    for number, (time, *key) in enumerate(sorted(ends), 1):
        slots[tuple(key)] = name = f"ts{number}"
        SubElement(order, "TIME_SLOT", {"TIME_SLOT_ID": name, "TIME_VALUE": str(time)})
    number = 0
    for name, spans in tiers.items():
        attributes = {"LINGUISTIC_TYPE_REF": name, "TIER_ID": name}
        tier = SubElement(root, "TIER", attributes | ({"PARENT_REF": TIERS[name]} if TIERS[name] else {}))
        for i, (_, _, text) in enumerate(spans):
            number += 1
            places = {"TIME_SLOT_REF1": slots[name, i, 0], "TIME_SLOT_REF2": slots[name, i, 1]}
            outer = SubElement(tier, "ANNOTATION")
            inner = SubElement(outer, "ALIGNABLE_ANNOTATION", {"ANNOTATION_ID": f"a{number}", **places})
            SubElement(inner, "ANNOTATION_VALUE").text = text
