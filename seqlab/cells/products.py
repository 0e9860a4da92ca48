"""Products of all frames at once.

torch takes MKL for float32 products on a CPU. oneDNN, which it carries too, is quicker on processors where MKL does not
use all of AVX-512 (AMD's): a training step of the peephole cell then takes 1.5 times as long as nn.LSTM
(scripts/bench/cells.py).
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

LARGE = 1 << 22  # multiplications from which the choice matters
HAS_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def product(a: Tensor, b_t: Tensor) -> Tensor:
    """Return a @ b_t.T of a (M, K) and b_t (N, K), without a gradient."""
    quick = HAS_ONEDNN and a.device.type == "cpu" and a.dtype == torch.float32
    if quick and a.shape[0] * b_t.numel() >= LARGE:
        result: Tensor = torch.ops.mkldnn._linear_pointwise(a, b_t, None, "none", [], "")
        return result
    return a @ b_t.t()


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return product(x.flatten(0, -2), weight).unflatten(0, x.shape[:-1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        if torch.is_grad_enabled():
            raise RuntimeError("a compiled cell has no second derivative; run it by Cell.forward(cell, x, state)")
        x, weight = ctx.saved_tensors
        grad = grad.flatten(0, -2)
        dx = product(grad, weight.t()).unflatten(0, x.shape[:-1]) if ctx.needs_input_grad[0] else None
        dw = product(grad.t(), x.flatten(0, -2).t()) if ctx.needs_input_grad[1] else None
        return dx, dw


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return functional.linear(x, weight, bias) of a sequence, by the quicker library; differentiable once if large."""
    if x.numel() * len(weight) < LARGE or x.device.type != "cpu":
        return functional.linear(x, weight, bias)
    y: Tensor = _Linear.apply(x, weight)
    return y if bias is None else y + bias
