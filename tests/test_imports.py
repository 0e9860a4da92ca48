"""Who may import whom: imports point to lower levels, rooms on one level don't know each other."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import seqlab

ROOT = Path(seqlab.__file__).parent

LEVELS = {
    "errors": 0,
    "batch": 1,
    "files": 1,
    "manifest": 1,
    "manifest_index": 2,
    "media": 1,
    "config": 1,
    "scoring": 1,
    "schedules": 1,
    "studies": 1,
    "weight_noise": 1,
    "checkpoints": 1,
    "hub": 1,
    "lm": 2,
    "tokenizers": 2,
    "frontends": 2,
    "stems": 2,
    "cells": 2,
    "ctc": 3,
    "corpora": 4,
    "outputs": 2,
    "diagnosis": 2,
    "encoders": 3,
    "lab": 4,
    "signals": 2,
    "pages": 3,
    "data": 3,
    "media_faults": 4,
    "model": 4,
    "onnx_model": 4,
    "base_task": 4,
    "task": 5,
    "lm_task": 5,
    "recognizer": 5,
    "streaming": 6,
    "export": 7,
    "report": 5,
    "decoding": 4,
    "machine": 4,
    "doctor": 5,
    "alignment": 6,
    "inspection": 6,
    "finetune": 6,
    "fit": 6,
    "training": 6,
    "serve": 7,
    "verbs": 8,
    "cli": 9,
    "__main__": 10,
}
# The base library of the base library: level 1 builds on these two.
LOWEST = {"errors", "files"}
LIGHTNING = {"base_task", "training", "data/datamodule"}
HYDRA = {"config"}


def modules() -> list[Path]:
    return sorted(p for p in ROOT.rglob("*.py") if p != ROOT / "__init__.py" and "conf" not in p.parts)


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module or "")
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def room(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_down(path: Path) -> None:
    here = room(path)
    assert here in LEVELS, f"{here} has no level: give it one"
    for name in imported(path):
        if not name.startswith("seqlab."):
            continue
        there = name.split(".")[1]
        if there not in LEVELS or there == here or there in LOWEST:
            continue
        same_level_base = LEVELS[here] == 1 and {here, there} == {"media", "manifest"}
        assert LEVELS[there] < LEVELS[here] or same_level_base, f"{here} may not import {there}"


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_frameworks_stay_in_their_place(path: Path) -> None:
    place = str(path.relative_to(ROOT).with_suffix(""))
    names = {name.split(".")[0] for name in imported(path)}
    if "lightning" in names:
        assert place in LIGHTNING or room(path) in LIGHTNING, f"{place} imports lightning"
    if names & {"hydra", "omegaconf"}:
        assert room(path) in HYDRA, f"{place} imports Hydra"


def test_importing_seqlab_is_light() -> None:
    code = "import sys, seqlab; print({'torch', 'lightning', 'hydra', 'numpy', 'librosa'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom seqlab.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as stop:\n    assert stop.code == 0\n"
        "print({'torch', 'lightning', 'hydra', 'numpy', 'rich'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("set()")


def test_reading_by_the_best_path_without_torch_imports_nothing_slow() -> None:
    code = (
        "import sys, seqlab.recognizer, seqlab.ctc.greedy, seqlab.verbs.transcribe_batch\n"
        "print({'torch', 'numba', 'scipy.special', 'scipy.optimize', 'scipy.ndimage'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
