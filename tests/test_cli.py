"""The command line: help, configuration, sweeps, completion."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Run, small_settings

CONF = Path(__file__).resolve().parent.parent / "conf"


def test_help_is_one_screen_and_names_every_verb(seqlab: Run) -> None:
    done = seqlab("--help")
    assert done.returncode == 0
    for verb in ("prepare", "doctor", "train", "evaluate", "transcribe", "completion"):
        assert f"seqlab {verb}" in done.stdout
    assert len(done.stdout.splitlines()) <= 45
    assert max(map(len, done.stdout.splitlines())) <= 120


@pytest.mark.parametrize("verb", ["train", "prepare", "evaluate"])
def test_verb_help_shows_groups_and_settings(verb: str, seqlab: Run) -> None:
    done = seqlab(verb, "--help")
    assert done.returncode == 0
    words = {
        "train": ["* encoder=blstm ", "  encoder=lstm ", "stem=conv2d", "experiment=fsdd", "resume: false"],
        "prepare": ["* corpus=spoken_digits", "corpus=fsdd", "data_dir: "],
        "evaluate": ["manifest: null", "# folder of the report"],
    }
    for word in words[verb]:
        assert word in done.stdout


@pytest.mark.parametrize("verb", ["transcribe", "doctor"])
def test_argument_verbs_have_help(verb: str, seqlab: Run) -> None:
    done = seqlab(verb, "--help")
    assert done.returncode == 0
    assert "usage: seqlab " + verb in done.stdout


def test_version_and_module(seqlab_process: Run) -> None:
    done = seqlab_process("--version")
    assert done.stdout.startswith("seqlab 0.")


def test_cfg_job_shows_the_configuration_and_runs_nothing(corpus: Path, seqlab: Run, tmp_path: Path) -> None:
    done = seqlab("train", "--cfg", "job", *small_settings(corpus))
    assert done.returncode == 0
    assert "hidden_size: 24" in done.stdout
    assert not list(tmp_path.iterdir())


def test_run_folder_holds_what_a_run_needs(trained: Path) -> None:
    names = {p.name for p in trained.iterdir()}
    assert names >= {
        ".hydra",
        "checkpoints",
        "config.yaml",
        "doctor.jsonl",
        "environment.json",
        "metrics.csv",
        "train.log",
    }
    record = json.loads((trained / "environment.json").read_text())
    assert record["packages"]["torch"].startswith("2.11")
    assert len(next(iter(record["manifests"].values()))) == 64
    header = (trained / "metrics.csv").read_text().splitlines()[0].split(",")
    expected = {"train/loss", "train/lr", "train/grad_norm", "train/skipped", "train/padding", "train/frames_per_s"}
    assert set(header) >= expected | {"epoch", "step", "val/loss", "val/cer", "val/wer", "val/blank"}


def test_plain_lines_when_the_output_is_no_terminal(corpus: Path, seqlab: Run) -> None:
    done = seqlab("train", *small_settings(corpus), "run_dir=run")
    assert done.returncode == 0, done.stderr
    assert "48 lines" in done.stdout
    for word in ("epoch 1/2 loss", "| val loss", "CER", "blank", " x real time", "best checkpoint: "):
        assert word in done.stdout
    assert "\x1b" not in done.stdout


def test_sweep_makes_one_run_for_each_value(corpus: Path, seqlab: Run, tmp_path: Path) -> None:
    settings = [*small_settings(corpus), "run_dir=run", "training.max_epochs=1"]
    done = seqlab("train", *settings, "-m", "seed=1,2")
    assert done.returncode == 0, done.stderr
    for job, seed in (("0", 1), ("1", 2)):
        folder = tmp_path / "run-sweep" / job
        assert (folder / "checkpoints" / "last.ckpt").exists()
        assert f"seed: {seed}" in (folder / "config.yaml").read_text()


def test_folder_names_with_spaces_and_equals_signs(corpus: Path, seqlab: Run, tmp_path: Path) -> None:
    settings = [*small_settings(corpus), f"corpus.train={corpus}/train.jsonl", "training.max_epochs=1"]
    done = seqlab("train", *settings, "run_dir=my runs=ü/a")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "my runs=ü" / "a" / "checkpoints" / "last.ckpt").exists()
    done = seqlab("evaluate", "model=my runs=ü/a", f"manifest={corpus}/test.jsonl")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "my runs=ü" / "a" / "evaluate" / "test" / "report.html").exists()


def test_own_configuration_folder(corpus: Path, seqlab: Run, tmp_path: Path) -> None:
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "thin.yaml").write_text("# @package _global_\nencoder:\n  hidden_size: 5\n")
    done = seqlab("train", "--config-dir", "mine", "experiment=thin", "--cfg", "job")
    assert done.returncode == 0, done.stderr
    assert "hidden_size: 5" in done.stdout


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("seqlab tra", {"train", "transcribe"}),
        ("seqlab train enco", {"encoder", "encoder."}),  # = for a choice, / for the cell in it
        ("seqlab train encoder/", {"encoder/cell="}),
        ("seqlab train encoder=", {path.stem for path in CONF.glob("encoder/*.yaml")}),
        ("seqlab train encoder.hid", {"encoder.hidden_size="}),
    ],
)
def test_bash_completion(typed: str, expected: set[str], tmp_path: Path) -> None:
    script = f"""
        eval "$({sys.executable} -m seqlab completion bash)"
        seqlab() {{ {sys.executable} -m seqlab "$@"; }}
        compopt() {{ :; }}
        COMP_LINE={typed!r}; COMP_POINT=${{#COMP_LINE}}
        COMP_WORDBREAKS=$' \\t\\n"\\'><=;|&(:'
        COMP_WORDS=($COMP_LINE); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
        _seqlab; printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert set(done.stdout.split()) == expected, done.stdout + done.stderr
