"""recipes/fsdd_loso: what a row switches off, who is in which part, and the table."""

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from seqlab.config import build, compose
from seqlab.corpora.fsdd import prepare
from seqlab.errors import ConfigError
from seqlab.manifest import read_manifest
from seqlab.model import build_on_meta
from tests.scripts import ROOT, load

SCRIPT = ROOT / "recipes" / "fsdd_loso" / "loso.py"


loso = load(SCRIPT)


@pytest.mark.parametrize("row", loso.ROWS + loso.MORE)
def test_a_row_has_its_parts_and_no_others(row: str) -> None:
    config = compose("train", ["experiment=fsdd_loso", *loso.settings_of(row)])
    build_on_meta(config)
    build(config["loss"], "loss", num_symbols=5)
    signal, features = config["augment"]["signal"] or {}, config["augment"]["features"] or {}
    found = {
        "consistency": config["loss"]["consistency"] > 0,
        "masks": {"spec_augment", "warp"} <= set(features),
        "voices": {"speed", "tempo", "pitch"} <= set(signal) and "vocal_tract" in features,
        "noise": {"noise", "reverberation", "codec", "lower_rate", "clip"} <= set(signal),
        "priors": config["loss"]["prior_weight"] > 0,
        "averaging": bool(config["training"]["ema"] and config["training"]["average_best"]),
    }
    wanted = {"plain": set(), "all": set(found)}.get(row, {row[1:]} if row[0] == "+" else set(found) - {row[4:]})
    assert {part for part, on in found.items() if on} == wanted
    if row == "plain":
        assert (list(signal), list(features)) == (["gain"], [])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return manifests of a made corpus: three speakers, two digits, twelve recordings each."""
    root = tmp_path_factory.mktemp("fsdd")
    (root / "recordings").mkdir()
    rng = np.random.default_rng(0)
    for speaker in ("anna", "bob", "carl"):
        for digit in (1, 2):
            for index in range(12):
                audio = 0.1 * rng.standard_normal(4000)
                soundfile.write(root / "recordings" / f"{digit}_{speaker}_{index}.wav", audio, 8000)
    prepare(str(root), str(root / "prepared"), strings_train=30, strings_dev=6, strings_test=6)
    return root / "prepared"


def test_a_speaker_left_out_is_in_no_part_but_test(folder: Path, tmp_path: Path) -> None:
    assert loso.leave_out(folder, "bob", tmp_path / "bob") == 14
    for part in ("train", "strings_train", "strings_dev"):
        lines = read_manifest(tmp_path / "bob" / f"{part}.jsonl")
        assert {line.speaker for line in lines} == {"anna", "carl"}
        assert all("bob" not in str(path) for line in lines for path in line.files)
    test = read_manifest(tmp_path / "bob" / "strings_test.jsonl")
    assert {line.speaker for line in test} == {"bob"}
    assert all(path.exists() for line in test for path in line.files)
    with pytest.raises(ConfigError, match="no speaker 'dora'; there are anna, bob, carl"):
        loso.leave_out(folder, "dora", tmp_path / "dora")


def test_table_by_hand() -> None:
    def result(row: str, speaker: str, seed: int, wer: float) -> dict[str, Any]:
        scores = {"wer": wer, "wer_tracts": wer / 2, "cpu_minutes": 4.0, "resumed": False}
        return {"row": row, "speaker": speaker, "seed": seed, **scores}

    rows = [result("plain", s, seed, g) for s, seed, g in (("a", 1, 0.2), ("b", 1, 0.4), ("a", 2, 0.3), ("b", 2, 0.5))]
    rows += [result("all", "a", 1, 0.1), result("all", "b", 1, 0.1), result("all", "a", 2, 0.1)]  # b, 2 is missing
    assert loso.by_seed(rows, "plain") == pytest.approx({1: 30.0, 2: 40.0})
    assert loso.by_seed(rows, "all") == pytest.approx({1: 10.0})
    lines = loso.table(rows).splitlines()
    half = 12.706 * math.sqrt(50) / math.sqrt(2)  # Student's t for one degree of freedom
    assert f"| plain | a 25.0, b 45.0 | 2 | 35.00 ({35 - half:.2f} to {35 + half:.2f}) |" in lines[2]
    assert lines[3] == "| all | a 10.0, b 10.0 | 1 | 10.00 | -20.00 | 5.00 | 4.0 |"


def test_goals_are_those_of_everybody() -> None:
    def final(wer: float, speakers: set[str], settings: list[str] | None = None) -> list[dict[str, Any]]:
        same = {"row": "all-priors", "seed": 1, "settings": settings or []}
        return [{**same, "speaker": speaker, "wer_tracts": wer} for speaker in speakers]

    everybody: set[str] = loso.EVERYBODY
    assert loso.missed(final(0.04, everybody)) == []
    (lexicon,) = loso.missed(final(0.08, everybody))
    assert lexicon.startswith("mean WER 8.00 % with the digit lexicon")
    assert len(loso.missed(final(0.081, everybody))) == 2
    assert loso.missed(final(0.9, everybody - {"theo"})) == []
    assert loso.missed(final(0.9, everybody, ["optimizer.lr=0.1"])) == []


def test_script_trains_scores_and_goes_on(folder: Path, tmp_path: Path) -> None:
    tiny = [
        "encoder.hidden_size=8",
        "training.budget_minutes=null",
        "training.max_epochs=2",
        "training.precision=32-true",
    ]
    command = [sys.executable, str(SCRIPT), str(folder), *tiny, "--rows", "all", "--speakers", "anna", "--seeds"]

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=300)

    first = run("1", "-o", "out")
    assert first.returncode == 0, first.stdout + first.stderr
    row = json.loads((tmp_path / "out" / "results.jsonl").read_text())
    assert (row["row"], row["speaker"], row["seed"], row["lines"]) == ("all", "anna", 1, 14)
    assert 0 <= row["wer_tracts"] <= 2
    assert "vocal tracts 0.88, 1, 1.12" in next((tmp_path / "out").glob("*/tracts/report.md")).read_text()
    assert "| all | anna" in (tmp_path / "out" / "README.md").read_text()
    again = run("1", "-o", "out")
    assert "seed 1: WER" not in again.stdout  # it is not run again
    other = run("1", "-o", "out", "optimizer.lr=0.1")
    assert (other.returncode, "results of other settings" in other.stderr) == (2, True)
