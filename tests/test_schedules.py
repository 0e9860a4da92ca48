"""Learning-rate schedules at hand-worked points."""

import pytest

from seqlab.schedules import Constant, OneCycle, Plateau, WarmupCosine


def test_warmup_cosine() -> None:
    schedule = WarmupCosine(warmup=0.1, final=0.02)
    assert schedule.factor(0.05) == pytest.approx(0.5)
    assert schedule.factor(0.1) == pytest.approx(1.0)
    assert schedule.factor(0.55) == pytest.approx(0.02 + 0.98 * 0.5)  # half way down
    assert schedule.factor(1.0) == pytest.approx(0.02)
    assert 0 < schedule.factor(0.0) <= 0.01
    assert WarmupCosine(warmup=0.0).factor(0.0) == pytest.approx(1.0)


def test_one_cycle() -> None:
    schedule = OneCycle(peak=0.25, start=0.1, final=0.0)
    assert schedule.factor(0.0) == pytest.approx(0.1)
    assert schedule.factor(0.125) == pytest.approx(0.55)
    assert schedule.factor(0.25) == pytest.approx(1.0)
    assert schedule.factor(0.625) == pytest.approx(0.5)
    assert schedule.factor(1.0) == pytest.approx(0.0, abs=1e-9)


def test_plateau_waits_then_falls_and_keeps_its_state() -> None:
    schedule = Plateau(warmup=0.0, factor=0.5, patience=1)
    factors = []
    for metric in (0.5, 0.4, 0.4, 0.4, 0.4, 0.3, 0.3, 0.3):
        schedule.epoch_end(metric)
        factors.append(schedule.factor(0.5))
    assert factors == [1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25]
    other = Plateau(warmup=0.0, factor=0.5, patience=1)
    other.load_state_dict(schedule.state_dict())
    assert other.factor(0.5) == 0.25


def test_constant() -> None:
    assert Constant().factor(0.3) == 1.0


@pytest.mark.parametrize("wrong", [{"warmup": -0.1}, {"warmup": 1.1}, {"final": 2}])
def test_shares_are_checked(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must lie in"):
        WarmupCosine(**wrong)
