"""What suits a machine: choices from hand-made measurements, and what the command says."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from seqlab.config import compose
from seqlab.data.loader import reading_processes
from seqlab.machine import Probe, choose, probe
from seqlab.verbs.doctor import defaults, told
from tests.conftest import Run

QUIET = Probe(
    processor="a processor",
    cores=4,
    memory_gb=16.0,
    load=0.1,
    gpu=None,
    gpu_bf16=False,
    threads=4,
    gflops={("32-true", 1): 80.0, ("bf16-mixed", 1): 190.0, ("32-true", 4): 300.0, ("bf16-mixed", 4): 600.0},
    step_s={("32-true", 1): 0.10, ("bf16-mixed", 1): 0.07, ("32-true", 4): 0.05, ("bf16-mixed", 4): 0.04},
    read_s={1: 0.020, 4: 0.018},
    onnxruntime=True,
)


def chosen(found: Probe, **changed: Any) -> dict[str, Any]:
    return {c.setting: c.choice for c in choose(found, defaults() | changed)}


def test_a_machine_with_idle_cores_and_bfloat16() -> None:
    choice = chosen(QUIET)
    assert choice["training.precision"] == "bf16-mixed"  # 0.10 / 0.07 = 1.43
    assert choice["training.threads"] == 4  # 0.07 / 0.04 = 1.75
    assert choice["--threads"] == 1  # 0.020 / 0.018 = 1.11
    assert choice["training.find_budget"] is False


def test_little_gain_changes_nothing() -> None:
    slow = replace(QUIET, step_s={key: 0.10 if key[0] == "32-true" else 0.09 for key in QUIET.step_s})
    choice = chosen(slow)
    assert choice["training.precision"] == "32-true"  # 1.11 times as quick
    assert choice["training.threads"] == 1


def test_bfloat16_that_is_emulated_is_taken_back() -> None:
    emulated = replace(QUIET, step_s={**QUIET.step_s, ("bf16-mixed", 1): 0.5, ("bf16-mixed", 4): 0.5})
    changed = {"training.precision": "bf16-mixed"}
    assert chosen(emulated, **changed)["training.precision"] == "32-true"
    assert chosen(emulated)["training.threads"] == 4  # of float32: 0.10 / 0.05


@pytest.mark.parametrize(
    ("lines", "changed", "spare", "gpu", "count"),
    [
        (2000, True, 1, False, 1),
        (2000, True, 15, False, 1),  # more would wait for the training
        (2000, True, 0, False, 0),
        (2000, True, -2, False, 0),  # more threads than cores
        (2000, False, 1, False, 0),  # decoded once
        (199, True, 1, False, 0),
        (2000, False, 15, True, 4),
        (2000, True, 2, True, 2),
        (199, True, 15, True, 0),
    ],
)
def test_reading_processes_where_nobody_says_it(lines: int, changed: bool, spare: int, gpu: bool, count: int) -> None:
    assert reading_processes(lines, changed, spare, gpu) == count


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (QUIET, "null, with 4 of 4 cores in training: no reading process"),
        (replace(QUIET, cores=8), "null, with 4 of 8 cores in training: a reading process, none for fewer than"),
        (replace(QUIET, gpu="a GPU", cores=16), "null, with 1 of 16 cores in training: 4 reading processes"),
    ],
)
def test_reading_processes_are_told_as_the_training_takes_them(found: Probe, told: str) -> None:
    choice = next(c for c in choose(found, defaults()) if c.setting == "data.num_workers")
    assert choice.agrees
    assert choice.choice is None
    assert told in choice.why


def test_busy_cores_are_left_alone() -> None:
    found = replace(QUIET, load=9.0, threads=1, step_s={key: s for key, s in QUIET.step_s.items() if key[1] == 1})
    choices = {c.setting: c for c in choose(found, defaults())}
    assert choices["training.threads"].choice == choices["--threads"].choice == 1
    assert "load 9" in choices["training.threads"].why


def test_a_gpu() -> None:
    choice = chosen(replace(QUIET, gpu="a GPU", gpu_bf16=True, cores=16))
    assert choice["training.precision"] == "bf16-mixed"
    assert choice["training.threads"] == 1
    assert choice["training.find_budget"] is True
    assert choice["--backend"] == "torch"
    assert chosen(replace(QUIET, gpu="an old GPU"))["training.precision"] == "32-true"


def test_defaults_are_those_of_training_and_transcribing() -> None:
    config = compose("train", [])
    assert defaults()["training.threads"] == config["training"]["threads"] == 1
    assert defaults()["data.num_workers"] is config["data"]["num_workers"] is None
    assert defaults()["--backend"] == "torch"
    compose("train", ["training.threads=4", "training.precision=bf16-mixed", "training.find_budget=true"])


def test_every_choice_has_a_reason_and_fits_json() -> None:
    choices = choose(QUIET, defaults())
    assert all(choice.why for choice in choices)
    found = json.loads(json.dumps(told(QUIET, choices)))
    assert found["machine"]["cores"] == 4
    assert {"precision": "32-true", "threads": 4, "value": 0.05} in found["machine"]["step_s"]
    row = next(c for c in found["choices"] if c["setting"] == "training.precision")
    assert (row["default"], row["choice"], row["agrees"]) == ("32-true", "bf16-mixed", False)


def test_probe_measures_and_leaves_the_threads_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seqlab.machine.ROUNDS", 1)
    before = torch.get_num_threads()
    found = probe()
    assert torch.get_num_threads() == before
    assert found.cores >= 1
    assert set(found.step_s) == {(p, n) for p in ("32-true", "bf16-mixed") for n in {1, found.threads}}
    assert all(value > 0 for value in [*found.step_s.values(), *found.gflops.values()])


def test_the_command(monkeypatch: pytest.MonkeyPatch, seqlab: Run, tmp_path: Path) -> None:
    monkeypatch.setattr("seqlab.verbs.doctor.probe", lambda: QUIET)
    done = seqlab("doctor", "--machine")
    assert done.returncode == 0
    assert "a processor, 4 core(s)" in done.stdout
    assert "seqlab train ... training.threads=4 training.precision=bf16-mixed" in done.stdout
    assert json.loads(seqlab("doctor", "--machine", "--json").stdout)["machine"]["processor"] == "a processor"
    assert "seqlab train" in seqlab("doctor", "--machine", "-o", "here.json").stdout
    written = json.loads((tmp_path / "here.json").read_text())
    assert written == json.loads(json.dumps(told(QUIET, choose(QUIET, defaults()))))


def test_options_that_do_not_go_together(seqlab: Run) -> None:
    assert seqlab("doctor", "--machine", "train.jsonl").returncode == 2
    assert seqlab("doctor", "train.jsonl", "--json").returncode == 2
