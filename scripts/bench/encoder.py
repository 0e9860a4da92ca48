"""A training step of the BLSTM: seqlab's reversal against packing, on bucketed lengths.

Run: python scripts/bench/encoder.py [--hidden-size 512 --num-layers 4] [--frames T] [--rounds N]
"""

import argparse
from collections.abc import Callable
from unittest import mock

import torch
from timing import measure, start, table
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


if __name__ == "__main__":
    main()
