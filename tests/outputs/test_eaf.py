"""EAF against what its schema says (EAFv3.0.xsd), written down by hand, and against annotations worked by hand."""

import re
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest

from seqlab.errors import DataError
from seqlab.outputs import Transcript, Word, eaf
from seqlab.outputs.formats import FORMATS

# element: (order of children as a pattern over their names, {attribute: pattern; required ones begin with !})
ID = r"[A-Za-z_][\w.-]*"
XSI = "{http://www.w3.org/2001/XMLSchema-instance}noNamespaceSchemaLocation"
SCHEMA = {
    "ANNOTATION_DOCUMENT": (
        "(LICENSE )*HEADER TIME_ORDER (TIER )*(LINGUISTIC_TYPE )*(LOCALE )*(LANGUAGE )*(CONSTRAINT )*",
        {
            "!DATE": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)",
            "!AUTHOR": ".*",
            "!VERSION": r"3\.0",
            "FORMAT": r"3\.0",
            XSI: "http://www.mpi.nl/tools/elan/EAFv3.0.xsd",
        },
    ),
    "HEADER": (
        "(MEDIA_DESCRIPTOR )*(LINKED_FILE_DESCRIPTOR )*(PROPERTY )*",
        {"MEDIA_FILE": ".*", "TIME_UNITS": "milliseconds"},
    ),
    "MEDIA_DESCRIPTOR": ("", {"!MEDIA_URL": r"file:///[!-~]*", "!MIME_TYPE": ".+"}),
    "PROPERTY": ("", {"NAME": ".*"}),
    "TIME_ORDER": ("(TIME_SLOT )*", {}),
    "TIME_SLOT": ("", {"!TIME_SLOT_ID": ID, "TIME_VALUE": r"\d+"}),
    "TIER": ("(ANNOTATION )*", {"!TIER_ID": ".+", "!LINGUISTIC_TYPE_REF": ".+", "PARENT_REF": ".+"}),
    "ANNOTATION": ("ALIGNABLE_ANNOTATION ", {}),
    "ALIGNABLE_ANNOTATION": (
        "ANNOTATION_VALUE ",
        {"!ANNOTATION_ID": ID, "!TIME_SLOT_REF1": ID, "!TIME_SLOT_REF2": ID},
    ),
    "ANNOTATION_VALUE": ("", {}),
    "LINGUISTIC_TYPE": (
        "",
        {
            "!LINGUISTIC_TYPE_ID": ".+",
            "TIME_ALIGNABLE": "true|false",
            "GRAPHIC_REFERENCES": "true|false",
            "CONSTRAINTS": ID,
        },
    ),
    "CONSTRAINT": ("", {"!STEREOTYPE": ID, "DESCRIPTION": ".*"}),
}


def check(root: ElementTree.Element) -> dict[str, list[tuple[int, int, str]]]:
    """Hold a document to the schema and its references; returns the annotations of its tiers."""
    for element in root.iter():
        order, attributes = SCHEMA[element.tag]
        assert re.fullmatch(order, "".join(f"{child.tag} " for child in element)), element.tag
        assert set(element.attrib) <= {key.lstrip("!") for key in attributes}, element.attrib
        for key, pattern in attributes.items():
            value = element.get(key.lstrip("!"))
            assert value is not None or not key.startswith("!"), key
            assert value is None or re.fullmatch(pattern, value), (key, value)
    ids = [e.get(key) for e in root.iter() for key in ("TIME_SLOT_ID", "ANNOTATION_ID") if e.get(key)]
    assert len(ids) == len(set(ids))
    times = {slot.get("TIME_SLOT_ID"): int(slot.get("TIME_VALUE", "")) for slot in root.iter("TIME_SLOT")}
    assert list(times.values()) == sorted(times.values())
    types = {kind.get("LINGUISTIC_TYPE_ID"): kind.get("CONSTRAINTS") for kind in root.iter("LINGUISTIC_TYPE")}
    assert {kind for kind in types.values() if kind} <= {c.get("STEREOTYPE") for c in root.iter("CONSTRAINT")}
    tiers: dict[str, list[tuple[int, int, str]]] = {}
    for tier in root.iter("TIER"):
        spans = [
            (times[a.get("TIME_SLOT_REF1")], times[a.get("TIME_SLOT_REF2")], a[0].text or "")
            for a in tier.iter("ALIGNABLE_ANNOTATION")
        ]
        assert all(start < end for start, end, _ in spans)
        assert all(a[1] <= b[0] for a, b in pairwise(spans))
        parent = tier.get("PARENT_REF")
        assert (parent is None) == (types[tier.get("LINGUISTIC_TYPE_REF")] is None)
        if parent is not None:  # which stands before it; Included_In
            assert all(any(p[0] <= s[0] and s[1] <= p[1] for p in tiers[parent]) for s in spans)
        tiers[tier.get("TIER_ID", "")] = spans
    return tiers


def test_annotations_worked_by_hand(tmp_path: Path) -> None:
    words = [Word("one", 0.1, 0.4), Word("two", 0.5, 0.9), Word("three", 2.0, 2.5)]
    characters = [Word("o", 0.1, 0.2), Word("e", 0.2, 0.4), Word(" ", 0.4, 0.5), Word("t", 0.5, 0.9)]
    transcript = Transcript("one two three", words, duration=3.0, source="a b ü.wav", characters=characters)
    FORMATS["eaf"].write(tmp_path / "a.eaf", [transcript])
    root = ElementTree.parse(tmp_path / "a.eaf").getroot()
    assert check(root) == {
        "segments": [(100, 900, "one two"), (2000, 2500, "three")],
        "words": [(100, 400, "one"), (500, 900, "two"), (2000, 2500, "three")],
        "characters": [(100, 200, "o"), (200, 400, "e"), (500, 900, "t")],
    }
    medium = next(root.iter("MEDIA_DESCRIPTOR"))
    assert medium.get("MEDIA_URL", "").endswith("/a%20b%20%C3%BC.wav")
    assert medium.get("MIME_TYPE") in ("audio/x-wav", "audio/wav", "audio/vnd.wave")
    assert next(root.iter("PROPERTY")).text == "8"


def test_whatever_the_words_the_document_is_sound() -> None:
    words = [Word("over", 0.0, 0.5), Word("lap", 0.3, 0.6), Word("none", 0.6, 0.6), Word("late", 0.7, 9.0)]
    words[1].text = '<a&b>]]> "\x00\x1b\ud800\uffff\n-->'
    letters = [Word("o", 0.0, 0.1), Word("x", 0.45, 0.55), Word("y", 5.0, 6.0)]
    transcript = Transcript("", words, duration=1.0, source="x.wav", characters=letters)
    tiers = check(ElementTree.fromstring("\n".join(eaf.to_lines([transcript]))))
    assert tiers["words"] == [(0, 500, "over"), (500, 600, '<a&b>]]> " -->'), (700, 1000, "late")]
    assert tiers["characters"] == [(0, 100, "o"), (450, 500, "x")]
    assert check(ElementTree.fromstring("\n".join(eaf.to_lines([Transcript("")])))) == {name: [] for name in tiers}


def test_what_it_cannot_hold_is_refused() -> None:
    with pytest.raises(DataError, match=r"a\.png: eaf holds times in seconds, not px"):
        list(eaf.to_lines([Transcript("a", source="a.png", unit="px")]))
    with pytest.raises(DataError, match="one recording, got 2"):
        list(eaf.to_lines([Transcript("a"), Transcript("b")]))
