"""What a training of a task has cost, when it must stop, what is written down on the way and in the end."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

Row = dict[str, float]


@dataclass(slots=True)
class Result:
    """What came of a training.

    Attributes:
        solved: the criterion was met.
        stopped: why it ended: criterion, sequences, time (of the processor) or diverged.
        sequences: training sequences (in a row without end: streams) until then.
        cpu_seconds: processor time of the training; looks at held-out sequences count, the final test does not.
        parameters: weights of the net.
        test: figures of the trained net on fresh sequences.
    """

    solved: bool
    stopped: str
    sequences: int
    cpu_seconds: float
    parameters: int
    test: dict[str, float]


class Meter:
    """Watch the cost of a training and log its figures.

    Args:
        max_sequences: training stops after so many.
        max_cpu_minutes: or after so much processor time; None: any.
        log_every: sequences between two rows of figures.
        log: told the rows: step (sequences so far), train/error (mean absolute), train/wrong (share of sequences),
            train/loss, sequences_per_s (of processor time).
    """

    def __init__(
        self, max_sequences: int, max_cpu_minutes: float | None, log_every: int, log: Callable[[Row], None]
    ) -> None:
        self.max_sequences = max_sequences
        self.max_seconds = 60 * max_cpu_minutes if max_cpu_minutes else math.inf
        self.log_every, self.log = log_every, log
        self.seen = self._logged = self._wrong = 0
        self._error = 0.0
        self._begun = time.process_time()
        self._looked = time.monotonic()

    @property
    def seconds(self) -> float:
        """Processor time so far."""
        return time.process_time() - self._begun

    def add(self, mean: list[float], wrong: int, loss: Tensor) -> str | None:
        """Take note of a batch.

        Args:
            mean: mean absolute error of each sequence.
            wrong: how many of them were wrong.
            loss: of the batch.

        Returns:
            Why training must stop, or None.
        """
        self.seen += len(mean)
        self._error += sum(mean)
        self._wrong += wrong
        if not math.isfinite(self._error):
            return "diverged"
        count = self.seen - self._logged
        if count >= self.log_every or self.seen >= self.max_sequences:
            self._logged = self.seen
            row = {"train/error": self._error / count, "train/wrong": self._wrong / count, "train/loss": loss.item()}
            self.log({"step": self.seen} | row | {"sequences_per_s": self.seen / max(self.seconds, 1e-9)})
            self._error, self._wrong = 0.0, 0
        if self.seen >= self.max_sequences:
            return "sequences"
        if time.monotonic() - self._looked < 1.0:  # to ask for processor time takes long, on some machines milliseconds
            return None
        self._looked = time.monotonic()
        return "time" if self.seconds >= self.max_seconds else None
