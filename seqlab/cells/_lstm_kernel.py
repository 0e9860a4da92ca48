"""The LSTM of 2000 and its variants, compiled: peepholes, coupled or missing gates, a projection.

Loops write one row each and read few: LLVM makes vectors of a loop only if it can test in advance that the rows do not
overlap, and gives up where there are many.
"""

from typing import Any, NamedTuple

import numpy as np

from seqlab.cells._math import add_product, cached, compiled, sigmoid_, stamp, tanh, tanh_


class Options(NamedTuple):
    """Choices of the kernel: where each gate begins among the G columns (-1: there is no such gate), and the rest."""

    input_: int
    forget: int
    cell: int
    output: int
    coupled: bool
    squash_input: bool
    squash_output: bool


@compiled
def _peep(gate: Any, weight: Any, cell: Any) -> None:
    """Add what a gate sees of the cells."""
    for j in range(gate.size):
        gate[j] += weight[j] * cell[j]


@compiled
def _slope(d: Any, above: Any, factor: Any, gate: Any) -> None:
    """Compute the gradient of a gate before its logistic function: above * factor * gate'."""
    for j in range(d.size):
        d[j] = above[j] * factor[j] * (gate[j] - gate[j] * gate[j])


def stored(mark: int) -> Any:
    """Return both directions, compiled when first called and then kept on disk; see ``stamp``."""

    @cached
    def forward(pre: Any, u: Any, u_t: Any, v: Any, v_t: Any, p: Any, y: Any, c: Any, o: Options) -> Any:
        """See ``Kernel``; p are the peepholes of input, forget and output gate, mid the outputs before projection."""
        _ = mark
        (frames, lines), n = pre.shape[:2], c.shape[2]
        one, peeps, projected = pre.dtype.type(1), p.shape[0] > 0, v.size > 0
        mid = np.empty((frames if projected else 0, lines, n), pre.dtype)
        ones, rest = np.ones(n, pre.dtype), np.empty(n, pre.dtype)
        for t in range(frames):
            add_product(pre[t], y[t], u, u_t)
            for b in range(lines):
                g, old, new = pre[t, b], c[t, b], c[t + 1, b]
                z, i, f = g[o.cell : o.cell + n], ones, ones
                if o.squash_input:
                    tanh_(z)
                if o.input_ >= 0:
                    i = g[o.input_ : o.input_ + n]
                    if peeps:
                        _peep(i, p[0], old)
                    sigmoid_(i)
                if o.coupled:
                    f = rest
                    for j in range(n):
                        f[j] = one - i[j]
                elif o.forget >= 0:
                    f = g[o.forget : o.forget + n]
                    if peeps:
                        _peep(f, p[1], old)
                    sigmoid_(f)
                for j in range(n):
                    new[j] = f[j] * old[j] + i[j] * z[j]
                out = mid[t, b] if projected else y[t + 1, b]
                for j in range(n):
                    out[j] = tanh(new[j]) if o.squash_output else new[j]
                if o.output >= 0:
                    gate = g[o.output : o.output + n]
                    if peeps:
                        _peep(gate, p[2], new)
                    sigmoid_(gate)
                    for j in range(n):
                        out[j] *= gate[j]
            if projected:
                y[t + 1].fill(0)
                add_product(y[t + 1], mid[t], v, v_t)
        return np.empty((0, 0, 0), pre.dtype), mid

    @cached
    def backward(
        dy: Any, dc: Any, pre: Any, u: Any, u_t: Any, v: Any, v_t: Any, p: Any, y: Any, c: Any, saved: Any, o: Options
    ) -> Any:
        """See ``Kernel``."""
        _ = mark
        (frames, lines), n = pre.shape[:2], c.shape[2]
        one, peeps, projected = pre.dtype.type(1), p.shape[0] > 0, v.size > 0
        d, dp = np.empty_like(pre), np.zeros_like(p)
        ones, rest, h = np.ones(n, pre.dtype), np.empty(n, pre.dtype), np.empty(n, pre.dtype)
        d_mid = np.empty((lines if projected else 0, n), pre.dtype)
        for t in range(frames - 1, -1, -1):
            if projected:
                d_mid.fill(0)
                add_product(d_mid, dy[t + 1], v_t, v)
            for b in range(lines):
                g, dg, old, new, e = pre[t, b], d[t, b], c[t, b], c[t + 1, b], dc[b]
                above = d_mid[b] if projected else dy[t + 1, b]
                z, dz = g[o.cell : o.cell + n], dg[o.cell : o.cell + n]
                i = g[o.input_ : o.input_ + n] if o.input_ >= 0 else ones
                gate = g[o.output : o.output + n] if o.output >= 0 else ones
                for j in range(n):
                    h[j] = tanh(new[j]) if o.squash_output else new[j]
                if o.output >= 0:
                    _slope(dg[o.output : o.output + n], above, h, gate)
                for j in range(n):
                    e[j] += above[j] * gate[j] * (one - h[j] * h[j] if o.squash_output else one)
                if o.output >= 0 and peeps:
                    _peep(e, p[2], dg[o.output : o.output + n])
                    _peep(dp[2], new, dg[o.output : o.output + n])
                for j in range(n):
                    dz[j] = e[j] * i[j] * (one - z[j] * z[j] if o.squash_input else one)
                f = ones
                if o.coupled:
                    for j in range(n):
                        rest[j] = z[j] - old[j]
                    _slope(dg[o.input_ : o.input_ + n], e, rest, i)
                    f = rest
                    for j in range(n):
                        f[j] = one - i[j]
                elif o.input_ >= 0:
                    _slope(dg[o.input_ : o.input_ + n], e, z, i)
                if o.forget >= 0:
                    f = g[o.forget : o.forget + n]
                    _slope(dg[o.forget : o.forget + n], e, old, f)
                for j in range(n):
                    e[j] *= f[j]
                if o.input_ >= 0 and peeps:
                    _peep(e, p[0], dg[o.input_ : o.input_ + n])
                    _peep(dp[0], old, dg[o.input_ : o.input_ + n])
                if o.forget >= 0 and peeps:
                    _peep(e, p[1], dg[o.forget : o.forget + n])
                    _peep(dp[1], old, dg[o.forget : o.forget + n])
            add_product(dy[t], d[t], u_t, u)
        return d, d, dy[1:] if projected else np.empty((0, 0, 0), pre.dtype), dp

    return forward, backward


forward, backward = stored(stamp(__file__))
