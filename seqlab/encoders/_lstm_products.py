"""A layer of LSTM for training in bfloat16 on a CPU: matrix products by torch, all between them compiled.

torch's own backward pass takes as long in bfloat16 as in float32 or longer, although a matrix product is up to four
times as quick (``scripts/bench/encoder.py`` shows both). Here what does not recur is one product over all frames.
"""

from typing import Any

import numpy as np
import torch
from numba import types
from torch import Tensor
from torch.autograd.function import once_differentiable

from seqlab.cells._math import cached, cell_back, overload, sigmoid_, stamp, tanh_


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
    """Graves's 2012 book, equations 4.2 to 4.23, without peepholes; cells, and sums in a frame, in float32."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w_input: Tensor, w_hidden: Tensor, b_input: Tensor, b_hidden: Tensor) -> Tensor:
        frames, lines, _ = x.shape
        size = w_hidden.shape[1]
        with torch.autocast(x.device.type, enabled=False):
            gates = torch.addmm(b_input + b_hidden, x.flatten(0, 1), w_input.T).view(frames, lines, 4 * size)
            states = x.new_empty(frames, lines, size)
            cells = torch.zeros(frames + 1, lines, size, dtype=_exact(x))
            recurrent = x.new_zeros(lines, 4 * size)
            arrays = [_array(a) for a in (gates, recurrent, cells, states)]
            for t in range(frames):
                if t:
                    torch.mm(states[t - 1], w_hidden.T, out=recurrent)
                step(*arrays, t)
        ctx.save_for_backward(x, states, gates, cells, w_input, w_hidden)
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, states, gates, cells, w_input, w_hidden = ctx.saved_tensors
        frames, lines, size = states.shape
        grad = grad.contiguous()
        deltas, later = torch.empty_like(gates), states.new_zeros(lines, size)
        carried, bias = cells.new_zeros(lines, size), cells.new_zeros(4 * size)
        arrays = [_array(a) for a in (grad, later, gates, cells, carried, deltas, bias)]
        for t in range(frames - 1, -1, -1):
            step_back(*arrays, t)
            if t:
                torch.mm(deltas[t], w_hidden, out=later)
        flat = deltas.flatten(0, 1)
        to_x = (flat @ w_input).view_as(x) if ctx.needs_input_grad[0] else None
        to_hidden = deltas[1:].flatten(0, 1).T @ states[:-1].flatten(0, 1)
        of_bias = bias.to(x.dtype)
        return to_x, flat.T @ x.flatten(0, 1), to_hidden, of_bias, of_bias


def _exact(x: Tensor) -> torch.dtype:
    return torch.float32 if x.dtype == torch.bfloat16 else x.dtype


def _array(x: Tensor) -> Any:
    """Return numpy's view of a tensor; bfloat16, which numpy has not, as its bits."""
    return (x.view(torch.uint16) if x.dtype == torch.bfloat16 else x).numpy()


def _read(row: Any, out: Any) -> None:
    """Copy a row; uint16 are the bits of bfloat16."""


def _write(row: Any, out: Any) -> None:
    """Copy a row; into uint16 as the bits of bfloat16, rounded to the nearest."""


@overload(_read, jit_options={"error_model": "numpy"})
def _read_type(row: Any, out: Any) -> Any:
    def bits(row: Any, out: Any) -> None:
        whole = out.view(np.uint32)
        for j in range(row.size):
            whole[j] = np.uint32(row[j]) << np.uint32(16)

    def copy(row: Any, out: Any) -> None:
        out[:] = row

    return bits if row.dtype == types.uint16 else copy


@overload(_write, jit_options={"error_model": "numpy"})
def _write_type(row: Any, out: Any) -> Any:
    def bits(row: Any, out: Any) -> None:
        whole = row.view(np.uint32)
        for j in range(row.size):
            odd = (whole[j] >> np.uint32(16)) & np.uint32(1)
            out[j] = np.uint16((whole[j] + np.uint32(0x7FFF) + odd) >> np.uint32(16))

    def copy(row: Any, out: Any) -> None:
        out[:] = row

    return bits if out.dtype == types.uint16 else copy


def stored(mark: int) -> Any:
    """Return the work of a frame in both passes, compiled when first called and then kept on disk; see ``stamp``."""

    @cached
    def step(gates: Any, recurrent: Any, c: Any, y: Any, t: Any) -> None:
        """Make cells c (T + 1, B, H) and states y (T, B, H) of frame t.

        Args:
            gates: what the input gives to the gates (T, B, 4 H), to which the rest is added here.
            recurrent: what the states before give to them, (B, 4 H).
            c: cells, those of frame t at t + 1.
            y: states.
            t: the frame.
        """
        _ = mark
        n = y.shape[2]
        row, more, h = np.empty(4 * n, c.dtype), np.empty(4 * n, c.dtype), np.empty(n, c.dtype)
        i, f, z, o = row[:n], row[n : 2 * n], row[2 * n : 3 * n], row[3 * n :]  # in torch's order
        for b in range(y.shape[1]):
            old, new = c[t, b], c[t + 1, b]
            _read(gates[t, b], row)
            _read(recurrent[b], more)
            for j in range(4 * n):
                row[j] += more[j]
            _write(row, gates[t, b])
            sigmoid_(row[: 2 * n])
            tanh_(z)
            sigmoid_(o)
            for j in range(n):
                new[j] = f[j] * old[j] + i[j] * z[j]
                h[j] = new[j]
            tanh_(h)
            for j in range(n):
                h[j] *= o[j]
            _write(h, y[t, b])

    @cached
    def step_back(grad: Any, later: Any, gates: Any, c: Any, carried: Any, deltas: Any, bias: Any, t: Any) -> None:
        """Make the gradient of the sums of frame t, and add it to that of the bias (4 H,).

        Args:
            grad: of the states, (T, B, H).
            later: what the frame after gives to the states, (B, H).
            gates: sums before the gates (T, B, 4 H).
            c: cells (T + 1, B, H).
            carried: what the frame after gives to the cells, (B, H); afterwards for the frame before.
            deltas: the result, (T, B, 4 H).
            bias: (4 H,).
            t: the frame.
        """
        _ = mark
        n, one = c.shape[2], c.dtype.type(1)
        row, d, dh = np.empty(4 * n, c.dtype), np.empty(4 * n, c.dtype), np.empty(n, c.dtype)
        more, seen = np.empty(n, c.dtype), np.empty(n, c.dtype)
        i, f, z, o = row[:n], row[n : 2 * n], row[2 * n : 3 * n], row[3 * n :]
        di, df, dz, do = d[:n], d[n : 2 * n], d[2 * n : 3 * n], d[3 * n :]
        for b in range(c.shape[1]):
            old, new, e = c[t, b], c[t + 1, b], carried[b]
            _read(gates[t, b], row)
            _read(grad[t, b], dh)
            _read(later[b], more)
            sigmoid_(row[: 2 * n])
            tanh_(z)
            sigmoid_(o)
            seen[:] = new
            tanh_(seen)
            for j in range(n):
                dh[j] += more[j]
            for j in range(n):
                do[j] = dh[j] * seen[j] * (o[j] - o[j] * o[j])
            for j in range(n):
                e[j] += dh[j] * o[j] * (one - seen[j] * seen[j])
            cell_back(e, i, f, z, old, di, df, dz)
            for j in range(4 * n):
                bias[j] += d[j]
            _write(d, deltas[t, b])

    return step, step_back


step, step_back = stored(stamp(__file__))
