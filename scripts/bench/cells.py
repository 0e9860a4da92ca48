"""A training step of one layer of every cell that has a YAML, against nn.LSTM of the same size.

Run: python scripts/bench/cells.py [--hidden-size 320] [--lines 16] [--frames 200] [--rounds N] [--only NAME ...]

Exit status 1 if the peephole cell takes more than twice as long as nn.LSTM.
"""

import argparse
import importlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml
from timing import bar, measure, ratio, start, table
from torch import nn

from seqlab.cells.cell import Cell
from seqlab.config import conf_dir

BAR = 2.0
LOOPS = ("lstm", "peephole")


def cell(path: Path, input_size: int, hidden_size: int) -> Cell:
    """Build a cell of about hidden_size outputs from its YAML."""
    node = yaml.safe_load(path.read_text(encoding="utf-8"))
    module, _, name = node.pop("_target_").rpartition(".")
    sizes: dict[str, Any] = {"hidden_size": hidden_size, "num_blocks": hidden_size // 2, "proj_size": hidden_size // 2}
    node |= {key: value for key, value in sizes.items() if key in node}
    made: Cell = getattr(importlib.import_module(module), name)(input_size, **node)
    return made


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--input-size", type=int, default=320)
    parser.add_argument("--hidden-size", type=int, default=320)
    parser.add_argument("--lines", type=int, default=16)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--only", nargs="*", default=None, help="these cells; lstm and peephole always")
    arguments = parser.parse_args()
    start()
    x = torch.randn(arguments.frames, arguments.lines, arguments.input_size)

    def step(part: nn.Module, run: Callable[..., Any]) -> Callable[[], None]:
        def train() -> None:
            part.zero_grad()
            run(part, x)[0].square().mean().backward()

        return train

    paths = sorted((conf_dir() / "encoder/cell").glob("*.yaml"))
    if arguments.only is not None:
        paths = [path for path in paths if path.stem in {*arguments.only, *LOOPS}]
    contenders = {"nn.LSTM": step(nn.LSTM(arguments.input_size, arguments.hidden_size), nn.Module.__call__)}
    notes = {}
    for path in paths:
        part = cell(path, arguments.input_size, arguments.hidden_size)
        contenders[path.stem] = step(part, nn.Module.__call__)
        begin = time.process_time()
        contenders[path.stem]()
        weights = sum(p.numel() for p in part.parameters())
        notes[path.stem] = f"{weights:,} weights; first step {time.process_time() - begin:.1f} s"
        if path.stem in LOOPS:
            contenders[f"{path.stem}, steps in a loop"] = step(part, Cell.forward)
    seconds = measure(contenders, arguments.rounds)
    print(
        f"{arguments.input_size} features, {arguments.hidden_size} cells, {arguments.lines} x {arguments.frames} "
        "frames, one layer, one way, forward and backward\n"
    )
    print(table(seconds, "nn.LSTM", notes))
    print()
    met = bar("peephole, times as long as nn.LSTM", ratio(seconds, "peephole", "nn.LSTM"), BAR)
    return int(not met)


if __name__ == "__main__":
    raise SystemExit(main())
