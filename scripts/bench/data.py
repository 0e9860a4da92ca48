"""Data of any size: index of a large manifest, plan of an epoch, first batch, memory; decoded cache; tar shards.

    python scripts/bench/data.py manifest --lines 10000000
    python scripts/bench/data.py plan
    python scripts/bench/data.py cache
    python scripts/bench/data.py shards

The manifest is generated: its recordings do not exist but for one, which every line that is read is given. Shards are
read from files that the system has in memory: what a disk or network gains by reading in order is not measured. Times
are CPU seconds of this process, and wall seconds where a bar is meant for a person who waits.
"""

import argparse
import io
import json
import resource
import statistics
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from timing import bar, growth, measure

from seqlab.data.augment import Gain, Speed
from seqlab.data.cache import DecodedCache
from seqlab.data.datamodule import DataModule
from seqlab.data.sampler import BucketBatches
from seqlab.data.shards import write_shards
from seqlab.data.sources import AudioSource
from seqlab.frontends.log_mel import LogMel
from seqlab.manifest import Line, read_manifest
from seqlab.manifest_index import IndexedLines, ManifestIndex
from seqlab.media import read_audio, write_flac
from seqlab.media.shards import shard_list
from seqlab.tokenizers.characters import Characters

RATE = 16000


def librispeech_like(lines: int) -> np.ndarray:
    """Draw durations in seconds, (lines,): mean 12.3, most between 11 and 16, none above 17.4, as in LibriSpeech."""
    rng = np.random.default_rng(0)
    long = rng.normal(14.3, 1.2, lines)
    short = rng.uniform(1.4, 13, lines)
    return np.clip(np.where(rng.random(lines) < 0.7, long, short), 1.4, 17.4).round(3)


def write_manifest(path: Path, lines: int) -> None:
    """Write a manifest of lines that all use one recording, each another stretch of it in name only."""
    seconds = librispeech_like(lines)
    with path.open("w") as file:
        for begin in range(0, lines, 100_000):
            rows = (
                f'{{"id": "u{i:09d}", "audio": "one.flac", "text": "HE HOPED THERE WOULD BE STEW FOR DINNER {i % 10}", '
                f'"speaker": "s{i % 2000}", "sample_rate": {RATE}, "duration_s": {seconds[i]}}}\n'
                for i in range(begin, min(begin + 100_000, lines))
            )
            file.write("".join(rows))


def manifest(lines: int, folder: Path) -> bool:
    """Measure the index and what a training does with it; returns whether all bars are met."""
    path = folder / "large.jsonl"
    noise = np.random.default_rng(0).normal(0, 0.1, 12 * RATE)
    write_flac(folder / "one.flac", noise, RATE)
    write_manifest(path, lines)
    print(f"{lines} lines, {path.stat().st_size / 2**20:.0f} MiB")
    cpu, wall = time.process_time(), time.perf_counter()
    index = ManifestIndex(path)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    good = bar("index built, lines per CPU second", lines / cpu, 200_000, least=True)
    print(f"  ({wall:.1f} s of wall time)")
    print(f"  (memory while it was built: {peak():.0f} MiB)")
    del index
    # memory and times of a training are measured in a process of its own
    with torch.multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(trainer, (path,)) and good


def trainer(path: Path) -> bool:
    """Measure opening, first batch, next epoch and memory in a fresh process that has imported Lightning."""
    torch.set_num_threads(1)
    wall, cpu = time.perf_counter(), time.process_time()
    lines = IndexedLines([ManifestIndex(path)])
    good = bar("opened, s", time.perf_counter() - wall, 1)
    data = DataModule(
        lines,
        lines[:100],
        Characters(sorted(set(lines.texts[0]))),
        LogMel(RATE),
        0,
        [Speed(), Gain()],
        batch_frames=20_000,
    )
    iterator = iter(data.train_dataloader())
    next(iterator)
    good &= bar("first batch since the start of opening, CPU s", time.process_time() - cpu, 5)
    print(f"  ({time.perf_counter() - wall:.1f} s of wall time)")
    assert data.train_loader is not None
    del iterator
    data.sampler = data.train_loader.batches = None  # as DataModule does at the next epoch
    wall, cpu = time.perf_counter(), time.process_time()
    BucketBatches(data._frames(data.train_set, 1), 20_000, epoch=1)
    good &= bar("next epoch's shuffle, CPU s", time.process_time() - cpu, 5)
    print(f"  ({time.perf_counter() - wall:.1f} s of wall time)")
    return bar("memory of the process at its most, MiB", peak(), 1024) and good


def plan() -> bool:
    """Measure the sampler's plan of an epoch over 280,000 lines."""
    frames = (librispeech_like(280_000) * 100).astype(np.int64) - 2
    BucketBatches(frames[:100], 20_000)
    wall = time.perf_counter()
    sampler = BucketBatches(frames, 20_000, epoch=1)
    good = bar("plan of an epoch over 280,000 lines, s", time.perf_counter() - wall, 2)
    fewer = {
        "plan of 28,000 lines": lambda: BucketBatches(frames[:28_000], 20_000, epoch=1),
        "plan of 280,000 lines": lambda: BucketBatches(frames, 20_000, epoch=1),
    }
    print(growth(measure(fewer, 5), "plan of 28,000 lines"))
    random_order = np.random.default_rng(0).permutation(frames)
    groups = random_order[: len(frames) // 16 * 16].reshape(-1, 16)
    print(f"\npadding of random batches of 16: {100 * (1 - groups.mean() / groups.max(1).mean()):.1f} %")
    return bar("padding of it, %", 100 * sampler.padding, 2) and good


def cache(folder: Path, rounds: int = 5) -> bool:
    """Measure reading from the decoded cache against decoding FLAC, on recordings of 12.3 s."""
    rng = np.random.default_rng(0)
    paths = [folder / f"{n}.flac" for n in range(20)]
    for path in paths:  # noise through a low pass: about as hard to decode as speech
        noise = np.convolve(rng.normal(0, 0.3, int(12.3 * RATE)), np.hanning(16) / 8, "same")
        write_flac(path, noise, RATE)
    kept = DecodedCache(folder / "cache", 1)
    source = AudioSource(LogMel(RATE), decoded=kept)
    for path in paths:
        assert np.array_equal(source._load(path, RATE)[0], source._load(path, RATE)[0])
    seconds: dict[str, list[float]] = {"FLAC": [], "cache": []}
    for _ in range(rounds):
        for name in ("FLAC", "cache"):
            begin = time.process_time()
            for path in paths:
                _ = read_audio(path, RATE) if name == "FLAC" else kept.get(path, RATE)
            seconds[name].append((time.process_time() - begin) / len(paths))
    flac, fast = (statistics.median(values) for values in seconds.values())
    print(f"12.3 s of audio: FLAC {1000 * flac:.2f} ms, cache {1000 * fast:.2f} ms")
    return bar("times as fast as decoding FLAC", flac / fast, 4.7, least=True)


def shards(folder: Path, lines: int = 2000, rounds: int = 5) -> bool:
    """Measure writing shards, listing their lines, and reading from them against loose files, of 3 s and of 0.5 s."""
    rng = np.random.default_rng(0)
    good = True
    for seconds in (3.0, 0.5):
        loose = folder / f"{seconds}"
        rows = [{"id": f"u{n}", "audio": f"{n % 100}.flac", "text": "x", "duration_s": seconds} for n in range(lines)]
        for n in range(100):  # noise through a low pass: about as hard to decode as speech
            noise = np.convolve(rng.normal(0, 0.3, int(seconds * RATE)), np.hanning(16) / 8, "same")
            write_flac(loose / f"{n}.flac", noise, RATE)
        for n, row in enumerate(rows):
            row["audio"] = f"{n}.flac"
            (loose / str(row["audio"])).write_bytes((loose / f"{n % 100}.flac").read_bytes())
        (loose / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        plain = read_manifest(loose / "a.jsonl")
        cpu = time.process_time()
        stored = read_manifest(write_shards(plain, "a", loose / "shards", 4))
        print(f"{seconds} s: {lines / (time.process_time() - cpu):,.0f} lines written per CPU second")
        taken: dict[str, list[float]] = {"files": [], "shards": []}
        for _ in range(rounds):
            for name, these in (("files", plain), ("shards", stored)):
                cpu = time.process_time()
                for line in these:
                    read_audio(line.files[0], RATE)
                taken[name].append(lines / (time.process_time() - cpu))
        rates = {name: statistics.median(values) for name, values in taken.items()}
        print(f"{seconds} s: lines read per CPU second: {', '.join(f'{k} {v:,.0f}' for k, v in rates.items())}")
        good &= bar("shards against loose files", rates["shards"] / rates["files"], 0.8, least=True)
    many = [Line(f"u{n}", "HE HOPED THERE WOULD BE STEW", "a.flac", duration_s=3.0) for n in range(100_000)]
    _many(folder / "many.tar", many)
    cpu = time.process_time()
    read = shard_list(str(folder / "many.tar"))
    good &= bar("lines of a shard listed per CPU second", len(many) / (time.process_time() - cpu), 10_000, least=True)
    cpu = time.process_time()
    assert shard_list(str(folder / "many.tar")) == read
    return bar("opened again, s", time.process_time() - cpu, 0.1) and good


def _many(path: Path, lines: list[Line]) -> None:
    """Write a shard of many lines whose recordings hold four bytes."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for line in lines:
            text = json.dumps({"text": line.text, "duration_s": line.duration_s}).encode()
            for name, content in ((f"{line.id}.flac", b"fLaC"), (f"{line.id}.json", text)):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))


def peak() -> float:
    """Return the most memory that this process has used, MiB."""
    for row in Path("/proc/self/status").read_text().splitlines():  # getrusage would give that of the parent, if larger
        if row.startswith("VmHWM:"):
            return int(row.split()[1]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def main() -> None:
    """Run one part; exit status 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["manifest", "plan", "cache", "shards"])
    parser.add_argument("--lines", type=int, default=10_000_000)
    parser.add_argument("--folder", help="where the manifest is written (default: a temporary folder)")
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        parts = {
            "manifest": lambda: manifest(given.lines, Path(name)),
            "plan": plan,
            "cache": lambda: cache(Path(name)),
            "shards": lambda: shards(Path(name)),
        }
        sys.exit(not parts[given.part]())


if __name__ == "__main__":
    main()
