"""Named rules that turn a published transcript into the text of a manifest.

    keep    as published
    lower   in lower case
    upper   in upper case
    plain   in lower case, words and apostrophes alone: ’ becomes ', dashes and slashes become spaces, every other
            punctuation character and symbol (Unicode categories P and S) goes, and so do apostrophes outside of words

All bring the text into Unicode NFC and make one space of white space, line breaks included.
"""

import unicodedata
from typing import Literal, get_args

from seqlab.errors import UserError

TextRule = Literal["keep", "lower", "upper", "plain"]

_APOSTROPHES = dict.fromkeys(map(ord, "’‘ʼ`´＇"), "'")


def apply_rule(rule: TextRule, text: str) -> str:
    """Return a text by one of the rules.

    Raises:
        UserError: there is no such rule.
    """
    if rule not in get_args(TextRule):
        raise UserError(f"text must be one of {', '.join(get_args(TextRule))}, got {rule!r}")
    text = unicodedata.normalize("NFC", text)
    if rule == "upper":
        text = text.upper()
    elif rule != "keep":
        text = text.lower()
    if rule == "plain":
        text = "".join(map(_plain, text.translate(_APOSTROPHES)))
        text = " ".join(word.strip("'") for word in text.split())
    return " ".join(unicodedata.normalize("NFC", text).split())


def _plain(character: str) -> str:
    category = unicodedata.category(character)
    if character == "'" or category[0] not in "PS":
        return character
    return " " if category == "Pd" or character in "/\\_|" else ""
