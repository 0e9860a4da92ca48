"""LSTM with layer normalisation."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqlab.cells._sequence import Recurrence, Sequence, uniform
from seqlab.cells.cell import State
from seqlab.cells.initial import Init, start_gates
from seqlab.cells.products import linear


class LayerNormLSTM(Sequence):
    """LSTM whose gates and cells are normalised in every frame, 4 N (D + N + 1) + 18 N weights.

    Ba, Kiros and Hinton, "Layer normalization", 2016, supplement. LN brings a vector to mean 0 and variance 1 and then
    scales and shifts each entry; the four parts of a gate vector are normalised together:

        i, f, o = sigmoid(LN(W x(t)) + LN(U y(t-1)) + b), three parts;   z = tanh(the fourth)
        c(t) = f c(t-1) + i z;   y(t) = o tanh(LN(c(t)))

    Args:
        input_size: features per frame, D.
        hidden_size: cells, N, at least 2.
        init: how the gates start, see ``seqlab.cells.initial.start_gates``; normalised, they are not held as exactly
            as in other cells.
        longest_lag: the longest lag expected, in frames, for `init` chrono.

    Raises:
        ValueError: a single cell has no variance.
    """

    def __init__(
        self, input_size: int, hidden_size: int = 320, init: Init = "one", longest_lag: int | None = None
    ) -> None:
        super().__init__(input_size, hidden_size)
        if hidden_size < 2:
            raise ValueError(f"hidden_size must be 2 or more to be normalised, got {hidden_size}")
        self.weight_ih = uniform(4 * hidden_size, input_size, size=hidden_size)
        self.weight_hh = uniform(4 * hidden_size, hidden_size, size=hidden_size)
        self.bias = nn.Parameter(torch.zeros(4 * hidden_size))
        self.norm_ih = nn.LayerNorm(4 * hidden_size)
        self.norm_hh = nn.LayerNorm(4 * hidden_size)
        self.norm_cell = nn.LayerNorm(hidden_size)
        with torch.no_grad():
            rows = slice(hidden_size, 2 * hidden_size)
            weights = (self.weight_ih[rows], self.weight_hh[rows])
            start_gates(init, longest_lag, self.bias[rows], self.bias[:hidden_size], weights)

    def initial(self, lines: int, like: Tensor) -> State:
        """Return y = 0 and c = 0, (B, N)."""
        zero = like.new_zeros(lines, self.num_features)
        return zero, zero

    def _from_input(self, product: Tensor) -> Tensor:
        return self.norm_ih(product) + self.bias

    def gates(self, x: Tensor, state: State) -> tuple[dict[str, Tensor], State]:
        """Read one frame, see ``Sequence.gates``."""
        y, c = state
        net = self._from_input(functional.linear(x, self.weight_ih)) + self.norm_hh(
            functional.linear(y, self.weight_hh)
        )
        i, f, z, o = net.chunk(4, 1)
        i, f, z, o = i.sigmoid(), f.sigmoid(), z.tanh(), o.sigmoid()
        c = f * c + i * z
        y = o * self.norm_cell(c).tanh()
        return {
            "input gate": i,
            "forget gate": f,
            "cell input": z,
            "cell state": c,
            "output gate": o,
            "output": y,
        }, (y, c)

    def run(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Read a sequence, see ``Sequence.run``."""
        from seqlab.cells import _layer_norm_kernel as kernel

        pre = self._from_input(linear(x, self.weight_ih)) + self.norm_hh.bias
        gains = self.norm_hh.weight.view(4, -1)
        extra = torch.cat([gains, self.norm_cell.weight[None], self.norm_cell.bias[None]])
        y, c = Recurrence.apply(kernel, (), pre, *state, self.weight_hh, x.new_empty(0, 0), extra)
        return y, (y[-1], c)
