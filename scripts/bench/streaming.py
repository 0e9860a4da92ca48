"""Streaming: CPU time per frame of a one-way encoder in pieces, and the latency to the first word.

Run: python scripts/bench/streaming.py [--hidden-size 320 --num-layers 5] [--model RUN --manifest FILE]

Without a model: a one-way LSTM of random weights with its output layer, in torch and as the graphs of seqlab export
--streaming, against nn.LSTM with its state carried, eager and in torch's dynamic int8; and against that nn.LSTM as
torch's exporter and ONNX Runtime's quantize_dynamic leave it, which is what the runtime can do. With one: lines of the
manifest are fed in pieces of 40 ms; a word's latency is what had been heard when it stood in a partial result for good,
less its end: where its recording ends in a string joined from recordings (fsdd), if the line is read right, else where
the model places it. Exit status 1 if, without a model, the int8 graph is not as many times as fast as it should be with
5 x 320: frame by frame 15 times nn.LSTM and 1.8 times torch's int8, in pieces of 40 ms twice torch's int8.
"""

import sys

sys.path.append(sys.path.pop(0))  # this folder comes last: a file in it has the name of the package onnx

import argparse
import statistics
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from bare import bare_int8
from timing import bar, measure, start, table
from torch import nn

from seqlab.config import Config
from seqlab.export.compact import quantize
from seqlab.export.streaming import export_streaming
from seqlab.model import CTCModel
from seqlab.onnx_model import STREAMING, StreamingGraph
from seqlab.streaming.parts import LogProbs, normalization

PIECE = 0.04  # seconds
SYMBOLS = 32


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--input-size", type=int, default=240)
    parser.add_argument("--hidden-size", type=int, default=320)
    parser.add_argument("--num-layers", type=int, default=5)
    parser.add_argument("--frames", type=int, default=120)
    parser.add_argument("--model")
    parser.add_argument("--manifest")
    parser.add_argument("--lines", type=int, default=50)
    arguments = parser.parse_args()
    start()
    if not arguments.model:
        return 0 if frame_by_frame(arguments) else 1
    latencies(arguments)
    return 0


def frame_by_frame(arguments: argparse.Namespace) -> bool:
    """Measure pieces of 1, 4 and 20 frames; returns whether the bars are met."""
    config: Config = {
        "frontend": {"_target_": "seqlab.frontends.features.Features", "size": arguments.input_size},
        "normalize": {"_target_": "seqlab.frontends.normalize.Normalize", "kind": "none"},
        "stem": {"_target_": "seqlab.stems.none.NoStem"},
        "encoder": {
            "_target_": "seqlab.encoders.blstm.BLSTM",
            "hidden_size": arguments.hidden_size,
            "num_layers": arguments.num_layers,
            "bidirectional": False,
        },
    }
    model = CTCModel(config, SYMBOLS).eval()
    x = torch.randn(1, arguments.frames, arguments.input_size)
    torch.backends.quantized.engine = "x86" if "x86" in torch.backends.quantized.supported_engines else "qnnpack"
    warnings.simplefilter("ignore")  # that torch.ao.quantization will move
    small = torch.ao.quantization.quantize_dynamic(Eager(model), {nn.LSTM, nn.Linear}, torch.qint8)
    with tempfile.TemporaryDirectory() as folder:
        plain, int8 = (Path(folder) / STREAMING[name] for name in ("onnx", "int8"))
        parity = export_streaming(model, plain)
        quantize(plain, int8)
        graphs = {"onnx": StreamingGraph(plain), "int8": StreamingGraph(int8)}
        bare = bare_int8(model.encoder.lstm, model.head, Path(folder))
    print(f"largest difference of a probability {parity.probability:.1e}")

    def graph(name: str, size: int) -> np.ndarray:
        stream = graphs[name].stream()
        frames = x[0].numpy()
        return np.concatenate([stream.accept(frames[at : at + size]) for at in range(0, len(frames), size)])

    @torch.inference_mode()
    def read_on(size: int) -> np.ndarray:
        stream = LogProbs(model, normalization(model.normalize))
        return torch.cat([stream.accept(piece[0]) for piece in x.split(size, 1)]).numpy()

    eager, dynamic, share = "nn.LSTM eager", "nn.LSTM, torch dynamic int8", {}
    for size in (1, 4, 20):
        runs = {
            eager: lambda size=size: Eager(model).read(x, size),
            dynamic: lambda size=size: small.read(x, size),
            "StreamingRecognizer, torch": lambda size=size: read_on(size),
            "onnx": lambda size=size: graph("onnx", size),
            "int8": lambda size=size: graph("int8", size),
            "nn.LSTM, ONNX Runtime int8": lambda size=size: bare(x.numpy(), size),
        }
        want = np.exp(runs[eager]())
        notes = {name: f"largest difference {np.abs(np.exp(run()) - want).max():.1e}" for name, run in runs.items()}
        seconds = measure(runs, arguments.rounds)
        print(f"\n{arguments.num_layers} x {arguments.hidden_size}, pieces of {size}, {arguments.frames} frames\n")
        for name, values in seconds.items():
            notes[name] = f"{1e6 * statistics.median(values) / arguments.frames:.0f} us a frame, {notes[name]}"
        print(table(seconds, eager, notes))
        share[size] = {name: statistics.median(seconds[name]) / statistics.median(seconds["int8"]) for name in runs}
    print()
    met = [
        bar("frame by frame, nn.LSTM's time by that of int8", share[1][eager], 15, least=True),
        bar("frame by frame, torch's dynamic int8's by it", share[1][dynamic], 1.8, least=True),
        bar("pieces of 4 frames, torch's dynamic int8's by it", share[4][dynamic], 2, least=True),
    ]
    return all(met)


class Eager(nn.Module):
    """The same network as torch users write it: nn.LSTM with its state carried.

    Args:
        model: whose weights are used.
    """

    def __init__(self, model: CTCModel) -> None:
        super().__init__()
        self.lstm, self.head = model.encoder.lstm, model.head

    @torch.inference_mode()
    def read(self, x: torch.Tensor, size: int) -> np.ndarray:
        state, out = None, []
        for piece in x.split(size, 1):
            y, state = self.lstm(piece, state)
            out.append(self.head(y[0]).log_softmax(1))
        return torch.cat(out).numpy()


def latencies(arguments: argparse.Namespace) -> None:
    from borders import true_borders

    from seqlab.manifest import read_manifest
    from seqlab.media import read_line
    from seqlab.recognizer import Recognizer
    from seqlab.streaming import StreamingRecognizer

    recognizer = Recognizer.load(arguments.model, "cpu")
    streaming = StreamingRecognizer(recognizer)
    rate = int(recognizer.model.sample_rate)
    first, every, same, known, audio, cpu = [], [], 0, 0, 0.0, 0.0
    lines = list(read_manifest(arguments.manifest))[: arguments.lines]
    for line in lines:
        signal, _ = read_line(line, rate)
        began = time.process_time()
        seen: list[tuple[float, list[str]]] = []
        for at in range(0, len(signal), round(PIECE * rate)):
            partial = streaming.accept(signal[at : at + round(PIECE * rate)])
            seen.append((partial.heard, [word.text for word in partial.words]))
        final = streaming.finish()
        cpu += time.process_time() - began
        audio += len(signal) / rate
        words = [word.text for word in final.words]
        seen.append((len(signal) / rate, words))
        joined = len(line.files) > 1 and final.text == line.text
        ends = true_borders(line)[:, 1].tolist() if joined else []
        known += joined
        for k, word in enumerate(final.words):
            stands = len(seen) - 1
            while stands and seen[stands - 1][1][: k + 1] == words[: k + 1]:
                stands -= 1
            late = seen[stands][0] - (ends[k] if ends else word.end)
            every.append(late)
            if k == 0:
                first.append(late)
        same += final.text == recognizer.transcribe(signal).text
    print(
        f"{len(lines)} lines, {audio:.0f} s in pieces of {PIECE * 1000:.0f} ms; bound of the model: {streaming.latency}"
    )
    print(f"true ends known in {known} lines; text of the whole line in {same}; CPU {cpu / audio:.3f} of real time")
    for name, values in (("first word", first), ("all words", every)):
        middle, high = statistics.median(values), sorted(values)[round(0.95 * (len(values) - 1))]
        print(f"{name}: stands for good {1000 * middle:.0f} ms after its end (median), {1000 * high:.0f} ms (95 %)")


if __name__ == "__main__":
    sys.exit(main())
