"""Tests of whether two recognisers differ by more than chance, on the same lines; all are two-sided.

    test                 unit                what it asks
    MAPSSWE              segment of a line   whether the mean difference of word errors is 0 (Gillick and Cox 1989);
                                             where few segments differ, the permutation of segments too
    permutation          line or speaker     whether so large a difference arises when the two are swapped at random
    sign                 speaker             whether one is better for more speakers than the other
    Wilcoxon             speaker             the same, with the sizes of the differences by their ranks
    McNemar              line                whether one has more lines without any error

MAPSSWE, sign, Wilcoxon and McNemar are those of NIST's sc_stats. The p-value of a test is the probability of a
difference at least as large if the recognisers were equally good; it says nothing of how large the difference is.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy

ROUNDS = 10_000
FEW = 30  # segments that differ: with fewer, the normal distribution promises too much
_BLOCK = 1 << 22  # signs drawn at once


@dataclass(frozen=True, slots=True)
class MatchedPairs:
    """The matched-pairs sentence-segment word error test.

    Attributes:
        segments: how many there are.
        mean: mean difference of their errors, first minus second; above 0 the second is better.
        deviation: standard deviation of the differences, with n - 1.
        z: mean / (deviation / sqrt(segments)); 0 without any difference, infinite if all differ alike.
        p_normal: two-sided, by the normal distribution; NIST's.
        differing: segments in which one made more errors than the other.
        p: p_normal, or with fewer than FEW differing segments the larger of it and that of the permutation of segments.
    """

    segments: int
    mean: float
    deviation: float
    z: float
    p_normal: float
    differing: int
    p: float


def matched_pairs(segments: Sequence[tuple[int, int]]) -> MatchedPairs:
    """Test word errors of segments of lines: Gillick and Cox, "Some statistical issues in the comparison of speech
    recognition algorithms", ICASSP 1989, section 4.

    They ask for many segments. Of few that differ, z is anything: infinite for two errors made by one recogniser alone.
    So few are swapped at random as well, in all ways up to 13 of them, and the larger p counts.

    Args:
        segments: errors of both recognisers in each, as :func:`seqlab.scoring.nist.segments` cuts them.
    """
    differences = np.array([first - second for first, second in segments], dtype=np.float64)
    if len(differences) < 2:
        return MatchedPairs(
            len(differences), float(differences.sum()), 0.0, 0.0, 1.0, int(np.count_nonzero(differences)), 1.0
        )
    mean, deviation = float(differences.mean()), float(differences.std(ddof=1))
    if deviation:
        z = mean / (deviation / math.sqrt(len(differences)))
    else:
        z = math.copysign(math.inf, mean) if mean else 0.0
    differing, p = int(np.count_nonzero(differences)), float(2 * scipy.special.ndtr(-abs(z)))
    larger = max(p, permutation_test(differences)) if differing < FEW else p
    return MatchedPairs(len(differences), mean, deviation, z, p, differing, larger)


def permutation_test(differences: npt.ArrayLike, rounds: int = ROUNDS, seed: int = 0) -> float:
    """Test whether the sum of paired differences is 0: each pair is swapped or not, at random.

    Also called approximate randomisation (Noreen, Computer-intensive methods for testing hypotheses, 1989). Nothing is
    assumed about the distribution; the units must be independent. All swaps are gone through where they are no more
    than ``rounds``. The denominators of both rates being the same, this is the test of the rates.

    Args:
        differences: of the errors of each line or speaker.
        rounds: random swaps; p is never below 1 / (rounds + 1).
        seed: of the draws.

    Returns:
        p, two-sided.
    """
    values = np.asarray(differences, dtype=np.float64)
    values = values[values != 0]
    if not len(values):
        return 1.0
    bar = abs(values.sum()) * (1 - 1e-12)  # sums of fractions do not come out the same in every order
    if len(values) < 40 and 2 ** len(values) <= rounds:
        codes = np.arange(2 ** len(values))[:, None] >> np.arange(len(values)) & 1
        return float(np.mean(np.abs((1 - 2 * codes) @ values) >= bar))
    generator = np.random.default_rng(seed)
    reached, step = 0, max(1, _BLOCK // len(values))
    for start in range(0, rounds, step):
        signs = generator.integers(0, 2, size=(min(step, rounds - start), len(values)), dtype=np.int8)
        reached += int((np.abs(values.sum() - 2 * (signs @ values)) >= bar).sum())
    return (reached + 1) / (rounds + 1)


def binomial_test(first: int, second: int) -> float:
    """Test whether two counts come from the tosses of a fair coin, exactly and two-sided.

    With speakers for whom either recogniser is better it is the sign test, with lines that only one got right it is
    McNemar's (Psychometrika 12, 1947, in its exact form).
    """
    return min(1.0, 2 * float(scipy.special.bdtr(min(first, second), first + second, 0.5))) if first + second else 1.0


def wilcoxon_test(differences: Sequence[float]) -> float:
    """Test whether differences lie around 0 by their signed ranks (Wilcoxon 1945); exact for few without ties."""
    from scipy.stats import wilcoxon  # takes long to import

    values = [value for value in differences if value]
    return float(wilcoxon(values, correction=False).pvalue) if values else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct for several tests at once so that the chance of any false finding stays below the level (Holm 1979).

    Returns:
        Adjusted p-values in the order given, each to be held against the level.
    """
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def student_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """Return the interval of the mean of independent runs, by Student's t.

    Args:
        values: one of each run, two or more.
        level: probability mass, in (0, 1).

    Raises:
        ValueError: fewer than two values, or the level is out of range.
    """
    if len(values) < 2 or not 0 < level < 1:
        raise ValueError(f"need two or more values and 0 < level < 1, got {len(values)} and level {level}")
    mean, error = float(np.mean(values)), float(np.std(values, ddof=1)) / math.sqrt(len(values))
    half = float(scipy.special.stdtrit(len(values) - 1, (1 + level) / 2)) * error
    return mean - half, mean + half


def welch_test(first: Sequence[float], second: Sequence[float]) -> float:
    """Test whether the means of two groups of runs differ, whose spreads may (Welch, Biometrika 34, 1947).

    Args:
        first: one rate of each run, two or more.
        second: the same of another group.

    Returns:
        p, two-sided; 1 if all runs are equal, 0 if the groups differ and neither spreads at all.

    Raises:
        ValueError: a group has fewer than two runs.
    """
    if min(len(first), len(second)) < 2:
        raise ValueError(f"need two or more runs in either group, got {len(first)} and {len(second)}")
    spreads = [float(np.var(group, ddof=1)) / len(group) for group in (first, second)]
    difference = float(np.mean(first)) - float(np.mean(second))
    if not sum(spreads):
        return 0.0 if difference else 1.0
    freedom = sum(spreads) ** 2 / sum(s**2 / (len(g) - 1) for s, g in zip(spreads, (first, second), strict=True))
    return float(2 * scipy.special.stdtr(freedom, -abs(difference) / math.sqrt(sum(spreads))))
