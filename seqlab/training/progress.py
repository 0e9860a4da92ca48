"""How far a training is: on a terminal a table with a row per epoch and a live line below, elsewhere plain lines."""

import time
from datetime import timedelta
from typing import Any, cast

from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor

from seqlab.base_task import Task
from seqlab.batch import Batch

NARROWEST = 7  # characters of a column


class ShowProgress(Callback):
    """Loss, what the task tells of validations, speed and time left: a table and a bar on a terminal, else lines.

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
        self._validated = False  # in this epoch
        self._from: float | None = None  # share of the training that was done when this session began
        self._columns: dict[str, int] = {}  # of the table, with their widths

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
        self._validated = False
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
        if self._from is None:
            self._from = cast(Task, pl_module).progress
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
            self.bar.update(self.bar_task, completed=batch_idx + 1, values=self._values(pl_module))
        elif not self.bar and now - self._last_line >= self.every:
            self._last_line = now
            done = f"batch {batch_idx + 1}/{int(trainer.num_training_batches)}"
            told = [f"{name} {value}" for name, value in self._told(trainer, pl_module).items() if value != "-"]
            self._say(" ".join([f"epoch {self._epoch(trainer)}", done, *told, self._values(pl_module)]))

    def _left(self, module: LightningModule) -> str:
        """Return the time left of the whole training, "" where nobody can tell yet."""
        done = getattr(module, "progress", 0.0)
        if self._from is None or done - self._from <= 0.01:
            return ""
        left = (time.monotonic() - self._begun) * (1 - done) / (done - self._from)
        return str(timedelta(seconds=round(max(left, 0))))

    def _speed(self) -> str:
        return f"{self._epoch_units / max(self._epoch_train_s, 1e-9):.0f}{self.unit}"

    def _values(self, module: LightningModule) -> str:
        left = self._left(module)
        return f"loss {self._loss:.3f} {self._speed()}" + (f" left {left}" if left else "")

    @staticmethod
    def _told(trainer: Trainer, module: LightningModule) -> dict[str, str]:
        return cast(Task, module).told({k: float(v) for k, v in trainer.callback_metrics.items()})

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock: validation is not training."""
        self._batch_start = 0.0
        self._validated = True

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say how the epoch ended."""
        self._batch_start = 0.0
        self.units += self._epoch_units
        self.train_s += self._epoch_train_s
        speed = self._epoch_frames / max(self._epoch_train_s, 1e-9)
        told = self._told(trainer, pl_module) if self._validated else cast(Task, pl_module).told({})
        if self.bar:
            values = {"epoch": self._epoch(trainer), "train loss": f"{self._loss:.3f}", **told}
            spent = str(timedelta(seconds=round(time.monotonic() - self._begun)))
            self._row(values | {"frames/s": f"{speed:.0f}", "time": spent, "left": self._left(pl_module) or "-"})
        else:
            said = " ".join(f"{name} {value}" for name, value in told.items() if value != "-")
            left = self._left(pl_module)
            text = f"epoch {self._epoch(trainer)} loss {self._loss:.3f}" + (f" | {said}" if said else "")
            self._say(f"{text} | {self._speed()}" + (f" left {left}" if left else ""))
        self._last_line = time.monotonic()
        pl_module.log("train/frames_per_s", speed, batch_size=1)

    def _row(self, values: dict[str, str]) -> None:
        """Print a row of the table, above the live line; the first with the names of the columns."""
        if not self._columns:
            self._columns = {name: max(len(name), len(values[name]), NARROWEST) for name in values}
            header = "  ".join(name.rjust(wide) for name, wide in self._columns.items())
            self.console.print(header, style="bold", highlight=False, soft_wrap=True)
        self._say("  ".join(values[name].rjust(wide) for name, wide in self._columns.items()))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the bar."""
        if self.bar:
            self.bar.stop()
            self.bar = None

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Close the bar, so that the message stands alone."""
        self.on_train_end(trainer, pl_module)
