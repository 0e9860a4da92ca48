"""SRU: a recurrence of products of single numbers only, all matrix products before it (Lei et al. 2018)."""

from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from seqlab.cells._scan import exact, is_traced, start_bias
from seqlab.cells.cell import Cell, State
from seqlab.cells.initial import Init


class SRU(Cell):
    """Simple recurrent unit: Lei et al. 2018, equations 1 to 4.

        f_t = sigmoid(W_f x_t + v_f c_{t-1} + b_f);    c_t = f_t c_{t-1} + (1 - f_t) W x_t
        r_t = sigmoid(W_r x_t + v_r c_{t-1} + b_r);    h_t = r_t c_t + (1 - r_t) x_t

    v_f and v_r multiply elementwise, so the cells of a layer do not see each other; but f sees its own cell, so this
    is no linear scan: on a CPU a compiled loop, elsewhere a loop over frames in torch. Without the paper's scaling of
    x_t at the start. Where D differs from N the highway reads W_x x_t instead of x_t.

    Args:
        input_size: features per frame, D.
        hidden_size: cells, N; 3 D N + 4 N weights, and D N more where D is not N.
        init: start of b_f: ``zero``, ``one`` or ``chrono``; b_r starts at 0.
        longest_lag: frames that ``chrono`` is to bridge.

    Raises:
        ValueError: a size is below 1, or `init` is not one of the three.
    """

    def __init__(
        self, input_size: int, hidden_size: int = 320, init: Init = "one", longest_lag: int | None = None
    ) -> None:
        super().__init__(input_size, hidden_size)
        parts = 3 if input_size == hidden_size else 4
        self.linear = nn.Linear(input_size, parts * hidden_size, bias=False)
        self.bias = nn.Parameter(torch.empty(2, hidden_size))  # of f and r
        self.weight_c = nn.Parameter(torch.empty(2, hidden_size).uniform_(-1, 1))  # v_f and v_r
        start_bias(self.bias, slice(1), init, longest_lag)

    def initial(self, lines: int, like: Tensor) -> State:
        """Return c = 0."""
        return (like.new_zeros(lines, self.num_features),)

    def _project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return W x, what x brings to f and to r, and the highway, (..., N), at least float32."""
        z, f, r, *highway = exact(self.linear(x)).chunk(self.linear.out_features // self.num_features, -1)
        return z, f + self.bias[0], r + self.bias[1], highway[0] if highway else exact(x)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Read one frame, as :meth:`Cell.step`."""
        z, f, r, highway = self._project(x)
        (before,) = state
        f = (f + self.weight_c[0] * before).sigmoid()
        r = (r + self.weight_c[1] * before).sigmoid()
        c = f * before + (1 - f) * z
        return r * c + (1 - r) * highway, (c,)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Read a sequence, as :meth:`Cell.forward`."""
        output, states, _ = self._read(x, state)
        return output, (states[-1],)

    def _read(self, x: Tensor, state: State | None) -> tuple[Tensor, Tensor, Tensor]:
        """Return outputs (T, B, N), c before the first frame and after each (T + 1, B, N), and r (T, B, N)."""
        z, f, r, highway = self._project(x)
        start = (state or self.initial(x.shape[1], x))[0].to(z.dtype)
        states = torch.cat([start[None], _recurrence(z, f, self.weight_c[0].to(z.dtype), start)])
        r = (r + self.weight_c[1] * states[:-1]).sigmoid()
        return r * states[1:] + (1 - r) * highway, states, r

    def activity(self, x: Tensor) -> dict[str, Tensor]:
        """Return "forget gate", "reset gate", "cell state" and "output", each (T, B, N)."""
        output, states, r = self._read(x, None)
        f = (self._project(x)[1] + self.weight_c[0] * states[:-1]).sigmoid()
        return {"forget gate": f, "reset gate": r, "cell state": states[1:], "output": output}


def _recurrence(z: Tensor, u: Tensor, v: Tensor, start: Tensor) -> Tensor:
    """Return all c_t = z_t + sigmoid(u_t + v c_{t-1}) (c_{t-1} - z_t), (T, B, N)."""
    if z.device.type == "cpu" and not is_traced():
        states: Tensor = _Recurrence.apply(z, u, v, start)
        return states
    c, rows = start, []
    for value, total in zip(z, u, strict=True):
        c = value + (total + v * c).sigmoid() * (c - value)
        rows.append(c)
    return torch.stack(rows) if rows else torch.empty_like(z)


class _Recurrence(torch.autograd.Function):
    """The recurrence, compiled; backward, with g_t = dL/dc_t in all and s_t = g_t (c_{t-1} - z_t) f_t (1 - f_t):

    dz_t = g_t (1 - f_t);    du_t = s_t;    dv = sum of s_t c_{t-1};    g_{t-1} = dc_{t-1} + g_t f_t + s_t v
    """

    @staticmethod
    def forward(ctx: Any, z: Tensor, u: Tensor, v: Tensor, start: Tensor) -> Tensor:
        z, u, v, start = (x.detach().contiguous() for x in (z, u, v, start))
        c, f = torch.empty_like(z), torch.empty_like(z)
        _forward(z.numpy(), u.numpy(), v.numpy(), start.numpy(), c.numpy(), f.numpy())
        ctx.save_for_backward(z, v, start, c, f)
        return c

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dc: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        z, v, start, c, f = ctx.saved_tensors
        dz, du = torch.empty_like(z), torch.empty_like(z)
        dv, g = torch.zeros_like(v), torch.zeros_like(start)
        arrays = (x.numpy() for x in (z, v, start, c, f, dc.contiguous(), dz, du, dv, g))
        _backward(*arrays)
        return dz, du, dv, g


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _forward(z: np.ndarray, u: np.ndarray, v: np.ndarray, start: np.ndarray, c: np.ndarray, f: np.ndarray) -> None:
    """Fill c and f (T, B, N)."""
    one = z.dtype.type(1)
    for t in range(z.shape[0]):
        before = c[t - 1] if t else start
        for b in range(z.shape[1]):
            for n in range(z.shape[2]):
                gate = one / (one + np.exp(-(u[t, b, n] + v[n] * before[b, n])))
                f[t, b, n] = gate
                c[t, b, n] = z[t, b, n] + gate * (before[b, n] - z[t, b, n])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _backward(
    z: np.ndarray,
    v: np.ndarray,
    start: np.ndarray,
    c: np.ndarray,
    f: np.ndarray,
    dc: np.ndarray,
    dz: np.ndarray,
    du: np.ndarray,
    dv: np.ndarray,
    g: np.ndarray,
) -> None:
    """Fill dz and du (T, B, N), dv (N,), and g (B, N), which ends as the gradient of the start."""
    one = z.dtype.type(1)
    for t in range(z.shape[0] - 1, -1, -1):
        before = c[t - 1] if t else start
        for b in range(z.shape[1]):
            for n in range(z.shape[2]):
                total, gate = g[b, n] + dc[t, b, n], f[t, b, n]
                slope = total * (before[b, n] - z[t, b, n]) * gate * (one - gate)
                dz[t, b, n] = total * (one - gate)
                du[t, b, n] = slope
                dv[n] += slope * before[b, n]
                g[b, n] = total * gate + slope * v[n]
