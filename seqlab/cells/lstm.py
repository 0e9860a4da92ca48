"""LSTM with forget gates: the cell that is called LSTM today."""

from seqlab.cells._lstm import LSTMVariant
from seqlab.cells.initial import Init


class LSTM(LSTMVariant):
    """LSTM with forget gates, 4 N (D + N + 1) weights.

    Gers, Schmidhuber and Cummins, "Learning to forget: continual prediction with LSTM", Neural Computation 2000, with
    one cell per block and tanh as both squashing functions. torch.nn.LSTM with its two biases added up:

        i, f, o = sigmoid(W x(t) + U y(t-1) + b), three parts;   z = tanh(the fourth)
        c(t) = f c(t-1) + i z;   y(t) = o tanh(c(t))

    Args:
        input_size: features per frame, D.
        hidden_size: cells, N.
        init: how the gates start, see ``seqlab.cells.initial.start_gates``.
        longest_lag: the longest lag expected, in frames, for `init` chrono.
    """

    def __init__(
        self, input_size: int, hidden_size: int = 320, init: Init = "one", longest_lag: int | None = None
    ) -> None:
        super().__init__(input_size, hidden_size, init, longest_lag)
