"""Reliability of confidences against hand-worked values."""

import math

import pytest

from seqlab.scoring import matches, reliability


def test_calibration_error_by_hand() -> None:
    found = reliability([0.95, 0.85, 0.85, 0.3], [True, True, False, False])
    assert found is not None
    assert found.ece == pytest.approx((1 * 0.05 + 2 * 0.35 + 1 * 0.3) / 4)
    assert (found.count, found.correct, len(found.bins)) == (4, 0.5, 10)
    third, ninth = found.bins[3], found.bins[8]
    assert (third.low, third.high, third.count, third.confidence, third.correct) == (0.3, 0.4, 1, 0.3, 0.0)
    assert (ninth.count, ninth.confidence, ninth.correct) == (2, pytest.approx(0.85), 0.5)
    assert (found.bins[0].count, found.bins[0].confidence, found.bins[0].correct) == (0, None, None)
    assert found.summary()["bins"][9]["count"] == 1


def test_perfect_confidences_have_no_error() -> None:
    found = reliability([0.0, 1.0, 1.0, 0.5, 0.5], [False, True, True, True, False])
    assert found is not None
    assert found.ece == 0


def test_cross_entropy_by_hand() -> None:
    # entropy of 3/4 is 0.8112781 bit; each of the four costs -log2 0.8 = 0.3219281 bit
    found = reliability([0.8, 0.8, 0.8, 0.2], [True, True, True, False])
    assert found is not None
    assert found.nce == pytest.approx(1 - 0.3219281 / 0.8112781, abs=1e-6)
    share = reliability([0.75] * 4, [True, True, True, False])
    assert share is not None
    assert share.nce == pytest.approx(0, abs=1e-12)


def test_cross_entropy_where_all_are_right_or_a_sure_one_is_wrong() -> None:
    right, wrong = reliability([0.9, 1.0], [True, True]), reliability([1.0, 1.0], [True, False])
    assert right is not None
    assert wrong is not None
    assert right.nce is None
    assert wrong.nce is not None
    assert math.isfinite(wrong.nce)
    assert wrong.nce < -5


def test_nothing_and_nonsense() -> None:
    assert reliability([], []) is None
    with pytest.raises(ValueError, match="one confidence for each"):
        reliability([0.5], [])
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        reliability([1.1], [True])
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        reliability([math.nan], [True])


def test_matches_are_hits_of_the_alignment() -> None:
    assert matches(["one", "two", "three"], ["one", "too", "three", "four"]) == [True, False, True, False]
    assert matches(["one", "two", "three"], ["three"]) == [True]
    assert matches([], ["one"]) == [False]
    assert matches(["one"], []) == []
