"""A training step of the multidimensional LSTM beside the BLSTM, the default one and one with as many weights.

Run: python scripts/bench/mdlstm.py [--lines B] [--frames T] [--features F] [--rounds N]
"""

import argparse
from collections.abc import Callable

import torch
from timing import measure, start, table
from torch import nn

from seqlab.batch import mask_padding
from seqlab.encoders.blstm import BLSTM
from seqlab.encoders.mdlstm import MDLSTM


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--lines", type=int, default=16)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--features", type=int, default=64, help="rows of an image, or bands")
    arguments = parser.parse_args()
    start()
    lengths = torch.linspace(arguments.frames, 0.9 * arguments.frames, arguments.lines).long()
    x = mask_padding(torch.randn(arguments.lines, arguments.frames, arguments.features), lengths)
    mdlstm = MDLSTM(arguments.features)
    encoders: dict[str, nn.Module] = {
        "blstm 3 x 320": BLSTM(arguments.features),
        "blstm 1 x 136": BLSTM(arguments.features, 136, 1),
        "mdlstm": mdlstm,
    }

    def step(encoder: nn.Module) -> Callable[[], None]:
        def train() -> None:
            encoder.zero_grad()
            encoder(x, lengths)[0].square().mean().backward()

        return train

    def read(encoder: nn.Module) -> Callable[[], None]:
        def run() -> None:
            with torch.inference_mode():
                encoder(x, lengths)

        return run

    contenders = {f"{name}, training": step(encoder) for name, encoder in encoders.items()}
    contenders |= {f"{name}, forward": read(encoder) for name, encoder in encoders.items()}
    seconds = measure(contenders, arguments.rounds)
    notes = {}
    for name, encoder in encoders.items():
        weights = f"{sum(p.numel() for p in encoder.parameters()):,} weights"
        notes |= {f"{name}, training": weights, f"{name}, forward": weights}
    print(
        f"{arguments.lines} lines of {int(lengths.min())} to {int(lengths.max())} frames of {arguments.features}; "
        f"mdlstm leaves one frame of {mdlstm.stride}\n"
    )
    print(table(seconds, "blstm 3 x 320, training", notes))


if __name__ == "__main__":
    main()
