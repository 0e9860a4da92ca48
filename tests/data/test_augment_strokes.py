import time
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from seqlab.data.augment_strokes import RejoinStrokes, StrokeDrop, StrokeJitter, StrokeWarp, ink_height
from seqlab.errors import ConfigError
from seqlab.manifest import Line
from seqlab.media.ink import ink_from_strokes, strokes_of

INK = ink_from_strokes([[[0, 0, 0.0], [0, 20, 0.5], [40, 20, 1.0]], [[10, 5, 2.0]]])
AUGMENTATIONS: list[Any] = [StrokeWarp(), StrokeJitter(0.05, 0.1), StrokeDrop(0.5, 0.3, 0.5)]
every = pytest.mark.parametrize("augmentation", AUGMENTATIONS, ids=lambda a: type(a).__name__)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@every
def test_same_seed_same_ink_and_the_original_is_kept(augmentation: Any) -> None:
    before = INK.copy()
    results = []
    for seed in (1, 1, 2):
        value = augmentation.draw(rng(seed))
        results.append(augmentation.apply(INK, value, rng(seed)))
        assert results[-1].dtype == np.float32
        assert augmentation.stretch(value) > 0
    np.testing.assert_array_equal(INK, before)
    np.testing.assert_array_equal(results[0], results[1])
    assert results[0].shape != results[2].shape or not np.array_equal(results[0], results[2])


@every
@pytest.mark.parametrize("strokes", [[], [[[3, 4]]], [[[3, 4], [3, 4]]], [[[0, 0], [1e9, 1e9]], [[5, 5]]]])
def test_strange_ink_stays_ink(augmentation: Any, strokes: list) -> None:
    ink = ink_from_strokes(strokes)
    for seed in range(20):
        out = augmentation.apply(ink, augmentation.draw(rng(seed)), rng(seed))
        assert out.shape[1] == 4
        assert np.isfinite(out).all()
        assert (len(out) > 0) == (len(ink) > 0)
        assert not len(out) or out[-1, 3] == 1


def test_warp_moves_points_as_its_matrix_says() -> None:
    square = ink_from_strokes([[[0, 0], [2, 0], [2, 2], [0, 2]]])  # its middle (1, 1) stays
    warp = StrokeWarp()
    quarter = warp.apply(square, (np.pi / 2, 0.0, 1.0, 1.0), rng())
    np.testing.assert_allclose(quarter[:, :2], [[2, 0], [2, 2], [0, 2], [0, 0]], atol=1e-6)
    shear = warp.apply(square, (0.0, 0.5, 1.0, 1.0), rng())
    np.testing.assert_allclose(shear[:, :2], [[-0.5, 0], [1.5, 0], [2.5, 2], [0.5, 2]], atol=1e-6)
    scaled = warp.apply(square, (0.0, 0.0, 2.0, 0.5), rng())
    np.testing.assert_allclose(scaled[:, :2], [[-1, 0.5], [3, 0.5], [3, 1.5], [-1, 1.5]], atol=1e-6)
    assert warp.stretch((0.0, 0.0, 1.2, 0.8)) == pytest.approx(1.25)
    np.testing.assert_array_equal(warp.apply(INK, (0.1, 0.1, 1.1, 0.9), rng())[:, 2:], INK[:, 2:])


def test_warp_draws_within_its_bounds() -> None:
    drawn = np.array([StrokeWarp(10, 0.3, 0.2, 0.1).draw(rng(seed)) for seed in range(300)])
    bounds = np.array([np.radians(10), 0.3, 0.2, 0.1])
    off = np.abs(drawn - [0, 0, 1, 1])
    assert (off <= bounds).all()
    assert (off.max(0) > 0.9 * bounds).all()


def test_jitter_is_smooth_and_as_large_as_drawn() -> None:
    line = ink_from_strokes([np.stack([np.linspace(0, 1000, 20_001), 10 * (np.arange(20_001) % 2)], 1)])
    shift = StrokeJitter(wavelength=200.0).apply(line, 0.5, rng())[:, :2] - line[:, :2]
    assert shift.std() == pytest.approx(0.5 * 10 * (2 / 3) ** 0.5, rel=0.25)  # between independent values it is smaller
    assert np.abs(np.diff(shift, axis=0)).max() < 0.2  # a step is a 200th of the wavelength
    assert StrokeJitter(0, 0).apply(INK, 0.0, rng()) is INK


def test_drop_takes_short_strokes_and_inner_points_only() -> None:
    ink = ink_from_strokes([np.stack([np.zeros(50), np.arange(50)], 1), [[5, 5], [6, 5]], [[9, 9]]])
    lost = StrokeDrop(strokes=0.999, short=0.05, points=0.0).apply(ink, None, rng())
    assert [len(stroke) for stroke in strokes_of(lost)] == [50]
    thinned = StrokeDrop(strokes=0.0, points=0.5).apply(ink, None, rng())
    first, second, third = strokes_of(thinned)
    assert 10 < len(first) < 40
    assert first[[0, -1]].tolist() == [[0, 0], [0, 49]]
    assert (second.tolist(), third.tolist()) == ([[5, 5], [6, 5]], [[9, 9]])
    dots = ink_from_strokes([[[1, 1]], [[2, 2]]])
    assert len(StrokeDrop(strokes=0.999, short=1.0).apply(dots, None, rng())) == 2  # never all of it


@pytest.mark.parametrize(
    "make",
    [
        lambda: StrokeWarp(scale_x=1.0),
        lambda: StrokeWarp(shear=-1),
        lambda: StrokeJitter(0.2, 0.1),
        lambda: StrokeJitter(wavelength=0),
        lambda: StrokeDrop(strokes=1.0),
        lambda: StrokeDrop(short=-1),
        lambda: RejoinStrokes([], min_parts=0),
        lambda: RejoinStrokes([], low_gap=1, high_gap=0),
        lambda: RejoinStrokes([], scale=1),
    ],
)
def test_values_out_of_range_are_refused(make: Any) -> None:
    with pytest.raises(ValueError):
        make()


def pool() -> list[Line]:
    """Bars of width 2 and height 10 for ann, rings of width 6 for bob, in some places of the tablet."""
    one = [[[100, 50], [102, 60]]]
    eight = [[[200, 40], [206, 50]], [[206, 40], [200, 50]]]
    return [Line("a1", "1", strokes=one, speaker="ann"), Line("b8", "8", strokes=eight, speaker="bob")]


def test_new_strings_stand_side_by_side_with_gaps_of_their_writer() -> None:
    rejoin = RejoinStrokes(pool(), min_parts=3, max_parts=5, low_gap=0.2, high_gap=0.4)
    line = Line("s", "x", strokes=[[[0, 0]]], speaker="bob", extra={"n_points": 1, "x": 2}, where="file:3")
    lengths = set()
    for seed in range(30):
        new = rejoin(line, rng(seed))
        lengths.add(len(new.text))
        assert new.text == "8" * len(new.text)
        assert (new.id, new.speaker, new.where) == ("s", "bob", "")
        assert isinstance(new.strokes, list)
        ink = ink_from_strokes(new.strokes)
        assert new.extra == {"n_points": len(ink), "x": 2}
        strokes = strokes_of(ink)
        assert len(strokes) == 2 * len(new.text)
        assert ink[:, 1].min() == 40
        assert ink[:, 1].max() == 50
        boxes = [
            (min(a[:, 0].min(), b[:, 0].min()), max(a[:, 0].max(), b[:, 0].max()))
            for a, b in zip(strokes[::2], strokes[1::2], strict=True)
        ]
        assert boxes[0][0] == 0
        for box, following in pairwise(boxes):
            assert box[1] - box[0] == pytest.approx(6, abs=1e-4)
            assert 2 - 1e-4 <= following[0] - box[1] <= 4 + 1e-4
    assert lengths == {3, 4, 5}
    assert line.text == "x"
    assert pool()[1].strokes == [[[200, 40], [206, 50]], [[206, 40], [200, 50]]]


def test_characters_may_be_shifted_and_scaled() -> None:
    rejoin = RejoinStrokes(pool(), shift=0.1, scale=0.2)
    heights, bottoms = [], []
    for seed in range(50):
        new = rejoin(Line("s", "x", strokes=[[[0, 0]]], speaker="ann"), rng(seed))
        for stroke in strokes_of(ink_from_strokes(new.strokes or [])):
            heights.append(np.ptp(stroke[:, 1]))
            bottoms.append(stroke[:, 1].max())
    assert 8 <= min(heights) < 8.3
    assert 11.7 < max(heights) <= 12
    assert 59 <= min(bottoms) < 59.2
    assert 60.8 < max(bottoms) <= 61


def test_unknown_writers_keep_their_line_and_paths_are_refused() -> None:
    line = Line("s", "x", strokes=[[[0, 0]]], speaker="eve")
    assert RejoinStrokes(pool())(line, rng()) is line
    with pytest.raises(ConfigError, match="file:1"):
        RejoinStrokes([Line("p", "1", strokes="ink.xml", where="file:1")])


def test_a_thousand_strings_a_second() -> None:
    ring = [[float(x), float(y)] for x, y in np.random.default_rng(0).normal(size=(40, 2))]
    lines = [Line(f"{i}", "8", strokes=[ring, ring], speaker="bob") for i in range(100)]
    rejoin = RejoinStrokes(lines)
    start = time.process_time()
    for seed in range(300):
        rejoin(lines[0], np.random.default_rng(seed))
    assert 300 / (time.process_time() - start) > 1000


def test_height_of_a_dash_is_its_width() -> None:
    assert ink_height(INK) == 20
    assert ink_height(ink_from_strokes([[[0, 0], [5, 0]]])) == 5
    assert ink_height(ink_from_strokes([[[7, 7]]])) == 1
