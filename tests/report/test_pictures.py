import base64
import io
import re
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from seqlab.report import image_uri, ink_uri
from seqlab.report.pictures import HEIGHT, MOST_WIDTH


def decoded(uri):
    head, _, body = uri.partition(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(body))).convert("L"), dtype=int)


def drawn(uri):
    """Width and height in pixels, and strokes as lists of absolute points in pixels."""
    head, _, body = uri.partition(",")
    assert head == "data:image/svg+xml"
    assert not set(body) & set('"<>#&\n')
    svg = ElementTree.fromstring(unquote(body))
    left, top, wide, high = (float(number) for number in svg.get("viewBox").split())
    width, height = float(svg.get("width")), float(svg.get("height"))
    assert wide / width == high / height
    strokes = []
    for stroke in re.findall(r"M([^M]*)", svg[0].get("d")):
        x, y = (float(number) for number in re.match(r"(\S+) (\S+?)(?=[lh])", stroke).groups())
        points = [(x, y)]
        steps = [float(number) for number in re.findall(r"-?\d+", stroke.partition("l")[2])]
        for dx, dy in zip(steps[::2], steps[1::2], strict=True):
            x, y = x + dx, y + dy
            points.append((x, y))
        strokes.append([((x - left) * width / wide, (y - top) * height / high) for x, y in points])
    return width, height, strokes


def test_small_image_comes_back_within_half_a_grey_step():
    image = np.random.default_rng(0).integers(0, 256, (40, 70)).astype(np.uint8)
    image[0, :2] = 0, 255
    back = decoded(image_uri(image))
    assert back.shape == (40, 70)
    assert np.abs(back - image).max() <= 8
    assert (back[0, 0], back[0, 1]) == (0, 255)


def test_tall_image_shrinks_to_the_height_and_keeps_its_shape():
    image = np.zeros((128, 1000), np.uint8)
    image[:, 500:] = 255
    back = decoded(image_uri(image))
    assert back.shape == (HEIGHT, 500)
    assert not back[:, :250].any()
    assert (back[:, 250:] == 255).all()


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((1, 1), (1, 1)), ((3, 100_000), (1, MOST_WIDTH)), ((10_000, 2), (HEIGHT, 1)), ((64, 64), (64, 64))],
)
def test_odd_shapes(shape, expected):
    assert decoded(image_uri(np.full(shape, 200, np.uint8))).shape == expected


def test_line_of_a_scan_stays_small():
    generator = np.random.default_rng(0)
    paper = 235 + generator.normal(0, 4, (119, 1758))  # the median size of an IAM line
    for _ in range(200):
        x, y = generator.integers(0, 1700), generator.integers(20, 90)
        paper[y : y + 25, x : x + 4] = 60
    assert len(image_uri(paper.clip(0, 255).astype(np.uint8))) < 20_000


@pytest.mark.parametrize(
    "image", [np.zeros((0, 5), np.uint8), np.zeros((5, 5)), np.zeros((5, 5, 3), np.uint8), np.zeros(5, np.uint8)]
)
def test_what_is_no_image_is_refused(image):
    with pytest.raises(ValueError, match="grey values"):
        image_uri(image)


def test_views_of_images_are_taken():
    image = np.arange(200, dtype=np.uint8).reshape(10, 20)
    assert image_uri(image.T[::-1]) == image_uri(np.ascontiguousarray(image.T[::-1]))


def test_strokes_by_hand():
    # 29 units high: two pixels a unit, 3 pixels around
    ink = np.array(
        [[100, 10, 0, 0], [110, 39, 0.1, 0], [120, 10, 0.2, 1], [130, 20, 0.3, 1], [140, 39, 0.4, 0], [150, 39, 0.5, 1]]
    )
    width, height, strokes = drawn(ink_uri(ink))
    assert (width, height) == (106, 64)
    assert strokes == [[(3, 3), (23, 61), (43, 3)], [(63, 23)], [(83, 61), (103, 61)]]


def test_last_stroke_needs_no_end():
    ink = np.array([[0, 0, 0, 0], [1, 1, 0, 0]], np.float32)
    assert len(drawn(ink_uri(ink))[2]) == 1


@pytest.mark.parametrize(
    ("points", "size"),
    [
        ([], (6, 6)),
        ([(5, 5)], (6, 6)),
        ([(0, 0), (10_000, 0)], (MOST_WIDTH, 6)),  # a dash fills the width, not the height
        ([(0, 0), (0, 1e-6)], (6, HEIGHT)),
        ([(1e9, -1e9), (1e9 + 100, -1e9 + 100)], (HEIGHT, HEIGHT)),
    ],
)
def test_odd_inks_are_drawn(points, size):
    ink = np.array([(x, y, 0, 0) for x, y in points], np.float64).reshape(-1, 4)
    width, height, strokes = drawn(ink_uri(ink))
    assert (width, height) == size
    for x, y in (point for stroke in strokes for point in stroke):
        assert 0 <= x <= width
        assert 0 <= y <= height


def test_many_points_stay_small_and_do_not_drift():
    angle = np.linspace(0, 200, 20_000)
    ink = np.stack([10 * angle, 100 * np.sin(angle), angle, angle * 0], 1).astype(np.float32)
    uri = ink_uri(ink)
    assert len(uri) < 100_000
    width, _, strokes = drawn(uri)
    scale = 58 / np.ptp(ink[:, 1])
    assert strokes[0][-1] == pytest.approx((3 + 2000 * scale, 3 + (ink[-1, 1] - ink[:, 1].min()) * scale), abs=0.13)
    assert width == np.ceil(2000 * scale) + 6


@pytest.mark.parametrize("ink", [np.zeros((3, 2)), np.zeros(4), np.full((2, 4), np.nan), np.full((2, 4), np.inf)])
def test_what_is_no_ink_is_refused(ink):
    with pytest.raises(ValueError, match=r"need points|not finite"):
        ink_uri(ink)
