"""The linear recurrence against a loop of plain numbers; the scan cells against their papers' equations in NumPy."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from seqlab.cells import _scan
from seqlab.cells._scan import linear_scan
from seqlab.cells.cell import Cell
from seqlab.cells.min_gru import MinGRU, positive
from seqlab.cells.min_lstm import MinLSTM
from seqlab.cells.neural_memory import NeuralMemory
from seqlab.cells.qrnn import QRNN
from seqlab.cells.sru import SRU

Array = np.ndarray


def doubling(a: Tensor, b: Tensor, initial: Tensor) -> Tensor:
    return _scan._doubling(a, torch.cat([b[:1] + a[:1] * initial, b[1:]]))


forms = pytest.mark.parametrize("form", [linear_scan, doubling], ids=["compiled", "doubling"])


def numbers(frames: int, kind: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    a = torch.rand(frames, 3, 2, dtype=kind)
    a[frames // 3], a[frames // 2, 0], a[frames // 4 :, 1] = 0.0, 1.0, 1.0
    return a, torch.randn(frames, 3, 2, dtype=kind), torch.randn(3, 2, dtype=kind)


def loop(a: Tensor, b: Tensor, initial: Tensor) -> list[list[float]]:
    """The recurrence in Python's own numbers."""
    state, rows = initial.flatten().tolist(), []
    for factors, terms in zip(a.flatten(1).tolist(), b.flatten(1).tolist(), strict=True):
        state = [f * s + t for f, s, t in zip(factors, state, terms, strict=True)]
        rows.append(state)
    return rows


@forms
@pytest.mark.parametrize("frames", [1, 2, 3, 17, 64, 5000])
def test_scan_equals_loop(form: Callable[..., Tensor], frames: int) -> None:
    a, b, initial = numbers(frames)
    expected = torch.tensor(loop(a, b, initial), dtype=torch.float64)
    torch.testing.assert_close(form(a, b, initial).flatten(1), expected, atol=1e-11, rtol=1e-11)


@forms
def test_scan_keeps_a_number_and_forgets_at_once(form: Callable[..., Tensor]) -> None:
    b, initial = torch.zeros(5000, 1), torch.tensor([0.7])
    assert form(torch.ones(5000, 1), b, initial).eq(0.7).all()
    b[10] = 3.0
    c = form(torch.zeros(5000, 1), b, initial)
    assert c[10] == 3
    assert c.sum() == 3


@forms
def test_scan_has_the_gradient_of_the_loop(form: Callable[..., Tensor]) -> None:
    a, b, initial = (x.requires_grad_() for x in numbers(9))
    assert torch.autograd.gradcheck(form, (a, b, initial))


def test_scan_of_nothing() -> None:
    empty = torch.zeros(0, 3, 2, requires_grad=True)
    initial = torch.ones(3, 2, requires_grad=True)
    c = linear_scan(empty, empty, initial)
    assert c.shape == (0, 3, 2)
    c.sum().backward()
    assert not initial.grad.any()


def test_scan_of_strided_numbers() -> None:
    plain = [x.requires_grad_() for x in numbers(8)]
    strided = [x.detach().mT.contiguous().mT.requires_grad_() for x in plain]
    assert not strided[0].is_contiguous()
    for inputs in (plain, strided):
        linear_scan(*inputs).mT.square().sum().backward()
    for x, y in zip(plain, strided, strict=True):
        torch.testing.assert_close(x.grad, y.grad, atol=0, rtol=0)


def test_short_numbers_are_summed_in_float32() -> None:
    a, b, initial = (x.bfloat16() for x in numbers(40))
    c = linear_scan(a, b, initial)
    assert c.dtype == torch.float32
    torch.testing.assert_close(c, linear_scan(a.float(), b.float(), initial.float()))


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_traced_scan_is_the_same() -> None:
    inputs = numbers(7)
    traced = torch.jit.trace(linear_scan, inputs, check_trace=False)
    torch.testing.assert_close(traced(*inputs), linear_scan(*inputs))


# What the papers say, in NumPy and float64, one line of D features at a time.


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def g(x: Array) -> Array:
    return np.where(x >= 0, x + 0.5, sigmoid(x))


def weights(cell: Cell) -> dict[str, Array]:
    return {name: p.detach().numpy() for name, p in cell.named_parameters()}


def min_gru(cell: Cell, x: Array) -> Array:
    w = weights(cell)
    w_z, w_h = np.split(w["linear.weight"], 2)
    b_z, b_h = np.split(w["linear.bias"], 2)
    h, rows = np.zeros(cell.num_features), []
    for frame in x:
        z = sigmoid(w_z @ frame + b_z)
        h = (1 - z) * h + z * g(w_h @ frame + b_h)
        rows.append(h)
    return np.array(rows)


def min_lstm(cell: Cell, x: Array) -> Array:
    w = weights(cell)
    (w_f, w_i, w_h), (b_f, b_i, b_h) = np.split(w["linear.weight"], 3), np.split(w["linear.bias"], 3)
    h, rows = np.zeros(cell.num_features), []
    for frame in x:
        f, i = sigmoid(w_f @ frame + b_f), sigmoid(w_i @ frame + b_i)
        h = f / (f + i) * h + i / (f + i) * g(w_h @ frame + b_h)
        rows.append(h)
    return np.array(rows)


def qrnn(cell: Cell, x: Array) -> Array:
    assert isinstance(cell, QRNN)
    w = weights(cell)
    parts = [matrix.reshape(cell.num_features, cell.width, -1) for matrix in np.split(w["linear.weight"], 3)]
    biases = np.split(w["linear.bias"], 3)
    c, rows = np.zeros(cell.num_features), []
    for t in range(len(x)):
        z, f, o = biases
        for j in range(cell.width):  # tap j sees the frame width - 1 - j before
            if t - (cell.width - 1 - j) >= 0:
                z, f, o = (
                    sum_ + part[:, j] @ x[t - (cell.width - 1 - j)] for sum_, part in zip((z, f, o), parts, strict=True)
                )
        c = sigmoid(f) * c + (1 - sigmoid(f)) * np.tanh(z)
        rows.append(sigmoid(o) * c)
    return np.array(rows)


def sru(cell: Cell, x: Array) -> Array:
    w = weights(cell)
    w_z, w_f, w_r, *w_x = np.split(w["linear.weight"], len(w["linear.weight"]) // cell.num_features)
    (b_f, b_r), (v_f, v_r) = w["bias"], w["weight_c"]
    c, rows = np.zeros(cell.num_features), []
    for frame in x:
        f = sigmoid(w_f @ frame + v_f * c + b_f)
        r = sigmoid(w_r @ frame + v_r * c + b_r)
        c = f * c + (1 - f) * (w_z @ frame)
        rows.append(r * c + (1 - r) * (w_x[0] @ frame if w_x else frame))
    return np.array(rows)


def neural_memory(cell: Cell, x: Array) -> Array:
    """Behrouz et al.: the gradient of |M k - v|^2 / 2 by autograd, not by its formula."""
    assert isinstance(cell, NeuralMemory)
    k, q, v, o = (p.numpy() for p in cell.linear(torch.from_numpy(x)).detach().chunk(4, -1))
    rates = sigmoid(cell.rates(torch.from_numpy(x)).detach().numpy()).reshape(len(x), 3, cell.num_heads)
    size = cell.num_features // cell.num_heads
    output = np.zeros((len(x), cell.num_features))
    for head in range(cell.num_heads):
        part = slice(head * size, (head + 1) * size)
        memory, surprise = torch.zeros(size, size, dtype=torch.float64), np.zeros((size, size))
        for t in range(len(x)):
            key, query, value = (a[t, part] * sigmoid(a[t, part]) for a in (k, q, v))
            key, query = key / np.linalg.norm(key), query / np.linalg.norm(query)
            eta, theta, alpha = rates[t, :, head]
            memory.requires_grad_()
            loss = (memory @ torch.from_numpy(key) - torch.from_numpy(value)).square().sum() / 2
            (slope,) = torch.autograd.grad(loss, memory)
            surprise = eta * surprise - theta * slope.numpy()
            memory = torch.from_numpy((1 - alpha) * memory.detach().numpy() + surprise)
            output[t, part] = sigmoid(o[t, part]) * (memory.numpy() @ query)
    return output


REFERENCES = [
    (lambda: MinGRU(4, 6, init="one"), min_gru),
    (lambda: MinLSTM(4, 6), min_lstm),
    (lambda: QRNN(4, 6, width=3), qrnn),
    (lambda: QRNN(4, 6, width=1), qrnn),
    (lambda: SRU(4, 6), sru),
    (lambda: SRU(6, 6), sru),
    (lambda: NeuralMemory(4, 6, num_heads=2), neural_memory),
]


@pytest.mark.parametrize(("make", "reference"), REFERENCES, ids=lambda f: getattr(f, "__name__", ""))
def test_cell_equals_its_equations(make: Callable[[], Cell], reference: Callable[[Cell, Array], Array]) -> None:
    torch.manual_seed(1)
    cell = make().double()
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    x = torch.randn(12, 3, cell.input_size, dtype=torch.float64)
    y = cell(x)[0].detach()
    for line in range(3):
        expected = torch.from_numpy(reference(cell, x[:, line].numpy()))
        torch.testing.assert_close(y[:, line], expected, atol=1e-12, rtol=1e-12)


def test_positive_is_continuous_with_slopes_of_the_paper() -> None:
    x = torch.tensor([-2.0, -1e-4, 0.0, 1e-4, 3.0], requires_grad=True)
    y = positive(x)
    torch.testing.assert_close(y, torch.tensor([0.1192029, 0.499975, 0.5, 0.5001, 3.5]))
    y.sum().backward()
    torch.testing.assert_close(x.grad[[0, 1, 3, 4]], torch.tensor([0.1049936, 0.25, 1.0, 1.0]))


def test_min_lstm_by_hand() -> None:
    """One cell, f = sigmoid(0), i = sigmoid(0), so both shares are a half; g(1) = 1.5 and g(3) = 3.5."""
    cell = MinLSTM(1, 1, bias=False)
    with torch.no_grad():
        cell.linear.weight.copy_(torch.tensor([[0.0], [0.0], [1.0]]))
    y, (h,) = cell(torch.tensor([[[1.0]], [[3.0]]]))
    assert y.flatten().tolist() == [0.75, 2.125]
    assert h.tolist() == [[2.125]]


def test_gates_that_all_but_vanish_divide_by_nothing() -> None:
    cell = MinLSTM(1, 1, bias=False)
    with torch.no_grad():
        cell.linear.weight.copy_(torch.tensor([[-300.0], [-301.0], [1.0]]))
    x = torch.ones(3, 1, 1, requires_grad=True)
    y, _ = cell(x)
    y.sum().backward()
    assert y.isfinite().all()
    assert x.grad.isfinite().all()
    f = 1 / (1 + np.exp(-1.0))  # exp(-300) : exp(-301)
    assert y[0].item() == pytest.approx((1 - f) * 1.5, rel=1e-6)


def test_chrono_spreads_memory_over_all_lags() -> None:
    """A gate that keeps u / (1 + u) of a state each frame forgets over 1 + u frames, u from 1 to T - 1."""
    torch.manual_seed(0)
    for cell in (MinGRU(2, 4000, init="chrono", longest_lag=500), MinLSTM(2, 4000, init="chrono", longest_lag=500)):
        gates = cell.activity(torch.zeros(1, 1, 2))
        keep = gates["forget gate"] if "forget gate" in gates else 1 - gates["update gate"]
        spans = 1 / (1 - keep)
        assert 2 <= spans.min() < 8
        assert 490 < spans.max() < 500.1
        assert spans.mean().item() == pytest.approx(251, abs=10)
    for cell in (QRNN(2, 4000, init="chrono", longest_lag=500), SRU(2, 4000, init="chrono", longest_lag=500)):
        spans = 1 / (1 - cell.activity(torch.zeros(1, 1, 2))["forget gate"])
        assert spans.mean().item() == pytest.approx(251, abs=10)


@pytest.mark.parametrize("kind", [MinGRU, MinLSTM, QRNN, SRU])
def test_cec_is_refused_where_one_gate_does_both(kind: type[Cell]) -> None:
    with pytest.raises(ValueError, match="cec"):
        kind(2, 3, init="cec")  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="longest_lag"):
        kind(2, 3, init="chrono")  # type: ignore[call-arg]


def test_chrono_needs_biases() -> None:
    with pytest.raises(ValueError, match="bias is false"):
        MinGRU(2, 3, bias=False, init="chrono", longest_lag=9)
