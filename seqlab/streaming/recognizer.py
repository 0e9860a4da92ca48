"""A recogniser that is fed while someone speaks or writes."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from seqlab.errors import ConfigError
from seqlab.onnx_model import OnnxModel
from seqlab.outputs.transcript import Transcript, Word
from seqlab.recognizer import Recognizer
from seqlab.signals import Signal, ink_points, numbers

Network = Callable[[np.ndarray, bool], np.ndarray]


@dataclass(frozen=True, slots=True)
class Partial:
    """What is read by now.

    Attributes:
        text: the likeliest text so far.
        stable: what of its beginning is certain: every later text begins with it. The rest may change.
        words: the words of the text, with places and confidence.
        heard: how much was taken in, in the transcript's unit.
    """

    text: str
    stable: str
    words: list[Word]
    heard: float


class StreamingRecognizer:
    """Feed it pieces of any size, and it says what it has read.

    What a model can do follows from its parts. One whose encoder reads forward, or with bounded look-ahead
    (conf/encoder: lstm, look_ahead, latency_controlled, recurrent with bidirectional=false), is read as pieces come,
    and ends with what Recognizer gives for the whole, whatever the pieces were; except int8, which quantises piece by
    piece, so that its text depends a little on the cut. Any other one is read when ``finish`` is called, but not by
    ONNX Runtime. Ink is read anew whenever a stroke ends: size and slant of a line are those of all its strokes, so
    that none of the text is certain before the end.

    Args:
        recognizer: the model, with its decoder. Run by ONNX Runtime (``Recognizer.load(folder, backend="int8")``) it
            needs the streaming graph of ``seqlab export --streaming``, which models of lstm, look_ahead and
            latency_controlled can have, and no torch. A model without one, such as a BLSTM, is not read at ``finish``
            but refused: use Recognizer.
        sample_rate: of the audio that comes, in Hz; the model's own when not given.
        running: for models with normalize=line: normalise by the statistics of what was heard so far. The result then
            is not that of Recognizer.

    Attributes:
        streams: whether results come before ``finish``.
        latency: seconds (points, frames) after which what was heard is in the result; None where it waits for
            ``finish``.

    Raises:
        ConfigError: the model reads images, normalises by whole lines while its encoder streams, or runs by ONNX
            Runtime and has no streaming graph.
        DataError: the streaming graph is of another model, or none.
    """

    def __init__(self, recognizer: Recognizer, sample_rate: int | None = None, running: bool = False) -> None:
        model = recognizer.model
        if recognizer.kind == "image":
            raise ConfigError("the model reads line images, which are there as a whole: use Recognizer")
        if sample_rate is not None and (recognizer.kind != "audio" or sample_rate <= 0):
            raise ConfigError(f"sample_rate is that of audio, above 0; got {sample_rate} for {recognizer.kind}")
        self.recognizer = recognizer
        self._rate = sample_rate
        strokes = recognizer.kind == "strokes"
        self._open, self.latency = (None, None) if strokes else _by_piece(model, running)
        self.streams = strokes or self._open is not None
        self.reset()

    def reset(self) -> None:
        """Forget what was heard: a new line begins."""
        model = self.recognizer.model
        self._pieces: list[np.ndarray] = []
        self._heard = 0
        self._partial = Partial("", "", [], 0.0)
        self._resampler: Any = None
        if self._rate is not None and self._rate != model.sample_rate:
            import soxr

            self._resampler = soxr.ResampleStream(self._rate, model.sample_rate, 1, dtype="float32", quality="HQ")
        if self._open:
            self._network = self._open()
            self._decoder = self.recognizer.decoder.stream()

    def accept(self, samples: np.ndarray) -> Partial:
        """Take the next piece.

        Args:
            samples: mono audio (S,), floats in [-1, 1] or integers at their full scale; features (T, F); or ink (N, 4)
                of x, y, time and end of stroke.

        Returns:
            What is read by now.

        Raises:
            DataError: the samples are not finite, too loud for features or of another form; what was heard before is
                kept, and the line goes on.
        """
        samples = numbers(samples)
        if not len(samples):
            return self._partial
        if self.recognizer.kind == "strokes":
            return self._write(samples)
        signal = self.recognizer.open(samples).samples
        if self._resampler is not None:
            signal = self._resampler.resample_chunk(signal)
        self._heard += len(signal)
        self._partial = replace(self._partial, heard=self._signal().extent)
        if not self._open:
            self._pieces.append(signal)
        elif self._read(signal):
            hypothesis, certain = self._decoder.partial()
            transcript = self._transcript(hypothesis)
            stable = self.recognizer.tokenizer.decode(hypothesis.labels[:certain])
            self._partial = Partial(transcript.text, stable, transcript.words, self._partial.heard)
        return self._partial

    def finish(self) -> Transcript:
        """End the line: return its transcript, and be ready for the next one."""
        rest = np.zeros(0, np.float32)
        if self._resampler is not None:
            rest = self._resampler.resample_chunk(rest, last=True)
            self._heard += len(rest)
        if self._open:
            self._read(rest, last=True)
            transcript = self._transcript(self._decoder.finish())
        elif self._pieces:
            whole = np.concatenate(self._pieces if self._resampler is None else [*self._pieces, rest])
            transcript = self.recognizer.transcribe(whole)
        else:
            transcript = self._transcript(self.recognizer.decode([np.zeros((0, 1), np.float32)])[0])
        self.reset()
        return transcript

    def _read(self, signal: np.ndarray, last: bool = False) -> int:
        """Read samples; returns the number of frames that this made certain."""
        log_probs = self._network(np.ascontiguousarray(signal), last)
        self._decoder.accept(log_probs)
        return len(log_probs)

    def _write(self, points: np.ndarray) -> Partial:
        points = ink_points(points)
        if points[:, 3].any():
            transcript = self.recognizer.transcribe(np.concatenate([*self._pieces, points]))
            self._partial = Partial(transcript.text, "", transcript.words, transcript.duration or 0.0)
        self._pieces.append(points)
        return self._partial

    def _signal(self) -> Signal:
        """Return what was heard as a signal without its samples."""
        if self.recognizer.kind == "strokes":
            return Signal(np.zeros(0), length=0.0, unit="points")
        rate = self.recognizer.model.sample_rate
        unit = "frames" if self.recognizer.kind == "features" and rate == 1 else "s"
        return Signal(np.zeros(0), 1 / rate, self._heard / rate, unit)

    def _transcript(self, hypothesis: Any) -> Transcript:
        return self.recognizer.transcript_of(hypothesis, self._signal(), "")


def _by_piece(model: Any, running: bool) -> tuple[Callable[[], Network] | None, float | None]:
    """Return what begins a line that a network reads piece by piece, and its latency; None where it cannot."""
    if isinstance(model, OnnxModel):
        if running:
            raise ConfigError("running statistics are not in the streaming graph: load the model without backend")
        graph = model.streaming
        return lambda: graph.stream().accept, graph.latency
    import torch

    from seqlab.streaming.parts import Heard, LogProbs, can_stream, normalization

    if not can_stream(model) or not getattr(model.encoder, "streams", False):
        return None, None

    def read(frontend: Any) -> LogProbs:
        return LogProbs(model, normalization(model.normalize, running), frontend=frontend)

    def begin() -> Network:
        network = Heard(model, read)
        return lambda x, last: network.accept(torch.from_numpy(x), last).numpy()

    return begin, _latency(model)


def _latency(model: Any) -> float:
    """Return how long a sample waits at most until the output frame that it lies in is known, in seconds."""
    frontend, stem = model.frontend, model.stem
    frames = model.encoder.look_ahead * stem.reach[0] + stem.reach[2]  # of the frontend, from an output's first on
    latency: float = ((frames - 1) * frontend.reach[0] + frontend.reach[2]) / model.sample_rate
    return latency
