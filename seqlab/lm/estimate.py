"""Estimate n-gram models: interpolated modified Kneser-Ney smoothing.

Chen and Goodman, "An empirical study of smoothing techniques for language modeling", Computer Speech and Language 13
(1999). Sentence ends and the unknown word are treated as KenLM's lmplz does (Heafield et al., "Scalable modified
Kneser-Ney language model estimation", ACL 2013).
"""

import logging
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from seqlab.errors import ConfigError, DataError
from seqlab.lm.ngram import LOG_10, UNKNOWN_LOG_PROB, NGram, Unit
from seqlab.lm.tables import Grams
from seqlab.lm.vocabulary import END, SPECIAL, START

logger = logging.getLogger(__name__)

FALLBACK = (0.5, 1.0, 1.5)  # discounts where counts of counts give none, those of lmplz
NEVER = -99 * LOG_10  # of <s>, which is never predicted


class Corpus:
    """Lines of text as word ids, kept until the model is estimated.

    Attributes:
        index: word -> id, in order of appearance; <s> is 0, </s> is 1.
        lines: number of lines; empty ones count, they are <s> </s>.
    """

    def __init__(self) -> None:
        self.index = {START: 0, END: 1}
        self.lines = 0
        self._blocks: list[np.ndarray] = []
        self._open: list[int] = []

    def add(self, units: Iterable[str]) -> None:
        """Add a line.

        Raises:
            DataError: a unit is <s>, </s> or <unk>.
        """
        index = self.index
        units = list(units)
        if not SPECIAL.isdisjoint(units):
            word = next(unit for unit in units if unit in SPECIAL)
            raise DataError(f"the text holds {word}, which has a meaning of its own in a model; take it out")
        self._open += [0, *[index.setdefault(unit, len(index)) for unit in units], 1]
        self.lines += 1
        if len(self._open) > 1 << 20:
            self._close()

    def _close(self) -> None:
        self._blocks.append(np.array(self._open, np.int32))
        self._open = []

    def tokens(self) -> np.ndarray:
        """Return all lines, each from <s> to </s>, one after the other, int32."""
        self._close()
        self._blocks = [np.concatenate(self._blocks)]
        return self._blocks[0]


class _Level(NamedTuple):
    """All n-grams of one order, sorted by prefix and word.

    Attributes:
        prefix: row of the first words among the n-grams of one order less.
        suffix: row of the last words among them.
        word: the last word.
        times: how often it occurs.
        starts: whether it begins with <s>.
    """

    prefix: np.ndarray
    suffix: np.ndarray
    word: np.ndarray
    times: np.ndarray
    starts: np.ndarray


def check(order: int, prune: Sequence[int]) -> None:
    """Raise ConfigError unless an order and counts for pruning make sense; see estimate."""
    if not 1 <= order <= 20:
        raise ConfigError(f"the order must be between 1 and 20, got {order}")
    counts = list(prune)
    if not counts or counts[0] != 0 or counts != sorted(counts) or len(counts) > order:
        told = " ".join(map(str, counts)) or "none"
        raise ConfigError(f"prune must have up to {order} counts that do not fall, the first 0; got {told}")


def estimate(
    corpus: Corpus, order: int, unit: Unit, prune: Sequence[int] = (0,), closed: bool = False
) -> tuple[NGram, list[tuple[float, float, float]]]:
    """Estimate an interpolated modified Kneser-Ney model.

    With a(g) the count of an n-gram at the highest order or after <s>, else the number of different words before it
    (their eq. 17 and 18), D(1), D(2), D(3+) from counts of counts (eq. 26), and h' is h without its first word:

        p(w | h) = (a(h w) - D(a(h w))) / sum_v a(h v) + gamma(h) p(w | h')          (eq. 23, 24)
        gamma(h) = (D(1) N1(h) + D(2) N2(h) + D(3+) N3+(h)) / sum_v a(h v)

    Below the single words stands the uniform distribution over all words, </s> and <unk> among them, <s> not. A pruned
    n-gram gives its whole count to gamma. Everything is kept in memory: some 100 bytes for each word of text and order.

    Args:
        corpus: the text.
        order: length of the longest n-grams.
        unit: what a word is.
        prune: for each order, n-grams that occur this often or less are left out; the last value holds for the orders
            above. Values must not fall, the first must be 0: no word is left out.
        closed: there are no words but those of the text: <unk> gets no probability (1e-100).

    Returns:
        The model, and the discounts of each order.

    Raises:
        ConfigError: the order or the pruning makes no sense.
        DataError: there is no text.
    """
    check(order, prune)
    prune = [*prune, *[prune[-1]] * (order - len(prune))]
    if len(corpus.index) == 2:
        raise DataError("there is no text: no line has a word")
    words = list(corpus.index)
    levels = _count(corpus.tokens(), len(words), order)
    size = len(words) - 1 + (not closed)  # of the uniform distribution: with <unk>, without <s>
    below = np.full(1, 1 / size)
    grams, discounts, kept = [], [], np.zeros(1, bool)
    ids = np.zeros((1, 0), np.int32)
    rest = 0.0
    for k, level in enumerate(levels, 1):
        counts = _adjusted(level, levels[k] if k < order else None)
        if k == 1:
            counts[0] = 0  # <s> is never predicted
        discount = _discounts(counts, k)
        discounts.append(discount)
        taken = np.array([0.0, *discount])[np.minimum(counts, 3)]
        keep = level.times > prune[k - 1]
        taken[~keep] = counts[~keep]
        total = np.bincount(level.prefix, counts, len(below))
        gamma = np.bincount(level.prefix, taken, len(below)) / np.maximum(total, 1)
        gamma[total == 0] = 1
        chance = (counts - taken) / np.maximum(total, 1)[level.prefix] + gamma[level.prefix] * below[level.suffix]
        if k == 1:
            rest = gamma[0] / size  # of <unk>
        else:
            grams.append(_grams(ids, below, gamma, kept))
        ids = np.column_stack([ids[level.prefix], level.word])
        below, kept = chance, keep
    grams.append(_grams(ids, below, np.ones(len(below)), kept))
    grams[0].log_prob[0] = NEVER  # of <s>
    while len(grams) > 1 and not len(grams[-1].ids):
        grams.pop()
    return NGram.build(words, grams, unit, UNKNOWN_LOG_PROB if closed else math.log(rest)), discounts


def _count(tokens: np.ndarray, words: int, order: int) -> list[_Level]:
    """Count the n-grams of each order within lines."""
    row = tokens.astype(np.int64)  # of the n-gram of this order that begins here; -1 beyond the line's end
    zeros = np.zeros(words, np.int64)
    starts = zeros.astype(bool)
    starts[0] = True
    levels = [_Level(zeros, zeros, np.arange(words, dtype=np.int32), np.bincount(row, minlength=words), starts)]
    for k in range(2, order + 1):
        places = np.flatnonzero(row >= 0)
        places = places[tokens[places + k - 2] != 1]
        keys, inverse, count = np.unique(
            row[places] * words + tokens[places + k - 1], return_inverse=True, return_counts=True
        )
        suffix = np.empty(len(keys), np.int64)
        suffix[inverse] = row[places + 1]
        prefix = keys // words
        levels.append(_Level(prefix, suffix, (keys % words).astype(np.int32), count, levels[-1].starts[prefix]))
        row = np.full(len(row), -1)
        row[places] = inverse
    return levels


def _adjusted(level: _Level, above: _Level | None) -> np.ndarray:
    """Return the counts that probabilities are made of (eq. 17)."""
    if above is None:
        return level.times.copy()
    return np.where(level.starts, level.times, np.bincount(above.suffix, minlength=len(level.times)))


def _discounts(counts: np.ndarray, order: int) -> tuple[float, float, float]:
    """Return D(1), D(2), D(3+) (eq. 26), or FALLBACK where there are none between 0 and the count."""
    n1, n2, n3, n4 = (int((counts == c).sum()) for c in (1, 2, 3, 4))
    if n1 and n2 and n3:
        y = n1 / (n1 + 2 * n2)
        found = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
        if all(0 <= d <= c for c, d in enumerate(found, 1)):
            return found
    logger.info("order %d: no discounts from counts of counts %d %d %d %d; taking %s", order, n1, n2, n3, n4, FALLBACK)
    return FALLBACK


def _grams(ids: np.ndarray, chance: np.ndarray, gamma: np.ndarray, kept: np.ndarray) -> Grams:
    with np.errstate(divide="ignore"):
        log_prob, backoff = np.log(chance[kept]), np.log(gamma[kept])
    return Grams(ids[kept], log_prob.astype(np.float32), backoff.astype(np.float32))
