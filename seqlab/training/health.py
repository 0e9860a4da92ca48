"""How a training does: waiting for data, memory, labels that come out, a constant output's loss; causes when stuck."""

import logging
import resource
import sys
import time
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from seqlab.batch import Batch
from seqlab.data.datamodule import DataModule

logger = logging.getLogger(__name__)

PATIENCE = 4  # validations no better than a constant output before causes are listed
STUCK = 0.98  # of the constant output's loss
TOLD = (
    "the net does no better than a constant output: loss %.3f per label, constant %.3f. "
    "What may be the cause, the likely ones first:"
)


def constant_losses(lengths: Tensor, labels: Tensor, label_lengths: Tensor, symbols: int) -> Tensor:
    """Return the CTC loss of an output that is the same in every frame and prefers no label.

    It gives blank 1 - q and each of the other V - 1 symbols q / (V - 1), with q = L / T of the line. A net that has
    learnt lies far below; one that emits blanks alone, whatever it hears, lies about there or above.

    Args:
        lengths: frames per line, (B,).
        labels: (B, L), padded with 0.
        label_lengths: labels per line, (B,).
        symbols: V, blank included.

    Returns:
        (B,), nats, float64; 0 where there are too few frames.
    """
    share = (label_lengths.double() / lengths.clamp(min=1)).clamp(1e-3, 1 - 1e-3)
    frame = (share / max(symbols - 1, 1)).log()[:, None].repeat(1, symbols)  # (B, V)
    frame[:, 0] = (1 - share).log()
    log_probs = frame[None].expand(int(lengths.max()), -1, -1)  # (T, B, V)
    return torch.nn.functional.ctc_loss(log_probs, labels, lengths, label_lengths, reduction="none", zero_infinity=True)


class Health(Callback):
    """Log what tells a sound training from a sick one.

    train/wait is the share of the training's time, validations not counted, in which it waited for batches;
    train/memory_mb the most memory so far, of the GPU if there is one; val/emission the labels emitted per reference
    label; val/constant the loss (nats per label, as val/loss) of the best constant output.

    Args:
        data: its loader tells how long it was waited for.
    """

    def __init__(self, data: DataModule) -> None:
        self.data = data
        self._begun = self._validated_s = self._validating = 0.0
        self._constant = [0.0, 0.0]  # sum and lines; kept, as it is always the same
        self._counted = False
        self.stuck = 0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock of an epoch."""
        self._begun, self._validated_s = time.perf_counter(), 0.0

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log shares of the epoch."""
        taken = time.perf_counter() - self._begun - self._validated_s
        share = min(self.data.train_loader.waited / max(taken, 1e-9), 1.0) if self.data.train_loader else 0.0
        pl_module.log("train/wait", share, batch_size=1)
        pl_module.log("train/memory_mb", memory_mb(pl_module.device), batch_size=1)

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock: validation is no training."""
        self._validating = time.perf_counter()

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Add up the losses of the constant output."""
        model: Any = getattr(pl_module, "model", None)
        tokenizer: Any = getattr(pl_module, "tokenizer", None)
        if self._counted or tokenizer is None or not hasattr(model, "num_frames"):
            return  # known already, or no recogniser
        lengths, count = model.num_frames(batch.lengths.cpu()), batch.label_lengths.cpu()
        losses = constant_losses(lengths, batch.labels.cpu(), count, len(tokenizer.symbols))
        self._constant[0] += float((losses / count.clamp(min=1)).sum())
        self._constant[1] += len(batch)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log emission and constant loss; of several processes those of the first speak for all."""
        self._counted = True
        characters = getattr(pl_module, "_sums", None)
        characters = characters.get("characters") if isinstance(characters, dict) else None
        if characters is None or not self._constant[1]:
            return
        reference = characters.hits + characters.substitutions + characters.deletions
        emitted = characters.hits + characters.substitutions + characters.insertions
        pl_module.log("val/emission", emitted / max(reference, 1), batch_size=1, rank_zero_only=True)
        pl_module.log("val/constant", self._constant[0] / self._constant[1], batch_size=1, rank_zero_only=True)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let the clock go on, and list causes once when validations stay no better than a constant output."""
        self._validated_s += time.perf_counter() - self._validating
        metrics = {k: float(v) for k, v in trainer.callback_metrics.items()}
        if "val/constant" not in metrics or trainer.sanity_checking:
            return
        bad = not metrics["val/loss"] < STUCK * metrics["val/constant"]  # NaN is bad
        self.stuck = self.stuck + 1 if bad else 0
        if self.stuck == PATIENCE and trainer.is_global_zero:
            losses = metrics["val/loss"], metrics["val/constant"]
            logger.warning(TOLD + "\n  %s", *losses, "\n  ".join(causes(metrics)))

    def state_dict(self) -> dict[str, Any]:
        """Return the count of bad validations."""
        return {"stuck": self.stuck}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore it."""
        self.stuck = state_dict["stuck"]


def causes(metrics: dict[str, float]) -> list[str]:
    """List what may keep a training from learning, those first that its metrics speak for.

    Args:
        metrics: train/grad_norm, train/lr, train/skipped, train/padding, val/blank, val/emission, those that are known.
    """
    norm, rate = metrics.get("train/grad_norm"), metrics.get("train/lr")
    known = [
        (metrics.get("train/skipped", 0) > 0, "steps or lines were skipped (train/skipped): see the warnings above"),
        (
            norm is not None and norm < 1e-4,
            f"the gradient is next to nothing ({norm or 0:.1e}): frozen parts, dead units",
        ),
        (
            norm is not None and norm > 100,
            f"the gradient is huge ({norm or 0:.1e}): lower optimizer.lr, longer warm-up",
        ),
        (rate is not None and rate < 1e-6, f"the learning rate is {rate or 0:.1e}: look at schedule and optimizer.lr"),
        (metrics.get("val/emission", 1) > 2, "far more labels come out than stand in the references: wrong texts?"),
        (metrics.get("val/blank", 0) > 0.99, "only blanks come out: higher optimizer.lr, fewer masks, augment=none"),
        (metrics.get("train/padding", 0) > 0.2, "much padding: lower data.length_jitter or data.max_lines"),
    ]
    usual = [
        "too few steps yet: batches smaller by data.batch_frames give more of them",
        "texts that do not belong to their lines, another language or case: 'seqlab doctor'",
        "input far from mean 0 and variance 1: normalize=global",
        "frames too few or too many for the labels: stem stride (stem.factor)",
    ]
    return [text for true, text in known if true] + usual


def memory_mb(device: torch.device) -> float:
    """Return the most memory used so far in MiB: of the GPU, or of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
