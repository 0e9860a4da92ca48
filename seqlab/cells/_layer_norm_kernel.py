"""LSTM with layer normalisation, compiled."""

from typing import Any

import numpy as np
from numba import njit

from seqlab.cells._math import add_product, cached, cell_back, sigmoid_, stamp, tanh, tanh_

EPS = 1e-5  # torch's

# Sums may be taken in any order: that makes vectors of them.
_summing = njit(nogil=True, error_model="numpy", fastmath={"contract", "reassoc"})


@_summing
def _normalize(row: Any, hat: Any) -> Any:
    """Write a row with mean 0 and variance 1; returns 1 / its standard deviation."""
    size = row.dtype.type(row.size)
    mean, square = row.dtype.type(0), row.dtype.type(0)
    for j in range(row.size):
        mean += row[j]
    mean /= size
    for j in range(row.size):
        square += (row[j] - mean) * (row[j] - mean)
    rate = row.dtype.type(1) / np.sqrt(square / size + row.dtype.type(EPS))
    for j in range(row.size):
        hat[j] = (row[j] - mean) * rate
    return rate


@_summing
def _back(d: Any, hat: Any, rate: Any) -> None:
    """Turn the gradient of a normalised row into that of the row, in place."""
    size = d.dtype.type(d.size)
    mean, along = d.dtype.type(0), d.dtype.type(0)
    for j in range(d.size):
        mean += d[j]
        along += d[j] * hat[j]
    mean /= size
    along /= size
    for j in range(d.size):
        d[j] = (d[j] - mean - hat[j] * along) * rate


def stored(mark: int) -> Any:
    """Return both directions, compiled when first called and then kept on disk; see ``stamp``."""

    @cached
    def forward(pre: Any, u: Any, u_t: Any, v: Any, v_t: Any, p: Any, y: Any, c: Any, options: Any) -> Any:
        """See ``Kernel``.

        Rows of p: four of gain of the recurrent part, gain and bias of the cell. Saved: the normalised recurrent part,
        4 N, the normalised cell, N, and the rates of both.
        """
        _ = mark
        (frames, lines), n = pre.shape[:2], y.shape[2]
        product = np.empty((lines, 4 * n), pre.dtype)
        saved = np.empty((frames, lines, 5 * n + 2), pre.dtype)
        gain, gain_c, bias_c = p[:4].ravel(), p[4], p[5]
        for t in range(frames):
            product.fill(0)
            add_product(product, y[t], u, u_t)
            for b in range(lines):
                g, s, old, new, out = pre[t, b], saved[t, b], c[t, b], c[t + 1, b], y[t + 1, b]
                hat, hat_c = s[: 4 * n], s[4 * n : 5 * n]
                i, f, z, o = g[:n], g[n : 2 * n], g[2 * n : 3 * n], g[3 * n :]
                s[5 * n] = _normalize(product[b], hat)
                for j in range(4 * n):
                    g[j] += gain[j] * hat[j]
                sigmoid_(g[: 2 * n])
                tanh_(z)
                sigmoid_(o)
                for j in range(n):
                    new[j] = f[j] * old[j] + i[j] * z[j]
                s[5 * n + 1] = _normalize(new, hat_c)
                for j in range(n):
                    out[j] = tanh(gain_c[j] * hat_c[j] + bias_c[j])
                for j in range(n):
                    out[j] *= o[j]
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
        gain, gain_c, bias_c = p[:4].ravel(), p[4], p[5]
        d_gain, d_gain_c, d_bias_c = dp[:4].ravel(), dp[4], dp[5]
        h, dh = np.empty(n, pre.dtype), np.empty(n, pre.dtype)
        for t in range(frames - 1, -1, -1):
            for b in range(lines):
                g, s, old, e, above = pre[t, b], saved[t, b], c[t, b], dc[b], dy[t + 1, b]
                hat, hat_c = s[: 4 * n], s[4 * n : 5 * n]
                i, f, z, o = g[:n], g[n : 2 * n], g[2 * n : 3 * n], g[3 * n :]
                dg, da = d[t, b], d_product[t, b]
                di, df, dz, do = dg[:n], dg[n : 2 * n], dg[2 * n : 3 * n], dg[3 * n :]
                for j in range(n):
                    h[j] = tanh(gain_c[j] * hat_c[j] + bias_c[j])
                for j in range(n):
                    do[j] = above[j] * h[j] * (o[j] - o[j] * o[j])
                for j in range(n):
                    dh[j] = above[j] * o[j] * (one - h[j] * h[j])
                for j in range(n):
                    d_gain_c[j] += dh[j] * hat_c[j]
                for j in range(n):
                    d_bias_c[j] += dh[j]
                    dh[j] *= gain_c[j]
                _back(dh, hat_c, s[5 * n + 1])
                for j in range(n):
                    e[j] += dh[j]
                cell_back(e, i, f, z, old, di, df, dz)
                for j in range(4 * n):
                    d_gain[j] += dg[j] * hat[j]
                for j in range(4 * n):
                    da[j] = dg[j] * gain[j]
                _back(da, hat, s[5 * n])
            add_product(dy[t], d_product[t], u_t, u)
        return d, d_product, np.empty((0, 0, 0), pre.dtype), dp

    return forward, backward


forward, backward = stored(stamp(__file__))
