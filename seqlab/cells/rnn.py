"""The ordinary recurrent net (Elman 1990), and its rectified form that starts as the identity."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqlab.cells._sequence import Recurrence, Sequence, uniform
from seqlab.cells.cell import State
from seqlab.cells.products import linear


class RNN(Sequence):
    """Ordinary recurrent net: y(t) = f(W x(t) + U y(t-1) + b), N (D + N + 1) weights.

    Elman, "Finding structure in time", 1990. With rectified units, U = identity, W from N(0, 0.001^2) and b = 0 it is
    the IRNN of Le, Jaitly and Hinton, "A simple way to initialize recurrent networks of rectified linear units", 2015.

    Args:
        input_size: features per frame, D.
        hidden_size: units, N.
        nonlinearity: f.
        identity: start as the IRNN does; else uniform within +-1 / sqrt(N).
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int = 320,
        nonlinearity: Literal["tanh", "relu"] = "tanh",
        identity: bool = False,
    ) -> None:
        super().__init__(input_size, hidden_size)
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"nonlinearity must be tanh or relu, got {nonlinearity!r}")
        self.nonlinearity = nonlinearity
        self.weight_ih = uniform(hidden_size, input_size, size=hidden_size)
        self.weight_hh = uniform(hidden_size, hidden_size, size=hidden_size)
        self.bias = nn.Parameter(torch.zeros(hidden_size))
        if identity:
            nn.init.normal_(self.weight_ih, std=1e-3)
            nn.init.eye_(self.weight_hh)

    def initial(self, lines: int, like: Tensor) -> State:
        """Return y = 0, (B, N)."""
        return (like.new_zeros(lines, self.num_features),)

    def gates(self, x: Tensor, state: State) -> tuple[dict[str, Tensor], State]:
        """Read one frame, see ``Sequence.gates``."""
        net = functional.linear(x, self.weight_ih, self.bias) + functional.linear(state[0], self.weight_hh)
        y = net.tanh() if self.nonlinearity == "tanh" else net.relu()
        return {"output": y}, (y,)

    def run(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Read a sequence, see ``Sequence.run``."""
        from seqlab.cells import _rnn_kernel as kernel

        (y,) = state
        none = y.new_empty(0, 0)
        pre = linear(x, self.weight_ih, self.bias)
        options = kernel.Options(self.nonlinearity == "relu")
        y, _ = Recurrence.apply(kernel, options, pre, y, y.new_empty(len(y), 0), self.weight_hh, none, none)
        return y, (y[-1],)

    def fused(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Read a sequence, see ``Sequence.fused``."""
        run = torch.rnn_tanh if self.nonlinearity == "tanh" else torch.rnn_relu
        weights = [self.weight_ih, self.weight_hh, self.bias, torch.zeros_like(self.bias)]
        y, last = run(x, state[0][None], weights, True, 1, 0.0, self.training, False, False)
        return y, (last[0],)
