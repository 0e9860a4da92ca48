"""What seqlab evaluate does before and after it decodes."""

from types import SimpleNamespace

import pytest
from rich.console import Console

from seqlab.errors import DataError
from seqlab.report import EvaluatedLine, Evaluation
from seqlab.verbs import evaluate as verb


def test_a_file_as_out_is_refused_before_decoding(tmp_path, monkeypatch):
    (tmp_path / "out").write_text("mine")
    recognizer = SimpleNamespace(config={}, use_threads=lambda _: None)
    monkeypatch.setattr(verb.Recognizer, "load", lambda *_: recognizer)
    monkeypatch.setattr(verb, "read_manifest", lambda _: pytest.fail("it has begun"))
    config = {
        "model": "run",
        "device": "cpu",
        "backend": "torch",
        "threads": 1,
        "manifest": "m.jsonl",
        "out": str(tmp_path / "out"),
    }
    with pytest.raises(DataError, match=r"out: a report is a folder.*give another out="):
        verb.evaluate(config, Console())
    assert (tmp_path / "out").read_text() == "mine"


def test_lines_without_a_file_are_embedded_until_the_room_is_spent(tmp_path, monkeypatch):
    rows = [EvaluatedLine(str(n), None, "abcd", "abcd" if n < 56 else "abcx") for n in range(60)]
    rows += [EvaluatedLine(f"worst {n}", None, "abcd", "") for n in range(50)]
    lines = [SimpleNamespace(id=row.id, files=[], spans=[]) for row in rows]
    given = Evaluation("ink", rows, kind="strokes")
    monkeypatch.setattr(verb, "_open", lambda *_: None)
    monkeypatch.setattr(verb, "_read", lambda *_: "read")
    monkeypatch.setattr(verb, "_embedded", lambda _, line: "data:image/" + "x" * 89)
    monkeypatch.setattr(verb, "MOST_BYTES", 5650)
    verb._exhibit(SimpleNamespace(kind="strokes"), lines, given, given.score(), tmp_path)
    worst = {f"worst {n}" for n in range(50)}
    # 56 of 100 bytes find room: the fifty worst, then the four with an error, then the first of the others
    assert set(given.media) == worst | {"56", "57", "58", "59", "0", "1"}
    assert set(given.exhibits) == worst
