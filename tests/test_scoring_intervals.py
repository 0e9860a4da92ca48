import jiwer
import numpy as np
import pytest

from seqlab.scoring import bootstrap_interval, score_lines, score_stream

MEAN, BETWEEN = 0.1, 0.05


def simulated(generator, speakers):
    """Errors and words of each line, and of each speaker: speakers differ, their lines go together."""
    spread = MEAN * (1 - MEAN) / BETWEEN**2 - 1  # beta distribution with this mean and standard deviation
    words = [generator.integers(5, 30, size=generator.integers(5, 40)) for _ in range(speakers)]
    errors = [generator.binomial(n, generator.beta(MEAN * spread, (1 - MEAN) * spread)) for n in words]
    sums = [(e.sum(), n.sum()) for e, n in zip(errors, words, strict=True)]
    return np.concatenate(errors), np.concatenate(words), *zip(*sums, strict=True)


@pytest.mark.parametrize("speakers", [10, 20])
def test_interval_by_speaker_holds_the_truth_as_often_as_it_says(speakers):
    generator, sets = np.random.default_rng(4), 400
    held = held_by_line = 0
    for seed in range(sets):
        errors, words, sums, totals = simulated(generator, speakers)
        low, high = bootstrap_interval(sums, totals, seed=seed)
        held += low <= MEAN <= high
        if seed % 10 == 0:
            low, high = bootstrap_interval(errors, words, resamples=100, seed=seed)
            held_by_line += low <= MEAN <= high
    assert 0.93 <= held / sets <= 0.97
    assert held_by_line / (sets // 10) < 0.75  # lines drawn one by one promise far too much


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
        ([3], [10], (0.3, 0.3)),  # a single line says nothing of others
        ([0] * 9, [10] * 9, (0.0, 0.0)),
        ([0, 10], [10, 10], (0.0, 1.0)),  # t with one degree of freedom: all that was drawn
    ],
)
def test_intervals_of_next_to_nothing(errors, totals, ends):
    assert bootstrap_interval(errors, totals) == pytest.approx(ends)


def test_rare_errors_leave_the_upper_end_open():
    # one error in 1,000 lines: draws hold 0, 1, 2, ... of them by Poisson's law of mean 1, 97.5 % up to 3
    low, high = bootstrap_interval([1] + [0] * 999, [10] * 1000)
    assert low == 0
    assert 0.0003 <= high <= 0.0004
    # 20 errors in as many lines: about 20 +- 2 sqrt(20)
    low, high = bootstrap_interval([1] * 20 + [0] * 980, [10] * 1000)
    assert (low, high) == (pytest.approx(0.00122, abs=0.0003), pytest.approx(0.0031, abs=0.0004))


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
