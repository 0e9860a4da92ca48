"""Recipes, run as a user runs them: run.sh with the corpus it names, or a generated one in its layout."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image, ImageDraw, ImageFont

from seqlab.recognizer import Recognizer
from tests.conftest import Run, tones
from tests.corpora.test_iam import write_tree

ROOT = Path(__file__).parent.parent
RECIPES = ROOT / "recipes"
# no corpus of their own: tests/test_studies.py, tests/test_loso.py, tests/lab
STUDIES = ("ablation", "fsdd_loso", "long_lag", "vanishing_gradient")
NAMES = sorted(path.name for path in RECIPES.iterdir() if path.is_dir() and path.name not in STUDIES)
WITH_CORPUS = [name for name in NAMES if "give the corpus" in (RECIPES / name / "run.sh").read_text(encoding="utf-8")]
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
        timeout=6 * 3600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def report(folder: Path, run: str, part: str = "test") -> dict[str, dict[str, float]]:
    path = folder / "runs" / run / "evaluate" / part / "report.json"
    scores: dict[str, dict[str, float]] = json.loads(path.read_text(encoding="utf-8"))["scores"]
    return scores


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_has_its_files(name: str) -> None:
    script, readme = RECIPES / name / "run.sh", (RECIPES / name / "README.md").read_text(encoding="utf-8")
    assert os.access(script, os.X_OK)
    corpus = "testaments" if name == "char_lm" else name  # its language model is for any corpus
    assert (ROOT / "conf" / "corpus" / f"{corpus}.yaml").is_file()
    assert (ROOT / "conf" / "experiment" / f"{name}.yaml").is_file()
    for command in (
        f"recipes/{name}/run.sh",
        f"seqlab train experiment={name}",
        f"seqlab evaluate model=runs/{corpus}",
    ):
        assert command in readme, f"README.md lacks {command}"
    assert "## Results" in readme
    for number, row in enumerate(script.read_text(encoding="utf-8").splitlines(), 1):
        for setting in ("training.", "optimizer.", "encoder.", "stem.", "frontend.", "data.", "augment."):
            assert f" {setting}" not in row, f"run.sh:{number}: settings belong into conf/experiment"


@pytest.mark.parametrize("name", WITH_CORPUS)
def test_recipes_ask_for_their_corpus_prepare_train_evaluate_and_resume(name: str, tmp_path: Path) -> None:
    program = tmp_path / "bin" / "seqlab"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "$@"\n')
    program.chmod(0o755)
    environment = {"PATH": f"{program.parent}:{os.environ['PATH']}", "SEQLAB_DATA": "mine"}

    def run(**variables: str) -> subprocess.CompletedProcess[str]:
        script = [str(RECIPES / name / "run.sh"), "seed=2"]
        return subprocess.run(script, cwd=tmp_path, env=environment | variables, capture_output=True, text=True)

    asked = run()
    assert asked.returncode == 2
    assert f"no manifests in mine/{name}; give the corpus: {name.upper()}=" in asked.stderr
    (tmp_path / "mine" / name).mkdir(parents=True)
    for manifest in ("train.jsonl", "strings_train.jsonl"):
        (tmp_path / "mine" / name / manifest).touch()
    last = tmp_path / "runs" / name / "checkpoints" / "last.ckpt"
    for resume in ("", " resume=true"):
        commands = run(**{name.upper(): "the corpus"}).stdout.splitlines()
        assert commands[0] == f"prepare corpus={name} corpus.prepare.root=the corpus"
        assert commands[1].startswith(f"train experiment={name} ")
        assert commands[1].endswith(f"run_dir=runs/{name}{resume} seed=2")
        tuned = ["evaluate model=RUN decoder=greedy out=RUN/evaluate/greedy", "tune RUN"]  # where it pays
        last_ones = [*(tuned if "tune" in "".join(commands) else []), "evaluate model=RUN"]
        assert commands[2:] == [command.replace("RUN", f"runs/{name}") for command in last_ones]
        last.parent.mkdir(parents=True, exist_ok=True)
        last.touch()


def test_hours_go_on_from_a_model_of_both_corpora(tmp_path: Path) -> None:
    program = tmp_path / "bin" / "seqlab"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "$@"\n')
    program.chmod(0o755)
    environment = {"PATH": f"{program.parent}:{os.environ['PATH']}", "EXPERIMENT": "testaments_long"}

    def run() -> subprocess.CompletedProcess[str]:
        script = [str(RECIPES / "testaments" / "run.sh"), "seed=2"]
        return subprocess.run(script, cwd=tmp_path, env=environment, capture_output=True, text=True)

    (tmp_path / "data" / "testaments").mkdir(parents=True)
    (tmp_path / "data" / "testaments" / "train.jsonl").touch()
    asked = run()
    assert (asked.returncode, "no manifests in data/peraire; give both corpora" in asked.stderr) == (2, True)
    (tmp_path / "data" / "peraire").mkdir()
    (tmp_path / "data" / "peraire" / "train.jsonl").touch()
    (tmp_path / "runs" / "testaments" / "checkpoints").mkdir(parents=True)
    (tmp_path / "runs" / "testaments" / "checkpoints" / "last.ckpt").touch()
    commands = run().stdout.splitlines()
    assert commands[:2] == [
        "train run_dir=runs/testaments resume=true experiment=testaments",
        "train run_dir=runs/french_lines experiment=french_lines init.model=runs/testaments",
    ]
    assert commands[4:] == [
        "train experiment=testaments_long run_dir=runs/testaments_long init.model=runs/french_lines seed=2",
        "evaluate model=runs/testaments_long decoder=greedy out=runs/testaments_long/evaluate/greedy",
        "tune runs/testaments_long",
        "evaluate model=runs/testaments_long",
    ]


def test_char_lm_trains_and_gives_its_model_to_the_recogniser(tmp_path: Path) -> None:
    program = tmp_path / "bin" / "seqlab"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "$@"\n')
    program.chmod(0o755)
    environment = {"PATH": f"{program.parent}:{os.environ['PATH']}", "CORPUS": "peraire"}

    def run() -> subprocess.CompletedProcess[str]:
        script = [str(RECIPES / "char_lm" / "run.sh"), "seed=2"]
        return subprocess.run(script, cwd=tmp_path, env=environment, capture_output=True, text=True)

    asked = run()
    assert (asked.returncode, "run recipes/peraire/run.sh first" in asked.stderr) == (2, True)
    (tmp_path / "data" / "peraire").mkdir(parents=True)
    (tmp_path / "data" / "peraire" / "train.jsonl").touch()
    train = "train experiment=char_lm corpus=peraire run_dir=runs/peraire_lm"
    score = "lm score runs/peraire_lm data/peraire/dev.jsonl"
    assert run().stdout.splitlines() == [f"{train} seed=2", score]
    (tmp_path / "runs" / "peraire_lm" / "checkpoints").mkdir(parents=True)
    (tmp_path / "runs" / "peraire_lm" / "checkpoints" / "last.ckpt").touch()
    (tmp_path / "runs" / "peraire").mkdir()
    tune = "tune runs/peraire --neural runs/peraire_lm"
    evaluate = "evaluate model=runs/peraire out=runs/peraire/evaluate/neural"
    assert run().stdout.splitlines() == [f"{train} resume=true seed=2", score, tune, evaluate]


def test_iam_on_a_generated_tree(tmp_path: Path, seqlab: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    font = ImageFont.load_default(size=64)

    def draw(tokens: str) -> Image.Image:
        text = tokens.replace("|", " ")
        image = Image.new("L", (round(font.getlength(text)) + 60, 120), 255)
        ImageDraw.Draw(image).text((30, 20), text, fill=0, font=font)
        return image

    monkeypatch.setenv("SEQLAB_DATA", "data")
    write_tree(tmp_path / "IAM", draw)
    tiny = ["stem.channels=[4,4,4,8]", "encoder.hidden_size=8", "training.max_epochs=1", "data.num_workers=0"]
    for command in (
        ["prepare", "corpus=iam", "corpus.prepare.root=IAM"],
        ["train", "experiment=iam", *tiny, "training.accelerator=cpu"],
        ["evaluate", "model=runs/iam", "device=cpu"],
    ):
        done = seqlab(*command)
        assert done.returncode == 0, done.stdout + done.stderr
    faults = [json.loads(row) for row in (tmp_path / "runs/iam/doctor.jsonl").read_text().splitlines()]
    assert [fault["kind"] for fault in faults] == ["unknown characters"]  # of dev; no line has too few frames
    scores = report(tmp_path, "iam")
    assert (scores["lines"], scores["words"]) == (1, 3)  # Nobody knows ,
    line = "IAM/lines/z92/z92-003/z92-003-00.png"
    done = seqlab("transcribe", "runs/iam", line, "-f", "json", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["source"] == line


def test_squiggles_small(tmp_path: Path, seqlab: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQLAB_DATA", "data")
    sizes = ["corpus.prepare.num_train=60", "corpus.prepare.num_dev=6", "corpus.prepare.num_test=6"]
    for command in (
        ["prepare", "corpus=squiggles", *sizes],
        ["train", "experiment=squiggles", *TINY, "training.accelerator=cpu"],
        ["evaluate", "model=runs/squiggles", "device=cpu"],
    ):
        done = seqlab(*command)
        assert done.returncode == 0, done.stdout + done.stderr
    assert report(tmp_path, "squiggles")["lines"] == 6
    read = tmp_path / "data/squiggles/reads/test/test-00000.npy"
    np.savez(tmp_path / "read.npz", np.load(read))
    answers = [seqlab("transcribe", "runs/squiggles", path, "--device", "cpu") for path in (read, "read.npz")]
    assert [answer.returncode for answer in answers] == [0, 0]
    assert answers[0].stdout == answers[1].stdout


@pytest.mark.slow
def test_squiggles_reaches_its_bar(tmp_path: Path) -> None:
    output = recipe("squiggles", tmp_path)
    assert "bases of data/squiggles/reads/test/" in output
    assert report(tmp_path, "squiggles")["cer"]["rate"] <= 0.05


@pytest.mark.slow
def test_written_digits_reaches_its_bar(tmp_path: Path) -> None:
    output = recipe("written_digits", tmp_path)
    assert "transcript of data/written_digits/lines/test/" in output
    assert report(tmp_path, "written_digits")["cer"]["rate"] <= 0.02


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


def manifests(corpus: str) -> Path:
    """Return the folder that an environment variable such as FSDD_MANIFESTS names, or skip the test."""
    variable = f"{corpus.upper()}_MANIFESTS"
    if not os.environ.get(variable):
        pytest.skip(f"{variable} names no folder of manifests")
    return Path(os.environ[variable]).resolve()


def in_place(corpus: str, folder: Path) -> None:
    """Put the manifests of a corpus where its recipe looks for them."""
    (folder / "data").mkdir(exist_ok=True)
    (folder / "data" / corpus).symlink_to(manifests(corpus))


@pytest.mark.slow
def test_fsdd_reaches_its_bar(tmp_path: Path) -> None:
    in_place("fsdd", tmp_path)
    recipe("fsdd", tmp_path)
    assert report(tmp_path, "fsdd", "strings_test")["wer"]["rate"] <= 0.015


@pytest.mark.slow
@pytest.mark.parametrize(("corpus", "bar"), [("peraire", 0.055), ("testaments", 0.18)])
def test_line_images_reach_their_bar(corpus: str, bar: float, tmp_path: Path) -> None:
    in_place(corpus, tmp_path)
    recipe(corpus, tmp_path)
    greedy, tuned = (report(tmp_path, corpus, part)["cer"]["rate"] for part in ("greedy", "test"))
    assert greedy <= bar
    assert tuned <= 0.9 * greedy


@pytest.mark.slow
@pytest.mark.parametrize(("corpus", "bar"), [("peraire", 0.04), ("testaments", 0.13)])
def test_line_images_reach_their_bar_in_hours(corpus: str, bar: float, tmp_path: Path) -> None:
    for name in ("testaments", "peraire"):
        in_place(name, tmp_path)
    recipe(corpus, tmp_path, EXPERIMENT=f"{corpus}_long")
    assert report(tmp_path, f"{corpus}_long", "greedy")["cer"]["rate"] <= bar


@pytest.mark.slow
def test_pendigits_reaches_its_bar(tmp_path: Path) -> None:
    recipe("pendigits", tmp_path, PENDIGITS=str(manifests("pendigits")))
    weights = Recognizer.load(tmp_path / "runs" / "pendigits", "cpu").model.parameters()
    assert sum(p.numel() for p in weights) <= 450_000
    assert report(tmp_path, "pendigits", "strings_test")["cer"]["rate"] <= 0.015
