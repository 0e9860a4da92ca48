"""Phrases to listen for, as one automaton (Aho and Corasick 1975): its cost does not grow with their number."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from seqlab.ctc.lexicon import build_trie
from seqlab.errors import ConfigError, DataError

BOUNDARY = 0  # the blank's label is no symbol of a text: in the automaton it is the edge of a word


class Automaton(NamedTuple):
    """States are beginnings of phrases; the state of a text is the longest one that the text ends with.

    A complete phrase keeps its bonus. Meanwhile a text has an advance on the bonus of the phrases that it may be in,
    which it gives back by leaving them: bonus = sum of kept ones + advance of the state.

    Attributes:
        first: as in ``Trie``.
        label: as in ``Trie``.
        root: state after each label from state 0, (V,).
        fail: longest other beginning that the state ends with, (states,).
        arrive: exp(bonus of the phrases that end in the state + its advance), (states,).
        depart: exp(-advance), (states,).
        start: state before the first symbol.
        whole_words: whether word edges are symbols.
        most: upper bound of the factor of the next symbol, (states,).
    """

    first: np.ndarray
    label: np.ndarray
    root: np.ndarray
    fail: np.ndarray
    arrive: np.ndarray
    depart: np.ndarray
    start: int
    whole_words: bool
    most: np.ndarray


def build_automaton(
    phrases: Mapping[str, float] | Sequence[str],
    weight: float,
    whole_words: bool,
    tokenizer: Any,
    boundary: np.ndarray,
) -> Automaton:
    """Build the automaton of a list of phrases; without phrases, one that costs nothing.

    Args:
        phrases: phrases, or weights by phrase; the bonus is natural-log, per symbol (edges not counted).
        weight: multiplies the weights, or is the weight of every phrase of a list.
        whole_words: a phrase must begin and end with a word.
        tokenizer: text to labels.
        boundary: labels that begin a new word, (V,): the space, or the pieces that do.

    Raises:
        ConfigError: a phrase has characters that have no label, or is empty.
    """
    weights = dict(phrases) if isinstance(phrases, Mapping) else dict.fromkeys(phrases, 1.0)
    whole_words = whole_words and bool(boundary.any())
    sequences, bonuses, faults = [], [], []
    for phrase, factor in weights.items():
        try:
            labels = tokenizer.encode(phrase)
        except DataError as error:
            faults.append(f"decoder.hotwords: {phrase!r}: {error}")
            continue
        if not labels:
            faults.append(f"decoder.hotwords: {phrase!r} is empty")
        sequences.append(edges(labels, boundary, tokenizer.space) if whole_words else labels)
        bonuses.append(weight * factor * len(labels))
    if faults:
        raise ConfigError("\n".join(faults))
    pieces = whole_words and bool(boundary.sum() > (tokenizer.space is not None))
    return _automaton(sequences, np.array(bonuses), len(boundary), whole_words, pieces)


def edges(labels: Sequence[int], boundary: np.ndarray, space: int | None) -> list[int]:
    """Return labels with word edges as symbols, one before, one behind: spaces become edges."""
    marked = [] if boundary[labels[0]] else [BOUNDARY]
    for label in labels:
        if boundary[label]:
            marked.append(BOUNDARY)
        if label != space:
            marked.append(label)
    return [*marked, BOUNDARY]


def _automaton(
    sequences: list[list[int]], bonuses: np.ndarray, num_labels: int, whole_words: bool, pieces: bool
) -> Automaton:
    trie = build_trie(sequences)
    size = len(trie.parent)
    children: list[dict[int, int]] = [{} for _ in range(size)]
    for node in range(1, size):
        children[trie.parent[node]][int(trie.label[node])] = node
    kept = np.zeros(size)
    np.add.at(kept, trie.ends, bonuses)
    advance = np.zeros(size)
    for end, bonus, labels in zip(trie.ends.tolist(), bonuses, sequences, strict=True):
        node, symbols = int(end), sum(label != BOUNDARY for label in labels)
        left = symbols  # symbols of the phrase behind the node
        while node:
            left -= trie.label[node] != BOUNDARY
            node = int(trie.parent[node])
            advance[node] = max(advance[node], bonus * left / symbols)
    fail = np.zeros(size, np.int32)
    for node in range(1, size):  # parents first
        state = int(trie.parent[node])
        while state:
            state = int(fail[state])
            if (found := children[state].get(int(trie.label[node]))) is not None:
                fail[node] = found
                break
        kept[node] += kept[fail[node]]
        advance[node] = max(advance[node], advance[fail[node]])
    root = np.zeros(num_labels, np.int32)
    for label, node in children[0].items():
        root[label] = node
    arrive = np.exp(kept + advance)
    reach = np.ones(size)  # the largest ``arrive`` that one symbol leads to
    np.maximum.at(reach, trie.parent[1:], arrive[1:])
    for node in range(1, size):
        reach[node] = max(reach[node], reach[fail[node]])
    most = reach * np.exp(-advance)
    if pieces:  # a piece that begins a word is two symbols
        most *= most.max()
    return Automaton(
        trie.first,
        trie.label,
        root,
        fail,
        arrive,
        np.exp(-advance),
        int(root[BOUNDARY]) if whole_words else 0,
        whole_words,
        most,
    )
