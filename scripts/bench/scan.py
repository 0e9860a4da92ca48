"""Scan cells: the sequence form beside the loop of `step`, a training step of one layer, at a length and at twice that.

Exit status 1 if a scan cell at --frames is less than BAR times as fast as its loop. The time of the cell's matrix
product alone (its linear map, forward and backward) is shown too: no sequence form can be quicker, and with many lines
it is most of both. sLSTM, mLSTM and the neural memory are no scans: shown, not judged.

Run: python scripts/bench/scan.py [--lines B] [--frames T] [--hidden-size N] [--rounds N]
"""

import argparse
import statistics
import sys
from collections.abc import Callable
from functools import partial

import torch
from timing import measure, start, table
from torch import Tensor

from seqlab.cells.cell import Cell
from seqlab.cells.min_gru import MinGRU
from seqlab.cells.min_lstm import MinLSTM
from seqlab.cells.mlstm import MLSTM
from seqlab.cells.neural_memory import NeuralMemory
from seqlab.cells.qrnn import QRNN
from seqlab.cells.slstm import SLSTM
from seqlab.cells.sru import SRU

BAR = 5.0
SCANS: tuple[type[Cell], ...] = (SRU, QRNN, MinLSTM, MinGRU)
OTHERS: tuple[type[Cell], ...] = (SLSTM, MLSTM, NeuralMemory)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--lines", type=int, default=4)
    parser.add_argument("--frames", type=int, default=1024)
    parser.add_argument("--hidden-size", type=int, default=128)
    arguments = parser.parse_args()
    start()
    size, slow = arguments.hidden_size, []
    for frames in (arguments.frames, 2 * arguments.frames):
        x = torch.randn(frames, arguments.lines, size)
        contenders: dict[str, Callable[[], None]] = {}
        for kind in (*SCANS, *OTHERS):
            cell = kind(size, hidden_size=size)  # type: ignore[call-arg]
            read = x if kind is not QRNN else torch.cat([x, x], 2)  # two frames wide
            contenders[f"{kind.__name__}, loop of step"] = train(cell, partial(Cell.forward, cell), x)
            contenders[f"{kind.__name__}, sequence"] = train(cell, cell, x)
            contenders[f"{kind.__name__}, matrix product alone"] = train(cell, cell.get_submodule("linear"), read)
        seconds = measure(contenders, arguments.rounds)
        notes = {}
        for kind in (*SCANS, *OTHERS):
            loop, whole = (
                statistics.median(seconds[f"{kind.__name__}, {form}"]) for form in ("loop of step", "sequence")
            )
            notes[f"{kind.__name__}, sequence"] = f"{loop / whole:.1f} times as fast as its loop"
            if kind in SCANS and frames == arguments.frames and loop < BAR * whole:
                slow.append(kind.__name__)
        print(f"\n{arguments.lines} lines of {frames} frames, {size} features, {size} cells; forward and backward\n")
        print(table(seconds, "MinGRU, loop of step", notes))
    if slow:
        sys.exit(f"less than {BAR:g} times as fast as the loop: {', '.join(slow)}")


def train(cell: Cell, run: Callable[[Tensor], object], x: Tensor) -> Callable[[], None]:
    """Return a training step without its optimiser."""

    def step() -> None:
        cell.zero_grad()
        y = run(x)
        (y[0] if isinstance(y, tuple) else y).square().mean().backward()  # type: ignore[attr-defined]

    return step


if __name__ == "__main__":
    main()
