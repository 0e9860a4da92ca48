"""TextGrid and ctm against files written by hand."""

from pathlib import Path

import pytest

from seqlab.errors import DataError
from seqlab.outputs import Transcript, Word, ctm, textgrid

WORDS = [Word("say", 0.1, 0.3, 0.9), Word('"grün"', 0.3, 0.85, None)]
LINE = Transcript('say "grün"', WORDS, 0.9, 1.0, "x/a 1.wav", "a 1", [Word("s", 0.0, 0.2, 0.5)])

TEXTGRID = """\
File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 1
tiers? <exists>
size = 2
item []:
    item [1]:
        class = "IntervalTier"
        name = "words"
        xmin = 0
        xmax = 1
        intervals: size = 4
        intervals [1]:
            xmin = 0
            xmax = 0.1
            text = ""
        intervals [2]:
            xmin = 0.1
            xmax = 0.3
            text = "say"
        intervals [3]:
            xmin = 0.3
            xmax = 0.85
            text = "\""grün\"""
        intervals [4]:
            xmin = 0.85
            xmax = 1
            text = ""
    item [2]:
        class = "IntervalTier"
        name = "characters"
        xmin = 0
        xmax = 1
        intervals: size = 2
        intervals [1]:
            xmin = 0
            xmax = 0.2
            text = "s"
        intervals [2]:
            xmin = 0.2
            xmax = 1
            text = ""
"""


def test_textgrid_as_written_by_hand(tmp_path: Path) -> None:
    textgrid.write(tmp_path / "a.TextGrid", [LINE])
    assert (tmp_path / "a.TextGrid").read_text(encoding="utf-8") == TEXTGRID


def test_textgrid_tiers_cover_the_recording_whatever_the_words() -> None:
    words = [Word("a", 0.0, 0.2), Word("b", 0.15, 0.4), Word("none", 0.4, 0.4), Word("c", 0.9, 1.2)]
    lines = list(textgrid.to_lines([Transcript("a b c", words, duration=1.0)]))
    ends = [float(line.split("=")[1]) for line in lines[14:] if "xm" in line]
    assert ends[:8] == [0, 0.2, 0.2, 0.4, 0.4, 0.9, 0.9, 1.0]
    assert not any("none" in line for line in lines)
    empty = list(textgrid.to_lines([Transcript("", duration=1.0)]))
    assert empty.count("        intervals: size = 1") == 2


def test_ctm_as_written_by_hand(tmp_path: Path) -> None:
    assert ctm.write(tmp_path / "a.ctm", [LINE, Transcript("", id="b")]) == 2
    assert (tmp_path / "a.ctm").read_text(encoding="utf-8") == 'a_1 1 0.100 0.200 say 0.900\na_1 1 0.300 0.550 "grün"\n'


def test_formats_of_time_refuse_places_and_several_recordings() -> None:
    image = Transcript("a", [Word("a", 3.0, 5.0)], duration=9.0, source="a.png", unit="px")
    for form in (textgrid, ctm):
        with pytest.raises(DataError, match=r"a\.png.*seconds, not px; use json"):
            list(form.to_lines([image]))
    with pytest.raises(DataError, match="one recording, got 2"):
        list(textgrid.to_lines([LINE, LINE]))
