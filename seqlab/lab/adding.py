"""Adding and multiplication (Hochreiter and Schmidhuber 1997, experiments 4 and 5): far-apart real numbers."""

import numpy as np

from seqlab.lab.criteria import Streak
from seqlab.lab.task import Sequences, Task, at_end, check


class Adding(Task):
    """Add the two marked numbers of a sequence of pairs (number, marker).

    Numbers are uniform in [-1, 1]. The first and the last marker are -1, two others 1 and the rest 0: one of the first
    ten pairs is marked, then one of the first T/2 - 1 that are still unmarked. If the very first pair is, its number
    becomes 0. Lengths are uniform in T..1.1 T. The target at the end is 0.5 + (X1 + X2) / 4.

    Learnt: 2,000 successive sequences with errors < 0.04 and a mean error < 0.01.

    Args:
        length: shortest length, T, at least 20.
    """

    num_inputs, num_outputs = 2, 1
    limit = 0.04
    low, high, neutral = -1.0, 1.0, 0.0

    def __init__(self, length: int = 100) -> None:
        check(length=(length, 20))
        self.length = length
        self.criterion = Streak(window=2000, limit=0.04, mean=0.01)

    def draw(self, rng: np.random.Generator, count: int) -> Sequences:
        """Draw sequences."""
        lengths = rng.integers(self.length, self.length + self.length // 10 + 1, count)
        lines = np.arange(count)
        first = rng.integers(0, 10, count)
        second = rng.integers(0, self.length // 2 - 2, count)  # T/2 - 1 pairs, one of them taken
        second += second >= first
        x = np.zeros((count, int(lengths.max()), 2), np.float32)
        x[..., 0] = rng.uniform(self.low, self.high, x.shape[:2])
        x[:, 0, 1] = x[lines, lengths - 1, 1] = -1.0
        x[lines, first, 1] = x[lines, second, 1] = 1.0
        x[(first == 0) | (second == 0), 0, 0] = self.neutral
        return at_end(x, lengths, self.answer(x[lines, first, 0], x[lines, second, 0])[:, None])

    def answer(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """Return the target for the two marked numbers, (B,) each."""
        return 0.5 + (one + other) / 4


class Multiplication(Adding):
    """Multiply the two marked numbers: like adding, with numbers uniform in [0, 1] and the target X1 X2.

    A marked first pair has the number 1. Learnt: at most `spared` of the last 2,000 sequences with errors of 0.04 or
    more.

    Args:
        length: shortest length, T, at least 20.
        spared: n_seq of the paper, 140 or 13.
    """

    low, neutral = 0.0, 1.0

    def __init__(self, length: int = 100, spared: int = 140) -> None:
        super().__init__(length)
        check(spared=(spared, 0))
        self.criterion = Streak(window=2000, limit=0.04, spared=spared)

    def answer(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """Return the target for the two marked numbers, (B,) each."""
        return one * other
