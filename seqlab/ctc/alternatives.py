"""Other readings of a line and of its words, from the n-best list of a decoder.

The share of a reading is its probability, as the decoder sees it, over that of the whole list. Shares of an n-best list
rank well and are too sure of the first, as far more readings exist than the list holds.
"""

import math
from collections.abc import Callable, Sequence

from seqlab.ctc.hypothesis import Hypothesis
from seqlab.scoring import align

Shares = dict[str, float]


def readings(hypothesis: Hypothesis, decode: Callable[[list[int]], str]) -> Shares:
    """Return the share of each text of an n-best list, likeliest first; label sequences of one text are one reading.

    Args:
        hypothesis: the decoder's answer with its alternatives.
        decode: label ids to text.
    """
    found = [hypothesis, *hypothesis.alternatives]
    highest = max(h.score for h in found)
    weights = [math.exp(h.score - highest) for h in found]
    shares: Shares = {}
    for h, weight in zip(found, weights, strict=True):
        text = decode(h.labels)
        shares[text] = shares.get(text, 0.0) + weight / sum(weights)
    return _sorted(shares)


def word_readings(words: Sequence[str], shares: Shares) -> list[Shares]:
    """Return for every word of the best reading what the other readings have in its place, likeliest first.

    Every reading is aligned to the best by words, with the fewest errors. Words that it has besides go to the
    changed word before them, else to the one after, so that "one" may stand beside "on the"; between words that agree
    they are left out. The text is empty where a reading has nothing. The word itself is not among its alternatives;
    shares and its own add up to 1.

    Args:
        words: of the best reading.
        shares: what :func:`readings` returned.
    """
    slots: list[Shares] = [{} for _ in words]
    for text, share in shares.items():
        others = text.split()
        if others == list(words):  # the best reading itself: thousands of words, where a recording is long
            continue
        for slot, word, other in zip(slots, words, _placed(words, others), strict=True):
            if other != word:
                slot[other] = slot.get(other, 0.0) + share
    return [_sorted(slot) for slot in slots]


def _placed(words: Sequence[str], others: Sequence[str]) -> list[str]:
    """Return what another reading has in the place of every word."""
    places: list[list[str]] = []
    waiting: list[str] = []  # inserted words that no changed word has taken yet
    changed = False  # whether the word before is a changed one
    for operation, _, other in align(words, others):
        if operation == "ins":
            (places[-1] if changed else waiting).append(str(other))
            continue
        changed = operation != "hit"
        places.append([*(waiting if changed else ()), *([] if other is None else [other])])
        waiting = []
    return [" ".join(place) for place in places]


def _sorted(shares: Shares) -> Shares:
    return dict(sorted(shares.items(), key=lambda item: -item[1]))
