"""QRNN: gates from a convolution over a few frames, and a recurrence that is one scan (Bradbury et al. 2017)."""

import torch
from torch import Tensor, nn

from seqlab.cells._scan import exact, linear_scan, start_bias
from seqlab.cells.cell import Cell, State
from seqlab.cells.initial import Init


class QRNN(Cell):
    """Quasi-recurrent layer with fo-pooling: Bradbury et al. 2017, equations 1 and 4.

        z_t = tanh(W_z X_t + b_z);    f_t = sigmoid(W_f X_t + b_f);    o_t = sigmoid(W_o X_t + b_o)
        c_t = f_t c_{t-1} + (1 - f_t) z_t;    h_t = o_t c_t

    X_t are the last k frames x_{t-k+1} to x_t; frames before the first are 0.

    Args:
        input_size: features per frame, D.
        hidden_size: cells, N; 3 k D N weights, and 3 N biases.
        width: frames that a gate sees, k.
        bias: whether there are biases.
        init: start of the bias of f: ``zero``, ``one`` or ``chrono``.
        longest_lag: frames that ``chrono`` is to bridge.

    Raises:
        ValueError: a size or the width is below 1, or `init` is not one of the three.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int = 320,
        width: int = 2,
        bias: bool = True,
        init: Init = "one",
        longest_lag: int | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size)
        if width < 1:
            raise ValueError(f"width must be 1 or more, got {width}")
        self.width = width
        self.linear = nn.Linear(width * input_size, 3 * hidden_size, bias)
        start_bias(self.linear.bias, slice(hidden_size, 2 * hidden_size), init, longest_lag)

    def initial(self, lines: int, like: Tensor) -> State:
        """Return c = 0 and k - 1 frames of 0, the oldest first: (B, N) and (B, k - 1, D)."""
        return like.new_zeros(lines, self.num_features), like.new_zeros(lines, self.width - 1, self.input_size)

    def gates(self, windows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return z, f and o, (..., N), at least float32, of windows (..., k D), the oldest frame first."""
        z, f, o = exact(self.linear(windows)).chunk(3, -1)
        return z.tanh(), f.sigmoid(), o.sigmoid()

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Read one frame, as :meth:`Cell.step`."""
        c, past = state
        past = torch.cat([past, x[:, None]], 1)  # (B, k, D)
        z, f, o = self.gates(past.flatten(1))
        c = f * c + (1 - f) * z
        return o * c, (c, past[:, 1:])

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Read a sequence, as :meth:`Cell.forward`."""
        return self._read(x, state)[:2]

    def _read(self, x: Tensor, state: State | None) -> tuple[Tensor, State, tuple[Tensor, ...]]:
        """Return outputs, state and (z, f, o, c)."""
        before, past = state or self.initial(x.shape[1], x)
        frames = torch.cat([past.transpose(0, 1), x])  # (k - 1 + T, B, D)
        z, f, o = self.gates(torch.cat([frames[i : i + len(x)] for i in range(self.width)], 2))
        c = linear_scan(f, (1 - f) * z, before)
        after = c[-1] if len(c) else before
        return o * c, (after, frames[len(x) :].transpose(0, 1)), (z, f, o, c)

    def activity(self, x: Tensor) -> dict[str, Tensor]:
        """Return "candidate", "forget gate", "output gate", "cell state" and "output", each (T, B, N)."""
        output, _, (z, f, o, c) = self._read(x, None)
        return {"candidate": z, "forget gate": f, "output gate": o, "cell state": c, "output": output}
