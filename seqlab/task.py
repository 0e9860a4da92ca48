"""CTCTask: one training step, one validation, one optimiser, and what is logged."""

import logging
from typing import Any

import torch
from torch import Tensor, nn

from seqlab.base_task import Task
from seqlab.batch import Batch
from seqlab.config import build
from seqlab.ctc.consistency import disagreement
from seqlab.ctc.feasibility import infeasible
from seqlab.errors import ConfigError
from seqlab.model import CTCModel, check_layers, freeze
from seqlab.scoring import Counts, char_counts, word_counts
from seqlab.tokenizers.symbols import Symbols

logger = logging.getLogger(__name__)

ALL_BLANK_PATIENCE = 3  # validations that may be all blank before causes are listed
ALL_BLANK_HELP = (
    "the output is still all blank. Try a higher or lower learning rate (optimizer.lr), a longer warm-up "
    "(schedule.warmup), smaller batches (data.batch_frames), fewer masks (augment=none), global normalisation "
    "(normalize=global) or a smaller stem stride, and look at the doctor's list: wrong case, wrong language and "
    "swapped transcripts look like this too"
)


class CTCTask(Task):
    """Training and validation of a CTC model.

    Args:
        config: plain dict with the nodes of conf/train.yaml; ``tokenizer.alphabet`` must be filled in.

    Attributes:
        monitor: val/cer; of a text that is a row of symbols (phones, notes) val/wer, their error rate as it is scored.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        self.tokenizer = build(config["tokenizer"], "tokenizer")
        self.monitor = "val/wer" if isinstance(self.tokenizer, Symbols) else "val/cer"
        self.model = CTCModel(config, len(self.tokenizer.symbols))
        self.frozen = list(config["init"]["freeze"]) if "init" in config else []
        freeze(self.model, self.frozen)
        self.loss = build(config["loss"], "loss", num_symbols=len(self.tokenizer.symbols))
        check_layers(self.model.encoder, self.loss.intermediate_layers)
        self.shortcut = None  # not in the model: recognition does without it
        if self.loss.shortcut:
            self.shortcut = nn.Conv1d(self.model.stem.num_features, len(self.tokenizer.symbols), 3, padding=1)
        self.decoder = build(config["decoder"], "decoder", tokenizer=self.tokenizer)
        self._named: set[str] = set()
        self._sums: dict[str, Any] = {}
        self.all_blank = 0  # validations in a row without a symbol
        self.train()  # Lightning leaves modes as they are: frozen parts are to be out of training from the start

    # ---- training

    def train(self, mode: bool = True) -> "CTCTask":
        """Switch to training; frozen parts stay as they are at recognition, statistics and dropout included."""
        super().train(mode)
        for part in self.frozen:
            getattr(self.model, part).eval()
        return self

    def on_fit_start(self) -> None:
        """Refuse what several processes cannot do.

        Raises:
            ConfigError: layers that join in later would have no gradient to share.
        """
        super().on_fit_start()
        if self.trainer.world_size > 1 and self.config["encoder"].get("grow_at"):
            raise ConfigError("encoder.grow_at is for training in one process; set training.devices=1")

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Compute the loss of a batch."""
        if hasattr(self.model.encoder, "growth"):
            self.model.encoder.growth.grow(self.progress)
        views = 2 if self.loss.consistency else 1
        labels, label_lengths = batch.labels.repeat(views, 1), batch.label_lengths.repeat(views)
        x, frames = self.model.frames(batch.signal, batch.lengths, views)
        log_probs, below, lengths = self.model.read_layers(x, frames, self.loss.intermediate_layers)
        losses = self.loss(log_probs, lengths, labels, label_lengths)
        lower = [self.loss(layer, lengths, labels, label_lengths) for layer in below]
        losses = self.loss.with_intermediate(losses, lower)
        losses = losses + self.loss.regularizers(log_probs, lengths, labels, label_lengths)
        if self.loss.consistency:
            losses = losses + self.loss.consistency_at(self.progress) * disagreement(log_probs, lengths)
        if self.shortcut is not None:
            side = self.shortcut(x.transpose(1, 2)).transpose(1, 2).float().log_softmax(2)
            losses = losses + self.loss.shortcut * self.loss(side, frames, labels, label_lengths)
        self.loss.learn_priors(log_probs, lengths)
        self._count_infeasible(batch, lengths[: len(batch)])
        loss = self.loss.mean(losses, label_lengths)
        self._log_step(loss, batch)
        return loss

    def _count_infeasible(self, batch: Batch, lengths: Tensor) -> None:
        bad = infeasible(lengths, batch.labels, batch.label_lengths)
        if not bool(bad.any()):
            return
        self.skipped_lines += int(bad.sum())
        new = [i for i, b in zip(batch.ids, bad.tolist(), strict=True) if b and i not in self._named]
        if new and len(self._named) < 50:
            self._named.update(new)
            logger.warning("too few frames for their labels, not learnt from: %s", ", ".join(new))

    # ---- validation

    def told(self, metrics: dict[str, float]) -> dict[str, str]:
        """Return loss, error rates and the share of blanks; see Task."""
        return {
            "val loss": self._told(metrics, "val/loss", "{:.3f}"),
            "CER": self._told(metrics, "val/cer", "{:.2%}"),
            "WER": self._told(metrics, "val/wer", "{:.2%}"),
            "blank": self._told(metrics, "val/blank", "{:.0%}"),
        }

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
            text = self.tokenizer.scored(self.tokenizer.decode(hypothesis.labels))
            reference = self.tokenizer.scored(reference)
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
        self.schedule.epoch_end(values[self.monitor])
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
