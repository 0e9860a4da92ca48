"""The backoff automaton of an n-gram model as flat arrays, and the step through it.

Node 0 is the empty context. The node of n-gram w1..wk is a child of the node of w1..w(k-1). Nodes are numbered by
order, then by parent, then by word, so that the children of a node are contiguous and sorted, and the node of a single
word is 1 + its id. A state is a node that can be extended: it has children, or a backoff weight that counts. Two
histories that no n-gram of the model tells apart have the same state.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import njit

FEW = 8  # children up to this number are scanned, more are found by a hash
MAX_PROBES = 1000  # a hash table that needs more is damaged


class Tables(NamedTuple):
    """The automaton, N nodes over V words; an argument of compiled functions. Arrays are read-only.

    Attributes:
        first: each node's first child, (N + 1,), int32; the children of node i end where those of i + 1 begin.
        word: last word of each node's n-gram, (N,), int32.
        log_prob: natural log of p(last word | the words before), (N,), float32.
        backoff: natural log of the backoff weight, (N,), float32.
        suffix: the longest proper suffix that is a state, (N,), int32; 0 for single words.
        slots: hash table of children of nodes that have more than FEW; 0 is empty; its size is a power of 2.
        vocabulary: V, words are 0..V-1.
        unknown: the word that stands for all others.
    """

    first: np.ndarray
    word: np.ndarray
    log_prob: np.ndarray
    backoff: np.ndarray
    suffix: np.ndarray
    slots: np.ndarray
    vocabulary: int
    unknown: int


class Grams(NamedTuple):
    """The n-grams of one order.

    Attributes:
        ids: their words, (n, order), int32.
        log_prob: natural log, (n,), float32.
        backoff: natural log, (n,), float32.
    """

    ids: np.ndarray
    log_prob: np.ndarray
    backoff: np.ndarray


class TwiceError(ValueError):
    """An n-gram stands twice: its order and its row, counted from 0."""

    def __init__(self, order: int, row: int) -> None:
        super().__init__(order, row)
        self.order = order
        self.row = row


@njit(cache=True, nogil=True)
def _slot(size: int, node: int, word: int) -> int:
    """Return where the search for a child begins in a hash table of ``size`` slots."""
    x = np.uint64(node) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(word) * np.uint64(0xD6E8FEB86659FD93)
    x ^= x >> np.uint64(32)
    x *= np.uint64(0xD6E8FEB86659FD93)
    return np.int64((x >> np.uint64(32)) & np.uint64(size - 1))  # type: ignore[return-value]


@njit(cache=True, nogil=True)
def find(tables: Tables, node: int, word: int) -> int:
    """Return the child of a node by a word, or -1. Whatever the arrays hold, nothing outside of them is read."""
    low, high = max(tables.first[node], 1), min(tables.first[node + 1], tables.word.size)
    if high - low <= FEW:
        for child in range(low, high):
            if tables.word[child] == word:
                return child
        return -1
    slot = _slot(tables.slots.size, node, word)
    for _ in range(MAX_PROBES):
        child = tables.slots[slot]
        if child <= 0:
            return -1
        if low <= child < high and tables.word[child] == word:
            return child
        slot = (slot + 1) & (tables.slots.size - 1)
    return -1


@njit(cache=True, nogil=True)
def advance(tables: Tables, state: int, word: int) -> tuple[int, float]:
    """Read a word: the next state, and the natural log of p(word | state).

    p(w | h) is the probability of the longest n-gram h'w that the model holds, h' being a suffix of h, times the
    backoff weights of the longer suffixes (Katz 1987, eq. 9). Safe for every input: a word outside of the vocabulary is
    the unknown word, a state that is none is the empty context.
    """
    if word < 0 or word >= tables.vocabulary:
        word = tables.unknown
    if state < 0 or state >= tables.word.size:
        state = 0
    weight = 0.0
    child = 1 + word
    while state > 0:
        found = find(tables, state, word)
        if found > 0:
            child = found
            break
        weight += tables.backoff[state]
        shorter = tables.suffix[state]
        state = shorter if 0 < shorter < state else 0
    log_prob = weight + tables.log_prob[child]
    if tables.first[child] < tables.first[child + 1] or tables.backoff[child] != 0.0:
        return child, log_prob
    return tables.suffix[child], log_prob


@njit(cache=True, nogil=True)
def _fill_slots(first: np.ndarray, word: np.ndarray, slots: np.ndarray) -> bool:
    for node in range(1, word.size):
        if first[node + 1] - first[node] > FEW:
            for child in range(first[node], first[node + 1]):
                slot = _slot(slots.size, node, word[child])
                probes = 1
                while slots[slot] != 0:
                    slot = (slot + 1) & (slots.size - 1)
                    probes += 1
                if probes > MAX_PROBES:
                    return False
                slots[slot] = child
    return True


@njit(cache=True, nogil=True)
def _fill_suffixes(tables: Tables, suffix: np.ndarray, log_prob: np.ndarray) -> None:
    """Link every node with its longest suffix, and give those that the model only implies (NaN) their probability."""
    for node in range(1, tables.word.size):
        for child in range(tables.first[node], tables.first[node + 1]):
            state, chance = advance(tables, suffix[node], tables.word[child])
            suffix[child] = state
            if np.isnan(log_prob[child]):
                log_prob[child] = tables.backoff[node] + chance


def build_tables(levels: Sequence[Grams], unknown: int) -> tuple[Tables, list[int]]:
    """Build the automaton from n-grams of orders 1, 2, ...

    N-grams whose beginning w1..w(k-1) is missing bring it along, with the probability that backing off gives it and
    without a backoff weight: no probability changes by it.

    Args:
        levels: the n-grams of each order; those of order 1 are words 0, 1, ..., V-1 in this order.
        unknown: the id of the unknown word.

    Returns:
        The automaton, and how many n-grams of each order it has.

    Raises:
        TwiceError: an n-gram stands twice.
    """
    vocabulary = len(levels[0].ids)
    ends = [grams.ids[:, 0].astype(np.int64) + 1 for grams in levels]  # node of each n-gram's first words
    words, parents = [np.zeros(1, np.int32), np.arange(vocabulary, dtype=np.int32)], [np.zeros(vocabulary, np.int64)]
    log_probs = [np.zeros(1, np.float32), levels[0].log_prob]
    backoffs = [np.zeros(1, np.float32), levels[0].backoff]
    begin = 1 + vocabulary
    for k in range(2, len(levels) + 1):
        grams, longer = levels[k - 1], levels[k:]
        own = ends[k - 1] * vocabulary + grams.ids[:, k - 1]
        keys = [own, *(end * vocabulary + other.ids[:, k - 1] for end, other in zip(ends[k:], longer, strict=True))]
        present = _unique(own, k)
        places = [_locate(present, key) for key in keys]
        missing = [key[~_found(present, key, place)] for key, place in zip(keys, places, strict=True)]
        if any(map(len, missing)):
            present = np.unique(np.concatenate([present, *missing]))
            places = [_locate(present, key) for key in keys]
        ends[k - 1 :] = [begin + place for place in places]
        rows = places[0]
        log_prob, backoff = np.full(len(present), np.nan, np.float32), np.zeros(len(present), np.float32)
        log_prob[rows], backoff[rows] = grams.log_prob, grams.backoff
        words.append((present % vocabulary).astype(np.int32))
        parents.append(present // vocabulary)
        log_probs.append(log_prob)
        backoffs.append(backoff)
        begin += len(present)
    backoffs[-1] = np.zeros(len(words[-1]), np.float32)  # nothing comes after the longest n-grams
    children = np.bincount(np.concatenate(parents), minlength=begin)
    first = np.concatenate([[1], 1 + np.cumsum(children)]).astype(np.int32)
    word, log_prob, backoff = (np.concatenate(parts) for parts in (words, log_probs, backoffs))
    suffix = np.zeros(begin, np.int32)
    hashed = int(children[1:][children[1:] > FEW].sum())
    bits = max(1, (hashed + hashed // 2).bit_length())
    while not _fill_slots(first, word, slots := np.zeros(1 << bits, np.int32)):
        bits += 1
    tables = frozen(Tables(first, word, log_prob, backoff, suffix, slots, vocabulary, unknown))
    _fill_suffixes(tables, suffix, log_prob)
    return tables, [len(part) for part in words[1:]]


def frozen(tables: Tables) -> Tables:
    """Return tables of read-only views: compiled functions then meet one type, wherever the tables come from."""
    first, word, log_prob, backoff, suffix, slots = (array.view() for array in tables[:6])
    for array in (first, word, log_prob, backoff, suffix, slots):
        array.flags.writeable = False
    return Tables(first, word, log_prob, backoff, suffix, slots, tables.vocabulary, tables.unknown)


def _locate(keys: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return np.searchsorted(keys, wanted); sorting what is wanted first spares cache misses."""
    if len(wanted) < 1000 or bool((wanted[1:] >= wanted[:-1]).all()):
        return np.searchsorted(keys, wanted)
    order = np.argsort(wanted)
    places = np.empty(len(wanted), np.int64)
    places[order] = np.searchsorted(keys, wanted[order])
    return places


def _found(keys: np.ndarray, wanted: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return which wanted keys stand at the places that _locate named."""
    if not len(keys):
        return np.zeros(len(wanted), bool)
    return keys[np.minimum(places, len(keys) - 1)] == wanted


def _unique(keys: np.ndarray, order: int) -> np.ndarray:
    """Return the keys sorted, or raise TwiceError."""
    if bool((keys[1:] > keys[:-1]).all()):
        return keys
    rows = np.argsort(keys, kind="stable")
    ordered = keys[rows]
    twice = np.flatnonzero(ordered[1:] == ordered[:-1])
    if len(twice):
        raise TwiceError(order, int(rows[twice + 1].min()))
    return ordered
