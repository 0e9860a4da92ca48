"""What the tests of all cells share: a cell with weights to its name, a sequence, and all that comes of reading it."""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from seqlab.cells.cell import Cell, State

D, N = 4, 6  # features and cells
C = TypeVar("C", bound=Cell)


def build(make: Callable[..., C]) -> C:
    torch.manual_seed(3)
    cell = make(D).double()
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return cell


def data(frames: int = 11, lines: int = 3) -> Tensor:
    return torch.randn(frames, lines, D, dtype=torch.float64, generator=torch.Generator().manual_seed(4))


def start(cell: Cell, x: Tensor) -> State:
    """A state in the middle of a line, as leaves of the graph."""
    state = cell(data(5, x.shape[1]) * 0.7)[1]
    return tuple(s.detach().requires_grad_() for s in state)


def results(cell: Cell, run: Callable[..., tuple[Tensor, State]], x: Tensor) -> list[Tensor]:
    """Outputs, last state, and the gradients of input, first state and weights for a loss that sees all of it."""
    x = x.clone().requires_grad_()
    first = start(cell, x)
    y, last = run(x, first)
    seen = [y, *last]
    generator = torch.Generator().manual_seed(5)
    loss = sum((s * torch.randn(s.shape, dtype=s.dtype, generator=generator)).sum() for s in seen)
    leaves = [x, *first, *cell.parameters()]
    gradients = torch.autograd.grad(loss, leaves, allow_unused=True)
    filled = [torch.zeros_like(p) if g is None else g for p, g in zip(leaves, gradients, strict=True)]
    return [s.detach() for s in seen] + filled
