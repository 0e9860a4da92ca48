"""The index of a large manifest: the same lines and the same faults as without it, never a stale one."""

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seqlab import manifest_index
from seqlab.data.sources import AudioSource, ImageSource, check_kind, sizes_of
from seqlab.errors import ConfigError, DataError
from seqlab.frontends.image_columns import ImageColumns
from seqlab.frontends.log_mel import LogMel
from seqlab.manifest import read_manifest
from seqlab.manifest_index import IndexedLines, ManifestIndex, open_manifests
from seqlab.tokenizers.symbols import Symbols
from seqlab.verbs.train import _check_characters, _texts
from tests.conftest import Run, small_settings

ROWS = [
    {"id": "a", "audio": "a.wav", "text": "Grüße", "duration_s": 1.5, "sample_rate": 8000, "speaker": "s", "n": 3},
    {"id": "b", "audio": "b.wav", "text": "e\u0301 x"},
    {"id": "c", "parts": ["a.wav", "b.wav"], "text": "c", "duration_s": 2},
    {"id": "d", "image": "d.png", "text": "", "width": 90, "height": 30, "writer": "w"},
    {"id": "e", "strokes": [[[1, 2]]], "text": "z"},
]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def write(path: Path, *rows: object, start: str = "") -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    text = start + "".join((r if isinstance(r, str) else json.dumps(r, ensure_ascii=False)) + "\n" for r in rows)
    path.write_bytes(text.encode())
    return path


def test_lines_are_those_of_the_manifest(tmp_path: Path) -> None:
    path = write(tmp_path / "m.jsonl", *ROWS[:2], "", "  ", *ROWS[2:], start="\ufeff")
    for _ in range(2):  # built, then opened
        index = ManifestIndex(path)
        assert list(index) == read_manifest(path)
        assert index[-1] == read_manifest(path)[-1]
        assert index[1:3] == read_manifest(path)[1:3]
        assert index.duration.tolist()[0::2][:2] == [1.5, 2.0]
        assert np.isnan(index.duration[1])
        assert (index.width[3], index.height[3]) == (90, 30)
        assert index.kind.tolist() == [0, 0, 0, 1, 2]
        assert index.characters == "".join(sorted(set("Grüßeé xcz")))
    with pytest.raises(IndexError):
        index[5]


def test_stale_or_damaged_index_is_made_anew(tmp_path: Path) -> None:
    path = write(tmp_path / "m.jsonl", *ROWS)
    assert len(ManifestIndex(path)) == 5
    place = tmp_path / ".m.jsonl.index"
    before = place.stat().st_mtime_ns
    assert len(ManifestIndex(path)) == 5
    assert place.stat().st_mtime_ns == before
    same_size = [dict(row) for row in ROWS]
    same_size[0]["text"] = "Größe"
    stamp = path.stat()
    write(path, *same_size)
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))  # size and time as before: the ends tell
    assert ManifestIndex(path)[0].text == "Größe"
    place.write_bytes(place.read_bytes()[:-3])
    assert list(ManifestIndex(path)) == read_manifest(path)
    place.write_bytes(b"{not json")
    assert list(ManifestIndex(path)) == read_manifest(path)


def test_index_goes_to_the_cache_where_the_folder_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "m.jsonl", *ROWS)
    original = manifest_index._write

    def refuse(place: Path, *rest: object) -> None:
        if place.parent == tmp_path:
            raise PermissionError(13, "Permission denied")
        original(place, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(manifest_index, "_write", refuse)
    assert len(ManifestIndex(path)) == 5
    assert [p.suffix for p in (tmp_path / "cache" / "seqlab").iterdir()] == [".index"]
    monkeypatch.setattr(manifest_index, "_build", None)  # opened, not built
    assert list(ManifestIndex(path)) == read_manifest(path)


@pytest.mark.parametrize(
    "row",
    [
        "{broken",
        "[1]",
        '{"id": "x", "audio": "a", "text": "a"} x',
        '{"id": "x", "audio": "a", "text": "a"}{"id": "y", "audio": "a", "text": "a"}',
        {"id": "x", "audio": "a"},
        {"id": "", "audio": "a", "text": ""},
        {"id": "x", "audio": "a", "text": "a", "duration_s": -1.0},
        {"id": "x", "audio": "a", "text": "a", "duration_s": float("nan")},
        {"id": "x", "audio": "a", "text": "a", "sample_rate": 0},
        {"id": "x", "audio": "a", "text": "a", "sample_rate": True},
        {"id": "x", "audio": "a", "text": "a", "width": "wide"},
        {"id": "x", "audio": "a", "text": "a", "speaker": 3},
        {"id": "x", "audio": "a", "text": "a", "image": "b"},
        {"id": "b", "audio": "a", "text": "a"},
    ],
)
def test_faults_are_those_of_reading_it_whole(tmp_path: Path, row: object) -> None:
    path = write(tmp_path / "m.jsonl", *ROWS, row)
    with pytest.raises(DataError) as plain:
        read_manifest(path)
    with pytest.raises(DataError) as indexed:
        ManifestIndex(path)
    assert str(indexed.value) == str(plain.value)
    assert f"{path}:6: " in str(indexed.value)
    assert not list(tmp_path.glob(".*"))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.binary(max_size=40) | st.sampled_from([json.dumps(r).encode() for r in ROWS]), max_size=5))
def test_any_bytes_end_as_without_an_index(tmp_path: Path, rows: list[bytes]) -> None:
    path = tmp_path / "any.jsonl"
    path.write_bytes(b"\n".join(rows))
    results: list[object] = []
    for read in (read_manifest, lambda p: list(ManifestIndex(p))):
        try:
            results.append(read(path))
        except DataError as error:
            results.append(str(error).splitlines()[0])
    assert results[0] == results[1]


def test_only_large_manifests_are_indexed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [str(write(tmp_path / f"{n}.jsonl", *ROWS[n:])) for n in (0, 2)]
    plain = open_manifests(paths)
    assert isinstance(plain, list)
    monkeypatch.setattr(manifest_index, "LARGE", 100)
    lines = open_manifests(paths)
    assert isinstance(lines, IndexedLines)
    assert list(lines) == plain
    assert lines.column("kind").tolist() == [0, 0, 0, 1, 2, 0, 1, 2]
    lines.leave_out([0, 6])
    lines.leave_out([0])
    lines.leave_out([])
    assert [line.id for line in lines] == ["c", "d", "e", "c", "e"]
    assert lines[-2].where.endswith("2.jsonl:1")
    assert lines.column("kind").tolist() == [0, 1, 2, 0, 2]
    assert set("Grüßeé xcz") <= set("".join(lines.texts))
    with pytest.raises(ConfigError, match=r"0\.jsonl:4 d: the line is image, the frontend takes audio"):
        check_kind(lines, "audio")


def test_symbols_are_taken_from_every_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest_index, "LARGE", 0)
    phones = [{"id": str(i), "audio": "a.wav", "text": text} for i, text in enumerate(("sh ix", "ix hv"))]
    lines = open_manifests(str(write(tmp_path / "m.jsonl", *phones)))
    tokenizer = Symbols()
    tokenizer.fit(_texts(lines, tokenizer))
    assert tokenizer.symbols[1:] == ["hv", "ix", "sh"]
    _check_characters(lines, Symbols(["sh", "hv", "ix"]))
    with pytest.raises(DataError, match="'hv' are not in the alphabet"):
        _check_characters(lines, Symbols(["sh", "ix"]))


def test_sizes_come_from_columns_as_from_lines(corpus: Path, tmp_path: Path) -> None:
    source = AudioSource(LogMel(8000))
    rows = [json.loads(row) for row in (corpus / "train.jsonl").read_text().splitlines()]
    rows = [row | {"audio": str(corpus / row["audio"])} for row in rows]
    for row in rows[::5]:
        del row["duration_s"]
    lines = IndexedLines([ManifestIndex(write(tmp_path / "m.jsonl", *rows))])
    assert sizes_of(lines, source)[0].tolist() == [source.size(line) for line in lines]
    images = [{"id": str(i), "image": "x.png", "text": "", "width": 50 + i % 3, "height": 20} for i in range(9)]
    pictures = IndexedLines([ManifestIndex(write(tmp_path / "i.jsonl", *images))])
    drawn = ImageSource(ImageColumns(24))
    assert sizes_of(pictures, drawn)[0].tolist() == [drawn.size(line) for line in pictures]


def test_indexed_training_ends_with_the_same_bits(
    corpus: Path, seqlab: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    for name in ("plain", "indexed"):
        done = seqlab("train", *small_settings(corpus), f"run_dir={name}")
        assert done.returncode == 0, done.stderr
        assert ("48 of 48 lines examined" in done.stdout) == (name == "indexed")
        monkeypatch.setattr(manifest_index, "LARGE", 0)
    first, second = (
        torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for name in ("plain", "indexed")
    )
    assert all(torch.equal(first[key], second[key]) for key in first)
    for place in corpus.glob(".*.index"):
        place.unlink()


@pytest.mark.slow
def test_a_million_lines_open_at_once(tmp_path: Path) -> None:
    row = '{{"id": "u{0}", "audio": "a/u{0}.flac", "text": "one two", "sample_rate": 16000, "duration_s": 3.5}}\n'
    path = tmp_path / "m.jsonl"
    path.write_text("".join(row.format(i) for i in range(10**6)))
    begin = time.process_time()
    ManifestIndex(path)
    assert 10**6 / (time.process_time() - begin) >= 200_000
    begin = time.process_time()
    assert ManifestIndex(path)[999_999].id == "u999999"
    assert time.process_time() - begin < 1
