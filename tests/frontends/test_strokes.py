"""Frontends for ink on figures whose features can be worked out by hand. y grows down."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from seqlab.frontends import _ink
from seqlab.frontends.bezier import Bezier, control_points, curve, split
from seqlab.frontends.graves_2009 import Graves2009, without_delayed
from seqlab.frontends.stroke_points import StrokePoints
from seqlab.media.ink import ink_from_strokes

BAR = [[[50, 100], [50, 200]]]  # an upright bar, drawn downwards
SQUARE = [[[0, 0], [0, 1], [1, 1], [1, 0], [0, 0]]]  # down, right, up, left
FRONTENDS: list[Any] = [StrokePoints(), StrokePoints(time=True, skew=False), Graves2009(), Bezier()]
every = pytest.mark.parametrize("frontend", FRONTENDS, ids=["points", "points_time", "graves_2009", "bezier"])


def circle(n: int = 400, radius: float = 0.5) -> np.ndarray:
    """A circle that starts at the right and goes down first: clockwise on the screen."""
    angle = np.linspace(0, 2 * np.pi, n)
    return radius * np.stack([np.cos(angle), np.sin(angle)], 1)


def word(seed: int = 0) -> np.ndarray:
    """Some strokes like writing, 40 units high."""
    rng = np.random.default_rng(seed)
    strokes = []
    for left in range(0, 300, 40):
        angle = np.linspace(0, rng.uniform(3, 9), 40)
        strokes.append(np.stack([left + 15 * np.cos(angle) + 2 * angle, 20 * np.sin(angle + rng.uniform(0, 6))], 1))
    return ink_from_strokes(strokes)


STRANGE: dict[str, list] = {
    "nothing": [],
    "a dot": [[[5, 5]]],
    "a dot twice": [[[5, 5], [5, 5]]],
    "two dots": [[[5, 5]], [[5, 5]]],
    "a dash": [[[0, 5], [3, 5], [9, 5]]],
    "a bar": [[[5, 0], [5, 3], [5, 9]]],
    "there and back": [[[0, 0], [4, 4], [0, 0]]],
    "a huge jump": [[[0, 0], [1, 1], [1e9, -1e9], [2, 2]]],
    "far away": [[[1e8, 1e8], [1e8 + 8, 1e8 + 8]]],
    "tiny": [[[0, 0], [1e-30, 1e-30]]],
    "dots far apart": [[[0, 0]], [[1e9, 0]], [[0, 1e9]]],
    "time runs back": [[[0, 0, 5], [1, 1, 3], [2, 0, 3], [3, 9, -1e6]]],
}


@every
def test_each_frame_of_ink_has_its_point(frontend: Any) -> None:
    # a bar drawn in four points, one of them twice, and a bar to its right: the pen is down from 0 to 4 and 5 to 6
    ink = ink_from_strokes([[[0, 0], [0, 10], [0, 10], [0, 20], [0, 40]], [[90, 0], [90, 40]]])
    frames, places = frontend.prepare(ink), frontend.places(ink)
    assert len(places) == len(frames)
    assert (np.diff(places) >= 0).all()
    if isinstance(frontend, Bezier):  # a curve, the pen lifted, a curve: middles and the point after
        assert places.tolist() == [2, 5, 5.5]
    else:  # sixteen equal steps a bar; a quarter is drawn at point 1, repeated by point 2, half at point 3
        first = places[places <= 4]
        assert first[::4] == pytest.approx([0, 1, 3, 3.5, 4])
        assert [places[len(first)], places[-1]] == [5, 6]


@every
@pytest.mark.parametrize("name", STRANGE)
def test_strange_ink_gives_finite_frames(frontend: Any, name: str) -> None:
    frames = frontend.prepare(ink_from_strokes(STRANGE[name]))
    assert frames.dtype == np.float32
    assert frames.shape[1] == frontend.num_features
    assert len(frames) <= 2 * _ink.MAX_FRAMES
    ink = ink_from_strokes(STRANGE[name])
    places = frontend.places(ink)
    assert places.shape == (len(frames),)
    assert not len(places) or (places.min() >= 0 and places.max() <= len(ink) - 1)
    assert (len(frames) > 0) == (name != "nothing")
    assert np.isfinite(frames).all()
    assert np.abs(frames).max(initial=0) < 1e4


@every
def test_place_and_size_of_the_writing_do_not_matter(frontend: Any) -> None:
    ink = word()
    moved = ink * np.float32([4, 4, 1, 1]) + np.float32([1024, -512, 0, 0])
    np.testing.assert_allclose(frontend.prepare(moved), frontend.prepare(ink), atol=2e-3)


@every
def test_ink_is_not_written_into(frontend: Any) -> None:
    ink = word()
    before = ink.copy()
    frontend.prepare(ink)
    np.testing.assert_array_equal(ink, before)


@every
def test_forward_masks_and_keeps_lengths(frontend: Any) -> None:
    x = torch.randn(2, 5, frontend.num_features)
    y, lengths = frontend(x, torch.tensor([5, 3]))
    assert lengths.tolist() == frontend.num_frames(torch.tensor([5, 3])).tolist() == [5, 3]
    assert y[0].equal(x[0])
    assert y[1, :3].equal(x[1, :3])
    assert not y[1, 3:].any()
    assert (frontend.kind, frontend.sample_rate, frontend.frame_shift) == ("strokes", 1, 1.0)
    with pytest.raises(ValueError, match="prepared ink"):
        frontend(x[:, :, 1:], torch.tensor([5, 3]))


# normalisation and resampling


def test_an_upright_bar_has_height_one_and_lies_around_zero() -> None:
    for points in (2, 5, 101):  # however densely it is sampled
        bar = np.stack([np.full(points, 50.0), np.linspace(100, 200, points)], 1)
        out = _ink.normalize(ink_from_strokes([bar]))
        np.testing.assert_allclose(out[[0, -1], :2], [[0, -0.5], [0, 0.5]], atol=1e-6)


def test_points_lie_at_equal_distances_and_ends_are_kept() -> None:
    ink = ink_from_strokes([[[0, 0], [0.1, 0], [1, 0], [1, 0.5]], [[5, 5]], [[2, 0], [2, 0.26]]]).astype(float)
    out = _ink.resample(ink, 0.1)
    first, dot, last = out[:16], out[16:17], out[17:]
    np.testing.assert_allclose(np.hypot(*np.diff(first[:, :2], axis=0).T), np.full(15, 0.1), atol=1e-9)
    np.testing.assert_allclose(first[[0, 10, 15], :2], [[0, 0], [1, 0], [1, 0.5]], atol=1e-9)
    np.testing.assert_allclose(dot[:, :2], [[5, 5]])
    np.testing.assert_allclose(last[:, 1], [0, 0.26 / 3, 0.52 / 3, 0.26])  # 0.26 / 0.1 rounds to 3 steps
    assert np.flatnonzero(out[:, 3]).tolist() == [15, 16, 20]


def test_time_is_interpolated_with_the_place() -> None:
    out = _ink.resample(ink_from_strokes([[[0, 0, 0], [0, 1, 1], [0, 2, 4]]]).astype(float), 0.5)
    np.testing.assert_allclose(out[:, 2], [0, 0.5, 1, 2.5, 4])


def test_endless_ink_is_sampled_more_coarsely() -> None:
    zigzag = np.stack([np.arange(5000) % 2 * 1e3, np.linspace(0, 1, 5000)], 1)
    assert len(_ink.resample(ink_from_strokes([zigzag]).astype(float), 0.01)) <= _ink.MAX_FRAMES + 1


def test_repeated_points_go_but_strokes_stay() -> None:
    ink = ink_from_strokes([[[0, 0], [0, 0], [1, 0], [1, 0]], [[1, 0], [1, 0]], [[1, 0]]])
    out = _ink.without_repeats(ink)
    assert out[:, [0, 3]].tolist() == [[0, 0], [1, 1], [1, 1], [1, 1]]


def test_slant_is_found_and_taken_away() -> None:
    upright = np.array([[0, 0], [0, -2], [1, -2], [1, 0]], float)  # an arch
    leaning = upright + np.outer(upright[:, 1], [-0.5, 0])  # the top moves right, as / does
    end = np.array([0, 0, 0, 1.0])
    assert _ink.slant_of(upright, end) == 0
    assert _ink.slant_of(leaning, end) == pytest.approx(-np.arctan(0.5))
    out = _ink.normalize(ink_from_strokes([leaning]), skew=False)
    assert out[1, 0] == pytest.approx(out[0, 0], abs=1e-6)
    assert out[2, 0] == pytest.approx(out[3, 0], abs=1e-6)
    assert _ink.slant_of(circle(), np.zeros(400)) == pytest.approx(0, abs=1e-9)


def test_skew_is_found_and_taken_away() -> None:
    strokes = [np.array([[x, -1.0], [x, 0.0]]) for x in range(20)]
    for degrees in (-8, 5):
        angle = np.radians(degrees)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        ink = ink_from_strokes([stroke @ turn.T for stroke in strokes])  # y down: positive falls to the right
        assert _ink.skew_of(ink[:, :2], ink[:, 3]) == pytest.approx(angle, abs=1e-3)
        bottoms = _ink.normalize(ink, slant=False)[1::2, 1]
        assert np.ptp(bottoms) < 1e-3
    short = ink_from_strokes([stroke @ turn.T for stroke in strokes[:4]])
    assert _ink.skew_of(short[:, :2], short[:, 3]) == 0


def test_baseline_and_corpus_line_are_those_of_most_letters() -> None:
    strokes = [[[x, -1], [x, 0]] for x in range(7)] + [[[8, -2], [8, 0]], [[9, -1], [9, 1]]]
    assert _ink.baselines(ink_from_strokes(strokes)) == (0, -1)
    assert _ink.baselines(ink_from_strokes([[[0, 0], [9, 0]]])) == (0.25, -0.25)


# StrokePoints


def test_points_of_a_bar() -> None:
    frames = StrokePoints(points_per_height=4).prepare(ink_from_strokes(BAR))
    expected = [
        # dx, dy, cos, sin, new stroke, y
        [0, 0.00, 0, 0, 1, -0.50],
        [0, 0.25, 0, 1, 0, -0.25],
        [0, 0.25, 0, 1, 0, 0.00],
        [0, 0.25, 0, 1, 0, 0.25],
        [0, 0.25, 0, 1, 0, 0.50],
    ]
    np.testing.assert_allclose(frames, expected, atol=1e-6)


def test_points_of_two_bars_and_what_can_be_left_out() -> None:
    ink = ink_from_strokes([[[0, 0, 0], [0, 10, 1]], [[30, 0, 3], [30, 10, 4]]])
    frames = StrokePoints(1, direction=False, absolute_y=False, time=True, max_jump=2.5).prepare(ink)
    # the lifted pen moves 3 right, clipped to 2.5, and 1 up; lines are 0.8 of their points' quantiles: here exact
    expected = [[0, 0, 1, 0], [0, 1, 0, 1], [2.5, -1, 1, 2], [0, 1, 0, 1]]
    height = _ink.line_height(ink[:, :2], ink[:, 3]) / 10
    expected_scaled = np.array(expected) / [[height, height, 1, 1]]
    expected_scaled[2, 0] = min(3 / height, 2.5)
    np.testing.assert_allclose(frames, expected_scaled, atol=1e-5)


def test_points_around_a_circle_turn_evenly() -> None:
    frames = StrokePoints(points_per_height=20).prepare(ink_from_strokes([circle()]))
    heading = np.unwrap(np.arctan2(frames[1:, 3], frames[1:, 2]))
    turn = np.diff(heading)
    assert turn.mean() == pytest.approx(2 * np.pi / (len(frames) - 1), rel=0.01)
    assert turn.std() < 0.01
    assert heading[0] == pytest.approx(np.pi / 2 + turn.mean() / 2, abs=0.02)  # down at first


@pytest.mark.parametrize(
    ("kind", "wrong", "message"),
    [
        (StrokePoints, {"points_per_height": 0}, "points_per_height"),
        (StrokePoints, {"max_jump": -1}, "max_jump"),
        (Graves2009, {"vicinity": 0}, "vicinity"),
        (Graves2009, {"cell": 0.0}, "cell"),
        (Bezier, {"tolerance": 0.0}, "tolerance"),
    ],
)
def test_values_out_of_range_are_refused(kind: type, wrong: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kind(**wrong)


# Graves 2009

(PEN, HAT, SPEED, X, Y, COS, SIN, TURN_COS, TURN_SIN, ASPECT, SLOPE_COS, SLOPE_SIN, CURLINESS, LINEARITY, UP, DOWN) = (
    range(16)
)
MAP = slice(16, 25)


def test_graves_features_of_a_bar() -> None:
    frames = Graves2009(points_per_height=10, vicinity=2, cell=0.3).prepare(
        ink_from_strokes([[[50, 100, 0], [50, 200, 2]]])
    )
    assert frames.shape == (11, 25)
    assert frames[:, PEN].tolist() == [1] + [0] * 10
    assert not frames[:, HAT].any()
    np.testing.assert_allclose(frames[:, SPEED], 0.5, atol=1e-6)  # one height in two seconds
    np.testing.assert_allclose(frames[:, X], 0, atol=1e-6)
    np.testing.assert_allclose(frames[:, Y], np.linspace(-1, 0, 11), atol=1e-6)  # the baseline is its lower end
    for column, value in [
        (COS, 0),
        (SIN, 1),
        (TURN_COS, 1),
        (TURN_SIN, 0),
        (ASPECT, 1),
        (SLOPE_COS, 0),
        (SLOPE_SIN, 1),
    ]:
        np.testing.assert_allclose(frames[:, column], value, atol=1e-6)
    np.testing.assert_allclose(frames[:, CURLINESS], 1, atol=1e-6)
    np.testing.assert_allclose(frames[:, LINEARITY], 0, atol=1e-6)
    assert not frames[:, [UP, DOWN]].any()
    # cells from y = -0.3 to 0 and so on: the point at -0.5 has ink of -0.9..-0.6, -0.6..-0.3, -0.3..0 in its column
    assert frames[5, MAP].reshape(3, 3)[:, [0, 2]].sum() == 0
    assert frames[5, MAP].reshape(3, 3)[:, 1] == pytest.approx([0.3, 0.3, 0.3], abs=0.11)


def test_graves_features_of_a_corner() -> None:
    """Down and then right, at the corner: a turn to the left of the writer, counter-clockwise on the screen."""
    ink = ink_from_strokes([[[0, 0], [0, 1], [1, 1]]])
    frontend = Graves2009(points_per_height=10, vicinity=2)
    height = _ink.line_height(ink[:, :2], ink[:, 3])
    frames = frontend.prepare(ink)
    corner = round(10 / height)
    assert frames[corner, [COS, SIN]] == pytest.approx([1, 0], abs=1e-6)
    assert frames[corner, [TURN_COS, TURN_SIN]] == pytest.approx([0, -1], abs=1e-6)
    assert frames[corner, ASPECT] == pytest.approx(0, abs=1e-6)  # two steps high, two steps wide
    assert frames[corner, [SLOPE_COS, SLOPE_SIN]] == pytest.approx([0.5**0.5, 0.5**0.5], abs=1e-6)
    assert frames[corner, CURLINESS] == pytest.approx(2, abs=1e-6)
    # distances from the chord in steps: 0, sqrt(1/2), sqrt(2), sqrt(1/2), 0; squares add up to 3
    step = (1 / height) / corner * 10
    assert frames[corner, LINEARITY] == pytest.approx(3 / 5 * step**2, rel=1e-4)


def test_graves_ascenders_and_descenders_count_ink_beyond_the_lines() -> None:
    strokes = [[[x, -10], [x, 0]] for x in range(0, 200, 10)]
    strokes[5] = [[50, -20], [50, 0]]
    strokes[15] = [[150, -10], [150, 10]]
    ink = ink_from_strokes(strokes)
    height = _ink.line_height(ink[:, :2], ink[:, 3])
    frames = Graves2009(points_per_height=40, cell=0.1).prepare(ink)
    starts = np.flatnonzero(frames[:, PEN])
    ups, downs = frames[starts, UP], frames[starts, DOWN]
    assert np.flatnonzero(ups).tolist() == [5]
    assert np.flatnonzero(downs).tolist() == [15]
    assert ups[5] == pytest.approx(10 / height - 0.1, abs=0.05)
    assert downs[15] == pytest.approx(10 / height - 0.1, abs=0.05)


def test_delayed_strokes_go_and_leave_a_hat() -> None:
    body = [[[x, -1], [x, 0]] for x in range(8)]
    dotted = ink_from_strokes([*body, [[2.9, -1.5], [3.1, -1.5]]])
    rest, removed = without_delayed(dotted, -0.5)
    assert len(rest) == 16
    assert removed == [(pytest.approx(2.9), pytest.approx(3.1))]
    frames = Graves2009(points_per_height=10).prepare(dotted)
    hats = np.flatnonzero(frames[:, HAT])
    starts = np.flatnonzero(frames[:, PEN])
    assert len(starts) == 8
    assert hats[0] == starts[3]
    assert hats[-1] == starts[4] - 1
    kept = Graves2009(points_per_height=10, delayed=False).prepare(dotted)
    assert not kept[:, HAT].any()
    assert kept[:, PEN].sum() == 9


# Bezier


def test_a_straight_stroke_is_one_curve() -> None:
    frames = Bezier().prepare(ink_from_strokes([[[50, 100, 7], [50, 200, 9]]]))
    # one height down; control points at thirds of the chord; t = 2 s
    np.testing.assert_allclose(frames, [[0, 1, 1 / 3, 1 / 3, 0, 0, 2, 0, 0, 0]], atol=1e-5)


def test_without_times_arc_length_stands_in_and_a_lifted_pen_is_a_curve() -> None:
    frames = Bezier(skew=False).prepare(ink_from_strokes([[[0, 0], [0, 10]], [[30, 0], [30, 10]]]))
    height = _ink.line_height(np.array([[0, 0], [0, 10], [30, 0], [30, 10]], float), np.array([0, 1, 0, 1.0])) / 10
    way = np.hypot(3, 1) / height
    third = 1 / 3
    expected = [
        [0, 1 / height, third, third, 0, 0, 1 / height, 0, 0, 0],
        [3 / height, -1 / height, third, third, 0, 0, way, 0, 0, 1],
        [0, 1 / height, third, third, 0, 0, 1 / height, 0, 0, 0],
    ]
    np.testing.assert_allclose(frames, expected, atol=1e-5)


def test_control_points_of_a_known_curve_come_back() -> None:
    """Points of a cubic at equal parameters are fitted without error."""
    inner = np.array([[0.2, 0.9], [0.8, 0.7]])
    points = curve(np.zeros(2), inner, np.array([1.0, 0.0]), 30)
    assert points[15] == pytest.approx([(0.6 + 2.4 + 1) / 8, (2.7 + 2.1) / 8])  # (P0 + 3 P1 + 3 P2 + P3) / 8
    np.testing.assert_allclose(control_points(points), inner, atol=1e-9)


def test_a_quarter_circle_bends_as_it_should() -> None:
    """From the right end down: clockwise on the screen. Cubics near it have handles of 0.52 to 0.56 radii."""
    quarter = np.stack([np.cos(np.linspace(0, np.pi / 2, 40)), np.sin(np.linspace(0, np.pi / 2, 40))], 1)
    frames = Bezier(tolerance=0.05, slant=False, skew=False).prepare(ink_from_strokes([quarter]))
    assert len(frames) == 1
    _, _, d1, d2, a1, a2, *_ = frames[0]
    assert (d1, d2) == pytest.approx([0.54 / 2**0.5] * 2, abs=0.02 / 2**0.5)
    assert (a1, a2) == pytest.approx([-np.pi / 4, np.pi / 4], abs=0.03)


def test_pieces_join_and_stay_within_the_tolerance() -> None:
    for tolerance in (0.01, 0.03, 0.1):
        for figure in (circle(200), np.array(SQUARE[0], float)):
            points = _ink.resample(ink_from_strokes([figure]).astype(float), 1 / 32)[:, :3]
            pieces = split(points, tolerance)
            assert np.array_equal(pieces[0][0], points[0])
            assert np.array_equal(pieces[-1][-1], points[-1])
            for piece, following in pairwise(pieces):
                assert np.array_equal(piece[-1], following[0])
            for piece in pieces:
                xy = piece[:, :2]
                fitted = curve(xy[0], control_points(xy), xy[-1], len(xy) - 1)
                assert np.hypot(*(fitted - xy).T).max() <= tolerance
    assert len(split(_ink.resample(ink_from_strokes([circle(200)]).astype(float), 1 / 32)[:, :3], 0.03)) <= 6


def test_offsets_of_curves_lead_from_the_first_point_to_the_last() -> None:
    frames = Bezier(slant=False, skew=False).prepare(word())
    ink = _ink.normalize(word(), False, False)
    np.testing.assert_allclose(frames[:, :2].sum(0), ink[-1, :2] - ink[0, :2], atol=1e-4)
    assert frames[:, 9].sum() == (ink[:, 3] > 0).sum() - 1
