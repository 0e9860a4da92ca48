"""Lookup against a dictionary that backs off by the book; states; the binary form."""

import json
import math
import random
from pathlib import Path

import numpy as np
import pytest

from seqlab.errors import ConfigError, DataError
from seqlab.lm.ngram import NGram, advance
from tests.lm.models import SMALL, by_the_book, random_arpa


@pytest.fixture
def small(tmp_path: Path) -> NGram:
    (tmp_path / "small.arpa").write_text(SMALL)
    return NGram.load(tmp_path / "small.arpa")


def test_hand_worked_line(small: NGram) -> None:
    # p(a | <s>) stands there: -0.2. p(b | <s> a) stands there: -0.1. p(</s> | a b) stands there: -0.15
    assert small.score(["a", "b"]) / math.log(10) == pytest.approx([-0.2, -0.1, -0.15], abs=1e-6)
    # p(b | <s>) = -0.3 - 0.7. Then "x" is <unk>: backoff of b, -0.1, and -2. After <unk> nothing: p(a) = -0.5.
    # p(</s> | a) = backoff of a, -0.2, and -1
    assert small.score(["b", "x", "a"]) / math.log(10) == pytest.approx([-1.0, -2.1, -0.5, -1.2], abs=1e-6)
    assert small.score([]) / math.log(10) == pytest.approx([-1.3], abs=1e-6)


def test_attributes(small: NGram) -> None:
    assert small.order == 3
    assert small.counts == (5, 4, 2)
    assert list(small.words) == sorted(["<s>", "</s>", "<unk>", "a", "b"])
    assert small.words[-1] == "b"
    assert small.words[1:3] == ["<s>", "<unk>"]
    assert (small.words[small.end], small.words[small.unknown]) == ("</s>", "<unk>")
    assert small.find("a") == small.index["a"] == 3
    assert small.find("zebra") == small.unknown
    with pytest.raises(IndexError):
        small.words[5]


def test_the_text_of_specials_is_unknown(small: NGram) -> None:
    assert small.ids(["<s>", "a", "</s>", "<unk>"]) == [small.unknown, 3, small.unknown, small.unknown]


def test_histories_that_nothing_tells_apart_share_a_state(small: NGram) -> None:
    def state(*history: str) -> int:
        at = 0
        for word in history:
            at, _ = advance(small.tables, at, small.find(word))
        return at

    assert state("b", "a") == state("x", "a") == state("a")  # "b a" has neither children nor a weight
    assert state("a", "b") != state("b")  # "a b </s>" stands there
    assert state("x") == 0


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("form", ["arpa", "arpa.gz", "ngram"])
def test_lookup_is_by_the_book(seed: int, form: str, tmp_path: Path) -> None:
    text, grams = random_arpa(seed, words=30, sizes=(150, 400, 300))  # some nodes have many children, some none
    (tmp_path / "first.arpa").write_text(text)
    model = NGram.load(tmp_path / "first.arpa", "word")
    model.save(tmp_path / f"again.{form}")
    model = NGram.load(tmp_path / f"again.{form}", "word")
    rng = random.Random(seed)
    words = [w for w in model.words if w not in ("<s>", "</s>", "<unk>")]
    for _ in range(20):
        line = rng.choices([*words, "strange"], k=12)
        found = model.score(line) / math.log(10)
        assert found == pytest.approx(by_the_book(grams, line, order=4), abs=2e-5)


def test_binary_form_keeps_everything(small: NGram, tmp_path: Path) -> None:
    small.save(tmp_path / "m.ngram")
    again = NGram.load(tmp_path / "m.ngram")
    assert (again.unit, again.counts, again.start) == (small.unit, small.counts, small.start)
    assert list(again.words) == list(small.words)
    for ours, theirs in zip(again.tables, small.tables, strict=True):
        assert np.array_equal(ours, theirs)
    with pytest.raises(ConfigError, match="model of chars, unit word"):
        NGram.load(tmp_path / "m.ngram", "word")
    with pytest.raises(ConfigError, match="char, word, piece"):
        NGram.load(tmp_path / "m.ngram", "letter")  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError):
        NGram.load(tmp_path / "none.ngram")


def test_cut_and_foreign_binaries_are_refused(small: NGram, tmp_path: Path) -> None:
    path = tmp_path / "m.ngram"
    small.save(path)
    whole = path.read_bytes()
    for size in (14, 16, 20, 60, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(DataError, match=r"damaged|another version"):
            NGram.load(path)
    path.write_bytes(whole.replace(b"n-gram 1\n", b"n-gram 7\n"))
    with pytest.raises(DataError, match="another version of seqlab"):
        NGram.load(path)


@pytest.mark.parametrize(
    "change",
    [
        {"counts": [2**40]},
        {"counts": []},
        {"counts": [-5, 4, 2]},
        {"counts": [5.0, 4, 2]},
        {"counts": [0]},
        {"unknown": 5},
        {"unknown": True},
        {"unit": "os.system"},
        {"slots": 3},
        {"text": -1},
        {"text": 2**62},
        {"unit": None},
    ],
)
def test_false_headers_are_refused(change: dict[str, object], small: NGram, tmp_path: Path) -> None:
    path = tmp_path / "m.ngram"
    small.save(path)
    whole = path.read_bytes()
    size = int.from_bytes(whole[16:20], "little")
    told = json.dumps(json.loads(whole[20 : 20 + size]) | change).encode()
    path.write_bytes(whole[:16] + len(told).to_bytes(4, "little") + told + whole[20 + size :])
    with pytest.raises(DataError, match="damaged"):
        NGram.load(path)


def test_damaged_arrays_give_wrong_numbers_at_worst(tmp_path: Path) -> None:
    (tmp_path / "first.arpa").write_text(random_arpa(0, words=40, sizes=(300, 400))[0])
    model = NGram.load(tmp_path / "first.arpa", "word")
    path = tmp_path / "m.ngram"
    model.save(path)
    whole = bytearray(path.read_bytes())
    header = 20 + int.from_bytes(whole[16:20], "little")
    rng = random.Random(0)
    ids = np.array(rng.choices(range(-2, len(model.words) + 2), k=500))
    for trial in range(200):
        damaged = bytearray(whole)
        if trial < 20:  # everything
            damaged[header:] = rng.randbytes(len(whole) - header)
        for _ in range(50):
            damaged[rng.randrange(header, len(whole))] = rng.choice((0, 1, 127, 128, 255))
        path.write_bytes(damaged)
        try:
            hurt = NGram.load(path)
        except DataError:
            continue
        assert hurt.score_ids(ids).shape == (500,)
        assert isinstance(list(hurt.words), list)


def test_states_and_words_out_of_range_are_safe(small: NGram) -> None:
    for state in (-(2**40), -1, 10**9):
        for word in (-(2**40), -1, 5, 10**12):
            assert advance(small.tables, state, word) == advance(small.tables, 0, small.unknown)
