"""Many files to transcripts: batches of like length, one process or several, each file's answer by itself."""

import logging
import multiprocessing
import signal
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from seqlab.config import Config
from seqlab.errors import ConfigError, DataError
from seqlab.outputs.transcript import Transcript
from seqlab.recognizer import Backend, Recognizer, samples_per_second
from seqlab.signals import Signal
from seqlab.streaming import LONG_SECONDS
from seqlab.verbs.transcribe_files import FORMATS, Task

BATCH_SECONDS = 60.0  # of a batch, padding counted; see samples_per_second
HELD_SECONDS = 1800.0  # of the files that are read, then put in batches by length
HELD_FILES = 512
LONG_BYTES = 300_000  # no smaller file is that long
CHUNK = 64  # files that a process is given at a time
_log = logging.getLogger(__name__)

Answer = Transcript | str | OSError | None
"""A transcript; what is wrong with the file; what was wrong when an output was written; None if all was written."""


@dataclass(frozen=True, slots=True)
class Loader:
    """How to load a recogniser, in any process, see Recognizer.load, and whether it reads speech alone."""

    model: str
    device: Any = "auto"
    decoder: Config | None = None
    backend: Backend = "torch"
    threads: int = 1
    vad: bool = False
    vocal_tracts: tuple[float, ...] = ()

    def load(self) -> Recognizer:
        """Load it."""
        recognizer = Recognizer.load(self.model, self.device, self.decoder, self.backend, self.vocal_tracts)
        recognizer.use_threads(self.threads)
        return recognizer


def answers(recognizer: Recognizer, tasks: Sequence[Task], vad: bool = False) -> Iterator[tuple[int, Answer]]:
    """Yield the index and the answer of every task, in the order in which they come.

    A file that cannot be read, or that the model cannot take, does not stop the others.

    Args:
        recognizer: the model.
        tasks: the files.
        vad: read the speech of recordings alone, see ``seqlab.streaming.vad``.
    """
    for index, answer in _transcripts(recognizer, tasks, vad):
        task = tasks[index]
        if not isinstance(answer, Transcript):
            yield index, answer if str(task.path) in answer else f"{task.path}: {answer}"
            continue
        answer.id = task.name
        yield index, _write(task, answer) if task.outputs else answer


def _write(task: Task, transcript: Transcript) -> str | OSError | None:
    try:
        for form, path in task.outputs.items():
            FORMATS[form].write(path, [transcript])
    except DataError as error:
        return str(error)
    except OSError as error:
        return error
    return None


def _transcripts(recognizer: Recognizer, tasks: Sequence[Task], vad: bool) -> Iterator[tuple[int, Transcript | str]]:
    rate = samples_per_second(recognizer)
    held: list[tuple[int, Signal]] = []
    seconds = 0.0
    for index, path in enumerate(task.path for task in tasks):
        try:
            if vad:
                from seqlab.streaming.vad import transcribe_speech

                yield index, transcribe_speech(recognizer, path)
                continue
            if _is_long(recognizer, path):
                from seqlab.streaming import transcribe_long

                yield index, transcribe_long(recognizer, path)
                continue
            opened = recognizer.open(path)
        except (DataError, OSError) as error:
            yield index, str(error)
            continue
        except Exception as error:  # of one file, which shall not cost the others
            yield index, _unforeseen(path, error)
            continue
        held.append((index, opened))
        seconds += len(opened.samples) / rate
        if seconds > HELD_SECONDS or len(held) == HELD_FILES:
            yield from _by_length(recognizer, held, tasks)
            held, seconds = [], 0.0
    yield from _by_length(recognizer, held, tasks)


def _is_long(recognizer: Recognizer, path: Path) -> bool:
    if recognizer.kind != "audio" or not path.is_file() or path.stat().st_size < LONG_BYTES:
        return False
    from seqlab.media import audio_info

    return audio_info(path).duration > LONG_SECONDS


def _by_length(
    recognizer: Recognizer, held: Sequence[tuple[int, Signal]], tasks: Sequence[Task]
) -> Iterator[tuple[int, Transcript | str]]:
    """Recognise signals in batches of like length, so that little is padding."""
    most = BATCH_SECONDS * samples_per_second(recognizer)
    batch: list[tuple[int, Signal]] = []
    for pair in sorted(held, key=lambda pair: len(pair[1].samples)):  # the last one is the longest
        if batch and len(pair[1].samples) * (len(batch) + 1) > most:
            yield from _recognise(recognizer, batch, tasks)
            batch = []
        batch.append(pair)
    if batch:
        yield from _recognise(recognizer, batch, tasks)


def _recognise(
    recognizer: Recognizer, batch: Sequence[tuple[int, Signal]], tasks: Sequence[Task]
) -> Iterator[tuple[int, Transcript | str]]:
    """Recognise a batch; if it fails, its lines one by one, so that one does not cost the others."""
    try:
        names, words = [str(tasks[i].path) for i, _ in batch], any(tasks[i].words for i, _ in batch)
        found = recognizer.transcribe_signals([s for _, s in batch], names, words)
    except Exception as error:
        if len(batch) > 1:
            for pair in batch:
                yield from _recognise(recognizer, [pair], tasks)
            return
        index = batch[0][0]
        yield index, str(error) if isinstance(error, DataError) else _unforeseen(tasks[index].path, error)
    else:
        yield from zip((i for i, _ in batch), found, strict=True)


def _unforeseen(path: Path, error: Exception) -> str:
    _log.debug("%s", path, exc_info=True)
    return f"{path}: {type(error).__name__}: {error}; please report it, with the file"


def parallel(loader: Loader, tasks: Sequence[Task], processes: int) -> Iterator[tuple[int, Answer]]:
    """Yield what ``answers`` yields, from processes that each have the model.

    A process that dies, for instance of a file that takes too much memory, is replaced, and its files are tried again,
    each by itself; the one that ends its process once more is named and left.

    Raises:
        ConfigError: a process dies before it has the model.
    """
    size = max(1, min(CHUNK, -(-len(tasks) // (4 * processes))))
    indices = range(len(tasks))
    todo = deque(list(indices[start : start + size]) for start in indices[::size])
    workers: dict[Connection, tuple[Any, list[int] | None]] = {}  # its process, and its files; None until it is ready
    try:
        for _ in range(min(processes, len(todo))):
            workers |= _start(loader)
        while workers:
            for connection in wait(list(workers)):
                assert isinstance(connection, Connection)
                process, files = workers[connection]
                try:
                    message = connection.recv()
                except EOFError:
                    del workers[connection]
                    process.join()
                    if files is None:
                        told = "--processes: one ended before it had read the model; is there memory for so many?"
                        raise ConfigError(told) from None
                    if len(files) == 1:
                        yield files[0], f"{tasks[files[0]].path}: the process that read it died ({_end(process)})"
                    todo.extendleft([i] for i in reversed(files) if len(files) > 1)
                    if todo:
                        workers |= _start(loader)
                    continue
                if message is not None:  # an answer
                    index, answer = message
                    if files is not None:
                        files.remove(index)
                    yield index, answer
                elif todo:  # it is ready for more
                    files = todo.popleft()
                    workers[connection] = (process, files)
                    connection.send([(i, tasks[i]) for i in files])
                else:
                    del workers[connection]
                    connection.close()
                    process.join()
    finally:
        for connection, (process, _) in workers.items():
            process.terminate()
            process.join()
            connection.close()


def _start(loader: Loader) -> dict[Connection, tuple[Any, list[int] | None]]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(loader, theirs), daemon=True)
    process.start()
    theirs.close()
    return {ours: (process, None)}


def _end(process: Any) -> str:
    code = process.exitcode or 0
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"status {code}"


def _serve(loader: Loader, connection: Connection) -> None:
    """Answer the tasks that come, until no more do: None asks for more, which is said first when the model is there."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process ends this one
    recognizer = loader.load()
    try:
        while True:
            connection.send(None)
            given = connection.recv()
            for place, answer in answers(recognizer, [task for _, task in given], loader.vad):
                connection.send((given[place][0], answer))
    except (EOFError, BrokenPipeError):
        return
