"""Recipes, run as a user runs them: run.sh with the corpus it names, or a generated one in its layout."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.conftest import tones

RECIPES = Path(__file__).parent.parent / "recipes"
TINY = ["encoder.hidden_size=16", "encoder.num_layers=1", "training.max_epochs=2", "training.validate_every=1"]


def recipe(name: str, folder: Path, *settings: str, **variables: str) -> str:
    """Run a recipe in an empty folder; returns what it printed."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "SEQLAB_DATA": "data"} | variables
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    done = subprocess.run(
        [str(RECIPES / name / "run.sh"), *settings],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def report(folder: Path, run: str, part: str = "test") -> dict[str, dict[str, float]]:
    path = folder / "runs" / run / "evaluate" / part / "report.json"
    scores: dict[str, dict[str, float]] = json.loads(path.read_text(encoding="utf-8"))["scores"]
    return scores


def test_spoken_digits_small(tmp_path: Path) -> None:
    pytest.importorskip("espeakng_loader")
    sizes = "corpus.prepare.num_train=60 corpus.prepare.num_dev=6 corpus.prepare.num_test=6"
    output = recipe("spoken_digits", tmp_path, *TINY, PREPARE=sizes)
    assert "train 60 lines" in output
    assert "transcript of data/spoken_digits/audio/test/" in output
    assert report(tmp_path, "spoken_digits")["lines"] == 6
    assert (tmp_path / "runs/spoken_digits/evaluate/test/report.html").stat().st_size > 5000
    again = recipe("spoken_digits", tmp_path, *TINY, PREPARE=sizes)  # everything is there: resumes, evaluates again
    assert "report.html" in again


@pytest.mark.slow
def test_spoken_digits_reaches_its_bar(tmp_path: Path) -> None:
    pytest.importorskip("espeakng_loader")
    recipe("spoken_digits", tmp_path)
    assert report(tmp_path, "spoken_digits")["wer"]["rate"] <= 0.05


@pytest.mark.slow
def test_yesno_on_a_generated_tree(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    folder = tmp_path / "waves_yesno"
    folder.mkdir()
    for number in range(60):
        digits = [f"{number + 3:08b}"[i] for i in range(8)]
        audio = tones(" ".join({"0": "a", "1": "bb"}[d] for d in digits), rng)
        soundfile.write(folder / ("_".join(digits) + ".wav"), audio, 8000)
    output = recipe("yesno", tmp_path, YESNO="waves_yesno")
    assert "train 24 lines" in output
    scores = report(tmp_path, "yesno")
    assert (scores["lines"], scores["words"]) == (30, 240)
    assert scores["wer"]["rate"] <= 0.05


@pytest.mark.slow
def test_librispeech_on_a_generated_tree(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for subset, speaker, lines in (
        ("train-clean-100", 19, 40),
        ("dev-clean", 84, 4),
        ("test-clean", 61, 5),
        ("test-other", 1688, 5),
    ):
        folder = tmp_path / "LibriSpeech" / subset / str(speaker) / "198"
        folder.mkdir(parents=True)
        rows = []
        for number in range(lines):
            text = " ".join("".join(rng.choice(list("abc"), 3)) for _ in range(4))
            name = f"{speaker}-198-{number:04d}"
            soundfile.write(folder / f"{name}.flac", tones(text, rng, 16000), 16000)
            rows.append(f"{name} {text.upper()}")
        (folder / f"{speaker}-198.trans.txt").write_text("\n".join(rows))
    output = recipe("librispeech", tmp_path, *TINY, "data.num_workers=1", LIBRISPEECH="LibriSpeech")
    assert "train 40 lines" in output
    for part in ("test-clean", "test-other"):
        scores = report(tmp_path, "librispeech", part)
        assert (scores["lines"], scores["words"]) == (5, 20)


@pytest.mark.slow
def test_fsdd_reaches_its_bar(tmp_path: Path) -> None:
    folder = os.environ.get("FSDD_MANIFESTS")
    if not folder:
        pytest.skip("FSDD_MANIFESTS names no folder with strings_train.jsonl, strings_dev.jsonl, strings_test.jsonl")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "fsdd").symlink_to(Path(folder).resolve())
    recipe("fsdd", tmp_path)
    assert report(tmp_path, "fsdd", "strings_test")["wer"]["rate"] <= 0.015
