"""Callbacks of a training run: checkpoints that survive a kill, and the progress display."""

import io
import logging
import os
import signal
import threading
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor

from seqlab.base_task import Task
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


class ShowProgress(Callback):
    """A progress bar on a terminal, plain lines elsewhere: loss, what the task tells of validations, speed.

    Args:
        frontend: tells samples per unit and frames per signal.
        unit: what the speed counts: seconds of audio, columns of images, points of ink.
        every: seconds between two plain lines.
        console: where to write.
    """

    def __init__(self, frontend: Any, unit: str = "s", every: float = 30.0, console: Console | None = None) -> None:
        self.console = console or Console(emoji=False)
        self.rate = frontend.sample_rate
        self.num_frames = frontend.num_frames
        self.unit = " x real time" if unit == "s" else f" {unit}/s"
        self.every = every
        self.bar: Progress | None = None
        self.bar_task: Any = None
        self.units = self.train_s = 0.0
        self._epoch_units = self._epoch_frames = self._epoch_train_s = 0.0
        self._begun = self._last_line = time.monotonic()
        self._batch_start = 0.0
        self._loss = float("nan")

    def _say(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the bar."""
        if not trainer.is_global_zero:
            self.console = Console(quiet=True)
        self._begun = self._last_line = time.monotonic()
        if self.console.is_terminal:
            columns = (
                TextColumn("epoch {task.fields[epoch]}"),
                BarColumn(bar_width=20),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[values]}"),
            )
            self.bar = Progress(*columns, console=self.console, transient=True)
            self.bar.start()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin an epoch."""
        self._epoch_units = self._epoch_frames = self._epoch_train_s = 0.0
        if self.bar:
            if self.bar_task is not None:
                self.bar.remove_task(self.bar_task)
            total = int(trainer.num_training_batches)
            self.bar_task = self.bar.add_task("", total=total, epoch=self._epoch(trainer), values="")

    def _epoch(self, trainer: Trainer) -> str:
        most = trainer.max_epochs if (trainer.max_epochs or -1) > 0 else None
        return f"{trainer.current_epoch + 1}" + (f"/{most}" if most else "")

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int) -> None:
        """Start the clock."""
        self._batch_start = self._batch_start or time.monotonic()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Show where training is."""
        now = time.monotonic()
        self._epoch_train_s += now - self._batch_start
        ranks = trainer.world_size  # all have as much to do as this one: batches of one budget and like length
        self._epoch_units += ranks * float(batch.lengths.sum()) / self.rate
        self._epoch_frames += ranks * float(self.num_frames(batch.lengths).sum())
        self._batch_start = now
        if pl_module.device.type == "cpu" or batch_idx % 10 == 0:  # reading a value holds a GPU up
            loss = float(cast(Tensor, pl_module.last_loss))
            self._loss = loss if self._loss != self._loss else 0.95 * self._loss + 0.05 * loss
        if self.bar and now - self._last_line >= 0.25:
            self._last_line = now
            self.bar.update(self.bar_task, completed=batch_idx + 1, values=self._values(trainer, pl_module))
        elif not self.bar and now - self._last_line >= self.every:
            self._last_line = now
            done = f"batch {batch_idx + 1}/{int(trainer.num_training_batches)}"
            self._say(f"epoch {self._epoch(trainer)} {done} {self._values(trainer, pl_module)}{self._left(pl_module)}")

    def _left(self, module: LightningModule) -> str:
        done = getattr(module, "progress", 0.0)
        if done <= 0.01:
            return ""
        left = (time.monotonic() - self._begun) * (1 - done) / done
        return f" left {timedelta(seconds=round(max(left, 0)))}"

    def _values(self, trainer: Trainer, module: LightningModule) -> str:
        told = cast(Task, module).told({k: float(v) for k, v in trainer.callback_metrics.items()}, short=True)
        text = f"loss {self._loss:.3f}" + (f" {told}" if told else "")
        return text + f" {self._epoch_units / max(self._epoch_train_s, 1e-9):.0f}{self.unit}"

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock: validation is not training."""
        self._batch_start = 0.0

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say how the epoch ended."""
        self._batch_start = 0.0
        self.units += self._epoch_units
        self.train_s += self._epoch_train_s
        metrics = {k: float(v) for k, v in trainer.callback_metrics.items()}
        told = cast(Task, pl_module).told(metrics)
        text = f"epoch {self._epoch(trainer)} loss {self._loss:.3f}" + (f" | {told}" if told else "")
        text += f" | {self._epoch_units / max(self._epoch_train_s, 1e-9):.0f}{self.unit}"
        self._say(text + self._left(pl_module))
        self._last_line = time.monotonic()
        speed = self._epoch_frames / max(self._epoch_train_s, 1e-9)
        pl_module.log("train/frames_per_s", speed, batch_size=1)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the bar."""
        if self.bar:
            self.bar.stop()
            self.bar = None

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Close the bar, so that the message stands alone."""
        self.on_train_end(trainer, pl_module)
