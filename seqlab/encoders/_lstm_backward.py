"""A layer of LSTM whose backward pass is made of large matrix products: quick in bfloat16, where torch's own is slow.

In bfloat16 on a CPU torch's forward kernel takes about half the time of float32, its backward one up to twice as long;
one matrix product in bfloat16 is up to four times as quick as in float32 (``scripts/bench/encoder.py`` shows both). So
the gates of all frames are computed once more in one product, and only what truly recurs is done frame by frame.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def lstm(x: Tensor, weights: list[Tensor]) -> Tensor:
    """Run one direction of one layer from states of 0.

    Args:
        x: (T, B, F), as torch.lstm takes it.
        weights: input weights (4 H, F), recurrent weights (4 H, H) and both biases (4 H,), of x's type.

    Returns:
        States (T, B, H), of x's type.
    """
    states: Tensor = _LSTM.apply(x, *weights)
    return states


class _LSTM(torch.autograd.Function):
    """torch.lstm forward; backward in the words of Graves's 2012 book, equations 4.17 to 4.23, without peepholes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w_input: Tensor, w_hidden: Tensor, b_input: Tensor, b_hidden: Tensor) -> Tensor:
        zeros = x.new_zeros(1, x.shape[1], w_hidden.shape[1])
        weights = (w_input, w_hidden, b_input, b_hidden)
        with torch.autocast(x.device.type, enabled=False):
            states = torch.lstm(x, (zeros, zeros), weights, True, 1, 0.0, False, False, False)[0]
        ctx.save_for_backward(x, states, *weights)
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, states, w_input, w_hidden, b_input, b_hidden = ctx.saved_tensors
        frames, lines, size = states.shape
        before = torch.cat([states.new_zeros(1, lines, size), states[:-1]])  # (T, B, H)
        flat_x, flat_before = x.flatten(0, 1), before.flatten(0, 1)  # (T B, F), (T B, H)
        gates = torch.addmm(b_input + b_hidden, flat_x, w_input.T).addmm_(flat_before, w_hidden.T)
        i, f, g, o = gates.float().view(frames, lines, 4, size).unbind(2)  # in torch's order
        i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
        inputs = i * g
        cells = torch.empty_like(inputs)
        cell = torch.zeros_like(inputs[0])
        for add, keep, now in zip(inputs.unbind(), f.unbind(), cells.unbind(), strict=True):
            cell = torch.addcmul(add, keep, cell, out=now)
        seen = cells.tanh()
        cells_before = torch.cat([cells.new_zeros(1, lines, size), cells[:-1]])
        of_cell = torch.stack([g * i * (1 - i), cells_before * f * (1 - f), i * (1 - g * g)], 2)  # (T, B, 3, H)
        of_output = seen * o * (1 - o)
        to_cell = o * (1 - seen * seen)
        grad = grad.float()
        deltas = x.new_empty(frames, lines, 4, size)
        carried = torch.zeros_like(cell)  # to the cell of the frame before
        for t in range(frames - 1, -1, -1):
            state = grad[t] if t == frames - 1 else grad[t] + deltas[t + 1].flatten(1) @ w_hidden
            cell = torch.addcmul(carried, state, to_cell[t])
            torch.mul(cell[:, None], of_cell[t], out=deltas[t, :, :3])
            torch.mul(state, of_output[t], out=deltas[t, :, 3])
            carried = cell * f[t]
        flat = deltas.view(frames * lines, 4 * size)
        bias = flat.sum(0)
        to_x = (flat @ w_input).view_as(x) if ctx.needs_input_grad[0] else None
        return to_x, flat.T @ flat_x, flat.T @ flat_before, bias, bias
