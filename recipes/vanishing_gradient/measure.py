"""Measure how much of the gradient is left k steps back in untrained cells, print a table and draw a picture.

For a random linear loss L on the last output h(T) of a sequence of random numbers, |dL / dx(T - k)| over that at k = 0,
mean over lines and seeds of nothing but the weights and the input. No training, no data: seconds.

    python recipes/vanishing_gradient/measure.py [--units 32] [--length 1000] [--seed 1] [-o vanishing_gradient.svg]
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from seqlab.cells.cell import Cell
from seqlab.cells.coupled import Coupled
from seqlab.cells.gru import GRU
from seqlab.cells.lstm import LSTM
from seqlab.cells.lstm_1997 import LSTM1997
from seqlab.cells.min_lstm import MinLSTM
from seqlab.cells.peephole import Peephole
from seqlab.cells.rnn import RNN
from seqlab.report.drawing import plot

LINES = 8
LAGS = (10, 100, 500, 1000)
FLOOR = 1e-12  # of the picture
BAR = 10.0  # CPU seconds that all may take


def lstm_with_forget_bias(size: int, units: int, bias: float) -> Cell:
    """Return an LSTM whose forget gates start with a bias."""
    cell = LSTM(size, units, init="zero")
    with torch.no_grad():
        cell.bias[units : 2 * units] = bias  # gates lie in the order input, forget, cell, output
    return cell


def cells(units: int, length: int) -> dict[str, Callable[[], Cell]]:
    """Return what is measured: a name for each cell with its initialisation, and how to make it."""
    return {
        "tanh RNN": lambda: RNN(units, units),
        "IRNN": lambda: RNN(units, units, nonlinearity="relu", identity=True),
        "GRU": lambda: GRU(units, units),
        "LSTM, forget bias 0": lambda: LSTM(units, units, init="zero"),
        "LSTM, forget bias 1": lambda: LSTM(units, units, init="one"),
        "LSTM, forget bias 5": lambda: lstm_with_forget_bias(units, units, 5.0),
        "GRU, chrono": lambda: GRU(units, units, init="chrono", longest_lag=length),
        "LSTM, chrono": lambda: LSTM(units, units, init="chrono", longest_lag=length),
        "peephole LSTM, chrono": lambda: Peephole(units, units, init="chrono", longest_lag=length),
        "coupled gates, chrono": lambda: Coupled(units, units, init="chrono", longest_lag=length),
        "LSTM, cec": lambda: LSTM(units, units, init="cec"),
        "LSTM 1997, truncated": lambda: LSTM1997(units, units, 1, truncated=True),
        "minLSTM": lambda: MinLSTM(units, units),
    }


def gradient(cell: Cell, length: int, dtype: torch.dtype = torch.float64, seed: int = 1) -> np.ndarray:
    """Return |dL / dx(T - k)| over that at k = 0, for k = 0 to T - 1, (T,).

    L is a random linear form of the last output. The cell runs step by step, as its paper has it.

    Args:
        cell: any.
        length: steps, T.
        dtype: in which all is computed.
        seed: of input and loss, standard normal.
    """
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(length, LINES, cell.input_size, generator=generator, dtype=torch.float64)
    x = x.to(dtype).requires_grad_()
    outputs, _ = Cell.forward(cell.to(dtype), x)
    loss = torch.randn(outputs.shape[1:], generator=generator, dtype=torch.float64).to(dtype)
    (slope,) = torch.autograd.grad((outputs[-1] * loss).sum(), x)
    norms = slope.norm(dim=2).mean(1).flip(0).double().numpy()
    return np.asarray(norms / norms[0])


def decay(ratios: np.ndarray) -> float:
    """Return the factor per step of the straight line through ln ratios (T,), where they are not yet 0."""
    lags = np.flatnonzero(ratios > 1e-300)
    return float(np.exp(np.polyfit(lags, np.log(ratios[lags]), 1)[0])) if len(lags) > 1 else 0.0


def main() -> int:
    """Measure all, print the table, write the picture; returns 1 if it took longer than it may."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--units", type=int, default=32)
    parser.add_argument("--length", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("-o", "--output", default="vanishing_gradient.svg")
    given = parser.parse_args()
    if given.units < 1 or given.length < 2 or Path(given.output).suffix != ".svg":
        parser.error("--units takes 1 or more, --length 2 or more, --output a name that ends in .svg")
    torch.set_num_threads(1)
    lags = sorted({min(lag, given.length) - 1 if lag >= given.length else lag for lag in LAGS})
    curves = {}
    heads = ["cell at its start", *(f"k = {lag}" for lag in lags), f"k = {lags[-1]}, float32", "factor per step"]
    rows = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for name, make in cells(given.units, given.length).items():
        torch.manual_seed(given.seed)
        cell = make()
        narrow = gradient(cell, given.length, torch.float32, given.seed)
        ratios = gradient(cell, given.length, torch.float64, given.seed)
        curves[name] = list(enumerate(ratios.tolist()))
        values = [f"{ratios[lag]:.1e}" for lag in lags]
        rows.append(f"| {name} | " + " | ".join([*values, f"{narrow[lags[-1]]:.1e}", f"{decay(ratios):.4f}"]) + " |")
    sys.stdout.write("\n".join(rows) + "\n")
    drawing = plot(
        "The vanishing gradient, by cell and initialisation",
        curves,
        "k, steps back",
        f"|dL / dx(T - k)| over that at k = 0; {given.units} units, {given.length} random inputs, float64, no training",
        FLOOR,
    )
    Path(given.output).write_text(drawing.svg(), encoding="utf-8")
    seconds = time.process_time()
    sys.stdout.write(f"{seconds:.1f} CPU seconds, imports included; the bar is {BAR:g}\n")
    return int(seconds > BAR)


if __name__ == "__main__":
    sys.exit(main())
