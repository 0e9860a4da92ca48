"""One label per symbol of a text that is a row of symbols with spaces between them: phones, notes, signs."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from seqlab.errors import ConfigError, DataError
from seqlab.scoring.normalization import mapped
from seqlab.tokenizers.characters import BLANK, Characters


class Symbols:
    """Map a text to one label per symbol, symbols being what stands between white space.

    Error rates of symbols are the word error rates of a report.

    With ``fold`` a model tells more symbols apart than are scored: labels are learnt and recognised as they are
    written, while references and what is recognised are folded before they are compared (``scored``), as TIMIT's phones
    are (61 learnt, 39 scored). Symbols side by side that fold into the same one stay two.

    Args:
        alphabet: symbols in label order, 1 first; null takes those of the training text (see ``fit``).
        fold: what symbols are scored as, null for one that is not scored; those that it lacks stay as they are.
        fold_labels: learn the folded symbols, too.
        normalization: Unicode form of texts, alphabet and fold.
        case: what happens to letters: "keep", "lower" or "upper".

    Attributes:
        symbols: text of each label, blank first.
        starts: every label but the blank begins a word.
        space: None, there is no label for it.

    Raises:
        ConfigError: the alphabet is empty, or has a symbol twice or one with white space.
    """

    space: int | None = None

    def __init__(
        self,
        alphabet: Sequence[str] | None = None,
        fold: Mapping[str, str | None] | None = None,
        fold_labels: bool = False,
        normalization: Literal["NFC", "NFD", "NFKC", "NFKD"] = "NFC",
        case: Literal["keep", "lower", "upper"] = "keep",
    ) -> None:
        self.normalization = normalization
        self.case = case
        self.fold_labels = fold_labels
        self._plain = Characters(None, normalization, case)
        given = (fold or {}).items()
        self.fold = {self._one(symbol): None if to is None else self._one(to) for symbol, to in given}
        self.symbols: list[str] = [BLANK]
        self.starts: frozenset[int] = frozenset()
        self._index: dict[str, int] = {}
        if alphabet is not None:
            self._set([self._one(symbol) for symbol in alphabet])

    def _one(self, symbol: str) -> str:
        if len(str(symbol).split()) != 1:
            raise ConfigError(f"tokenizer: a symbol has no white space and is not empty, got {symbol!r}")
        return self._plain.normalize(str(symbol))

    def _set(self, symbols: list[str]) -> None:
        if twice := sorted({s for s in symbols if symbols.count(s) > 1}):
            raise ConfigError(f"tokenizer.alphabet: symbols stand twice: {' '.join(twice)}")
        if not symbols:
            raise ConfigError("tokenizer.alphabet is empty")
        self.symbols = [BLANK, *symbols]
        self._index = {symbol: i for i, symbol in enumerate(self.symbols) if i}
        self.starts = frozenset(self._index.values())

    def fit(self, texts: Iterable[str]) -> None:
        """Take the alphabet from texts, in code-point order; does nothing when an alphabet is there already."""
        if len(self.symbols) > 1:
            return
        symbols = sorted({symbol for text in texts for symbol in self._labels(text)})
        if not symbols:
            raise DataError("the training text is empty: no alphabet can be taken from it")
        self._set(symbols)

    def _labels(self, text: str) -> list[str]:
        """Return the symbols of a text as they are learnt."""
        symbols = self._plain.normalize(text).split()
        return mapped(symbols, self.fold) if self.fold_labels else symbols

    def normalize(self, text: str) -> str:
        """Return the text in the tokenizer's Unicode form and case, white space collapsed."""
        return self._plain.normalize(text)

    def scored(self, text: str) -> str:
        """Return a normalised or recognised text as it is scored: folded."""
        return " ".join(mapped(text.split(), self.fold))

    def unknown(self, text: str) -> list[str]:
        """Return the symbols of a text that have no label."""
        return sorted({symbol for symbol in self._labels(text) if symbol not in self._index})

    def encode(self, text: str, skip_unknown: bool = False) -> list[int]:
        """Return label ids, none of them blank.

        Args:
            text: any text, not folded.
            skip_unknown: leave out symbols that have no label instead of raising.

        Raises:
            DataError: the text has symbols that are not in the alphabet.
        """
        labels = self._labels(text)
        if not skip_unknown and (unknown := self.unknown(text)):
            raise DataError(f"symbols {' '.join(map(repr, unknown))} are not in the alphabet")
        return [self._index[symbol] for symbol in labels if symbol in self._index]

    def decode(self, labels: Iterable[int]) -> str:
        """Return the text of label ids."""
        return " ".join(self.symbols[i] for i in labels)

    def state(self) -> dict[str, object]:
        """Return what rebuilds this tokenizer: keyword arguments of the constructor, plain values."""
        return {
            "alphabet": self.symbols[1:],
            "fold": dict(self.fold) or None,
            "fold_labels": self.fold_labels,
            "normalization": self.normalization,
            "case": self.case,
        }
