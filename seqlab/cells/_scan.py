"""The linear recurrence c_t = a_t c_{t-1} + b_t that all scan cells share, with a backward pass by hand."""

from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from seqlab.cells.initial import Init, check, start_gates


def linear_scan(a: Tensor, b: Tensor, initial: Tensor) -> Tensor:
    """Return all c_t = a_t c_{t-1} + b_t, elementwise, with c_{-1} = `initial`.

    Nothing is divided, so an a of 0 (all is forgotten) is as good as any other. On a CPU the recurrence is a compiled
    loop over T; elsewhere, and while tracing, log2(T) passes of torch operations (Hillis and Steele 1986), which have
    run on CPUs alone so far: no GPU was at hand.

    Args:
        a: factors, (T, ...).
        b: what is added, (T, ...), as a.
        initial: state before the first frame, (...).

    Returns:
        States (T, ...), at least float32.
    """
    kind = torch.promote_types(torch.promote_types(a.dtype, initial.dtype), exact(b).dtype)
    a, b, initial = a.to(kind), b.to(kind), initial.to(kind)
    if is_traced():
        return _doubling(a, torch.cat([b[:1] + a[:1] * initial, b[1:]]))
    states: Tensor = _Scan.apply(a, b, initial)
    return states


def exact(x: Tensor) -> Tensor:
    """Return x in float32 if it is shorter: sums over many frames suffer in bfloat16."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


@torch.no_grad()
def start_bias(bias: Tensor | None, keep: slice, init: Init, longest_lag: int | None, sign: int = 1) -> None:
    """Set the biases of a cell in which one gate both keeps and lets in: all to 0, then those of that gate.

    Args:
        bias: all biases; None: there are none.
        keep: which are the gate's.
        init: ``zero``, ``one`` or ``chrono``, see :func:`seqlab.cells.initial.start_gates`.
        longest_lag: frames that ``chrono`` is to bridge.
        sign: -1 where the gate is the share that is let in, not the share that is kept.

    Raises:
        ValueError: `init` is none of these, or ``chrono`` without biases.
    """
    check(init, longest_lag)
    if bias is None:
        if init == "chrono":
            raise ValueError("init=chrono sets biases, but bias is false")
        return
    bias.zero_()
    start_gates(init, longest_lag, bias[keep], None)
    bias[keep] *= sign


def is_traced() -> bool:
    """Whether torch records operations (compile, export, jit), which compiled kernels would escape."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()


class _Scan(torch.autograd.Function):
    """With g_t = dL/dc_t in all: g_t = dc_t + a_{t+1} g_{t+1}; db_t = g_t; da_t = g_t c_{t-1}; dc_{-1} = a_0 g_0."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, initial: Tensor) -> Tensor:
        if a.device.type == "cpu":
            c = torch.empty_like(b, memory_format=torch.contiguous_format)
            _forward(_rows(a), _rows(b), _rows(initial[None])[0], _rows(c))
        else:
            c = _doubling(a, torch.cat([b[:1] + a[:1] * initial, b[1:]]))
        ctx.save_for_backward(a, c, initial)
        return c

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dc: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        a, c, initial = ctx.saved_tensors
        if not len(a):
            return torch.empty_like(a), torch.empty_like(a), torch.zeros_like(initial)
        if a.device.type == "cpu":
            g = torch.empty_like(c)
            da = torch.empty_like(c)
            _backward(_rows(a), _rows(c), _rows(initial[None])[0], _rows(dc), _rows(g), _rows(da))
        else:
            later = torch.cat([a[1:], torch.zeros_like(a[:1])])
            g = _doubling(later.flip(0), dc.flip(0)).flip(0)
            da = g * torch.cat([initial[None], c[:-1]])
        return da, g, a[0] * g[0]


def _rows(x: Tensor) -> np.ndarray:
    """Return (T, ...) as an array (T, N), the same memory where x is contiguous."""
    rows: np.ndarray = x.detach().contiguous().view(len(x), x[0].numel() if len(x) else 0).numpy()
    return rows


def _doubling(a: Tensor, b: Tensor) -> Tensor:
    """Run the recurrence from a state of 0: after each pass a frame knows twice as many frames before it."""
    reach = 1
    while reach < len(a):
        b = torch.cat([b[:reach], b[reach:] + a[reach:] * b[:-reach]])
        a = torch.cat([a[:reach], a[reach:] * a[:-reach]])
        reach *= 2
    return b


@numba.njit(cache=True, nogil=True)
def _forward(a: np.ndarray, b: np.ndarray, initial: np.ndarray, c: np.ndarray) -> None:
    """Fill c (T, N); rows are contiguous, so the inner loop becomes vector instructions."""
    before = initial
    for t in range(len(a)):
        for n in range(len(before)):
            c[t, n] = a[t, n] * before[n] + b[t, n]
        before = c[t]


@numba.njit(cache=True, nogil=True)
def _backward(a: np.ndarray, c: np.ndarray, initial: np.ndarray, dc: np.ndarray, g: np.ndarray, da: np.ndarray) -> None:
    """Fill g and da (T, N), from the last frame to the first."""
    last = len(a) - 1
    for t in range(last, -1, -1):
        before = c[t - 1] if t else initial
        if t == last:
            for n in range(len(before)):
                g[t, n] = dc[t, n]
        else:
            for n in range(len(before)):
                g[t, n] = dc[t, n] + a[t + 1, n] * g[t + 1, n]
        for n in range(len(before)):
            da[t, n] = g[t, n] * before[n]
