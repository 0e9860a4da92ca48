"""Manifests: what is read, what is refused, and how."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seqlab.errors import DataError
from seqlab.manifest import Line, read_manifest, read_manifests, used_seconds, write_manifest


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows), encoding="utf-8")
    return path


def test_reads_audio_and_parts(tmp_path: Path) -> None:
    path = write(
        tmp_path / "m.jsonl",
        {
            "id": "1",
            "audio": "x/a.wav",
            "text": "Grüße",
            "speaker": "s",
            "sample_rate": 8000,
            "duration_s": 1.5,
            "n": 3,
        },
        {"id": "2", "parts": ["a.flac", "b.flac"], "silence_ms": [10, 20, 30], "text": "a b"},
        {"id": "3", "parts": ["a.flac"], "text": ""},
    )
    first, second, third = read_manifest(path)
    assert (first.text, first.speaker, first.sample_rate, first.duration_s) == ("Grüße", "s", 8000, 1.5)
    assert first.files == [tmp_path / "x/a.wav"]
    assert first.extra == {"n": 3}
    assert first.where == f"{path}:1"
    assert second.files == [tmp_path / "a.flac", tmp_path / "b.flac"]
    assert second.silence_ms == [10, 20, 30]
    assert third.silence_ms == [0, 0]


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("{broken", "not JSON"),
        ("[1]", "must be a JSON object"),
        ({"text": "a", "audio": "a.wav"}, '"id" is missing'),
        ({"id": "1", "audio": "a.wav"}, '"text" is missing'),
        ({"id": "", "audio": "a.wav", "text": ""}, '"id" is empty'),
        ({"id": 7, "audio": "a.wav", "text": ""}, '"id" must be str'),
        ({"id": "1", "text": "a"}, 'needs a field "audio"'),
        ({"id": "1", "text": "a", "audio": "a", "parts": ["b"]}, 'both "audio" and "parts"'),
        ({"id": "1", "text": "a", "parts": []}, '"parts" must be'),
        ({"id": "1", "text": "a", "parts": ["b"], "silence_ms": [1]}, "needs 2 entries for 1 parts, got 1"),
        ({"id": "1", "text": "a", "parts": ["b"], "silence_ms": [1, -2]}, "0 or more"),
        ({"id": "1", "text": "a", "audio": "a", "spans": []}, '"spans" needs 1 pair(s)'),
        ({"id": "1", "text": "a", "audio": "a", "spans": [[2, 1]]}, "0 <= start < end"),
        ({"id": "1", "text": "a", "parts": ["a", "b"], "spans": [[0, 1]]}, '"spans" needs 2 pair(s)'),
        ({"id": "1", "text": None, "audio": "a"}, '"text" is missing'),
        ({"id": "1", "text": "a", "audio": "a", "silence_ms": [1, 2]}, '"silence_ms" goes with "parts"'),
        ("[" * 100000, "not JSON"),
        ({"id": "1", "text": "a", "audio": "a", "duration_s": "3"}, '"duration_s" must be'),
        ({"id": "1", "text": "a", "audio": "a", "duration_s": -1}, '"duration_s" must be 0 or more'),
        ({"id": "1", "text": "a", "audio": "a", "sample_rate": 0}, '"sample_rate" must be positive'),
    ],
)
def test_faults_name_file_and_line(tmp_path: Path, row: object, fault: str) -> None:
    path = write(tmp_path / "m.jsonl", {"id": "ok", "audio": "a", "text": "a"}, row)
    with pytest.raises(DataError, match="1 faulty line") as caught:
        read_manifest(path)
    assert f"{path}:2: " in str(caught.value)
    assert fault in str(caught.value)


def test_all_faults_come_at_once_up_to_a_limit(tmp_path: Path) -> None:
    path = write(tmp_path / "m.jsonl", *["{"] * 30)
    with pytest.raises(DataError, match=r"30 faulty line") as caught:
        read_manifest(path)
    assert str(caught.value).count("not JSON") == 20
    assert "and 10 more" in str(caught.value)


def test_duplicate_id_names_both_lines(tmp_path: Path) -> None:
    path = write(tmp_path / "m.jsonl", *[{"id": "x", "audio": "a", "text": "a"}] * 2)
    with pytest.raises(DataError, match=r"m\.jsonl:2: id 'x' stands already in line 1"):
        read_manifest(path)


def test_empty_missing_and_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is empty"):
        read_manifest(write(tmp_path / "m.jsonl", "", " "))
    with pytest.raises(FileNotFoundError, match="not found"):
        read_manifest(tmp_path / "none.jsonl")
    with pytest.raises(DataError, match="is a folder"):
        read_manifest(tmp_path)


def test_written_manifest_reads_back(tmp_path: Path) -> None:
    rows = [
        Line("1", "a\u2028b", audio="a.wav", speaker="s", duration_s=0.5, extra={"k": [1]}),
        Line("2", "", parts=["a"], silence_ms=[0, 1]),
    ]
    path = tmp_path / "sub" / "m.jsonl"
    assert write_manifest(path, rows) == 2
    again = read_manifests(str(path))
    for wrote, read in zip(rows, again, strict=True):
        for name in ("id", "text", "audio", "parts", "silence_ms", "speaker", "duration_s", "extra"):
            assert getattr(read, name) == getattr(wrote, name)
    assert [p.name for p in path.parent.iterdir()] == ["m.jsonl"]


def test_used_seconds_counts_spans_and_silences() -> None:
    line = Line("1", "a", parts=["a", "b"], silence_ms=[100, 200, 300], spans=[[0.25, 1.0], [0.5, 9.0]])
    assert used_seconds(line, [2.0, 2.0]) == pytest.approx(0.6 + 0.75 + 1.5)
    assert used_seconds(Line("1", "a", audio="a"), [2.0]) == 2.0


def test_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    write_manifest(path, [Line("1", "a", audio="a")])

    def broken():  # type: ignore[no-untyped-def]
        yield Line("2", "b", audio="b")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_manifest(path, broken())
    assert [line.id for line in read_manifest(path)] == ["1"]
    assert len(list(tmp_path.iterdir())) == 1


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda s: s.encode("utf-8", "surrogatepass")))
def test_any_bytes_end_in_lines_or_a_named_fault(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "any.jsonl"
    path.write_bytes(content)
    try:
        lines: object = read_manifest(path)
    except DataError as error:
        lines = error
    assert str(path) in str(lines)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"image": "a.png", "audio": "a.wav"}, 'has both "audio" and "image"; give one of them'),
        ({"image": "a.png", "width": 10**30}, '"width" must be positive and below 1e+09'),
        ({"audio": "a.wav", "duration_s": 10**400}, '"duration_s" must be 0 or more and below 1e+09'),
        ({"strokes": [[[0, 0, 1.5], [1, 1, 2.5]], [[5, 5]]]}, "some points have a time and some have none"),
        ({"strokes": [[[0, True]]]}, "a point is [x, y] or [x, y, seconds]"),
        ({"strokes": [[]]}, "each a list of one or more points"),
        ({"image": "a.png", "writer": 5}, 'field "writer" must be str, got 5'),
    ],
)
def test_faults_of_images_and_ink_are_named(tmp_path: Path, fields: dict[str, object], message: str) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text(json.dumps({"id": "a", "text": "x"} | fields))
    with pytest.raises(DataError) as refused:
        read_manifest(path)
    assert message in str(refused.value)
    assert f"{path}:1" in str(refused.value)


def test_writer_counts_as_speaker_unless_one_is_named(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    rows = [{"writer": "w", "speaker": None}, {"writer": "w", "speaker": "s"}]
    lines = [{"id": str(i), "text": "x", "image": "a.png"} | row for i, row in enumerate(rows)]
    path.write_text("\n".join(map(json.dumps, lines)))
    assert [line.speaker for line in read_manifest(path)] == ["w", "s"]
