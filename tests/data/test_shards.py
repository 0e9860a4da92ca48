"""Shards written by prepare: what lies in them, going on, faults; training and evaluation from them."""

import csv
import errno
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from seqlab.data import shards as module
from seqlab.data.shards import shards_of, write_shards
from seqlab.errors import ConfigError, DataError
from seqlab.manifest import Line, line_to_row, read_manifest
from seqlab.manifest_index import IndexedLines, ManifestIndex
from seqlab.media import read_audio, read_line
from tests.conftest import Run, small_settings, write_corpus


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def lines(tmp_path: Path) -> list[Line]:
    return read_manifest(write_corpus(tmp_path, {"train": 20})["train"])


def members(path: Path) -> dict[str, bytes]:
    """Return the members of a shard as tarfile finds them, in order."""
    with tarfile.open(path) as tar:
        return {info.name: tar.extractfile(info).read() for info in tar.getmembers()}  # type: ignore[union-attr]


def without_places(line: Line) -> dict[str, Any]:
    return {k: v for k, v in line_to_row(line).items() if k not in ("audio", "parts", "features", "image")}


def test_shards_hold_media_and_lines_as_webdataset_wants_them(tmp_path: Path, lines: list[Line]) -> None:
    manifest = write_shards(lines, "train", tmp_path / "shards", 3)
    paths = sorted((tmp_path / "shards").glob("*.tar"))
    assert [p.name for p in paths] == ["train-000000.tar", "train-000001.tar", "train-000002.tar"]
    contents = {name: content for path in paths for name, content in members(path).items()}
    assert len(contents) == 40
    for path in paths:  # webdataset takes neighbours of one key for a line
        names = list(members(path))
        assert [n.split(".") for n in names[::2]] == [[n.split(".")[0], "wav"] for n in names[1::2]]
        assert all(n.endswith(".json") for n in names[1::2])
        assert names != sorted(names)  # spread by chance
        assert path.stat().st_size % 10240 == 0
    for line in lines:
        assert contents[f"{line.id}.wav"] == line.files[0].read_bytes()
        assert json.loads(contents[f"{line.id}.json"]) == line_to_row(line) | {"audio": f"{line.id}.wav"}
    sizes = [path.stat().st_size for path in paths]
    assert max(sizes) - min(sizes) <= max(line.files[0].stat().st_size for line in lines) + 10240
    read = read_manifest(manifest)
    assert [without_places(line) for line in read] == [without_places(line) for line in lines]  # in their order
    for mine, theirs in zip(read, lines, strict=True):
        assert np.array_equal(read_line(mine)[0], read_line(theirs)[0])
    found = read_manifest(tmp_path / "shards" / "train-{000000..000002}.tar")
    assert sorted(line.id for line in found) == sorted(line.id for line in lines)
    places = {line.id: line.files for line in found}
    assert all(line.files == places[line.id] for line in read)


def test_recordings_that_lines_share_are_stored_once(tmp_path: Path, lines: list[Line]) -> None:
    long, other = str(lines[0].files[0]), str(lines[1].files[0])
    rows: list[dict[str, Any]] = [
        {"id": f"cut {n}", "audio": long, "spans": [[0.1 * n, 0.1 * n + 0.1]], "text": "a"} for n in range(3)
    ]
    rows += [{"id": "cut_1", "parts": [other, long, other], "silence_ms": [0, 5, 5, 0], "text": "b", "writer": "w"}]
    rows[-1]["spans"] = [[0, 0.1], [0.02, 0.09], [0.01, 0.05]]
    rows += [{"id": "é/../x.y", "strokes": [[[1, 2]]], "text": "ü"}]
    path = tmp_path / "m.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    before = read_manifest(path)
    after = read_manifest(write_shards(before, "m", tmp_path / "out", 2))
    sizes = [len(members(p)) for p in sorted((tmp_path / "out").glob("*.tar"))]
    media = [n for p in (tmp_path / "out").glob("*.tar") for n in members(p) if n.endswith("wav")]
    assert sum(sizes) == 5 + len(media)
    assert len(media) == 3  # the long one once for its cuts and once for the parts, the other once
    assert [without_places(line) for line in after] == [without_places(line) for line in before]
    for mine, theirs in zip(after[:4], before, strict=False):
        assert np.array_equal(read_line(mine)[0], read_line(theirs)[0])
    names = {name for p in (tmp_path / "out").glob("*.tar") for name in members(p)}
    assert all(name.isascii() and "/" not in name and name.count(".") <= 2 for name in names)
    assert len({name.split(".")[0].lower() for name in names if name.endswith("json")}) == 5
    again = {line.id: line for line in read_manifest(tmp_path / "out" / "m-*.tar")}
    for line in after:
        assert line_to_row(again[line.id]).keys() >= line_to_row(line).keys()
        assert again[line.id].files == line.files
    for line in before[:4]:
        assert np.array_equal(read_line(again[line.id])[0], read_line(line)[0])


def test_shards_of_shards_are_the_same(tmp_path: Path, lines: list[Line]) -> None:
    first = read_manifest(write_shards(lines, "t", tmp_path / "a", 2))
    write_shards(first, "t", tmp_path / "b", 3)
    write_shards(lines, "t", tmp_path / "c", 3)
    for number in range(3):
        one, two = (members(tmp_path / x / f"t-{number:06d}.tar") for x in "bc")
        assert one == two


def test_a_stopped_run_goes_on_with_what_is_missing(
    tmp_path: Path, lines: list[Line], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "s"
    paths = [folder / f"t-{n:06d}.tar" for n in range(4)]
    original = module._write
    monkeypatch.setattr(module, "_write", lambda path, members: original(path, members) if path != paths[2] else 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_shards(lines, "t", folder, 4)
    assert sorted(folder.iterdir()) == paths[:2]
    monkeypatch.setattr(module, "_write", original)
    stamps = [p.stat().st_mtime_ns for p in paths[:2]]
    manifest = write_shards(lines, "t", folder, 4)
    assert [p.stat().st_mtime_ns for p in paths[:2]] == stamps
    before, whole = manifest.read_bytes(), [p.read_bytes() for p in paths]
    paths[1].write_bytes(whole[1][:-20000])  # cut off
    paths[2].write_bytes(whole[2].replace(b'"text"', b'"tExt"', 1))
    touched = next(line for line in read_manifest(manifest) if str(line.audio).startswith(paths[3].name))
    source = next(line for line in lines if line.id == touched.id).files[0]
    os.utime(source, (1, 1))  # as if it had changed
    written: list[Path] = []
    monkeypatch.setattr(module, "_write", lambda path, members: written.append(path) or original(path, members))
    write_shards(lines, "t", folder, 4)
    assert written == paths[1:]
    assert [p.read_bytes() for p in paths[:3]] == whole[:3]
    assert manifest.read_bytes() == before


def test_what_cannot_be_written_is_named(tmp_path: Path, lines: list[Line], monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "s"
    with pytest.raises(DataError, match=r"20 recording.s. cannot be spread over 21 shards"):
        write_shards(lines, "t", folder, 21)
    write_shards(lines, "t", folder, 3)
    with pytest.raises(DataError, match=r"t-000002.tar is of a division into more than 2 shards; remove"):
        write_shards(lines, "t", folder, 2)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(0, 0, 1000))  # type: ignore[attr-defined]
    with pytest.raises(DataError, match=r"2 shard.s. of u need .* GiB, the disk has 0.00 GiB left"):
        write_shards(lines, "u", folder, 2)
    monkeypatch.undo()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "_copy", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*u-000000.tar'"):
        write_shards(lines, "u", folder, 2)
    assert not list(folder.glob("*u-*"))
    lines[3].files[0].unlink()
    lines[4].audio = "train"
    with pytest.raises(DataError, match=r"(?s)2 file.s. cannot .*train-003.wav not found.*train is a folder"):
        write_shards(lines, "u", folder, 2)


@pytest.mark.parametrize(("changed", "told"), [(-5.5, 0), (8.0**11 + 7, 8**11 - 1)])
def test_times_that_no_header_can_say_are_the_nearest(
    tmp_path: Path, lines: list[Line], monkeypatch: pytest.MonkeyPatch, changed: float, told: int
) -> None:
    size = lines[0].files[0].stat().st_size
    monkeypatch.setattr(module, "file_stamp", lambda _: (size, int(changed * 10**9)))
    write_shards(lines[:1], "t", tmp_path / "s", 1)
    with tarfile.open(tmp_path / "s" / "t-000000.tar") as tar:
        assert tar.getmembers()[0].mtime == told
    before = (tmp_path / "s" / "t-000000.tar").stat().st_ino
    write_shards(lines[:1], "t", tmp_path / "s", 1)
    assert (tmp_path / "s" / "t-000000.tar").stat().st_ino == before  # it is as it should be


def test_lines_of_an_index_make_the_same_shards(tmp_path: Path, lines: list[Line]) -> None:
    write_shards(lines, "train", tmp_path / "a", 3)
    write_shards(IndexedLines([ManifestIndex(tmp_path / "train.jsonl")]), "train", tmp_path / "b", 3)
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert len(names) == 4
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_shards_are_numbered_for_windows(tmp_path: Path, lines: list[Line]) -> None:
    paths = [write_shards(lines, name, tmp_path / "s", 2) for name in ("t", "u")]
    plain = read_manifest(paths[0]) + read_manifest(paths[1])
    expected = [(line.root.name, str(line.audio).split("@")[0]) for line in plain]
    for numbers in (shards_of(plain), shards_of(IndexedLines([ManifestIndex(path) for path in paths]))):
        assert sorted(set(numbers.tolist())) == [0, 1, 2, 3]
        assert len(set(zip(numbers.tolist(), expected, strict=True))) == 4
    with pytest.raises(ConfigError, match="train-000 is no line of one; leave it out"):
        shards_of([plain[0], *lines])


def losses(run: Path) -> list[list[str]]:
    with (run / "metrics.csv").open() as file:
        return [[row[k] for k in ("step", "train/loss", "val/loss", "val/cer")] for row in csv.DictReader(file)]


def weights(run: Path) -> dict[str, torch.Tensor]:
    saved = torch.load(run / "checkpoints" / "last.ckpt", map_location="cpu", weights_only=True)
    return dict(saved["state_dict"])


def test_training_from_shards(seqlab: Run, corpus: Path, tmp_path: Path) -> None:
    mine = [f"corpus.{split}=[{corpus}/{split}.jsonl]" for split in ("train", "dev", "test")]
    done = seqlab("prepare", "corpus=manifest", f"corpus.folder={tmp_path}", *mine, "shards=3")
    assert done.returncode == 0, done.stderr
    assert "train, 3 shard(s): 48 lines" in done.stdout
    settings = [*small_settings(corpus), "augment=speech"]
    assert seqlab("train", *settings, "run_dir=plain").returncode == 0
    listed = ["corpus.train=[shards/train.jsonl]", "corpus.dev=[shards/dev.jsonl]"]
    assert seqlab("train", *settings, *listed, "run_dir=listed").returncode == 0
    assert losses(Path("listed")) == losses(Path("plain"))
    for name, value in weights(Path("plain")).items():
        assert torch.equal(value, weights(Path("listed"))[name])

    shards = ['corpus.train=["shards/train-{000000..000002}.tar"]', "corpus.dev=[shards/dev-*.tar]"]
    windowed = [*settings, *shards, "data.shuffle_window=20"]
    assert seqlab("train", *windowed, "run_dir=whole").returncode == 0
    hashes = json.loads(Path("whole/environment.json").read_text())["manifests"]
    assert len(hashes) == 2
    done = seqlab("train", *settings, "data.shuffle_window=20", "run_dir=bad")
    assert done.returncode == 2
    assert "data.shuffle_window is for tar shards" in done.stderr

    scores = []
    for test in ('["shards/test-{000000..000002}.tar"]', f"[{corpus}/test.jsonl]"):
        done = seqlab("evaluate", "model=plain", f"manifest={test}", "out=e")
        assert done.returncode == 0, done.stderr
        scores.append(json.loads(Path("e/report.json").read_text())["scores"])
    assert scores[0] == scores[1]
    done = seqlab(
        "doctor", "shards/train-*.tar", "-s", f"corpus.dev=[{corpus}/dev.jsonl]", "-s", "frontend.sample_rate=8000"
    )
    assert "train: 48 lines" in done.stdout + done.stderr
    done = seqlab("evaluate", "model=plain", "manifest=[shards/none-*.tar]")
    assert done.returncode == 2
    assert "not found" in done.stderr


def test_training_from_shards_told_to_end_goes_on_to_the_bit(seqlab: Run, corpus: Path, tmp_path: Path) -> None:
    for split, count in (("train", 3), ("dev", 2)):
        write_shards(read_manifest(corpus / f"{split}.jsonl"), split, tmp_path / "shards", count)
    shards = ['corpus.train=["shards/train-{000000..000002}.tar"]', "corpus.dev=[shards/dev-*.tar]"]
    settings = [*small_settings(corpus), *shards, "augment=speech", "data.shuffle_window=20"]
    settings += ["training.checkpoint_minutes=0", "encoder.dropout=0.2", "training.max_epochs=4"]
    assert seqlab("train", *settings, "run_dir=whole").returncode == 0
    command = [sys.executable, "-m", "seqlab", "train", *settings, "run_dir=run"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    saved = Path("run/checkpoints/last.ckpt")
    stamps: set[int] = set()
    deadline = time.monotonic() + 120
    while len(stamps) < 3 and process.poll() is None and time.monotonic() < deadline:
        if saved.exists():
            stamps.add(saved.stat().st_mtime_ns)
        time.sleep(0.001)
    process.terminate()
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 75, output
    stopped = torch.load(saved, map_location="cpu", weights_only=True)
    progress = stopped["loops"]["fit_loop"]["epoch_loop.batch_progress"]
    assert progress["current"]["completed"] > 0
    assert not progress["is_last_batch"]  # within an epoch
    assert seqlab("train", *settings, "run_dir=run", "resume=true").returncode == 0
    for name, value in weights(Path("whole")).items():
        assert torch.equal(value, weights(Path("run"))[name])
    assert losses(Path("run"))[-1] == losses(Path("whole"))[-1]


@pytest.mark.parametrize("keep", [-9000, 30_000])  # members cut off
def test_a_damaged_shard_stops_training_at_once(seqlab: Run, corpus: Path, tmp_path: Path, keep: int) -> None:
    write_shards(read_manifest(corpus / "train.jsonl"), "train", tmp_path / "s", 2)
    bad = tmp_path / "s" / "train-000001.tar"
    bad.write_bytes(bad.read_bytes()[:keep])
    settings = small_settings(corpus)
    for train in ("[s/train-*.tar]", "[s/train.jsonl]"):
        done = seqlab("train", *settings, f"corpus.train={train}", "run_dir=run", "overwrite=true")
        assert done.returncode == 2, done.stderr
        assert "train-000001.tar" in done.stdout + done.stderr
        assert "Traceback" not in done.stdout + done.stderr


def test_prepare_refuses_what_it_cannot_do(seqlab: Run, corpus: Path) -> None:
    done = seqlab("prepare", "corpus=manifest", "shards=2")
    assert (done.returncode, "no manifest given" in done.stderr) == (2, True)
    done = seqlab("prepare", "corpus=manifest", f"corpus.train=[{corpus}/train.jsonl]", "shards=-1")
    assert (done.returncode, "shards: must be 0 or more" in done.stderr) == (2, True)
    twice = f"corpus.train=[{corpus}/train.jsonl,{corpus}/train.jsonl]"
    done = seqlab("prepare", "corpus=manifest", twice, "shards=2")
    assert (done.returncode, "would make shards of one name" in done.stderr) == (2, True)


def test_a_member_is_decoded_once_into_the_cache(tmp_path: Path, lines: list[Line]) -> None:
    from seqlab.data.cache import DecodedCache

    line = read_manifest(write_shards(lines, "t", tmp_path / "s", 2))[0]
    kept = DecodedCache(tmp_path / "c", 1)
    samples = read_audio(line.files[0])[0]
    assert kept.get(line.files[0], None) is None
    kept.keep(line.files[0], None, samples)
    found = kept.get(line.files[0], None)
    assert found is not None
    assert np.array_equal(found, samples)
