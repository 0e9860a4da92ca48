"""A training step of the BLSTM: seqlab's reversal against packing, on bucketed lengths; beside it the GEMM rate.

Run: python scripts/bench/encoder.py [--hidden-size 512 --num-layers 4] [--frames T] [--rounds N]

Matrix products do nearly all of the work, so their rate is the roof: large ones as of the input, and those of a frame,
lines x cells by 4 cells, which the recurrence cannot do without. They are torch.mm's: what oneDNN does inside of an
LSTM may be quicker.
"""

import argparse
import statistics
from collections.abc import Callable
from unittest import mock

import torch
from timing import bar, growth, measure, ratio, start, table, threads
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from seqlab.batch import mask_padding
from seqlab.encoders import blstm
from seqlab.encoders.blstm import BLSTM


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--input-size", type=int, default=80)
    parser.add_argument("--hidden-size", type=int, default=320)
    parser.add_argument("--num-layers", type=int, default=3)
    parser.add_argument("--lines", type=int, default=16)
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument(
        "--shortest", type=float, default=0.9, help="shortest line of the batch, as a share of --frames"
    )
    arguments = parser.parse_args()
    start()
    encoder = BLSTM(arguments.input_size, arguments.hidden_size, arguments.num_layers)
    lengths = torch.linspace(arguments.frames, arguments.shortest * arguments.frames, arguments.lines).long()
    x = mask_padding(torch.randn(arguments.lines, arguments.frames, arguments.input_size), lengths)

    def packed() -> Tensor:
        rows = pack_padded_sequence(x, lengths, batch_first=True)
        return pad_packed_sequence(encoder.lstm(rows)[0], batch_first=True)[0]

    def step(run: Callable[[], Tensor], bf16: bool) -> Callable[[], None]:
        def train() -> None:
            encoder.zero_grad()
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
                states = run()
            states.float().square().mean().backward()

        return train

    ways = {
        "packed nn.LSTM": packed,
        "seqlab BLSTM": lambda: encoder(x, lengths)[0],
        "padded nn.LSTM": lambda: encoder.lstm(x)[0],
    }

    def in_bf16() -> Tensor:
        """Run in bfloat16 even where the encoder would take float32 because the lines are few."""
        with mock.patch.object(blstm, "SMALL", 0):
            return ways["seqlab BLSTM"]()

    contenders = {
        f"{name}, {kind}": step(run, kind == "bf16") for kind in ("fp32", "bf16") for name, run in ways.items()
    }
    contenders["seqlab BLSTM, bf16 forced"] = step(in_bf16, True)
    seconds = measure(contenders, arguments.rounds)
    with torch.no_grad():
        exact = packed()
        notes = {
            f"{name}, fp32": f"largest difference to packed {(run() - exact).abs().max():.1e}"
            for name, run in ways.items()
        }
    padding = 1 - float(lengths.float().mean()) / arguments.frames
    print(
        f"{arguments.num_layers} x {arguments.hidden_size}, {arguments.lines} lines of {int(lengths.min())} to "
        f"{int(lengths.max())} frames, padding {padding:.1%}, forward and backward\n"
    )
    print(table(seconds, "packed nn.LSTM, fp32", notes))
    best = {kind: statistics.median(seconds[f"seqlab BLSTM, {kind}"]) for kind in ("fp32", "bf16")}
    roof(encoder, arguments, best)

    def longer(repeat: int, times: int) -> Callable[[], None]:
        """Return a step of so many times as many lines, so many times as long."""
        y, sizes = x.repeat(repeat, times, 1), times * lengths.repeat(repeat)
        return step(lambda: encoder(y, sizes)[0], False)

    more = {"fp32, as above": longer(1, 1), "lines twice as long": longer(1, 2), "twice as many lines": longer(2, 1)}
    print(growth(measure(more, arguments.rounds), "fp32, as above"))
    print(threads(more["fp32, as above"], arguments.rounds))
    size = f"{arguments.num_layers} x {arguments.hidden_size}"
    print()
    bar(
        f"{size}, times as fast as packed nn.LSTM",
        ratio(seconds, "packed nn.LSTM, fp32", "seqlab BLSTM, fp32"),
        1.35,
        least=True,
    )
    bar(f"{size}, largest difference to packed", float((ways["seqlab BLSTM"]().detach() - exact).abs().max()), 1e-6)
    bar(
        f"{size}, bf16, times as fast as nn.LSTM in fp32",
        ratio(seconds, "padded nn.LSTM, fp32", "seqlab BLSTM, bf16"),
        1.4,
        least=True,
    )


def roof(encoder: BLSTM, given: argparse.Namespace, best: dict[str, float]) -> None:
    """Print the rates of matrix products beside that of the encoder's step."""
    cells, lines, frames = given.hidden_size, given.lines, given.frames
    weights = sum(p.numel() for name, p in encoder.lstm.named_parameters() if "weight" in name)
    print("\n| GFLOP/s | product of the input | product of a frame | the step | share of the input's |")
    print("|---|---|---|---|---|")
    for kind, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        weight = torch.randn(cells, 4 * cells).to(dtype)
        inputs, states = torch.randn(lines * frames, cells).to(dtype), torch.randn(lines, cells).to(dtype)

        def recur(states: Tensor = states, weight: Tensor = weight) -> None:
            for _ in range(frames):
                states @ weight

        seconds = measure({"input": lambda a=inputs, b=weight: a @ b, "frame": recur}, given.rounds)
        product = 2 * lines * frames * cells * 4 * cells / 1e9
        rates = [product / statistics.median(seconds[name]) for name in ("input", "frame")]
        step = 3 * 2 * weights * lines * frames / 1e9 / best[kind]  # forward, and twice as much backward
        print(f"| {kind} | {rates[0]:.0f} | {rates[1]:.0f} | {step:.0f} | {step / rates[0]:.0%} |")


if __name__ == "__main__":
    main()
