"""Reference totals: the fingerprint that tells whether two error rates were counted on the same references.

The same handwriting is transcribed in several conventions that differ by spaces around punctuation alone. They move
the error rates of one and the same output by up to 3 points of CER and 31 of WER, and the totals tell them apart.
"""

from typing import NamedTuple


class Totals(NamedTuple):
    """Lines, characters (white space inside lines included) and words (between white space) of the references."""

    lines: int
    characters: int
    words: int

    def __str__(self) -> str:
        return f"{self.lines:,} lines, {self.characters:,} characters, {self.words:,} words"


KNOWN = {
    Totals(2915, 125_616, 25_932): "IAM, Aachen test, convention A (every word and mark between spaces)",
    Totals(2915, 125_494, 25_810): "IAM, Aachen test, convention B (as A, with 's 'd 'll ... glued to their words)",
    Totals(2915, 123_090, 23_406): "IAM, Aachen test, convention C (. , ; : mostly glued; from the A2iA XML)",
    Totals(2915, 121_897, 22_219): "IAM, Aachen test, convention D (natural text; from the FKI XML)",
}


def described(totals: Totals) -> str:
    """Return totals in words, with the name of the set and convention if they are known."""
    return f"{totals} = {KNOWN[totals]}" if totals in KNOWN else str(totals)
