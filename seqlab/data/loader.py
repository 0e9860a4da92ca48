"""A loader whose reading processes stay from epoch to epoch, and that knows how long its batches were waited for."""

import os
import queue
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import torch
from torch.utils.data import DataLoader

from seqlab.batch import Batch, Example, collate
from seqlab.data.dataset import LineDataset
from seqlab.data.sampler import BucketBatches

MOST_WORKERS = 4  # that are taken where nobody says a number
FEW_LINES = 200  # a training with fewer begins and ends in seconds, as do reading processes
WATCH_S = 2.0  # between looks whether the training process is still there


def reading_processes(lines: int, changed: bool, spare: int, gpu: bool) -> int:
    """Return how many processes read for a training where nobody says it (``data.num_workers: null``).

    Batches are the same with any number, so only time depends on it.

    Args:
        lines: of an epoch.
        changed: whether lines are augmented or joined; else they are decoded once and kept (``data.cache_mb``).
        spare: cores for each training process beside those that it trains on; 0 or less: none.
        gpu: whether it trains on a GPU.
    """
    if lines < FEW_LINES or not (changed or gpu):
        return 0
    return max(0, min(spare, MOST_WORKERS if gpu else 1))


def outlive_signals(worker: int) -> None:
    """Let a reading process ignore what asks the run to end: the training process saves first, and needs it until then.

    Launchers signal whole process groups; torch takes a reading process that died for an error of the training. One
    whose training process was killed ends: it would wait for ever for somebody to take its batch.
    """
    parent = os.getppid()
    waits = hasattr(signal, "sigtimedwait")  # not on macOS, Windows
    asked = {signal.SIGTERM, signal.SIGUSR1} if waits else set()
    if waits:
        signal.pthread_sigmask(signal.SIG_BLOCK, asked)

    def wait() -> None:
        while os.getppid() == parent:
            if not waits:
                time.sleep(WATCH_S)
            elif (told := signal.sigtimedwait(asked, WATCH_S)) and told.si_pid == parent:
                break  # the training process itself ends its reading processes so; it would wait for ever
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()


class Loader(DataLoader[Any]):
    """A loader of one epoch after the other, whose reading processes and what they have decoded stay.

    Args:
        dataset: the lines.
        workers: reading processes; 0 reads in this one.

    Attributes:
        batches: those of the epoch.
        waited: seconds that the batches of the epoch were waited for.
        reading_s: CPU seconds of the reading processes so far.
    """

    def __init__(self, dataset: LineDataset, workers: int) -> None:
        self.batches: BucketBatches | None = None
        self.waited = 0.0
        self._epoch = 0
        self._cpu: dict[int, float] = {}  # of each reading process
        self._ahead: _Ahead | None = None
        planned: Any = _Planned(self)  # its batches are no lists
        super().__init__(
            dataset,
            batch_sampler=planned,
            collate_fn=collate_timed,
            num_workers=workers,
            worker_init_fn=outlive_signals,
            persistent_workers=workers > 0,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator().manual_seed(0),  # else each loader would draw from the global generator
        )

    def begin(self, epoch: int, batches: BucketBatches) -> "Loader":
        """Begin an epoch; returns the loader."""
        self._epoch, self.batches, self.waited = epoch, batches, 0.0
        return self

    @property
    def planned(self) -> Iterator[tuple[int, list[int]]]:
        """The epoch with the lines of each batch."""
        assert self.batches is not None
        return ((self._epoch, lines) for lines in self.batches)

    @property
    def reading_s(self) -> float:
        """CPU seconds of the reading processes so far."""
        return sum(self._cpu.values())

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        """Yield batches."""
        self._end()
        batches: Iterator[Any] | None = None
        while True:
            begin = time.perf_counter()
            try:
                if batches is None:
                    batches = super().__iter__()  # starts reading processes
                    if self.num_workers:
                        batches = self._ahead = _Ahead(batches)
                batch, process, cpu = next(batches)
            except StopIteration:
                return
            finally:
                self.waited += time.perf_counter() - begin
            if self.num_workers:
                self._cpu[process] = cpu
            yield batch

    def _end(self) -> None:
        """Fetch no further batches of an epoch that was left before its end."""
        if self._ahead is not None:
            self._ahead.end()
            self._ahead = None

    def close(self) -> None:
        """End the reading processes; another epoch would start new ones."""
        self._end()
        self._iterator = None


class _Ahead:
    """Takes the next item in a thread while the last one is used: what another process sends takes a while to arrive.

    Args:
        items: taken until ``end`` is called or there is none.
    """

    def __init__(self, items: Iterator[Any]) -> None:
        self._items: Iterator[Any] = items
        self._taken: queue.Queue[Any] = queue.Queue(1)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._take, daemon=True)
        self._thread.start()

    def _take(self) -> None:
        try:
            while not self._ended.is_set():
                self._taken.put(next(self._items))
        except BaseException as error:  # raised where it is waited for, the end of the items, too
            self._taken.put(error)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        item = self._taken.get()
        if isinstance(item, BaseException):
            raise item
        return item

    def end(self) -> None:
        """Take no more."""
        self._ended.set()
        with suppress(queue.Empty):
            self._taken.get_nowait()  # the thread may wait for room
        self._thread.join()
        self._items = iter(())


class _Planned:
    """The batches of a loader's epoch, as its reading processes are told of them; torch wants one object for all."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def __iter__(self) -> Iterator[tuple[int, list[int]]]:
        return self._loader.planned

    def __len__(self) -> int:
        return len(self._loader.batches or ())


def collate_timed(examples: Sequence[Example]) -> tuple[Batch, int, float]:
    """Join examples into a batch; returns it with this process and its CPU seconds so far."""
    return collate(examples), os.getpid(), time.process_time()
