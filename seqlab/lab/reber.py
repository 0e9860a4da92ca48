"""Strings of the embedded Reber grammar, one by one and in an endless row."""

import numpy as np
import torch

from seqlab.lab.criteria import HeldOut
from seqlab.lab.task import Sequences, Task, check, one_hot

SYMBOLS = "BTPSXVE"
_END, _STATES = 7, 19
# The grammar of Reber (1967): from each state two ways on, equally likely, a symbol and the next state.
_INNER = ["B1 B1", "T2 P3", "S2 X4", "T3 V5", "X3 S6", "P4 V6", f"E{_END} E{_END}"]


def _grammar() -> tuple[np.ndarray, np.ndarray]:
    """Return the symbols and next states of the two ways on, (states, 2) each.

    0 begins an embedded string, 1 chooses T or P, 2-8 and 9-15 are the inner grammar of either, 16 and 17 repeat the
    choice, 18 ends the string.
    """
    rows = ["B1 B1", "T2 P9"]
    for start, close in ((2, 16), (9, 17)):
        for row in _INNER:
            inner = [(way[0], int(way[1:])) for way in row.split()]
            rows.append(" ".join(f"{symbol}{close if to == _END else to + start}" for symbol, to in inner))
    rows += ["T18 T18", "P18 P18", "E0 E0"]
    ways = np.array([[(SYMBOLS.index(way[0]), int(way[1:])) for way in row.split()] for row in rows])
    return ways[..., 0], ways[..., 1]


_SYMBOL, _NEXT = _grammar()
_LEGAL = np.zeros((_STATES, len(SYMBOLS)), bool)  # symbols that may come in each state
np.put_along_axis(_LEGAL, _SYMBOL, True, 1)


class EmbeddedReber(Task):
    """Foretell the symbols of embedded Reber strings (experiment 1): the last but one repeats the second.

    A string is B, T or P, a Reber string, the same T or P, E; wherever the grammar has two ways on, each is as likely.
    It is 9 symbols long at least. All next symbols count; a string is right when the largest output at each step is a
    symbol that may follow.

    Learnt: all strings of a training set, from which training draws, and of a held-out set are right. The paper does
    not say how often it was looked: here every 100 strings.

    Args:
        size: strings in the training set, and in the held-out set.
    """

    num_inputs = num_outputs = len(SYMBOLS)
    one_of = True
    foretells = True
    limit = 0.5  # errors are 0 or 1

    def __init__(self, size: int = 256) -> None:
        check(size=(size, 1))
        self.pool = size
        self.criterion = HeldOut(size=size, limit=0.5)

    def draw(self, rng: np.random.Generator, count: int) -> Sequences:
        """Draw strings."""
        state = np.zeros(count, np.int64)
        ended = np.zeros(count, bool)
        symbols, allowed = [], []
        lengths = np.zeros(count, np.int64)
        while not ended.all():
            allowed.append(_LEGAL[state])
            symbol, state = advance(rng, state)
            symbols.append(symbol)
            lengths += ~ended
            ended |= state == 0
        text = np.stack(symbols, 1)
        frames = text.shape[1] - 1
        lengths -= 1  # nothing follows the last symbol
        counts = np.arange(frames) < lengths[:, None]
        vectors = one_hot(text, len(SYMBOLS))
        x, target = vectors[:, :-1] * counts[..., None], vectors[:, 1:] * counts[..., None]
        return Sequences(
            torch.from_numpy(x),
            torch.from_numpy(lengths),
            torch.from_numpy(np.where(counts, np.arange(frames), -1)),
            torch.from_numpy(target),
            torch.from_numpy(np.stack(allowed[1:], 1) & counts[..., None]),
        )


class ContinualReber(Task):
    """Foretell the symbols of an endless row of embedded Reber strings (Gers, Schmidhuber and Cummins 2000).

    Nothing tells where a string ends. A stream ends with the first largest output that may not follow, or after so many
    symbols; the next one begins with a fresh state.

    Learnt: all of `test_streams` streams are foretold to their end, with frozen weights.

    Args:
        segment: symbols that are read between two changes of the weights; gradients end there, the state does not.
        train_length: symbols of a training stream, about; a net that never starts anew forgets how to.
        test_streams: streams of a test.
        test_length: symbols of a test stream; 1,000,000 are published.
        every: training segments (those of all streams side by side) between two tests.
    """

    num_inputs = num_outputs = len(SYMBOLS)
    one_of = True
    foretells = True
    limit = 0.5

    def __init__(
        self,
        segment: int = 50,
        train_length: int = 10_000,
        test_streams: int = 10,
        test_length: int = 1_000_000,
        every: int = 5000,
    ) -> None:
        check(segment=(segment, 1), train_length=(train_length, 1), every=(every, 1))
        check(test_streams=(test_streams, 1), test_length=(test_length, 1))
        self.segment, self.train_length, self.every = segment, train_length, every
        self.test_streams, self.test_length = test_streams, test_length
        self.criterion = HeldOut(size=test_streams, limit=0.5, every=every)

    def draw(self, rng: np.random.Generator, count: int) -> Sequences:
        """Draw the beginnings of streams, `segment` symbols of each."""
        return Streams(rng, count).read(self.segment)


class Streams:
    """Endless rows of embedded Reber strings, side by side.

    Args:
        rng: where chance comes from.
        count: number of streams, B.
    """

    def __init__(self, rng: np.random.Generator, count: int) -> None:
        self.rng = rng
        self.symbol, self.state = advance(rng, np.zeros(count, np.int64))

    def read(self, length: int) -> Sequences:
        """Read on: symbols (B, K, 7) and what follows each; every step counts."""
        count = len(self.state)
        symbols = np.empty((count, length + 1), np.int64)
        allowed = np.empty((count, length, len(SYMBOLS)), bool)
        symbols[:, 0] = self.symbol
        for step in range(length):
            allowed[:, step] = _LEGAL[self.state]
            symbols[:, step + 1], self.state = advance(self.rng, self.state)
        self.symbol = symbols[:, -1]
        vectors = torch.from_numpy(one_hot(symbols, len(SYMBOLS)))
        steps = torch.arange(length).repeat(count, 1)
        lengths = torch.full((count,), length)
        return Sequences(vectors[:, :-1], lengths, steps, vectors[:, 1:], torch.from_numpy(allowed))

    def restart(self, lines: np.ndarray) -> None:
        """Begin new streams in place of some, (B,) bool."""
        symbol, state = advance(self.rng, np.zeros(len(lines), np.int64))
        self.symbol, self.state = np.where(lines, symbol, self.symbol), np.where(lines, state, self.state)


def advance(rng: np.random.Generator, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Take one random way on from each state of the grammar; returns the symbols and the next states."""
    way = rng.integers(0, 2, len(state))
    return _SYMBOL[state, way], _NEXT[state, way]
