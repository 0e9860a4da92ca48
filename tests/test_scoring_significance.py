import math

import numpy as np
import pytest
from scipy import stats

from seqlab.scoring.significance import (
    binomial_test,
    holm,
    matched_pairs,
    permutation_test,
    student_interval,
    welch_test,
    wilcoxon_test,
)


def test_matched_pairs_by_hand():
    # differences 1 1 1 -1: mean 0.5, sum of squared deviations 3 * 0.25 + 2.25 = 3, so deviation 1, z = 0.5 / (1 / 2)
    found = matched_pairs([(1, 0), (2, 1), (1, 0), (0, 1)])
    assert (found.segments, found.mean, found.deviation, found.z) == (4, 0.5, 1.0, 1.0)
    assert found.p_normal == pytest.approx(0.3173, abs=1e-4)
    assert (found.differing, found.p) == (4, 10 / 16)  # of 4 signs 1 + 4 give a sum of 2 or more, as many -2 or less


@pytest.mark.parametrize(
    ("segments", "z", "p_normal", "p"),
    [
        ([], 0, 1, 1),
        ([(3, 0)], 0, 1, 1),
        ([(1, 1), (2, 2)], 0, 1, 1),
        ([(2, 1)] * 5, math.inf, 0, 2 / 32),  # five errors of one alone are no proof
        ([(1, 2)] * 6, -math.inf, 0, 2 / 64),
        ([(1, 0)] * 30, math.inf, 0, 0),
    ],
)
def test_matched_pairs_at_the_edges(segments, z, p_normal, p):
    found = matched_pairs(segments)
    assert (found.z, found.p_normal, found.p) == (z, p_normal, p)


@pytest.mark.parametrize("number", range(1, 13))
@pytest.mark.parametrize("alike", [0, 200])
def test_matched_pairs_of_few_segments_find_nothing_in_noise(number, alike):
    # of errors that only one makes, equally good recognisers share out k to the rest by the tosses of a fair coin
    wins = [stats.binom.pmf(k, number, 0.5) for k in range(number + 1)]
    found = [
        matched_pairs([(1, 0)] * k + [(0, 1)] * (number - k) + [(1, 1)] * alike).p < 0.05 for k in range(number + 1)
    ]
    assert sum(share for share, yes in zip(wins, found, strict=True) if yes) <= 0.05


def test_permutation_by_hand():
    assert permutation_test([1, 1, 1, 1]) == 2 / 16
    # of 2 1 -1 the sums are 4 2 2 0 and their negatives; 6 of 8 reach 2. Lines without a difference change nothing
    assert permutation_test([2, 1, -1]) == permutation_test([0, 2, 0, 1, -1]) == 6 / 8
    assert permutation_test([]) == permutation_test([0, 0]) == 1
    assert permutation_test([0.1] * 3 + [0.2]) == 2 / 16  # 0.1 + 0.1 + 0.1 + 0.2 in any order


def test_permutation_equals_scipy():
    generator = np.random.default_rng(0)
    differences = generator.integers(-3, 5, size=60)
    theirs = stats.permutation_test(
        (differences,), np.sum, permutation_type="samples", n_resamples=20_000, rng=np.random.default_rng(1)
    )
    assert permutation_test(differences, rounds=20_000) == pytest.approx(theirs.pvalue, abs=0.01)
    assert permutation_test(np.ones(200)) == 1 / 10_001


def test_permutation_finds_nothing_in_noise_as_often_as_it_should():
    generator = np.random.default_rng(2)
    found = [permutation_test(generator.integers(-2, 3, size=40), rounds=400, seed=n) < 0.05 for n in range(600)]
    assert 0.03 <= np.mean(found) <= 0.07


@pytest.mark.parametrize(("first", "second"), [(0, 0), (1, 0), (7, 2), (2, 7), (30, 30), (1, 22)])
def test_binomial_equals_scipy(first, second):
    expected = stats.binomtest(first, first + second).pvalue if first + second else 1.0
    assert binomial_test(first, second) == pytest.approx(expected)


def test_wilcoxon():
    assert wilcoxon_test([0.0, 0.0]) == 1
    assert wilcoxon_test([1.0, 2.0, 3.0, 4.0, 5.0]) == 2 / 32  # all ranks on one side, of 2^5 signs


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_runs_equal_scipy():
    first, second = [0.10, 0.12, 0.11, 0.13], [0.09, 0.10, 0.08]
    expected = stats.t.interval(0.95, 3, np.mean(first), stats.sem(first))
    assert student_interval(first) == pytest.approx(expected)
    assert welch_test(first, second) == pytest.approx(stats.ttest_ind(first, second, equal_var=False).pvalue)
    assert welch_test([0.1, 0.1], [0.1, 0.1]) == 1
    assert welch_test([0.1, 0.1], [0.2, 0.2]) == 0
    for wrong in (lambda: student_interval([0.1]), lambda: welch_test([0.1], [0.1, 0.2])):
        with pytest.raises(ValueError, match="two or more"):
            wrong()
