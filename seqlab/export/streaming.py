"""A network that streams as an ONNX graph: one piece of a line in, its log-probabilities out, states in and out.

    streaming.onnx            signal (B, S, ...) float32, states -> log_probs (B, T, V), next states
    streaming.features.onnx   signal (B, T, F) float32, the rest alike: from log-mel filters

A line begins with states of 0; what comes out as next_h goes in as h with the next piece, and so on. All lines of a
batch have pieces of one size. A latency-controlled network takes one window at a time, a chunk with its right context,
and answers with the chunk. ``seqlab.onnx_model.OnnxStream`` cuts the pieces; docs/streaming.md tells the rules.
"""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from seqlab.encoders.blstm import BLSTM
from seqlab.encoders.latency_controlled import LatencyControlled
from seqlab.encoders.look_ahead import LookAhead
from seqlab.errors import ConfigError
from seqlab.export.compact import packages
from seqlab.export.filterbank import AfterFilters, in_graph, input_size
from seqlab.export.graph import Parity, annotate, refusing, trace
from seqlab.model import CTCModel
from seqlab.onnx_model import NEXT, StreamingGraph
from seqlab.streaming.parts import LogProbs, can_stream, normalization

# What a graph is held against the network with: output frames of each line, and the most that a piece is made for.
LINES = ((1, 1), (7, 3), (60, 1), (150, 20), (90, 90))
TRACED = 5  # output frames


class Unpadded(TorchFunctionMode):
    """Leaves out what sets padding to 0, where there is none: nodes that a small piece would wait for."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run a function of torch, but return what masked_fill is given."""
        return args[0] if func is torch.Tensor.masked_fill else func(*args, **(kwargs or {}))


class Piece(nn.Module):
    """One piece of lines through a network.

    Args:
        model: a network whose frontend, stem and encoder stream.
    """

    def __init__(self, model: CTCModel) -> None:
        super().__init__()
        self.model = model
        self.frontend = in_graph(model.frontend)
        (step, before, after), (stride, left, right) = model.frontend.reach, model.stem.reach
        self.step, self.before, self.after = step * stride, left * step + before, (right - 1) * step + after
        lengths = torch.arange(self.before + self.after + 9 * self.step)
        frames = model.stem.num_frames(model.frontend.num_frames(lengths))
        self.shortest = int((frames == 0).sum())
        if not frames.equal((lengths - self.shortest + self.step).clamp(min=0) // self.step):
            raise ConfigError(f"frames of {type(model.frontend).__name__} and its stem do not come at even distances")
        windows = isinstance(model.encoder, LatencyControlled)
        self.chunk: int = model.encoder.chunk if windows else 0
        self.right: int = model.encoder.right if windows else 0
        self.delay: int = 0 if windows else model.encoder.look_ahead
        self.overlap = self.before > 0 or self.after != self.shortest  # of pieces, whose new frames must be told
        states = ["h", "c", *(["kept"] if self.delay else [])]
        self.inputs = ["signal", *states, *(["frames"] if self.overlap else []), *(["speech"] if self.delay else [])]
        self.outputs = ["log_probs", *(NEXT + name for name in states)]

    def forward(self, signal: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        """Compute log-probabilities (B, T, V) and the states after a piece.

        Args:
            signal: the piece (B, S, ...).
            rest: what ``inputs`` names after it: h and c of the LSTM, (layers, B, H); with look-ahead kept, the states
                of the last frames (B, look_ahead, H); frames (2,), the first of the piece's output frames that is new
                and the one after the last; with look-ahead speech (1,), 0 where the piece lies after the line, else 1.
        """
        model, given = self.model, dict(zip(self.inputs[1:], rest, strict=True))
        lengths = torch.full((signal.shape[0],), signal.shape[1], dtype=torch.long)
        with Unpadded():
            x, _ = model.stem(*model.normalize(*self.frontend(signal, lengths)))
        if self.overlap:
            x = x[:, given["frames"][0] : given["frames"][1]]
        x, encoder = x.transpose(0, 1), model.encoder  # (T, B, F)
        if self.chunk:
            x, *ends = self._window(x, given["h"], given["c"])
            return model.head(x.transpose(0, 1)).log_softmax(2), *ends
        after = []
        for layer, state in enumerate(zip(given["h"].split(1), given["c"].split(1), strict=True)):
            x, end = encoder._many(x, state, layer)
            after.append(end)
        ends = [torch.cat(parts) for parts in zip(*after, strict=True)]
        x = x.transpose(0, 1)
        if isinstance(encoder, LookAhead):
            if self.delay:
                x = torch.cat([given["kept"], x * given["speech"]], 1)
                ends.append(x[:, -self.delay :])
            x = encoder._rows(x)
        return model.head(x).log_softmax(2), *ends

    def _window(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Do what ``LatencyControlled`` does with one window (T, B, F), which is shorter only where a line ends.

        It is filled up with zeros: its size is fixed in the graph, and no real frame is read after them.

        Returns:
            States of the chunk (chunk, B, 2 H), and the forward states h and c after it, (layers, B, H).
        """
        encoder, size, count = self.model.encoder, self.chunk + self.right, x.shape[0]
        place = torch.arange(size)
        backwards = torch.where(place < count, count - 1 - place, place)
        x = functional.pad(x, (0, 0, 0, 0, 0, size))[:size]
        after = []
        for layer, state in enumerate(zip(h.split(1), c.split(1), strict=True)):
            onward, back = (encoder._weights(2 * layer + direction) for direction in (0, 1))
            main, *end = torch.lstm(x[: self.chunk], state, onward, True, 1, 0.0, False, False, False)
            after.append(end)
            top = layer + 1 == encoder.num_layers  # of which the chunk alone is wanted
            if self.right and not top:
                ahead = torch.lstm(x[self.chunk :], tuple(end), onward, True, 1, 0.0, False, False, False)[0]
                main = torch.cat([main, ahead])
            reverse = torch.lstm(x[backwards], encoder._zeros(x), back, True, 1, 0.0, False, False, False)[0]
            x = torch.cat([main, reverse[backwards[: self.chunk] if top else backwards]], 2)
        ends = [torch.cat(parts) for parts in zip(*after, strict=True)]
        return x, ends[0], ends[1]

    def example(self) -> tuple[Tensor, ...]:
        """Return inputs for one line."""
        frames = self.chunk + self.right or TRACED
        samples = self.shortest + (frames - 1) * self.step
        audio, encoder = self.model.frontend.kind == "audio", self.model.encoder
        values = {
            "signal": torch.zeros(1, samples, *([] if audio else [input_size(self.model.frontend)])),
            "h": torch.zeros(encoder.growth.layers, 1, encoder.lstm.hidden_size),
            "c": torch.zeros(encoder.growth.layers, 1, encoder.lstm.hidden_size),
            "kept": torch.zeros(1, self.delay, encoder.num_features),
            "frames": torch.tensor([0, frames]),
            "speech": torch.ones(1),
        }
        return tuple(values[name] for name in self.inputs)

    def axes(self) -> dict[str, dict[int, str]]:
        """Return the free axes of inputs and outputs."""
        free = {"signal": {0: "B", 1: "S"}, "log_probs": {0: "B", 1: "frames"}, "h": {1: "B"}, "c": {1: "B"}}
        free["kept"] = {0: "B"}
        free |= {NEXT + name: free[name] for name in ("h", "c", "kept")}
        return {name: free[name] for name in (*self.inputs, *self.outputs) if name in free}


def export_streaming(model: CTCModel, file: Path, outside: bool = False) -> Parity:
    """Write a network that streams as one ONNX file, and hold it against the network piece by piece.

    Args:
        model: a trained network, in eval mode; it is left as it is.
        file: the graph; nothing stays there if it is refused.
        outside: start from log-mel filters instead of the signal.

    Returns:
        The largest differences found.

    Raises:
        ConfigError: a package is missing, the network does not stream or cannot be written, or the graph differs by
            more than 1e-4.
    """
    packages()
    check_streams(model)
    own = copy.deepcopy(model).cpu().eval()
    if outside:
        own.frontend = AfterFilters(own.frontend)
    with refusing(file, model):
        piece = Piece(own).eval()
        trace(piece, piece.example(), file, piece.inputs, piece.outputs, piece.axes())
        told = ("step", "before", "after", "shortest", "delay", *(("chunk", "right") if piece.chunk else ()))
        facts = {key: getattr(piece, key) for key in told}
        annotate(file, model, {"kind": own.frontend.kind} | facts)
        parity = _compare(own, piece, file)
        parity.check(model)
    return parity


def check_streams(model: CTCModel) -> None:
    """Raise ConfigError unless a network streams with states that a graph can carry, which is quickly known."""
    encoder = model.encoder
    if not isinstance(encoder, BLSTM) or (encoder.lstm.bidirectional and not isinstance(encoder, LatencyControlled)):
        raise ConfigError(
            "--streaming is for encoder=lstm, look_ahead or latency_controlled, the encoder is "
            f"{type(encoder).__name__}{' with bidirectional=true' if type(encoder) is BLSTM else ''}; leave it out"
        )
    if not can_stream(model):
        parts = f"{type(model.frontend).__name__} and {type(model.stem).__name__}"
        raise ConfigError(f"--streaming: {parts} do not work piece by piece; leave it out")
    if model.normalize.kind == "line":
        raise ConfigError(
            "--streaming: normalize.kind=line needs a line whole before its first frame is known; train with "
            "normalize=global, or leave it out"
        )


def _compare(model: CTCModel, piece: Piece, file: Path) -> Parity:
    """Feed lines of noise to network and graph, cut alike, and compare what comes out at each cut."""
    rng = np.random.default_rng(0)
    audio = model.frontend.kind == "audio"
    graph = StreamingGraph(file)
    worst, worst_log = 0.0, 0.0
    for frames, most in LINES:
        size = piece.shortest + (frames - 1) * piece.step + int(rng.integers(piece.step))
        shape = (size,) if audio else (size, input_size(model.frontend))
        line = (0.1 if audio else 1.0) * rng.standard_normal(shape).astype(np.float32)
        network, stream = LogProbs(model, normalization(model.normalize)), graph.stream()
        at = 0
        while at <= size:  # the last piece is empty at times
            end = at + int(rng.integers(1, most * piece.step + 1))
            wanted = network.accept(torch.from_numpy(line[at:end]), last=end > size).numpy()
            found = stream.accept(line[at:end], last=end > size)
            if len(found) != len(wanted):
                raise ConfigError(f"the graph gives {len(found)} frames at a cut, the network {len(wanted)}")
            if len(found):
                worst = max(worst, float(np.abs(np.exp(found) - np.exp(wanted)).max()))
                worst_log = max(worst_log, float(np.abs(found - wanted).max()))
            at = end
    return Parity(worst, worst_log, len(LINES))
