"""Look into a trained network: gates and cells while it reads a line, and how far back its gradient reaches.

from seqlab.inspection import inspect_line
from seqlab.report.inspection import draw_inspection
told = inspect_line(recognizer, recognizer.open("a.wav"), layer=1, direction="backward")
open("a.svg", "w").write(draw_inspection(told).svg())
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from seqlab.cells.cell import Cell
from seqlab.cells.lstm import LSTM
from seqlab.cells.projected import Projected
from seqlab.ctc.align import align
from seqlab.ctc.hypothesis import Span
from seqlab.encoders.blstm import BLSTM
from seqlab.errors import ConfigError, DataError
from seqlab.recognizer import Recognizer
from seqlab.report.inspection import Inspection, Panel, Place
from seqlab.signals import Signal

Direction = Literal["forward", "backward"]
DIRECTIONS: tuple[Direction, Direction] = ("forward", "backward")

MOST_FRAMES = 1500  # of the output that a picture can show
COPIES = 16  # frames whose gradients are computed at once


@dataclass(frozen=True, slots=True)
class Layer:
    """One direction of one layer, and what it reads.

    Attributes:
        number: from 1, the one nearest the input.
        direction: in which it reads.
        cell: the equations with the weights.
        x: features (T, 1, D) in the order in which it reads them.
    """

    number: int
    direction: Direction
    cell: Cell
    x: Tensor


@torch.no_grad()
def layers_of(encoder: nn.Module, x: Tensor, lengths: Tensor) -> list[Layer]:
    """Return every layer and direction of an encoder, with what it reads of one line.

    A layer is a ``ModuleList`` of cells, the one that reads forward first, as encoders of cells keep them.

    Args:
        encoder: in eval mode; the fused BLSTM, or one made of cells.
        x: features (1, T, F).
        lengths: frames, (1,).

    Returns:
        In the order of running; empty if the encoder is not made of cells.
    """
    if isinstance(encoder, BLSTM):
        return _of_blstm(encoder.lstm, encoder.growth.layers, x.transpose(0, 1))
    groups = [m for m in encoder.modules() if isinstance(m, nn.ModuleList) and all(isinstance(c, Cell) for c in m)]
    read: dict[nn.Module, Tensor] = {}
    hooks = [
        cell.register_forward_pre_hook(lambda cell, given: read.update({cell: given[0].detach()}))
        for group in groups
        for cell in group
    ]
    try:
        encoder(x, lengths)
    finally:
        for hook in hooks:
            hook.remove()
    numbered = enumerate((group for group in groups if len(group)), 1)
    return [
        Layer(number, direction, cell, read[cell])
        for number, group in numbered
        for direction, cell in zip(DIRECTIONS, group, strict=False)
        if isinstance(cell, Cell) and cell in read  # layers that have not joined in yet read nothing
    ]


def _of_blstm(lstm: nn.LSTM, depth: int, x: Tensor) -> list[Layer]:
    """Return the layers in use of a fused LSTM that reads x (T, 1, F), each as a cell of its own with its weights."""
    both = 2 if lstm.bidirectional else 1
    found = []
    for number in range(depth):
        outputs = []
        for direction, weights in zip(DIRECTIONS, lstm.all_weights[both * number : both * (number + 1)], strict=False):
            cell = _cell(weights, lstm.proj_size)
            layer = Layer(number + 1, direction, cell, x.flip(0) if direction == "backward" else x)
            found.append(layer)
            outputs.append(_in_time(layer, cell.activity(layer.x)["output"]))  # compiles nothing
        x = torch.cat(outputs, 2)
    return found


def _cell(weights: Sequence[Tensor], proj_size: int) -> Cell:
    """Return the cell with the weights of one layer and direction of nn.LSTM: one bias for the sum of its two."""
    named = dict(zip(("weight_ih", "weight_hh", "bias", "bias_hh", "weight_hr"), weights, strict=False))
    sizes = named["weight_ih"].shape[1], len(named["weight_ih"]) // 4
    cell = Projected(*sizes, proj_size) if proj_size else LSTM(*sizes)
    named["bias"] = named["bias"] + named.pop("bias_hh")
    cell.load_state_dict(named)
    return cell.to(weights[0].device).eval()


def _in_time(layer: Layer, y: Tensor) -> Tensor:
    """Return what a layer made (T, ...) in the order of the line."""
    return y.flip(0) if layer.direction == "backward" else y


def cut(
    recognizer: Recognizer, signal: Signal, start: float | None = None, end: float | None = None
) -> tuple[Signal, list[str]]:
    """Cut a part out of a line, in whole frames of output, and at most ``MOST_FRAMES`` of them.

    Args:
        recognizer: the model.
        signal: as ``recognizer.open`` gives it.
        start: in the signal's unit; None: its begin.
        end: in the signal's unit; None: its end.

    Returns:
        The part, the signal itself where nothing is cut off, and what is to be said of it.

    Raises:
        ConfigError: nothing lies between start and end.
    """
    model, signal = recognizer.model, replace(signal, at=None)  # its axis is that of the samples
    total = int(model.num_frames(torch.tensor([len(signal.samples)])))
    step = round(model.frame_shift * model.sample_rate)  # samples per frame
    ends = (0.0 if start is None else start, signal.extent if end is None else end)
    first, last = sorted((place - signal.offset) / (step * signal.step) for place in ends)
    first, last = max(int(first + 1e-6), 0), min(int(np.ceil(last - 1e-6)), total)
    if start is None and end is None:
        first, last = 0, total
    elif first >= last or ends[0] >= ends[1]:
        raise ConfigError(
            f"nothing lies from {ends[0]:g} to {ends[1]:g} {signal.unit}; the line ends at {signal.extent:g}"
        )
    shown = min(last, first + MOST_FRAMES)
    if (first, shown) == (0, total):
        return signal, []
    samples = signal.samples[first * step : None if shown == total else shown * step]
    part = Signal(samples, signal.step, signal.length, signal.unit, signal.offset + first * step * signal.step)
    limit = f", as a picture shows at most {MOST_FRAMES}" if shown < last else ""
    return part, [f"Read by itself: frames {first} to {shown} of {total}{limit}."]


@torch.no_grad()
def inspect_line(
    recognizer: Recognizer,
    signal: Signal,
    title: str = "",
    text: str | None = None,
    layer: int | None = None,
    direction: Direction = "forward",
    cells: int = 24,
    ink: np.ndarray | None = None,
) -> Inspection:
    """Run a line through a model and keep what a picture of it needs.

    Args:
        recognizer: the model.
        signal: as ``recognizer.open`` gives it.
        title: of the picture.
        text: to align with the line; None: none.
        layer: of the encoder, from 1; None: the last. An encoder that is not made of cells has one, its output.
        direction: of that layer.
        cells: how many are shown: those whose output varies most, in the order of their numbers.
        ink: points (N, 4) of strokes, to be drawn too.

    Raises:
        ConfigError: there is no such layer or direction.
        DataError: the line is too short for one frame or longer than ``MOST_FRAMES``, or the text does not fit it.
    """
    model, tokenizer = recognizer.model, recognizer.tokenizer
    if cells < 1:
        raise ConfigError(f"cells must be 1 or more, got {cells}")
    device = model.head.weight.device
    samples = torch.from_numpy(np.ascontiguousarray(signal.samples))[None].to(device)
    size = torch.tensor([samples.shape[1]], device=device)
    frames = int(model.num_frames(size.cpu()))
    if not 0 < frames <= MOST_FRAMES:
        raise DataError(f"the line has {frames} frames of output; a picture shows 1 to {MOST_FRAMES}")
    labels = None if text is None else _labels(recognizer, text)
    features = model.features(samples, size)[0][0].cpu().numpy()  # (T, F)
    x, lengths = model.frames(samples, size)
    log_probs = model.read(x, lengths)[0][0].cpu()
    image = recognizer.kind == "image"
    shown = Panel(
        "line" if image else "features",
        features.T if image else features.T[::-1],
        len(features) / (model.stem.stride * getattr(model.encoder, "stride", 1)),
        "paper" if image else "range",
        height=max(features.shape[1], 64) if image else 96,
        detail="" if image else f"{features.shape[1]}, first below",
    )
    panels, notes = _activity(model.encoder, x, lengths, frames, layer, direction, cells)
    decoded = recognizer.decode([log_probs])[0]
    scale = model.frame_shift * model.sample_rate * signal.step
    told = Inspection(
        title=title or recognizer.name,
        frames=frames,
        unit=signal.unit,
        scale=scale,
        offset=signal.offset,
        panels=[shown, *panels],
        posteriors=log_probs.exp().numpy(),
        symbols=list(tokenizer.symbols),
        text=tokenizer.decode(decoded.labels),
        decoded=_places(decoded.spans, log_probs, tokenizer.symbols),
        ink=ink,
        notes=notes,
    )
    if labels is not None:
        told.aligned = _places(align(log_probs, labels).spans, log_probs, tokenizer.symbols)
    return told


def _labels(recognizer: Recognizer, text: str) -> list[int]:
    tokenizer = recognizer.tokenizer
    text = tokenizer.normalize(text)
    if unknown := tokenizer.unknown(text):
        raise DataError(f"the text has {', '.join(map(repr, sorted(set(unknown))))}, not in the model's alphabet")
    return list(tokenizer.encode(text))


def _places(spans: Sequence[Span], log_probs: Tensor, symbols: Sequence[str]) -> list[Place]:
    peaks = [s.start + int(log_probs[s.start : s.end, s.label].argmax()) for s in spans]
    return [Place(symbols[s.label], s.start, s.end, peak) for s, peak in zip(spans, peaks, strict=True)]


def _activity(
    encoder: nn.Module, x: Tensor, lengths: Tensor, frames: int, layer: int | None, direction: str, cells: int
) -> tuple[list[Panel], list[str]]:
    """Return a panel per gate and state of the chosen layer and direction, and what to say of them."""
    layers = layers_of(encoder, x, lengths)
    if not layers:
        if layer is not None or direction != "forward":
            raise ConfigError(f"{type(encoder).__name__} is not made of cells; leave --layer and --direction out")
        values = encoder(x, lengths)[0][0].cpu().numpy()
        rows = _varied(values, cells)
        return [_panel("output", values, rows, frames)], [f"Output of the encoder ({type(encoder).__name__})."]
    last = layers[-1].number
    chosen = [row for row in layers if row.number == (layer or last) and row.direction == direction]
    if not chosen:
        there = " and ".join(dict.fromkeys(row.direction for row in layers))
        raise ConfigError(f"no layer {layer or last} {direction}; the encoder has layers 1 to {last}, {there}")
    one = chosen[0]
    activity = {n: _in_time(one, v).flatten(1).cpu().numpy() for n, v in one.cell.activity(one.x).items()}
    rows = _varied(activity["output"], cells)
    panels = []
    for name, values in activity.items():
        own = rows if values.shape[1] == activity["output"].shape[1] else _varied(values, cells)
        panels.append(_panel(name, values, own, frames))
    kind, size = type(one.cell).__name__, activity["output"].shape[1]
    which = f"{len(rows)} of {size} cells, those whose output varies most" if len(rows) < size else f"all {size} cells"
    return panels, [f"Layer {one.number} of {last}, {direction}: {kind}; {which}, a row each, the same in all panels."]


def _varied(values: np.ndarray, cells: int) -> np.ndarray:
    """Return the numbers of the columns of values (T, H) that vary most, rising."""
    return np.sort(np.argsort(-values.std(0), kind="stable")[:cells])


def _panel(name: str, values: np.ndarray, rows: np.ndarray, frames: int) -> Panel:
    return Panel(name, values[:, rows].T, frames, height=float(np.clip(4 * len(rows), 24, 240)))


def reach(
    model: Any, frames: Iterable[Tensor], most: int = 64, seed: int = 1
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Measure how strongly the output at a frame depends on the input at frames before and after it.

    The input is what the encoder reads, the output are the logits. Frames t are chosen evenly over each line; the norm
    of the Jacobian |d output(t) / d input(t - k)|_F is estimated by the gradient of a sum of the logits with random
    signs, whose expected square is the norm's (Hutchinson 1990).

    Args:
        model: a ``CTCModel`` in eval mode.
        frames: of each line, as ``model.frames`` gives them, (1, T, F).
        most: output frames per line.
        seed: of the signs.

    Returns:
        Lags k, rising, from below 0 (input after the output) to above; root mean square of the norm at each; and how
        many pairs of frames it is the mean of.

    Raises:
        DataError: the encoder strides, so that input and output frames are not the same, or there are no frames.
    """
    if getattr(model.encoder, "stride", 1) != 1:
        raise DataError("reach needs an encoder with as many frames of output as of input")
    generator = torch.Generator().manual_seed(seed)
    sums, counts = np.zeros(1), np.zeros(1, np.int64)  # lag 0 in the middle
    for x in frames:
        total = x.shape[1]
        if (room := total - 1 - len(sums) // 2) > 0:
            sums, counts = np.pad(sums, room), np.pad(counts, room)
        for times in np.array_split(np.unique(np.linspace(0, total - 1, most).round().astype(int)), -(-most // COPIES)):
            if not len(times):
                continue
            copies = x.detach().expand(len(times), -1, -1).clone().requires_grad_()
            logits = model.head(model.encoder(copies, torch.full((len(times),), total, device=x.device))[0])
            picked = logits[torch.arange(len(times)), torch.from_numpy(times)]  # (copies, V)
            signs = (torch.randint(0, 2, picked.shape, generator=generator) * 2 - 1).to(picked)
            (gradient,) = torch.autograd.grad((picked * signs).sum(), copies)
            squares = gradient.double().square().sum(2).cpu().numpy()  # (copies, T)
            for t, row in zip(times.tolist(), squares, strict=True):
                part = slice(len(sums) // 2 + t - total + 1, len(sums) // 2 + t + 1)  # lags t - total + 1 to t
                sums[part] += row[::-1]
                counts[part] += 1
    seen = counts > 0
    if not seen.any():
        raise DataError("there is no line to measure on")
    lags = np.arange(len(sums)) - len(sums) // 2
    return lags[seen], np.sqrt(sums[seen] / counts[seen]), counts[seen]
