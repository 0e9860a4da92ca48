"""LSTM with input and forget gate coupled (CIFG)."""

from seqlab.cells._lstm import LSTMVariant
from seqlab.cells.initial import Init


class Coupled(LSTMVariant):
    """LSTM whose cells forget as much as they take in, 3 N (D + N + 1) weights, 2 N more with peepholes.

    The CIFG of Greff et al., "LSTM: a search space odyssey", 2015; the coupling is that of the GRU:

        i, o = sigmoid(W x(t) + U y(t-1) + b), two parts;   z = tanh(the third)
        c(t) = (1 - i) c(t-1) + i z;   y(t) = o tanh(c(t))

    Args:
        input_size: features per frame, D.
        hidden_size: cells, N.
        init: how the gates start, see ``seqlab.cells.initial.start_gates``; what it says of forget biases holds,
            negated, for the input gate. `cec` is refused.
        longest_lag: the longest lag expected, in frames, for `init` chrono.
        peepholes: the input gate sees c(t-1), the output gate c(t).
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int = 320,
        init: Init = "one",
        longest_lag: int | None = None,
        peepholes: bool = False,
    ) -> None:
        super().__init__(input_size, hidden_size, init, longest_lag, coupled=True, peepholes=peepholes)
