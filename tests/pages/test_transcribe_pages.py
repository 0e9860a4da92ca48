import re
from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from seqlab.errors import DataError
from seqlab.media import write_image
from seqlab.pages import read_page
from seqlab.verbs.transcribe_pages import BATCH_LINES, transcribe_pages

from .conftest import ALTO_4, HOCR, PAGE_2013, PAGE_2019, spoken


class Stub:
    """Says how many rows and columns it was given; refuses pictures that are black somewhere."""

    def __init__(self):
        self.batches = []

    def transcribe(self, source):
        self.batches.append([image.shape for image in source])
        if any(image.min() == 0 for image in source):
            raise DataError("the line is too dark")
        return [spoken(f"{image.shape[0]} x {image.shape[1]}") for image in source]


@pytest.fixture
def console():
    return Console(file=StringIO(), width=200)


@pytest.fixture
def folder(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    write_image(source / "page1.png", np.full((300, 400), 200, np.uint8))
    for name, text in {"a.xml": PAGE_2013, "b.xml": ALTO_4, "c.hocr": HOCR}.items():
        (source / name).write_text(text, encoding="utf-8")
    return source


def test_pages_of_all_formats_are_filled(folder, tmp_path, console):
    stub = Stub()
    assert transcribe_pages(stub, [folder], tmp_path / "out", console) == []
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.xml", "b.xml", "c.hocr"]
    # the baseline of l1 bends by a pixel
    assert [line.text for line in read_page(tmp_path / "out" / "a.xml").lines] == ["40 x 190", "51 x 360", "50 x 360"]
    assert [line.text for line in read_page(tmp_path / "out" / "b.xml").lines] == ["50 x 360", "50 x 360", "40 x 100"]
    assert read_page(folder / "a.xml").lines[1].text == "erste <Zeile>"  # the source is as it was
    assert [shape[1] for batch in stub.batches[:1] for shape in batch] == [190, 360, 360]


def test_one_bad_file_or_line_does_not_stop_the_others(folder, tmp_path, console):
    page = np.full((300, 400), 200, np.uint8)
    page[20:45, 20:45] = 0
    write_image(folder / "page1.png", page)
    (folder / "a.xml").write_text(PAGE_2013.replace('<Coords points="20,210.5 190,210 190,250 -3,250"/>', ""))
    (folder / "aa.xml").write_text("<PcGts>")
    (folder / "d.xml").write_text(PAGE_2019.replace("page1.tif", "no.tif"))
    (folder / "e.xml").write_text(ALTO_4.replace('WIDTH="400" HEIGHT="300" P', 'WIDTH="300" HEIGHT="400" P'))
    failed = transcribe_pages(Stub(), [folder], tmp_path / "out", console)
    reasons = [
        r"a\.xml: line 'l3' has neither an outline nor a baseline",
        r"a\.xml: line 'l1': the line is too dark",
        r"aa\.xml:1: not well-formed",
        r"b\.xml: line 'l1': the line is too dark",
        r"c\.hocr: line 'line_1': the line is too dark",
        r"d\.xml: its image 'no\.tif' was not found",
        r"e\.xml: .*seems turned",
    ]
    assert len(failed) == len(reasons)
    for message, reason in zip(failed, reasons, strict=True):
        assert re.search(reason, message)
        assert f"failed: {message}" in console.file.getvalue()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.xml", "b.xml", "c.hocr"]
    assert [line.text for line in read_page(tmp_path / "out" / "a.xml").lines] == [None, "erste <Zeile>", "50 x 360"]


def test_sources_are_never_overwritten(folder, tmp_path, console):
    with pytest.raises(DataError, match="would be overwritten"):
        transcribe_pages(Stub(), [folder / "a.xml"], folder / ".." / "source", console)
    other = tmp_path / "other"
    other.mkdir()
    (other / "a.xml").write_bytes((folder / "a.xml").read_bytes())
    failed = transcribe_pages(Stub(), [folder / "a.xml", other / "a.xml"], tmp_path / "out", console, folder)
    assert len(failed) == 1
    assert "has the same name" in failed[0]


def test_empty_folders_and_given_images(folder, tmp_path, console):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no page file"):
        transcribe_pages(Stub(), [tmp_path / "empty"], tmp_path / "out", console)
    (folder / "page1.png").rename(tmp_path / "empty" / "page1.png")
    assert len(transcribe_pages(Stub(), [folder / "a.xml"], tmp_path / "out", console)) == 1
    assert transcribe_pages(Stub(), [folder / "a.xml"], tmp_path / "out", console, tmp_path / "empty") == []


def test_batches_hold_lines_of_like_shape(folder, tmp_path, console):
    line = '<TextLine id="x{0}"><Coords points="0,{0} {1},{0} {1},{2} 0,{2}"/></TextLine>'
    lines = "".join(line.format(y, 20 + 5 * y, y + 4) for y in range(70))
    text = PAGE_2019.replace("pc:", "").replace("</TextRegion>", lines + "</TextRegion>")
    (folder / "many.xml").write_text(text)
    stub = Stub()
    assert transcribe_pages(stub, [folder / "many.xml"], tmp_path / "out", console) == []
    assert max(map(len, stub.batches)) <= BATCH_LINES
    shapes = [width / height for batch in stub.batches for height, width in batch]
    assert shapes == sorted(shapes)
    assert len(shapes) == 72


def test_folders_are_searched_to_any_depth_and_keep_their_shape(folder, tmp_path, console):
    (folder / "page").mkdir()
    (folder / "page" / "a.xml").write_text(PAGE_2013)
    (folder / "page" / "._a.xml").write_bytes(b"\0")
    for _ in range(2):  # the copies of the first run are no sources of the second
        assert transcribe_pages(Stub(), [folder], folder / "out", console) == []
        written = sorted(path.relative_to(folder / "out").as_posix() for path in (folder / "out").rglob("*.*"))
        assert written == ["a.xml", "b.xml", "c.hocr", "page/a.xml"]
    with pytest.raises(DataError, match="would be overwritten"):
        transcribe_pages(Stub(), [folder], folder, console)


def test_a_fault_that_nobody_foresaw_costs_one_file(folder, tmp_path, console, monkeypatch):
    def read(path):
        if path.name == "b.xml":
            raise ZeroDivisionError("no reason")
        return read_page(path)

    monkeypatch.setattr("seqlab.verbs.transcribe_pages.read_page", read)
    (failed,) = transcribe_pages(Stub(), [folder], tmp_path / "out", console)
    assert re.search(r"b\.xml: ZeroDivisionError: no reason", failed)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.xml", "c.hocr"]


def test_shards_and_what_is_done_already(folder, tmp_path, console):
    out = tmp_path / "out"
    assert transcribe_pages(Stub(), [folder], out, console, shard=(2, 2)) == []
    assert [path.name for path in out.iterdir()] == ["b.xml"]
    stub = Stub()
    assert transcribe_pages(stub, [folder], out, console, made_of=[]) == []
    assert sorted(path.name for path in out.iterdir()) == ["a.xml", "b.xml", "c.hocr"]
    assert "1 of 3 page files are done already" in console.file.getvalue()
    assert transcribe_pages(stub, [folder], out, console, made_of=[tmp_path / "nowhere"]) == []
    assert "0 of 3 page files are done already" in console.file.getvalue()
