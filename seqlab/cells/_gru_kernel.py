"""The gated recurrent unit, compiled."""

from typing import Any

import numpy as np

from seqlab.cells._math import add_product, cached, sigmoid_, stamp, tanh


def stored(mark: int) -> Any:
    """Return both directions, compiled when first called and then kept on disk; see ``stamp``."""

    @cached
    def forward(pre: Any, u: Any, u_t: Any, v: Any, v_t: Any, p: Any, y: Any, c: Any, options: Any) -> Any:
        """See ``Kernel``; p is the bias inside the reset, saved what the reset gate scales."""
        _ = mark
        (frames, lines), n = pre.shape[:2], y.shape[2]
        one = pre.dtype.type(1)
        product = np.empty((lines, 3 * n), pre.dtype)
        saved = np.empty((frames, lines, n), pre.dtype)
        for t in range(frames):
            product.fill(0)
            add_product(product, y[t], u, u_t)
            for b in range(lines):
                g, a, s, old, new = pre[t, b], product[b], saved[t, b], y[t, b], y[t + 1, b]
                gates, z, candidate = g[: 2 * n], g[n : 2 * n], g[2 * n :]
                for j in range(gates.size):
                    gates[j] += a[j]
                sigmoid_(gates)
                brought = a[2 * n :]
                for j in range(n):
                    s[j] = brought[j] + p[0, j]
                for j in range(n):
                    candidate[j] = tanh(candidate[j] + g[j] * s[j])
                for j in range(n):
                    new[j] = (one - z[j]) * candidate[j] + z[j] * old[j]
        return saved, np.empty((0, 0, 0), pre.dtype)

    @cached
    def backward(
        dy: Any,
        dc: Any,
        pre: Any,
        u: Any,
        u_t: Any,
        v: Any,
        v_t: Any,
        p: Any,
        y: Any,
        c: Any,
        saved: Any,
        options: Any,
    ) -> Any:
        """See ``Kernel``."""
        _ = mark
        (frames, lines), n = pre.shape[:2], y.shape[2]
        one = pre.dtype.type(1)
        d, d_product, dp = np.empty_like(pre), np.empty_like(pre), np.zeros_like(p)
        for t in range(frames - 1, -1, -1):
            for b in range(lines):
                g, s, old, above, below = pre[t, b], saved[t, b], y[t, b], dy[t + 1, b], dy[t, b]
                dg, da = d[t, b], d_product[t, b]
                z, candidate = g[n : 2 * n], g[2 * n :]
                dz, dn, dn_product, dp_row = dg[n : 2 * n], dg[2 * n :], da[2 * n :], dp[0]
                for j in range(n):
                    dn[j] = above[j] * (one - z[j]) * (one - candidate[j] * candidate[j])
                for j in range(n):
                    dz[j] = above[j] * (old[j] - candidate[j]) * (z[j] - z[j] * z[j])
                for j in range(n):
                    dg[j] = dn[j] * s[j] * (g[j] - g[j] * g[j])
                for j in range(2 * n):
                    da[j] = dg[j]
                for j in range(n):
                    dn_product[j] = dn[j] * g[j]
                for j in range(n):
                    dp_row[j] += dn_product[j]
                for j in range(n):
                    below[j] += above[j] * z[j]
            add_product(dy[t], d_product[t], u_t, u)
        return d, d_product, np.empty((0, 0, 0), pre.dtype), dp

    return forward, backward


forward, backward = stored(stamp(__file__))
