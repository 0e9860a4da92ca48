import jiwer
import numpy as np
import pytest
from scipy import stats

from seqlab.scoring import bootstrap_interval, score_lines, score_stream

MEAN = 0.1


def simulated(generator, speakers, between):
    """Errors and words of each line, and of each speaker: speakers differ, their lines go together."""
    spread = MEAN * (1 - MEAN) / between**2 - 1  # beta distribution with this mean and standard deviation
    words = [generator.integers(5, 30, size=generator.integers(5, 40)) for _ in range(speakers)]
    errors = [generator.binomial(n, generator.beta(MEAN * spread, (1 - MEAN) * spread)) for n in words]
    sums = [(e.sum(), n.sum()) for e, n in zip(errors, words, strict=True)]
    return np.concatenate(errors), np.concatenate(words), *zip(*sums, strict=True)


@pytest.mark.parametrize("between", [0.05, 0.1])
@pytest.mark.parametrize("speakers", [5, 10, 20])
def test_interval_by_speaker_holds_the_truth_as_often_as_it_says(speakers, between):
    generator, sets = np.random.default_rng(4), 1000
    held = held_by_line = 0
    for seed in range(sets):
        errors, words, sums, totals = simulated(generator, speakers, between)
        low, high = bootstrap_interval(sums, totals, seed=seed)
        held += low <= MEAN <= high
        if seed % 20 == 0:
            low, high = bootstrap_interval(errors, words, resamples=100, seed=seed)
            held_by_line += low <= MEAN <= high
    assert 0.93 <= held / sets <= 0.97
    assert held_by_line / (sets // 20) < 0.75  # lines drawn one by one promise far too much


def test_interval_of_independent_lines_holds_the_truth_too():
    generator, sets, held = np.random.default_rng(5), 300, 0
    for seed in range(sets):
        words = generator.integers(1, 30, size=60)
        low, high = bootstrap_interval(generator.binomial(words, MEAN), words, seed=seed)
        held += low <= MEAN <= high
    assert 0.93 <= held / sets <= 0.97


@pytest.mark.parametrize(
    ("errors", "totals", "ends"),
    [
        ([0], [10], (0.0, 1.0)),  # a single line says next to nothing of others
        ([0] * 9, [10] * 9, (0.0, (40 ** (1 / 9) - 1) / 10)),  # nine lines without an error in 1 of 40 sets: 5.1 %
        ([0] * 5, [200, 100, 300, 0, 400], (0.0, (40 ** (1 / 5) - 1) / 200)),
        ([0] * 9, [0] * 9, (0.0, 1.0)),
        ([0, 10], [10, 10], (0.0, 1.0)),  # t with one degree of freedom: all that was drawn
    ],
)
def test_intervals_of_next_to_nothing(errors, totals, ends):
    found = bootstrap_interval(errors, totals)
    assert found == pytest.approx(ends)
    assert [type(end) for end in found] == [float, float]


def test_rare_errors_leave_the_upper_end_open():
    # of many lines errors follow Poisson's law: with none 3.689 of them are the upper end, with one 5.572 (Garwood)
    for errors, most in ((0, 3.689), (1, 5.572)):
        low, high = bootstrap_interval([1] * errors + [0] * (10_000 - errors), [10] * 10_000)
        assert low <= 0.025e-5  # one error: 0.0253 of them, were it not that half the draws hold none
        assert high == pytest.approx(most / 100_000, rel=1e-3)
    # and of few units the law that the text names; one error among 7
    low, high = bootstrap_interval([1] + [0] * 6, [50] * 7)
    assert stats.nbinom.cdf(1, 7, 1 / (1 + 50 * high)) == pytest.approx(0.025)
    # 20 errors in as many lines: about 20 +- 2 sqrt(20)
    low, high = bootstrap_interval([1] * 20 + [0] * 980, [10] * 1000)
    assert (low, high) == (pytest.approx(0.00122, abs=0.0003), pytest.approx(0.0031, abs=0.0004))


@pytest.mark.parametrize("rate", [0.0005, 0.002])
def test_interval_of_next_to_no_errors_holds_the_truth(rate):
    generator, sets, held = np.random.default_rng(6), 400, 0
    for seed in range(sets):
        words = generator.integers(3, 10, size=200)
        low, high = bootstrap_interval(generator.binomial(words, rate), words, resamples=300, seed=seed)
        assert high > 0
        held += low <= rate <= high
    assert held / sets >= 0.93


def test_interval_by_speaker_is_wider_than_by_line_where_nobody_errs():
    score = score_lines([str(n) for n in range(60)], ["a b c"] * 60, ["a b c"] * 60, speakers=list("abcdef") * 10)
    assert score.wer_interval == pytest.approx((0, (40 ** (1 / 60) - 1) / 3))
    assert score.wer_interval_by_speaker == pytest.approx((0, (40 ** (1 / 6) - 1) / 30))
    assert 0 < score.cer_interval[1] < score.cer_interval_by_speaker[1]


def test_interval_never_falls_below_zero():
    low, high = bootstrap_interval([0] * 30 + [5, 9], [10] * 32)
    assert 0 <= low < 14 / 320 < high


def test_stream_gives_the_score_of_the_lines():
    generator = np.random.default_rng(6)
    texts = [
        ["".join(generator.choice(list("ab. "), size=generator.integers(0, 30))) for _ in "rh"] for _ in range(300)
    ]
    speakers = [f"s{n % 9}" for n in range(300)]
    references, hypotheses = zip(*texts, strict=True)
    whole = score_lines([str(n) for n in range(300)], references, hypotheses, speakers=speakers)
    streamed = score_stream((r, h, s) for r, h, s in zip(references, hypotheses, speakers, strict=True))
    assert streamed.summary() == whole.summary()
    assert streamed.per_line == []
    assert whole.wer.rate == jiwer.process_words(list(references), list(hypotheses)).wer
    assert streamed.wer_interval_by_speaker is not None
    with pytest.raises(ValueError, match="no line"):
        score_stream([])
