"""Line images as columns of ink: size, polarity, contrast, slope, slant, and what is refused."""

from typing import Any

import numpy as np
import pytest

from seqlab.errors import DataError
from seqlab.frontends.image_columns import ImageColumns, _percentiles


def frontend(**settings: Any) -> ImageColumns:
    return ImageColumns(**{"height": 10, "contrast": "none", "polarity": "dark"} | settings)


def paper(rows: int, columns: int, grey: int = 255) -> np.ndarray:
    return np.full((rows, columns), grey, np.uint8)


def test_percentiles_by_histogram_are_those_of_the_image() -> None:
    rng = np.random.default_rng(3)
    shares = (0, 1, 12.5, 40, 50, 99, 100)
    for size in (1, 2, 3, 100, 4099):
        for greys in (rng.integers(0, 256, size), rng.choice([3, 250], size)):
            found = _percentiles(np.bincount(greys, minlength=256), shares)
            assert found.tolist() == np.percentile(greys.astype(np.uint8), shares).tolist()


def test_image_of_the_right_height_is_turned_and_inverted() -> None:
    image = np.arange(60, dtype=np.uint8).reshape(10, 6)
    ink = frontend().prepare(image)
    assert ink.dtype == np.uint8
    assert ink.flags.c_contiguous
    assert ink.tolist() == (255 - image).T.tolist()  # a column of the image is a frame


@pytest.mark.parametrize(
    ("width", "height", "columns"),
    [
        (60, 10, 60),
        (60, 20, 30),
        (61, 20, 30),
        (63, 20, 32),
        (7, 2, 35),
        (1, 1, 10),
        (1, 100, 1),
        (1, 10, 1),
        (300, 1, 3000),
    ],
)
def test_aspect_is_kept(width: int, height: int, columns: int) -> None:
    # 10 rows, so width * 10 / height columns: 30.5 rounds to the even 30, 31.5 to 32, and none is narrower than 1
    for pad in (0, 4):
        part = frontend(pad=pad)
        assert part.columns(width, height) == columns + 2 * pad
        assert part.prepare(paper(height, width)).shape == (columns + 2 * pad, 10)


@pytest.mark.parametrize("settings", [{}, {"pad": 3}, {"deskew": True}, {"contrast": "binary", "polarity": "auto"}])
def test_columns_tell_the_size_beforehand(settings: dict[str, Any]) -> None:
    part = ImageColumns(**settings)
    rng = np.random.default_rng(0)
    for _ in range(30):
        height, width = rng.integers(1, 120), rng.integers(1, 300)
        image = rng.integers(0, 256, (height, width), dtype=np.uint8)
        assert len(part.prepare(image)) == part.columns(width, height)


def test_padding_is_paper() -> None:
    ink = frontend(pad=2).prepare(paper(10, 3, 0))
    assert ink.max(1).tolist() == [0, 0, 255, 255, 255, 0, 0]


@pytest.mark.parametrize("polarity", ["auto", "dark"])
def test_dark_ink_on_light_paper(polarity: str) -> None:
    image = paper(10, 20, 230)
    image[2:8, 5] = 30
    ink = frontend(polarity=polarity).prepare(image)
    assert ink[5, 2:8].tolist() == [225] * 6  # 255 - 30
    assert ink[4].tolist() == [25] * 10


@pytest.mark.parametrize("polarity", ["auto", "light"])
def test_light_ink_on_dark_paper(polarity: str) -> None:
    image = paper(10, 20, 40)
    image[2:8, 5] = 220
    ink = frontend(polarity=polarity).prepare(image)
    assert ink[5, 2:8].tolist() == [220] * 6
    assert ink[4].tolist() == [40] * 10


def test_auto_polarity_takes_the_rarer_side_as_ink() -> None:
    image = paper(10, 20, 200)
    for dark in range(1, 20):
        image[:, :dark] = 60
        ink = frontend(polarity="auto", contrast="binary").prepare(image)
        share = (ink == 255).mean()
        assert share == pytest.approx(min(dark, 20 - dark) / 20)


def test_stretch_brings_paper_to_0_and_ink_to_255() -> None:
    # ink 55 (90 pixels), 130 (1) and 205 (9): the 40th percentile is 55, the 99th 205; (130 - 55) * 255 / 150 = 127.5
    image = paper(10, 10, 200)
    image[0, :9], image[0, 9] = 50, 125
    ink = frontend(contrast="stretch").prepare(image)
    assert ink[:9, 0].tolist() == [255] * 9
    assert ink[9, 0] == 127
    assert not ink[:, 1:].any()


def test_stretch_does_not_blow_up_what_is_hardly_there() -> None:
    # a difference of 4 grey values counts as half of the 8 that are needed at least
    image = paper(10, 10, 200)
    image[0] = 196
    assert frontend(contrast="stretch").prepare(image)[:, 0].tolist() == [127] * 10
    assert not frontend(contrast="stretch").prepare(paper(10, 10, 90)).any()


def least_inner_variance(values: np.ndarray) -> int:
    """Otsu's criterion by its definition: the threshold whose two classes vary least."""
    best, threshold = np.inf, 0
    for t in range(255):
        low, high = values[values <= t], values[values > t]
        if len(low) and len(high):
            inner = len(low) * low.var() + len(high) * high.var()
            if inner < best - 1e-6:
                best, threshold = inner, t
    return threshold


def test_binary_parts_the_histogram_as_otsu() -> None:
    rng = np.random.default_rng(3)
    for low, high, share in ((40, 200, 0.2), (90, 140, 0.5), (10, 250, 0.05), (100, 130, 0.3)):
        bright = rng.random((10, 80)) < share
        image = np.where(bright, rng.normal(high, 12, (10, 80)), rng.normal(low, 8, (10, 80)))
        image = image.clip(0, 255).astype(np.uint8)
        ink = frontend(polarity="light", contrast="binary").prepare(image)
        assert set(np.unique(ink)) == {0, 255}
        assert ((ink.T == 255) == (image > least_inner_variance(image.ravel().astype(float)))).all()


@pytest.mark.parametrize("grey", [0, 90, 255])
@pytest.mark.parametrize("contrast", ["stretch", "binary"])
def test_image_of_one_grey_has_no_ink(grey: int, contrast: str) -> None:
    for polarity in ("auto", "dark", "light"):
        assert not frontend(contrast=contrast, polarity=polarity).prepare(paper(10, 10, grey)).any()


def bars(rows: int, degrees: float, count: int = 8, width: int = 4, gap: int = 30) -> np.ndarray:
    """Upright bars of 4 columns, leaning to the right by an angle."""
    image = paper(rows, count * gap + 2 * rows)
    for row in range(rows):
        lean = round(np.tan(np.radians(degrees)) * (rows / 2 - row))
        for bar in range(count):
            start = rows + bar * gap + lean
            image[row, start : start + width] = 0
    return image


@pytest.mark.parametrize("degrees", [-30, -15, 20, 35])
def test_deslant_stands_strokes_upright(degrees: float) -> None:
    image = bars(48, degrees)
    leaning = ImageColumns(contrast="none").prepare(image)
    upright = ImageColumns(contrast="none", deslant=True).prepare(image)
    whole = [int(((ink > 128).mean(1) > 0.9).sum()) for ink in (leaning, upright)]
    assert whole[0] == 0
    assert 16 <= whole[1] <= 40  # eight bars, two to five columns each
    assert upright.sum() == pytest.approx(leaning.sum(), rel=0.05)  # no ink is lost


def test_deslant_leaves_upright_and_empty_lines() -> None:
    image = bars(48, 0)
    plain = ImageColumns(contrast="none").prepare(image)
    upright = ImageColumns(contrast="none", deslant=True).prepare(image)
    assert upright.tolist() == plain.tolist()
    blank = paper(48, 90)
    assert ImageColumns(deslant=True).prepare(blank).shape == (90, 48)


def test_deslant_keeps_ink_at_the_borders() -> None:
    image = paper(48, 100)
    for row in range(48):
        image[row, max(47 - row, 0) : 51 - row] = 0  # 45 degrees, from the lower left corner
        image[row, 96 - row : 100 - row] = 0
    plain = ImageColumns(contrast="none").prepare(image)
    upright = ImageColumns(contrast="none", deslant=True).prepare(image)
    assert upright.sum() == pytest.approx(plain.sum(), rel=0.05)
    assert ((upright > 128).mean(1) > 0.9).sum() >= 6


@pytest.mark.parametrize("degrees", [-3, -1.5, 2, 3.5])
def test_deskew_levels_a_sloping_line(degrees: float) -> None:
    image = paper(48, 400)
    for column in range(400):
        middle = round(24 + np.tan(np.radians(degrees)) * (column - 200))
        image[middle - 2 : middle + 2, column] = 0
    sloping = ImageColumns(contrast="none").prepare(image)
    level = ImageColumns(contrast="none", deskew=True).prepare(image)
    fullest = [float((ink > 128).mean(0).max()) for ink in (sloping, level)]
    assert fullest[0] < 0.6
    assert fullest[1] > 0.95
    assert level.shape == sloping.shape


def test_deskew_leaves_level_lines() -> None:
    image = paper(48, 400)
    image[20:26, 30:370:3] = 0
    plain = ImageColumns(contrast="none").prepare(image)
    assert ImageColumns(contrast="none", deskew=True).prepare(image).tolist() == plain.tolist()


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 40), (40, 1), (2, 3)])
@pytest.mark.parametrize("contrast", ["none", "stretch", "binary"])
def test_tiny_images_go_through_everything(rows: int, columns: int, contrast: Any) -> None:
    part = ImageColumns(contrast=contrast, deskew=True, deslant=True, pad=1)
    for grey in (0, 128, 255):
        ink = part.prepare(paper(rows, columns, grey))
        assert ink.shape[1] == 48
        assert len(ink) >= part.columns(columns, rows)


def test_far_too_wide_image_is_refused_before_it_costs_memory() -> None:
    with pytest.raises(DataError, match=r"50000 x 1 pixels would have 2400000 columns.*is it one line"):
        ImageColumns().prepare(paper(1, 50_000))
    assert len(ImageColumns().prepare(paper(1, 800))) == 38_400


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.float32),
        np.zeros((4, 4), bool),
        np.zeros((4, 4, 3), np.uint8),
        np.zeros((0, 4), np.uint8),
        np.zeros((4, 0), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((4, 4), np.uint16),
    ],
)
def test_what_is_no_grey_image_is_refused(image: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"must be grey, \(rows, columns\) of uint8; got"):
        ImageColumns().prepare(image)


def test_right_to_left_hands_out_the_rightmost_column_first() -> None:
    image = np.full((4, 6), 255, np.uint8)
    image[:, 5] = 0  # ink in the last column
    ltr = ImageColumns(height=4, contrast="none", polarity="dark")
    rtl = ImageColumns(height=4, contrast="none", polarity="dark", direction="rtl")
    assert ltr.prepare(image)[:, 0].tolist() == [0, 0, 0, 0, 0, 255]
    assert rtl.prepare(image)[:, 0].tolist() == [255, 0, 0, 0, 0, 0]


def test_local_contrast_evens_out_a_shadow_and_faint_words() -> None:
    image = np.full((10, 200), 220, np.uint8)
    image[:, 100:] = 120  # the right half lies in shadow, its ink is fainter
    image[4:6, 10:90] = 20
    image[4:6, 110:190] = 20
    ink = ImageColumns(height=10, contrast="local", polarity="dark").prepare(image).T
    assert ink[0, :90].max() == ink[0, 115:].max() == 0
    assert min(ink[4, 10:85].min(), ink[4, 120:190].min()) >= 254
    stretched = ImageColumns(height=10, contrast="stretch", polarity="dark").prepare(image).T
    assert stretched[0, 115:].max() > 60  # what a single range for the line makes of the shadow
