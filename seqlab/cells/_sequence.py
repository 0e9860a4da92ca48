"""The bridge between torch and the compiled recurrences, and the base of the cells that use it."""

from typing import Any, Protocol

import torch
from torch import Tensor

from seqlab.cells.cell import Cell, State
from seqlab.cells.products import product

PIECE = 16384  # frames, times lines, per piece when no gradient is needed


class Kernel(Protocol):
    """A module with the two directions of one recurrence, compiled; its arrays are named in ``Recurrence.forward``."""

    @staticmethod
    def forward(pre: Any, u: Any, u_t: Any, v: Any, v_t: Any, p: Any, y: Any, c: Any, options: Any) -> tuple[Any, Any]:
        """Fill y and c from their first entry on, turn pre into gates; return saved (T, B, any) and mid (T, B, M)."""

    @staticmethod
    def backward(
        dy: Any, dc: Any, pre: Any, u: Any, u_t: Any, v: Any, v_t: Any, p: Any, y: Any, c: Any, saved: Any, options: Any
    ) -> tuple[Any, Any, Any, Any]:
        """Return the gradients of pre, y @ u, mid @ v and p; leave those of the first state in dy[0] and dc."""


class Recurrence(torch.autograd.Function):
    """One compiled recurrence, differentiable once."""

    @staticmethod
    def forward(
        ctx: Any,
        kernel: Kernel,
        options: Any,
        pre: Tensor,
        first_y: Tensor,
        first_c: Tensor,
        weight: Tensor,
        second: Tensor,
        extra: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Run all frames.

        Args:
            ctx: torch's.
            kernel: the recurrence.
            options: a tuple for the kernel.
            pre: what the input brings to the gates, (T, B, G); overwritten.
            first_y: what recurs, (B, R).
            first_c: what is carried besides, (B, N), N may be 0.
            weight: recurrent weights u, (G, R).
            second: weights v of a second product within a frame, (Q, M), or (0, 0).
            extra: further parameters p, (K, N) or (0, N).

        Returns:
            y of every frame (T, B, R) and the last c.
        """
        frames, lines, _ = pre.shape
        pre = pre.contiguous()
        y = pre.new_empty(frames + 1, lines, first_y.shape[1])
        c = pre.new_empty(frames + 1, lines, first_c.shape[1])
        y[0], c[0] = first_y, first_c
        matrices = [m.contiguous() for m in (weight.t(), weight, second.t(), second, extra)]
        arrays: list[Any] = [a.numpy() for a in (pre, *matrices, y, c)]
        saved, mid = kernel.forward(*arrays, options)  # type: ignore[call-arg]
        ctx.kernel, ctx.options = kernel, options
        ctx.save_for_backward(pre, weight, second, extra, y, c, torch.from_numpy(saved), torch.from_numpy(mid))
        return y[1:], c[-1].clone()

    @staticmethod
    def backward(ctx: Any, grad_y: Tensor, grad_c: Tensor) -> tuple[Tensor | None, ...]:
        """Run all frames backwards; the gradients of weights are one product over all frames.

        Raises:
            RuntimeError: a graph of the gradient was asked for (create_graph=True).
        """
        if torch.is_grad_enabled():
            raise RuntimeError("a compiled cell has no second derivative; run it by Cell.forward(cell, x, state)")
        pre, weight, second, extra, y, c, saved, mid = ctx.saved_tensors
        dy = torch.empty_like(y)
        dy[0], dy[1:] = 0, grad_y
        dc = grad_c.clone(memory_format=torch.contiguous_format)
        matrices = [m.contiguous() for m in (weight.t(), weight, second.t(), second, extra)]
        arrays = [a.numpy() for a in (dy, dc, pre, *matrices, y, c, saved)]
        d_pre, d_product, d_second, d_extra = (torch.from_numpy(a) for a in ctx.kernel.backward(*arrays, ctx.options))
        return (
            *(None, None, d_pre, dy[0], dc),
            product(d_product.flatten(0, 1).t(), y[:-1].flatten(0, 1).t()),
            product(d_second.flatten(0, 1).t(), mid.flatten(0, 1).t()) if second.numel() else None,
            d_extra if extra.numel() else None,
        )


class Sequence(Cell):
    """A cell whose sequence form is compiled; a subclass says ``gates`` and ``run``.

    Where compiled code cannot go (a GPU, tracing for export, other types than float32 and float64) the step is repeated
    or ``fused`` taken. Under autocast all is computed in the type of the weights.
    """

    def gates(self, x: Tensor, state: State) -> tuple[dict[str, Tensor], State]:
        """Read one frame (B, D): the paper's equations. Returns all that goes on by name, and the state after it."""
        raise NotImplementedError

    def run(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Read a sequence (T, B, D), T > 0, in compiled code."""
        raise NotImplementedError

    def fused(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Read a sequence (T, B, D), T > 0, in torch's own kernel for this cell; without one, step by step."""
        return super().forward(x, state)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Read one frame, see ``Cell.step``."""
        names, state = self.gates(x, state)
        return names["output"], state

    def activity(self, x: Tensor) -> dict[str, Tensor]:
        """Return gates and states over a sequence, see ``Cell.activity``."""
        state = self.initial(x.shape[1], x)
        frames = []
        for frame in x:
            names, state = self.gates(frame, state)
            frames.append(names)
        return {name: torch.stack([names[name] for names in frames]) for name in (frames[0] if frames else ())}

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Read a sequence, see ``Cell.forward``.

        Without gradients a long recording runs in pieces that hand their states on: the gates of all frames at once
        would need many times its memory.
        """
        dtype = next(self.parameters()).dtype
        with torch.autocast(x.device.type, enabled=False):
            x = x.to(dtype)
            if state is None:
                state = self.initial(x.shape[1], x)
            state = tuple(part.to(dtype) for part in state)
            traced = torch.jit.is_tracing() or torch.compiler.is_compiling()
            if traced or not x.numel() or x.device.type != "cpu" or dtype not in (torch.float32, torch.float64):
                return super().forward(x, state) if traced or not x.numel() else self.fused(x, state)
            if torch.is_grad_enabled():
                return self.run(x, state)
            outputs = []
            for piece in x.split(max(PIECE // x.shape[1], 1)):
                y, state = self.run(piece, state)
                outputs.append(y)
            return torch.cat(outputs) if len(outputs) > 1 else outputs[0], state


def uniform(*shape: int, size: int) -> torch.nn.Parameter:
    """Return weights of a shape, uniform within +-1 / sqrt(size), as torch's recurrent layers start."""
    return torch.nn.Parameter(torch.empty(*shape).uniform_(-(size**-0.5), size**-0.5))
