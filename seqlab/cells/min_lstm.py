"""minLSTM: an LSTM whose gates see the input alone, so that the sequence is one scan (Feng et al. 2024)."""

from torch import Tensor, nn
from torch.nn import functional

from seqlab.cells._scan import exact, linear_scan, start_bias
from seqlab.cells.cell import Cell, State
from seqlab.cells.initial import Init
from seqlab.cells.min_gru import positive


class MinLSTM(Cell):
    """Minimal long short-term memory: Feng et al. 2024, "Were RNNs all we needed?", section 3.2 and appendix B.

        f_t = sigmoid(W_f x_t + b_f);    i_t = sigmoid(W_i x_t + b_i);    n_t = g(W_h x_t + b_h)
        f'_t = f_t / (f_t + i_t);    i'_t = i_t / (f_t + i_t);    h_t = f'_t h_{t-1} + i'_t n_t

    with g of :class:`~seqlab.cells.min_gru.MinGRU`. f' is taken as the sigmoid of log f - log i, so gates of 0 divide
    by nothing.

    Args:
        input_size: features per frame, D.
        hidden_size: cells, N; 3 N D weights, and 3 N biases.
        bias: whether there are biases.
        init: start of the biases of f, and of i for ``chrono``: ``zero``, ``one`` or ``chrono``.
        longest_lag: frames that ``chrono`` is to bridge.

    Raises:
        ValueError: a size is below 1, or `init` is not one of the three.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int = 320,
        bias: bool = True,
        init: Init = "one",
        longest_lag: int | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size)
        self.linear = nn.Linear(input_size, 3 * hidden_size, bias)
        start_bias(self.linear.bias, slice(hidden_size), init, longest_lag)
        if init == "chrono":
            forget, write, _ = self.linear.bias.detach().chunk(3)
            write.copy_(-forget)

    def initial(self, lines: int, like: Tensor) -> State:
        """Return h = 0."""
        return (like.new_zeros(lines, self.num_features),)

    def gates(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return f', i' and n, (..., N), at least float32."""
        forget, write, candidate = exact(self.linear(x)).chunk(3, -1)
        ratio = functional.logsigmoid(forget) - functional.logsigmoid(write)
        return ratio.sigmoid(), (-ratio).sigmoid(), positive(candidate)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Read one frame, as :meth:`Cell.step`."""
        f, i, n = self.gates(x)
        h = f * state[0] + i * n
        return h, (h,)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Read a sequence, as :meth:`Cell.forward`."""
        (before,) = state or self.initial(x.shape[1], x)
        f, i, n = self.gates(x)
        h = linear_scan(f, i * n, before)
        return h, (h[-1] if len(h) else before,)

    def activity(self, x: Tensor) -> dict[str, Tensor]:
        """Return "forget gate", "input gate" (both normalised), "candidate" and "output", each (T, B, N)."""
        f, i, n = self.gates(x)
        return {"forget gate": f, "input gate": i, "candidate": n, "output": self(x)[0]}
