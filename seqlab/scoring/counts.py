"""Edit counts of one line, of words and of characters, and its alignment."""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from rapidfuzz.distance import Editop, Editops, Levenshtein

Operation = Literal["hit", "sub", "del", "ins"]
Aligned = tuple[Operation, str | None, str | None]

_REMEMBERED = 4096
_OPERATIONS: dict[str, Operation] = {"replace": "sub", "delete": "del", "insert": "ins"}


@dataclass(frozen=True, slots=True)
class Counts:
    """Edit counts of one line or of a sum of lines; add them with ``+``."""

    hits: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0

    @property
    def reference(self) -> int:
        """Symbols in the reference."""
        return self.hits + self.substitutions + self.deletions

    @property
    def errors(self) -> int:
        """Substitutions, deletions and insertions together."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        """Errors per reference symbol; the number of insertions if the reference is empty."""
        return self.errors / max(self.reference, 1)

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.hits + other.hits,
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
        )


def add(counts: Iterable[Counts]) -> Counts:
    """Sum counts; no counts give zeros."""
    return sum(counts, Counts())


def find_errors(reference: Sequence[str], hypothesis: Sequence[str]) -> Editops:
    """Align two lists of tokens, or two strings: the errors in order, with their tags and positions in both."""
    if reference == hypothesis:
        return Editops([], len(reference), len(hypothesis))
    if not (isinstance(reference, str) and isinstance(hypothesis, str)):
        # rapidfuzz compares hashes; numbers make the comparison exact
        numbers: dict[str, int] = {}
        return Levenshtein.editops(
            [numbers.setdefault(token, len(numbers)) for token in reference],
            [numbers.setdefault(token, len(numbers)) for token in hypothesis],
        )
    return Levenshtein.editops(reference, hypothesis)


def count(reference: Sequence[str], hypothesis: Sequence[str]) -> Counts:
    """Count the errors between two lists of tokens, or two strings character by character."""
    return counted(find_errors(reference, hypothesis), len(reference))


def counted(errors: Editops, length: int) -> Counts:
    """Count the errors of an alignment with a reference of so many tokens."""
    substitutions = deletions = 0
    grown = errors.dest_len - errors.src_len
    if len(errors) == abs(grown):  # nothing but insertions or nothing but deletions
        deletions = max(-grown, 0)
    else:
        tags = [error.tag for error in errors]
        substitutions, deletions = tags.count("replace"), tags.count("delete")
    return Counts(length - substitutions - deletions, substitutions, deletions, len(errors) - substitutions - deletions)


def word_counts(reference: str, hypothesis: str) -> Counts:
    """Count word errors; words are what stands between white space."""
    return count(reference.split(), hypothesis.split())


class _Isolated(dict[int, str]):
    """What each code point becomes, found out when it is first met."""

    def __missing__(self, code: int) -> str:
        sign = chr(code)
        isolated = f" {sign} " if is_punctuation(sign) else sign
        if len(self) < _REMEMBERED:
            self[code] = isolated
        return isolated


_ISOLATED = _Isolated()


def isolate_punctuation(text: str) -> str:
    """Put a space on either side of each punctuation character and symbol: Unicode categories P and S."""
    return text.translate(_ISOLATED)


def is_punctuation(sign: str) -> bool:
    """Tell whether a character is punctuation or a symbol: Unicode categories P and S."""
    return unicodedata.category(sign)[0] in "PS"


def char_counts(reference: str, hypothesis: str, spaces: bool = True) -> Counts:
    """Count character errors, code point by code point.

    Args:
        reference: what was said or written.
        hypothesis: what was recognised.
        spaces: whether white space inside the line counts; at its ends it never does.
    """
    if not spaces:
        return count("".join(reference.split()), "".join(hypothesis.split()))
    return count(reference.strip(), hypothesis.strip())


def edits(
    reference_tokens: Sequence[str], hypothesis_tokens: Sequence[str], errors: Editops | None = None
) -> list[Aligned]:
    """Return the errors of an alignment in order, without the hits; see :func:`align`."""
    found = find_errors(reference_tokens, hypothesis_tokens) if errors is None else errors
    return [_aligned(error, reference_tokens, hypothesis_tokens) for error in found]


def align(
    reference_tokens: Sequence[str], hypothesis_tokens: Sequence[str], errors: Editops | None = None
) -> list[Aligned]:
    """Align two lists of words, or two strings character by character, with the fewest errors.

    Args:
        reference_tokens: what was said or written.
        hypothesis_tokens: what was recognised.
        errors: those of the same tokens, if they are known (:func:`find_errors`, ``LineScore.word_errors``): the
            alignment is not computed again then.

    Returns:
        (operation, reference token, hypothesis token) in order; the reference token of an "ins" and the hypothesis
        token of a "del" are None. Counting the operations gives the counts of :func:`word_counts`.
    """
    aligned: list[Aligned] = []
    position = 0  # in the reference, of the next token not aligned yet
    for error in find_errors(reference_tokens, hypothesis_tokens) if errors is None else errors:
        aligned.extend(("hit", token, token) for token in reference_tokens[position : error.src_pos])
        aligned.append(_aligned(error, reference_tokens, hypothesis_tokens))
        position = error.src_pos + (error.tag != "insert")
    aligned.extend(("hit", token, token) for token in reference_tokens[position:])
    return aligned


def _aligned(error: Editop, reference: Sequence[str], hypothesis: Sequence[str]) -> Aligned:
    return (
        _OPERATIONS[error.tag],
        None if error.tag == "insert" else reference[error.src_pos],
        None if error.tag == "delete" else hypothesis[error.dest_pos],
    )
