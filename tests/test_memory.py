"""Out of memory: found before step 1, survived in the middle, named when nothing helps."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from seqlab.batch import Example, collate
from seqlab.ctc.loss import CTCLoss
from seqlab.data.datamodule import DataModule
from seqlab.data.sampler import BucketBatches
from seqlab.training.memory import is_out_of_memory, part_of
from seqlab.training.trainer import Training
from tests.conftest import Run, small_settings

SETTINGS = ["run_dir=run", "augment=none", "normalize=none", "optimizer=sgd", "training.ema=null"]


def shortage(monkeypatch: pytest.MonkeyPatch, frames: int, from_call: int = 0) -> list[int]:
    """Let batches of more than so many frames fail, from the given call of the training loss on; returns sizes."""
    sizes: list[int] = []
    calls = {"n": 0}
    original = CTCLoss.forward

    def forward(self: CTCLoss, log_probs: Tensor, *rest: Tensor) -> Tensor:
        if log_probs.requires_grad:
            calls["n"] += 1
            size = log_probs.shape[0] * log_probs.shape[1]
            if calls["n"] > from_call and size > frames:
                raise RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate")
            sizes.append(size)
        return original(self, log_probs, *rest)

    monkeypatch.setattr(CTCLoss, "forward", forward)
    return sizes


def weights(folder: Path) -> dict[str, Tensor]:
    state: dict[str, Tensor] = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    return state


def test_budget_is_lowered_before_the_first_step(
    corpus: Path, seqlab: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = shortage(monkeypatch, 120)  # of 200 output frames per batch
    done = seqlab("train", *small_settings(corpus), *SETTINGS)
    assert done.returncode == 0, done.stderr
    assert max(sizes) <= 120
    log = (tmp_path / "run" / "train.log").read_text()
    assert "data.batch_frames=256 fits into memory (400 was asked for)" in log  # 400 x 0.8 x 0.8
    assert "out of memory" not in log


@pytest.mark.parametrize("accumulate", [1, 2])
def test_step_that_runs_out_is_done_in_parts_with_the_same_gradient(
    corpus: Path, seqlab: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, accumulate: int
) -> None:
    steps = ["training.max_steps=3", "schedule=constant", "training.gradient_clip=null"]
    steps.append(f"training.accumulate={accumulate}")
    assert seqlab("train", *small_settings(corpus), *SETTINGS, *steps).returncode == 0
    whole = weights(tmp_path / "run")
    sizes = shortage(monkeypatch, 120, from_call=2)  # the trial and the first step pass
    done = seqlab("train", *small_settings(corpus), *SETTINGS, *steps, "run_dir=again")
    assert done.returncode == 0, done.stderr
    log = (tmp_path / "again" / "train.log").read_text()
    assert "out of memory with " in log
    assert "the step done in parts; its lines: train-0" in log
    assert max(sizes[2:]) <= 120
    for key, value in weights(tmp_path / "again").items():
        assert torch.allclose(value, whole[key], atol=2e-6), key


def test_shortage_in_the_backward_pass_is_survived(
    corpus: Path, seqlab: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = ["training.max_steps=3", "schedule=constant", "training.gradient_clip=null"]
    assert seqlab("train", *small_settings(corpus), *SETTINGS, *steps).returncode == 0
    whole = weights(tmp_path / "run")
    original, calls = Tensor.backward, {"n": 0}

    def backward(self: Tensor, *arguments: object, **named: object) -> None:
        calls["n"] += 1
        original(self, *arguments, **named)  # type: ignore[arg-type]
        if calls["n"] == 3:  # the trial, the first step, and now too late: gradients are there already
            raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Tensor, "backward", backward)
    done = seqlab("train", *small_settings(corpus), *SETTINGS, *steps, "run_dir=again")
    assert done.returncode == 0, done.stderr
    for key, value in weights(tmp_path / "again").items():
        assert torch.allclose(value, whole[key], atol=2e-6), key


def test_line_that_never_fits_is_named(corpus: Path, seqlab: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    shortage(monkeypatch, 3)
    done = seqlab("train", *small_settings(corpus), *SETTINGS)
    assert done.returncode == 2
    assert "this line alone does not fit into memory" in done.stderr


def test_trial_leaves_no_trace(corpus: Path, seqlab: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = [*small_settings(corpus), "encoder.dropout=0.2", "normalize=global"]
    assert seqlab("train", *settings, "run_dir=run").returncode == 0
    monkeypatch.setattr(DataModule, "_try", lambda *_: None)
    assert seqlab("train", *settings, "run_dir=untried").returncode == 0
    first, second = weights(tmp_path / "run"), weights(tmp_path / "untried")
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("most", [700, 1000, 1999, 10**9])
def test_search_finds_the_largest_budget(most: int) -> None:
    frames = np.random.default_rng(0).integers(10, 100, 500)

    class Sized(DataModule):
        def __init__(self) -> None:
            self.batch_frames, self.limit, self.find_budget = 400, None, True
            self.train_set = list(range(500))  # type: ignore[assignment]
            self.fits = lambda batch: batch <= most  # type: ignore[assignment]

    data = Sized()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("seqlab.data.datamodule.collate", lambda lines: len(lines) * int(frames[lines].max()))
        data._try(lambda budget: BucketBatches(frames, budget, 10**6))
    assert data.limit is not None
    worst = BucketBatches(frames, data.limit, 10**6).worst()
    assert len(worst) * frames[worst].max() <= most
    if most < 10**9:
        assert data.limit >= most / 1.3
    else:
        assert len(BucketBatches(frames, data.limit, 10**6)) == 1  # everything in one batch


def test_search_needs_a_gpu(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="find_budget needs a GPU"):
        Training(str(tmp_path), accelerator="cpu", find_budget=True)


def test_errors_of_memory_are_told_from_others() -> None:
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"))
    assert is_out_of_memory(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"))
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not is_out_of_memory(ValueError("out of memory"))


def test_part_of_a_batch_is_padded_no_further_than_needed() -> None:
    examples = [Example(str(n), torch.full((n,), float(n)), "", torch.arange(1, n)) for n in (4, 2, 3)]
    part = part_of(collate(examples), 1, 3)
    assert part.signal.tolist() == [[2, 2, 0], [3, 3, 3]]
    assert part.labels.tolist() == [[1, 0], [1, 2]]
    assert (part.ids, part.lengths.tolist(), part.label_lengths.tolist()) == (["2", "3"], [2, 3], [1, 2])
