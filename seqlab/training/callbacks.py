"""Checkpoints of a training run that survive a kill."""

import io
import logging
import os
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from seqlab.batch import Batch
from seqlab.errors import Preempted
from seqlab.training.metrics_csv import FULL

logger = logging.getLogger(__name__)


class WholeCheckpoints(TorchCheckpointIO):
    """Write checkpoints whole or not at all: to a temporary file in the same folder, then renamed.

    On a full disk the checkpoint before stays, a warning is given, and training goes on.
    """

    def __init__(self) -> None:
        super().__init__()
        self.failed = False

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Save a checkpoint."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(path.name + ".part")
        content = io.BytesIO()  # torch.save to a file on a full disk would hide the reason
        torch.save(checkpoint, content)
        try:
            with temporary.open("wb") as file:
                file.write(content.getbuffer())
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
            folder = os.open(path.parent, os.O_RDONLY)
            os.fsync(folder)  # else a power cut may take the new name back
            os.close(folder)
            self.failed = False
        except OSError as error:
            if error.errno not in FULL:
                raise
            self.failed = True
            kept = "the one before is kept" if path.exists() else "there is none yet"
            logger.warning("%s: %s; %s, training goes on. Make room", path, error.strerror, kept)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)

    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove a checkpoint, unless the one that was to take its place could not be written."""
        if not self.failed:
            super().remove_checkpoint(path)


class SaveLast(Checkpoint):
    """Keep last.ckpt: after every epoch, at least every so many minutes, and when the machine asks the run to end.

    On SIGTERM or SIGUSR1 (which Slurm sends on request before its time limit) the run is saved after the present step,
    or after the validation that is going on, and ends with Preempted.

    Args:
        path: the file.
        minutes: longest time between two checkpoints; 0 saves after every batch.
    """

    def __init__(self, path: Path, minutes: float) -> None:
        super().__init__()
        self.path = path
        self.seconds = 60 * minutes
        self._saved = time.monotonic()
        self._asked = 0  # the signal that asked for an end
        self._handlers: dict[int, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen for signals."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGUSR1):
                self._handlers[number] = signal.signal(number, self._ask)

    def _ask(self, number: int, frame: Any) -> None:
        self._asked = number

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Listen no longer."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Save in the middle of an epoch when it is time; the end of an epoch has its own."""
        due = time.monotonic() - self._saved >= self.seconds
        # an accumulated gradient is not in a checkpoint, so only a finished optimiser step can be resumed from
        whole_step = (trainer.fit_loop.epoch_loop.batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if not whole_step or trainer.is_last_batch:
            return
        # one exchange for both: 2 asked to end, by any rank; 1 due
        wish = self._agreed(trainer, 2 if self._asked else int(due))
        if wish:
            self._save(trainer)
        if wish == 2:
            self._end()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save after an epoch and its validation."""
        self._save(trainer)
        if self._agreed(trainer, 2 if self._asked else 0):
            self._end()

    @staticmethod
    def _agreed(trainer: Trainer, wish: int) -> int:
        """Return the largest wish of all ranks."""
        if trainer.world_size == 1:
            return wish
        device = trainer.strategy.root_device
        return int(trainer.strategy.reduce(torch.tensor(wish, device=device), reduce_op="max"))

    def _end(self) -> None:
        name = signal.Signals(self._asked or signal.SIGTERM).name
        raise Preempted(f"{name}: saved in {self.path}; it goes on with resume=true")

    def _save(self, trainer: Trainer) -> None:
        trainer.save_checkpoint(self.path)
        self._saved = time.monotonic()
