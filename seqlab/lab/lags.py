"""Long time lags without and with noise (Hochreiter and Schmidhuber 1997, experiment 2): keep the first symbol."""

import numpy as np
import torch

from seqlab.lab.criteria import Streak
from seqlab.lab.task import Sequences, Task, at_end, check, one_hot


class NoiseFreeLag(Task):
    """Foretell the symbols of x, a1, ..., a(p-1), x and y, a1, ..., a(p-1), y (2a; 2b: with random a in the middle).

    There are p + 1 symbols, x and y first. All p next symbols count in 2a. In 2b the middle cannot be foretold, so only
    the last symbol counts.

    Learnt: 10,000 successive sequences with all outputs' errors < 0.25.

    Args:
        lag: p, steps from the first symbol to the last.
        random_middle: 2b: the a's are drawn, each from a1...a(p-1).
    """

    one_of = True
    foretells = True
    limit = 0.25

    def __init__(self, lag: int = 100, random_middle: bool = False) -> None:
        check(lag=(lag, 2))
        self.lag, self.random_middle = lag, random_middle
        self.num_inputs = self.num_outputs = lag + 1
        self.criterion = Streak(window=10_000, limit=0.25)

    def draw(self, rng: np.random.Generator, count: int) -> Sequences:
        """Draw sequences."""
        symbols = np.empty((count, self.lag + 1), np.int64)
        symbols[:, 0] = symbols[:, -1] = rng.integers(0, 2, count)
        symbols[:, 1:-1] = np.arange(2, self.lag + 1)
        if self.random_middle:
            symbols[:, 1:-1] = rng.integers(2, self.lag + 1, (count, self.lag - 1))
        vectors = one_hot(symbols, self.num_inputs)
        lengths = np.full(count, self.lag)
        if self.random_middle:
            return at_end(vectors[:, :-1], lengths, vectors[:, -1])
        x, target = (torch.from_numpy(part) for part in (vectors[:, :-1], vectors[:, 1:]))
        return Sequences(x, torch.from_numpy(lengths), torch.arange(self.lag).repeat(count, 1), target)


class NoisyLag(Task):
    """Foretell the last symbol of b, x or y, distractors, e, the same x or y (2c): very long lags, full of noise.

    q distractors are drawn from p; then with probability 0.9 another one, else e. The lag is q + 1 at least and
    q + 10 on average. Inputs: p distractors, b, e, x, y. The answer, x or y, is asked for when e is read.

    Learnt: 10,000 successive sequences with both outputs' errors < 0.2.

    Args:
        lag: q, distractors at least.
        distractors: p, how many different ones there are.
    """

    num_outputs = 2
    one_of = True
    foretells = True
    limit = 0.2

    def __init__(self, lag: int = 1000, distractors: int = 50) -> None:
        check(lag=(lag, 1), distractors=(distractors, 1))
        self.lag, self.distractors = lag, distractors
        self.num_inputs = distractors + 4
        self.criterion = Streak(window=10_000, limit=0.2)

    def draw(self, rng: np.random.Generator, count: int) -> Sequences:
        """Draw sequences."""
        begin, end, x_symbol = self.distractors, self.distractors + 1, self.distractors + 2
        middle = self.lag + rng.geometric(0.1, count) - 1
        lengths = middle + 3  # b, x or y, distractors, e
        symbols = rng.integers(0, self.distractors, (count, int(lengths.max())))
        which = rng.integers(0, 2, count)
        symbols[:, 0], symbols[:, 1] = begin, x_symbol + which
        symbols[np.arange(count), lengths - 1] = end
        return at_end(one_hot(symbols, self.num_inputs), lengths, one_hot(which, 2))
