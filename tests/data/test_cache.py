"""Decoded recordings on disk: the same samples, never those of an older file, never more than allowed."""

import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from seqlab.data.cache import DecodedCache
from seqlab.data.sources import AudioSource
from seqlab.frontends.log_mel import LogMel
from seqlab.manifest import read_manifest
from seqlab.media import read_audio
from tests.conftest import Run, small_settings


def recording(path: Path, seed: int = 0, subtype: str = "PCM_16", rate: int = 8000) -> Path:
    audio = np.random.default_rng(seed).uniform(-1, 1, 5000)
    audio[:2] = -1.0, 1.0  # both ends of the range
    soundfile.write(path, audio, rate, subtype=subtype)
    return path


@pytest.mark.parametrize(("subtype", "rate", "width"), [("PCM_16", None, 2), ("PCM_24", None, 4), ("PCM_16", 6000, 4)])
def test_samples_are_equal_to_the_bit(tmp_path: Path, subtype: str, rate: int | None, width: int) -> None:
    path = recording(tmp_path / "a.wav", subtype=subtype)
    samples = read_audio(path, rate)[0]
    cache = DecodedCache(tmp_path / "cache", 1)
    assert cache.get(path, rate) is None
    cache.keep(path, rate, samples)
    kept = DecodedCache(tmp_path / "cache", 1).get(path, rate)
    assert kept is not None
    assert kept.dtype == np.float32
    assert np.array_equal(kept, samples)
    assert cache.get(path, 7000) is None
    (file,) = (f for f in (tmp_path / "cache").rglob("*") if f.is_file())
    assert file.stat().st_size == 40 + width * len(samples)


def test_changed_recording_is_read_anew(tmp_path: Path) -> None:
    path = recording(tmp_path / "a.wav")
    cache = DecodedCache(tmp_path / "cache", 1)
    cache.keep(path, None, read_audio(path)[0])
    stamp = path.stat()
    recording(path, seed=1)
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns + 1))  # the size is as before
    assert cache.get(path, None) is None
    cache.keep(path, None, read_audio(path)[0])
    kept = cache.get(path, None)
    assert kept is not None
    assert np.array_equal(kept, read_audio(path)[0])
    assert len([f for f in (tmp_path / "cache").rglob("*") if f.is_file()]) == 1
    path.unlink()
    assert cache.get(path, None) is None


def test_cut_off_file_counts_as_none(tmp_path: Path) -> None:
    path = recording(tmp_path / "a.wav")
    cache = DecodedCache(tmp_path / "cache", 1)
    cache.keep(path, None, read_audio(path)[0])
    (file,) = (f for f in (tmp_path / "cache").rglob("*") if f.is_file())
    for size in (len(file.read_bytes()) - 1, 20, 0):
        file.write_bytes(file.read_bytes()[:size])
        assert cache.get(path, None) is None


def test_folder_stays_within_its_size(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache = DecodedCache(tmp_path / "cache", 35_000 / 2**30)
    paths = [recording(tmp_path / f"{n}.wav", n) for n in range(6)]
    for path in paths:
        cache.keep(path, None, read_audio(path)[0])
    assert [cache.get(path, None) is not None for path in paths] == [True] * 3 + [False] * 3
    assert caplog.text.count("is full") == 1
    other = DecodedCache(tmp_path / "cache", 35_000 / 2**30)  # counts what was there before
    other.keep(paths[5], None, read_audio(paths[5])[0])
    assert other.get(paths[5], None) is None


def write_all(folder: Path, paths: list[Path]) -> bool:
    cache = DecodedCache(folder, 1)
    for path in paths:
        samples = read_audio(path)[0]
        cache.keep(path, None, samples)
        kept = cache.get(path, None)
        if kept is None or not np.array_equal(kept, samples):
            return False
    return True


def test_processes_may_write_at_once(tmp_path: Path) -> None:
    paths = [recording(tmp_path / f"{n}.wav", n) for n in range(5)] * 4
    with ProcessPoolExecutor(2) as pool:
        assert all(pool.map(write_all, [tmp_path / "cache"] * 2, [paths, paths[::-1]]))
    assert len([f for f in (tmp_path / "cache").rglob("*") if f.is_file()]) == 5


def test_source_decodes_once(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = read_manifest(corpus / "train.jsonl")
    first = [AudioSource(LogMel(8000), decoded=DecodedCache(tmp_path, 1)).read(line) for line in lines]
    monkeypatch.setattr("seqlab.data.sources.read_audio", None)
    second = [AudioSource(LogMel(8000), decoded=DecodedCache(tmp_path, 1)).read(line) for line in lines]
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_training_ends_with_the_same_bits(corpus: Path, seqlab: Run, tmp_path: Path) -> None:
    states = []
    for name, settings in (("without", []), ("filled", ["data.cache_dir=kept"]), ("used", ["data.cache_dir=kept"])):
        done = seqlab("train", *small_settings(corpus), f"run_dir={name}", *settings)
        assert done.returncode == 0, done.stderr
        states.append(torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"])
    assert all(torch.equal(states[0][k], s[k]) for s in states[1:] for k in states[0])
    assert len([f for f in (tmp_path / "kept").rglob("*") if f.is_file()]) == 56
