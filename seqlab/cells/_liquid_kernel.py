"""The closed-form continuous-time cell, compiled."""

from typing import Any

import numpy as np

from seqlab.cells._math import add_product, cached, sigmoid_, stamp, tanh, tanh_

SCALE, STEEP = 1.7159, 2 / 3  # of LeCun's tanh


def stored(mark: int) -> Any:
    """Return both directions, compiled when first called and then kept on disk; see ``stamp``."""

    @cached
    def forward(pre: Any, u: Any, u_t: Any, v: Any, v_t: Any, p: Any, y: Any, c: Any, options: Any) -> Any:
        """See ``Kernel``; p are the biases of g, h and f, which are saved, mid the backbone."""
        _ = mark
        (frames, lines), n = pre.shape[:2], y.shape[2]
        one, scale, steep = pre.dtype.type(1), pre.dtype.type(SCALE), pre.dtype.type(STEEP)
        mid, saved = np.empty_like(pre), np.empty((frames, lines, 3 * n), pre.dtype)
        bias = p.ravel()
        for t in range(frames):
            add_product(pre[t], y[t], u, u_t)
            backbone, net = mid[t].ravel(), pre[t].ravel()
            for j in range(net.size):
                backbone[j] = scale * tanh(steep * net[j])
            for b in range(lines):
                s = saved[t, b]
                for j in range(s.size):
                    s[j] = bias[j]
            add_product(saved[t], mid[t], v, v_t)
            for b in range(lines):
                s, out = saved[t, b], y[t + 1, b]
                g, h, f = s[:n], s[n : 2 * n], s[2 * n :]
                tanh_(s[: 2 * n])
                sigmoid_(f)
                for j in range(n):
                    out[j] = (one - f[j]) * g[j] + f[j] * h[j]
        return saved, mid

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
        one, scale, steep = pre.dtype.type(1), pre.dtype.type(SCALE), pre.dtype.type(STEEP)
        d, d_heads, dp = np.zeros_like(pre), np.empty_like(saved), np.zeros_like(p)
        d_bias = dp.ravel()
        for t in range(frames - 1, -1, -1):
            for b in range(lines):
                s, ds, above = saved[t, b], d_heads[t, b], dy[t + 1, b]
                g, h, f = s[:n], s[n : 2 * n], s[2 * n :]
                dg, dh, df = ds[:n], ds[n : 2 * n], ds[2 * n :]
                for j in range(n):
                    dg[j] = above[j] * (one - f[j]) * (one - g[j] * g[j])
                for j in range(n):
                    dh[j] = above[j] * f[j] * (one - h[j] * h[j])
                for j in range(n):
                    df[j] = above[j] * (h[j] - g[j]) * (f[j] - f[j] * f[j])
                for j in range(3 * n):
                    d_bias[j] += ds[j]
            add_product(d[t], d_heads[t], v_t, v)
            slope, net = d[t].ravel(), pre[t].ravel()
            for j in range(slope.size):
                value = tanh(steep * net[j])
                slope[j] *= scale * steep * (one - value * value)
            add_product(dy[t], d[t], u_t, u)
        return d, d, d_heads, dp

    return forward, backward


forward, backward = stored(stamp(__file__))
