"""minGRU: a GRU whose gate sees the input alone, so that the sequence is one scan (Feng et al. 2024)."""

from torch import Tensor, nn

from seqlab.cells._scan import exact, linear_scan, start_bias
from seqlab.cells.cell import Cell, State
from seqlab.cells.initial import Init


class MinGRU(Cell):
    """Minimal gated recurrent unit: Feng et al. 2024, "Were RNNs all we needed?", section 3.1 and appendix B.

        z_t = sigmoid(W_z x_t + b_z);    n_t = g(W_h x_t + b_h);    h_t = (1 - z_t) h_{t-1} + z_t n_t

    with their g(x) = x + 0.5 for x >= 0, sigmoid(x) below: states stay above 0. What they compute as a scan of
    logarithms is here a scan of the numbers themselves, which divides by nothing and needs no logarithm of a state.
    As no gate sees a state, one layer cannot track one (parity, for example).

    Args:
        input_size: features per frame, D.
        hidden_size: cells, N; 2 N D weights, and 2 N biases.
        bias: whether there are biases.
        init: start of the bias of z, whose negative counts as a forget bias: ``zero``, ``one`` or ``chrono``.
        longest_lag: frames that ``chrono`` is to bridge.

    Raises:
        ValueError: a size is below 1, or `init` is not one of the three.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int = 320,
        bias: bool = True,
        init: Init = "zero",
        longest_lag: int | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size)
        self.linear = nn.Linear(input_size, 2 * hidden_size, bias)
        start_bias(self.linear.bias, slice(hidden_size), init, longest_lag, sign=-1)

    def initial(self, lines: int, like: Tensor) -> State:
        """Return h = 0."""
        return (like.new_zeros(lines, self.num_features),)

    def gates(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return z and n, (..., N), at least float32."""
        gate, candidate = exact(self.linear(x)).chunk(2, -1)
        return gate.sigmoid(), positive(candidate)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Read one frame, as :meth:`Cell.step`."""
        z, n = self.gates(x)
        h = (1 - z) * state[0] + z * n
        return h, (h,)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Read a sequence, as :meth:`Cell.forward`."""
        (before,) = state or self.initial(x.shape[1], x)
        z, n = self.gates(x)
        h = linear_scan(1 - z, z * n, before)
        return h, (h[-1] if len(h) else before,)

    def activity(self, x: Tensor) -> dict[str, Tensor]:
        """Return "update gate", "candidate" and "output", each (T, B, N)."""
        z, n = self.gates(x)
        return {"update gate": z, "candidate": n, "output": self(x)[0]}


def positive(x: Tensor) -> Tensor:
    """Return g(x) = x + 0.5 for x >= 0, sigmoid(x) below (Feng et al. 2024, appendix B.2)."""
    return x.relu() + x.clamp(max=0).sigmoid()
