"""A trained network as an ONNX graph, checked against the network it came from.

    model.onnx       signal (B, S, ...) float32, lengths (B,) int64 -> log_probs (B, T, V), log_probs_lengths (B,)
    features.onnx    x (B, T, F) float32, x_lens (B,) int64 -> log_probs, log_probs_lengths: features made outside

A signal is what the network takes: audio in [-1, 1], prepared image columns, frames of ink, or an array. B, S and T are
free, padding never changes a result, and frames past log_probs_lengths mean nothing. Blank is 0.
"""

import copy
import json
import math
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
from seqlab.export.filterbank import in_graph
from seqlab.frontends.log_mel import LogMel
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

    inputs = INPUTS

    def __init__(self, model: CTCModel) -> None:
        super().__init__()
        self.model = model
        self.frontend = in_graph(model.frontend)

    def forward(self, signal: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Compute log-probabilities (B, T, V) and frames per line of signals (B, S, ...) with lengths (B,)."""
        model = self.model
        return model.read(*model.stem(*model.normalize(*self.frontend(signal, lengths))))


class FromFeatures(nn.Module):
    """The network after its frontend: features of audio come from outside, floored as the frontend floors them.

    Args:
        model: a trained network of audio.
    """

    inputs = FEATURE_INPUTS

    def __init__(self, model: CTCModel) -> None:
        super().__init__()
        self.model = model
        self.floor = feature_floor(model)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Compute log-probabilities (B, T, V) and frames per line of features (B, T, F) with lengths (B,)."""
        model = self.model
        x = x if self.floor is None else x.clamp(min=self.floor)
        return model.read(*model.stem(*model.normalize(x, lengths)))


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
        outside: start from features instead of the signal.

    Returns:
        The largest differences found.

    Raises:
        ConfigError: a package is missing, the network cannot be written, or the graph differs by more than 1e-4.
    """
    packages()
    own = copy.deepcopy(model).cpu().eval()
    reference = FromFeatures(own) if outside else own
    net = (FromFeatures if outside else FromSignal)(in_nodes(own)).eval()
    sizes = _sizes(own, outside)
    with refusing(file, model):
        axes = {
            net.inputs[0]: {0: "B", 1: "T" if outside else "S"},
            net.inputs[1]: {0: "B"},
            OUTPUTS[0]: {0: "B", 1: "frames"},
            OUTPUTS[1]: {0: "B"},
        }
        trace(net, _batch(own, [sizes(n) for n in TRACED], outside), file, net.inputs, OUTPUTS, axes)
        annotate(file, model, {"kind": "features" if outside else model.frontend.kind, "shortest": sizes(1)})
        parity = _compare(own, reference, file, sizes, net.inputs)
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
            f"{told}\nencoder=blstm or lstm can; the folder without --onnx holds any network"
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
    frontend = model.frontend
    if not isinstance(frontend, LogMel):
        return [f"the frontend is {type(frontend).__name__}, sherpa-onnx computes log-mel filters (frontend=log_mel)"]
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
    if bank.energy or frontend.deltas:
        faults.append("there are neither energy nor deltas there")
    if abs(model.frame_shift - 0.04) > 1e-9:
        faults.append(
            f"an output frame is {1000 * model.frame_shift:g} ms, there 40: times will be wrong (stem.factor=4)"
        )
    return faults


def feature_floor(model: CTCModel) -> float | None:
    """Return what features of audio are raised to, for features from outside; None where they have no floor."""
    if model.frontend.kind != "audio":
        raise ConfigError(f"--features outside is for audio; a model of {model.frontend.kind} has none to make outside")
    frontend = model.frontend
    plain = isinstance(frontend, LogMel) and not frontend.deltas
    return math.log(frontend._bank(torch.device("cpu")).floor) if plain else None


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out what the exporter says of itself and of every traced shape; parity is what counts."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _sizes(model: CTCModel, outside: bool) -> Callable[[int], int]:
    """Return a function from output frames to the fewest samples (features, if outside) that give so many."""
    count = (lambda n: model.encoder.num_frames(model.stem.num_frames(n))) if outside else model.num_frames

    def size(frames: int) -> int:
        low, high = 0, 1
        while int(count(torch.tensor([high]))) < frames:
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if int(count(torch.tensor([middle]))) < frames else (low, middle)
        return high

    return size


def _batch(model: CTCModel, lengths: list[int], outside: bool) -> tuple[Tensor, Tensor]:
    """Make a padded batch of noise; the same for the same lengths."""
    generator = torch.Generator().manual_seed(sum(lengths))
    shape = (len(lengths), max(lengths))
    audio = model.frontend.kind == "audio" and not outside
    x = torch.randn(*shape, *([] if audio else [model.frontend.num_features]), generator=generator)
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


def _compare(
    model: CTCModel, reference: nn.Module, file: Path, sizes: Callable[[int], int], inputs: tuple[str, str]
) -> Parity:
    """Run network and graph on batches of noise, the network on each line by itself, so that padding counts too."""
    session = open_session(file, 1)
    outside = reference is not model
    worst, worst_log, lines = 0.0, 0.0, 0
    for batch in BATCHES:
        x, lengths = _batch(model, [sizes(n) for n in batch], outside)
        found, frames = session.run(list(OUTPUTS), {inputs[0]: x.numpy(), inputs[1]: lengths.numpy()})
        for i, length in enumerate(lengths.tolist()):
            with torch.no_grad():
                wanted, count = reference(x[i : i + 1, :length], lengths[i : i + 1])
            if int(count) != int(frames[i]):
                raise ConfigError(f"the graph gives a line of {length} samples {frames[i]} frames, not {int(count)}")
            got, line = found[i, : int(count)], wanted[0].numpy()
            worst = max(worst, float(np.abs(np.exp(got) - np.exp(line)).max()))
            worst_log = max(worst_log, float(np.abs(got - line).max()))
            lines += 1
    return Parity(worst, worst_log, lines)
