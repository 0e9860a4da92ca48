"""Out of memory: the worst batch is tried before step 1, and a batch that does not fit is trained on in parts."""

import gc
import logging
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from seqlab.batch import Batch
from seqlab.data.datamodule import DataModule
from seqlab.errors import DataError

logger = logging.getLogger(__name__)

_TOLD = ("not enough memory", "out of memory", "can't allocate memory", "alloc_failed")


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error of torch or Python means that memory is short."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(told in str(error).lower() for told in _TOLD)


def part_of(batch: Batch, start: int, stop: int) -> Batch:
    """Return some lines of a batch, padded no further than they need."""
    longest, labels = int(batch.lengths[start:stop].max()), int(batch.label_lengths[start:stop].max())
    return Batch(
        batch.ids[start:stop],
        batch.signal[start:stop, :longest],
        batch.lengths[start:stop],
        batch.texts[start:stop],
        batch.labels[start:stop, :labels],
        batch.label_lengths[start:stop],
    )


class MemoryGuard(Callback):
    """Let training go on where memory is short.

    A step that runs out of memory is done again in parts of at most half the frames, their gradients added up, each
    weighted by its share of what the loss is a mean over (``Task.weight``); the budget of later batches is lowered to
    that, and lines and budget are logged. Statistics of batch normalisation are then those of the parts. With several
    processes a step cannot be split (the others wait for its gradients): the run stops and says what to do; the worst
    batch, tried at the start by all of them, makes that unlikely.

    Args:
        data: whose budget is lowered.
    """

    def __init__(self, data: DataModule) -> None:
        self.data = data
        self.trainer: Any = None
        self.module: Any = None
        self._pending: tuple[Batch, list[Batch], int] | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Let the data ask whether a batch fits."""
        self.trainer, self.module = trainer, pl_module
        self.data.fits = self.fits

    def fits(self, batch: Batch) -> bool:
        """Run a batch forwards and backwards, on every rank its own; weights, statistics and chance stay as they are.

        Returns:
            Whether no rank ran out of memory.
        """
        module = self.module
        batch = batch.to(module.device)
        buffers = [(buffer, buffer.clone()) for buffer in module.buffers()]
        kept = {
            k: v.clone() if isinstance(v, Tensor) else set(v) if isinstance(v, set) else v for k, v in _counts(module)
        }
        training = module.training
        module.log = _forget
        module.train()
        devices = [module.device] if module.device.type == "cuda" else []
        try:
            with torch.random.fork_rng(devices):
                fit = self._tried(batch)
        finally:
            del module.log
            module.train(training)
            with torch.no_grad():
                for buffer, value in buffers:
                    buffer.copy_(value)
            for name, value in kept.items():
                setattr(module, name, value)
            self._drop_gradients()
        if self.trainer.world_size > 1:
            fit = bool(self.trainer.strategy.reduce_boolean_decision(fit, all=True))
        return fit

    def _tried(self, batch: Batch) -> bool:
        try:
            with self.trainer.precision_plugin.forward_context():
                loss = self.module.training_step(batch, 0)
            loss.backward()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return False
        return True

    def _drop_gradients(self) -> None:
        for parameter in self.module.parameters():
            parameter.grad = None
        gc.collect()
        if self.module.device.type == "cuda":
            torch.cuda.empty_cache()

    # ---- a step in parts

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stand between Lightning and the task's steps."""
        self._step: Any = pl_module.training_step
        self._backward: Any = pl_module.backward
        pl_module.training_step = self.training_step  # type: ignore[method-assign]
        pl_module.backward = self.backward  # type: ignore[method-assign]

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stand aside."""
        for name in ("training_step", "backward"):
            vars(pl_module).pop(name, None)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Stand aside."""
        self.on_train_end(trainer, pl_module)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of a batch, or of its first part."""
        while True:
            parts = self._parts(batch)
            try:
                loss: Tensor = self._step(parts[0], batch_idx)
                break
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            self._lower(parts[0])
        self._pending = batch, parts[1:], batch_idx
        return loss * self._share(parts[0], batch) if len(parts) > 1 else loss

    def backward(self, loss: Tensor, *arguments: Any, **named: Any) -> None:
        """Add the gradients of the loss, then those of the other parts."""
        assert self._pending is not None
        batch, rest, batch_idx = self._pending
        first: Tensor | None = loss
        while True:
            part = batch
            try:
                if first is not None:
                    self._backward(first, *arguments, **named)
                for part in rest:
                    with self.trainer.precision_plugin.forward_context():
                        more = self._step(part, batch_idx) * self._share(part, batch)
                    # Lightning divides only the loss that training_step returns
                    self._backward(more / self.trainer.accumulate_grad_batches, *arguments, **named)
                self._pending = None
                return
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            if self.trainer.accumulate_grad_batches > 1:
                logger.warning("the gradients of this step's earlier batches are lost")
            first = None
            self._drop_gradients()
            self._lower(self._parts(batch)[0] if part is batch else part)
            rest = self._parts(batch)

    def _share(self, part: Batch, batch: Batch) -> float:
        return float(self.module.weight(part) / self.module.weight(batch))

    def _frames(self, batch: Batch) -> int:
        return int(self.data.frontend.num_frames(batch.lengths.max().cpu()[None]).item())

    def _parts(self, batch: Batch) -> list[Batch]:
        """Cut a batch by the budget, if that has been lowered."""
        if self.data.limit is None or self._frames(batch) * len(batch) <= self.data.limit:
            return [batch]
        lines = max(self.data.limit // max(self._frames(batch), 1), 1)
        return [part_of(batch, start, start + lines) for start in range(0, len(batch), lines)]

    def _lower(self, part: Batch) -> None:
        """Lower the budget to half of what did not fit."""
        frames = self._frames(part)
        advice = "lower data.batch_frames, choose a smaller net, or let training.find_budget=true search on a GPU"
        ids = ", ".join(part.ids)
        if len(part) == 1:
            raise DataError(f"out of memory with the single line {ids} of {frames} frames; leave it out or cut it")
        if self.trainer.world_size > 1:
            raise DataError(f"out of memory with {len(part)} lines of up to {frames} frames ({ids}); {advice}")
        self.data.lower(max(frames * len(part) // 2, frames))
        self._drop_cache()
        logger.warning(
            "step %d: out of memory with %d lines of up to %d frames; the budget is lowered to %d frames and the step "
            "done in parts; its lines: %s",
            *(self.trainer.global_step, len(part), frames, self.data.limit, ids),
        )

    def _drop_cache(self) -> None:
        gc.collect()
        if self.module.device.type == "cuda":
            torch.cuda.empty_cache()


def _forget(*arguments: Any, **named: Any) -> None:
    """Take the place of LightningModule.log while a batch is only tried."""


def _counts(module: Any) -> list[tuple[str, Any]]:
    names = ("skipped_lines", "last_loss", "_samples", "_named", "_batch_ids")
    return [(name, getattr(module, name)) for name in names if hasattr(module, name)]
