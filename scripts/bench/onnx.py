"""One recording through a network in torch and in the ONNX graphs of seqlab export, one thread: time and size.

Beside them nn.LSTM with its output layer alone, features given, in torch and as what torch's exporter and ONNX
Runtime's quantize_dynamic make of it: what the runtime can do. Weights are random, which changes neither. Error rates
of int8 are measured by seqlab export --check, on real models.

Run: python scripts/bench/onnx.py [--hidden-size H --num-layers N] [--seconds S] [--rounds N]

Exit status 1 if int8 takes more than 0.25 of nn.LSTM's time, or 0.26 of the float graph's bytes: the bars of 5 x 320.
"""

import sys

sys.path.pop(0)  # this file's folder: its name is that of the package
sys.path.append(__file__.rpartition("/")[0] or ".")

import argparse
import tempfile
from pathlib import Path
from statistics import median

import numpy as np
import torch
from bare import bare_int8
from timing import bar, measure, start, table

from seqlab.config import Config
from seqlab.export.compact import quantize
from seqlab.export.graph import export_graph
from seqlab.model import CTCModel
from seqlab.onnx_model import FILES, OnnxModel

SYMBOLS = 32


class Eager:
    """The same network as torch users write it: nn.LSTM.

    Args:
        model: whose weights are used.
        packed: on a packed batch, as lines of several lengths need it; else on the line alone.
    """

    def __init__(self, model: CTCModel, packed: bool) -> None:
        self.model, self.packed = model, packed

    @torch.inference_mode()
    def log_probs_of(self, signals: list[np.ndarray]) -> list[np.ndarray]:
        model = self.model
        signal = torch.from_numpy(signals[0])[None]
        x, lengths = model.frames(signal, torch.tensor([signal.shape[1]]))
        states = model.encoder._packed(x, lengths) if self.packed else model.encoder.lstm(x)[0]
        return list(model.head(states).log_softmax(2).numpy())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hidden-size", type=int, default=320)
    parser.add_argument("--num-layers", type=int, default=5)
    parser.add_argument("--num-mels", type=int, default=80)
    parser.add_argument("--factor", type=int, default=1, help="of the stack")
    parser.add_argument("--one-way", action="store_true")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    start()
    config: Config = {
        "frontend": {"_target_": "seqlab.frontends.log_mel.LogMel", "num_mels": given.num_mels},
        "normalize": {"_target_": "seqlab.frontends.normalize.Normalize", "kind": "line"},
        "stem": {"_target_": "seqlab.stems.stack.Stack", "factor": given.factor},
        "encoder": {
            "_target_": "seqlab.encoders.blstm.BLSTM",
            "hidden_size": given.hidden_size,
            "num_layers": given.num_layers,
            "bidirectional": not given.one_way,
        },
    }
    model = CTCModel(config, SYMBOLS).eval()
    audio = 0.1 * torch.randn(round(given.seconds * 16000)).numpy()
    with tempfile.TemporaryDirectory() as folder:
        plain, small = (Path(folder) / FILES[name] for name in ("onnx", "int8"))
        parity = export_graph(model, plain)
        quantize(plain, small)
        graphs = {"onnx": OnnxModel(plain, config), "int8": OnnxModel(small, config)}
        sizes = {"onnx": plain.stat().st_size, "int8": small.stat().st_size}
        print(f"{given.num_layers} x {given.hidden_size}, {model.num_weights:,} weights, {given.seconds:g} s of audio")
        share = sizes["int8"] / sizes["onnx"]
        print(f"largest difference of a probability {parity.probability:.1e}; size of int8 / onnx {share:.3f}")
        torches = {"nn.LSTM": Eager(model, False), "nn.LSTM, packed": Eager(model, True), "seqlab, torch": model}
        runs = {name: lambda net=net: net.log_probs_of([audio]) for name, net in (torches | graphs).items()}
        x = model.frames(torch.from_numpy(audio)[None], torch.tensor([len(audio)]))[0].detach()
        bare, lstm = bare_int8(model.encoder.lstm, model.head, Path(folder)), model.encoder.lstm
        with torch.inference_mode():
            runs["nn.LSTM alone"] = lambda: model.head(lstm(x)[0]).log_softmax(2)
            runs["nn.LSTM alone, ONNX Runtime int8"] = lambda: bare(x.numpy(), x.shape[1])
            seconds = measure(runs, given.rounds)
        notes = {name: f"{size / 1e6:.1f} MB" for name, size in sizes.items()}
        print(table(seconds, "nn.LSTM", notes))
        small_time = median(seconds["int8"])
        shares = ", ".join(f"{small_time / median(seconds[name]):.3f} of {name}" for name in torches)
        print(f"int8 takes {shares}")
        limit = median(seconds["nn.LSTM alone, ONNX Runtime int8"])
        share = limit / median(seconds["nn.LSTM alone"])
        print(f"the runtime's limit: {share:.3f} of nn.LSTM alone; int8 takes {small_time / limit:.2f} times as long")
    met = [
        bar("int8, share of the time of nn.LSTM", small_time / median(seconds["nn.LSTM"]), 0.25),
        bar("int8, share of the file's size", sizes["int8"] / sizes["onnx"], 0.26),
    ]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
