import math
import time
from xml.etree.ElementTree import Element

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqlab.errors import DataError
from seqlab.pages import PageLine, crop_line, line_reach
from seqlab.pages.crop import straight_baseline


def make(polygon=(), baseline=(), name="l1"):
    return PageLine(name, list(polygon), list(baseline), None, None, "", "", "", Element("line"))


def box(left, top, right, bottom):
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def noise(height=120, width=200, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)


@pytest.mark.parametrize("baseline", [[], [(30, 60), (150, 60)], [(20, 55.5), (170, 55.5)], [(60, 50), (90, 50)]])
def test_a_level_box_gives_the_pixels_of_the_page(baseline):
    page = noise()
    crop = crop_line(page, make(box(20, 30, 170, 75), baseline))
    assert crop.image.dtype == np.uint8
    assert np.array_equal(crop.image, page[30:75, 20:170])
    assert np.array(crop.to_page(0, 150)) == pytest.approx(np.array(box(20, 30, 170, 75)))
    assert np.array(crop.to_page(10, 12)) == pytest.approx(np.array(box(30, 30, 32, 75)))
    assert np.array(crop.to_page(-5, 1000)) == pytest.approx(np.array(box(20, 30, 170, 75)))


def test_outside_the_outline_lies_paper():
    page = np.full((100, 200), 190, np.uint8)
    page[::2] = 200
    page[40:60, 20:180:4] = 10  # ink
    page[:30] = 0  # another line
    crop = crop_line(page, make([(20, 20), (100, 35), (180, 35), (180, 70), (20, 70)], [(20, 60), (180, 60)]))
    assert crop.image.shape == (50, 160)
    assert set(np.unique(crop.image[:5, 60:])) == {200}  # three quarters up the sorted greys
    assert crop.image[5, 3] == 0  # inside it, the page as it is


def test_a_slope_is_levelled():
    """A dark band along y = 100 + 0.2 x becomes level, at its distance above the baseline."""
    y, x = np.mgrid[0:200, 0:300] + 0.5
    slope, norm = 0.2, math.hypot(1, 0.2)
    page = np.where(np.abs((y - (100 + slope * x)) / norm + 10) < 2, 0, 255).astype(np.uint8)  # 10 px above
    polygon = [(20, 78), (280, 130), (280, 164), (20, 112)]
    for baseline in ([(20, 104), (280, 156)], [(20, 104), (60, 112), (200, 140), (280, 156)]):
        crop = crop_line(page, make(polygon, baseline))
        rows = crop.above - 0.5 - np.arange(len(crop.image))  # distance above the baseline
        dark = rows[crop.image[:, 100] < 128]
        assert dark.mean() == pytest.approx(10, abs=0.6)
        assert np.ptp((crop.image[:, 20:-20] < 128).sum(axis=0)) <= 2
        (x0, y0), (x1, y1), _, _ = crop.to_page(50, 150)
        assert (y1 - y0) / (x1 - x0) == pytest.approx(slope, abs=0.01)
        assert math.hypot(x1 - x0, y1 - y0) == pytest.approx(100, abs=0.5)


def test_a_curve_is_straightened_and_columns_find_their_place_on_the_page():
    """Dots every 20 pixels of arc on a circle come out on one row, and to_page leads back to each."""
    radius, centre = 400.0, (300.0, 520.0)
    angles = [(-50 + 20 * i / radius * 180 / math.pi) for i in range(30)]
    dots = [
        (centre[0] + radius * math.sin(math.radians(a)), centre[1] - radius * math.cos(math.radians(a))) for a in angles
    ]
    y, x = np.mgrid[0:400, 0:600] + 0.5
    page = np.full((400, 600), 255.0)
    for px, py in dots:
        page = np.minimum(page, 255 * np.clip(np.hypot(x - px, y - py) / 3, 0, 1))

    def arc(r, angles):
        return [(centre[0] + r * math.sin(math.radians(a)), centre[1] - r * math.cos(math.radians(a))) for a in angles]

    fine = np.linspace(angles[0], angles[-1], 25)
    line = make(arc(radius + 20, fine) + arc(radius - 10, fine[::-1]), arc(radius, fine))
    crop = crop_line(page.round().astype(np.uint8), line)
    assert crop.above == pytest.approx(20, abs=0.7)
    assert crop.image.shape == pytest.approx((31, 580), abs=8)
    row = crop.image[round(crop.above)]
    minima = [i for i in range(5, len(row) - 5) if row[i] == row[i - 5 : i + 6].min() and row[i] < 120]
    groups = [m for m, before in zip(minima, [-10, *minima[:-1]], strict=True) if m - before > 5]
    assert len(groups) >= 28
    assert np.diff(groups) == pytest.approx(20, abs=1.5)
    corners = crop.to_page(groups[10] + 0.5, groups[10] + 0.5)
    foot = np.array(corners[0]) + (np.array(corners[3]) - corners[0]) * crop.above / (crop.above + crop.below)
    assert min(math.hypot(foot[0] - px, foot[1] - py) for px, py in dots) < 1.0


def test_a_line_without_baseline_stands_on_the_bottom_third():
    assert straight_baseline(np.array(box(0, 0, 90, 30), float)) == pytest.approx(np.array([(0, 20), (90, 20)]))
    tilted = np.array([(0, 0), (200, 40), (200, 70), (0, 30)], float)
    (x0, y0), (x1, y1) = straight_baseline(tilted)
    assert (x0, x1) == (0, 200)
    assert (y0, y1) == pytest.approx((20, 60), abs=3)
    crop = crop_line(noise(), make([(0, 0), (190, 38), (190, 68), (0, 30)]))
    assert len(crop.image) < 42  # of 68 rows that its box has


def test_a_line_without_outline_has_the_reach_of_its_neighbours():
    page = noise(400, 300)
    whole = [make(box(10, 10 + 50 * i, 290, 50 + 50 * i), [(10, 40 + 50 * i), (290, 40 + 50 * i)]) for i in range(3)]
    alone = make(baseline=[(10, 240), (200, 240)])
    reach = line_reach([*whole, alone])
    assert reach == (30, 10)
    assert np.array_equal(crop_line(page, alone, reach).image, page[210:250, 10:200])
    bare = [make(baseline=[(10, 50 * i), (290, 50 * i)]) for i in range(1, 5)]
    assert line_reach(bare) == pytest.approx((35, 15))  # shares of the distance
    assert line_reach([alone]) is None
    assert crop_line(page, alone).image.shape == (14, 190)  # 1/40 and 1/100 of the page


def test_lines_that_cannot_be_cut_are_named():
    page = noise()
    with pytest.raises(DataError, match="line 'l7' has neither an outline nor a baseline"):
        crop_line(page, make(name="l7"))
    with pytest.raises(DataError, match="neither"):
        crop_line(page, make([(1, 1), (5, 1)], [(3, 3)]))
    with pytest.raises(DataError, match="line 'l1' lies outside its image of 200 x 120 pixels"):
        crop_line(page, make(box(300, 10, 400, 50)))
    half = crop_line(page, make(box(150, 100, 400, 500)))
    assert np.array_equal(half.image, page[100:, 150:])


def test_upright_lines_run_along_their_baseline():
    page = noise(300, 100)
    crop = crop_line(page, make(box(20, 10, 60, 290), [(30, 10), (30, 290)]))
    assert crop.image.shape == (40, 280)
    # read downwards, the upper side of the letters is to the right
    assert np.array_equal(crop.image, np.rot90(page[10:290, 20:60]))


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-500, 500), st.floats(-500, 500)), max_size=8),
    st.lists(st.tuples(st.floats(-500, 500), st.floats(-500, 500)), max_size=5),
)
def test_any_geometry_is_cut_or_refused(polygon, baseline):
    try:
        crop = crop_line(noise(60, 80), make(polygon, baseline))
    except DataError:
        return
    assert crop.image.ndim == 2
    assert crop.image.size > 0
    assert len(crop.feet) == crop.image.shape[1] + 1
    assert np.isfinite(crop.to_page(0, crop.image.shape[1])).all()


P = box(100, 90, 900, 140)


@pytest.mark.parametrize(
    ("polygon", "baseline"),
    [
        (P, [(-1e9, 130), (500, 131), (1e9, 130)]),
        (P, [(1e12, 1e12), (1e12 + 5, 1e12)]),
        (P, [(100, 130), (102, 131), (104, 130)]),
        (box(0, 0, 1000, 400), [(100, 130), (102, 131), (104, 130)]),
        ([], [(-1e9, 130), (500, 131), (1e9, 130)]),
        ([], [(i % 2 * 1e9, 130 + i) for i in range(200)]),
        ([(i % 2 * 1e9, 100 + i) for i in range(200)], []),
        ([], [(100, 130), (500, 140), (900, 130)]),
    ],
)
def test_absurd_geometry_takes_neither_memory_nor_time(polygon, baseline):
    start = time.perf_counter()
    fault, image = "", np.zeros((1, 1))
    try:
        image = crop_line(noise(400, 1000), make(polygon, baseline), reach=(1e12, 1e12)).image
    except DataError as error:
        fault = str(error)
    assert not fault or "correct its outline or baseline" in fault
    assert max(image.shape) < 4000
    assert time.perf_counter() - start < 5


def test_a_far_baseline_leaves_the_line_that_its_outline_shows():
    page = noise(400, 1000)
    crop = crop_line(page, make(P, [(-1e9, 130), (1e9, 130)]))
    assert np.array_equal(crop.image, page[90:140, 100:900])
    assert np.array_equal(crop_line(page, make(P, [(1e9, 0), (2e9, 0)])).image, page[90:140, 100:900])
