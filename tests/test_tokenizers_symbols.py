import pytest

from seqlab.errors import ConfigError, DataError
from seqlab.tokenizers.symbols import Symbols


def fitted(**options: object) -> Symbols:
    tokenizer = Symbols(**options)  # type: ignore[arg-type]
    tokenizer.fit(["sh iy", "h# ax  q\tsh"])
    return tokenizer


def test_symbols_become_labels_and_back() -> None:
    tokenizer = fitted()
    assert tokenizer.symbols == ["<blk>", "ax", "h#", "iy", "q", "sh"]
    assert tokenizer.encode(" h# sh\n iy ") == [2, 5, 3]
    assert tokenizer.decode([2, 5, 3]) == "h# sh iy"
    assert (tokenizer.space, tokenizer.starts) == (None, {1, 2, 3, 4, 5})
    assert tokenizer.decode([]) == ""


def test_folding_concerns_what_is_scored_not_what_is_learnt() -> None:
    tokenizer = fitted(fold={"ax": "ah", "h#": "sil", "q": None})
    assert tokenizer.symbols == ["<blk>", "ax", "h#", "iy", "q", "sh"]
    assert tokenizer.encode("h# q ax") == [2, 4, 1]
    assert tokenizer.normalize(" h#  q ax") == "h# q ax"
    assert tokenizer.decode([2, 4, 1, 2, 2]) == "h# q ax h# h#"
    assert tokenizer.scored("h# q ax h# h# new") == "sil ah sil sil new"


def test_folded_labels() -> None:
    tokenizer = fitted(fold={"ax": "ah", "q": None}, fold_labels=True)
    assert tokenizer.symbols == ["<blk>", "ah", "h#", "iy", "sh"]
    assert tokenizer.encode("h# q ax") == [2, 1]
    assert tokenizer.decode([2, 1]) == "h# ah"


def test_unknown_symbols() -> None:
    tokenizer = fitted()
    assert tokenizer.unknown("sh zz iy aa") == ["aa", "zz"]
    assert tokenizer.encode("sh zz", skip_unknown=True) == [5]
    with pytest.raises(DataError, match="'zz' are not in the alphabet"):
        tokenizer.encode("sh zz")


def test_state_rebuilds_it() -> None:
    tokenizer = fitted(fold={"ax": "ah", "q": None}, case="upper")
    again = Symbols(**tokenizer.state())  # type: ignore[arg-type]
    assert again.symbols == tokenizer.symbols == ["<blk>", "AX", "H#", "IY", "Q", "SH"]
    assert again.scored("AX Q SH") == tokenizer.scored("AX Q SH") == "AH SH"
    assert again.state() == tokenizer.state()
    again.fit(["zz"])
    assert "ZZ" not in again.symbols


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"alphabet": []}, "is empty"),
        ({"alphabet": ["a", "b", "a"]}, "stand twice: a"),
        ({"alphabet": ["a b"]}, "no white space"),
        ({"fold": {"a": "b c"}}, "no white space"),
    ],
)
def test_faults(options: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        Symbols(**options)  # type: ignore[arg-type]


def test_empty_training_text() -> None:
    with pytest.raises(DataError, match="training text is empty"):
        Symbols().fit([" "])
