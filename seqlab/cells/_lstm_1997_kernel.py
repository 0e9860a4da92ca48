"""LSTM of 1997, compiled: blocks of cells that share gates."""

from typing import Any, NamedTuple

import numpy as np

from seqlab.cells._math import add_product, cached, sigmoid, sigmoid_, stamp, tanh


class Options(NamedTuple):
    """Choices of the kernel: cells of a block, and the switches of the cell."""

    size: int
    forget_gate: bool
    output_gate: bool
    symmetric_input: bool
    symmetric_output: bool
    truncated: bool


def stored(mark: int) -> Any:
    """Return both directions, compiled when first called and then kept on disk; see ``stamp``."""

    @cached
    def forward(pre: Any, u: Any, u_t: Any, v: Any, v_t: Any, p: Any, y: Any, c: Any, o: Options) -> Any:
        """See ``Kernel``; y holds the cells' outputs and, where they feed back, the gates."""
        _ = mark
        (frames, lines), n = pre.shape[:2], c.shape[2]
        one, two, half = pre.dtype.type(1), pre.dtype.type(2), pre.dtype.type(0.5)
        count = n // o.size  # of blocks
        for t in range(frames):
            add_product(pre[t], y[t], u, u_t)
            for b in range(lines):
                g, old, new, out = pre[t, b], c[t, b], c[t + 1, b], y[t + 1, b]
                gates, z = g[: g.size - n], g[g.size - n :]
                sigmoid_(gates)
                for j in range(n):
                    z[j] = two * tanh(half * z[j]) if o.symmetric_input else sigmoid(z[j])
                for j in range(n):
                    block = j // o.size
                    f = gates[count + block] if o.forget_gate else one
                    new[j] = f * old[j] + gates[block] * z[j]
                    h = tanh(half * new[j]) if o.symmetric_output else new[j]
                    out[j] = h * gates[gates.size - count + block] if o.output_gate else h
                for k in range(out.size - n):
                    out[n + k] = gates[k]
        none = np.empty((0, 0, 0), pre.dtype)
        return none, none

    @cached
    def backward(
        dy: Any, dc: Any, pre: Any, u: Any, u_t: Any, v: Any, v_t: Any, p: Any, y: Any, c: Any, saved: Any, o: Options
    ) -> Any:
        """See ``Kernel``; truncated, no error goes back to y."""
        _ = mark
        (frames, lines), n = pre.shape[:2], c.shape[2]
        one, half, quarter = pre.dtype.type(1), pre.dtype.type(0.5), pre.dtype.type(0.25)
        count = n // o.size
        d = np.zeros_like(pre)
        for t in range(frames - 1, -1, -1):
            for b in range(lines):
                g, dg, old, new, e, above = pre[t, b], d[t, b], c[t, b], c[t + 1, b], dc[b], dy[t + 1, b]
                gates, z, d_gates, dz = g[: g.size - n], g[g.size - n :], dg[: g.size - n], dg[g.size - n :]
                for k in range(above.size - n):
                    d_gates[k] = above[n + k]
                for j in range(n):
                    block = j // o.size
                    h = tanh(half * new[j]) if o.symmetric_output else new[j]
                    dh = above[j]
                    if o.output_gate:
                        d_gates[gates.size - count + block] += above[j] * h
                        dh *= gates[gates.size - count + block]
                    e[j] += dh * (half - half * h * h) if o.symmetric_output else dh
                    d_gates[block] += e[j] * z[j]
                    slope = one - quarter * z[j] * z[j] if o.symmetric_input else z[j] - z[j] * z[j]
                    dz[j] = e[j] * gates[block] * slope
                    if o.forget_gate:
                        d_gates[count + block] += e[j] * old[j]
                        e[j] *= gates[count + block]
                for k in range(gates.size):
                    d_gates[k] *= gates[k] - gates[k] * gates[k]
            if not o.truncated:
                add_product(dy[t], d[t], u_t, u)
        return d, d, np.empty((0, 0, 0), pre.dtype), np.empty((0, 0), pre.dtype)

    return forward, backward


forward, backward = stored(stamp(__file__))
