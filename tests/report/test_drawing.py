"""Pictures that stand alone: heat maps, curves."""

import base64
import io
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from seqlab.report.drawing import DIVERGING, LEVELS, MOST_COLUMNS, SEQUENTIAL, Drawing, colours, levels, plot, printable

SVG = "{http://www.w3.org/2000/svg}"


def luma(shades: np.ndarray) -> np.ndarray:
    """Relative luminance of sRGB colours (N, 3), IEC 61966-2-1."""
    values = shades / 255.0
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return np.asarray(linear @ [0.2126, 0.7152, 0.0722])


def test_maps_can_be_read_without_colours() -> None:
    assert (np.diff(luma(colours(SEQUENTIAL))) > 0).all()
    both = luma(colours(DIVERGING, 65))
    assert (np.diff(both[:33]) > 0).all()
    assert (np.diff(both[32:]) < 0).all()
    assert np.abs(both - both[::-1]).max() < 0.12  # as dark below as above


def test_levels_are_even_bounded_and_averaged_where_there_are_too_many() -> None:
    values = np.array([[-1.0, 0.0, 1.0, 7.0, np.nan]])
    assert levels(values, -1.0, 1.0).tolist() == [[0, 32, 63, 63, 0]]
    wide = np.tile([0.0, 0.0, 1.0], (2, MOST_COLUMNS))  # groups of three: a mean of 1 / 3
    narrow = levels(wide, 0.0, 1.0)
    assert narrow.shape == (2, MOST_COLUMNS)
    assert set(narrow.ravel().tolist()) == {round((LEVELS - 1) / 3)}
    uneven = levels(np.ones((1, MOST_COLUMNS + 1)), 0.0, 1.0)  # the last group is smaller, its mean is not
    assert set(uneven.ravel().tolist()) == {LEVELS - 1}


def test_heat_map_shows_each_value_in_its_colour() -> None:
    drawing = Drawing(10, 10, "heat")
    drawing.heat(0, 0, 10, 10, np.array([[0, 63], [31, 0]], np.uint8), SEQUENTIAL)
    image = next(ElementTree.fromstring(drawing.svg()).iter(f"{SVG}image"))
    picture = Image.open(io.BytesIO(base64.b64decode(image.attrib["href"].partition(",")[2]))).convert("RGB")
    shades = colours(SEQUENTIAL)
    assert picture.getpixel((0, 0)) == tuple(shades[0])
    assert picture.getpixel((1, 0)) == tuple(shades[63])
    assert picture.getpixel((0, 1)) == tuple(shades[31])


def test_text_is_what_xml_can_hold() -> None:
    assert printable(" ") == "␣"
    assert printable("a\x00b\ud800c d") == "a·b·c d"
    drawing = Drawing(10, 10, "<&>")
    drawing.text(0, 0, "<script>\x01")
    assert [t.text for t in ElementTree.fromstring(drawing.svg()).iter(f"{SVG}text")] == ["<script>·"]


def test_curves_lie_where_their_values_are_and_end_below_the_floor() -> None:
    points = [(float(k), 10.0**-k) for k in range(9)]
    svg = plot("decay", {"one": points, "two": points[:3]}, "k", "y", 1e-4).svg()
    curves = [e for e in ElementTree.fromstring(svg).iter(f"{SVG}polyline") if "curve" in e.attrib["class"]]
    places = [[tuple(map(float, p.split(","))) for p in c.attrib["points"].split()] for c in curves]
    fall, key, _, _ = places
    assert len(key) == 2
    steps = np.diff(np.unique(np.array(fall), axis=0), axis=0)
    assert len(steps) == 4  # 1 to 1e-4
    assert np.ptp(steps, axis=0) == pytest.approx((0, 0), abs=0.11)  # a straight line on this scale
    assert {"1", "1e-4", "k", "y", "one", "two"} <= {t.text for t in ElementTree.fromstring(svg).iter(f"{SVG}text")}
