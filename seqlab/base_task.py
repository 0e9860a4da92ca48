"""Task: what every training has in common, whatever is learnt: optimiser, learning rate, clipping, budget, resume."""

import logging
import time
from typing import Any, cast

import torch
from lightning.pytorch import LightningModule

from seqlab.batch import Batch
from seqlab.config import build
from seqlab.data.datamodule import epochs
from seqlab.errors import DataError
from seqlab.weight_noise import WeightNoise

logger = logging.getLogger(__name__)

LOG_EVERY = 10  # steps
SHARE_EVERY = 10  # batches between two exchanges of the time spent
RUNNING = ("running_mean", "running_var", "priors")  # buffers that a training batch changes


class Task(LightningModule):
    """Steps of a training under a schedule and a budget; subclasses say what is learnt and how it is validated.

    Args:
        config: plain dict with the nodes of conf/train.yaml; ``tokenizer.alphabet`` must be filled in.

    Attributes:
        monitor: the metric by which checkpoints are chosen; lower is better.
    """

    monitor: str

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.save_hyperparameters({"config": config})
        self.config = config
        self.schedule = build(config["schedule"], "schedule")
        training = config["training"]
        self.seed = int(config["seed"])
        self.max_bad_steps = int(training["max_bad_steps"])
        self.clip = training["gradient_clip"]
        self.noise = WeightNoise(training.get("weight_noise", 0.0), training.get("weight_noise_from", 0.0))
        self.budget_s = 60.0 * (training["budget_minutes"] or 0.0)
        self.spent_s = 0.0  # seconds of the budget that this process spent, earlier sessions included
        self._busiest_s: float | None = None  # those of the busiest process, when last asked; None: not yet
        self._clock = 0.0
        self.bad_steps = 0
        self.skipped_lines = 0
        self.last_loss = torch.tensor(float("nan"))
        self._samples = torch.zeros(2, dtype=torch.float64)  # of this epoch: those that count, those with padding
        self._batch_ids: list[str] = []
        self.progress = 0.0

    def told(self, metrics: dict[str, float]) -> dict[str, str]:
        """Return what the progress display says of a validation, by name; "-" for what was not logged.

        Args:
            metrics: all that was logged.
        """
        raise NotImplementedError

    @staticmethod
    def _told(metrics: dict[str, float], name: str, form: str) -> str:
        return form.format(metrics[name]) if name in metrics else "-"

    def weight(self, batch: Batch) -> int:
        """Count what the loss of a batch is a mean over; parts of a batch are weighted by it."""
        return len(batch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Build the optimiser over all weights."""
        params = [p for p in self.parameters() if p.requires_grad]
        return cast(torch.optim.Optimizer, build(self.config["optimizer"], "optimizer", params=params))

    def on_fit_start(self) -> None:
        """Start the clock of the time budget."""
        self._clock = self._now()

    def _now(self) -> float:
        if self.device.type == "cuda":
            return time.monotonic()
        return time.process_time() + float(getattr(self.trainer.datamodule, "reading_s", 0.0))  # type: ignore[attr-defined]

    def _progress(self) -> float:
        """Return the share of the run that is done: by time, steps or epochs, whichever ends it first."""
        return max(self._time_spent() if self.budget_s else 0.0, self._work_done())

    def _time_spent(self) -> float:
        """Return the share of the time budget that is spent."""
        now = self._now()
        self.spent_s += now - self._clock
        self._clock = now
        if self.trainer.world_size == 1:
            return self.spent_s / self.budget_s
        # one learning rate and one end for all, by the busiest; each keeps its own sum
        if self._busiest_s is None or self.trainer.fit_loop.epoch_loop.total_batch_idx % SHARE_EVERY == 0:
            spent = torch.tensor(self.spent_s, dtype=torch.float64, device=self.device)
            self._busiest_s = float(self.trainer.strategy.reduce(spent, reduce_op="max"))
        return self._busiest_s / self.budget_s

    def _work_done(self) -> float:
        """Return the share of the steps or epochs that is done; 0 where there is no limit."""
        trainer = self.trainer
        steps = trainer.global_step / trainer.max_steps if trainer.max_steps and trainer.max_steps > 0 else 0.0
        if (trainer.max_epochs or -1) < 0:
            return steps
        loop = trainer.fit_loop
        done = loop.epoch_loop.batch_progress.current.completed
        done -= done % trainer.accumulate_grad_batches  # the batches of a step have one learning rate
        within = done / max(float(trainer.num_training_batches), 1.0)
        return max(steps, (epochs(trainer).processed + min(within, 1.0)) / max(trainer.max_epochs or 1, 1))

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Set the learning rate and the seed of this step.

        All chance in a step (masks, dropout) follows from seed, step and rank, so that a resumed run repeats it.
        """
        self._batch_ids += batch.ids
        self.progress = self._progress()
        factor = self.schedule.factor(min(self.progress, 1.0))
        optimizer = self.trainer.optimizers[0]
        for group in optimizer.param_groups:
            group.setdefault("base_lr", group["lr"])
            group["lr"] = group["base_lr"] * factor
        step = self.trainer.fit_loop.epoch_loop.total_batch_idx
        torch.manual_seed((self.seed * 1_000_003 + step) * 4_099 + self.global_rank)
        self.noise.add(self.parameters(), self.progress)

    def on_after_backward(self) -> None:
        """Take noise off the weights, as the gradient is known; make running statistics those of all ranks."""
        self.noise.remove()
        if self.trainer.world_size > 1:
            self._share_statistics()

    @torch.no_grad()
    def _share_statistics(self) -> None:
        """Replace running statistics by their mean over ranks: they are then those of the ranks' mean statistics."""
        buffers = [buffer for name, buffer in self.named_buffers() if name.rpartition(".")[2] in RUNNING]
        if buffers:
            flat = torch.cat([buffer.flatten() for buffer in buffers])
            flat = self.trainer.strategy.reduce(flat, reduce_op="mean")
            for buffer, part in zip(buffers, flat.split([b.numel() for b in buffers]), strict=True):
                buffer.copy_(part.view_as(buffer))

    def _log_step(self, loss: torch.Tensor, batch: Batch) -> None:
        """Keep the loss of a step for the display, and log it with the learning rate."""
        self.last_loss = loss.detach()
        self._samples += torch.tensor([float(batch.lengths.sum()), float(batch.signal.shape[1] * len(batch))])
        if self._logs_now():
            self.log("train/loss", loss, batch_size=1)
            self.log("train/lr", self.trainer.optimizers[0].param_groups[0]["lr"], batch_size=1)

    def _logs_now(self) -> bool:
        """Tell whether the logger writes this step; handing values to it costs more than a small net's optimiser."""
        return (self.trainer.global_step + 1) % LOG_EVERY == 0

    def on_train_epoch_start(self) -> None:
        """Start the sums of an epoch."""
        self._samples.zero_()

    def on_train_epoch_end(self) -> None:
        """Log what concerns a whole epoch."""
        valid, padded = self._samples.tolist()
        self.log("train/padding", 1.0 - valid / max(padded, 1.0), batch_size=1)

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the gradient by norm; a gradient that is not finite is dropped, so the step changes no weight."""
        parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        norm = torch.nn.utils.clip_grad_norm_(parameters, self.clip or float("inf"))
        if torch.isfinite(norm):
            if self._logs_now():
                self.log("train/grad_norm", norm, batch_size=1)
        else:
            for parameter in parameters:
                parameter.grad = None
            self.bad_steps += 1
            ids = ", ".join(self._batch_ids)
            logger.warning("step %d skipped: loss or gradient not finite; its lines: %s", self.global_step, ids)
            if self.bad_steps >= self.max_bad_steps:
                raise DataError(
                    f"{self.bad_steps} steps had a loss or gradient that is not finite (training.max_bad_steps); the "
                    f"last one at step {self.global_step} with the lines {ids}. Lower optimizer.lr, set "
                    "training.gradient_clip, use training.precision=32-true, or look at these lines with seqlab doctor"
                )
        self._batch_ids = []
        if self._logs_now():
            self.log("train/skipped", float(self.skipped_lines + self.bad_steps), batch_size=1)

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """Stop when the time budget is spent."""
        if self.budget_s and self.progress >= 1.0:
            self.trainer.should_stop = True

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save what the run needs beside weights and optimiser."""
        checkpoint["seqlab"] = {
            "spent_s": max(self.spent_s, self._busiest_s or 0.0),  # one file for all processes
            "bad_steps": self.bad_steps,
            "skipped_lines": self.skipped_lines,
            "schedule": self.schedule.state_dict(),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore it."""
        state = checkpoint["seqlab"]
        self.spent_s, self.bad_steps = state["spent_s"], state["bad_steps"]
        self.skipped_lines = state["skipped_lines"]
        self.schedule.load_state_dict(state["schedule"])
