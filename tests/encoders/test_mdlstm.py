import math

import numpy as np
import pytest
import torch

from seqlab.encoders.mdlstm import MDLSTM, MDLSTMLayer, _skew, _unskew


def sigmoid(value):
    return 1 / (1 + np.exp(-value))


def scan(x, weight_ih, weight_hh, bias):
    """One direction from the corner (0, 0), cell after cell, as the equations say; x is (T, R, C), no batch."""
    columns, rows, _ = x.shape
    cells = weight_hh.shape[0] // 2
    hidden, memory = {}, {}
    nothing = np.zeros(cells)
    for t in range(columns):
        for r in range(rows):
            before = np.concatenate([hidden.get((t - 1, r), nothing), hidden.get((t, r - 1), nothing)])
            total = x[t, r] @ weight_ih + before @ weight_hh + bias
            i, f_time, f_rows, o, z = total.reshape(5, cells)
            memory[t, r] = (
                sigmoid(i) * np.tanh(z)
                + sigmoid(f_time) * memory.get((t - 1, r), nothing)
                + sigmoid(f_rows) * memory.get((t, r - 1), nothing)
            )
            hidden[t, r] = sigmoid(o) * np.tanh(memory[t, r])
    return np.array([[hidden[t, r] for r in range(rows)] for t in range(columns)])


def layer_by_loops(layer, x):
    """All four directions over x (T, R, C) -> (T, R, 4 N)."""
    weights = [parameter.detach().numpy() for parameter in (layer.weight_ih, layer.weight_hh, layer.bias)]
    found = []
    for direction, (time, rows) in enumerate([(1, 1), (1, -1), (-1, 1), (-1, -1)]):
        ih, hh, bias = (weight[direction] for weight in weights)
        found.append(scan(x[::time, ::rows], ih, hh, bias[0])[::time, ::rows])
    return np.concatenate(found, 2)


def blocks_by_loops(x, time, rows):
    """Cut (T, R, C) into blocks, filled up with zeros."""
    columns, height, channels = x.shape
    cut = np.zeros((math.ceil(columns / time), math.ceil(height / rows), time, rows, channels))
    for t in range(columns):
        for r in range(height):
            cut[t // time, r // rows, t % time, r % rows] = x[t, r]
    return cut.reshape(*cut.shape[:2], -1)


def encoder_by_loops(encoder, x):
    """The whole encoder over one line x (T, F) -> (T', H)."""
    states = x[:, :, None]
    for level, (time, rows) in enumerate(encoder.blocks):
        states = blocks_by_loops(states, time, rows)
        if level:
            linear = encoder.linears[level - 1]
            states = np.tanh(states @ linear.weight.detach().numpy().T + linear.bias.detach().numpy())
        states = layer_by_loops(encoder.layers[level], states)
    return states.sum(1)


def loud(module, seed=0):
    """Weights in double precision, all of them, biases too, of a size that matters."""
    generator = torch.Generator().manual_seed(seed)
    module.double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return module.eval()


@pytest.mark.parametrize("shape", [(7, 4, 3), (1, 5, 2), (6, 1, 2), (1, 1, 1), (3, 9, 1)])
def test_layer_equals_plain_loops(shape):
    layer = loud(MDLSTMLayer(shape[2], 5))
    x = torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected = layer_by_loops(layer, x.numpy())
    found = layer(x[None], torch.tensor([shape[0]]))
    np.testing.assert_allclose(found[0].detach().numpy(), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("size", "settings"),
    [
        (12, {"blocks": [[2, 4], [2, 2]], "hidden_sizes": [3, 5], "linear_sizes": [4]}),
        (7, {"blocks": [[3, 2], [1, 3], [2, 1]], "hidden_sizes": [2, 3, 4], "linear_sizes": [3, 5]}),
        (5, {"blocks": [[1, 1]], "hidden_sizes": [4], "linear_sizes": []}),
        (3, {"blocks": [[2, 8]], "hidden_sizes": [4], "linear_sizes": []}),
    ],
)
def test_encoder_equals_plain_loops_on_every_line_of_a_padded_batch(size, settings):
    encoder = loud(MDLSTM(size, **settings))
    lengths = torch.tensor([1, 13, 6, 7, 12])
    x = 100 * torch.ones(5, 15, size, dtype=torch.float64)  # padding that would be seen
    generator = torch.Generator().manual_seed(2)
    for line, length in zip(x, lengths.tolist(), strict=True):
        line[:length] = torch.randn(length, size, generator=generator, dtype=torch.float64)
    found, frames = encoder(x, lengths)
    assert found.shape == (5, math.ceil(15 / encoder.stride), encoder.num_features)
    for n, (length, count) in enumerate(zip(lengths.tolist(), frames.tolist(), strict=True)):
        expected = encoder_by_loops(encoder, x[n, :length].numpy())
        assert len(expected) == count
        np.testing.assert_allclose(found[n, :count].detach().numpy(), expected, atol=1e-12)
        assert not found[n, count:].any()


def test_one_cell_by_hand():
    # input weights: i, f_time, f_rows and o shut or opened by the bias alone, z = tanh(x)
    layer = MDLSTMLayer(1, 1).double()
    with torch.no_grad():
        layer.weight_ih.copy_(torch.tensor([0.0, 0, 0, 0, 1]).expand(4, 1, 5))
        layer.weight_hh.zero_()
        layer.bias.copy_(torch.tensor([40.0, 0, -40, 40, 0]).expand(4, 1, 5))  # i = 1, f_time = 1/2, f_rows = 0, o = 1
    x = torch.tensor([[0.3, 0.0], [0.0, 0.0], [0.0, -0.2]], dtype=torch.float64)[None, :, :, None]  # (1, 3, 2, 1)
    states = layer(x, torch.tensor([3]))[0]
    a, b = math.tanh(0.3), math.tanh(-0.2)
    forward = [[math.tanh(a), 0], [math.tanh(a / 2), 0], [math.tanh(a / 4), math.tanh(b)]]
    backward = [[math.tanh(a), math.tanh(b / 4)], [0, math.tanh(b / 2)], [0, math.tanh(b)]]
    for direction, expected in enumerate([forward, forward, backward, backward]):
        np.testing.assert_allclose(states[..., direction].detach().numpy(), expected, atol=1e-15)


@pytest.mark.parametrize("direction", range(4))
def test_each_direction_sees_its_own_quarter_of_the_plane(direction):
    layer = loud(MDLSTMLayer(1, 2))
    x = torch.randn(1, 6, 5, 1, dtype=torch.float64, requires_grad=True)
    states = layer(x, torch.tensor([6]))
    states[0, 3, 2, 2 * direction : 2 * direction + 2].sum().backward()
    seen = x.grad[0, :, :, 0] != 0
    expected = torch.zeros(6, 5, dtype=torch.bool)
    time = slice(None, 4) if direction < 2 else slice(3, None)
    rows = slice(None, 3) if direction % 2 == 0 else slice(2, None)
    expected[time, rows] = True
    assert seen.equal(expected)


@pytest.mark.parametrize(("channels", "cells"), [(1, 1), (8, 16), (32, 5)])
def test_number_of_weights_per_direction(channels, cells):
    # (3 + n) N (D + n N + 1) with n = 2 dimensions
    layer = MDLSTMLayer(channels, cells)
    assert sum(p.numel() for p in layer.parameters()) == 4 * 5 * cells * (channels + 2 * cells + 1)


def test_number_of_weights_of_the_encoder():
    encoder = MDLSTM(80)
    expected = 4 * 5 * 16 * (8 + 32 + 1) + (4 * 4 * 16 + 1) * 32 + 4 * 5 * 64 * (32 + 128 + 1)
    assert sum(p.numel() for p in encoder.parameters()) == expected == 227_424
    assert (encoder.stride, encoder.num_features) == (4, 256)


def test_gradients_are_right():
    encoder = loud(MDLSTM(3, blocks=[[1, 2], [2, 1]], hidden_sizes=[2, 2], linear_sizes=[2]))
    x = torch.randn(2, 5, 3, dtype=torch.float64, requires_grad=True)
    lengths = torch.tensor([5, 3])
    parameters = list(encoder.parameters())
    assert torch.autograd.gradcheck(lambda x, *_: encoder(x, lengths)[0], (x, *parameters))
    encoder(x, lengths)[0].square().sum().backward()
    assert all(parameter.grad.any() for parameter in parameters)
    assert not x.grad[1, 3:].any()


def test_line_alone_equals_line_in_batch_in_single_precision():
    torch.manual_seed(0)
    encoder = MDLSTM(40).eval()
    lengths = torch.tensor([200, 1, 57, 198, 4, 5])
    x = torch.randn(6, 200, 40)
    found, frames = encoder(x, lengths)
    for n, (length, count) in enumerate(zip(lengths.tolist(), frames.tolist(), strict=True)):
        alone, _ = encoder(x[n : n + 1, :length], lengths[n : n + 1])
        torch.testing.assert_close(found[n : n + 1, :count], alone, atol=1e-5, rtol=0)


def test_open_forget_gates_on_a_large_plane_leave_numbers_finite():
    # all gates open: c would count the ways to a cell, up to 10^46 of them, more than float32 holds
    layer = MDLSTMLayer(1, 2)
    with torch.no_grad():
        layer.bias.fill_(40.0)
    x = torch.ones(1, 80, 80, 1, requires_grad=True)
    states = layer(x, torch.tensor([80]))
    states.sum().backward()
    for numbers in (states, x.grad, *(parameter.grad for parameter in layer.parameters())):
        assert numbers.isfinite().all()


def test_bf16_stays_near():
    torch.manual_seed(0)
    encoder = MDLSTM(40).eval()
    x, lengths = torch.randn(3, 120, 40), torch.tensor([120, 77, 31])
    exact, _ = encoder(x, lengths)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, _ = encoder(x, lengths)
        found.float().square().mean().backward()
    torch.testing.assert_close(found.float(), exact, atol=0.05, rtol=0.05)
    assert all(parameter.grad.isfinite().all() for parameter in encoder.parameters())
    whole = MDLSTM(40).to(torch.bfloat16)
    assert whole(x.to(torch.bfloat16), lengths)[0].dtype == torch.bfloat16


def test_num_frames_rounds_up():
    encoder = MDLSTM(12, blocks=[[2, 4], [3, 2]])
    assert encoder.num_frames(torch.tensor([0, 1, 6, 7, 12, 13])).tolist() == [0, 1, 1, 2, 2, 3]


def test_dropout_acts_while_training_only():
    encoder = MDLSTM(12, dropout=0.5)
    x, lengths = torch.randn(2, 20, 12), torch.tensor([20, 9])
    assert not encoder(x, lengths)[0].equal(encoder(x, lengths)[0])
    encoder.eval()
    assert encoder(x, lengths)[0].equal(encoder(x, lengths)[0])


def test_skew_by_hand():
    x = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]])[:, :, None]
    skewed = _skew(x)
    assert skewed[..., 0].tolist() == [[1, 2, 3, 4, 0, 0], [0, 5, 6, 7, 8, 0], [0, 0, 9, 10, 11, 12]]
    assert _unskew(skewed, 4).equal(x)


def test_it_learns():
    """Is the bright spot in the same half of the rows as of the columns? Needs both dimensions at once."""
    torch.manual_seed(0)
    encoder, head = MDLSTM(8, [[1, 1]], [8], []), torch.nn.Linear(32, 2)
    optimizer = torch.optim.Adam([*encoder.parameters(), *head.parameters()], 0.02)
    time, row = torch.randint(8, (64,)), torch.randint(8, (64,))
    x = torch.zeros(64, 8, 8)
    x[torch.arange(64), time, row] = 3.0
    labels, lengths = ((time < 4) == (row < 4)).long(), torch.full((64,), 8)
    losses = []
    for _ in range(60):
        loss = torch.nn.functional.cross_entropy(head(encoder(x, lengths)[0].mean(1)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"blocks": [[2, 4]]}, "one entry for each level"),
        ({"linear_sizes": [32, 32]}, "one entry for each level"),
        ({"blocks": [], "hidden_sizes": []}, "one entry for each level"),
        ({"blocks": [[2, 4], [2, 0]]}, "pairs"),
        ({"blocks": [[2, 4], [2]]}, "pairs"),
        ({"hidden_sizes": [0, 64]}, "hidden_sizes"),
        ({"dropout": 1.0}, "dropout"),
    ],
)
def test_settings_out_of_range_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        MDLSTM(80, **wrong)
