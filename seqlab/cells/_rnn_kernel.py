"""The ordinary recurrent net, compiled."""

from typing import Any, NamedTuple

import numpy as np

from seqlab.cells._math import add_product, cached, stamp, tanh


class Options(NamedTuple):
    """Choices of the kernel."""

    rectified: bool


def stored(mark: int) -> Any:
    """Return both directions, compiled when first called and then kept on disk; see ``stamp``."""

    @cached
    def forward(pre: Any, u: Any, u_t: Any, v: Any, v_t: Any, p: Any, y: Any, c: Any, options: Options) -> Any:
        """See ``Kernel``."""
        _ = mark
        zero, none = pre.dtype.type(0), np.empty((0, 0, 0), pre.dtype)
        for t in range(pre.shape[0]):
            add_product(pre[t], y[t], u, u_t)
            flat, net = y[t + 1].ravel(), pre[t].ravel()
            if options.rectified:
                for j in range(flat.size):
                    flat[j] = zero if net[j] < zero else net[j]
            else:
                for j in range(flat.size):
                    flat[j] = tanh(net[j])
        return none, none

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
        options: Options,
    ) -> Any:
        """See ``Kernel``."""
        _ = mark
        one, zero = y.dtype.type(1), y.dtype.type(0)
        none = np.empty((0, 0, 0), y.dtype)
        d = np.empty_like(pre)
        for t in range(pre.shape[0] - 1, -1, -1):
            slope, value, above = d[t].ravel(), y[t + 1].ravel(), dy[t + 1].ravel()
            if options.rectified:
                for j in range(slope.size):
                    slope[j] = above[j] if value[j] > zero else zero
            else:
                for j in range(slope.size):
                    slope[j] = above[j] * (one - value[j] * value[j])
            add_product(dy[t], d[t], u_t, u)
        return d, d, none, np.empty((0, 0), y.dtype)

    return forward, backward


forward, backward = stored(stamp(__file__))
