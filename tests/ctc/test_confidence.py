"""Confidences of symbols, words and lines, and their calibration."""

import math

import numpy as np
import pytest

from seqlab.ctc.confidence import Confidence, Scaling, fit_calibration, fit_scaling, judge, word_ranges
from seqlab.ctc.hypothesis import Hypothesis, Span
from seqlab.errors import DataError
from seqlab.tokenizers.characters import Characters

TOKENIZER = Characters("ab ")


def hypothesis(text: str, *confidences: float) -> Hypothesis:
    labels = [TOKENIZER.symbols.index(c) for c in text]
    return Hypothesis([Span(k, 2 * i, 2 * i + 1, p) for i, (k, p) in enumerate(zip(labels, confidences, strict=True))])


def test_raw_confidences_are_products_with_the_spaces_around() -> None:
    confidence, given = Confidence(TOKENIZER.space), hypothesis("ab b", 0.9, 0.4, 0.99, 0.5)
    assert confidence.symbols(given) == pytest.approx([0.9, 0.4, 0.99, 0.5])
    assert confidence.words(given) == pytest.approx([0.9 * 0.4 * 0.99, 0.99 * 0.5])
    assert confidence.line(given) == pytest.approx(0.9 * 0.4 * 0.99 * 0.5)


def test_nothing_recognised_is_worth_nothing() -> None:
    confidence = Confidence(TOKENIZER.space)
    assert confidence.line(Hypothesis()) == 0
    assert confidence.words(Hypothesis()) == confidence.symbols(Hypothesis()) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", []), (" ", []), ("ab", [(0, 2)]), (" a  bb ", [(1, 2), (4, 6)]), ("a b", [(0, 1), (2, 3)])],
)
def test_words_lie_between_spaces(text: str, expected: list[tuple[int, int]]) -> None:
    given = hypothesis(text, *[0.5] * len(text))
    assert [(r.start, r.stop) for r in word_ranges(given.spans, TOKENIZER.space)] == expected


def test_without_a_space_all_is_one_word() -> None:
    assert word_ranges(hypothesis("a b", 0.5, 0.5, 0.5).spans, None) == [range(3)]


def test_scaling_by_hand() -> None:
    assert Scaling()(0.3) == pytest.approx(0.3)
    assert Scaling(temperature=2.0)(0.8) == pytest.approx(2 / 3)  # ln 4 / 2 = ln 2
    assert Scaling(bias=math.log(3))(0.5) == pytest.approx(0.75)
    assert Scaling(1e-4, 0.0)(1.0) == 1
    assert Scaling(1e-4, 0.0)(0.0) == 0


def test_fit_finds_the_scaling_that_made_the_data() -> None:
    rng = np.random.default_rng(0)
    p = rng.uniform(0.01, 0.99, 20_000)
    true = [Scaling(2.0, 0.5)(x) for x in p]
    fitted = fit_scaling(p.tolist(), (rng.uniform(size=p.size) < true).tolist())
    assert fitted.temperature == pytest.approx(2.0, abs=0.1)
    assert fitted.bias == pytest.approx(0.5, abs=0.05)


def test_fit_of_one_item_by_hand() -> None:
    # at p = 0.5 the temperature has no say; log(1 + exp(-b)) + b^2 / 8 is least where b = 4 / (1 + exp(b))
    fitted = fit_scaling([0.5], [True])
    assert fitted.temperature == 1
    assert fitted.bias == pytest.approx(4 / (1 + math.exp(fitted.bias)), abs=1e-3)


def test_fit_without_anything_changes_nothing() -> None:
    assert fit_scaling([], []) == Scaling()


@pytest.mark.parametrize("count", [1, 10, 1000])
@pytest.mark.parametrize("right", [True, False])
def test_fit_stays_finite_where_all_are_right_or_wrong(count: int, right: bool) -> None:
    fitted = fit_scaling([0.9] * count, [right] * count)
    assert 0.2 < fitted.temperature < 5
    assert (fitted.bias > 0) == right
    surest = fitted(0.9) if right else 1 - fitted(0.9)
    assert 1 / count / 50 < 1 - surest < 1  # more sure the more items, and never certain


def test_judged_items_and_fitted_calibration() -> None:
    hypotheses = [hypothesis("ab b", 0.9, 0.8, 0.9, 0.6), Hypothesis(), hypothesis("a", 0.7)]
    references = ["ab a", "b", "a"]
    judged = judge(Confidence(TOKENIZER.space), TOKENIZER, hypotheses, references)
    assert judged["symbol"] == (pytest.approx([0.9, 0.8, 0.9, 0.6, 0.7]), [True, True, True, False, True])
    assert judged["word"] == (pytest.approx([0.648, 0.54, 0.7]), [True, False, True])
    assert judged["line"] == (pytest.approx([0.3888, 0.7]), [False, True])
    calibration = fit_calibration(TOKENIZER, hypotheses, references)
    assert set(calibration) == {"symbol", "word", "line"}
    assert set(calibration["word"]) == {"temperature", "bias"}
    expected = fit_scaling(*judged["word"])(0.7)
    assert Confidence(TOKENIZER.space, calibration).words(hypotheses[2]) == [pytest.approx(expected)]


def test_references_with_unknown_characters_can_be_judged() -> None:
    judged = judge(Confidence(TOKENIZER.space), TOKENIZER, [hypothesis("ab", 0.9, 0.9)], ["aßb"])
    assert judged["word"][1] == [False]


@pytest.mark.parametrize(
    "calibration",
    [
        [1],
        "x",
        {"word": 3},
        {"word": {"temperature": 0}},
        {"word": {"temp": 1}},
        {"line": {"bias": "much"}},
        {"word": {"temperature": math.nan}},
        {"symbol": {"bias": math.inf}},
        {"word": {"temperature": None}},
    ],
)
def test_damaged_calibration_is_named(calibration: object) -> None:
    with pytest.raises(DataError, match="seqlab tune"):
        Confidence(TOKENIZER.space, calibration)  # type: ignore[arg-type]
