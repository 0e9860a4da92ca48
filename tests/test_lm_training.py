"""seqlab train lm=lstm: what is learnt from which texts, resume, what is refused, and its use by a recogniser."""

import gzip
import json
import math
import random
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from seqlab.config import load_yaml
from seqlab.decoding import stored
from seqlab.lm.neural import NeuralLM
from seqlab.lm_task import LMTask
from seqlab.recognizer import Recognizer
from seqlab.training.memory import MemoryGuard, part_of
from tests.conftest import Run
from tests.test_resume import same

WORDS = ("abab", "cc", "bca")


def lines(count: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=rng.randint(1, 4))) for _ in range(count)]


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with train.txt (120 lines), more.txt.gz (30) and dev.jsonl (30)."""
    folder = tmp_path_factory.mktemp("texts")
    (folder / "train.txt").write_text("".join(line + "\n" for line in lines(120, 1)))
    with gzip.open(folder / "more.txt.gz", "wt") as file:
        file.write("\n".join(["", *lines(30, 2)]))
    rows = [{"id": f"{i}", "audio": "none.wav", "text": line} for i, line in enumerate(lines(30, 3))]
    (folder / "dev.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def settings(texts: Path, *more: str) -> list[str]:
    tiny = ["lm.embedding_size=8", "lm.hidden_size=16", "lm.dropout=0.1", "data.batch_frames=300", "optimizer.lr=0.02"]
    corpus = [f"corpus.train=[{texts}/train.txt,{texts}/more.txt.gz]", f"corpus.dev=[{texts}/dev.jsonl]"]
    tiny += ["training.ema=0.9", "logger=csv", "run_dir=run", "schedule=constant"]
    return ["train", "experiment=char_lm", "corpus=manifest", *corpus, *tiny, *more]


def test_training_beats_a_unigram_model(texts: Path, seqlab: Run, tmp_path: Path) -> None:
    done = seqlab(*settings(texts, "training.max_epochs=8", "schedule=warmup_cosine"))
    assert done.returncode == 0, done.stderr
    assert "train 150 lines" in done.stdout
    assert "perplexity" in done.stdout
    counts = Counter(c for line in lines(120, 1) + lines(30, 2) for c in line + "\n")
    dev = [c for line in lines(30, 3) for c in line + "\n"]
    unigram = math.exp(-sum(math.log(counts[c] / counts.total()) for c in dev) / len(dev))
    model = NeuralLM.load("run")
    assert model.tokenizer.symbols == ["<blk>", " ", "a", "b", "c"]
    labels, lengths = model.encode(lines(30, 3))
    perplexity = math.exp(-float(model.score(labels, lengths).sum()) / len(dev))
    assert perplexity < 0.6 * unigram
    best = min(float(path.stem.rpartition("perplexity")[2]) for path in Path("run/checkpoints").glob("best-*.ckpt"))
    assert best == pytest.approx(perplexity, abs=1e-3)
    config = load_yaml("run/config.yaml")
    assert "encoder" not in config
    assert config["corpus"]["train"] == [str(texts / "train.txt"), str(texts / "more.txt.gz")]
    assert "val/perplexity" in Path("run/metrics.csv").read_text().splitlines()[0]


def last(folder: str) -> dict[str, Any]:
    return dict(torch.load(Path(folder) / "checkpoints" / "last.ckpt", weights_only=True))


def test_a_training_stopped_twice_ends_with_the_same_bits(
    texts: Path, seqlab: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = settings(texts, "training.checkpoint_minutes=0", "data.batch_frames=200")
    assert seqlab(*small, "run_dir=whole", "training.max_epochs=3").returncode == 0
    step, calls = LMTask.training_step, 0

    def stopped(self: LMTask, batch: Any, batch_idx: int) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls in (4, 20):
            raise KeyboardInterrupt
        return step(self, batch, batch_idx)

    monkeypatch.setattr(LMTask, "training_step", stopped)
    for status in (130, 130, 0):
        done = seqlab(*small, "training.max_epochs=3", "resume=true")
        assert done.returncode == status, done.stdout + done.stderr
    whole, resumed = last("whole"), last("run")
    for key in ("epoch", "global_step", "state_dict", "current_model_state", "optimizer_states"):
        same(whole[key], resumed[key], key)


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["corpus.dev=[]"], "corpus.dev: no text given"),
        (["corpus.train=[nowhere.txt]"], "nowhere.txt"),
        (["corpus.train=[empty.txt]"], "empty.txt: there is no text in it"),
        (["corpus.train=[long.txt]"], "long.txt:1: 20001 characters in one line"),
        (["corpus.train=[latin.txt]"], "latin.txt:1: not UTF-8"),
        (["tokenizer.alphabet='ab '"], "lacks characters of"),
        (["lm.hidden_size=0"], "hidden_size must be 1 or more"),
        (["lm.hiden_size=3"], "did you mean 'hidden_size'"),
        (["init.model=run"], "init.model: a language model starts from random weights"),
    ],
)
def test_what_is_wrong_is_named(overrides: list[str], told: str, texts: Path, seqlab: Run, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("\n\n")
    (tmp_path / "long.txt").write_text("a" * 20_001)
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9\n")
    done = seqlab(*settings(texts), *overrides)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_taken_folder_is_kept_and_other_settings_do_not_resume(texts: Path, seqlab: Run) -> None:
    small = settings(texts, "training.max_epochs=1")
    assert seqlab(*small).returncode == 0
    done = seqlab(*small)
    assert (done.returncode, "already holds a run" in done.stderr) == (2, True)
    done = seqlab(*small, "resume=true", "training.max_epochs=2", "lm.hidden_size=12")
    assert (done.returncode, "trained with other settings" in done.stderr) == (2, True)
    done = seqlab("train", "run_dir=run", "resume=true")
    assert (done.returncode, "  lm: was" in done.stderr) == (2, True)


def test_step_in_parts_has_the_gradient_of_the_whole(
    texts: Path, seqlab: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = settings(texts, "lm.dropout=0", "optimizer=sgd", "training.gradient_clip=null", "training.max_steps=3")
    assert seqlab(*small).returncode == 0
    monkeypatch.setattr(MemoryGuard, "_parts", lambda _, batch: [part_of(batch, i, i + 1) for i in range(len(batch))])
    done = seqlab(*small, "run_dir=parts")
    assert done.returncode == 0, done.stderr
    whole, parts = (
        torch.load(tmp_path / n / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for n in ("run", "parts")
    )
    for key, value in parts.items():
        assert torch.allclose(value, whole[key], atol=2e-6), key


def test_characters_of_dev_without_a_label_are_told(texts: Path, seqlab: Run, tmp_path: Path) -> None:
    (tmp_path / "dev.txt").write_text("abX\ncc\n")
    done = seqlab(*settings(texts, "training.max_epochs=1", "corpus.dev=[dev.txt]"))
    assert done.returncode == 0, done.stderr
    assert "left out of the perplexity: 'X'" in done.stdout


def test_tune_chooses_its_weight_and_keeps_it_in_the_run(
    trained: Path, corpus: Path, texts: Path, seqlab: Run, tmp_path: Path
) -> None:
    model = Path(shutil.copytree(trained, tmp_path / "model"))
    assert seqlab(*settings(corpus, f"corpus.train=[{corpus}/train.jsonl]"), "training.max_epochs=2").returncode == 0
    done = seqlab("tune", model, "--order", 2, "--beam", 4, "--neural", "run")
    assert done.returncode == 0, done.stderr
    assert "neural_weight" in done.stdout
    (model / "neural_lm.ckpt").unlink(missing_ok=True)
    NeuralLM.load("run").save(model / "neural_lm.ckpt")
    (model / "decoding.yaml").write_text(
        "decoder: {_target_: seqlab.ctc.beam.Beam, beam: 8, neural_lm: neural_lm.ckpt, neural_mode: fusion}\n"
    )
    moved = model.rename(tmp_path / "moved")
    assert stored(moved)["decoder"]["neural_lm"] == str(moved / "neural_lm.ckpt")
    row = json.loads((corpus / "test.jsonl").read_text().splitlines()[0])
    assert Recognizer.load(moved).transcribe(corpus / row["audio"]).text == row["text"]
    done = seqlab("tune", moved, "--neural", moved)
    assert (done.returncode, "it is a recogniser" in done.stderr) == (2, True)
