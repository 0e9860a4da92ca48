"""The ARPA reader: what KenLM takes is taken, what is wrong is named with its line."""

import gzip
import math
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seqlab.errors import DataError
from seqlab.lm import arpa
from seqlab.lm.ngram import UNKNOWN_LOG_PROB, NGram
from tests.lm.models import SMALL


def load(path: Path, text: str | bytes) -> NGram:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return NGram.load(path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.arpa"


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.replace("\t", " "),
        lambda t: t.replace(" ", "\t").replace("ngram\t", "ngram "),
        lambda t: t.replace("\n", "\r\n"),
        lambda t: t.replace("\n", "\n\n"),
        lambda t: t.replace("\n", " \t\n"),
        lambda t: t.replace("\t", " \t "),
        lambda t: t.rstrip("\n"),
        lambda t: "\ufeff" + t.lstrip("\n"),
        lambda t: "made by hand\n" + t,
        lambda t: t.replace("-99\t<s>", "-inf\t<s>"),
        lambda t: t.replace("-99\t<s>", "0\t<s>"),
        lambda t: (
            t.replace("-0.7", "-7e-1").replace("-0.5\t", "-50.0E-02\t").replace("-2\t", "-0002.000000000000000000\t")
        ),
        lambda t: t.replace("<s> a b", "<s> a b\t0").replace("a b </s>", "a b </s>\t-0.7"),  # without effect
        lambda t: t.replace("<unk>", "<UNK>"),
        lambda t: t.replace("ngram 3=2", "ngram 3=2\nngram 4=0").replace("\\end\\", "\\4-grams:\n\n\\end\\"),
        lambda t: t + "\nwhat comes after the end\n",
    ],
)
def test_oddities_change_nothing(change: object, path: Path) -> None:
    lines = (["a", "b"], ["b", "x", "a"], ["a", "b", "a"], [])
    plain = load(path, SMALL)
    odd = load(path, change(SMALL))  # type: ignore[operator]
    assert odd.counts == plain.counts
    for line in lines:
        assert odd.score(line) == pytest.approx(plain.score(line), rel=1e-6)


def test_gzip_is_known_by_content_and_blocks_do_not_matter(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = load(path, SMALL)
    monkeypatch.setattr(arpa, "BLOCK", 40)
    for data in (SMALL.encode(), gzip.compress(SMALL.encode())):
        assert load(path, data).score("ab").tolist() == plain.score("ab").tolist()


def test_missing_unknown_gets_a_tiny_probability(path: Path) -> None:
    model = load(path, SMALL.replace("-2\t<unk>\n", "").replace("ngram 1=5", "ngram 1=4"))
    assert model.counts == (5, 4, 2)
    assert model.words[model.unknown] == "<unk>"
    assert model.score("x")[0] == pytest.approx(UNKNOWN_LOG_PROB - 0.3 * math.log(10), rel=1e-6)


def test_a_model_without_sentence_marks(path: Path) -> None:
    model = load(path, "\\data\\\nngram 1=2\n\n\\1-grams:\n-0.5\ta\n-0.6\tb\n\n\\end\\\n")
    assert (model.start, model.end, model.order) == (0, -1, 1)
    assert model.score("ab") / math.log(10) == pytest.approx([-0.5, -0.6])


def test_a_beginning_that_is_missing_is_brought_along(path: Path) -> None:
    # "b b a" without "b b": p(b | b) backs off to -0.1 - 0.7 as before; p(a | b b) stands there
    text = SMALL.replace("ngram 3=2", "ngram 3=3").replace("-0.1\t<s>", "-0.25\tb b a\n-0.1\t<s>")
    model = load(path, text)
    assert model.counts == (5, 5, 3)
    assert model.score("bba")[:3] / math.log(10) == pytest.approx([-1.0, -0.8, -0.25], abs=1e-6)


def test_words_need_not_be_ascii(path: Path) -> None:
    word = "\u00e9t\u00e9\u00a0x"  # a space that does not break
    model = load(path, re.sub(r"\bb\b", word, SMALL))
    assert word in model.words
    assert model.unit == "word"
    assert model.score([word])[0] / math.log(10) == pytest.approx(-1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.replace("ngram 2=4", "ngram 2=5"), r"\\2-grams: holds 4 n-grams, the header says ngram 2=5"),
        (lambda t: t.replace("-0.6\tb a", "-0.6\ta b"), r"arpa:17: the n-gram stands twice in section \\2-grams:"),
        (lambda t: t.replace("-0.7\tb", "-0.7\ta"), r"arpa:11: the n-gram stands twice in section \\1-grams:"),
        (lambda t: t.replace("-0.6\tb a", "-0.6\tb zebra"), r"arpa:17: .*zebra.* not among the 1-grams"),
        (lambda t: t.replace("-0.6\tb a", "0.6\tb a"), "arpa:17: .*above 0"),
        (lambda t: t.replace("-0.6\tb a", "nan\tb a"), "arpa:17: .*no number"),
        (lambda t: t.replace("-0.6\tb a", "b a"), "arpa:17: .*does not begin with a number"),
        (lambda t: t.replace("-0.6\tb a", "-0.6.1\tb a"), "arpa:17: .*does not begin with a number"),
        (lambda t: t.replace("-0.6\tb a", "-0.6\tb"), "arpa:17: .*too few words"),
        (lambda t: t.replace("-0.6\tb a", "-0.6\tb a\tx"), "arpa:17: .*backoff weight"),
        (lambda t: t.replace("-0.6\tb a", "-0.6\tb a\tnan"), "arpa:17: .*backoff weight"),
        (lambda t: t.replace("-0.6\tb a", "-0.6\tb a\tinf"), "arpa:17: .*backoff weight"),
        (lambda t: t.replace("-0.6\tb a", "-0.6\tb a\t-1 -1"), "arpa:17: .*more than"),
        (lambda t: t.replace("\\end\\", ""), r"expected the line \\end\\, found the end of the file"),
        (lambda t: t.replace("\\3-grams:", "\\4-grams:"), r"expected the line \\3-grams:"),
        (lambda t: t[: t.index("\\2-")], r"expected the line \\2-grams:, found the end of the file"),
        (lambda t: t.replace("ngram 2", "ngram 3"), "orders 1, 2, 3"),
        (lambda t: t.replace("\\1-grams:", "\\2-grams:"), r"expected the line \\1-grams:"),
        (lambda t: "\\data\\\n\n\\1-grams:\n\\end\\", "must count the n-grams"),
        (lambda t: "\\data\\\nngram 1=0\n\\1-grams:\n\\end\\", "must count the n-grams"),
        (lambda t: "", "is no n-gram model"),
        (lambda t: "the cat sat\n" * 2000, "is no n-gram model"),
        (lambda t: b"\x00\x01" * 3_000_000, "is no n-gram model"),
        (lambda t: t.encode().replace(b"\tb\t", b"\t\xff\t").replace(b"b", b"a"), "arpa:11: the word is not UTF-8"),
        (lambda t: gzip.compress(t.encode())[:-20], "gzip file is damaged"),
        (lambda t: gzip.compress(t.encode())[:20] + b"xxxxxxxx", "gzip file is damaged"),
    ],
)
def test_faults_are_named(change: object, message: str, path: Path) -> None:
    with pytest.raises(DataError, match=message) as error:
        load(path, change(SMALL))  # type: ignore[operator]
    assert str(path) in str(error.value)


def test_unit_is_guessed_or_given(path: Path) -> None:
    assert load(path, SMALL).unit == "char"
    assert load(path, SMALL.replace("\tb", "\tbe").replace(" b", " be")).unit == "word"
    assert load(path, SMALL.replace("\tb", "\t▁be").replace(" b", " ▁be")).unit == "piece"
    assert NGram.load(path, "word").unit == "word"


def test_the_space_of_characters_is_written_out(path: Path) -> None:
    model = load(path, SMALL.replace("\tb", "\t<space>").replace(" b", " <space>"))
    assert model.unit == "char"
    assert " " in model.words
    model.save(path)
    assert "a <space>" in path.read_text()
    assert NGram.load(path).score("a a").tolist() == model.score("a a").tolist()
    assert "<space>" in NGram.load(path, "word").words


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, len(SMALL) - 1), st.integers(0, 3), st.binary(max_size=4)), max_size=4))
def test_any_damage_is_a_data_error_or_a_model(tmp_path: Path, cuts: list[tuple[int, int, bytes]]) -> None:
    data = bytearray(SMALL.encode())
    for place, size, new in cuts:
        data[place : place + size] = new
    try:
        model = load(tmp_path / "hurt.arpa", bytes(data))
    except DataError:
        return
    assert all(math.isfinite(p) for p in model.score("ab?"))
