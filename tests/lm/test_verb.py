"""seqlab lm: build, convert, score."""

import gzip
import json
import re
import sys
from pathlib import Path

import pytest

from seqlab.lm.ngram import NGram
from seqlab.lm.units import normalize, splitter
from tests.conftest import Run
from tests.lm.models import SMALL

LINES = ["The cat sat on the mat.", "", "the  dog\tsat", "e\u0301te\u0301"]


def write(path: Path) -> Path:
    path.write_text("\n".join(LINES) + "\n", encoding="utf-8")
    return path


def test_build_convert_and_score(seqlab: Run, tmp_path: Path) -> None:
    write(tmp_path / "text")
    done = seqlab("lm", "build", "text", "--unit", "char", "--order", 3, "--case", "lower", "-o", "m.ngram")
    assert done.returncode == 0, done.stderr
    assert "order 3: discounts" in done.stderr
    assert "m.ngram: char 3-gram model" in done.stderr
    assert seqlab("lm", "convert", "m.ngram", "m.arpa.gz").returncode == 0
    assert "<space>" in gzip.decompress((tmp_path / "m.arpa.gz").read_bytes()).decode()
    model = NGram.load(tmp_path / "m.ngram")
    units = splitter("char", "lower")
    expected = sum(model.score(units(line)).sum() for line in LINES if line)
    rows = []
    for name in ("m.ngram", "m.arpa.gz"):
        done = seqlab("lm", "score", name, "text", "--case", "lower")
        assert done.returncode == 0, done.stderr
        rows.append(re.sub(r"\d\.?\d*$", "", done.stdout.splitlines()[1]).split())
    assert rows[0][:4] == ["text", "3", str(sum(len(units(line)) + 1 for line in LINES if line)), "0"]
    assert float(rows[0][4]) == pytest.approx(expected / 2.302585, abs=2e-4)
    assert float(rows[1][4]) == pytest.approx(float(rows[0][4]), abs=2e-3)


def test_perplexity_by_hand(seqlab: Run, tmp_path: Path) -> None:
    # test_ngram.test_hand_worked_line: -1 - 2.1 - 0.5 - 1.2 = -4.8 over four units, one of them unknown
    (tmp_path / "m.arpa").write_text(SMALL)
    (tmp_path / "text").write_text("b x a\n")
    done = seqlab("lm", "score", "m.arpa", "text", "--unit", "word")
    numbers = done.stdout.split()[-7:]
    assert numbers[:4] == ["text", "1", "4", "1"]
    assert [float(x) for x in numbers[4:]] == pytest.approx([-4.8, 10 ** (4.8 / 4), 10 ** (2.7 / 3)], rel=1e-4)
    assert "25% of the words are not in the model; does the case differ (--case)" in done.stderr


def test_texts_may_be_manifests_gzip_and_standard_input(
    seqlab: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "plain")
    plain = (tmp_path / "plain").read_bytes()
    (tmp_path / "a.gz").write_bytes(gzip.compress(plain))
    rows = [json.dumps({"id": str(i), "text": line}) for i, line in enumerate(LINES)]
    (tmp_path / "m.jsonl").write_text("\n".join(rows) + "\n")
    monkeypatch.setattr(sys, "stdin", (tmp_path / "plain").open())
    models = []
    for text in ("plain", "a.gz", "m.jsonl", "-"):
        assert seqlab("lm", "build", text, "-o", "m.arpa").returncode == 0
        models.append((tmp_path / "m.arpa").read_text())
    assert len(set(models)) == 1


def test_pieces(seqlab: Run, tmp_path: Path) -> None:
    sentencepiece = pytest.importorskip("sentencepiece")
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["the cat sat on the mat"] * 3),
        model_prefix=str(tmp_path / "p"),
        vocab_size=20,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    (tmp_path / "text").write_text("the cat sat\n")
    done = seqlab("lm", "build", "text", "--unit", "piece", "--pieces", "p.model", "-o", "m.ngram")
    assert done.returncode == 0, done.stderr
    assert NGram.load(tmp_path / "m.ngram").unit == "piece"
    done = seqlab("lm", "score", "m.ngram", "text")
    assert (done.returncode, "--pieces FILE.model" in done.stderr) == (2, True)
    assert seqlab("lm", "score", "m.ngram", "text", "--pieces", "p.model").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["build", "text", "-o", "m.bin"], "m.bin: the name must end in .ngram, .arpa, .arpa.gz"),
        (["build", "none", "-o", "m.ngram"], "none: No such file"),
        (["build", "empty", "-o", "m.ngram"], "there is no text"),
        (["build", "latin1", "-o", "m.ngram"], "latin1:2: not UTF-8; convert the file"),
        (["build", "nul", "-o", "m.arpa"], "nul:2: a NUL character"),
        (["build", "nul.jsonl", "-o", "m.arpa"], "nul.jsonl:1: a NUL character"),
        (["build", "text", "--unit", "word", "--pieces", "p", "-o", "m.arpa"], "--pieces goes with --unit piece"),
        (["build", "special", "-o", "m.ngram"], "special:2: the text holds <s>"),
        (["build", "bad.jsonl", "-o", "m.ngram"], "bad.jsonl:1: no line of a manifest"),
        (["build", "cut.gz", "-o", "m.ngram"], "cut.gz:1: the gzip file is damaged"),
        (["build", "text", "--order", "0", "-o", "m.ngram"], "the order must be between 1 and 20"),
        (["build", "text", "--prune", "1", "-o", "m.ngram"], "prune must have up to 3 counts"),
        (["build", "text", "--unit", "piece", "--pieces", "text", "-o", "m.ngram"], "text is no sentencepiece model"),
        (
            ["build", "text", "--unit", "piece", "--pieces", "none", "-o", "m.ngram"],
            "sentencepiece model none not found",
        ),
        (["convert", "text", "m.ngram"], "text is no n-gram model"),
        (["convert", "none", "m.ngram"], "none: No such file"),
        (["score", "text", "text"], "text is no n-gram model"),
        (["frobnicate"], "invalid choice: 'frobnicate'"),
        ([], "required: build, convert or score"),
    ],
)
def test_mistakes_get_one_clear_message(arguments: list[str], message: str, seqlab: Run, tmp_path: Path) -> None:
    write(tmp_path / "text")
    (tmp_path / "empty").write_text("\n\n")
    (tmp_path / "latin1").write_bytes("fine\ncaf\u00e9\n".encode("latin1"))
    (tmp_path / "nul").write_bytes(b"fine\na\0b\n")
    (tmp_path / "nul.jsonl").write_text('{"text": "a\\u0000b"}\n')
    (tmp_path / "special").write_text("fine\nnot <s> fine\n")
    (tmp_path / "bad.jsonl").write_text('{"id": "1"}\n')
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b"fine\n" * 1000)[:20])
    if "piece" in arguments:
        pytest.importorskip("sentencepiece")
    done = seqlab("lm", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_help_has_examples(seqlab: Run) -> None:
    for verb in ("build", "convert", "score"):
        done = seqlab("lm", verb, "--help")
        assert done.returncode == 0
        assert f"usage: seqlab lm {verb}" in done.stdout
        assert f"  seqlab lm {verb} " in done.stdout


def test_normalisation_is_that_of_the_tokenizer() -> None:
    from seqlab.tokenizers.characters import Characters

    for line in (*LINES, "\u00a0x\u2003y ", "\ufb01"):
        for case in ("keep", "lower", "upper"):
            assert normalize(line, case) == Characters(case=case).normalize(line)  # type: ignore[arg-type]
