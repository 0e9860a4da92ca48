"""One thread per model: what arrives within a few milliseconds is recognised as one batch."""

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from seqlab.outputs.transcript import Transcript
from seqlab.recognizer import Recognizer, samples_per_second
from seqlab.serve.refused import Refused
from seqlab.signals import Signal

GATHER = 0.005  # seconds that the first line of a batch waits for others
BATCH_SECONDS = 60.0  # of a batch, padding counted; a longer line is a batch of its own
_LONGEST_WAIT = 60.0  # seconds that a client is told to stay away at most


@dataclass(slots=True)
class _Job:
    """A line to recognise or, without one, something else that has to do with the model."""

    signal: Signal | None = None
    function: Callable[[], Any] | None = None
    future: "Future[Any]" = field(default_factory=Future)


class Worker:
    """Runs all work of one model, in order of arrival, in one thread.

    Args:
        recognizer: the model.
        waiting: lines that may wait.
        gather: seconds that the first line of a batch waits for others.
        batched: called with the number of lines of each batch.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        waiting: int,
        gather: float = GATHER,
        batched: Callable[[int], None] | None = None,
    ) -> None:
        self.recognizer = recognizer
        self._waiting, self._gather, self._batched = waiting, gather, batched
        self._rate = samples_per_second(recognizer)
        self._line_seconds = 0.1  # that one line takes, a running mean
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="recognizer", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Number of lines and calls that wait."""
        return self._queue.qsize()

    def submit(self, work: Signal | Callable[[], Transcript]) -> "Future[Transcript]":
        """Recognise a line that Recognizer.open returned, or run what returns a transcript.

        Raises:
            Refused: too many lines wait (503).
        """
        if self.waiting >= self._waiting:
            wait = min(self.waiting * self._line_seconds, _LONGEST_WAIT)
            raise Refused(503, "too many lines wait for this model; come again later", wait)
        return self._put(_Job(work) if isinstance(work, Signal) else _Job(function=work))

    def call(self, function: Callable[[], Any]) -> "Future[Any]":
        """Run something else with the model; who calls sees to it that there are not too many."""
        return self._put(_Job(function=function))

    def close(self, timeout: float = 30.0) -> None:
        """Finish what waits, and end the thread."""
        self._queue.put(None)
        self._thread.join(timeout)

    def _put(self, job: _Job) -> "Future[Any]":
        self._queue.put(job)
        return job.future

    def _run(self) -> None:
        held: list[_Job | None] = []  # taken out of the queue, but of no use for the batch
        while (job := held.pop() if held else self._queue.get()) is not None:
            if job.signal is None:
                _settle(job, job.function)
                continue
            batch, longest, end = [job], self._seconds(job), time.monotonic() + self._gather
            with contextlib.suppress(queue.Empty):
                while True:
                    other = self._queue.get(timeout=max(end - time.monotonic(), 0.0))
                    if other is None or other.signal is None:
                        held.append(other)
                        break
                    longest = max(longest, self._seconds(other))
                    if longest * (len(batch) + 1) > BATCH_SECONDS:
                        held.append(other)
                        break
                    batch.append(other)
            self._recognise([job for job in batch if job.future.set_running_or_notify_cancel()])

    def _seconds(self, job: _Job) -> float:
        return len(job.signal.samples) / self._rate if job.signal is not None else 0.0

    def _recognise(self, batch: list[_Job]) -> None:
        if not batch:
            return
        start = time.monotonic()
        lines = [job.signal for job in batch if job.signal is not None]
        try:
            answers = self.recognizer.transcribe_signals(lines)
        except Exception as error:
            if len(batch) > 1:  # only those whose own fault it is are to fail
                for job in batch:
                    self._recognise([job])
            else:
                batch[0].future.set_exception(error)
            return
        for job, answer in zip(batch, answers, strict=True):
            job.future.set_result(answer)
        self._line_seconds += 0.2 * ((time.monotonic() - start) / len(batch) - self._line_seconds)
        if self._batched:
            self._batched(len(batch))


def _settle(job: _Job, function: Callable[[], Any] | None) -> None:
    if function is None or not job.future.set_running_or_notify_cancel():
        return
    try:
        job.future.set_result(function())
    except Exception as error:
        job.future.set_exception(error)
