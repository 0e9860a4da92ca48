"""LSTM with a projection: many cells, few recurrent outputs."""

from seqlab.cells._lstm import LSTMVariant
from seqlab.cells.initial import Init


class Projected(LSTMVariant):
    """LSTM with recurrent projection (LSTMP), 4 N (D + R + 1) + N R weights, 3 N more with peepholes.

    Sak, Senior and Beaufays, "Long short-term memory recurrent neural network architectures for large scale acoustic
    modeling", 2014, without its non-recurrent projection. Only y recurs:

        i, f, o = sigmoid(W x(t) + U y(t-1) + b), three parts;   z = tanh(the fourth)
        c(t) = f c(t-1) + i z;   m = o tanh(c(t));   y(t) = P m

    Args:
        input_size: features per frame, D.
        hidden_size: cells, N.
        proj_size: outputs, R, below N.
        init: how the gates start, see ``seqlab.cells.initial.start_gates``.
        longest_lag: the longest lag expected, in frames, for `init` chrono.
        peepholes: input and forget gate see c(t-1), the output gate c(t).

    Raises:
        ValueError: proj_size is not in 1 to N - 1.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int = 512,
        proj_size: int = 256,
        init: Init = "one",
        longest_lag: int | None = None,
        peepholes: bool = False,
    ) -> None:
        if not 1 <= proj_size < hidden_size:
            raise ValueError(f"proj_size must lie in 1 to hidden_size - 1 = {hidden_size - 1}, got {proj_size}")
        super().__init__(input_size, hidden_size, init, longest_lag, peepholes=peepholes, proj_size=proj_size)
