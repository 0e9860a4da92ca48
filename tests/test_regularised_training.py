"""Trainings with weight noise, growing layers, sorted batches and averaged checkpoints; all resume to the bit."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from seqlab.checkpoints import find_checkpoint
from seqlab.data.sampler import BucketBatches
from seqlab.stems._norm import MaskedBatchNorm
from seqlab.training.averaging import mean_weights, measure_norms
from seqlab.weight_noise import WeightNoise
from tests.conftest import Run, small_settings


def test_noise_moves_weights_for_the_gradient_alone() -> None:
    torch.manual_seed(0)
    layer, fixed = nn.Linear(100, 100), nn.Linear(3, 3).requires_grad_(False)
    weights = [*layer.parameters(), *fixed.parameters()]
    before = [w.clone() for w in weights]
    noise = WeightNoise(0.075, start=0.5)
    noise.add(weights, 0.4)
    assert all(torch.equal(w, b) for w, b in zip(weights, before, strict=True))
    noise.add(weights, 0.5)
    assert float((layer.weight - before[0]).std()) == pytest.approx(0.075, rel=0.05)
    assert torch.equal(fixed.weight, before[2])
    noisy = layer.weight.detach().clone()
    x = torch.randn(2, 100)
    layer(x).square().sum().backward()
    noise.remove()
    assert all(torch.equal(w, b) for w, b in zip(weights, before, strict=True))
    other = nn.Linear(100, 100)
    torch.manual_seed(0)
    with torch.no_grad():
        other.weight.copy_(noisy)
        other.bias.copy_(before[1])
    assert layer.weight.grad is not None
    assert layer.weight.grad.shape == noisy.shape
    clean = (layer(x).square().sum(), layer.weight)
    assert not torch.allclose(torch.autograd.grad(clean[0], [clean[1]])[0], layer.weight.grad)


def test_noise_is_that_of_the_gradient_at_moved_weights() -> None:
    weight = nn.Parameter(torch.tensor([1.0, 2.0]))
    noise = WeightNoise(0.1)
    torch.manual_seed(5)
    noise.add([weight], 0.0)
    weight.square().sum().backward()  # its gradient is twice the weight
    noise.remove()
    torch.manual_seed(5)
    assert weight.grad is not None
    torch.testing.assert_close(weight.grad, 2 * (torch.tensor([1.0, 2.0]) + 0.1 * torch.randn(2)))
    for wrong in ({"deviation": -1.0}, {"start": 2.0}):
        with pytest.raises(ValueError, match="weight_noise"):
            WeightNoise(**wrong)


def test_first_epochs_go_from_short_to_long() -> None:
    frames = torch.randint(10, 400, (300,), generator=torch.Generator().manual_seed(0)).numpy()
    batches = list(BucketBatches(frames, 1000, jitter=0.0, ordered=True))
    longest = [frames[batch].max() for batch in batches]
    assert longest == sorted(longest)
    assert sorted(i for batch in batches for i in batch) == list(range(300))
    shuffled = list(BucketBatches(frames, 1000, jitter=0.0))
    assert sorted(map(tuple, shuffled)) == sorted(map(tuple, batches))
    assert shuffled != batches


def test_mean_of_weights() -> None:
    states = [
        {"w": torch.tensor([1.0, 5.0]), "n": torch.tensor(7)},
        {"w": torch.tensor([2.0, -1.0]), "n": torch.tensor(9)},
    ]
    mean = mean_weights(states)
    assert (mean["w"].tolist(), int(mean["n"])) == ([1.5, 2.0], 7)


REGULARISED = [
    "encoder.num_layers=3",
    "encoder.grow_at=[0.3,0.6]",
    "encoder.variational=true",
    "encoder.dropout=0.1",
    "encoder.recurrent_dropout=0.1",
    "training.weight_noise=0.05",
    "training.weight_noise_from=0.25",
    "data.sorted_epochs=1",
    "loss.consistency=0.2",
    "loss.consistency_warmup=0.5",
    "augment=robust",
    "training.max_epochs=4",
]


def test_all_of_it_resumes_to_the_bit(
    corpus: Path, seqlab: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = [*small_settings(corpus), *REGULARISED]
    assert seqlab("train", *settings, "run_dir=whole").returncode == 0
    from seqlab.task import CTCTask

    original, calls = CTCTask.training_step, {"n": 0}

    def interrupted(self: CTCTask, *args: Any) -> Any:
        calls["n"] += 1
        if calls["n"] == 30:
            raise KeyboardInterrupt
        return original(self, *args)

    monkeypatch.setattr(CTCTask, "training_step", interrupted)
    assert seqlab("train", *settings, "run_dir=parts", "training.checkpoint_minutes=0").returncode != 0
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert calls["n"] == 30
    done = seqlab("train", *settings, "run_dir=parts", "resume=true")
    assert done.returncode == 0, done.stderr
    ends = [torch.load(tmp_path / run / "checkpoints" / "last.ckpt", weights_only=True) for run in ("whole", "parts")]
    assert ends[0]["global_step"] == ends[1]["global_step"]
    assert int(ends[0]["state_dict"]["model.encoder.growth.depth"]) == 3
    for key in ("state_dict", "current_model_state"):
        for name, value in ends[0][key].items():
            assert torch.equal(value, ends[1][key][name]), name


def test_best_checkpoints_are_averaged_and_validated(corpus: Path, seqlab: Run, tmp_path: Path) -> None:
    settings = [*small_settings(corpus), "training.average_best=3", "training.max_epochs=6", "normalize=global"]
    done = seqlab("train", *settings, "run_dir=run")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "run" / "checkpoints"
    averages = list(folder.glob("best-average-cer*.ckpt"))
    singles = [p for p in folder.glob("best-*.ckpt") if p not in averages]
    assert (len(averages), len(singles)) == (1, 3)
    made = torch.load(averages[0], weights_only=True)["state_dict"]
    states = [torch.load(path, weights_only=True)["state_dict"] for path in singles]
    for name, value in made.items():
        if value.is_floating_point():
            mean = torch.stack([state[name].double() for state in states]).mean(0)
            torch.testing.assert_close(value.double(), mean, atol=1e-6, rtol=0)
    assert find_checkpoint(tmp_path / "run").exists()
    found = float(averages[0].stem.rpartition("cer")[2])
    evaluated = seqlab("evaluate", f"model={averages[0]}", f"manifest={corpus}/dev.jsonl", "out=scores")
    assert evaluated.returncode == 0, evaluated.stderr
    rate = json.loads((tmp_path / "scores" / "report.json").read_text())["scores"]["cer"]["rate"]
    assert rate == pytest.approx(found, abs=1e-4)
    again = seqlab("train", *settings, "run_dir=run", "resume=true")  # a finished run: averaged anew, once
    assert again.returncode == 0, again.stderr
    assert len(list(folder.glob("best-average-*.ckpt"))) == 1


def test_statistics_of_normalisation_are_measured_anew() -> None:
    torch.manual_seed(0)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.tensor(2.0))
            self.norm = MaskedBatchNorm(1)
            self.drop = nn.Dropout(0.5)

        def forward(self, signal: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
            assert not self.drop.training  # what is normalised is what recognition sees
            return self.norm((self.scale * signal)[:, None, :, None], lengths.sum())

    batches = [SimpleNamespace(signal=3 + torch.randn(4, 50), lengths=torch.full((4,), 50)) for _ in range(3)]
    model = Model().train()
    modules: Any = SimpleNamespace(modules=model.modules, model=model, device="cpu")
    data: Any = SimpleNamespace(train_dataloader=lambda: batches)
    measure_norms(modules, data)
    mean = torch.stack([2 * b.signal.mean() for b in batches]).mean()
    variance = torch.stack([(2 * b.signal).var() for b in batches]).mean()
    torch.testing.assert_close(model.norm.running_mean[0], mean, atol=1e-4, rtol=0)
    torch.testing.assert_close(model.norm.running_var[0], variance, atol=1e-3, rtol=0)
    assert (model.norm.momentum, model.drop.training) == (0.1, True)


def test_averaging_one_checkpoint_is_refused(corpus: Path, seqlab: Run) -> None:
    done = seqlab("train", *small_settings(corpus), "training.average_best=1")
    assert (done.returncode, "average_best must be 0, or 2 or more" in done.stderr) == (2, True)
