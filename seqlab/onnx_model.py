"""A network run by ONNX Runtime, in the place of a CTCModel. torch is not imported here, and need not be there.

recognizer = Recognizer.load("exported/fsdd", backend="onnx")
"""

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from seqlab.config import Config, build
from seqlab.errors import ConfigError, DataError

FILES = {"onnx": "model.onnx", "int8": "model.int8.onnx"}  # of each backend, in a model folder
METADATA = "seqlab"  # key of the graph's metadata: a JSON object, see seqlab.export.graph
INPUTS, OUTPUTS = ("signal", "lengths"), ("log_probs", "log_probs_lengths")
LARGEST_RATE = 1_000_000  # Hz


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
        self.file = file
        self.session = _session(file, threads)
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
        if self.kind == "audio":
            self.sample_rate = int(self.sample_rate)
            self.frontend: Any = SimpleNamespace(kind="audio", sample_rate=self.sample_rate)
        else:
            self.frontend = build(config["frontend"], "frontend")
        if self.frontend.kind != self.kind:
            raise DataError(f"{file} reads {self.kind}, config.yaml beside it {self.frontend.kind}; export it again")
        self.num_symbols = self.session.get_outputs()[0].shape[2]

    def use_threads(self, threads: int) -> None:
        """Use so many CPU threads."""
        self.session = _session(self.file, threads)

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


def _session(file: Path, threads: int) -> Any:
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
