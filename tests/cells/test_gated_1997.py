"""Weight counts of all cells as published; the LSTM of 1997 and its truncated gradient."""

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from seqlab.cells.cell import Cell
from seqlab.cells.coupled import Coupled
from seqlab.cells.gru import GRU
from seqlab.cells.layer_norm_lstm import LayerNormLSTM
from seqlab.cells.liquid import Liquid
from seqlab.cells.lstm import LSTM
from seqlab.cells.lstm_1997 import LSTM1997
from seqlab.cells.peephole import Peephole
from seqlab.cells.projected import Projected
from seqlab.cells.rnn import RNN
from seqlab.encoders.recurrent import Recurrent


def count(*parts: nn.Module) -> int:
    return sum(p.numel() for part in parts for p in part.parameters())


# experiment: inputs, blocks, cells of each, further settings, outputs, their bias, published weights
PUBLISHED: list[tuple[str, int, int, int, dict[str, Any], int, bool, int]] = [
    ("1 Reber, 4 x 1", 7, 4, 1, {"cell_bias": False}, 7, False, 264),
    ("1 Reber, 3 x 2", 7, 3, 2, {"cell_bias": False}, 7, False, 276),
    ("3 two-sequence", 1, 3, 1, {}, 1, False, 102),
    ("4 adding", 2, 2, 2, {}, 1, True, 93),
    ("6a order", 8, 2, 2, {}, 4, True, 156),
    ("6b order", 8, 3, 2, {}, 8, True, 308),
    *[
        (f"2c, {p} distractors", p + 4, 2, 1, {"gate_bias": False, "cell_bias": False}, 2, False, weights)
        for p, weights in ((50, 364), (100, 664), (200, 1264), (500, 3064), (1000, 6064))
    ],
]


@pytest.mark.parametrize("row", PUBLISHED, ids=lambda row: row[0])
def test_weights_of_1997(row: tuple[str, int, int, int, dict[str, Any], int, bool, int]) -> None:
    _, inputs, blocks, size, settings, outputs, bias, published = row
    cell = LSTM1997(inputs, blocks, size, **settings)
    assert count(cell, nn.Linear(cell.num_features, outputs, bias=bias)) == published


def test_weights_of_continual_reber() -> None:
    """Gers et al. 2000: 4 blocks of 2 cells with forget gates; outputs see cells and inputs."""
    cell = LSTM1997(7, 4, 2, gate_feedback=False, cell_bias=False, forget_gate=True)
    assert count(cell, nn.Linear(8 + 7, 7)) == 424


D, N = 5, 8


@pytest.mark.parametrize(
    ("cell", "weights"),
    [
        (RNN(D, N), N * (D + N + 1)),
        (LSTM(D, N), 4 * N * (D + N + 1)),
        (Peephole(D, N), 4 * N * (D + N + 1) + 3 * N),
        (Peephole(D, N, output_gate=False), 3 * N * (D + N + 1) + 2 * N),
        (Coupled(D, N), 3 * N * (D + N + 1)),
        (Coupled(D, N, peepholes=True), 3 * N * (D + N + 1) + 2 * N),
        (GRU(D, N), 3 * N * (D + N + 1) + N),
        (Projected(D, N, 3), 4 * N * (D + 3 + 1) + 3 * N),
        (Projected(D, N, 3, peepholes=True), 4 * N * (D + 3 + 1) + 3 * N + 3 * N),
        (LayerNormLSTM(D, N), 4 * N * (D + N + 1) + 18 * N),
        (Liquid(D, N, 6), 6 * (D + N + 1) + 3 * N * (6 + 1)),
        (LSTM1997(D, N, 1, gate_feedback=False), 3 * N * (D + N + 1)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_weights(cell: Cell, weights: int) -> None:
    assert count(cell) == weights


@pytest.mark.parametrize(
    ("layers", "cells", "two_ways", "make", "millions"),
    [
        (3, 500, True, RNN, 3.7),
        (1, 250, True, Peephole, 0.8),
        (1, 622, True, Peephole, 3.8),
        (2, 250, True, Peephole, 2.3),
        (3, 421, False, Peephole, 3.8),
        (3, 250, True, Peephole, 3.8),
        (5, 250, True, Peephole, 6.8),
    ],
)
def test_weights_of_2013(layers: int, cells: int, two_ways: bool, make: Any, millions: float) -> None:
    """Graves, Mohamed and Hinton 2013, table 1: 123 inputs, 61 phones and blank."""
    encoder = Recurrent(123, partial(make, hidden_size=cells), num_layers=layers, bidirectional=two_ways)
    assert round(count(encoder, nn.Linear(encoder.num_features, 62)) / 1e6, 1) == millions


CASES: list[dict[str, Any]] = [
    {},
    {"gate_feedback": False},
    {"gate_bias": False, "cell_bias": False},
    {"forget_gate": True},
    {"output_gate": False, "input_squash": "logistic", "output_squash": "identity"},
]


def gradients(cell: LSTM1997, run: Any, x: Tensor, error: Tensor) -> dict[str, np.ndarray]:
    cell.zero_grad()
    (run(x)[0] * error).sum().backward()
    return {name: p.grad.numpy().copy() for name, p in cell.named_parameters() if p.grad is not None}


def wild(**settings: Any) -> LSTM1997:
    torch.manual_seed(7)
    return LSTM1997(3, 3, 2, weight_range=0.9, **settings).double()


@pytest.mark.parametrize("settings", CASES, ids=str)
def test_truncated_gradient_is_the_eligibility_recursion(settings: dict[str, Any]) -> None:
    """Appendix A.1, in numpy: traces of cells and input gates, the output gate sees only its own frame."""
    cell = wild(**settings)
    x = torch.randn(40, 2, 3, dtype=torch.float64)
    error = torch.randn(40, 2, 6, dtype=torch.float64)
    expected = eligibility(cell, x.numpy(), error.numpy())
    for run in (cell, partial(Cell.forward, cell)):
        found = gradients(cell, run, x, error)
        assert set(found) == set(expected)
        for name, gradient in found.items():
            np.testing.assert_allclose(gradient, expected[name], atol=1e-10, rtol=1e-10, err_msg=name)


def eligibility(cell: LSTM1997, x: np.ndarray, error: np.ndarray) -> dict[str, np.ndarray]:
    def sigmoid(v: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-v))

    w = {name: p.detach().numpy() for name, p in cell.named_parameters()}
    blocks, size, kinds = cell.num_blocks, cell.block_size, cell.kinds
    cells, num_gates = blocks * size, blocks * len(kinds)
    biases = np.concatenate([w.get("bias_gates", np.zeros(num_gates)), w.get("bias_cells", np.zeros(cells))])
    matrix = np.concatenate([w["weight_ih"], w["weight_hh"], biases[:, None]], 1)
    total = np.zeros_like(matrix)
    block = np.repeat(np.arange(blocks), size)
    for line in range(x.shape[1]):
        m, s = np.zeros(w["weight_hh"].shape[1]), np.zeros(cells)
        e_cell, e_in, e_forget = (np.zeros((cells, matrix.shape[1])) for _ in range(3))
        for t in range(len(x)):
            source = np.concatenate([x[t, line], m, [1.0]])
            net = matrix @ source
            act = sigmoid(net[:num_gates])
            gate = {kind: act[k * blocks : (k + 1) * blocks][block] for k, kind in enumerate(kinds)}
            net_c = net[num_gates:]
            g, dg = sigmoid(net_c), sigmoid(net_c) * (1 - sigmoid(net_c))
            if cell.input_squash == "symmetric":
                g, dg = 4 * g - 2, 4 * dg
            f, o = gate.get("forget", np.ones(cells)), gate.get("output", np.ones(cells))
            slope = {kind: value * (1 - value) for kind, value in gate.items()}
            e_cell = f[:, None] * e_cell + (dg * gate["input"])[:, None] * source
            e_in = f[:, None] * e_in + (g * slope["input"])[:, None] * source
            if "forget" in gate:
                e_forget = f[:, None] * e_forget + (s * slope["forget"])[:, None] * source
            s = f * s + gate["input"] * g
            h, dh = s, np.ones(cells)
            if cell.output_squash == "symmetric":
                h, dh = 2 * sigmoid(s) - 1, 2 * sigmoid(s) * (1 - sigmoid(s))
            at_cell = error[t, line] * o * dh
            total[num_gates:] += at_cell[:, None] * e_cell
            for j in range(cells):
                total[block[j]] += at_cell[j] * e_in[j]
                if "forget" in gate:
                    total[blocks + block[j]] += at_cell[j] * e_forget[j]
                if "output" in gate:
                    total[num_gates - blocks + block[j]] += error[t, line, j] * h[j] * slope["output"][j] * source
            m = np.concatenate([o * h, act]) if cell.gate_feedback else o * h
    inputs = x.shape[2]
    parts = {
        "weight_ih": total[:, :inputs],
        "weight_hh": total[:, inputs:-1],
        "bias_gates": total[:num_gates, -1],
        "bias_cells": total[num_gates:, -1],
    }
    return {name: parts[name] for name in w}


def test_truncated_is_whole_without_recurrent_weights() -> None:
    x, error = torch.randn(30, 2, 3, dtype=torch.float64), torch.randn(30, 2, 6, dtype=torch.float64)
    found = []
    for truncated in (True, False):
        cell = wild(truncated=truncated)
        nn.init.zeros_(cell.weight_hh)
        found.append(gradients(cell, cell, x, error))
    for name, gradient in found[0].items():
        np.testing.assert_allclose(gradient, found[1][name], atol=1e-12)
    with_weights = [gradients(c := wild(truncated=t), c, x, error)["weight_ih"] for t in (True, False)]
    assert np.abs(with_weights[0] - with_weights[1]).max() > 0.1


def test_error_carousel_keeps_error_at_exactly_one() -> None:
    """Truncated, ds(t)/ds(t-1) = 1 whatever the weights (1997, section 4.1)."""
    cell = wild()
    s = torch.randn(2, 6, dtype=torch.float64).requires_grad_()
    m = torch.randn(2, cell.weight_hh.shape[1], dtype=torch.float64)
    _, (_, last) = cell(torch.randn(1000, 2, 3, dtype=torch.float64), (m, s))
    last.sum().backward()
    assert s.grad is not None
    assert s.grad.equal(torch.ones_like(s))


def test_gate_biases_are_staggered() -> None:
    cell = LSTM1997(1, 3, 2, input_gate_bias=[-1, -3, -5], output_gate_bias=[-2, -4, -6])
    assert cell.bias_gates is not None
    assert cell.bias_gates.tolist() == [-1, -3, -5, -2, -4, -6]
    random = LSTM1997(1, 50, 2, weight_range=0.2)
    assert all(0.15 < p.abs().max().item() <= 0.2 for p in random.parameters())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_blocks": 0}, "num_blocks"),
        ({"weight_range": 0.0}, "weight_range"),
        ({"input_squash": "tanh"}, "input_squash"),
        ({"output_squash": "tanh"}, "output_squash"),
        ({"input_gate_bias": [-1.0]}, "each of the 4 blocks"),
        ({"forget_gate_bias": [1.0] * 4}, "needs forget gates"),
        ({"gate_bias": False, "input_gate_bias": [-1.0] * 4}, "gate_bias=true"),
    ],
)
def test_refused_1997(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LSTM1997(3, **settings)
