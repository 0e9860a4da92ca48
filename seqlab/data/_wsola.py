"""Waveform-similarity overlap-add, compiled."""

import numpy as np
from numba import njit


@njit(cache=True, fastmath=True)
def stretch(signal: np.ndarray, speed: float, window: np.ndarray, reach: int, skip: int) -> np.ndarray:
    """Play a signal at a speed, pitch kept.

    Args:
        signal: (S,), float32.
        speed: 2 halves the length.
        window: Hann's, periodic, of even length 2 H: two of them, H apart, add to 1.
        reach: farthest that a piece is looked for from its place, in samples.
        skip: places are first looked for among every so many samples.

    Returns:
        (round(S / speed),), float32.
    """
    size, hop = len(window), len(window) // 2
    length = round(len(signal) / speed)
    before = hop + reach
    padded = np.zeros(len(signal) + before + size + 2 * hop + 2 * reach, np.float32)
    padded[before : before + len(signal)] = signal
    coarse = padded[::skip].copy()
    last = len(padded) - size
    out = np.zeros(length + 2 * size, np.float32)
    place = reach  # the piece centred on the first sample
    for piece in range(length // hop + 2):
        if piece:
            follows = min(place + hop, last)  # what would come next if nothing were stretched
            middle = round(piece * hop * speed) + reach
            low, high = max(min(middle - reach, last), 0), max(min(middle + reach, last), 0)
            place = skip * _nearest(coarse, follows // skip, -(-low // skip), high // skip, size // skip)
            place = _nearest(padded, follows, max(place - skip + 1, low), min(place + skip - 1, high), size)
        begin = piece * hop
        for i in range(size):
            if begin + i < len(out):
                out[begin + i] += window[i] * padded[place + i]
    return out[hop : hop + length].copy()


@njit(cache=True, fastmath=True)
def _nearest(x: np.ndarray, wanted: int, low: int, high: int, size: int) -> int:
    """Return the place in [low, high] whose samples are most like those wanted, by normalised correlation."""
    like = x[wanted : wanted + size]
    best, place = np.float32(-np.inf), low
    for start in range(low, high + 1):
        here = x[start : start + size]
        product, power = np.float32(0.0), np.float32(1e-9)
        for i in range(size):
            product += here[i] * like[i]
            power += here[i] * here[i]
        likeness = product / np.sqrt(power)
        if likeness > best:
            best, place = likeness, start
    return place
