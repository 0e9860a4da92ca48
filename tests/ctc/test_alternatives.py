"""Other readings of lines and words, by hand."""

import math

import pytest

from seqlab.ctc.alternatives import readings, word_readings
from seqlab.ctc.hypothesis import Hypothesis, Span


def test_shares_of_readings() -> None:
    def one(label: int, probability: float) -> Hypothesis:
        return Hypothesis([Span(label, 0, 1, 1.0)], math.log(probability) - 2000)

    best = one(1, 0.2)
    best = Hypothesis(best.spans, best.score, [one(2, 0.1), one(3, 0.05), one(12, 0.05)])
    shares = readings(best, lambda labels: str(labels[0] % 10))  # 2 and 12 read the same
    assert list(shares) == ["1", "2", "3"]
    assert list(shares.values()) == pytest.approx([0.5, 0.375, 0.125])


def test_a_single_reading_has_it_all() -> None:
    assert readings(Hypothesis(score=-3.0), lambda labels: "") == {"": 1.0}


def test_words_of_other_readings() -> None:
    shares = {"one two": 0.5, "on two": 0.2, "one": 0.15, "on too": 0.1, "an two": 0.05}
    first, second = word_readings(["one", "two"], shares)
    assert list(first) == ["on", "an"]
    assert list(first.values()) == pytest.approx([0.3, 0.05])
    assert second == pytest.approx({"": 0.15, "too": 0.1})


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ("th e cat", [{"th e": 0.1}, {}]),  # one word for two
        ("the ca t", [{}, {"ca t": 0.1}]),
        ("thecat", [{"": 0.1}, {"thecat": 0.1}]),
        ("the big cat", [{}, {}]),  # a word between words that agree has no place
        ("a the cat sat", [{}, {}]),
        ("", [{"": 0.1}, {"": 0.1}]),
    ],
)
def test_words_split_and_joined(other: str, expected: list[dict[str, float]]) -> None:
    found = word_readings(["the", "cat"], {"the cat": 0.9, other: 0.1})
    assert sorted(map(str, found)) == sorted(map(str, expected))


def test_no_words_have_no_alternatives() -> None:
    assert word_readings([], {"": 0.6, "a": 0.4}) == []
