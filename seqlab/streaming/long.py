"""Recordings of any length in constant memory."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seqlab.errors import ConfigError
from seqlab.media import audio_blocks
from seqlab.outputs.transcript import Transcript
from seqlab.recognizer import Recognizer, Signal
from seqlab.streaming.parts import Fixed, LogProbs, Reach, Stream, Windows, can_stream, encoder_windows, normalization

WINDOW = 52.0  # seconds kept of a window
CONTEXT = 4.0  # seconds on each side of it that are read and dropped
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
        decoder.accept(network.accept(torch.from_numpy(block)).numpy())
        samples += len(block)
        if progress:
            progress(samples / rate)
    decoder.accept(network.accept(torch.zeros(0), last=True).numpy())
    return recognizer.transcript_of(decoder.finish(), Signal(np.zeros(0), 1 / rate, samples / rate), str(path))


def _network(model: Any, blocks: Callable[[], Iterator[np.ndarray]], size: int, sides: int, lines: int) -> Stream:
    """Return the network that a recording goes through."""
    if not can_stream(model):

        def run(windows: list[Tensor]) -> list[Tensor]:
            return [torch.from_numpy(x) for x in model.log_probs_of([w.numpy() for w in windows])]

        return _Shaped(Windows(run, round(model.frame_shift * model.sample_rate), size, sides, lines))
    normalize: Stream
    if model.normalize.kind == "line":
        normalize = _measured(model, blocks)
    else:
        normalize = normalization(model.normalize)
    if getattr(model.encoder, "streams", False):
        return LogProbs(model, normalize)
    return LogProbs(model, normalize, encoder_windows(model.encoder, size, sides, lines))


class _Shaped:
    """Windows that give rows even where there is none."""

    def __init__(self, windows: Windows) -> None:
        self._windows = windows

    def accept(self, x: Tensor, last: bool = False) -> Tensor:
        answer = self._windows.accept(x, last)
        return answer if len(answer) else answer.reshape(0, 1)


@torch.inference_mode()
def _measured(model: Any, blocks: Callable[[], Iterator[np.ndarray]]) -> Stream:
    """Return the normalisation of a whole recording, its statistics measured in a pass of their own."""
    frontend = Reach(model.frontend)
    count, sums = 0, torch.zeros(2, model.frontend.num_features, dtype=torch.float64)

    def add(x: Tensor, last: bool = False) -> None:
        nonlocal count
        x = frontend.accept(x, last).double()
        count += len(x)
        sums.add_(torch.stack([x.sum(0), x.square().sum(0)]))

    for block in blocks():
        add(torch.from_numpy(block))
    add(torch.zeros(0), last=True)
    mean, square = sums / max(count, 1)
    std = ((square - mean.square()).clamp(min=0) + model.normalize.eps).sqrt()
    device = model.head.weight.device
    return Fixed(mean.float().to(device), std.float().to(device))
