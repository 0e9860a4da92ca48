"""Recordings of any length in constant memory."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from seqlab.errors import ConfigError
from seqlab.media import audio_blocks
from seqlab.onnx_model import OnnxModel, PieceModel
from seqlab.outputs.transcript import Transcript
from seqlab.recognizer import Recognizer
from seqlab.signals import Signal
from seqlab.streaming.windows import Windows

WINDOW = 84.0  # seconds kept of a window
CONTEXT = 3.0  # seconds on each side of it that are read and dropped
LINES = 4  # windows at a time
EDGE = 8  # frames; the least context, which features and stem alone need


def transcribe_long(
    recognizer: Recognizer,
    path: str | Path,
    window: float = WINDOW,
    context: float = CONTEXT,
    lines: int = LINES,
    progress: Callable[[float], None] | None = None,
) -> Transcript:
    """Transcribe a recording of any length; places are in the time of the file.

    Features and what the decoder does are those of one pass over the whole. So are the states of an encoder that
    streams. Any other reads windows that overlap, several at a time, and the states near their edges are dropped;
    decoding runs over the joined frames, so that there is no seam at which a word could be lost or doubled. Where
    features are normalised by lines, the file is read twice: the line is the whole recording. A model run by ONNX
    Runtime reads windows of samples; its lines are the windows.

    Args:
        recognizer: a model of audio.
        path: the file.
        window: seconds kept of a window, above 0.
        context: seconds on each side of it.
        lines: windows run together.
        progress: called with the seconds of the recording that are done.

    Raises:
        ConfigError: the model reads no audio, or a value is out of range.
        FileNotFoundError: there is no such file.
        DataError: it is not readable.
    """
    model = recognizer.model
    if recognizer.kind != "audio":
        raise ConfigError(f"recordings are audio, the model reads {recognizer.kind}")
    if window <= 0 or context < 0 or lines < 1:
        raise ConfigError(f"window > 0, context >= 0 and lines >= 1, got {window}, {context} and {lines}")
    rate = int(model.sample_rate)
    size, sides = (max(round(seconds / model.frame_shift), least) for seconds, least in ((window, 1), (context, EDGE)))
    blocks = partial(audio_blocks, path, rate)
    network = _network(model, blocks, size, sides, lines)
    decoder = recognizer.decoder.stream()
    samples = 0
    for block in blocks():
        decoder.accept(network(block, False))
        samples += len(block)
        if progress:
            progress(samples / rate)
    decoder.accept(network(np.zeros(0, np.float32), True))
    return recognizer.transcript_of(decoder.finish(), Signal(np.zeros(0), 1 / rate, samples / rate), str(path))


def _network(
    model: Any, blocks: Callable[[], Iterator[np.ndarray]], size: int, context: int, lines: int
) -> Callable[[np.ndarray, bool], np.ndarray]:
    """Return the network that a recording goes through; of torch only if it is one of torch."""
    if isinstance(model, PieceModel):
        return model.streaming.stream().accept
    if not isinstance(model, OnnxModel):
        from seqlab.streaming.parts import can_stream, recording_network

        if can_stream(model):
            return recording_network(model, blocks, size, context, lines)
    return Windows(model.log_probs_of, round(model.frame_shift * model.sample_rate), size, context, lines).accept
