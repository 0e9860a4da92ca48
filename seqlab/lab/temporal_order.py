"""Temporal order (Hochreiter and Schmidhuber 1997, experiment 6): which came first."""

from collections.abc import Sequence

import numpy as np

from seqlab.lab.criteria import Streak
from seqlab.lab.task import Sequences, Task, at_end, check, one_hot

A, X, Y, E, B = 0, 4, 5, 6, 7  # a, b, c, d are 0..3


class TemporalOrder(Task):
    """Tell the order of far-apart symbols X and Y among distractors.

    A sequence begins with E, ends with B and is 100 to 110 symbols long; at a random place in each of some ranges (6a:
    10-20 and 50-60; 6b: 10-20, 33-43 and 66-76) stands X or Y, everywhere else one of a, b, c, d. The class at the end
    is the order of X and Y, one of 4 (8): one output is to be 1, the others 0.

    Learnt: 2,000 successive sequences with all outputs' errors < 0.3 and a mean error < 0.1.

    Args:
        places: ranges of places, first and last, counted from 0; two or three are published.
        length: shortest length; the longest is 1.1 times that.
    """

    num_inputs = 8
    one_of = True
    limit = 0.3

    def __init__(self, places: Sequence[Sequence[int]] = ((10, 20), (50, 60)), length: int = 100) -> None:
        bounds = [edge for place in places for edge in place]
        pairs = all(len(place) == 2 and place[0] <= place[1] for place in places)
        starts = [place[0] for place in places]
        ends = [0] + [place[-1] for place in places]
        if not places or not pairs or any(s <= e for s, e in zip(starts, ends, strict=False)):
            raise ValueError(f"places must be ranges [first, last] one after the other, from 1 on, got {places}")
        check(length=(length, bounds[-1] + 2))
        self.places, self.length = [tuple(place) for place in places], length
        self.num_outputs = 2 ** len(places)
        self.criterion = Streak(window=2000, limit=0.3, mean=0.1)

    def draw(self, rng: np.random.Generator, count: int) -> Sequences:
        """Draw sequences."""
        lengths = rng.integers(self.length, self.length + self.length // 10 + 1, count)
        lines = np.arange(count)
        symbols = rng.integers(A, X, (count, int(lengths.max())))
        symbols[:, 0] = E
        symbols[lines, lengths - 1] = B
        classes = np.zeros(count, np.int64)
        for first, last in self.places:
            which = rng.integers(0, 2, count)
            symbols[lines, rng.integers(first, last + 1, count)] = X + which
            classes = 2 * classes + which
        return at_end(one_hot(symbols, 8), lengths, one_hot(classes, self.num_outputs))
