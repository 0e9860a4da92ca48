"""The stopping rules on made-up streams of errors."""

import math

import numpy as np
import pytest

from seqlab.lab.criteria import HeldOut, Streak, Watch


def first_met(streak: Streak, worst: list[float], mean: list[float]) -> int | None:
    """The rule read from the paper, naively: look back at the last `window` errors after each sequence."""
    for n in range(streak.window, len(worst) + 1):
        last = slice(n - streak.window, n)
        wrong = sum(not e < streak.limit for e in worst[last])
        mean_error = sum(mean[last]) / streak.window
        if wrong <= streak.spared and (streak.mean is None or mean_error < streak.mean):
            return n
    return None


def watched(streak: Streak, worst: list[float], mean: list[float], batch: int) -> int | None:
    watch = Watch(streak)
    for start in range(0, len(worst), batch):
        if watch.add(worst[start : start + batch], mean[start : start + batch]):
            return watch.seen
    return None


def test_successive_means_from_the_last_wrong_one_on() -> None:
    errors = [0.5] * 10 + [0.01] * 30 + [0.04] + [0.01] * 100
    assert watched(Streak(window=50, limit=0.04), errors, errors, 1) == 41 + 50
    assert watched(Streak(window=50, limit=0.04), errors, errors, 7) == 41 + 50
    assert watched(Streak(window=30, limit=0.04), errors, errors, 7) == 40
    assert watched(Streak(window=200, limit=0.04), errors, errors, 1) is None


def test_mean_error_holds_it_up() -> None:
    worst = [0.03] * 100
    mean = [0.02] * 50 + [0.005] * 50
    # over 20: mean < 0.01 when more than 13.33 of them are 0.005
    assert watched(Streak(window=20, limit=0.04, mean=0.01), worst, mean, 1) == 64


def test_some_are_spared() -> None:
    worst = [1.0, 0.0] * 30 + [0.0] * 17
    assert watched(Streak(window=20, limit=0.5, spared=3), worst, worst, 1) == 73  # 54..73 holds those at 55, 57, 59


def test_a_limit_is_no_longer_right_and_nan_is_wrong() -> None:
    assert watched(Streak(window=2, limit=0.3), [0.3, 0.3, 0.3], [0.0] * 3, 1) is None
    assert watched(Streak(window=2, limit=0.3), [math.nan] * 3, [0.0] * 3, 1) is None


@pytest.mark.parametrize("seed", range(20))
def test_watch_equals_looking_back_each_time(seed: int) -> None:
    rng = np.random.default_rng(seed)
    falling = np.linspace(1.0, 0.02, 400)
    worst = (falling * rng.uniform(0, 0.2, 400)).tolist()
    mean = (0.3 * np.array(worst)).tolist()
    rule = Streak(window=40, limit=0.05, mean=float(rng.choice([0.004, 0.01])), spared=int(rng.integers(0, 4)))
    expected = first_met(rule, worst, mean)
    assert watched(rule, worst, mean, int(rng.integers(1, 30))) == expected


def test_held_out() -> None:
    assert HeldOut(size=4, limit=0.5).met([0.1, 0.2, 0.49, 0.0], [0.1] * 4)
    assert not HeldOut(size=4, limit=0.5).met([0.1, 0.2, 0.5, 0.0], [0.1] * 4)
    assert HeldOut(size=4, limit=0.5, spared=1).met([0.1, 0.2, 0.5, 0.0], [0.1] * 4)
    assert not HeldOut(size=4, limit=0.5, mean=0.01).met([0.0] * 4, [0.01] * 4)
    assert HeldOut(size=4, limit=0.5, mean=0.01).met([0.0] * 4, [0.009] * 4)
    assert not HeldOut(size=1, limit=0.5).met([math.nan], [0.0])


def test_rules_read_as_sentences() -> None:
    assert str(Streak(2000, 0.04, 0.01)) == "2000 successive sequences with errors < 0.04, mean error < 0.01"
    assert str(Streak(2000, 0.04, spared=140)).endswith("errors < 0.04, 140 of them not")
    assert str(HeldOut(256, 0.5, 0.04, 5)).startswith(
        "at most 5 of 256 held-out sequences with an error of 0.5 or more"
    )
