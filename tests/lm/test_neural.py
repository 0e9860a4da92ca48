"""The neural language model: its probabilities, its steps, its files."""

import itertools
import math
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from seqlab.errors import DataError
from seqlab.lm.neural import EDGE, NeuralLM
from tests.conftest import Run

NODE = {"_target_": "seqlab.lm.neural.NeuralLM", "embedding_size": 5, "hidden_size": 7, "num_layers": 2, "dropout": 0.3}


def tiny(num_symbols: int = 4, seed: int = 0) -> NeuralLM:
    torch.manual_seed(seed)
    sizes: dict[str, Any] = {key: value for key, value in NODE.items() if key != "_target_"}
    model = NeuralLM(num_symbols, **sizes).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4)  # far from uniform
    return model.requires_grad_(False)


def checkpoint(path: Path, alphabet: str = "abc", **changes: Any) -> Path:
    """Write a model of characters as a checkpoint."""
    config = {"tokenizer": {"_target_": "seqlab.tokenizers.characters.Characters", "alphabet": alphabet}, "lm": NODE}
    weights = {f"model.{key}": value for key, value in tiny(len(alphabet) + 1).state_dict().items()}
    torch.save({"hyper_parameters": {"config": config}, "state_dict": weights} | changes, path)
    return path


def test_score_is_the_sum_of_steps() -> None:
    model, lines = tiny(), [[1, 2, 3, 3, 1], [2], []]
    labels = torch.nn.utils.rnn.pad_sequence([torch.tensor(x, dtype=torch.int64) for x in lines], batch_first=True)
    scores = model.score(labels, torch.tensor([len(x) for x in lines]))
    for line, score in zip(lines, scores.tolist(), strict=True):
        total, (log_probs, state) = 0.0, model.step(torch.tensor([EDGE]))
        for label in line:
            total += float(log_probs[0, label])
            log_probs, state = model.step(torch.tensor([label]), state)
        assert score == pytest.approx(total + float(log_probs[0, EDGE]), abs=1e-5)


def test_probabilities_sum_to_one() -> None:
    model = tiny()
    sums = model(torch.randint(1, 4, (3, 6))).exp().sum(2)
    assert torch.allclose(sums, torch.ones(3, 7), atol=1e-5)
    # all lines of up to three symbols, and the begins of all longer ones
    total = 0.0
    for length in range(4):
        lines = torch.tensor(list(itertools.product((1, 2, 3), repeat=length)), dtype=torch.int64)
        total += float(model.score(lines, torch.full((len(lines),), length)).exp().sum())
    begins = torch.tensor(list(itertools.product((1, 2, 3), repeat=4)))
    ahead = model(begins)[:, :4].gather(2, begins[:, :, None]).sum((1, 2)).exp().sum()
    assert total + float(ahead) == pytest.approx(1, abs=1e-5)


def test_padding_never_changes_a_result() -> None:
    model = tiny()
    labels, lengths = torch.randint(1, 4, (5, 9)), torch.tensor([9, 4, 0, 7, 1])
    for row, length in zip(labels, lengths.tolist(), strict=True):
        row[length:] = EDGE
    together = model.score(labels, lengths)
    padded = model.score(torch.nn.functional.pad(labels, (0, 30)), lengths)
    alone = [
        model.score(row[None, :length], torch.tensor([length])) for row, length in zip(labels, lengths, strict=True)
    ]
    assert torch.allclose(together, padded, atol=1e-5)
    assert torch.allclose(together, torch.cat(alone), atol=1e-5)


def test_a_saved_model_is_the_same_and_carries_no_optimiser(tmp_path: Path) -> None:
    model = NeuralLM.load(checkpoint(tmp_path / "a.ckpt", optimizer_states=[torch.zeros(9)]))
    model.save(tmp_path / "b.ckpt")
    again = NeuralLM.load(tmp_path / "b.ckpt")
    labels, lengths = again.encode(["abca", "", "cxb"])
    assert (labels.tolist(), lengths.tolist()) == ([[1, 2, 3, 1], [0, 0, 0, 0], [3, 2, 0, 0]], [4, 0, 2])
    assert again.score(labels, lengths).equal(model.score(labels, lengths))
    assert set(torch.load(tmp_path / "b.ckpt", weights_only=True)) == {"hyper_parameters", "state_dict"}


class Attack:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch ran",)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"hyper_parameters": Attack()}, "no plain file of weights"),
        ({"hyper_parameters": {"config": {}}}, "'tokenizer'"),
        ({"state_dict": {}}, "Error.s. in loading state_dict"),
        (
            {"hyper_parameters": {"config": {"tokenizer": {"_target_": "os.system", "command": "touch ran"}}}},
            "not allowed",
        ),
    ],
)
def test_hostile_checkpoints_are_refused(
    changes: dict[str, Any], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    checkpoint(tmp_path / "bad.ckpt", **changes)
    with pytest.raises(DataError, match=rf"bad\.ckpt is no neural language model.*{told}"):
        NeuralLM.load("bad.ckpt")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("change", [{"hidden_size": 10**9}, {"_target_": "seqlab.checkpoints.find_checkpoint"}])
def test_false_sizes_and_foreign_targets_cost_nothing(change: dict[str, Any], tmp_path: Path) -> None:
    good = torch.load(checkpoint(tmp_path / "bad.ckpt"), weights_only=True)
    good["hyper_parameters"]["config"]["lm"] |= change
    torch.save(good, tmp_path / "bad.ckpt")
    with pytest.raises(DataError, match="no neural language model"):
        NeuralLM.load(tmp_path / "bad.ckpt")


def test_a_recogniser_is_no_language_model_nor_the_reverse(trained: Path, tmp_path: Path, seqlab: Run) -> None:
    with pytest.raises(DataError, match="it is a recogniser"):
        NeuralLM.load(trained)
    checkpoint(tmp_path / "lm.ckpt")
    done = seqlab("transcribe", "lm.ckpt", "a.wav")
    assert (done.returncode, "lm.ckpt is a language model, no recogniser" in done.stderr) == (2, True)


def test_wrong_sizes_are_named() -> None:
    with pytest.raises(ValueError, match="hidden_size must be 1 or more"):
        NeuralLM(4, hidden_size=0)
    with pytest.raises(ValueError, match="dropout must lie in"):
        NeuralLM(4, dropout=1.0)


def test_lm_score_tells_perplexity(tmp_path: Path, seqlab: Run) -> None:
    model = NeuralLM.load(checkpoint(tmp_path / "lm.ckpt"))
    (tmp_path / "text.txt").write_text("abc\n\ncxa\n")
    done = seqlab("lm", "score", "lm.ckpt", "text.txt")
    assert done.returncode == 0, done.stderr
    perplexity = math.exp(-float(model.score(*model.encode(["abc", "ca"])).sum()) / 7)
    assert done.stdout.split()[-6:] == ["text.txt", "2", "7", "1", done.stdout.split()[-2], f"{perplexity:.4f}"]
    assert seqlab("lm", "score", "nothing.ckpt", "text.txt").returncode == 2
