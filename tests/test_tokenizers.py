"""Characters: labels, normalisation, what is unknown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqlab.errors import ConfigError, DataError
from seqlab.tokenizers.characters import BLANK, Characters


def test_blank_is_zero_and_labels_follow_the_alphabet() -> None:
    tokenizer = Characters("ab ")
    assert tokenizer.symbols == [BLANK, "a", "b", " "]
    assert tokenizer.encode("ba a") == [2, 1, 3, 1]
    assert tokenizer.decode([2, 1, 3, 3, 1, 3]) == "ba a"
    assert tokenizer.space == 3


def test_unicode_forms_meet() -> None:
    composed, decomposed = "\u00e9", "e\u0301"
    assert Characters(composed).encode(decomposed) == [1]
    assert Characters("e\u0301", normalization="NFD").encode(composed) == [1, 2]
    assert Characters("A", normalization="NFKC").encode("\uff21") == [1]  # a full-width A


def test_case_and_white_space() -> None:
    assert Characters("ab ", case="lower").normalize("  A\t\nB\u00a0a ") == "ab a".replace("ab", "a b")
    assert Characters("AB ", case="upper").encode("ab") == [1, 2]


def test_unknown_characters_are_named_or_left_out() -> None:
    tokenizer = Characters("ab")
    assert tokenizer.unknown("axbyx") == ["x", "y"]
    with pytest.raises(DataError, match="'x' 'y' are not in the alphabet"):
        tokenizer.encode("axby")
    assert tokenizer.encode("axby", skip_unknown=True) == [1, 2]


def test_alphabet_from_text_is_sorted_and_taken_once() -> None:
    tokenizer = Characters()
    tokenizer.fit(["ca", "b a"])
    assert tokenizer.symbols == [BLANK, " ", "a", "b", "c"]
    tokenizer.fit(["xyz"])
    assert tokenizer.symbols == [BLANK, " ", "a", "b", "c"]
    with pytest.raises(DataError, match="text is empty"):
        Characters().fit(["", " "])


def test_bad_alphabets() -> None:
    with pytest.raises(ConfigError, match="stand twice: 'a'"):
        Characters("aba")
    with pytest.raises(ConfigError, match="not one character each: 'ab'"):
        Characters(["ab", "c"])
    with pytest.raises(ConfigError, match="is empty"):
        Characters("")


@given(st.lists(st.text(), min_size=1))
def test_text_in_the_alphabet_comes_back_normalised(texts: list[str]) -> None:
    if not any(Characters().normalize(t) for t in texts):
        return
    tokenizer = Characters()
    tokenizer.fit(texts)
    again = Characters(**tokenizer.state())  # type: ignore[arg-type]
    for text in texts:
        assert not again.unknown(text)
        assert again.decode(again.encode(text)) == again.normalize(text)
