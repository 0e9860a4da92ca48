"""Page files of a line image that stands alone: held to the schemas, and read back."""

import numpy as np
import pytest

from seqlab.errors import DataError
from seqlab.media import write_image
from seqlab.outputs.transcript import Transcript, Word
from seqlab.pages import read_page
from seqlab.pages.line_file import FORMATS

from . import schema
from .conftest import spoken

SCHEMAS = {"pagexml": schema.PAGE_2019, "alto": schema.ALTO_4}


@pytest.fixture
def line(tmp_path):
    write_image(tmp_path / "a & b.png", np.full((30, 70), 200, np.uint8))
    transcript = spoken("ab cde", start=5)
    transcript.source, transcript.unit = str(tmp_path / "a & b.png"), "px"
    return transcript


@pytest.mark.parametrize("form", FORMATS)
def test_the_file_is_valid_and_read_back(form, line, tmp_path):
    path = tmp_path / f"out.{FORMATS[form].suffix}"
    FORMATS[form].write(path, [line])
    if form in SCHEMAS:
        assert schema.faults(path, SCHEMAS[form]) == []
    page = read_page(path)
    assert (page.image, page.width, page.height) == ("a & b.png", 70, 30)
    (found,) = page.lines
    assert found.text == "ab cde"
    assert found.polygon == [(0, 0), (70, 0), (70, 30), (0, 30)]
    text = path.read_text(encoding="utf-8")
    second = {"pagexml": '"35,0 65,0 65,30 35,30"', "alto": 'HPOS="35" VPOS="0" WIDTH="30" HEIGHT="30"'}
    assert second.get(form, 'title="bbox 35 0 65 30; x_wconf 90"') in text


@pytest.mark.parametrize("form", FORMATS)
def test_hostile_and_empty_texts_stay_well_formed(form, line, tmp_path):
    path = tmp_path / f"out.{FORMATS[form].suffix}"
    bad = '<x>&"\x00\x1b\ufffe]]>'
    FORMATS[form].write(path, [Transcript(bad, [Word(bad, 0, 9)], 0.5, 70, line.source, unit="px")])
    assert '<x>&"' in read_page(path).lines[0].text
    FORMATS[form].write(path, [Transcript("", source=line.source, unit="px")])
    assert (read_page(path).lines[0].text or "") == ""
    if form in SCHEMAS:
        assert schema.faults(path, SCHEMAS[form]) == []


def test_sound_and_several_lines_are_refused(line):
    with pytest.raises(DataError, match=r"a\.wav: .*places on an image, not s"):
        list(FORMATS["alto"].to_lines([Transcript("a", source="a.wav")]))
    with pytest.raises(DataError, match="one recording, got 2"):
        list(FORMATS["hocr"].to_lines([line, line]))
