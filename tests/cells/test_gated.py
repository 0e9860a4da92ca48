"""What every gated cell must do: step = sequence, exact gradients, a state to hand on, the paper's numbers."""

import copy
import itertools
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from seqlab.cells import _math, products
from seqlab.cells._sequence import Sequence
from seqlab.cells.cell import Cell, State
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
from tests.cells.common import D, N, build, data, results, start

SWITCHES = ("input_gate", "forget_gate", "output_gate", "input_activation", "output_activation", "peepholes")
CELLS: dict[str, Callable[..., Sequence]] = {
    "rnn": partial(RNN, hidden_size=N),
    "irnn": partial(RNN, hidden_size=N, nonlinearity="relu", identity=True),
    "lstm": partial(LSTM, hidden_size=N),
    "peephole": partial(Peephole, hidden_size=N),
    **{f"no {part}": partial(Peephole, hidden_size=N, **{part: False}) for part in SWITCHES},
    "coupled": partial(Coupled, hidden_size=N),
    "coupled, peepholes": partial(Coupled, hidden_size=N, peepholes=True),
    "projected": partial(Projected, hidden_size=N, proj_size=3),
    "projected, peepholes": partial(Projected, hidden_size=N, proj_size=3, peepholes=True),
    "gru": partial(GRU, hidden_size=N),
    "layer_norm_lstm": partial(LayerNormLSTM, hidden_size=N),
    "liquid": partial(Liquid, hidden_size=N, backbone_size=5),
    "1997": partial(LSTM1997, num_blocks=3, block_size=2),
    "1997, whole gradient": partial(LSTM1997, num_blocks=3, block_size=2, truncated=False),
    "1997, no feedback": partial(LSTM1997, num_blocks=2, block_size=3, truncated=False, gate_feedback=False),
    "1997, forget gate": partial(LSTM1997, num_blocks=3, block_size=2, truncated=False, forget_gate=True),
    "1997, experiment 2a": partial(
        LSTM1997,
        num_blocks=1,
        block_size=6,
        truncated=False,
        output_gate=False,
        gate_bias=False,
        input_squash="logistic",
        output_squash="identity",
    ),
}
cells = pytest.mark.parametrize("make", CELLS.values(), ids=CELLS)


def close(ours: list[Tensor], theirs: list[Tensor], atol: float = 1e-12) -> None:
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=atol, rtol=1e-9)


@cells
def test_sequence_equals_steps(make: Callable[..., Sequence]) -> None:
    cell = build(make)
    close(results(cell, cell, data()), results(cell, partial(Cell.forward, cell), data()))


@cells
@pytest.mark.parametrize("shape", [(1, 1), (70, 33)], ids=str)
def test_sequence_equals_steps_in_float32(make: Callable[..., Sequence], shape: tuple[int, int]) -> None:
    cell = build(make).float()
    x = data(*shape).float()
    torch.testing.assert_close(cell(x)[0], Cell.forward(cell, x)[0], atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("name", sorted(CELLS.keys() - {"1997"}))
def test_gradients_are_right(name: str) -> None:
    """The truncated gradient is not that of the function; see test_gated_1997."""
    cell = build(CELLS[name])
    x = data(5, 2).requires_grad_()
    first = start(cell, x)

    def run(x: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        y, last = cell(x, rest[: len(first)])
        return y, *last

    assert torch.autograd.gradcheck(run, (x, *first, *cell.parameters()), atol=1e-6)


@cells
def test_state_handed_on_equals_one_pass(make: Callable[..., Sequence]) -> None:
    cell = build(make)

    def chunks(x: Tensor, state: State) -> tuple[Tensor, State]:
        outputs = []
        for piece in x.split([1, 4, 0, 6]):
            y, state = cell(piece, state)
            outputs.append(y)
        return torch.cat(outputs), state

    close(results(cell, chunks, data()), results(cell, cell, data()))


@cells
def test_pieces_without_gradient_equal_one_pass(make: Callable[..., Sequence], monkeypatch: pytest.MonkeyPatch) -> None:
    cell = build(make)
    whole = cell(data())
    monkeypatch.setattr("seqlab.cells._sequence.PIECE", 7)
    with torch.no_grad():
        y, state = cell(data())
    close([y, *state], [whole[0], *whole[1]])


@cells
def test_two_directions_equal_reversed_one(make: Callable[..., Sequence]) -> None:
    torch.manual_seed(0)
    both = Recurrent(D, make, num_layers=1).double()
    forward, backward = both.layers[0].children()
    x, lengths = data().transpose(0, 1), torch.tensor([11, 4, 7])
    y, _ = both(x, lengths)
    for line, length in enumerate(lengths.tolist()):
        alone = x[line : line + 1, :length].transpose(0, 1)
        expected = torch.cat([forward(alone)[0], backward(alone.flip(0))[0].flip(0)], 2)
        torch.testing.assert_close(y[line, :length], expected[:, 0], atol=1e-12, rtol=0)
        assert not y[line, length:].any()


@cells
def test_activity_names_what_goes_on(make: Callable[..., Sequence]) -> None:
    cell = build(make)
    activity = cell.activity(data())
    torch.testing.assert_close(activity["output"], cell(data())[0])
    for name, values in activity.items():
        assert values.shape[:2] == (11, 3), name
        if "gate" in name:
            assert ((values > 0) & (values < 1)).all(), name
    if isinstance(cell, LSTM):
        assert list(activity) == ["input gate", "forget gate", "cell input", "cell state", "output gate", "output"]


@cells
def test_starts_from_zeros_that_learn_nothing(make: Callable[..., Sequence]) -> None:
    cell = build(make)
    state = cell.initial(3, data())
    assert not any(part.any() or part.requires_grad for part in state)
    torch.testing.assert_close(cell(data(), state)[0], cell(data())[0], atol=0, rtol=0)


@cells
def test_same_under_autocast_with_meta_and_copied(make: Callable[..., Sequence]) -> None:
    cell = build(make).float()
    x = data().float()
    exact = cell(x)[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert cell(x)[0].equal(exact)
    assert copy.deepcopy(cell)(x)[0].equal(exact)
    with torch.device("meta"):
        assert all(parameter.is_meta for parameter in make(D).parameters())


def test_diverged_input_gives_nan_and_no_second_derivative() -> None:
    for make in (CELLS["lstm"], CELLS["gru"], CELLS["irnn"], CELLS["layer_norm_lstm"]):
        cell = build(make).float()
        x = data().float()
        x[4, 1] = torch.nan
        y = cell(x)[0]
        assert y[4:, 1].isnan().all()
        assert y[:, [0, 2]].isfinite().all()
        assert y[:4].isfinite().all()
    x = data().requires_grad_()
    y = build(CELLS["lstm"])(x)[0]
    with pytest.raises(RuntimeError, match="no second derivative"):
        torch.autograd.grad(y.sum(), x, create_graph=True)


def test_equals_torch() -> None:
    torch.manual_seed(1)
    pairs: list[tuple[Sequence, nn.RNNBase]] = [
        (LSTM(D, N), nn.LSTM(D, N)),
        (Projected(D, N, 3), nn.LSTM(D, N, proj_size=3)),
        (GRU(D, N), nn.GRU(D, N)),
        (RNN(D, N), nn.RNN(D, N)),
        (RNN(D, N, nonlinearity="relu"), nn.RNN(D, N, nonlinearity="relu")),
    ]
    for ours, theirs in pairs:
        ours, theirs = ours.double(), theirs.double()
        with torch.no_grad():
            ours.weight_ih.copy_(theirs.weight_ih_l0)
            ours.weight_hh.copy_(theirs.weight_hh_l0)
            ours.bias.copy_(theirs.bias_ih_l0 + theirs.bias_hh_l0)
            if isinstance(ours, GRU):
                ours.bias[2 * N :] = theirs.bias_ih_l0[2 * N :]
                ours.bias_reset.copy_(theirs.bias_hh_l0[2 * N :])
            if isinstance(ours, Projected):
                ours.weight_hr.copy_(theirs.weight_hr_l0)

        def theirs_run(x: Tensor, state: State, theirs: nn.RNNBase = theirs) -> tuple[Tensor, State]:
            given = tuple(part[None] for part in state)
            y, last = theirs(x, given if len(given) > 1 else given[0])
            return y, tuple(part[0] for part in (last if isinstance(last, tuple) else (last,)))

        a = results(ours, ours, data())
        b = results(ours, theirs_run, data())
        shown = 2 * len(ours.initial(1, data())) + 2  # outputs, last state, gradients of input and first state
        close(a[:shown], b[:shown])
        close(list(torch.cat([p.flatten() for p in a[shown : shown + 2]])), list(_their_gradients(ours, theirs)))
        close(results(ours, ours.fused, data()), a)


def _their_gradients(ours: Sequence, theirs: nn.RNNBase) -> Tensor:
    """The gradients of torch's weights for the loss of ``results``."""
    state = tuple(part[None] for part in start(ours, data()))
    y, last = theirs(data(), state if len(state) > 1 else state[0])
    seen = [y, *(part[0] for part in (last if isinstance(last, tuple) else (last,)))]
    generator = torch.Generator().manual_seed(5)
    loss = sum((s * torch.randn(s.shape, dtype=s.dtype, generator=generator)).sum() for s in seen)
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, [theirs.weight_ih_l0, theirs.weight_hh_l0])])


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def weights(cell: Cell) -> dict[str, np.ndarray]:
    return {name: p.detach().numpy() for name, p in cell.named_parameters()}


def test_peephole_equals_its_paper() -> None:
    """The output gate sees the cell of its own frame."""
    cell = build(CELLS["peephole"])
    w, x = weights(cell), data().numpy()
    for line in range(x.shape[1]):
        y, c = np.zeros(N), np.zeros(N)
        for t in range(len(x)):
            net = w["weight_ih"] @ x[t, line] + w["weight_hh"] @ y + w["bias"]
            i = sigmoid(net[:N] + w["peepholes.input"] * c)
            f = sigmoid(net[N : 2 * N] + w["peepholes.forget"] * c)
            c = f * c + i * np.tanh(net[2 * N : 3 * N])
            y = sigmoid(net[3 * N :] + w["peepholes.output"] * c) * np.tanh(c)
        np.testing.assert_allclose(cell(data())[0][-1, line].detach().numpy(), y, atol=1e-12)


def test_layer_norm_equals_its_paper() -> None:
    cell = build(CELLS["layer_norm_lstm"])
    w, x = weights(cell), data().numpy()

    def norm(name: str, v: np.ndarray) -> np.ndarray:
        return w[f"{name}.weight"] * (v - v.mean()) / np.sqrt(v.var() + 1e-5) + w[f"{name}.bias"]

    y, c = np.zeros(N), np.zeros(N)
    for t in range(len(x)):
        net = norm("norm_ih", w["weight_ih"] @ x[t, 0]) + norm("norm_hh", w["weight_hh"] @ y) + w["bias"]
        i, f, z, o = net[:N], net[N : 2 * N], net[2 * N : 3 * N], net[3 * N :]
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(z)
        y = sigmoid(o) * np.tanh(norm("norm_cell", c))
    np.testing.assert_allclose(cell(data())[0][-1, 0].detach().numpy(), y, atol=1e-12)


def test_liquid_equals_its_paper() -> None:
    cell = build(CELLS["liquid"])
    w, x, y = weights(cell), data().numpy(), np.zeros(N)
    for t in range(len(x)):
        m = 1.7159 * np.tanh(2 / 3 * (w["weight_ih"] @ x[t, 0] + w["weight_hh"] @ y + w["bias"]))
        g, h, f = np.split(w["weight_heads"] @ m + w["bias_heads"], 3)
        y = sigmoid(-f * 1.0) * np.tanh(g) + (1 - sigmoid(-f * 1.0)) * np.tanh(h)
    np.testing.assert_allclose(cell(data())[0][-1, 0].detach().numpy(), y, atol=1e-12)


def test_coupled_forgets_what_it_takes_in() -> None:
    activity = build(CELLS["coupled"]).activity(data())
    torch.testing.assert_close(activity["forget gate"], 1 - activity["input gate"])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_functions_are_exact(dtype: type) -> None:
    x = np.concatenate([np.linspace(-100, 100, 100_001), np.linspace(-1, 1, 10_001)]).astype(dtype)
    bar = 4 * np.finfo(dtype).eps
    for function, expected in ((_math.tanh_, np.tanh), (_math.sigmoid_, sigmoid)):
        y = x.copy()
        function(y)
        with np.errstate(over="ignore"):
            right = expected(x.astype(np.float64))
        big = right > 1e-35 if function is _math.sigmoid_ else np.ones(len(x), bool)  # below, float32 has no more bits
        np.testing.assert_allclose(y[big], right[big], rtol=bar)
        assert (y[~big] < 1e-34).all()
        strange = np.array([np.nan, np.inf, -np.inf], dtype)
        function(strange)
        assert np.isnan(strange[0])
        assert strange[1] == 1
        assert strange[2] == -1 or 0 <= strange[2] < 1e-37


@pytest.mark.parametrize("blas", [True, False])
def test_products(blas: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """By loop, by BLAS, and by numpy where torch's BLAS is out of reach."""
    monkeypatch.setattr(_math, "HAS_BLAS", blas and _math.HAS_BLAS)
    product = _math.add_product if blas else _math.compiled(_math.add_product.py_func)
    random = np.random.default_rng(0)
    shapes = [(3, 4, 5), (1, 40, 160), (7, 33, 65), (0, 3, 4), (2, 0, 4)]
    for (m, k, n), (dtype, bar) in itertools.product(shapes, [(np.float64, 1e-12), (np.float32, 1e-4)]):
        a, w, out = (random.normal(size=size).astype(dtype) for size in ((m, k), (k, n), (m, n)))
        expected = out.astype(np.float64) + a.astype(np.float64) @ w.astype(np.float64)
        product(out, a, w, np.ascontiguousarray(w.T))
        np.testing.assert_allclose(out, expected, atol=bar)


def test_large_products_equal_torch() -> None:
    torch.manual_seed(0)
    x, w, b = torch.randn(50, 8, 96, requires_grad=True), torch.randn(160, 96, requires_grad=True), torch.randn(160)
    assert x.numel() * len(w) >= products.LARGE
    error = torch.randn(50, 8, 160)
    found = []
    for run in (products.linear, nn.functional.linear):
        y = run(x, w, b)
        found.append([y, *torch.autograd.grad((y * error).sum(), [x, w])])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    with pytest.raises(RuntimeError, match="no second derivative"):
        torch.autograd.grad(products.linear(x, w).sum(), x, create_graph=True)
