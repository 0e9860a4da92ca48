"""Phrases to listen for, as one automaton (Aho and Corasick 1975): its cost does not grow with their number."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from seqlab.ctc.lexicon import build_trie
from seqlab.errors import ConfigError, DataError

BOUNDARY = 0  # the blank's label is no symbol of a text: in the automaton it is the edge of a word
LARGEST_WEIGHT = 100.0
LARGEST_BONUS = 300.0  # natural log; exp() of it and its square stay finite
LARGEST_TABLE = 4_000_000
SHOWN = 20  # faults


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
        hear: next state by label, (states, V); (0, 0) beyond 4 million values, 16 MB.
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
    hear: np.ndarray


def build_automaton(
    phrases: str | Mapping[str, float] | Sequence[str],
    weight: float,
    whole_words: bool,
    tokenizer: Any,
    boundary: np.ndarray,
) -> Automaton:
    """Build the automaton of a list of phrases; without phrases, one that costs nothing.

    Args:
        phrases: phrases, or weights by phrase, or a file of them (see ``read_phrases``); the bonus is natural-log, per
            symbol (edges not counted).
        weight: multiplies the weights, or is the weight of every phrase of a list.
        whole_words: a phrase must begin and end with a word.
        tokenizer: text to labels.
        boundary: labels that begin a new word, (V,): the space, or the pieces that do.

    Raises:
        ConfigError: a phrase has characters that have no label, or is empty; a weight is none or out of its range; or
            a file cannot be read.
    """
    whole_words = whole_words and bool(boundary.any())
    sequences, bonuses, faults = [], [], []
    seen: dict[str, float] = {}
    for where, phrase, given in _entries(phrases):
        if not isinstance(phrase, str):
            faults.append(f"{where}: {phrase!r} is no text; put it in quotes")
            continue
        try:
            factor, labels = _weight(given), tokenizer.encode(phrase)
        except (ConfigError, DataError) as error:
            faults.append(f"{where}: {phrase!r}: {error}")
            continue
        if not labels:
            faults.append(f"{where}: {phrase!r} is empty")
            continue
        if phrase in seen:
            if seen[phrase] != factor:
                faults.append(f"{where}: {phrase!r} has the weight {factor:g} here and {seen[phrase]:g} before")
            continue
        seen[phrase] = factor
        sequences.append(edges(labels, boundary, tokenizer.space) if whole_words else labels)
        bonuses.append(weight * factor * len(labels))
    if faults:
        more = [f"... and {len(faults) - SHOWN} more"] if len(faults) > SHOWN else []
        raise ConfigError("\n".join(faults[:SHOWN] + more))
    pieces = whole_words and bool(boundary.sum() > (tokenizer.space is not None))
    return _automaton(sequences, np.array(bonuses), len(boundary), whole_words, pieces)


def read_phrases(path: str | Path) -> list[tuple[int, str, str]]:
    """Read a UTF-8 text file of phrases, one per line, optionally with a tab and a weight; empty lines are skipped.

    Returns:
        Number of the line, phrase and weight as it is written, "1" where there is none.

    Raises:
        ConfigError: the file cannot be read, is not UTF-8 or holds no phrases.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").split("\n")
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"decoder.hotwords: cannot read {path}: {error}; give a UTF-8 file, one phrase per line, "
            "or a list: [one, two]"
        ) from None
    rows = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            phrase, tab, weight = line.partition("\t")
            rows.append((number, phrase.strip(), weight.strip() if tab else "1"))
    if not rows:
        raise ConfigError(f"decoder.hotwords: {path} holds no phrases")
    return rows


def _entries(phrases: str | Mapping[str, float] | Sequence[str]) -> Iterator[tuple[str, Any, Any]]:
    """Yield where each phrase stands, the phrase, and its weight, neither checked."""
    key = "decoder.hotwords"
    if isinstance(phrases, str):
        for number, phrase, weight in read_phrases(phrases):
            try:
                yield f"{key}: {phrases}:{number}", phrase, float(weight)
            except ValueError:
                yield f"{key}: {phrases}:{number}", phrase, weight
    elif isinstance(phrases, Mapping):
        for phrase, factor in phrases.items():
            yield key, phrase, factor
    else:
        for phrase in phrases:
            yield key, phrase, 1.0


def _weight(given: Any) -> float:
    """Return a phrase's weight, checked."""
    number = isinstance(given, int | float) and not isinstance(given, bool)
    if not number or not math.isfinite(given) or abs(given) > LARGEST_WEIGHT:
        limit = f"{LARGEST_WEIGHT:g}"
        raise ConfigError(f"the weight must be a number from -{limit} to {limit}, got {given!r}")
    return float(given)


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
    if (largest := float(np.abs(kept + advance).max())) > LARGEST_BONUS:
        raise ConfigError(
            f"decoder.hotwords: a phrase and those that end in it get {largest:g} (natural log) together, more than "
            f"{LARGEST_BONUS:g}; lower decoder.hotword_weight or the weights"
        )
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
        _next_states(children, fail, root),
    )


def _next_states(children: list[dict[int, int]], fail: np.ndarray, root: np.ndarray) -> np.ndarray:
    """Return the state after each label from each state; nothing if that is too large."""
    if len(children) * len(root) > LARGEST_TABLE:
        return np.zeros((0, 0), np.int32)
    states = np.empty((len(children), len(root)), np.int32)
    states[0] = root
    for node in range(1, len(children)):  # a state's fail stands before it, nearer to the root
        states[node] = states[fail[node]]
        for label, child in children[node].items():
            states[node, label] = child
    return states
