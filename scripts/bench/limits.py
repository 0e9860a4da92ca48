"""Limits of the spine: memory for an hour of audio, and the time until a training on 10,000 lines begins.

python scripts/bench/limits.py [--minutes 60] [--lines 10000]

Prints the largest resident memory of `seqlab transcribe` on one long recording with the LibriSpeech recipe's network,
and the wall and CPU seconds of `seqlab train` from its start to the end of its first step. The audio is noise.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

SEQLAB = [sys.executable, "-m", "seqlab"]


def write_lines(folder: Path, count: int, seconds: float, rate: int) -> Path:
    rng = np.random.default_rng(0)
    (folder / "audio").mkdir(parents=True)
    rows = []
    for number in range(count):
        length = int(rate * seconds * rng.uniform(0.5, 1.5))
        path = folder / "audio" / f"{number}.wav"
        soundfile.write(path, 0.1 * rng.standard_normal(length), rate)
        row = {"id": str(number), "audio": f"audio/{number}.wav", "text": "one two", "duration_s": length / rate}
        rows.append(json.dumps(row))
    manifest = folder / "lines.jsonl"
    manifest.write_text("\n".join(rows) + "\n")
    return manifest


def measure(command: list[str], folder: Path) -> tuple[float, float, float]:
    """Run a command; returns wall seconds, CPU seconds and the largest resident memory in GB of its process."""
    begun = time.monotonic()
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"failed: {' '.join(command)}")
    cpu = usage.ru_utime + usage.ru_stime
    return time.monotonic() - begun, cpu, usage.ru_maxrss / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--lines", type=int, default=10000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        few = write_lines(folder / "few", 4, 2.0, 16000)
        step = [
            "training.max_steps=1",
            "training.max_epochs=null",
            "overwrite=true",
            "logger=csv",
            "data.num_workers=0",
        ]
        own = ["corpus=manifest", "training.accelerator=cpu", f"corpus.dev=[{few}]"]
        network = ["experiment=librispeech", *own, f"corpus.train=[{few}]", "run_dir=big", *step]
        measure([*SEQLAB, "train", *network, "training.precision=32-true"], folder)
        long = folder / "long.wav"
        with soundfile.SoundFile(long, "w", 16000, 1) as file:
            rng = np.random.default_rng(0)
            for _ in range(round(given.minutes * 6)):
                file.write(0.1 * rng.standard_normal(160000))
        wall, cpu, hour = measure([*SEQLAB, "transcribe", "big", "long.wav"], folder)
        print(f"transcribe {given.minutes:g} min with 5x512 BLSTM: {hour:.2f} GB, {cpu:.0f} CPU s, {wall:.0f} s wall")
        many = write_lines(folder / "many", given.lines, 1.0, 8000)
        small = ["encoder.hidden_size=64", "encoder.num_layers=1", "frontend.sample_rate=8000", "frontend.num_mels=40"]
        settings = [*own, f"corpus.train=[{many}]", *small, "run_dir=small", *step]
        wall, cpu, memory = measure([*SEQLAB, "train", *settings], folder)
        print(
            f"train on {given.lines} lines, start to end of step 1: {wall:.1f} s wall, {cpu:.1f} CPU s, {memory:.2f} GB"
        )
    if hour > 4 or wall > 10:
        sys.exit("over the limits that seqlab promises: 4 GB for an hour of audio, 10 s to begin with 10,000 lines")


if __name__ == "__main__":
    main()
