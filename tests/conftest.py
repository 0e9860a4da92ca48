"""Shared fixtures. Everything here is made of tones: tests need no data and no network."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

os.environ.setdefault("OMP_NUM_THREADS", "1")
torch.set_num_threads(1)

RATE = 8000
PITCHES = {"a": 400.0, "b": 900.0, "c": 1500.0, " ": 2300.0}


def tones(text: str, rng: np.random.Generator, rate: int = RATE) -> np.ndarray:
    """Say a text in tones: 100 ms per letter, spaces included, and 30 ms of silence after it."""
    pieces = [np.zeros(int(0.05 * rate))]
    for letter in text:
        time = np.arange(int(0.1 * rate)) / rate
        pieces.append(0.3 * np.sin(2 * np.pi * PITCHES[letter] * time))
        pieces.append(np.zeros(int(0.03 * rate)))
    audio = np.concatenate([*pieces, np.zeros(int(0.05 * rate))])
    return (audio + 0.001 * rng.standard_normal(len(audio))).astype(np.float32)


def write_corpus(folder: Path, sizes: dict[str, int], seed: int = 0) -> dict[str, Path]:
    """Write a corpus of tones; returns its manifests."""
    rng = np.random.default_rng(seed)
    manifests = {}
    for split, size in sizes.items():
        (folder / split).mkdir(parents=True, exist_ok=True)
        rows = []
        for number in range(size):
            words = ["".join(rng.choice(list("abc"), rng.integers(1, 4))) for _ in range(rng.integers(1, 4))]
            text = " ".join(words)
            audio = tones(text, rng)
            name = f"{split}/{split}-{number:03d}.wav"
            soundfile.write(folder / name, audio, RATE)
            row = {"id": f"{split}-{number:03d}", "audio": name, "text": text, "speaker": f"s{number % 3}"}
            rows.append(row | {"sample_rate": RATE, "duration_s": len(audio) / RATE})
        manifests[split] = folder / f"{split}.jsonl"
        manifests[split].write_text("".join(json.dumps(r) + "\n" for r in rows))
    return manifests


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with train.jsonl (48 lines), dev.jsonl (8) and test.jsonl (8)."""
    folder = tmp_path_factory.mktemp("tones")
    write_corpus(folder, {"train": 48, "dev": 8, "test": 8})
    return folder


def small_settings(corpus: Path) -> list[str]:
    """Return overrides of seqlab train for a tiny net on the corpus of tones."""
    return [
        "corpus=manifest",
        "name=tones",
        f"corpus.train=[{corpus}/train.jsonl]",
        f"corpus.dev=[{corpus}/dev.jsonl]",
        f"corpus.test=[{corpus}/test.jsonl]",
        "frontend.sample_rate=8000",
        "frontend.num_mels=24",
        "stem.factor=2",
        "encoder.hidden_size=24",
        "encoder.num_layers=1",
        "data.batch_frames=400",
        "optimizer.lr=0.01",
        "training.max_epochs=2",
        "training.ema=0.9",
        "logger=csv",
    ]


@dataclass
class Done:
    """What a run of the command line left: its exit status and what it printed."""

    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Done]


@pytest.fixture
def seqlab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs the command line in an empty folder, within this process."""
    from seqlab.cli import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: object) -> Done:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([str(a) for a in arguments])
        return Done(int(stop.value.code or 0), *capsys.readouterr())

    return run


@pytest.fixture
def seqlab_process(tmp_path: Path) -> Run:
    """Return a function that runs the command line in an empty folder, in a process of its own."""

    def run(*arguments: object, **options: Any) -> Done:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "200"}
        command = [sys.executable, "-m", "seqlab", *map(str, arguments)]
        settings: dict[str, Any] = {"cwd": tmp_path, "env": environment, "timeout": 300} | options
        done = subprocess.run(command, capture_output=True, text=True, **settings)
        return Done(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def trained(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the run folder of a tiny model that reads the tones."""
    folder = tmp_path_factory.mktemp("trained")
    settings = [*small_settings(corpus), "training.max_epochs=30", "run_dir=run", "augment=none"]
    done = subprocess.run(
        [sys.executable, "-m", "seqlab", "train", *settings], cwd=folder, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "run"
