"""LSTM with peepholes, and the variants in which one of its parts is missing."""

from seqlab.cells._lstm import LSTMVariant
from seqlab.cells.initial import Init


class Peephole(LSTMVariant):
    """LSTM with peepholes, 4 N (D + N + 1) + 3 N weights.

    Gers, Schraudolph and Schmidhuber, "Learning precise timing with LSTM recurrent networks", JMLR 2002. The output
    gate sees the cell of its own frame:

        i = sigmoid(W_i x(t) + U_i y(t-1) + p_i c(t-1) + b_i)
        f = sigmoid(W_f x(t) + U_f y(t-1) + p_f c(t-1) + b_f)
        z = tanh(W_z x(t) + U_z y(t-1) + b_z);   c(t) = f c(t-1) + i z
        o = sigmoid(W_o x(t) + U_o y(t-1) + p_o c(t) + b_o);   y(t) = o tanh(c(t))

    The switches give the variants of Greff et al., "LSTM: a search space odyssey", 2015: one part missing at a time,
    with its weights (NIG, NFG, NOG, NIAF, NOAF, CIFG, NP).

    Args:
        input_size: features per frame, D.
        hidden_size: cells, N.
        init: how the gates start, see ``seqlab.cells.initial.start_gates``.
        longest_lag: the longest lag expected, in frames, for `init` chrono.
        input_gate: False: i = 1.
        forget_gate: False: f = 1.
        output_gate: False: o = 1.
        input_activation: False: z without tanh.
        output_activation: False: y = o c.
        coupled: f = 1 - i, without weights for f.
        peepholes: False: p = 0.

    Raises:
        ValueError: coupled, and the input or the forget gate is missing.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int = 320,
        init: Init = "one",
        longest_lag: int | None = None,
        input_gate: bool = True,
        forget_gate: bool = True,
        output_gate: bool = True,
        input_activation: bool = True,
        output_activation: bool = True,
        coupled: bool = False,
        peepholes: bool = True,
    ) -> None:
        super().__init__(
            input_size,
            hidden_size,
            init,
            longest_lag,
            input_gate=input_gate,
            forget_gate=forget_gate,
            output_gate=output_gate,
            input_activation=input_activation,
            output_activation=output_activation,
            coupled=coupled,
            peepholes=peepholes,
        )
