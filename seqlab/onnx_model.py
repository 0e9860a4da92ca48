"""A network run by ONNX Runtime, in the place of a CTCModel. torch is not imported here, and need not be there.

recognizer = Recognizer.load("exported/fsdd", backend="onnx")
"""

import json
import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from seqlab.config import Config, build
from seqlab.errors import ConfigError, DataError

FILES = {"onnx": "model.onnx", "int8": "model.int8.onnx"}  # of each backend, in a model folder
STREAMING = {name: file.replace("model", "streaming") for name, file in FILES.items()}
NEXT = "next_"  # before a state's name: the state after a piece
METADATA = "seqlab"  # key of the graph's metadata: a JSON object, see seqlab.export.graph
INPUTS, OUTPUTS = ("signal", "lengths"), ("log_probs", "log_probs_lengths")
LARGEST_RATE = 1_000_000  # Hz
LARGEST_REACH = 60 * LARGEST_RATE  # inputs that an output frame may wait for
LARGEST_STATE = 2**26  # numbers
# What graphs of one model have in common, by the names of both classes' attributes.
COMMON = ("kind", "sample_rate", "frame_shift", "num_weights", "num_symbols")


class OnnxModel:
    """What a Recognizer asks of its network, from a graph that ``seqlab export --onnx`` wrote.

    Args:
        file: the graph.
        config: the model's configuration; a frontend for images, ink or arrays is built from it, to prepare lines.
        threads: CPU threads.

    Attributes:
        frontend: reads and prepares; of audio only its kind and rate, as the graph computes the features.
        sample_rate: in Hz; 1 where there is no time.
        frame_shift: seconds (columns, points) from one output frame to the next.
        num_weights: of the network.

    Raises:
        FileNotFoundError: there is no such file.
        ConfigError: onnxruntime is not installed.
        DataError: it is no such graph.
    """

    def __init__(self, file: Path, config: Config, threads: int = 1) -> None:
        if not file.is_file():
            raise FileNotFoundError(f"{file} not found; seqlab export RUN OUT --onnx (--int8) writes it")
        self.file, self.threads = file, threads
        self.session = open_session(file, threads)
        try:
            told = json.loads(self.session.get_modelmeta().custom_metadata_map[METADATA])
            self.kind, self.shortest = str(told["kind"]), int(told["shortest"])
            self.sample_rate, self.frame_shift = float(told["sample_rate"]), float(told["frame_shift"])
            self.num_weights = int(told["weights"])
            fits = 0 < self.sample_rate <= LARGEST_RATE and 0 < self.frame_shift < np.inf and self.shortest > 0
        except (KeyError, ValueError, TypeError):
            fits = False
        if not fits or tuple(x.name for x in self.session.get_inputs()) != INPUTS:
            raise DataError(f"{file} is no graph of seqlab export that starts from {INPUTS[0]}; export it again")
        self._prepare(config)
        self.num_symbols = self.session.get_outputs()[0].shape[2]

    def _prepare(self, config: Config) -> None:
        """Build what reads and prepares lines."""
        if self.kind == "audio":
            self.sample_rate = int(self.sample_rate)
            self.frontend: Any = SimpleNamespace(kind="audio", sample_rate=self.sample_rate)
        else:
            self.frontend = build(config["frontend"], "frontend")
        if self.frontend.kind != self.kind:
            what = f"reads {self.kind}, config.yaml beside it {self.frontend.kind}"
            raise DataError(f"{self.file} {what}; export it again")

    def use_threads(self, threads: int) -> None:
        """Use so many CPU threads."""
        self.threads, self.session = threads, open_session(self.file, threads)
        self.__dict__.pop("streaming", None)

    @cached_property
    def streaming(self) -> "StreamingGraph":
        """The graph beside this one that reads piece by piece, see ``StreamingGraph``.

        Raises:
            ConfigError, DataError: as there; it is of another model than this one.
        """
        file = beside(self.file)
        graph = StreamingGraph(file, self.threads)
        for key in COMMON:
            if (own := getattr(self, key)) != (other := getattr(graph, key)):
                cure = "export it again with --streaming"
                raise DataError(f"{file} is of another model: {key} is {other}, in {self.file.name} {own}; {cure}")
        return graph

    def log_probs_of(self, signals: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return log-probabilities (T, V) of signals (S, ...), run as one batch; too short ones give T = 0."""
        answer = [np.zeros((0, self.num_symbols), np.float32) for _ in signals]
        long = [i for i, signal in enumerate(signals) if len(signal) >= self.shortest]
        if not long:
            return answer
        lengths = np.array([len(signals[i]) for i in long], np.int64)
        batch = np.zeros((len(long), int(lengths.max()), *signals[long[0]].shape[1:]), np.float32)
        for row, i in zip(batch, long, strict=True):
            row[: len(signals[i])] = signals[i]
        log_probs, frames = self.session.run(list(OUTPUTS), dict(zip(INPUTS, (batch, lengths), strict=True)))
        for i, line, length in zip(long, log_probs, frames.tolist(), strict=True):
            answer[i] = line[:length]
        return answer


class PieceModel(OnnxModel):
    """A network of which there is the streaming graph alone: what is a whole line for others is one piece here.

    Args:
        file: where the other graph would be.
        config: see ``OnnxModel``.
        threads: likewise.

    Raises:
        ConfigError: onnxruntime is not installed.
        DataError: it is no such graph.
    """

    def __init__(self, file: Path, config: Config, threads: int = 1) -> None:
        self.file = beside(file)
        self.use_threads(threads)
        for key in COMMON:
            setattr(self, key, getattr(self.streaming, key))
        self._prepare(config)

    def use_threads(self, threads: int) -> None:
        """Use so many CPU threads."""
        self.threads, self.streaming = threads, StreamingGraph(self.file, threads)

    def log_probs_of(self, signals: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return log-probabilities (T, V) of signals (S, ...), one after the other; too short ones give T = 0."""
        return [self.streaming.stream().accept(signal, last=True) for signal in signals]


def open_model(file: Path, config: Config) -> OnnxModel:
    """Open the graph of a model folder, or the streaming graph where that is the only one; see ``OnnxModel``."""
    return PieceModel(file, config) if beside(file).is_file() and not file.is_file() else OnnxModel(file, config)


def beside(file: Path) -> Path:
    """Return where the streaming graph beside a graph lies."""
    return file.with_name(file.name.replace("model", "streaming", 1))


class StreamingGraph:
    """A network that reads piece by piece, from a graph of ``seqlab export --streaming``; for any number of lines.

    Args:
        file: the graph.
        threads: CPU threads.

    Attributes:
        latency: seconds (points, frames) until what was heard is in the result.
        chunk, right: frames that it computes at a time, and those after them that it reads too; 0: any number, none.
        kind, sample_rate, frame_shift, num_weights, num_symbols: of the model, as of ``OnnxModel``.

    Raises:
        ConfigError: there is no such file, or onnxruntime is not installed.
        DataError: it is no such graph.
    """

    def __init__(self, file: Path, threads: int = 1) -> None:
        if not file.is_file():
            raise ConfigError(
                f"{file} not found; seqlab export RUN OUT --streaming (--int8) writes it for models that stream"
            )
        self.session = open_session(file, threads)
        self.outputs = [x.name for x in self.session.get_outputs()]
        inputs = {x.name: x.shape for x in self.session.get_inputs()}
        self.states = {
            name: tuple(size if isinstance(size, int) else 1 for size in inputs.get(name, ()))
            for name in (x.removeprefix(NEXT) for x in self.outputs[1:])
        }
        self.overlap = "frames" in inputs
        try:
            told = json.loads(self.session.get_modelmeta().custom_metadata_map[METADATA])
            sizes = [told[key] for key in ("step", "before", "after", "shortest", "delay")]
            self.step, self.before, self.after, self.shortest, self.delay = sizes
            self.chunk, self.right = windows = [told.get(key, 0) for key in ("chunk", "right")]
            self.kind, self.num_weights = str(told["kind"]), int(told["weights"])
            self.sample_rate, self.frame_shift = float(told["sample_rate"]), float(told["frame_shift"])
            self.num_symbols = self.session.get_outputs()[0].shape[2]
            fits = all(type(size) is int and 0 <= size <= LARGEST_REACH for size in (*sizes, *windows))
            fits = fits and 0 < self.sample_rate <= LARGEST_RATE and min(self.step, self.after, self.shortest) > 0
            fits = fits and all(shape and math.prod(shape) <= LARGEST_STATE for shape in self.states.values())
        except (KeyError, ValueError, TypeError, IndexError):
            fits = False
        if not fits or not self.states or next(iter(inputs)) != INPUTS[0]:
            raise DataError(f"{file} is no graph of seqlab export --streaming; export it again")
        waits = self.delay + max(self.chunk + self.right - 1, 0)  # frames
        self.latency = (waits * self.step + self.after) / self.sample_rate

    def stream(self) -> "OnnxStream":
        """Return what reads one line."""
        return OnnxStream(self)


class OnnxStream:
    """One line through a streaming graph.

    A frame is computed as soon as all it depends on is there: output frame t comes from the inputs
    [t step - before, t step + after). Where a graph has look-ahead its output comes `delay` frames late: the first
    ones mean nothing, and as many come after the end. A graph of chunks computes `chunk` frames once the `right` frames
    after them can be read too; at the end of a line there may be fewer of both.

    Args:
        graph: the graph.
    """

    def __init__(self, graph: StreamingGraph) -> None:
        self._graph = graph
        self._held: np.ndarray | None = None
        self._start = 0  # place of the first input that is held
        self._done = 0  # frames computed
        self._late = graph.delay  # frames to come that mean nothing
        self._states = {name: np.zeros(shape, np.float32) for name, shape in graph.states.items()}

    def accept(self, x: np.ndarray, last: bool = False) -> np.ndarray:
        """Take the next piece (S, ...), float32, which may be empty; return the log-probabilities (T, V) of the frames
        that are certain by now."""
        graph = self._graph
        step = graph.step
        if not len(x) and self._held is not None:
            x = self._held[:0]  # nothing has no shape of its own
        held = x if self._held is None or not len(self._held) else np.concatenate([self._held, x])
        end, first = self._start + len(held), self._start // step
        if last:
            ready = first + max((len(held) - graph.shortest) // step + 1, 0)
        else:
            ready = max((end - graph.after) // step + 1, 0)
        answers: list[np.ndarray] = []
        size = graph.chunk + graph.right  # of a window; 0: all that is ready
        while ready - self._done >= (1 if last else max(size, 1)):
            stop, first = min(self._done + size, ready) if size else ready, self._start // step
            count = min(graph.chunk or ready, stop - self._done)
            cut = None if stop == ready else (stop - 1) * step + graph.after - self._start
            answers.append(self._run(held[:cut], self._done - first, stop - first)[:count])
            self._done += count
            held = self._needed(held, end)
        if last and graph.delay and self._done:
            nothing = np.zeros((graph.shortest + (graph.delay - 1) * step, *x.shape[1:]), np.float32)
            answers.append(self._run(nothing, 0, graph.delay, speech=0.0))
        self._held = self._needed(held, end)
        if len(answers) == 1:
            return answers[0]
        return np.concatenate([np.zeros((0, graph.num_symbols), np.float32), *answers])

    def _needed(self, held: np.ndarray, end: int) -> np.ndarray:
        """Return what is held from where the next frame begins to depend on it, aligned to frames."""
        step = self._graph.step
        start = max(min(self._done * step - self._graph.before, end) // step * step, self._start)
        held, self._start = held[start - self._start :], start
        return held

    def _run(self, x: np.ndarray, begin: int, end: int, speech: float = 1.0) -> np.ndarray:
        graph, given = self._graph, {INPUTS[0]: x[None], **self._states}
        if graph.overlap:
            given["frames"] = np.array([begin, end])
        if graph.delay:
            given["speech"] = np.array([speech], np.float32)
        log_probs, *states = graph.session.run(graph.outputs, given)
        self._states = dict(zip(self._states, states, strict=True))
        answer: np.ndarray = log_probs[0, self._late :]
        self._late -= len(log_probs[0]) - len(answer)
        return answer


def open_session(file: Path, threads: int) -> Any:
    """Open a graph for so many CPU threads.

    Raises:
        ConfigError: onnxruntime is not installed.
        DataError: it is no graph that can be run.
    """
    try:
        import onnxruntime
    except ImportError:
        raise ConfigError("ONNX Runtime is not installed: pip install 'seqlab[export]'") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its classes are private; whatever a damaged or hostile file leads to
        raise DataError(f"{file} is no ONNX graph that can be run: {str(error).splitlines()[0]}") from None
