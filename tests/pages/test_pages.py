import math
import re
import time
from xml.etree.ElementTree import Element
from xml.parsers import expat

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqlab.errors import DataError
from seqlab.media import write_image
from seqlab.outputs.transcript import Transcript
from seqlab.pages import crop_line, find_image, hocr, read_page, write_page
from seqlab.pages.document import number
from seqlab.pages.files import find_pages

from . import schema
from .conftest import ALTO_2, ALTO_4, FILES, HOCR, PAGE_2013, PAGE_2019, spoken

PAPER = np.full((300, 400), 200, np.uint8)
SCHEMAS = {
    "page2013": schema.PAGE_2013,
    "page2019": schema.PAGE_2019,
    "alto4": schema.ALTO_4,
    "alto2": schema.ALTO_2,
}


def fill_all(page, text="ab cde", **options):
    page.fit(400, 300)
    for line in page.lines:
        page.fill(line, spoken(text, **options), crop_line(PAPER, line))


def texts(page):
    return [line.text for line in page.lines]


def test_page_xml_is_read(save):
    page = read_page(save(PAGE_2013))
    assert (page.image, page.width, page.height) == ("page1.png", 400, 300)
    assert [line.id for line in page.lines] == ["l3", "l1", "l2"]  # regions by ReadingOrder, lines by custom
    margin, first, second = page.lines
    assert (margin.text, margin.region, margin.region_type, margin.line_type) == (None, "r2", "marginalia", "")
    assert margin.polygon == [(20, 210.5), (190, 210), (190, 250), (-3, 250)]
    assert margin.baseline == []
    assert (first.text, first.confidence, first.line_type) == ("erste <Zeile>", 0.5, "heading")
    assert first.baseline == [(20, 55), (200, 56), (380, 55)]  # drawn from the right
    assert (second.text, second.confidence, second.region_type) == ("zweite Zeile", None, "paragraph")


def test_page_xml_with_prefix_and_alternatives_is_read(save):
    page = read_page(save(PAGE_2019))
    assert texts(page) == ["first", None]  # the lowest index
    assert page.lines[0].confidence == 0.8
    assert page.image == "page1.tif"


@pytest.mark.parametrize("space", ["", ' xmlns="http://schema.primaresearch.org/PAGE/gts/pagecontent/2010-03-19"'])
def test_page_xml_of_any_age_is_read(save, space):
    text = (
        f'<PcGts{space}><Page imageFilename="a.png" imageWidth="400" imageHeight="300"><TextRegion id="r">'
        '<TextLine id="l"><Coords><Point x="1" y="2"/><Point x="30" y="2"/><Point x="30" y="20"/></Coords>'
        "<TextEquiv><PlainText>plain</PlainText></TextEquiv></TextLine></TextRegion></Page></PcGts>"
    )
    page = read_page(save("\ufeff" + text))  # with a byte order mark
    assert page.lines[0].polygon == [(1, 2), (30, 2), (30, 20)]
    assert texts(page) == ["plain"]


def test_alto_is_read(save):
    page = read_page(save(ALTO_4))
    assert (page.image, page.width, page.height) == ("page1.png", 400, 300)
    first, second, third = page.lines
    assert (first.text, first.region, first.region_type, first.line_type) == (
        "erste Zeile",
        "b1",
        "MainZone",
        "HeadingLine",
    )
    assert first.polygon == [(20, 20), (380, 20), (380, 70), (20, 70)]
    assert first.baseline == [(20, 55), (380, 55)]
    assert (second.text, second.confidence) == ("zwei Zei-", 0.75)  # a soft hyphen is seen as a hyphen
    assert second.polygon == [(20, 90), (380, 90), (380, 140), (20, 140)]  # its box
    assert second.baseline == [(20, 125), (380, 125)]
    assert (third.text, third.baseline) == ("", [])


def test_alto_in_tenths_of_a_millimetre_comes_to_pixels_without_a_warning(save, caplog):
    page = read_page(save(ALTO_2))
    assert page.image == "page1.tif"
    assert page.lines[0].baseline == [(40, 110), (760, 110)]  # a lone y
    page.fit(400, 300)
    assert page.lines[0].polygon == [(20, 20), (380, 20), (380, 70), (20, 70)]
    assert not caplog.text


def test_hocr_is_read(save):
    page = read_page(save(HOCR, "page1.hocr"))
    assert (page.image, page.width, page.height) == ("page1.png", 400, 300)
    first, second = page.lines
    assert (first.id, first.text, first.confidence) == ("line_1", "erste Zei\u00dfle", 0.8)
    assert first.polygon == [(20, 20), (380, 20), (380, 70), (20, 70)]
    assert first.baseline == [(20, 55), (380, 58.6)]  # from the bottom left corner: 70 - 15, and 1 % of 360 lower
    assert (first.region, first.region_type, second.line_type) == ("par_1", "ocr_par", "ocr_header")
    assert (second.text, second.confidence, second.baseline) == ("", None, [])


@pytest.mark.parametrize("kind", FILES)
def test_a_copy_of_an_unfilled_page_says_the_same(save, tmp_path, kind):
    path = save(FILES[kind])
    write_page(read_page(path), tmp_path / "out" / "copy.xml")
    copy = (tmp_path / "out" / "copy.xml").read_text(encoding="utf-8")
    source = FILES[kind].replace("ISO-8859-1", "UTF-8").replace("&szlig;", "\u00df")
    assert copy.replace('"', "'").replace("&quot;", "'") == source.replace('"', "'")


@pytest.mark.parametrize("kind", SCHEMAS)
@pytest.mark.parametrize("text", ["ab cde", "a", "", "A & <B> \"'\u00e4\U0001d505"])
def test_filled_pages_keep_to_the_schema(save, tmp_path, kind, text):
    path = save(FILES[kind].replace("210.5", "210").replace("-3,250", "3,250"))
    assert schema.faults(path, SCHEMAS[kind]) == []
    page = read_page(path)
    fill_all(page, text)
    write_page(page, tmp_path / "filled.xml")
    assert schema.faults(tmp_path / "filled.xml", SCHEMAS[kind]) == []
    again = read_page(tmp_path / "filled.xml")
    assert texts(again) == [text] * len(again.lines)
    fill_all(again, "once more")  # a second run replaces what the first wrote
    write_page(again, tmp_path / "again.xml")
    assert schema.faults(tmp_path / "again.xml", SCHEMAS[kind]) == []
    assert texts(read_page(tmp_path / "again.xml")) == ["once more"] * len(again.lines)


def test_page_xml_gets_words_and_characters_with_places(save, tmp_path):
    page = read_page(save(PAGE_2013))
    page.fill("l2", spoken("ab c", start=5, sure=0.25), crop_line(PAPER, page.line("l2")))
    write_page(page, tmp_path / "out.xml")
    written = (tmp_path / "out.xml").read_text()
    # the crop of l2 begins at x = 20; "ab" are its columns 5 to 25
    assert (
        """
                <Baseline points="20,125 380,125"/>
                <Word id="l2_w1">
                  <Coords points="25,90 45,90 45,140 25,140"/>
                  <Glyph id="l2_w1_g1">
                    <Coords points="25,90 35,90 35,140 25,140"/>
                    <TextEquiv conf="0.25">
                      <Unicode>a</Unicode>
                    </TextEquiv>
                  </Glyph>
"""
        in written
    )
    assert '<Coords points="55,90 65,90 65,140 55,140"/>' in written
    assert (
        """
                <TextEquiv conf="0.25">
                    <Unicode>ab c</Unicode>
                </TextEquiv>
                <TextStyle fontFamily="Times" fontSize="8.0"/>
            </TextLine>
"""
        in written
    )
    # the text of the region follows, in reading order; what was not filled stays
    assert "<Unicode>erste &lt;Zeile&gt;\nab c</Unicode>" in written
    assert '<Word id="l1_w1">' in written
    assert "<LastChange>2016" not in written
    removed = [line for line in PAGE_2013.splitlines() if line not in written.splitlines()]
    assert [line.strip() for line in removed] == [
        "<LastChange>2016-02-25T10:13:14.000+01:00</LastChange>",
        "<TextEquiv>",
        "<Unicode>zweite Zeile</Unicode>",
        "zweite Zeile</Unicode>",
    ]


def test_of_several_texts_only_the_main_one_is_replaced(save, tmp_path):
    page = read_page(save(PAGE_2019))
    fill_all(page, "neu")
    write_page(page, tmp_path / "out.xml")
    written = (tmp_path / "out.xml").read_text()
    assert '<pc:TextEquiv index="1" conf="0.3"><pc:Unicode>second</pc:Unicode>' in written
    assert '<pc:TextEquiv index="0" comments="kept" conf="0.9"><pc:Unicode>neu</pc:Unicode>' in written
    assert "PlainText" not in written


def test_alto_4_gets_strings_spaces_and_glyphs(save, tmp_path):
    page = read_page(save(ALTO_4))
    page.fill("l1", spoken("ab c", sure=0.5), crop_line(PAPER, page.line("l1")))
    write_page(page, tmp_path / "out.xml")
    written = (tmp_path / "out.xml").read_text()
    assert '<String ID="l1_w1" HPOS="20" VPOS="20" WIDTH="20" HEIGHT="50" CONTENT="ab" WC="0.5">' in written
    assert '<Glyph ID="l1_w1_g2" HPOS="30" VPOS="20" WIDTH="10" HEIGHT="50" CONTENT="b" GC="0.5"/>' in written
    assert '<SP WIDTH="10" HPOS="40" VPOS="20"/>' in written
    assert '<Shape><Polygon POINTS="20 20 380 20 380 70 20 70"/></Shape>' in written
    assert '<String ID="s1" CONTENT="zwei" WC="0.5"/>' in written  # another line
    assert "<softwareName>seqlab</softwareName>" in written
    assert '<Processing ID="seqlab">' in written


def test_alto_2_gets_confidences_of_characters_and_its_own_units(save, tmp_path):
    page = read_page(save(ALTO_2))
    fill_all(page, "ab c", sure=0.75)
    write_page(page, tmp_path / "out.xml")
    written = (tmp_path / "out.xml").read_text(encoding="utf-8")
    # 10 columns are 20 tenths of a millimetre; 0 is sure and 9 is not: 9 * 0.25 = 2.25
    assert 'ID="l1_w1" HPOS="40" VPOS="40" WIDTH="40" HEIGHT="100" CONTENT="ab" WC="0.75" CC="2 2"/>' in written
    assert '<a:OCRProcessing ID="seqlab">' in written
    assert "Caf\u00e9" in written


def test_characters_of_several_code_points_have_no_glyph_in_alto(save, tmp_path):
    page = read_page(save(ALTO_4))
    transcript = spoken("x")
    transcript.text = transcript.words[0].text = transcript.characters[0].text = "q\u0303"
    page.fill("l1", transcript, crop_line(PAPER, page.line("l1")))
    write_page(page, tmp_path / "out.xml")
    assert "<Glyph" not in (tmp_path / "out.xml").read_text(encoding="utf-8")


def test_hocr_gets_words_and_characters(save, tmp_path):
    page = read_page(save(HOCR, "a.hocr"))
    page.fill("line_2", spoken("ab c", sure=0.876), crop_line(PAPER, page.line("line_2")))
    write_page(page, tmp_path / "out.hocr")
    written = (tmp_path / "out.hocr").read_text()
    assert (
        '<span class="ocr_header" id="line_2" title="bbox 20 90 380 140">'
        '<span class="ocrx_word" id="line_2_w1" title="bbox 20 90 40 140; x_wconf 87.6">'
        '<span class="ocrx_cinfo" title="x_bboxes 20 90 30 140; x_conf 87.6">a</span>'
        '<span class="ocrx_cinfo" title="x_bboxes 30 90 40 140; x_conf 87.6">b</span></span> '
    ) in written
    assert "<title></title>" in written  # browsers know no <title/>
    assert '<script src="x.js"></script>' in written
    assert "tesseract 5, seqlab" in written
    assert 'content="ocr_page ocr_carea ocr_par ocr_line ocrx_cinfo ocrx_word"' in written
    assert texts(read_page(tmp_path / "out.hocr")) == ["erste Zei\u00dfle", "ab c"]


def test_without_a_crop_there_is_text_and_no_places(save, tmp_path):
    for kind in FILES:
        page = read_page(save(FILES[kind]))
        for line in page.lines:
            page.fill(line, Transcript("nur Text", confidence=0.5))
        write_page(page, tmp_path / "out.xml")
        assert texts(read_page(tmp_path / "out.xml")) == ["nur Text"] * len(page.lines)
        assert "_g1" not in (tmp_path / "out.xml").read_text(encoding="utf-8")


def test_characters_that_xml_cannot_hold_are_replaced(save, tmp_path):
    for kind in FILES:
        page = read_page(save(FILES[kind]))
        fill_all(page, "a\x00\ud800b")
        write_page(page, tmp_path / "out.xml")
        assert texts(read_page(tmp_path / "out.xml"))[0] == "a\ufffd\ufffdb"


def test_words_and_characters_that_disagree_leave_no_glyphs(save, tmp_path):
    page = read_page(save(PAGE_2013))
    transcript = spoken("ab cd")
    transcript.characters.pop(0)
    page.fill("l2", transcript, crop_line(PAPER, page.line("l2")))
    write_page(page, tmp_path / "out.xml")
    assert "<Glyph" not in (tmp_path / "out.xml").read_text()


def test_duplicate_and_missing_ids(save, tmp_path):
    text = PAGE_2013.replace('id="l2"', 'id="l1"').replace(' id="l3"', "")
    page = read_page(save(text))
    assert [line.id for line in page.lines] == ["", "l1", "l1"]
    with pytest.raises(KeyError, match="2 lines have the id 'l1'"):
        page.fill("l1", spoken("a"))
    fill_all(page)
    write_page(page, tmp_path / "out.xml")
    ids = re.findall(r'<(?:Word|Glyph) id="([^"]+)"', (tmp_path / "out.xml").read_text())
    assert len(ids) == len(set(ids)) == 3 * (2 + 5)


def test_another_size_of_the_image_scales_with_a_warning_and_back(save, tmp_path, caplog):
    page = read_page(save(PAGE_2013))
    page.fit(800, 600)
    assert "the page is 400 x 300, its image 800 x 600 pixels; coordinates are scaled" in caplog.text
    line = page.line("l2")
    assert line.polygon == [(40, 180), (760, 180), (760, 280), (40, 280)]
    page.fill(line, spoken("ab", width=20), crop_line(np.full((600, 800), 200, np.uint8), line))
    write_page(page, tmp_path / "out.xml")
    assert '<Coords points="20,90 40,90 40,140 20,140"/>' in (tmp_path / "out.xml").read_text()


def test_a_turned_image_is_refused(save):
    with pytest.raises(DataError, match=r"400 x 300, its image 300 x 400 pixels: the image seems turned"):
        read_page(save(PAGE_2013)).fit(300, 400)


def test_points_that_cannot_be_read_cost_one_outline_and_a_warning(save, caplog):
    page = read_page(save(PAGE_2013.replace("20,90 380,90 380,140 20,140", "20,90 nan,90 380")))
    assert page.line("l2").polygon == []
    assert page.line("l2").baseline
    assert "line 'l2', Coords: points cannot be read" in caplog.text


def test_line_ends_of_windows_are_kept(save, tmp_path):
    page = read_page(save(PAGE_2013.replace("\n", "\r\n")))
    fill_all(page)
    write_page(page, tmp_path / "out.xml")
    written = (tmp_path / "out.xml").read_bytes()
    assert written.count(b"\r\n") == written.count(b"\n") > 50


def test_images_are_found_by_name_near_the_page_file(save, tmp_path):
    (tmp_path / "page").mkdir()
    page = read_page(save(PAGE_2013, "page/page2.xml"))
    with pytest.raises(
        FileNotFoundError, match=r"page2\.xml: its image 'page1\.png' was not found in .* give the folder"
    ):
        find_image(page)
    for place in ("Images/page1.TIF", "page1.JPG", "page/images/page1.jpg", "images/page1.png", "other/page1.png"):
        path = tmp_path / place
        write_image(path.with_suffix(".png"), PAPER)
        path.with_suffix(".png").rename(path)
        images = tmp_path / "other" if "other" in place else None
        assert find_image(page, images).resolve() == path.resolve()


@pytest.mark.parametrize("name", ["/etc/passwd", "../../etc/passwd", "..", "C:\\x\\..", "http://a/b"])
def test_image_names_lead_nowhere_else(save, name):
    page = read_page(save(PAGE_2013.replace("C:\\scans\\page1.png", name), "p.xml"))
    with pytest.raises(FileNotFoundError):
        find_image(page)


def test_an_image_may_have_the_name_of_the_page_file(save, tmp_path, caplog):
    page = read_page(save(PAGE_2013, "scan7.xml"))
    write_image(tmp_path / "scan7.png", PAPER)
    assert find_image(page) == tmp_path / "scan7.png"
    assert "its image 'page1.png' is missing" in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("<PcGts><Page>", r"page1\.xml:1: not well-formed"),
        ("<mets/>", "begins with <mets>; PAGE XML"),
        ("<PcGts/>", "one Page, this has 0"),
        ("<alto><Layout><Page/><Page/></Layout></alto>", "this has 2; split it"),
        ("<html><body/></html>", "this has 0; is it hOCR"),
        ("<html><body><br></body></html>", "read as XHTML: close every tag"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><PcGts/>', "declares an entity"),
        (
            '<!DOCTYPE a SYSTEM "http://x/y.dtd"><PcGts>&b;</PcGts>',
            "uses an entity that only its document type could define",
        ),
        ("<PcGts>" + "<a>" * 300 + "</a>" * 300 + "</PcGts>", "more than 200 elements within one another"),
        ('<?xml version="1.0" encoding="klingon"?><PcGts/>', "unknown encoding|encoding that cannot be read"),
        (
            "<alto><Description><MeasurementUnit>mm10</MeasurementUnit></Description><Layout><Page/></Layout></alto>",
            "WIDTH",
        ),
    ],
)
def test_other_files_are_refused_by_name(save, text, message):
    with pytest.raises(DataError, match=message):
        read_page(save(text))


def test_missing_page_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"page file .* not found"):
        read_page(tmp_path / "a.xml")
    with pytest.raises(DataError, match="is a folder; give a page file"):
        read_page(tmp_path)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(FILES)), st.data())
def test_damaged_files_are_read_or_refused(tmp_path_factory, kind, data):
    content = FILES[kind]
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content) - 1))
        content = content[:start] + data.draw(st.text(max_size=3)) + content[start + data.draw(st.integers(0, 20)) :]
    folder = tmp_path_factory.mktemp("damage")
    (folder / "a.xml").write_bytes(content.encode("utf-8", "surrogatepass"))
    try:
        page = read_page(folder / "a.xml")
        page.fit(400, 300)
        for line in page.lines:
            page.fill(line, spoken("ab c"), crop_line(PAPER, line))
    except DataError:
        return
    write_page(page, folder / "b.xml")
    expat.ParserCreate().Parse((folder / "b.xml").read_bytes(), True)  # damaged prefixes stay as they are
    assert texts(read_page(folder / "b.xml")) == ["ab c"] * len(page.lines)


def test_html_names_of_characters_are_read_in_attributes_and_kept_in_a_copy(save, tmp_path):
    named = HOCR.replace("page1.png", "caf&eacute;&amp;&lt;&nsub;.png").replace("erste", "&lt;er&nbsp;ste&amp;")
    page = read_page(save(named, "page1.hocr"))
    assert page.image == "caf\u00e9&<\u2284.png"
    assert page.lines[0].text.startswith("<er")
    write_page(page, tmp_path / "copy.hocr")
    assert read_page(tmp_path / "copy.hocr").image == page.image
    alto = '<?xml version="1.0"?>\n<!DOCTYPE alto SYSTEM "a.dtd">\n' + ALTO_4.partition("\n")[2]
    with pytest.raises(DataError, match=r"page1\.xml:.* the file uses an entity"):
        read_page(save(alto.replace("erste Zeile", "caf&unheard;")))


@pytest.mark.parametrize("doctype", ["<!DOCTYPE alto SYSTEM 'a\"b.dtd'>", "<!DOCTYPE alto PUBLIC '-//x' \"it's\" >"])
def test_a_document_type_is_written_as_it_was(save, tmp_path, doctype):
    text = ALTO_4.replace("?>\n", f"?>\n<!-- first -->\n{doctype}\n<!-- then -->\n", 1)
    for path in (save(text), save(text.replace("\n", "\r\n"), "windows.xml")):
        write_page(read_page(path), tmp_path / "copy.xml")
        assert f"<!-- first -->\n{doctype}\n<!-- then -->\n<alto" in (tmp_path / "copy.xml").read_text()
        assert texts(read_page(tmp_path / "copy.xml")) == texts(read_page(path))


def test_properties_of_hocr_are_read_in_linear_time():
    quotes = """image "a;b.png" ; bbox 0 0 400 300;x_source it's "me; too" ;; ppageno 0"""
    hostile = "a" * 200_000 + '"' + "'" * 7
    start = time.perf_counter()
    assert hocr._properties(Element("span", title=hostile)) == {hostile: ""}
    assert hocr._properties(Element("span", title=quotes)) == {
        "image": '"a;b.png"',
        "bbox": "0 0 400 300",
        "x_source": 'it\'s "me; too"',
        "ppageno": "0",
    }
    assert time.perf_counter() - start < 2


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (" 12 ", 12),
        ("-.5e1", -5),
        ("3.", 3),
        ("1e999", None),
        ("nan", None),
        ("1_0", None),
        ("1" * 100_000 + "x", None),
    ],
)
def test_numbers_are_finite_and_short(text, value):
    found = number(text)
    assert found == value if value is not None else math.isnan(found)


@pytest.mark.parametrize(("width", "height"), [("1e-200", "1e200"), ("1e999", "1e999"), ("1e-9", "1e-9"), ("-4", "")])
def test_sizes_that_make_no_sense_count_as_unknown(save, width, height):
    text = PAGE_2013.replace('imageWidth="400" imageHeight="300"', f'imageWidth="{width}" imageHeight="{height}"')
    page = read_page(save(text))
    assert (page.width, page.height) == (0, 0)
    fill_all(page)
    box = HOCR.replace("bbox 0 0 400 300", "bbox 0 0 1e-320 1e-320")
    assert read_page(save(box, "a.hocr")).width == 0
    alto = read_page(save(ALTO_4.replace('HPOS="20" VPOS="200"', 'HPOS="-1e300" VPOS="200"')))
    assert alto.lines[2].polygon == []


def test_an_endless_index_counts_as_none(save):
    page = read_page(
        save(
            PAGE_2013.replace(
                'id="l2" custom="readingOrder {index:1', 'id="l2" custom="readingOrder {index:' + "1" * 5000
            )
        )
    )
    assert [line.id for line in page.lines] == ["l3", "l2", "l1"]  # as in the file
    hostile = "readingOrder {" * 50_000
    start = time.perf_counter()
    read_page(save(PAGE_2013.replace('custom="readingOrder {index:1;}"', f'custom="{hostile}"')))
    assert time.perf_counter() - start < 5


def test_page_files_are_found_to_any_depth_without_hidden_ones_and_results(tmp_path):
    names = ("b.xml", "a/page/1.xml", "a/2.HOCR", "out/b.xml", "out/in/c.xml")
    hidden = ("._b.xml", "a/.git/x.xml", "mets.xml", "a/metadata.xml", "a/x.txt")
    for name in (*names, *hidden):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = [path.relative_to(tmp_path).as_posix() for path in find_pages(tmp_path)]
    assert sorted(found) == sorted(names)
    rest = [path.relative_to(tmp_path).as_posix() for path in find_pages(tmp_path, skip=tmp_path / "a" / ".." / "out")]
    assert sorted(rest) == sorted(names[:3])
    inside = [tmp_path / "out/b.xml", tmp_path / "out/in/c.xml"]
    assert find_pages(tmp_path / "out", skip=tmp_path / "out") == inside
    assert find_pages(tmp_path / "out" / "in", skip=tmp_path / "out") == inside[1:]
