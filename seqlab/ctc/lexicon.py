"""Words as a trie over labels, so that a search can follow many spellings at once."""

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from seqlab.errors import ConfigError, DataError

log = logging.getLogger(__name__)


class Trie(NamedTuple):
    """Label sequences that share their beginnings; node 0 is the root, children stand together in label order.

    Attributes:
        first: where the children of each node begin, (nodes + 2,); those of node n are first[n] to first[n + 1] - 1.
        label: the label that leads to each node, (nodes + 1,).
        parent: the node before each node, (nodes,); that of the root is the root.
        ends: node in which each given sequence ends, (sequences,).

    One more node stands behind the last: it has no parent and no children, a place for what has left the trie.
    """

    first: np.ndarray
    label: np.ndarray
    parent: np.ndarray
    ends: np.ndarray


def build_trie(sequences: Sequence[Sequence[int]]) -> Trie:
    """Build a trie, level by level, of label sequences that are not empty."""
    lengths = np.fromiter(map(len, sequences), np.int64, len(sequences))
    longest = int(lengths.max(initial=0))
    rows = np.full((len(sequences), longest + 1), -1, np.int32)
    rows[np.arange(longest + 1) < lengths[:, None]] = np.fromiter((x for s in sequences for x in s), np.int32)
    order = np.lexsort(rows.T[::-1])
    rows, lengths = rows[order], lengths[order]
    differs = rows[1:] != rows[:-1]
    shared = np.append(0, np.where(differs.any(1), differs.argmax(1), longest))  # columns shared with the row before
    labels, parents = [np.zeros(1, np.int32)], [np.zeros(1, np.int64)]
    node, ends, size = np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64), 1
    for depth in range(longest):
        here = np.flatnonzero(lengths > depth)
        new = shared[here] <= depth
        parents.append(node[here[new]])
        labels.append(rows[here[new], depth])
        node[here] = size - 1 + np.cumsum(new)
        size += int(new.sum())
        done = here[lengths[here] == depth + 1]
        ends[order[done]] = node[done]
    parent = np.concatenate(parents)
    children = np.bincount(parent[1:], minlength=size + 1)
    first = np.concatenate(([1], 1 + np.cumsum(children)))
    return Trie(first.astype(np.int32), np.append(np.concatenate(labels), 0).astype(np.int32), parent, ends)


def best_below(trie: Trie, scores: np.ndarray, floor: float = -np.inf) -> np.ndarray:
    """Return for every node the best score of the sequences through it, (nodes + 1,), not below the floor."""
    best = np.full(len(trie.parent) + 1, floor)
    np.maximum.at(best, trie.ends, scores)
    values, parent = best.tolist(), trie.parent.tolist()
    for node in range(len(parent) - 1, 0, -1):  # children stand behind their parents
        if values[node] > values[parent[node]]:
            values[parent[node]] = values[node]
    return np.array(values)


class Spelling(NamedTuple):
    """Words that can be spelled with the labels of a tokenizer.

    Attributes:
        words: the words.
        labels: their labels.
    """

    words: list[str]
    labels: list[list[int]]


def spell(words: Iterable[str], tokenizer: Any, source: str) -> Spelling:
    """Spell words; those with characters outside the alphabet, with spaces inside or empty ones are left out.

    Args:
        words: words.
        tokenizer: text to labels.
        source: where they come from, for messages.

    Raises:
        ConfigError: none can be spelled.
    """
    known, labels, dropped = [], [], []
    space = tokenizer.space
    for word in words:
        if word.startswith("<") and word.endswith(">"):
            continue  # <s>, </s>, <unk>
        try:
            spelled = tokenizer.encode(word)
        except DataError:
            spelled = []
        if spelled and space not in spelled:
            known.append(word)
            labels.append(spelled)
        else:
            dropped.append(word)
    some = ", ".join(map(repr, dropped[:5])) + ", ..." * (len(dropped) > 5)
    if not known:
        told = f" ({some})" if dropped else ""
        raise ConfigError(
            f"{source}: none of the words can be spelled with the tokenizer's alphabet{told}; is it for other text, or "
            "written in another case?"
        )
    if dropped:
        log.warning(
            "%s: %d of %d words cannot be spelled with the tokenizer's alphabet and are left out: %s",
            *(source, len(dropped), len(known) + len(dropped), some),
        )
    return Spelling(known, labels)


def read_words(path: str | Path) -> list[str]:
    """Read a word list, one word per line.

    Raises:
        ConfigError: the file is missing, empty or not UTF-8, or a line holds more than one word.
    """
    try:
        lines = [line.strip() for line in Path(path).read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"decoder.lexicon: cannot read {path}: {error}; give a UTF-8 file, one word per line"
        ) from None
    for number, line in enumerate(lines, 1):
        if len(line.split()) > 1:
            raise ConfigError(f"decoder.lexicon: {path} line {number}: one word per line, got {line[:40]!r}")
    words = list(dict.fromkeys(line for line in lines if line))
    if not words:
        raise ConfigError(f"decoder.lexicon: {path} holds no words")
    return words
