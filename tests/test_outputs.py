import json
import os
import resource

import pytest

from seqlab.files import atomic_write, write_lines
from seqlab.outputs import Alternative, Transcript, Word, ctm, json_lines, trn, txt


def test_file_appears_whole(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with atomic_write(path) as file:
        file.write("grün\n")
        assert not path.exists()
    assert path.read_bytes() == "grün\n".encode()
    assert os.listdir(path.parent) == ["a.txt"]


def test_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def lines():
        yield "new"
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write_lines(path, lines())
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_full_disk_leaves_nothing_behind(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))  # the kernel refuses what goes beyond
        with pytest.raises(OSError, match="large"):
            write_lines(tmp_path / "a.txt", ["x" * 99] * 1000)
        with pytest.raises(OSError, match="large"):
            write_lines(tmp_path / "b.txt", ["x" * 99] * 80 + ["y" * 3000])  # still in the buffer when the block ends
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.listdir(tmp_path) == []


def test_link_is_followed_and_mode_is_the_usual_one(tmp_path):
    (tmp_path / "target.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to("target.txt")
    write_lines(tmp_path / "link.txt", ["new"])
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "target.txt").read_text() == "new\n"
    (tmp_path / "plain.txt").write_text("")
    assert (tmp_path / "target.txt").stat().st_mode == (tmp_path / "plain.txt").stat().st_mode


def test_txt_is_one_line_per_transcript(tmp_path):
    assert txt.write(tmp_path / "a.txt", [Transcript("one\n two"), Transcript("")]) == 2
    assert (tmp_path / "a.txt").read_bytes() == b"one two\n\n"


def test_json_lines_hold_everything_and_only_json(tmp_path):
    transcript = Transcript(
        text='say "grün"\n\ud800',
        words=[Word("say", 0.1, 0.3, 0.9), Word('"grün"', 0.4, 0.8)],
        confidence=float("nan"),
        duration=1.5,
        source="a.wav",
        id="a-1",
    )
    assert json_lines.write(tmp_path / "a.jsonl", [transcript, Transcript("")]) == 2
    raw = (tmp_path / "a.jsonl").read_text(encoding="utf-8").split("\n")
    assert len(raw) == 3
    assert "grün" in raw[0]
    assert json.loads(raw[0]) == {
        "id": "a-1",
        "source": "a.wav",
        "text": 'say "grün"\n\ud800',
        "duration": 1.5,
        "confidence": None,
        "unit": "s",
        "segments": [{"text": 'say "grün"', "start": 0.1, "end": 0.8, "confidence": None, "words": 2}],
        "characters": [],
        "words": [
            {"text": "say", "start": 0.1, "end": 0.3, "confidence": 0.9},
            {"text": '"grün"', "start": 0.4, "end": 0.8, "confidence": None},
        ],
    }
    assert json.loads(raw[1])["words"] == []


def test_alternatives_stand_only_where_there_are_some():
    word = Word("two", 0.5, 0.9, 0.8, [Alternative("too", 0.2), Alternative("", 0.1)])
    transcript = Transcript("one two", [Word("one", 0.1, 0.4, 0.9), word], alternatives=[Alternative("one too", 0.2)])
    row = json_lines.to_row(transcript)
    assert row["alternatives"] == [{"text": "one too", "confidence": 0.2}]
    assert row["words"][1]["alternatives"] == [{"text": "too", "confidence": 0.2}, {"text": "", "confidence": 0.1}]
    assert "alternatives" not in row["words"][0]
    assert "alternatives" not in json_lines.to_row(Transcript("one"))


def test_plain_takes_numpy_paths_and_sets(tmp_path):
    numpy = pytest.importorskip("numpy")
    value = {"a": numpy.float32(0.5), 2: (numpy.arange(2), tmp_path), "c": {float("inf")}, "d": True}
    assert json_lines.plain(value) == {"a": 0.5, "2": [[0, 1], str(tmp_path)], "c": [None], "d": True}


def test_trn_lines_by_hand(tmp_path):
    ids = trn.trn_ids(["a-1", "u 2", "x(y)"], ["a", "b-c", None])
    assert ids == ["a-1", "b_c-u_2", "unknown-x_y_"]
    assert trn.write(tmp_path / "ref.trn", ["one  two\tthree", "", "(uh) yes"], ids) == 3
    assert (tmp_path / "ref.trn").read_text() == "one two three (a-1)\n (b_c-u_2)\n(uh) yes (unknown-x_y_)\n"


def test_trn_ids_are_unique_without_regard_to_case():
    ids = trn.trn_ids(["u", "U", "u-2", "u", "u(", "u)"])
    assert ids == ["unknown-u", "unknown-U-2", "unknown-u-2-2", "unknown-u-3", "unknown-u_", "unknown-u_-2"]
    many = trn.trn_ids(["same"] * 2000)
    assert len(set(many)) == 2000


def test_trn_writes_signs_that_sclite_takes_for_syntax_in_full_width():
    assert list(trn.to_lines(["a { b / c } * ; \\ @ d;e"], ["s-1"])) == ["a ｛ b / c ｝ ＊ ； ＼ ＠ d；e (s-1)"]


def test_trn_refuses_unequal_lists():
    with pytest.raises(ValueError, match="2 ids and 1 speakers"):
        trn.trn_ids(["a", "b"], ["s"])
    with pytest.raises(ValueError, match="zip"):
        list(trn.to_lines(["one"], []))


def test_segments_stand_between_pauses_of_a_second():
    words = [Word("one", 0.1, 0.5, 0.9), Word("two", 0.75, 1.0, 0.8), Word("three", 2.0, 2.5, 0.6)]
    row = json_lines.to_row(Transcript("one two three", words))
    assert row["segments"] == [
        {"text": "one two", "start": 0.1, "end": 1.0, "confidence": 0.85, "words": 2},
        {"text": "three", "start": 2.0, "end": 2.5, "confidence": 0.6, "words": 1},
    ]
    assert "segments" not in json_lines.to_row(Transcript("a", unit="px"))


def test_control_characters_never_reach_lines_of_text():
    words = [Word("a\x1b[2J b\u2028c", 0.0, 0.5)]
    bad = Transcript("a\x1b[2J\x00 b\x85\u202ec", words, id="x y")
    assert list(txt.to_lines([bad])) == ["a[2J b c"]
    assert list(ctm.to_lines([bad])) == ["x_y 1 0.000 0.500 a[2J_b_c"]


def test_trn_of_transcripts_has_unique_ids():
    lines = trn.transcript_lines([Transcript("one", id="a"), Transcript("", id="A"), Transcript("two", source="b.wav")])
    assert list(lines) == ["one (unknown-a)", " (unknown-A-2)", "two (unknown-b.wav)"]
