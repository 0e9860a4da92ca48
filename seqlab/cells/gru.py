"""Gated recurrent unit."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqlab.cells._sequence import Recurrence, Sequence, uniform
from seqlab.cells.cell import State
from seqlab.cells.initial import Init, start_gates
from seqlab.cells.products import linear


class GRU(Sequence):
    """Gated recurrent unit, 3 N (D + N + 1) + N weights.

    Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical machine translation", 2014,
    in torch's form: the reset gate acts on U y(t-1) + b', not on y(t-1), and z is what is kept:

        r, z = sigmoid(W x(t) + U y(t-1) + b), two parts
        n = tanh(W_n x(t) + b_n + r (U_n y(t-1) + b'));   y(t) = (1 - z) n + z y(t-1)

    Args:
        input_size: features per frame, D.
        hidden_size: units, N.
        init: how the update gate z starts, as a forget gate does in ``seqlab.cells.initial.start_gates``; `cec` is
            refused.
        longest_lag: the longest lag expected, in frames, for `init` chrono.
    """

    def __init__(
        self, input_size: int, hidden_size: int = 320, init: Init = "zero", longest_lag: int | None = None
    ) -> None:
        super().__init__(input_size, hidden_size)
        self.weight_ih = uniform(3 * hidden_size, input_size, size=hidden_size)
        self.weight_hh = uniform(3 * hidden_size, hidden_size, size=hidden_size)
        self.bias = nn.Parameter(torch.zeros(3 * hidden_size))
        self.bias_reset = nn.Parameter(torch.zeros(hidden_size))
        with torch.no_grad():
            start_gates(init, longest_lag, self.bias[hidden_size : 2 * hidden_size], None)

    def initial(self, lines: int, like: Tensor) -> State:
        """Return y = 0, (B, N)."""
        return (like.new_zeros(lines, self.num_features),)

    def gates(self, x: Tensor, state: State) -> tuple[dict[str, Tensor], State]:
        """Read one frame, see ``Sequence.gates``."""
        (y,) = state
        r, z, n = functional.linear(x, self.weight_ih, self.bias).chunk(3, 1)
        back_r, back_z, back_n = functional.linear(y, self.weight_hh).chunk(3, 1)
        r, z = (r + back_r).sigmoid(), (z + back_z).sigmoid()
        n = (n + r * (back_n + self.bias_reset)).tanh()
        y = (1 - z) * n + z * y
        return {"reset gate": r, "update gate": z, "candidate": n, "output": y}, (y,)

    def run(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Read a sequence, see ``Sequence.run``."""
        from seqlab.cells import _gru_kernel as kernel

        (y,) = state
        pre = linear(x, self.weight_ih, self.bias)
        none = y.new_empty(0, 0)
        y, _ = Recurrence.apply(kernel, (), pre, y, y.new_empty(len(y), 0), self.weight_hh, none, self.bias_reset[None])
        return y, (y[-1],)

    def fused(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Read a sequence, see ``Sequence.fused``."""
        inside = functional.pad(self.bias_reset, (2 * self.num_features, 0))
        weights = [self.weight_ih, self.weight_hh, self.bias, inside]
        y, last = torch.gru(x, state[0][None], weights, True, 1, 0.0, self.training, False, False)
        return y, (last[0],)
