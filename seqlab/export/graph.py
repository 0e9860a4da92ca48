"""A trained network as an ONNX graph, checked against the network it came from.

    model.onnx       signal (B, S, ...) float32, lengths (B,) int64 -> log_probs (B, T, V), log_probs_lengths (B,)
    features.onnx    x (B, T, F) float32, x_lens (B,) int64 -> log_probs, log_probs_lengths: from log-mel filters

A signal is what the network takes: audio in [-1, 1], prepared image columns, frames of ink, or an array. B, S and T are
free, padding never changes a result, and frames past log_probs_lengths mean nothing. Blank is 0.
"""

import copy
import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from seqlab.errors import ConfigError
from seqlab.export.both_ways import in_nodes
from seqlab.export.compact import compact, packages
from seqlab.export.filterbank import AfterFilters, in_graph, input_size
from seqlab.frontends.mfcc import MFCC
from seqlab.model import CTCModel
from seqlab.onnx_model import INPUTS, METADATA, OUTPUTS, open_session

OPSET = 17  # of 2022; what phones and browsers run knows it
FEATURE_INPUTS = ("x", "x_lens")  # as of icefall's models, which sherpa-onnx runs
TOLERANCE = 1e-4  # of a probability
# What the graph is traced with, and then held against the network with: output frames of each line of a batch.
TRACED = (40, 29)
BATCHES = ((1,), (60,), (17, 200, 5), (33, 33, 33, 33), (2, 120))


class FromSignal(nn.Module):
    """The whole network, its frontend in a form that a graph can hold.

    Args:
        model: a trained network.
    """

    def __init__(self, model: CTCModel) -> None:
        super().__init__()
        self.model = model
        self.frontend = in_graph(model.frontend)

    def forward(self, signal: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Compute log-probabilities (B, T, V) and frames per line of signals (B, S, ...) with lengths (B,)."""
        model = self.model
        return model.read(*model.stem(*model.normalize(*self.frontend(signal, lengths))))


@dataclass(frozen=True)
class Parity:
    """How far a graph is from its network.

    Attributes:
        probability: largest difference of a probability.
        log_prob: largest difference of a log-probability, natural log.
        lines: compared.
    """

    probability: float
    log_prob: float
    lines: int

    def check(self, model: CTCModel) -> None:
        """Refuse a graph that differs by more than is allowed.

        Raises:
            ConfigError: it does.
        """
        if not self.probability <= TOLERANCE:
            raise ConfigError(
                f"the graph of a network with the encoder {type(model.encoder).__name__} gives other probabilities "
                f"than the network: by up to {self.probability:.1e}, {TOLERANCE:g} is allowed; the folder without "
                "--onnx holds any network"
            )


def export_graph(model: CTCModel, file: Path, outside: bool = False) -> Parity:
    """Write a network as one ONNX file, and hold it against the network on lines of many lengths.

    Args:
        model: a trained network, in eval mode; it is left as it is.
        file: the graph; nothing stays there if it is refused.
        outside: start from log-mel filters instead of the signal.

    Returns:
        The largest differences found.

    Raises:
        ConfigError: a package is missing, the network cannot be written, or the graph differs by more than 1e-4.
    """
    packages()
    own, inputs = copy.deepcopy(model).cpu().eval(), INPUTS
    if outside:
        own.frontend, inputs = AfterFilters(own.frontend), FEATURE_INPUTS
    net = FromSignal(in_nodes(own)).eval()
    sizes = _sizes(own)
    with refusing(file, model):
        axes = {
            inputs[0]: {0: "B", 1: "T" if outside else "S"},
            inputs[1]: {0: "B"},
            OUTPUTS[0]: {0: "B", 1: "frames"},
            OUTPUTS[1]: {0: "B"},
        }
        trace(net, _batch(own, [sizes(n) for n in TRACED]), file, inputs, OUTPUTS, axes)
        annotate(file, model, {"kind": own.frontend.kind, "shortest": sizes(1)})
        parity = _compare(own, file, sizes, inputs)
        parity.check(model)
    return parity


@contextmanager
def refusing(file: Path, model: CTCModel) -> Iterator[None]:
    """Leave no file of a graph that is refused, and say why in a ConfigError."""
    projected = getattr(getattr(model.encoder, "lstm", None), "proj_size", 0)
    if projected:
        raise ConfigError(
            f"encoder.proj_size={projected}: the LSTM of ONNX has no projections; train with encoder.proj_size=0 for a "
            "graph; the folder without --onnx holds any network"
        )
    try:
        yield
    except ConfigError:
        file.unlink(missing_ok=True)
        raise
    except Exception as error:  # the exporter's and the runtime's own classes
        file.unlink(missing_ok=True)
        told = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ConfigError(
            f"a network with the encoder {type(model.encoder).__name__} cannot be written as a graph of free length: "
            f"{told}\nencoder=blstm or lstm can, latency_controlled with --streaming; the folder without --onnx holds "
            "any network"
        ) from None


def trace(
    net: nn.Module,
    inputs: tuple[Tensor, ...],
    file: Path,
    names: Sequence[str],
    outputs: Sequence[str],
    axes: Mapping[str, Mapping[int, str]],
) -> None:
    """Write what a module does with some inputs as a graph.

    Args:
        net: the module, in eval mode.
        inputs: what it is traced with.
        file: the graph.
        names: of the inputs.
        outputs: names of the outputs.
        axes: those that are free, with their names, of each input and output.
    """
    import onnx

    with _quiet(), torch.no_grad():
        torch.onnx.export(
            net,
            inputs,
            str(file),
            dynamo=False,  # torch.export freezes the number of frames of an LSTM (torch 2.11)
            opset_version=OPSET,
            input_names=list(names),
            output_names=list(outputs),
            dynamic_axes=dict(axes),
        )
    graph = onnx.load(file)
    compact(graph.graph)
    onnx.save(graph, file)


def sherpa_faults(model: CTCModel) -> list[str]:
    """Say in what the features that sherpa-onnx computes differ from those that a network of audio has learnt.

    sherpa-onnx's OfflineRecognizer.from_zipformer_ctc makes Kaldi's fbank of 20 Hz to 400 Hz below Nyquist, and takes
    an output frame for 40 ms.
    """
    frontend = model.frontend.log_mel if isinstance(model.frontend, MFCC) else model.frontend
    bank, framing = frontend._bank(torch.device("cpu")), frontend.framing
    wanted = {"low_freq": 20.0, "high_freq": -400.0}
    told = dict(zip(("num_mels", *wanted), frontend._build.args[1:4], strict=True))
    if told["high_freq"] > 0:
        told["high_freq"] -= framing.sample_rate / 2
    faults = [
        f"frontend.{key} is {told[key]:g}, there {value:g}" for key, value in wanted.items() if told[key] != value
    ]
    if (framing.window, framing.shift) != (framing.sample_rate // 40, framing.sample_rate // 100):
        faults.append("windows of 25 ms every 10 ms are computed there")
    if framing.snip_edges:
        faults.append("frontend.snip_edges is true, there false")
    if bank.preemphasis != 0.97:
        faults.append(f"frontend.preemphasis is {bank.preemphasis:g}, there 0.97")
    if bank.energy:
        faults.append("there is no energy there")
    if abs(model.frame_shift - 0.04) > 1e-9:
        faults.append(
            f"an output frame is {1000 * model.frame_shift:g} ms, there 40: times will be wrong (stem.factor=4)"
        )
    return faults


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out what the exporter says of itself and of every traced shape; parity is what counts."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _sizes(model: CTCModel) -> Callable[[int], int]:
    """Return a function from output frames to the fewest samples (frames of features) that give so many."""

    def size(frames: int) -> int:
        low, high = 0, 1
        while int(model.num_frames(torch.tensor([high]))) < frames:
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if int(model.num_frames(torch.tensor([middle]))) < frames else (low, middle)
        return high

    return size


def _batch(model: CTCModel, lengths: list[int]) -> tuple[Tensor, Tensor]:
    """Make a padded batch of noise; the same for the same lengths."""
    generator = torch.Generator().manual_seed(sum(lengths))
    shape = (len(lengths), max(lengths))
    audio = model.frontend.kind == "audio"
    x = torch.randn(*shape, *([] if audio else [input_size(model.frontend)]), generator=generator)
    if model.frontend.kind == "image":
        x = x.sigmoid()
    x = 0.1 * x if audio else x
    for line, length in zip(x, lengths, strict=True):
        line[length:] = 0
    return x, torch.tensor(lengths)


def annotate(file: Path, model: CTCModel, facts: dict[str, Any]) -> None:
    """Write into a graph what who runs it must know, see seqlab.onnx_model."""
    import onnx

    graph = onnx.load(file)
    graph.producer_name = "seqlab"
    common = {"sample_rate": model.sample_rate, "frame_shift": model.frame_shift, "weights": model.num_weights}
    onnx.helper.set_model_props(graph, {METADATA: json.dumps(facts | common)})
    onnx.save(graph, file)


def _compare(model: CTCModel, file: Path, sizes: Callable[[int], int], inputs: tuple[str, str]) -> Parity:
    """Run network and graph on batches of noise, the network on each line by itself, so that padding counts too."""
    session = open_session(file, 1)
    worst, worst_log, lines = 0.0, 0.0, 0
    for batch in BATCHES:
        x, lengths = _batch(model, [sizes(n) for n in batch])
        found, frames = session.run(list(OUTPUTS), {inputs[0]: x.numpy(), inputs[1]: lengths.numpy()})
        for i, length in enumerate(lengths.tolist()):
            with torch.no_grad():
                wanted, count = model(x[i : i + 1, :length], lengths[i : i + 1])
            if int(count) != int(frames[i]):
                raise ConfigError(f"the graph gives a line of {length} samples {frames[i]} frames, not {int(count)}")
            got, line = found[i, : int(count)], wanted[0].numpy()
            worst = max(worst, float(np.abs(np.exp(got) - np.exp(line)).max()))
            worst_log = max(worst_log, float(np.abs(got - line).max()))
            lines += 1
    return Parity(worst, worst_log, lines)
