"""PAGE XML, ALTO and hOCR of a line image that stands alone: a page that is one line, filled with its text.

PAGE XML is that of 2019-07-15, ALTO version 4; both have places of words and characters, as hOCR has.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, indent

import numpy as np

import seqlab
from seqlab.errors import DataError
from seqlab.media import image_size
from seqlab.outputs.formats import Format
from seqlab.outputs.srt import only
from seqlab.outputs.transcript import Transcript
from seqlab.pages import alto, hocr, page_xml
from seqlab.pages._tree import Tree, clean
from seqlab.pages.crop import LineImage
from seqlab.pages.document import Page, now

_PAGE = "http://schema.primaresearch.org/PAGE/gts/pagecontent/2019-07-15"
_ALTO = "http://www.loc.gov/standards/alto/ns-v4#"
_XSI = "http://www.w3.org/2001/XMLSchema-instance"
Below = tuple[str, dict[str, str], "str | list[Below]"]  # an element: name, attributes, text or what it holds
Skeleton = Callable[[str, int, int], Below]


def to_lines(
    read: Callable[[Path, Tree], Page], skeleton: Skeleton, transcripts: Iterable[Transcript]
) -> Iterator[str]:
    """Yield the lines of the page file of one line image, which is read once more for its size.

    Args:
        read: makes a page of a tree.
        skeleton: makes the tree of an empty line from the image's name, width and height.
        transcripts: one, in pixels, with its source.

    Raises:
        DataError: there is more than one, its unit is not pixels, or it has no source.
        FileNotFoundError: the image is gone.
    """
    transcript = only(transcripts, "a page")
    if transcript.unit != "px" or not transcript.source:
        raise DataError(f"{transcript.source}: a page file tells places on an image, not {transcript.unit}; use json")
    source = Path(transcript.source)
    width, height = image_size(source)
    root = _element(skeleton(clean(source.name), width, height))
    indent(root, "  ")
    page = read(source, Tree(root, declaration=("1.0", None)))
    feet = np.stack([np.arange(width + 1.0), np.full(width + 1, float(height))], 1)
    crop = LineImage(np.zeros((height, 0), np.uint8), feet, np.tile([0.0, -1.0], (width + 1, 1)), float(height), 0.0)
    page.fill(page.lines[0], transcript, crop)
    yield from page.lines_of_file()


def _element(below: Below, parent: Element | None = None) -> Element:
    name, attributes, content = below
    element = Element(name, attributes) if parent is None else SubElement(parent, name, attributes)
    if isinstance(content, str):
        element.text = content or None
    else:
        for inner in content:
            _element(inner, element)
    return element


def _page(name: str, width: int, height: int) -> Below:
    time = now()
    metadata: list[Below] = [("Creator", {}, f"seqlab {seqlab.__version__}"), ("Created", {}, time)]
    outline: Below = ("Coords", {"points": f"0,0 {width},0 {width},{height} 0,{height}"}, "")
    region: Below = ("TextRegion", {"id": "r1"}, [outline, ("TextLine", {"id": "r1_l1"}, [outline])])
    page = {"imageFilename": name, "imageWidth": str(width), "imageHeight": str(height)}
    root = {"xmlns": _PAGE, "xmlns:xsi": _XSI, "xsi:schemaLocation": f"{_PAGE} {_PAGE}/pagecontent.xsd"}
    below: list[Below] = [("Metadata", {}, [*metadata, ("LastChange", {}, time)]), ("Page", page, [region])]
    return ("PcGts", root, below)


def _alto(name: str, width: int, height: int) -> Below:
    box = {"HPOS": "0", "VPOS": "0", "WIDTH": str(width), "HEIGHT": str(height)}
    block: Below = ("TextBlock", {"ID": "r1", **box}, [("TextLine", {"ID": "r1_l1", **box}, "")])
    page = {"ID": "p1", "PHYSICAL_IMG_NR": "1", "WIDTH": str(width), "HEIGHT": str(height)}
    image: Below = ("sourceImageInformation", {}, [("fileName", {}, name)])
    schema = f"{_ALTO} http://www.loc.gov/standards/alto/v4/alto-4-2.xsd"
    description: Below = ("Description", {}, [("MeasurementUnit", {}, "pixel"), image])
    layout: Below = ("Layout", {}, [("Page", page, [("PrintSpace", box, [block])])])
    return ("alto", {"xmlns": _ALTO, "xmlns:xsi": _XSI, "xsi:schemaLocation": schema}, [description, layout])


def _hocr(name: str, width: int, height: int) -> Below:
    said = {
        "ocr-system": f"seqlab {seqlab.__version__}",
        "ocr-capabilities": "ocr_page ocr_line ocrx_word ocrx_cinfo",
    }
    charset: Below = ("meta", {"http-equiv": "Content-Type", "content": "text/html; charset=utf-8"}, "")
    metas: list[Below] = [("meta", {"name": key, "content": value}, "") for key, value in said.items()]
    box = f"bbox 0 0 {width} {height}"
    line: Below = ("span", {"class": "ocr_line", "id": "line_1", "title": box}, "")
    image = name.replace('"', "'")
    page = {"class": "ocr_page", "id": "page_1", "title": f'image "{image}"; {box}; ppageno 0'}
    body: Below = ("body", {}, [("div", page, [line])])
    return (
        "html",
        {"xmlns": "http://www.w3.org/1999/xhtml"},
        [("head", {}, [("title", {}, name), charset, *metas]), body],
    )


FORMATS = {
    "pagexml": Format(partial(to_lines, page_xml.read, _page), "xml", True, "px"),
    "alto": Format(partial(to_lines, alto.read, _alto), "alto.xml", True, "px"),
    "hocr": Format(partial(to_lines, hocr.read, _hocr), "hocr", True, "px"),
}
