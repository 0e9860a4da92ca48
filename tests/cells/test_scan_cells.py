"""What every scan, xLSTM and memory cell must do: step = sequence, exact gradients, a state that can be handed on."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from seqlab.cells.cell import Cell
from seqlab.cells.min_gru import MinGRU
from seqlab.cells.min_lstm import MinLSTM
from seqlab.cells.mlstm import MLSTM
from seqlab.cells.neural_memory import NeuralMemory
from seqlab.cells.qrnn import QRNN
from seqlab.cells.slstm import SLSTM
from seqlab.cells.sru import SRU
from seqlab.encoders.recurrent import Recurrent
from tests.cells.common import D, N, build, data, results, start

CELLS: dict[str, Callable[..., Cell]] = {
    "sru": partial(SRU, hidden_size=N),
    "qrnn": partial(QRNN, hidden_size=N),
    "qrnn 4": partial(QRNN, hidden_size=N, width=4),
    "min_lstm": partial(MinLSTM, hidden_size=N),
    "min_gru": partial(MinGRU, hidden_size=N),
    "slstm": partial(SLSTM, hidden_size=N, num_heads=2),
    "slstm exp": partial(SLSTM, hidden_size=N, num_heads=3, forget="exp"),
    "mlstm": partial(MLSTM, hidden_size=N, num_heads=2, chunk_size=4),
    "mlstm exp": partial(MLSTM, hidden_size=N, num_heads=1, forget="exp", norm=True, chunk_size=0),
    "neural_memory": partial(NeuralMemory, hidden_size=N, num_heads=2),
}
cells = pytest.mark.parametrize("make", CELLS.values(), ids=CELLS)


@cells
def test_step_form_equals_sequence_form(make: Callable[..., Cell]) -> None:
    cell = build(make)
    quick, slow = results(cell, cell, data()), results(cell, partial(Cell.forward, cell), data())
    assert len(quick) == len(slow) >= 5
    for a, b in zip(quick, slow, strict=True):
        torch.testing.assert_close(a, b, atol=1e-11, rtol=1e-11)


@cells
def test_gradient_is_exact(make: Callable[..., Cell], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seqlab.cells.mlstm.EPS", 0.0)  # eps is why m, which takes no gradient, does not cancel quite
    cell = build(make)
    x = data(6, 2).requires_grad_()
    first = start(cell, x)
    names, parameters = zip(*cell.named_parameters(), strict=True)
    stabilised = isinstance(cell, SLSTM | MLSTM)  # the last part of their states is no more than a scale of the others
    number = len(first) - stabilised

    def run(x: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        call = partial(torch.func.functional_call, cell, dict(zip(names, rest[number:], strict=True)))
        y, state = call((x[:4], (*rest[:number], *first[number:])))
        later, state = call((x[4:], state))
        return (y, later) if stabilised else (y, later, *state)

    leaves = [p.detach().clone().requires_grad_() for p in parameters]
    assert torch.autograd.gradcheck(run, (x, *first[:number], *leaves), atol=1e-6, rtol=1e-5)


@cells
@pytest.mark.parametrize("pieces", [[11], [1] * 11, [5, 6], [0, 3, 0, 8]], ids=str)
def test_state_carried_across_pieces_is_one_pass(make: Callable[..., Cell], pieces: list[int]) -> None:
    cell = build(make)
    whole, last = cell(data())
    state, outputs = None, []
    for piece in data().split(pieces):
        y, state = cell(piece, state)
        outputs.append(y)
    torch.testing.assert_close(torch.cat(outputs), whole, atol=1e-12, rtol=1e-12)
    assert state is not None
    for a, b in zip(state, last, strict=True):
        torch.testing.assert_close(a, b, atol=1e-12, rtol=1e-12)


@cells
def test_backward_direction_reads_each_line_from_its_end(make: Callable[..., Cell]) -> None:
    torch.manual_seed(3)
    encoder = Recurrent(D, make, num_layers=1).double()
    lengths = torch.tensor([11, 4, 7])
    x = data().transpose(0, 1)
    y, _ = encoder(x, lengths)
    forward, backward = encoder.layers[0]
    for line, length in enumerate(lengths.tolist()):
        alone = x[line : line + 1, :length].transpose(0, 1)
        expected = torch.cat([forward(alone)[0], backward(alone.flip(0))[0].flip(0)], 2)
        torch.testing.assert_close(y[line, :length], expected[:, 0], atol=1e-12, rtol=1e-12)


@cells
def test_long_sequence_stays_finite_and_equal_to_steps(make: Callable[..., Cell]) -> None:
    cell = build(make)
    x = 3 * data(5000, 1)
    with torch.no_grad():
        y, last = cell(x)
        expected, state = Cell.forward(cell, x)
    torch.testing.assert_close(y, expected, atol=1e-9, rtol=1e-9)
    for a, b in zip(last, state, strict=True):
        torch.testing.assert_close(a, b, atol=1e-9, rtol=1e-9)


@cells
def test_a_frame_sees_no_later_one(make: Callable[..., Cell]) -> None:
    cell = build(make)
    x = data().requires_grad_()
    (gradient,) = torch.autograd.grad(cell(x)[0][6].sum(), x)
    assert not gradient[7:].any()
    assert gradient[6].any()
    assert gradient[0].any()


@cells
def test_activity_names_what_goes_on(make: Callable[..., Cell]) -> None:
    cell = build(make)
    activity = cell.activity(data())
    torch.testing.assert_close(activity["output"], cell(data())[0])
    for name, values in activity.items():
        assert values.shape[:2] == (11, 3), name
        assert values.isfinite().all(), name
        if name.endswith(" gate"):
            assert values.min() >= 0, name
    assert len(activity) >= 3


@cells
def test_runs_under_autocast(make: Callable[..., Cell]) -> None:
    torch.manual_seed(3)
    cell = make(D)
    x = data(40).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y, _ = cell(x)
    y.sum().backward()
    torch.testing.assert_close(y.float(), cell(x)[0], atol=0.05, rtol=0.05)


@cells
def test_other_devices_take_the_same_numbers(make: Callable[..., Cell], monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled kernels off: what runs on a GPU or while tracing."""
    cell = build(make)
    expected = results(cell, cell, data())
    for module in ("_scan", "sru", "slstm"):
        monkeypatch.setattr(f"seqlab.cells.{module}.is_traced", lambda: True)
    for a, b in zip(results(cell, cell, data()), expected, strict=True):
        torch.testing.assert_close(a, b, atol=1e-11, rtol=1e-11)


# Weights as counted in the papers' equations, D inputs and N cells; "with biases" where the table has none.
COUNTS: list[tuple[Callable[..., Cell], dict, int]] = [
    (SRU, {}, 3 * 16 * 16 + 4 * 16),
    (QRNN, {"width": 3, "bias": False}, 3 * 3 * 16 * 16),
    (QRNN, {"width": 3}, 3 * 3 * 16 * 16 + 3 * 16),
    (MinGRU, {"bias": False}, 2 * 16 * 16),
    (MinGRU, {}, 2 * 16 * 16 + 2 * 16),
    (MinLSTM, {"bias": False}, 3 * 16 * 16),
    (MinLSTM, {}, 3 * 16 * 16 + 3 * 16),
    (SLSTM, {"num_heads": 4}, 4 * 16 * (16 + 16 // 4 + 1)),
    (SLSTM, {"num_heads": 1}, 4 * 16 * (16 + 16 + 1)),
    (MLSTM, {"num_heads": 4, "bias": False}, 3 * 16 * 16 + 16 * 16 + 2 * 16 * 4),
    (MLSTM, {"num_heads": 4}, 3 * 16 * 16 + 16 * 16 + 2 * 16 * 4 + 2 * 4),
    (NeuralMemory, {"num_heads": 4}, 4 * 16 * 16 + 3 * 4 * 17),
]


@pytest.mark.parametrize(("kind", "settings", "count"), COUNTS)
def test_number_of_weights(kind: Callable[..., Cell], settings: dict, count: int) -> None:
    assert sum(p.numel() for p in kind(16, 16, **settings).parameters()) == count


def test_number_of_weights_of_sru_with_a_highway_of_its_own() -> None:
    assert sum(p.numel() for p in SRU(5, 16).parameters()) == 3 * 5 * 16 + 4 * 16 + 5 * 16


REFUSED: list[tuple[Callable[..., Cell], dict, str]] = [
    (QRNN, {"width": 0}, "width"),
    (QRNN, {"hidden_size": 0}, "hidden_size"),
    (MinGRU, {"init": "two"}, "init must be one of"),
    (SLSTM, {"num_heads": 3}, "num_heads must divide"),
    (SLSTM, {"forget": "relu"}, "sigmoid or exp"),
    (MLSTM, {"num_heads": 0}, "num_heads must divide"),
    (MLSTM, {"forget": "relu"}, "sigmoid or exp"),
    (MLSTM, {"chunk_size": -1}, "chunk_size"),
    (NeuralMemory, {"num_heads": 3}, "num_heads must divide"),
]


@pytest.mark.parametrize(("kind", "wrong", "message"), REFUSED)
def test_values_out_of_range_are_refused(kind: Callable[..., Cell], wrong: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kind(5, **{"hidden_size": 16} | wrong)
