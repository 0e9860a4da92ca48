"""sLSTM: exponential gates with a stabiliser, and memory that mixes within heads (Beck et al. 2024)."""

import math
from typing import Any, Literal

import numba
import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from seqlab.cells._scan import exact, is_traced
from seqlab.cells.cell import Cell, State


class SLSTM(Cell):
    """Scalar LSTM: Beck et al. 2024, "xLSTM", equations 8 to 17.

        z_t = tanh(z~_t);    o_t = sigmoid(o~_t);    each a~_t = W_a x_t + R_a h_{t-1} + b_a
        m_t = max(log f_t + m_{t-1}, i~_t);    f_t = sigmoid(f~_t) or exp(f~_t)
        i'_t = exp(i~_t - m_t);    f'_t = exp(log f_t + m_{t-1} - m_t)
        c_t = f'_t c_{t-1} + i'_t z_t;    n_t = f'_t n_{t-1} + i'_t;    h_t = o_t c_t / n_t

    R is block-diagonal: a head's cells see that head's h alone. Before the first frame m = -infinity, so m_0 = i~_0 and
    every n is 1 or more. m cancels out of h and takes no gradient. On a CPU one compiled step for all cells, and the
    backward pass by hand; elsewhere a loop in torch.

    Args:
        input_size: features per frame, D.
        hidden_size: cells, N; 4 N (D + N / K + 1) weights.
        num_heads: heads, K, which divide N.
        forget: the function of the forget gate.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int = 320,
        num_heads: int = 4,
        forget: Literal["sigmoid", "exp"] = "sigmoid",
    ) -> None:
        super().__init__(input_size, hidden_size)
        if num_heads < 1 or hidden_size % num_heads:
            raise ValueError(f"num_heads must divide hidden_size = {hidden_size}, got {num_heads}")
        if forget not in ("sigmoid", "exp"):
            raise ValueError(f"forget must be sigmoid or exp, got {forget!r}")
        size = hidden_size // num_heads
        self.num_heads, self.forget = num_heads, forget
        self.linear = nn.Linear(input_size, 4 * hidden_size)  # rows by head, in each z, i, f, o
        self.weight_hh = nn.Parameter(torch.empty(num_heads, size, 4 * size).uniform_(-(size**-0.5), size**-0.5))
        self._set_biases()

    @torch.no_grad()
    def _set_biases(self) -> None:
        """Start b_f evenly spread from 3 to 6 over a head's cells, so that they forget at many paces; the rest at 0."""
        bias = self.linear.bias.view(self.num_heads, 4, -1)
        bias.zero_()
        bias[:, 2] = torch.linspace(3, 6, bias.shape[2])

    def initial(self, lines: int, like: Tensor) -> State:
        """Return h = 0, c = 0, n = 0 and m = -infinity, each (B, N)."""
        zeros = like.new_zeros(lines, self.num_features)
        return zeros, zeros, zeros, torch.full_like(zeros, -math.inf)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Read one frame, as :meth:`Cell.step`."""
        state = self._step(exact(self.linear(x)), state)[:4]
        return state[0], state

    def _step(self, total: Tensor, state: State) -> tuple[Tensor, ...]:
        """Return h, c, n, m, and i', f', o, of what x brings to the gates, (B, 4 N)."""
        h, c, n, m_before = (s.unflatten(1, (self.num_heads, -1)) for s in state)  # (B, K, d)
        mixed = exact(torch.einsum("bkd,kde->bke", h.to(self.weight_hh.dtype), self.weight_hh))
        z, i, f, o = (total.unflatten(1, mixed.shape[1:]) + mixed).chunk(4, 2)
        log_f = functional.logsigmoid(f) if self.forget == "sigmoid" else f
        m_before = m_before.detach()
        m = torch.maximum(log_f + m_before, i).detach()
        i, f, o = (i - m).exp(), (log_f + m_before - m).exp(), o.sigmoid()
        c = f * c + i * z.tanh()
        n = f * n + i
        return tuple(part.flatten(1) for part in (o * c / n, c, n, m, i, f, o))

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Read a sequence, as :meth:`Cell.forward`."""
        if state is None:
            state = self.initial(x.shape[1], x)
        if not len(x):
            return x.new_zeros(0, x.shape[1], self.num_features), state
        total = exact(self.linear(x))
        if x.device.type == "cpu" and not is_traced():
            state = tuple(s.to(total.dtype) for s in state)
            output, *after = _Recurrence.apply(total, self.weight_hh, *state, self.forget == "exp")
            return output, (output[-1], *after)
        outputs = []
        for frame in total:
            state = self._step(frame, state)[:4]
            outputs.append(state[0])
        return torch.stack(outputs), state

    def activity(self, x: Tensor) -> dict[str, Tensor]:
        """Return the gates as stabilised (i', f'), o, c, n, m and the output, each (T, B, N)."""
        parts: tuple[Tensor, ...] = self.initial(x.shape[1], x)
        rows = []
        for frame in exact(self.linear(x)):
            parts = self._step(frame, parts[:4])
            rows.append(parts)
        h, c, n, m, i, f, o = (torch.stack(part) for part in zip(*rows, strict=True))
        return {
            "input gate": i,
            "forget gate": f,
            "output gate": o,
            "cell state": c,
            "normaliser": n,
            "stabiliser": m,
            "output": h,
        }


class _Recurrence(torch.autograd.Function):
    """The loop over frames: one product of h with R for each, and one compiled pass over all cells."""

    @staticmethod
    def forward(
        ctx: Any, total: Tensor, weight: Tensor, h: Tensor, c: Tensor, n: Tensor, m: Tensor, exponential: bool
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        heads, size = weight.shape[:2]
        frames, lines = total.shape[:2]
        total = total.detach().contiguous().view(frames, lines, heads, 4, size)
        states = total.new_empty(4, frames + 1, lines, heads, size)  # h, c, n, m
        for array, start in zip(states, (h, c, n, m), strict=True):
            array[0] = start.view(lines, heads, size)
        gates = total.new_empty(frames, lines, heads, 5, size)
        mixed = total.new_empty(heads, lines, 4 * size)
        arrays = (total.numpy(), mixed.numpy(), states.numpy(), gates.numpy())
        by_head = states[0].transpose(1, 2).unbind()  # (K, B, d) each
        weight = weight.detach().to(total.dtype)
        for t in range(frames):
            torch.bmm(by_head[t], weight, out=mixed)
            _forward(t, *arrays, exponential)
        ctx.save_for_backward(weight, states, gates)
        output, after = states[0, 1:].flatten(2), [array[-1].flatten(1).clone() for array in states[1:]]
        ctx.mark_non_differentiable(after[2])
        return output.clone(), after[0], after[1], after[2]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dh: Tensor, dc: Tensor, dn: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        weight, states, gates = ctx.saved_tensors
        frames, lines, heads, _, size = gates.shape
        dh = dh.contiguous().view(frames, lines, heads, size)
        back = dh.new_zeros(heads, lines, size)  # what reaches h from the frame after
        dc, dn = (g.reshape(lines, heads, size).clone() for g in (dc, dn))
        dtotal = dh.new_empty(frames, heads, lines, 4 * size)
        arrays = [g.numpy() for g in (dh, back, dc, dn, states, gates, dtotal)]
        turned = weight.transpose(1, 2)
        for t in range(frames - 1, -1, -1):
            _backward(t, *arrays)
            torch.bmm(dtotal[t], turned, out=back)
        before = states[0, :-1].permute(2, 3, 0, 1).reshape(heads, size, -1)
        dweight = before @ dtotal.transpose(0, 1).reshape(heads, -1, 4 * size)
        dx = dtotal.transpose(1, 2).reshape(frames, lines, -1)
        return dx, dweight, back.transpose(0, 1).flatten(1), dc.flatten(1), dn.flatten(1), None, None


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _forward(
    t: int, total: np.ndarray, mixed: np.ndarray, states: np.ndarray, gates: np.ndarray, exponential: bool
) -> None:
    """Step t: fill states[:, t + 1] and gates[t] (z, i', f', o, d log f / d f~)."""
    one = total.dtype.type(1)
    h, c, n, m = states[0], states[1], states[2], states[3]
    _, lines, heads, _, size = total.shape
    for b in range(lines):
        for k in range(heads):
            for j in range(size):
                z = np.tanh(total[t, b, k, 0, j] + mixed[k, b, j])
                i = total[t, b, k, 1, j] + mixed[k, b, size + j]
                f = total[t, b, k, 2, j] + mixed[k, b, 2 * size + j]
                o = one / (one + np.exp(-(total[t, b, k, 3, j] + mixed[k, b, 3 * size + j])))
                slope = one
                if not exponential:
                    small = np.exp(-abs(f))  # log sigmoid(f) = min(f, 0) - log(1 + exp(-|f|))
                    slope = small / (one + small) if f > 0 else one / (one + small)
                    f = min(f, one - one) - np.log1p(small)
                f += m[t, b, k, j]
                top = max(f, i)
                i, f = np.exp(i - top), np.exp(f - top)
                c[t + 1, b, k, j] = f * c[t, b, k, j] + i * z
                n[t + 1, b, k, j] = f * n[t, b, k, j] + i
                m[t + 1, b, k, j] = top
                h[t + 1, b, k, j] = o * c[t + 1, b, k, j] / n[t + 1, b, k, j]
                gates[t, b, k, 0, j] = z
                gates[t, b, k, 1, j] = i
                gates[t, b, k, 2, j] = f
                gates[t, b, k, 3, j] = o
                gates[t, b, k, 4, j] = slope


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _backward(
    t: int,
    dh: np.ndarray,
    back: np.ndarray,
    dc: np.ndarray,
    dn: np.ndarray,
    states: np.ndarray,
    gates: np.ndarray,
    dtotal: np.ndarray,
) -> None:
    """Step t: fill dtotal[t]; dc and dn (B, K, d) move from frame t to the one before."""
    one = dh.dtype.type(1)
    c, n = states[1], states[2]
    _, lines, heads, size = dh.shape
    for b in range(lines):
        for k in range(heads):
            for j in range(size):
                z, i, f = gates[t, b, k, 0, j], gates[t, b, k, 1, j], gates[t, b, k, 2, j]
                o, slope = gates[t, b, k, 3, j], gates[t, b, k, 4, j]
                g = (dh[t, b, k, j] + back[k, b, j]) / n[t + 1, b, k, j]
                ratio = c[t + 1, b, k, j] / n[t + 1, b, k, j]
                of_c = dc[b, k, j] + g * o
                of_n = dn[b, k, j] - g * o * ratio
                dtotal[t, k, b, j] = of_c * i * (one - z * z)
                dtotal[t, k, b, size + j] = (of_c * z + of_n) * i
                dtotal[t, k, b, 2 * size + j] = (of_c * c[t, b, k, j] + of_n * n[t, b, k, j]) * f * slope
                dtotal[t, k, b, 3 * size + j] = g * c[t + 1, b, k, j] * o * (one - o)
                dc[b, k, j] = of_c * f
                dn[b, k, j] = of_n * f
