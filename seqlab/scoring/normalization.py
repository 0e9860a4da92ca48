"""Normalisation of texts before they are scored: named rules, applied to both sides and written down with the result.

    name                   what it does
    nfc, nfd, nfkc, nfkd   the Unicode form, one of them
    GLM                    a global mapping file of NIST's, see :mod:`seqlab.scoring.glm`
    lower, upper, casefold letters, one of them
    punctuation            punctuation and symbols (Unicode categories P and S) become a space; signs between two digits
                           (3.5, 10:30) and apostrophes between two letters (don't, typed ' or ’) stay, so numbers are
                           left alone: nothing is spelled out
    fillers                words of a list are left out, such as uh and um
    mapping                words are exchanged one by one as a file says, such as TIMIT's 61 phones for the 39 scored

They act in this order, whatever order they are given in; then white space is collapsed. A rate with normalisation is
another measure than one without: the rules stand in the report, and ``seqlab compare`` warns where they differ.
"""

import hashlib
import os
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from seqlab.errors import ConfigError, DataError
from seqlab.scoring.counts import is_punctuation
from seqlab.scoring.glm import Glm, read_glm, read_lines

NOTHING = "Nothing is normalised for scoring: case, punctuation and Unicode form count as they stand."
FORMS = ("nfc", "nfd", "nfkc", "nfkd")
CASES = ("lower", "upper", "casefold")
NAMES = (*FORMS, *CASES, "punctuation")


class Normalization:
    """Rules for the texts of both sides.

    Args:
        normalize: names of rules without a file, of those above; none, or one of each kind.
        fillers: words that are left out, as they stand after the rules before.
        mapping: file with the words to exchange, see :func:`read_mapping`.
        glm: global mapping file.

    Attributes:
        changes: whether there is any rule.
        rules: each rule in words, in the order in which they act; one that says so if there is none.

    Raises:
        ConfigError: a name is unknown, or two rules exclude each other.
        DataError: a file is missing or damaged.
    """

    def __init__(
        self,
        normalize: Sequence[str] = (),
        fillers: Sequence[str] = (),
        mapping: str | os.PathLike[str] | None = None,
        glm: str | os.PathLike[str] | None = None,
    ) -> None:
        if unknown := [str(name) for name in normalize if name not in NAMES]:
            raise ConfigError(f"scoring.normalize: {', '.join(unknown)} unknown; there are {', '.join(NAMES)}")
        for kind in (FORMS, CASES):
            if len(several := [name for name in kind if name in normalize]) > 1:
                raise ConfigError(f"scoring.normalize: {' and '.join(several)} exclude each other; give one")
        if wrong := [str(word) for word in fillers if len(str(word).split()) != 1]:
            raise ConfigError(f"scoring.fillers: a filler is one word, got {wrong[0]!r}")
        self._form: Any = next((name.upper() for name in FORMS if name in normalize), None)
        self._case = next((name for name in CASES if name in normalize), None)
        self._punctuation = "punctuation" in normalize
        self._fillers = {str(word): None for word in fillers}
        self._glm: Glm | None = read_glm(glm) if glm is not None else None
        self._mapping = read_mapping(mapping) if mapping is not None else {}
        rules = []
        if self._form:
            rules.append(f"Unicode form {self._form}")
        if self._glm:
            rules.append(f"global mapping file {_named(glm)}, {len(self._glm.rules)} rules")
        if self._case:
            rules.append({"lower": "lower case", "upper": "upper case", "casefold": "letters case-folded"}[self._case])
        if self._punctuation:
            rules.append(
                "punctuation and symbols (Unicode P and S) taken out, but for signs between two digits and "
                "apostrophes between two letters"
            )
        if self._fillers:
            rules.append(f"fillers left out: {' '.join(self._fillers)}")
        if mapping is not None:
            rules.append(f"words mapped by {_named(mapping)}, {len(self._mapping)} entries")
        self.rules = [f"Normalised on both sides: {rule}." for rule in rules] or [NOTHING]
        self.changes = bool(rules)

    def __call__(self, text: str) -> str:
        """Return a text with all rules applied and white space collapsed; as it is if there is no rule."""
        if not self.changes:
            return text
        if self._form:
            text = unicodedata.normalize(self._form, text)
        if self._glm:
            text = self._glm(text)
        if self._case:
            text = getattr(text, self._case)()
        if self._punctuation:
            text = without_punctuation(text)
        words: Iterable[str] = text.split()
        if self._fillers:
            words = mapped(words, self._fillers)
        if self._mapping:
            words = mapped(words, self._mapping)
        text = " ".join(words)
        return unicodedata.normalize(self._form, text) if self._form else text  # a change of case may undo the form


def without_punctuation(text: str) -> str:
    """Put a space in place of punctuation and symbols; signs between digits and apostrophes between letters stay."""
    signs = []
    for place, sign in enumerate(text):
        if is_punctuation(sign):
            before, after = text[max(place - 1, 0) : place], text[place + 1 : place + 2]
            if sign in "'’" and before.isalpha() and after.isalpha():
                sign = "'"
            elif not (before.isdecimal() and after.isdecimal()):
                sign = " "
        signs.append(sign)
    return "".join(signs)


def mapped(words: Iterable[str], mapping: Mapping[str, str | None]) -> list[str]:
    """Exchange words; those that map to None are left out, those that the mapping lacks stay."""
    return [to for word in words if (to := mapping.get(word, word)) is not None]


def read_mapping(path: str | os.PathLike[str]) -> dict[str, str | None]:
    """Read a mapping file: a word and what stands for it on each line, separated by white space.

    Of more columns the first and the last count, so the 61-48-39 tables of phones can be read as they are. A word alone
    is left out of both texts. Empty lines and lines that begin with ``;;`` or ``#`` and a space are comments.

    Raises:
        DataError: there is no such file, it is no UTF-8 text, too big or empty, or maps a word in two ways.
    """
    mapping: dict[str, str | None] = {}
    for number, line in enumerate(read_lines(path), 1):
        words = line.split()
        if not words or words[0].startswith(";;") or words[0] == "#":
            continue
        to = words[-1] if len(words) > 1 else None
        if mapping.setdefault(words[0], to) != to:
            raise DataError(f"{path}:{number}: {words[0]} is mapped in two ways; take out one of them")
    if not mapping:
        raise DataError(f"{path}: the mapping file is empty; each line is a word and what stands for it")
    return mapping


def _named(path: str | os.PathLike[str] | None) -> str:
    """Name a file by what tells it from another: its name without folders, and the beginning of its SHA-256."""
    file = Path(path or "")
    return f"{file.name} (sha256 {hashlib.sha256(file.read_bytes()).hexdigest()[:12]})"
