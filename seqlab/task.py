"""CTCTask: one training step, one validation, one optimiser, and what is logged."""

import logging
import time
from typing import Any, cast

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from seqlab.batch import Batch
from seqlab.config import build
from seqlab.ctc.feasibility import infeasible
from seqlab.data.datamodule import epochs
from seqlab.errors import DataError
from seqlab.model import CTCModel, freeze
from seqlab.scoring import Counts, char_counts, word_counts

logger = logging.getLogger(__name__)

LOG_EVERY = 10  # steps
ALL_BLANK_PATIENCE = 3  # validations that may be all blank before causes are listed
ALL_BLANK_HELP = (
    "the output is still all blank. Try a higher or lower learning rate (optimizer.lr), a longer warm-up "
    "(schedule.warmup), smaller batches (data.batch_frames), fewer masks (augment=none), global normalisation "
    "(normalize=global) or a smaller stem stride, and look at the doctor's list: wrong case, wrong language and "
    "swapped transcripts look like this too"
)


class CTCTask(LightningModule):
    """Training and validation of a CTC model.

    Args:
        config: plain dict with the nodes of conf/train.yaml; ``tokenizer.alphabet`` must be filled in.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.save_hyperparameters({"config": config})
        self.config = config
        self.tokenizer = build(config["tokenizer"], "tokenizer")
        self.model = CTCModel(config, len(self.tokenizer.symbols))
        self.frozen = list(config["init"]["freeze"]) if "init" in config else []
        freeze(self.model, self.frozen)
        self.loss = build(config["loss"], "loss")
        self.shortcut = None  # not in the model: recognition does without it
        if self.loss.shortcut:
            self.shortcut = nn.Conv1d(self.model.stem.num_features, len(self.tokenizer.symbols), 3, padding=1)
        self.decoder = build(config["decoder"], "decoder")
        self.schedule = build(config["schedule"], "schedule")
        training = config["training"]
        self.seed = int(config["seed"])
        self.max_bad_steps = int(training["max_bad_steps"])
        self.clip = training["gradient_clip"]
        self.budget_s = 60.0 * (training["budget_minutes"] or 0.0)
        self.spent_s = 0.0  # seconds of the budget spent, earlier sessions of a resumed run included
        self._clock = 0.0
        self.bad_steps = 0
        self.skipped_lines = 0
        self.last_loss = torch.tensor(float("nan"))
        self._samples = torch.zeros(2, dtype=torch.float64)  # of this epoch: those that count, those with padding
        self._named: set[str] = set()
        self._batch_ids: list[str] = []
        self._sums: dict[str, Any] = {}
        self.progress = 0.0
        self.all_blank = 0  # validations in a row without a symbol
        self.train()  # Lightning leaves modes as they are: frozen parts are to be out of training from the start

    # ---- training

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Build the optimiser over all weights."""
        params = [p for p in self.parameters() if p.requires_grad]
        return cast(torch.optim.Optimizer, build(self.config["optimizer"], "optimizer", params=params))

    def train(self, mode: bool = True) -> "CTCTask":
        """Switch to training; frozen parts stay as they are at recognition, statistics and dropout included."""
        super().train(mode)
        for part in self.frozen:
            getattr(self.model, part).eval()
        return self

    def on_fit_start(self) -> None:
        """Start the clock of the time budget."""
        self._clock = self._now()

    def _now(self) -> float:
        return time.monotonic() if self.device.type == "cuda" else time.process_time()

    def _progress(self) -> float:
        """Return the share of the run that is done, by time, steps or epochs."""
        if self.budget_s:
            now = self._now()
            self.spent_s += now - self._clock
            self._clock = now
            return self.spent_s / self.budget_s
        trainer = self.trainer
        steps = trainer.global_step / trainer.max_steps if trainer.max_steps and trainer.max_steps > 0 else 0.0
        if (trainer.max_epochs or -1) < 0:
            return steps
        loop = trainer.fit_loop
        within = loop.epoch_loop.batch_progress.current.completed / max(float(trainer.num_training_batches), 1.0)
        return max(steps, (epochs(trainer).processed + min(within, 1.0)) / max(trainer.max_epochs or 1, 1))

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Set the learning rate and the seed of this step.

        All chance in a step (masks, dropout) follows from seed, step and rank, so that a resumed run repeats it.
        """
        self.progress = self._progress()
        factor = self.schedule.factor(min(self.progress, 1.0))
        optimizer = self.trainer.optimizers[0]
        for group in optimizer.param_groups:
            group.setdefault("base_lr", group["lr"])
            group["lr"] = group["base_lr"] * factor
        step = self.trainer.fit_loop.epoch_loop.total_batch_idx
        torch.manual_seed((self.seed * 1_000_003 + step) * 4_099 + self.global_rank)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Compute the loss of a batch."""
        self._batch_ids += batch.ids
        x, frames = self.model.frames(batch.signal, batch.lengths)
        log_probs, lengths = self.model.read(x, frames)
        losses = self.loss(log_probs, lengths, batch.labels, batch.label_lengths)
        if self.shortcut is not None:
            side = self.shortcut(x.transpose(1, 2)).transpose(1, 2).float().log_softmax(2)
            losses = losses + self.loss.shortcut * self.loss(side, frames, batch.labels, batch.label_lengths)
        self._count_infeasible(batch, lengths)
        loss = self.loss.mean(losses, batch.label_lengths)
        self.last_loss = loss.detach()
        self._samples += torch.tensor([float(batch.lengths.sum()), float(batch.signal.shape[1] * len(batch))])
        if self._logs_now():
            self.log("train/loss", loss, batch_size=1)
            self.log("train/lr", self.trainer.optimizers[0].param_groups[0]["lr"], batch_size=1)
        return loss

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

    def _count_infeasible(self, batch: Batch, lengths: Tensor) -> None:
        bad = infeasible(lengths, batch.labels, batch.label_lengths)
        if not bool(bad.any()):
            return
        self.skipped_lines += int(bad.sum())
        new = [i for i, b in zip(batch.ids, bad.tolist(), strict=True) if b and i not in self._named]
        if new and len(self._named) < 50:
            self._named.update(new)
            logger.warning("too few frames for their labels, not learnt from: %s", ", ".join(new))

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

    # ---- validation

    def on_validation_epoch_start(self) -> None:
        """Start the sums of a validation."""
        self._sums = {"words": Counts(), "characters": Counts(), "loss": 0.0, "lines": 0, "blank": 0, "frames": 0}

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Decode a batch and add up its errors."""
        log_probs, lengths = self.model(batch.signal, batch.lengths)
        losses = self.loss(log_probs, lengths, batch.labels, batch.label_lengths)
        sums = self._sums
        sums["loss"] += float((losses / batch.label_lengths.clamp(min=1)).sum())
        sums["lines"] += len(batch)
        path = log_probs.argmax(2)
        for row, length in zip(path, lengths.tolist(), strict=True):
            sums["blank"] += int((row[:length] == 0).sum())
            sums["frames"] += length
        for reference, hypothesis in zip(batch.texts, self.decoder(log_probs, lengths), strict=True):
            text = self.tokenizer.decode(hypothesis.labels)
            sums["words"] += word_counts(reference, text)
            sums["characters"] += char_counts(reference, text)

    def on_validation_epoch_end(self) -> None:
        """Log rates made of sums over all lines (and all ranks)."""
        sums = self._all_ranks(self._sums)
        words, characters = sums["words"], sums["characters"]
        blank = sums["blank"] / max(sums["frames"], 1)
        values = {
            "val/loss": sums["loss"] / max(sums["lines"], 1),
            "val/cer": characters.rate,
            "val/wer": words.rate,
            "val/blank": blank,
        }
        for name, value in values.items():
            self.log(name, value, prog_bar=name != "val/loss", rank_zero_only=False, batch_size=1)
        if self.trainer.sanity_checking:
            return
        self.schedule.epoch_end(characters.rate)
        self.all_blank = self.all_blank + 1 if blank > 0.999 else 0
        if self.all_blank == 1:
            logger.warning("the output is all blank: normal in the first epochs of CTC")
        elif self.all_blank == ALL_BLANK_PATIENCE + 1:
            logger.warning(ALL_BLANK_HELP)

    def _all_ranks(self, sums: dict[str, Any]) -> dict[str, Any]:
        if self.trainer.world_size == 1:
            return sums
        fields = ("hits", "substitutions", "deletions", "insertions")
        flat = [getattr(sums[k], f) for k in ("words", "characters") for f in fields]
        flat += [sums[k] for k in ("loss", "lines", "blank", "frames")]
        total = torch.tensor(flat, dtype=torch.float64, device=self.device)
        total = self.trainer.strategy.reduce(total, reduce_op="sum")
        values = total.tolist()
        counts = [int(v) for v in values[:8]]
        rest = dict(zip(("loss", "lines", "blank", "frames"), values[8:], strict=True))
        return {"words": Counts(*counts[:4]), "characters": Counts(*counts[4:]), **rest}

    # ---- checkpoints

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save what the run needs beside weights and optimiser."""
        checkpoint["seqlab"] = {
            "spent_s": self.spent_s,
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
