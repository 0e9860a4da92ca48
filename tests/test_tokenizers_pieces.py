"""Sentencepiece pieces as labels."""

import base64
import pickle
from pathlib import Path

import pytest

from seqlab.ctc.confidence import Confidence, word_ranges
from seqlab.ctc.hypothesis import Hypothesis, Span
from seqlab.errors import ConfigError, DataError
from seqlab.tokenizers.characters import BLANK
from seqlab.tokenizers.pieces import SentencePieces

pytest.importorskip("sentencepiece")

TEXTS = ["the cat sat on the mat", "the dog sat on the log", "  the  cat\tand the dog "] * 4


@pytest.fixture(scope="module")
def fitted() -> SentencePieces:
    tokenizer = SentencePieces(size=30)
    tokenizer.fit(TEXTS)
    return tokenizer


def test_text_comes_back(fitted: SentencePieces) -> None:
    assert fitted.symbols[0] == BLANK
    assert len(fitted.symbols) == 30
    for text in (*TEXTS, "a tan hat", "", "t"):
        labels = fitted.encode(text)
        assert 0 not in labels
        assert fitted.decode(labels) == fitted.normalize(text)
    assert len(fitted.encode(TEXTS[0])) < len(TEXTS[0]) / 1.5


def test_words_begin_with_pieces_that_start_one(fitted: SentencePieces) -> None:
    assert fitted.space is None
    labels = fitted.encode("the cat sat")
    begins = [i for i, label in enumerate(labels) if label in fitted.starts]
    words = [fitted.decode(labels[a:b]) for a, b in zip(begins, [*begins[1:], len(labels)], strict=True)]
    assert words == ["the", "cat", "sat"]


def test_what_has_no_piece_is_named_or_left_out(fitted: SentencePieces) -> None:
    assert fitted.unknown("the ☃ catZ") == ["Z", "☃"]
    with pytest.raises(DataError, match=r"characters 'Z' '☃' are in no piece"):
        fitted.encode("the ☃ catZ")
    assert fitted.decode(fitted.encode("the ☃ catZ", skip_unknown=True)) == "the cat"


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_state_rebuilds_it_and_the_same_text_trains_the_same(kind: str) -> None:
    one, two = (SentencePieces(size=24, kind=kind, case="upper") for _ in range(2))  # type: ignore[arg-type]
    one.fit(TEXTS)
    two.fit(TEXTS)
    assert one.symbols == two.symbols
    again = SentencePieces(**one.state())  # type: ignore[arg-type]
    again.fit(["other text"])  # does nothing
    for copy in (again, pickle.loads(pickle.dumps(one))):
        assert copy.symbols == one.symbols
        assert copy.encode("the dog") == one.encode("THE DOG")
    assert SentencePieces().state()["alphabet"] is None


def test_a_model_file_and_its_special_pieces(fitted: SentencePieces, tmp_path: Path) -> None:
    import sentencepiece

    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS), model_prefix=str(tmp_path / "m"), vocab_size=30, model_type="bpe", minloglevel=2
    )  # with <unk>, <s> and </s>
    tokenizer = SentencePieces(str(tmp_path / "m.model"))
    assert len(tokenizer.symbols) == 28
    assert not {"<s>", "</s>", "<unk>"} & set(tokenizer.symbols)
    assert tokenizer.decode(tokenizer.encode("the cat")) == "the cat"


def test_faults(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.model not found"):
        SentencePieces(str(tmp_path / "none.model"))
    with pytest.raises(ConfigError, match=r"FILE\.model, or null"):
        SentencePieces("not a model")
    for content in (b"", b"no model"):
        with pytest.raises(DataError, match="no sentencepiece model"):
            SentencePieces(base64.b64encode(content).decode())
    with pytest.raises(DataError, match="text is empty"):
        SentencePieces().fit(["  "])
    with pytest.raises(ConfigError, match=r"size 5 is too small: the text has 12 characters; take at least 14"):
        SentencePieces(size=5).fit(TEXTS[:2])


def test_recognised_pieces_are_cut_into_words(fitted: SentencePieces) -> None:
    labels = fitted.encode("the cat sat")
    spans = [Span(label, i, i + 1, 0.5) for i, label in enumerate(labels)]
    ranges = word_ranges(spans, fitted.space, fitted.starts)
    assert [fitted.decode(labels[r.start : r.stop]) for r in ranges] == ["the", "cat", "sat"]
    sure = Confidence(fitted.space, None, fitted.starts).words(Hypothesis(spans))
    assert sure == [pytest.approx(0.5 ** len(r)) for r in ranges]
