"""The interval around a share of successes."""

import math


def wilson_interval(successes: int, trials: int, z: float = 1.96) -> tuple[float, float]:
    """Return the score interval of a binomial share (Wilson 1927), which stays in [0, 1] and works for 0 of n.

    Args:
        successes: how many trials succeeded.
        trials: how many there were, 1 or more.
        z: standard deviations to either side; 1.96 gives 95 %.

    Raises:
        ValueError: the counts make no share, or z is not positive.
    """
    if trials < 1 or not 0 <= successes <= trials or z <= 0:
        raise ValueError(f"needs 0 <= successes <= trials, at least 1 trial and z > 0, got {successes}, {trials}, {z}")
    share = successes / trials
    middle = share + z * z / (2 * trials)
    spread = z * math.sqrt(share * (1 - share) / trials + (z / (2 * trials)) ** 2)
    whole = 1 + z * z / trials
    return max((middle - spread) / whole, 0.0), min((middle + spread) / whole, 1.0)
