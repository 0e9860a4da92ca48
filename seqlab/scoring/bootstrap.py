"""Intervals around rates: lines or speakers are drawn anew, many times."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from seqlab.scoring.counts import Counts

Interval = tuple[float, float] | None

MIN_SPEAKERS = 5  # with fewer, an interval by speaker would say nothing
_BLOCK = 1 << 20  # lines drawn at once by the bootstrap; bounds its memory to some 20 MB


def bootstrap_interval(
    errors: npt.ArrayLike, totals: npt.ArrayLike, resamples: int = 1000, level: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Compute a percentile bootstrap interval of sum(errors) / sum(totals).

    Lines are drawn with replacement, so the interval knows that errors of one line go together, and nothing of what the
    lines of one speaker have in common: for that, give the sums of each speaker instead (see :func:`speaker_sums`).
    Bisani and Ney, "Bootstrap estimates for confidence intervals in ASR performance evaluation", ICASSP 2004.

    Args:
        errors: errors of each line.
        totals: reference symbols of each line.
        resamples: how many times the lines are drawn.
        level: probability mass between the two ends, in (0, 1).
        seed: of the random draws; the same seed gives the same interval.

    Returns:
        Lower and upper end, as rates. Draws without any reference symbol follow the rule of :attr:`Counts.rate`.

    Raises:
        ValueError: no lines, unequal lengths, or a resamples or level out of range.
    """
    error, total = _resampled((errors, totals), resamples, level, seed)
    return _percentiles(error / np.maximum(total, 1), level)


def paired_bootstrap(
    first: Sequence[Counts], second: Sequence[Counts], resamples: int = 1000, level: float = 0.95, seed: int = 0
) -> tuple[float, float, float]:
    """Compare two recognisers on the same lines: resample the difference of their rates, second minus first.

    Each draw takes the same lines for both, so what makes a line hard for both cancels out. Bisani and Ney
    2004, who call the share of draws that favour one side the probability of improvement.

    Args:
        first: counts of each line.
        second: counts of the same lines in the same order.
        resamples: how many times the lines are drawn.
        level: probability mass of the interval, in (0, 1).
        seed: of the random draws.

    Returns:
        Lower and upper end of the interval of the difference, and the share of draws in which the second rate is lower,
        equal rates counting half.

    Raises:
        ValueError: no lines, unequal lengths, or a resamples or level out of range.
    """
    columns = [[getattr(c, name) for c in counts] for counts in (first, second) for name in ("errors", "reference")]
    error, total, other_error, other_total = _resampled(columns, resamples, level, seed)
    difference = other_error / np.maximum(other_total, 1) - error / np.maximum(total, 1)
    better = np.mean(difference < 0) + np.mean(difference == 0) / 2
    return *_percentiles(difference, level), float(better)


def _resampled(columns: Sequence[npt.ArrayLike], resamples: int, level: float, seed: int) -> npt.NDArray[np.int64]:
    """Draw lines with replacement and sum each column over them: (columns, resamples)."""
    arrays = [np.asarray(column, dtype=np.int64) for column in columns]
    shapes = [array.shape for array in arrays]
    size = len(arrays[0]) if arrays[0].ndim == 1 else 0
    if not size or len(set(shapes)) > 1:
        raise ValueError(f"need one error count and one total per line, got shapes {' and '.join(map(str, shapes))}")
    if resamples < 1 or not 0 < level < 1:
        raise ValueError(f"need resamples >= 1 and 0 < level < 1, got resamples {resamples} and level {level}")
    generator = np.random.default_rng(seed)
    sums = np.empty((len(arrays), resamples), dtype=np.int64)
    step = max(1, _BLOCK // size)
    for start in range(0, resamples, step):
        part = sums[:, start : start + step]
        drawn = generator.integers(0, size, size=(part.shape[1], size), dtype=np.int32)
        for row, array in zip(part, arrays, strict=True):
            row[:] = array[drawn].sum(axis=1)
    return sums


def _percentiles(values: npt.NDArray[np.float64], level: float) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def speaker_sums(counts: Sequence[Counts], speakers: Sequence[str | None]) -> list[Counts] | None:
    """Sum counts per speaker or writer, to be resampled as wholes.

    Returns:
        One sum per speaker, or None if a line's speaker is unknown or there are fewer than MIN_SPEAKERS.
    """
    sums: dict[str, Counts] = {}
    for speaker, line in zip(speakers, counts, strict=True):
        if not speaker:
            return None
        sums[speaker] = sums.get(speaker, Counts()) + line
    return list(sums.values()) if len(sums) >= MIN_SPEAKERS else None
