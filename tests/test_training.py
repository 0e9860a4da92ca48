"""What training does when things go wrong, and how it spends its budget."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from torch import Tensor

from seqlab.batch import Batch
from seqlab.config import compose
from seqlab.ctc.loss import CTCLoss
from seqlab.task import CTCTask
from seqlab.training.metrics_csv import MetricsCSV
from seqlab.training.trainer import moving_average
from tests.conftest import Run, small_settings


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def poison(monkeypatch: pytest.MonkeyPatch, bad: set[int] | None) -> None:
    """Make the training loss NaN in the given calls, or in all of them."""
    calls = {"n": 0}
    original = CTCLoss.forward

    def forward(self: CTCLoss, log_probs: Tensor, *rest: Tensor) -> Tensor:
        losses: Tensor = original(self, log_probs, *rest)
        if losses.requires_grad:
            calls["n"] += 1
            if bad is None or calls["n"] in bad:
                return losses * float("nan")
        return losses

    monkeypatch.setattr(CTCLoss, "forward", forward)


def test_bad_step_is_skipped_counted_and_named(
    corpus: Path, seqlab: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(monkeypatch, {3, 5})
    done = seqlab("train", *small_settings(corpus), "run_dir=run")
    assert done.returncode == 0, done.stderr
    log = (tmp_path / "run" / "train.log").read_text()
    assert log.count("skipped: loss or gradient not finite; its lines: train-0") == 2
    assert max(float(r["train/skipped"]) for r in rows(tmp_path / "run") if r["train/skipped"]) == 2
    checkpoint = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert all(torch.isfinite(v).all() for v in checkpoint["state_dict"].values())


def test_too_many_bad_steps_stop_the_run_with_the_reason(
    corpus: Path, seqlab: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(monkeypatch, None)
    done = seqlab("train", *small_settings(corpus), "run_dir=run", "training.max_bad_steps=4")
    assert done.returncode == 2
    assert "4 steps had a loss or gradient that is not finite (training.max_bad_steps)" in done.stderr
    assert "Lower optimizer.lr" in done.stderr


def test_all_blank_counts_validations(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    from seqlab import task as module

    class Trainer:
        world_size = 1
        sanity_checking = False

    class Stub:
        trainer = Trainer()
        all_blank = 0
        monitor = "val/cer"
        schedule = module.build({"_target_": "seqlab.schedules.Constant"}, "schedule")
        _all_ranks = staticmethod(lambda sums: sums)

        def log(self, *args: object, **kwargs: object) -> None: ...

    stub = Stub()
    counts = module.Counts(0, 0, 5, 0)
    for blank in (10, 10, 10, 10, 9, 10):
        stub._sums = {"words": counts, "characters": counts, "loss": 1.0, "lines": 1, "blank": blank, "frames": 10}  # type: ignore[attr-defined]
        module.CTCTask.on_validation_epoch_end(stub)  # type: ignore[arg-type]
    messages = [r.getMessage()[:30] for r in caplog.records]
    first, stuck = "the output is all blank: norma", "the output is still all blank."
    assert messages == [first, stuck, first]


def test_phones_are_judged_by_their_folded_error_rate() -> None:
    config = compose("train", ["tokenizer=timit", "frontend.num_mels=24", "encoder.hidden_size=8"])
    config["tokenizer"]["alphabet"] = ["aa", "ao", "b"]
    task = CTCTask(config)
    assert task.monitor == "val/wer"
    task.decoder = lambda log_probs, lengths: [SimpleNamespace(labels=[2, 3])]  # ao b; ao is scored as aa
    labels = torch.tensor([[1, 3, 3]])
    batch = Batch(["x"], torch.zeros(1, 16000), torch.tensor([16000]), ["aa b b"], labels, torch.tensor([3]))
    task.eval()
    task.on_validation_epoch_start()
    with torch.no_grad():
        task.validation_step(batch, 0)
    words = task._sums["words"]
    assert (words.hits, words.substitutions, words.deletions, words.insertions) == (2, 0, 1, 0)
    assert (
        CTCTask(config | {"tokenizer": {**compose("train", [])["tokenizer"], "alphabet": ["a"]}}).monitor == "val/cer"
    )


def test_time_budget_ends_the_run_annealed(corpus: Path, seqlab: Run, tmp_path: Path) -> None:
    done = seqlab(
        "train", *small_settings(corpus), "run_dir=run", "training.budget_minutes=0.05", "training.max_epochs=null"
    )
    assert done.returncode == 0, done.stderr
    rates = [float(r["train/lr"]) for r in rows(tmp_path / "run") if r["train/lr"]]
    assert rates[-1] < 0.2 * max(rates)


def test_epochs_end_a_run_whose_time_budget_is_longer(corpus: Path, seqlab: Run, tmp_path: Path) -> None:
    done = seqlab("train", *small_settings(corpus), "run_dir=run", "training.budget_minutes=60")
    assert done.returncode == 0, done.stderr
    assert " steps, 2 epochs in " in done.stdout
    rates = [float(r["train/lr"]) for r in rows(tmp_path / "run") if r["train/lr"]]
    assert rates[-1] < 0.2 * max(rates)  # the schedule followed the epochs, not the hour


def test_seed_decides_the_result(corpus: Path, seqlab: Run, tmp_path: Path) -> None:
    weights = []
    for run, seed in (("a", 1), ("b", 1), ("c", 2)):
        done = seqlab("train", *small_settings(corpus), f"run_dir={run}", f"seed={seed}", "encoder.dropout=0.1")
        assert done.returncode == 0, done.stderr
        checkpoint = torch.load(tmp_path / run / "checkpoints" / "last.ckpt", weights_only=True)
        weights.append(checkpoint["state_dict"]["model.head.weight"])
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_two_views_of_each_line_are_masked_apart(
    corpus: Path, seqlab: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from seqlab import task as module

    seen = []
    original = module.disagreement

    def disagreement(log_probs: Tensor, lengths: Tensor) -> Tensor:
        seen.append((len(log_probs), lengths.chunk(2), float(original(log_probs, lengths).detach().sum())))
        return original(log_probs, lengths)

    monkeypatch.setattr(module, "disagreement", disagreement)
    done = seqlab("train", *small_settings(corpus), "run_dir=run", "loss.consistency=0.2", "loss.shortcut=0.3")
    assert done.returncode == 0, done.stderr
    assert seen
    assert all(views % 2 == 0 and first.equal(second) and apart > 0 for views, (first, second), apart in seen)
    assert all(float(r["train/loss"]) > 0 for r in rows(tmp_path / "run") if r["train/loss"])


def test_global_normalisation_and_bf16_train(corpus: Path, seqlab: Run, tmp_path: Path) -> None:
    settings = ["normalize=global", "training.precision=bf16-mixed", "training.accumulate=2", "optimizer=sgd"]
    done = seqlab("train", *small_settings(corpus), *settings, "run_dir=run", "training.early_stopping=1")
    assert done.returncode == 0, done.stderr
    checkpoint = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert bool(checkpoint["state_dict"]["model.normalize.fitted"])


def test_overwrite_replaces_a_run(corpus: Path, seqlab: Run, tmp_path: Path) -> None:
    assert seqlab("train", *small_settings(corpus), "run_dir=run").returncode == 0
    done = seqlab("train", *small_settings(corpus), "run_dir=run", "overwrite=true", "training.max_epochs=1")
    assert done.returncode == 0, done.stderr
    assert {r["epoch"] for r in rows(tmp_path / "run")} == {"0"}


def test_moving_average_forgets_the_first_weights() -> None:
    average = moving_average(0.9)
    one, two = torch.tensor([1.0]), torch.tensor([2.0])
    assert average(one, two, torch.tensor(0)).item() == pytest.approx(1.9)  # decay (1 + 0) / (10 + 0)
    assert average(one, two, torch.tensor(80)).item() == pytest.approx(1.1)  # decay 0.9 = (1 + 80) / (10 + 80)
    assert average(one, two, torch.tensor(10**6)).item() == pytest.approx(1.1)


def test_metrics_survive_a_resume(tmp_path: Path) -> None:
    log = MetricsCSV(str(tmp_path))
    for step in (0, 10, 20):
        log.log_metrics({"a": step, "epoch": 0}, step)
    log.log_metrics({"b": 1.5, "epoch": 0}, 20)
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("1,3")  # killed in the middle of a row
    again = MetricsCSV(str(tmp_path))
    again.log_metrics({"a": 11, "c": 1.0, "epoch": 1}, 20)
    assert [(r["step"], r["a"], r["b"], r["c"]) for r in rows(tmp_path)] == [
        ("0", "0", "", ""),
        ("10", "10", "", ""),
        ("20", "11", "", "1"),
    ]


@pytest.mark.slow
def test_two_processes_train_on_one_machine(corpus: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "seqlab", "train", *small_settings(corpus), "run_dir=run", "training.devices=2"]
    command += ["training.accelerator=cpu", "training.max_epochs=3"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=os.environ, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("best checkpoint: ") == 1
    record = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert record["seqlab"]


def test_overwrite_keeps_the_old_run_until_the_new_one_can_begin(corpus: Path, seqlab: Run, tmp_path: Path) -> None:
    assert seqlab("train", *small_settings(corpus), "run_dir=run").returncode == 0
    before = sorted(p.name for p in (tmp_path / "run" / "checkpoints").iterdir())
    done = seqlab("train", *small_settings(corpus), "run_dir=run", "overwrite=true", "corpus.train=[nope.jsonl]")
    assert done.returncode == 2
    assert sorted(p.name for p in (tmp_path / "run" / "checkpoints").iterdir()) == before


def test_rate_is_annealed_by_whichever_limit_comes_first(corpus: Path, seqlab: Run, tmp_path: Path) -> None:
    done = seqlab("train", *small_settings(corpus), "run_dir=run", "training.max_steps=10000")
    assert done.returncode == 0, done.stderr
    rates = [float(r["train/lr"]) for r in rows(tmp_path / "run") if r["train/lr"]]
    assert rates[-1] < 0.5 * max(rates)


def test_resume_refuses_another_optimiser_and_fewer_epochs(corpus: Path, seqlab: Run) -> None:
    assert seqlab("train", *small_settings(corpus), "run_dir=run").returncode == 0
    done = seqlab("train", *small_settings(corpus), "run_dir=run", "resume=true", "optimizer.lr=0.5")
    assert (done.returncode, "trained with other settings" in done.stderr) == (2, True)
    done = seqlab("train", *small_settings(corpus), "run_dir=run", "resume=true", "training.max_epochs=1")
    assert (done.returncode, "training.max_epochs=1 leaves none" in done.stderr) == (2, True)


def test_resume_takes_a_configuration_that_names_less(corpus: Path, seqlab: Run, tmp_path: Path) -> None:
    small = [*small_settings(corpus), "run_dir=run"]
    assert seqlab("train", *small).returncode == 0
    saved = yaml.safe_load((tmp_path / "run/config.yaml").read_text())
    assert saved["encoder"].pop("grow_at") == []  # as if the setting had come later, with its default
    (tmp_path / "run/config.yaml").write_text(yaml.safe_dump(saved))
    done = seqlab("train", *small, "resume=true", "training.max_epochs=3")
    assert done.returncode == 0, done.stderr
    done = seqlab("train", *small, "resume=true", "training.max_epochs=4", "encoder.variational=true")
    assert (done.returncode, "trained with other settings" in done.stderr) == (2, True)


def test_resume_refuses_a_loss_with_other_state(corpus: Path, seqlab: Run) -> None:
    small = [*small_settings(corpus), "run_dir=run", "encoder.num_layers=2"]
    assert seqlab("train", *small, "loss=intermediate").returncode == 0
    done = seqlab("train", *small, "resume=true", "training.max_epochs=3", "loss=priors", "loss.shortcut=0.1")
    assert done.returncode == 2
    assert "loss.prior_weight: was 0.0, is 0.6\n  loss.shortcut: was 0.0, is 0.1" in done.stderr
    done = seqlab("train", *small, "resume=true", "training.max_epochs=3", "loss.smoothing=0.1")
    assert done.returncode == 0, done.stderr  # a weight without state may change


def test_resume_without_the_last_checkpoint_keeps_the_best(corpus: Path, seqlab: Run, tmp_path: Path) -> None:
    assert seqlab("train", *small_settings(corpus), "run_dir=run").returncode == 0
    folder = tmp_path / "run" / "checkpoints"
    (folder / "last.ckpt").unlink()
    best = sorted(folder.iterdir())
    done = seqlab("train", *small_settings(corpus), "run_dir=run", "resume=true")
    assert (done.returncode, "no last.ckpt to go on from" in done.stderr) == (2, True)
    assert "init.model=" in done.stderr
    assert "overwrite=true" in done.stderr
    assert sorted(folder.iterdir()) == best


def test_rejoining_without_recordings_of_the_speakers_is_refused(corpus: Path, seqlab: Run, tmp_path: Path) -> None:
    lines = [json.loads(r) for r in (corpus / "train.jsonl").read_text().splitlines()]
    pool = [r | {"speaker": "nobody", "audio": str(corpus / r["audio"])} for r in lines]
    (tmp_path / "pool.jsonl").write_text("".join(json.dumps(r) + "\n" for r in pool))
    done = seqlab("train", *small_settings(corpus), "run_dir=run", "augment=rejoin", "corpus.rejoin_from=[pool.jsonl]")
    assert (done.returncode, "holds no recording of any speaker" in done.stderr) == (2, True)


def test_sweep_names_every_bad_job_and_runs_the_others(corpus: Path, seqlab: Run, tmp_path: Path) -> None:
    settings = [*small_settings(corpus), "run_dir=run", "training.max_epochs=1", "-m", "encoder.hidden_size=4,wide,-1"]
    done = seqlab("train", *settings)
    assert done.returncode == 2
    assert "2 jobs of the sweep failed" in done.stderr
    assert "encoder.hidden_size: must be int, got 'wide'" in done.stderr
    assert (tmp_path / "run-sweep" / "0" / "checkpoints" / "last.ckpt").exists()


@pytest.mark.parametrize("workers", [0, 1])
def test_recording_that_vanishes_is_named(corpus: Path, seqlab: Run, tmp_path: Path, workers: int) -> None:
    from seqlab.verbs import train as verb

    lines = [json.loads(r) for r in (corpus / "train.jsonl").read_text().splitlines()]
    whole = (corpus / lines[7]["audio"]).read_bytes()
    (tmp_path / "cut.wav").write_bytes(whole)
    paths = [r | {"audio": str(corpus / r["audio"])} for r in lines]
    paths[7]["audio"] = "cut.wav"
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(r) + "\n" for r in paths))
    original = verb._examine

    def examine_then_break(*arguments: object) -> object:
        found = original(*arguments)  # type: ignore[arg-type]
        (tmp_path / "cut.wav").write_bytes(whole[:100])
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verb, "_examine", examine_then_break)
        settings = [*small_settings(corpus), "run_dir=run", "corpus.train=[train.jsonl]", f"data.num_workers={workers}"]
        done = seqlab("train", *settings)
    assert done.returncode == 2
    assert "line train-007" in done.stderr
    assert "Traceback" not in done.stderr
