"""Compiled parts of the ARPA reader: the n-gram lines of a block of bytes, and a hash table of words."""

from typing import NamedTuple

import numpy as np
from numba import njit

NO_NUMBER, POSITIVE, FEW_WORDS, NEW_WORD, BAD_BACKOFF, TOO_MANY = range(1, 7)


class Keys(NamedTuple):
    """A hash table of words: their text one after the other (uint8), their ends (int64), slots of ids + 1 (int32)."""

    text: np.ndarray
    ends: np.ndarray
    slots: np.ndarray


@njit(cache=True, nogil=True)
def _is_space(byte: int) -> bool:
    return byte == 32 or byte == 9 or byte == 13 or byte == 0


@njit(cache=True, nogil=True)
def _lower(byte: int) -> int:
    return byte | 32


@njit(cache=True, nogil=True)
def _number(data: np.ndarray, begin: int, end: int) -> tuple[bool, float]:
    """Read a decimal number, inf or nan; False if it is none."""
    i = begin
    sign = 1.0
    if i < end and (data[i] == 45 or data[i] == 43):  # - +
        sign = -1.0 if data[i] == 45 else 1.0
        i += 1
    if end - i >= 3 and not 48 <= data[i] <= 57 and data[i] != 46:
        a, b, c = _lower(data[i]), _lower(data[i + 1]), _lower(data[i + 2])
        if a == 110 and b == 97 and c == 110:  # nan
            return True, np.nan
        if a == 105 and b == 110 and c == 102:  # inf, infinity
            return True, sign * np.inf
        return False, 0.0
    mantissa = 0.0
    digits = 0
    exponent = 0
    point = False
    while i < end:
        if 48 <= data[i] <= 57:
            mantissa = mantissa * 10.0 + (data[i] - 48)
            digits += 1
            exponent -= 1 if point else 0
        elif data[i] == 46 and not point:  # .
            point = True
        else:
            break
        i += 1
    if not digits:
        return False, 0.0
    if i < end:
        if _lower(data[i]) != 101 or i + 1 >= end:  # e
            return False, 0.0
        i += 1
        negative = data[i] == 45
        if data[i] == 45 or data[i] == 43:
            i += 1
        if i >= end:
            return False, 0.0
        power = 0
        while i < end:
            if not 48 <= data[i] <= 57:
                return False, 0.0
            power = min(power * 10 + (data[i] - 48), 9999)
            i += 1
        exponent += -power if negative else power
    if exponent < 0:
        return True, sign * (mantissa / 10.0**-exponent if exponent > -300 else mantissa * 10.0**exponent)
    return True, sign * mantissa * 10.0**exponent


@njit(cache=True, nogil=True)
def _hash(data: np.ndarray, begin: int, end: int) -> int:
    """FNV-1a, its high bits mixed into the low ones."""
    x = np.uint64(0xCBF29CE484222325)
    for i in range(begin, end):
        x = (x ^ np.uint64(data[i])) * np.uint64(0x100000001B3)
    x ^= x >> np.uint64(32)
    return np.int64(x & np.uint64(0x7FFFFFFF))  # type: ignore[return-value]


@njit(cache=True, nogil=True)
def _search(keys: Keys, data: np.ndarray, begin: int, end: int) -> tuple[int, int]:
    """Return a word's id or -1, and the slot where the search ended."""
    mask = keys.slots.size - 1
    slot = _hash(data, begin, end) & mask
    while keys.slots[slot]:
        word = keys.slots[slot] - 1
        start = keys.ends[word - 1] if word else 0
        if keys.ends[word] - start == end - begin:
            same = True
            for i in range(end - begin):
                if keys.text[start + i] != data[begin + i]:
                    same = False
                    break
            if same:
                return word, slot
        slot = (slot + 1) & mask
    return -1, slot


@njit(cache=True, nogil=True)
def _fill(keys: Keys) -> int:
    for word in range(keys.ends.size):
        found, slot = _search(keys, keys.text, keys.ends[word - 1] if word else 0, keys.ends[word])
        if found >= 0:
            return word
        keys.slots[slot] = word + 1
    return -1


def index_words(text: np.ndarray, ends: np.ndarray) -> tuple[Keys, int]:
    """Hash words; returns the table, and the first word that stands twice, or -1."""
    keys = Keys(text, ends, np.zeros(1 << (2 * len(ends)).bit_length(), np.int32))
    return keys, int(_fill(keys))


@njit(cache=True, nogil=True)
def parse(
    data: np.ndarray, place: int, end: int, order: int, keys: Keys
) -> tuple[int, int, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    r"""Read the n-gram lines of a section up to the next line that begins with a backslash, or the end of the block.

    Args:
        data: bytes.
        place: where to begin.
        end: where the last whole line of the block ends.
        order: number of words in a line.
        keys: the words, for orders above 1.

    Returns:
        Where reading ended, with a fault the line's begin; the fault or 0; word ids (n, order),
        log10 probabilities and backoff weights (n,); of order 1, text and sizes of the words.
    """
    most = (end - place) // (2 * order + 2) + 1
    ids = np.empty((most if order > 1 else 0, order), np.int32)
    log_prob = np.empty(most)
    backoff = np.empty(most)
    text = np.empty(end - place if order == 1 else 0, np.uint8)
    sizes = np.empty(most if order == 1 else 0, np.int64)
    rows = used = fault = 0
    i = place
    while i < end and not fault:
        line = i
        fields = 0
        stop = False
        weight = 0.0
        chance = 0.0
        while not fault:
            while _is_space(data[i]):
                i += 1
            if data[i] == 10:
                i += 1
                break
            begin = i
            while not (_is_space(data[i]) or data[i] == 10):
                i += 1
            if fields == 0:
                if data[begin] == 92:  # a backslash: the next section
                    stop = True
                    break
                good, chance = _number(data, begin, i)
                if not good:
                    fault = 1
                elif not chance <= 0:
                    fault = 2
            elif fields <= order:
                if order == 1:
                    text[used : used + i - begin] = data[begin:i]
                    sizes[rows] = i - begin
                    used += i - begin
                else:
                    word, _ = _search(keys, data, begin, i)
                    if word < 0:
                        fault = 4
                    ids[rows, fields - 1] = word
            elif fields == order + 1:
                good, weight = _number(data, begin, i)
                if not good or not weight < np.inf:
                    fault = 5
            else:
                fault = 6
            fields += 1
        if stop:
            i = line
            break
        if not fault and 0 < fields <= order:
            fault = 3
        if fault:
            i = line
        elif fields:
            log_prob[rows] = chance
            backoff[rows] = weight
            rows += 1
    return (
        i,
        fault,
        ids[: rows if order > 1 else 0],
        log_prob[:rows],
        backoff[:rows],
        text[:used],
        sizes[: rows if order == 1 else 0],
    )
