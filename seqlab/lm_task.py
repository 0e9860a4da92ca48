"""LMTask: training and validation of a neural language model."""

import math
from typing import Any

import torch
from torch import Tensor

from seqlab.base_task import Task
from seqlab.batch import Batch
from seqlab.config import build


class LMTask(Task):
    """Maximum likelihood of lines of text, each with its end; perplexity per symbol on dev.

    Args:
        config: plain dict with the nodes ``tokenizer`` (``alphabet`` filled in), ``lm``, ``optimizer``, ``schedule``
            and ``training``.
    """

    monitor = "val/perplexity"

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        tokenizer = build(config["tokenizer"], "tokenizer")
        self.model = build(config["lm"], "lm", num_symbols=len(tokenizer.symbols))
        self._sums: tuple[float, float] = (0.0, 0)

    def weight(self, batch: Batch) -> int:
        """Count symbols; see Task."""
        return _symbols(batch)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Compute the loss of a batch: nats per symbol."""
        loss = -self.model.score(batch.labels, batch.label_lengths).sum() / _symbols(batch)
        self._log_step(loss, batch)
        return loss

    def told(self, metrics: dict[str, float]) -> dict[str, str]:
        """Return loss and perplexity; see Task."""
        return {
            "val loss": self._told(metrics, "val/loss", "{:.4f}"),
            "perplexity": self._told(metrics, self.monitor, "{:.3f}"),
        }

    def on_validation_epoch_start(self) -> None:
        """Start the sums of a validation."""
        self._sums = (0.0, 0)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Add up the log-probabilities of a batch; characters that have no label are left out."""
        log_p = self.model.score(batch.labels, batch.label_lengths)
        self._sums = (self._sums[0] - float(log_p.double().sum()), self._sums[1] + _symbols(batch))

    def on_validation_epoch_end(self) -> None:
        """Log rates made of sums over all lines (and all ranks)."""
        nats, symbols = self._sums
        if self.trainer.world_size > 1:
            total = torch.tensor(self._sums, dtype=torch.float64, device=self.device)
            nats, symbols = self.trainer.strategy.reduce(total, reduce_op="sum").tolist()
        loss = nats / symbols
        perplexity = math.exp(min(loss, 700.0))  # exp(710) overflows
        self.log("val/loss", loss, rank_zero_only=False, batch_size=1)
        self.log("val/perplexity", perplexity, prog_bar=True, rank_zero_only=False, batch_size=1)
        if not self.trainer.sanity_checking:
            self.schedule.epoch_end(perplexity)


def _symbols(batch: Batch) -> int:
    """Return the symbols of a batch, the ends of lines counted."""
    return int(batch.label_lengths.sum()) + len(batch)
