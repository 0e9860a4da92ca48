"""mLSTM's three forms and sLSTM against the equations without stabiliser, and where only a stabiliser survives."""

import numpy as np
import pytest
import torch
from torch import Tensor

from seqlab.cells import mlstm, slstm
from seqlab.cells.cell import Cell
from seqlab.cells.mlstm import MLSTM, HeadNorm, read_chunks
from seqlab.cells.slstm import SLSTM

Array = np.ndarray
forgets = pytest.mark.parametrize("forget", ["sigmoid", "exp"])


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def shaken(cell: Cell, size: float = 0.3) -> Cell:
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter += size * torch.randn_like(parameter)
    return cell.double()


def heads_of_mlstm(cell: MLSTM, x: Tensor) -> tuple[Array, ...]:
    """q, k, v, o, i~, f~ of a line (T, D), heads first."""
    q, k, v, o = (part.numpy() for part in cell.linear(x).detach().chunk(4, -1))
    i, f = (part.numpy().T for part in cell.gate(x).detach().chunk(2, -1))
    size = cell.num_features // cell.num_heads
    q, k, v = (part.reshape(len(x), cell.num_heads, size).transpose(1, 0, 2) for part in (q, k, v))
    return q, k / np.sqrt(size), v, o, i, f


def mlstm_by_steps(cell: MLSTM, x: Tensor) -> Array:
    """Equations 19 to 27 as they stand: exponentials, no stabiliser."""
    q, k, v, o, i, f = heads_of_mlstm(cell, x)
    rows = np.zeros((cell.num_heads, len(x), v.shape[2]))
    for head in range(cell.num_heads):
        c, n = np.zeros((v.shape[2], v.shape[2])), np.zeros(v.shape[2])
        for t in range(len(x)):
            keep = sigmoid(f[head, t]) if cell.forget == "sigmoid" else np.exp(f[head, t])
            c = keep * c + np.exp(i[head, t]) * np.outer(v[head, t], k[head, t])
            n = keep * n + np.exp(i[head, t]) * k[head, t]
            rows[head, t] = c @ q[head, t] / max(abs(n @ q[head, t]), 1.0)
    return sigmoid(o) * rows.transpose(1, 0, 2).reshape(len(x), -1)


def mlstm_in_parallel(cell: MLSTM, x: Tensor) -> Array:
    """The paper's appendix A.3: one matrix of decays, stabilised by its rows' maxima."""
    q, k, v, o, i, f = heads_of_mlstm(cell, x)
    log_f = -np.logaddexp(0, -f) if cell.forget == "sigmoid" else f
    out = []
    for head in range(cell.num_heads):
        sums = np.cumsum(log_f[head])
        decay = sums[:, None] - sums[None, :] + i[head][None, :]
        decay[np.triu_indices(len(x), 1)] = -np.inf
        m = decay.max(1, keepdims=True)
        scores = q[head] @ k[head].T * np.exp(decay - m)
        bound = np.maximum(np.abs(scores.sum(1, keepdims=True)), np.exp(-m))
        out.append(scores @ v[head] / (bound + 1e-6))
    return sigmoid(o) * np.stack(out, 1).reshape(len(x), -1)


@forgets
@pytest.mark.parametrize("chunk_size", [0, 1, 7, 16, 64])
def test_mlstm_forms_agree(forget: str, chunk_size: int) -> None:
    torch.manual_seed(0)
    cell = shaken(MLSTM(5, 12, num_heads=3, forget=forget, chunk_size=chunk_size))  # type: ignore[arg-type]
    x = torch.randn(70, 2, 5, dtype=torch.float64)
    y = cell(x)[0].detach()
    torch.testing.assert_close(y, Cell.forward(cell, x)[0].detach(), atol=1e-11, rtol=1e-11)
    for line in range(2):
        expected = torch.from_numpy(mlstm_in_parallel(cell, x[:, line]))
        torch.testing.assert_close(y[:, line], expected, atol=1e-10, rtol=1e-10)


@forgets
def test_mlstm_is_the_unstabilised_one_without_eps(forget: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlstm, "EPS", 0.0)
    torch.manual_seed(0)
    cell = shaken(MLSTM(5, 12, num_heads=2, forget=forget, chunk_size=8))  # type: ignore[arg-type]
    x = torch.randn(30, 1, 5, dtype=torch.float64)
    expected = torch.from_numpy(mlstm_by_steps(cell, x[:, 0]))
    torch.testing.assert_close(cell(x)[0][:, 0].detach(), expected, atol=1e-11, rtol=1e-11)


@forgets
@pytest.mark.parametrize("scale", [10.0, 1000.0])
@pytest.mark.parametrize("kind", [torch.float64, torch.float32], ids=str)
def test_mlstm_survives_extreme_gates(forget: str, scale: float, kind: torch.dtype) -> None:
    """Gates whose exponentials are 0 or infinite: all forms finite, and equal, over a long line."""
    torch.manual_seed(0)
    shape = (1000, 1, 3)
    q, k, v = (torch.randn(*shape, 4, dtype=kind).requires_grad_() for _ in range(3))
    i, f = (scale * torch.randn(shape, dtype=kind) for _ in range(2))
    log_f = torch.nn.functional.logsigmoid(f) if forget == "sigmoid" else f / 50
    i.requires_grad_()
    cell = MLSTM(1, 12, num_heads=3)
    first = cell.initial(1, q)
    answers = [read_chunks(q, k, v, i, log_f, first, size) for size in (1, 64, 1000)]
    for h, state in answers:
        assert h.isfinite().all()
        assert all(part.isfinite().all() for part in state)
        if kind == torch.float64:
            torch.testing.assert_close(h, answers[0][0], atol=1e-9, rtol=1e-9)
            for part, expected in zip(state, answers[0][1], strict=True):
                torch.testing.assert_close(part, expected, atol=1e-9, rtol=1e-9)
    slopes = [torch.autograd.grad(h.clamp(-10, 10).sum(), [q, k, v, i]) for h, _ in answers]
    assert all(slope.isfinite().all() for group in slopes for slope in group)


def test_mlstm_that_writes_nothing_reads_nothing() -> None:
    """The bound of 1 is exp(-m) beside states that are divided by exp(m); 1 there would read too much."""
    cell = MLSTM(1, 2, num_heads=1).double()
    q = k = v = torch.ones(3, 1, 1, 2, dtype=torch.float64)
    quiet, log_f = torch.full((3, 1, 1), -1000.0, dtype=torch.float64), torch.zeros(3, 1, 1, dtype=torch.float64)
    h, _ = read_chunks(q, k, v, quiet, log_f, cell.initial(1, q), 2)
    assert h.abs().max() < 1e-30
    # i = exp(-3): n . q is 2 exp(-3) t, below 1, so h = 2 exp(-3) t, not 1
    h, _ = read_chunks(q, k, v, quiet + 997, log_f, cell.initial(1, q), 2)
    expected = 2 * np.exp(-3) * np.arange(1, 4)
    np.testing.assert_allclose(h[:, 0, 0, 0].numpy(), expected, rtol=1e-6)


def slstm_by_steps(cell: SLSTM, x: Tensor) -> Array:
    """Equations 8 to 14 as they stand: exponentials, no stabiliser."""
    heads, size = cell.num_heads, cell.num_features // cell.num_heads
    total = cell.linear(x).detach().numpy().reshape(len(x), heads, 4, size)
    weight = cell.weight_hh.detach().numpy()
    h, c, n = (np.zeros((heads, size)) for _ in range(3))
    rows = []
    for frame in total:
        z, i, f, o = np.stack([frame[head] + (h[head] @ weight[head]).reshape(4, size) for head in range(heads)], 1)
        keep = sigmoid(f) if cell.forget == "sigmoid" else np.exp(f)
        c = keep * c + np.exp(i) * np.tanh(z)
        n = keep * n + np.exp(i)
        h = sigmoid(o) * c / n
        rows.append(h.reshape(-1))
    return np.array(rows)


@forgets
def test_slstm_equals_its_equations(forget: str) -> None:
    torch.manual_seed(0)
    cell = shaken(SLSTM(5, 12, num_heads=3, forget=forget))  # type: ignore[arg-type]
    with torch.no_grad():
        cell.linear.bias -= 3.0 * (forget == "exp")  # exp(f) near 1, or nothing unstabilised lasts 60 frames
    x = torch.randn(60, 2, 5, dtype=torch.float64)
    y = cell(x)[0].detach()
    for line in range(2):
        torch.testing.assert_close(
            y[:, line], torch.from_numpy(slstm_by_steps(cell, x[:, line])), atol=1e-11, rtol=1e-11
        )


@forgets
@pytest.mark.parametrize("kind", [torch.float64, torch.float32], ids=str)
def test_slstm_survives_extreme_gates(forget: str, kind: torch.dtype) -> None:
    torch.manual_seed(0)
    cell = shaken(SLSTM(5, 12, num_heads=3, forget=forget)).to(kind)  # type: ignore[arg-type]
    x = (100 * torch.randn(1500, 2, 5, dtype=kind)).requires_grad_()
    y, state = cell(x)
    assert y.isfinite().all()
    assert y.abs().max() <= 1
    assert all(part.isfinite().all() for part in state)
    assert state[2].min() >= 1
    assert all(slope.isfinite().all() for slope in torch.autograd.grad(y.sum(), [x, *cell.parameters()]))
    if kind == torch.float64:
        torch.testing.assert_close(y, Cell.forward(cell, x)[0], atol=1e-9, rtol=1e-9)


def test_slstm_heads_do_not_see_each_other() -> None:
    cell = SLSTM(3, 8, num_heads=2)
    start = [part.detach().requires_grad_() for part in cell(torch.randn(4, 1, 3))[1]]
    (slope,) = torch.autograd.grad(cell(torch.randn(5, 1, 3), tuple(start))[0][..., :4].sum(), start[0])
    assert slope[:, :4].all()
    assert not slope[:, 4:].any()


def test_forget_biases_start_from_3_to_6() -> None:
    x = torch.zeros(1, 1, 7)
    for cell in (MLSTM(7, 8, num_heads=4), SLSTM(7, 8, num_heads=2)):
        if isinstance(cell, MLSTM):
            keep = cell.activity(x)["forget gate"][0, 0]
        else:
            keep = cell.linear.bias.view(2, 4, 4)[0, 2].sigmoid()
        torch.testing.assert_close(keep, torch.tensor([3.0, 4.0, 5.0, 6.0]).sigmoid())


def test_head_norm_is_group_norm() -> None:
    norm = HeadNorm(12, 3)
    torch.nn.init.normal_(norm.weight)
    x = torch.randn(50, 12)
    torch.testing.assert_close(norm(x), torch.nn.functional.group_norm(x, 3, norm.weight))


def test_compiled_step_is_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(SLSTM, "_step", refuse)
    SLSTM(3, 4, num_heads=2)(torch.randn(5, 2, 3))
    monkeypatch.setattr(slstm, "is_traced", lambda: True)
    with pytest.raises(AssertionError):
        SLSTM(3, 4, num_heads=2)(torch.randn(5, 2, 3))


def test_half_precision_input_is_read_in_float32() -> None:
    torch.manual_seed(0)
    for cell in (MLSTM(5, 12, num_heads=3), SLSTM(5, 12, num_heads=3)):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y, state = cell(torch.randn(40, 2, 5))
        assert y.dtype == torch.float32
        assert all(part.dtype == torch.float32 for part in state)
