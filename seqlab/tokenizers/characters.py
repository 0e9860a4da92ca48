"""One label per character."""

import unicodedata
from collections.abc import Iterable, Sequence
from typing import Literal

from seqlab.errors import ConfigError, DataError

BLANK = "<blk>"


class Characters:
    """Map text to one label per character, after a recorded Unicode normalisation.

    Runs of white space become one space, and text is stripped: spaces separate words and nothing else.

    Args:
        alphabet: characters in label order, 1 first; null takes those of the training text (see ``fit``).
        normalization: Unicode form of text and alphabet.
        case: what happens to letters: "keep", "lower" or "upper".

    Attributes:
        symbols: text of each label, blank first.
        starts: labels that begin a word without a space before them; no character does, see SentencePieces.
    """

    starts: frozenset[int] = frozenset()

    def __init__(
        self,
        alphabet: str | Sequence[str] | None = None,
        normalization: Literal["NFC", "NFD", "NFKC", "NFKD"] = "NFC",
        case: Literal["keep", "lower", "upper"] = "keep",
    ) -> None:
        self.normalization = normalization
        self.case = case
        self.symbols: list[str] = [BLANK]
        self._index: dict[str, int] = {}
        if alphabet is not None:
            given = [alphabet] if isinstance(alphabet, str) else list(alphabet)
            given = [unicodedata.normalize(normalization, part) for part in given]
            if not isinstance(alphabet, str) and (long := [c for c in given if len(c) != 1]):
                raise ConfigError(f"tokenizer.alphabet: not one character each: {' '.join(map(repr, long))}")
            self._set(list("".join(given)))

    def _set(self, characters: list[str]) -> None:
        if len(set(characters)) != len(characters):
            twice = sorted({c for c in characters if characters.count(c) > 1})
            raise ConfigError(f"tokenizer.alphabet: characters stand twice: {' '.join(map(repr, twice))}")
        if not characters:
            raise ConfigError("tokenizer.alphabet is empty")
        self.symbols = [BLANK, *characters]
        self._index = {c: i for i, c in enumerate(self.symbols) if i}

    def fit(self, texts: Iterable[str]) -> None:
        """Take the alphabet from texts, in code-point order; does nothing when an alphabet is there already."""
        if len(self.symbols) > 1:
            return
        characters = sorted({c for text in texts for c in self.normalize(text)})
        if not characters:
            raise DataError("the training text is empty: no alphabet can be taken from it")
        self._set(characters)

    def normalize(self, text: str) -> str:
        """Return the text in the tokenizer's Unicode form and case, white space collapsed."""
        text = unicodedata.normalize(self.normalization, " ".join(text.split()))
        if self.case == "lower":
            text = text.lower()
        elif self.case == "upper":
            text = text.upper()
        return text

    def scored(self, text: str) -> str:
        """Return a normalised or recognised text as it is scored: as it is."""
        return text

    def unknown(self, text: str) -> list[str]:
        """Return the characters of a text, normalised, that have no label."""
        return sorted({c for c in self.normalize(text) if c not in self._index})

    def encode(self, text: str, skip_unknown: bool = False) -> list[int]:
        """Return label ids, none of them blank.

        Args:
            text: any text; it is normalised first.
            skip_unknown: leave out characters that have no label instead of raising.

        Raises:
            DataError: the text has characters that are not in the alphabet.
        """
        text = self.normalize(text)
        if not skip_unknown and (unknown := self.unknown(text)):
            raise DataError(f"characters {' '.join(map(repr, unknown))} are not in the alphabet")
        return [self._index[c] for c in text if c in self._index]

    def decode(self, labels: Iterable[int]) -> str:
        """Return the text of label ids; runs of spaces become one."""
        return " ".join("".join(self.symbols[i] for i in labels).split())

    @property
    def space(self) -> int | None:
        """Label of the space, which separates words, or None."""
        return self._index.get(" ")

    def state(self) -> dict[str, object]:
        """Return what rebuilds this tokenizer: keyword arguments of the constructor, plain values."""
        return {"alphabet": self.symbols[1:], "normalization": self.normalization, "case": self.case}
