"""What counts beside the frames: n-gram model, words, hotwords, as factors by which a symbol multiplies a prefix."""

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from seqlab.lm.tables import Tables
from seqlab.lm.tables import advance as read_word

# What the sources know of a label.
LABEL = np.dtype(
    [
        ("unit", np.int32),  # the n-gram model's word, if that reads symbols
        ("boundary", np.bool_),  # whether it begins a new word
        ("quiet", np.bool_),  # whether the hotword automaton stays in state 0 with it
        ("hot", np.int32),  # the hotword automaton's state after it from state 0
        ("constant", np.float64),  # factor beside the sources
    ],
    align=True,
)
# A node of the lexicon, and one more for what has left it; children stand together in label order.
NODE = np.dtype(
    [
        ("first", np.int32),  # its first child; its children end where those of the next node begin
        ("label", np.int32),  # the label that leads to it
        ("word", np.int32),  # the n-gram model's word that ends here
        ("step", np.float64),  # factor of entering it
        ("leave", np.float64),  # factor of leaving the lexicon from here; 0 where only its words are allowed
        ("close", np.float64),  # factor of ending a word here beside the n-gram model's; 0 where no word ends
    ],
    align=True,
)
# A state of the hotword automaton.
STATE = np.dtype(
    [
        ("first", np.int32),  # as in a node
        ("label", np.int32),
        ("fail", np.int32),  # the next shorter state, see ``Automaton``
        ("arrive", np.float64),
        ("depart", np.float64),
        ("most", np.float64),
    ],
    align=True,
)


class Switches(NamedTuple):
    """What is on, and the numbers that go with it.

    Attributes:
        active: whether anything is on.
        constant: the largest of the labels' constants.
        most: upper bound of the factor of one symbol, apart from a node's ``close``.
        lm_weight: weight of the n-gram model.
        end: its word for the end of a sentence, or -1.
        by_symbol: whether it reads symbols.
        by_word: whether it reads words.
        words: whether prefixes are followed through the lexicon.
        hot: whether there are hotwords.
        whole_words: whether word edges are symbols of their automaton.
        neural: whether there is a neural model that scores each symbol.
        space: the label that separates words and belongs to none, or -1.
    """

    active: bool
    constant: float
    most: float
    lm_weight: float
    end: int
    by_symbol: bool
    by_word: bool
    words: bool
    hot: bool
    whole_words: bool
    neural: bool
    space: int


class Fusion(NamedTuple):
    """Every source of fusion. Compiled code takes the arrays out before its loops: taking them out counts references.

    Attributes:
        on: what is on.
        tables: the n-gram model.
        labels: (V,).
        lexicon: (nodes + 1,).
        hotwords: (states + 1,).
        hear: the hotword automaton's next state after each label (0: a word's edge), (states, V); (0, 0) if that is too
            large, and it is found on the way.
        neural: factor of each label after each prefix in the beam, (K, V), at label 0 that of the line's end; (0, 0)
            without a neural model.
    """

    on: Switches
    tables: Tables
    labels: np.ndarray
    lexicon: np.ndarray
    hotwords: np.ndarray
    hear: np.ndarray
    neural: np.ndarray


# Not stored, see ``_search.stored``. Counting references to arrays would take most of the time: nothing here owns any.
UNCOUNTED: Any = {"nogil": True, "error_model": "numpy", "_nrt": False}
jit = njit(**UNCOUNTED)
inlined = njit(**UNCOUNTED, inline="always")


@inlined
def _child(trie: np.ndarray, node: int, wanted: int) -> int:
    """Return a node's child by a label, or -1."""
    low, high = trie[node].first, trie[node + 1].first
    while high - low > 8:
        middle = (low + high) >> 1
        if trie[middle].label <= wanted:
            low = middle
        else:
            high = middle
    for child in range(low, high):
        if trie[child].label == wanted:
            return child
    return -1


@inlined
def _hear(state: int, symbol: int, labels: np.ndarray, hotwords: np.ndarray, hear: np.ndarray) -> int:
    """Return the hotword automaton's next state."""
    if hear.shape[0]:
        return hear[state, symbol]
    while state:
        child = _child(hotwords, state, symbol)
        if child >= 0:
            return child
        state = hotwords[state].fail
    return labels[symbol].hot


@inlined
def _hear_label(
    state: int, label: int, on: Switches, labels: np.ndarray, hotwords: np.ndarray, hear: np.ndarray
) -> tuple[int, float]:
    """Return the automaton's next state and the factor of the bonus; word edges (0) are symbols of their own."""
    factor = 1.0
    if on.whole_words:
        if labels[label].boundary:
            edge = _hear(state, 0, labels, hotwords, hear)
            factor = hotwords[state].depart * hotwords[edge].arrive
            state = edge
            if label == on.space:
                return state, factor
        elif state == 0:
            return state, factor  # in the middle of a word
    after = _hear(state, label, labels, hotwords, hear)
    return after, factor * hotwords[state].depart * hotwords[after].arrive


@inlined
def extend(
    lm: int,
    word: int,
    hot: int,
    label: int,
    on: Switches,
    tables: Tables,
    labels: np.ndarray,
    lexicon: np.ndarray,
    hotwords: np.ndarray,
    hear: np.ndarray,
) -> tuple[float, int, int, int]:
    """Extend a prefix by a symbol.

    While a word is open, the best unigram of the words that it may become stands for it; its end replaces that by the
    n-gram model's word.

    Args:
        lm: state of the n-gram model.
        word: node of the lexicon.
        hot: state of the hotword automaton.
        label: the symbol.
        on: as in ``Fusion``, and so on.
        tables: n-gram model.
        labels: labels.
        lexicon: lexicon.
        hotwords: hotwords.
        hear: their states.

    Returns:
        The factor, 0 where the symbol is not allowed, and the three states.
    """
    factor = labels[label].constant
    if on.words:
        if labels[label].boundary and word:
            factor *= lexicon[word].close
            if on.by_word and factor > 0.0:
                lm, log_prob = read_word(tables, lm, lexicon[word].word)
                factor *= np.exp(on.lm_weight * log_prob)
            word = 0
        if label != on.space:
            child = _child(lexicon, word, label) if word < lexicon.size - 1 else -1
            if child >= 0:
                factor *= lexicon[child].step
                word = child
            else:
                factor *= lexicon[word].leave
                word = lexicon.size - 1
        if factor == 0.0:
            return factor, lm, word, hot
    if on.by_symbol:
        lm, log_prob = read_word(tables, lm, labels[label].unit)
        factor *= np.exp(on.lm_weight * log_prob)
    if on.hot:
        hot, bonus = _hear_label(hot, label, on, labels, hotwords, hear)
        factor *= bonus
    return factor, lm, word, hot


@jit
def close(lm: int, word: int, hot: int, fusion: Fusion) -> float:
    """Return the natural log of the factor of ending the line after a prefix; -inf where it cannot end."""
    on, labels, hotwords = fusion.on, fusion.labels, fusion.hotwords
    score = 0.0
    if on.words and word:
        score += np.log(fusion.lexicon[word].close)
        if on.by_word:
            lm, log_prob = read_word(fusion.tables, lm, fusion.lexicon[word].word)
            score += on.lm_weight * log_prob
    if on.end >= 0:
        score += on.lm_weight * read_word(fusion.tables, lm, on.end)[1]
    if on.hot:
        score += np.log(hotwords[hot].depart)
        if on.whole_words:
            after = _hear(hot, 0, labels, hotwords, fusion.hear)
            score += np.log(hotwords[after].arrive) + np.log(hotwords[after].depart)
    return score
