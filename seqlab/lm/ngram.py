"""An n-gram language model: open, look up, score, save.

model = NGram.load("news.ngram")            # or an ARPA file, plain or .gz; told apart by content
model.score("the cat sat".split())          # natural log of each word's probability, </s> last
state, log_prob = advance(model.tables, model.start, model.find("the"))
"""

import functools
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import get_args

import numpy as np
from numba import njit

from seqlab.errors import ConfigError
from seqlab.lm.tables import Grams, Tables, advance, build_tables
from seqlab.lm.vocabulary import END, START, UNKNOWN, Unit, Vocabulary

__all__ = ["Grams", "NGram", "Tables", "Unit", "advance"]

UNITS: tuple[Unit, ...] = get_args(Unit)
LOG_10 = 2.302585092994046
UNKNOWN_LOG_PROB = -100 * LOG_10  # of <unk> in a model that has none, as in KenLM


class NGram:
    """A backoff model over units of text.

    A model without ``<unk>`` gets one with probability 1e-100, so that every unit has a word id.

    Args:
        words: word id -> text; in a model of characters the space is " ".
        tables: the automaton.
        counts: how many n-grams there are of order 1, 2, ...
        unit: what a word of the model is.

    Attributes:
        order: length of the longest n-grams.
        start: the state at the begin of a line: after <s>, or 0 in a model without it.
        end: id of </s>, or -1.
        unknown: id of <unk>.
    """

    def __init__(self, words: Vocabulary, tables: Tables, counts: Sequence[int], unit: Unit) -> None:
        self.words = words
        self.tables = tables
        self.counts = tuple(counts)
        self.unit = unit
        self.order = len(self.counts)
        self.end = words.find(END)
        self.unknown = tables.unknown
        begin = words.find(START)
        self.start = int(advance(tables, 0, begin)[0]) if begin >= 0 else 0
        self._marks = {begin, self.end}

    @classmethod
    def build(
        cls, words: Sequence[str], levels: Sequence[Grams], unit: Unit, unknown_log_prob: float = UNKNOWN_LOG_PROB
    ) -> "NGram":
        """Build a model from its n-grams.

        Args:
            words: all words, each once; one without <unk> gets it.
            levels: n-grams of order 1, 2, ... as row numbers of ``words``; those of order 1 are all words in order.
            unit: what a word is.
            unknown_log_prob: of <unk> where it is added, natural log.

        Raises:
            TwiceError: an n-gram stands twice.
        """
        levels = list(levels)
        if UNKNOWN not in words:
            words = [*words, UNKNOWN]
            one = levels[0]
            levels[0] = Grams(
                np.append(one.ids, np.array([[len(one.ids)]], np.int32), 0),
                np.append(one.log_prob, np.float32(unknown_log_prob)),
                np.append(one.backoff, np.float32(0)),
            )
        rank = sorted(range(len(words)), key=words.__getitem__)
        new = np.empty(len(words), np.int32)
        new[rank] = np.arange(len(words), dtype=np.int32)
        levels = [Grams(new[grams.ids], grams.log_prob, grams.backoff) for grams in levels]
        levels[0] = Grams(*(array[rank] for array in levels[0]))
        vocabulary = Vocabulary.of(words[i] for i in rank)
        tables, counts = build_tables(levels, vocabulary.find(UNKNOWN))
        return cls(vocabulary, tables, counts, unit)

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], unit: Unit | None = None, report: Callable[[int], None] | None = None
    ) -> "NGram":
        """Open a model: seqlab's binary form, which is mapped and not read, or ARPA, plain or gzipped.

        Nothing in the file is executed.

        Args:
            path: the file.
            unit: what a word of the model is, where the file does not say (ARPA); None guesses from the words: all of
                them single characters: "char"; some with "▁": "piece"; else "word".
            report: called with the bytes of an ARPA file read so far.

        Raises:
            FileNotFoundError: there is no such file.
            DataError: the file is damaged, or of another form.
            ConfigError: the unit is none, or another than the file's.
        """
        from seqlab.lm import arpa, binary

        if unit is not None and unit not in UNITS:
            raise ConfigError(f"unit must be one of {', '.join(UNITS)}, got {unit!r}")
        path = Path(path)
        if not binary.is_binary(path):
            return arpa.read(path, unit, report)
        model = binary.read(path)
        if unit is not None and unit != model.unit:
            raise ConfigError(f"{path} is a model of {model.unit}s, unit {unit} was asked for")
        return model

    def save(self, path: str | os.PathLike[str], report: Callable[[int], None] | None = None) -> None:
        """Write the model: ARPA if the name ends in .arpa or .arpa.gz, else the binary form (by custom, .ngram).

        Args:
            path: the file; it is written whole or not at all.
            report: called with the n-grams of an ARPA file written so far.

        Raises:
            OSError: the file could not be written.
        """
        from seqlab.lm import arpa, binary

        if str(path).endswith((".arpa", ".arpa.gz")):
            arpa.write(self, path, report)
        else:
            binary.write(self, path)

    @functools.cached_property
    def index(self) -> dict[str, int]:
        """Text -> word id, for much text; built when first asked for."""
        return {word: i for i, word in enumerate(self.words)}

    def find(self, word: str) -> int:
        """Return the id of a word, or that of <unk>."""
        found = self.words.find(word)
        return self.unknown if found < 0 else found

    def ids(self, units: Iterable[str]) -> list[int]:
        """Return word ids; <unk> for what is not in the vocabulary, and for the text of the specials."""
        find, unknown = self.index.get, self.unknown
        ids = [find(unit, unknown) for unit in units]
        if self._marks.isdisjoint(ids):
            return ids
        return [unknown if i in self._marks else i for i in ids]

    def line_ids(self, units: Iterable[str]) -> np.ndarray:
        """Return the word ids of a whole line, (L,), int64: those of its units, and </s> if the model has it."""
        ids = self.ids(units)
        return np.array(ids if self.end < 0 else [*ids, self.end], np.int64)

    def score(self, units: Iterable[str]) -> np.ndarray:
        """Return the natural log of each unit's probability in a line, that of </s> last if the model has it.

        Args:
            units: the line cut into units.
        """
        return self.score_ids(self.line_ids(units))

    def score_ids(self, ids: np.ndarray) -> np.ndarray:
        """Return the natural log of each word's probability, (L,), float64; each </s> begins a new line.

        Args:
            ids: word ids, (L,), int64.
        """
        return _score(self.tables, self.start, self.end, ids)


@njit(cache=True, nogil=True)
def _score(tables: Tables, start: int, end: int, ids: np.ndarray) -> np.ndarray:
    log_probs = np.empty(ids.size)
    state = start
    for i in range(ids.size):
        state, log_probs[i] = advance(tables, state, ids[i])
        if ids[i] == end:
            state = start
    return log_probs
