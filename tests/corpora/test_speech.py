"""What the corpora of speech share: text rules, remembered headers, speakers, totals."""

import json
from pathlib import Path

import pytest

from seqlab.corpora._common import try_headers
from seqlab.corpora._speech import Utterance, inside, speech_lines, write_speech
from seqlab.corpora._texts import apply_rule
from seqlab.errors import DataError, UserError
from seqlab.manifest import Line

from .conftest import Tone


@pytest.mark.parametrize(
    ("rule", "text", "expected"),
    [
        ("keep", "  A \tb\n c ", "A b c"),
        ("keep", "e\u0301", "é"),
        ("lower", "ÀB, c", "àb, c"),
        ("upper", "straße, x", "STRASSE, X"),
        ("plain", "“Don’t!” he said—twice.", "don't he said twice"),
        ("plain", "well-known and/or", "well known and or"),
        ("plain", "'Tis the dogs' 'end'", "tis the dogs end"),
        ("plain", "50 % of $3", "50 of 3"),
        ("plain", "नमस्ते, दुनिया", "नमस्ते दुनिया"),  # vowel signs are marks, not punctuation
        ("plain", "İstanbul", "i̇stanbul"),
        ("plain", "?!", ""),
    ],
)
def test_text_rules(rule: str, text: str, expected: str) -> None:
    assert apply_rule(rule, text) == expected  # type: ignore[arg-type]
    assert apply_rule(rule, expected) == expected  # type: ignore[arg-type]


def test_headers_are_remembered_until_a_file_changes(
    tmp_path: Path, tone: Tone, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = tone(tmp_path / "a.wav", samples=800), tone(tmp_path / "b.wav", samples=1600)
    opened: list[str] = []
    from seqlab.corpora import _common

    read = _common.audio_info

    def count(path: Path) -> object:
        opened.append(path.name)
        return read(path)

    monkeypatch.setattr(_common, "audio_info", count)
    found, faults = try_headers([a, b, a], "x", tmp_path)
    assert ([found[path].samples for path in (a, b)], faults, opened) == ([800, 1600], {}, ["a.wav", "b.wav"])
    with (tmp_path / "headers.cache").open("a") as file:
        file.write('["half a row')  # an interrupted run
    tone(b, samples=2400)
    (tmp_path / "c.wav").write_bytes(b"")
    found, faults = try_headers([a, b, tmp_path / "c.wav", tmp_path / "d.wav"], "x", tmp_path)
    assert ([found[path].samples for path in (a, b)], opened[2:]) == ([800, 2400], ["b.wav", "c.wav"])
    assert faults[tmp_path / "d.wav"].endswith("d.wav not found")
    assert "is empty" in faults[tmp_path / "c.wav"]


def test_paths_inside_and_outside(tmp_path: Path) -> None:
    (tmp_path / "big").mkdir()
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus/clips").symlink_to(tmp_path / "big")
    assert inside(tmp_path / "corpus", "clips/a.wav", "x") == tmp_path / "corpus/clips/a.wav"
    assert inside(tmp_path / "corpus", f"{tmp_path}/corpus/b/../a.wav", "x") == tmp_path / "corpus/a.wav"
    for name in ("../a", "a/../../b", "/etc/passwd", f"{tmp_path}/corpus-2/a", "http://a", "a\0b", ""):
        with pytest.raises(DataError, match=r"^list:3: "):
            inside(tmp_path / "corpus", name, "list:3")


def test_totals_are_kept_and_compared(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lines = {
        "train": [Line("a", "one two", audio="a.wav", speaker="x", duration_s=1800.0)],
        "test": [Line("b", "three", audio="b.wav", speaker="y", duration_s=900.0)],
    }
    known = {"train": {"lines": 1, "words": 3}, "test": {"lines": 2, "speakers": 1}}
    write_speech("corpus", lines, tmp_path, {"text": "keep"}, known)
    assert json.loads((tmp_path / "totals.json").read_text()) == {
        "corpus": "corpus",
        "text": "keep",
        "parts": {
            "train": {"lines": 1, "hours": 0.5, "speakers": 1, "words": 2, "characters": 7},
            "test": {"lines": 1, "hours": 0.25, "speakers": 1, "words": 1, "characters": 5},
        },
    }
    warned = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warned == [
        "corpus train: 2 words, the whole corpus has 3; say so with every result",
        "corpus test: 1 lines, the whole corpus has 2; say so with every result",
    ]
    lines["test"][0].speaker = "x"
    with pytest.raises(DataError, match=r"1 speaker\(s\) stand in two parts, which none may: x \(train, test\)"):
        write_speech("corpus", lines, tmp_path / "out", {})
    assert not (tmp_path / "out").exists()


def test_faulty_recordings_up_to_a_share(tmp_path: Path, tone: Tone) -> None:
    parts = {"train": [Utterance(str(i), "x", tone(tmp_path / f"{i}.wav")) for i in range(9)]}
    parts["train"].append(Utterance("9", "x", tmp_path / "gone.wav", where="list:10"))
    assert len(speech_lines("c", parts, tmp_path, 0.1, "cure")["train"]) == 9
    with pytest.raises(DataError, match=r"(?s)1 of 10 line\(s\).*list:10: .*gone\.wav not found.*cure; or leave"):
        speech_lines("c", parts, tmp_path, 0.09, "cure")
    with pytest.raises(UserError, match="share of the lines"):
        speech_lines("c", parts, tmp_path, 2, "cure")
