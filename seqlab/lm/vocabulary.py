"""The words of a model: a sorted list of text that can lie in a mapped file, so that it opens at once."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Literal, overload

import numpy as np

Unit = Literal["char", "word", "piece"]
START, END, UNKNOWN = "<s>", "</s>", "<unk>"
SPECIAL = frozenset({START, END, UNKNOWN})


class Vocabulary(Sequence[str]):
    """Words in the order of their code points; a word's id is its place.

    Args:
        text: UTF-8 of all words, one after the other.
        ends: where each word ends in it, (V,), int64.
    """

    def __init__(self, text: bytes | memoryview, ends: np.ndarray) -> None:
        self.text = text
        self.ends = ends

    @classmethod
    def of(cls, words: Iterable[str]) -> "Vocabulary":
        """Store words, which must be sorted."""
        encoded = [word.encode() for word in words]
        return cls(b"".join(encoded), np.cumsum([len(word) for word in encoded], dtype=np.int64))

    def __len__(self) -> int:
        return len(self.ends)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"word {index} of {len(self)}")
        index %= len(self)
        begin = int(self.ends[index - 1]) if index else 0
        return bytes(self.text[begin : int(self.ends[index])]).decode("utf-8", "replace")

    def find(self, word: str) -> int:
        """Return the id of a word, or -1; reads some twenty words, and builds nothing."""
        place = bisect_left(self, word)
        return place if place < len(self) and self[place] == word else -1
