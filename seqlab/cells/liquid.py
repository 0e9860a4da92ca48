"""Liquid cell: a continuous-time neuron in closed form."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqlab.cells._sequence import Recurrence, Sequence, uniform
from seqlab.cells.cell import State
from seqlab.cells.products import linear


class Liquid(Sequence):
    """Closed-form continuous-time cell (CfC), M (D + N + 1) + 3 N (M + 1) weights.

    Hasani et al., "Closed-form continuous-time neural networks", Nature Machine Intelligence 2022, equation 4, with a
    shared backbone and one frame as the unit of time. It goes from g to h the later, the greater f:

        m = 1.7159 tanh(2/3 (W x(t) + U y(t-1) + b))
        g, h = tanh(V m + b'), two parts;   f = the third part, without tanh
        y(t) = sigmoid(-f) g + (1 - sigmoid(-f)) h

    Nothing carries y(t-1) over unchanged: it forgets like an ordinary recurrent net, and has no `init`.

    Args:
        input_size: features per frame, D.
        hidden_size: units, N.
        backbone_size: units of the backbone, M.

    Raises:
        ValueError: a size is below 1.
    """

    def __init__(self, input_size: int, hidden_size: int = 320, backbone_size: int = 128) -> None:
        super().__init__(input_size, hidden_size)
        if backbone_size < 1:
            raise ValueError(f"backbone_size must be 1 or more, got {backbone_size}")
        self.weight_ih = uniform(backbone_size, input_size, size=input_size + hidden_size)
        self.weight_hh = uniform(backbone_size, hidden_size, size=input_size + hidden_size)
        self.bias = nn.Parameter(torch.zeros(backbone_size))
        self.weight_heads = uniform(3 * hidden_size, backbone_size, size=backbone_size)
        self.bias_heads = nn.Parameter(torch.zeros(3 * hidden_size))

    def initial(self, lines: int, like: Tensor) -> State:
        """Return y = 0, (B, N)."""
        return (like.new_zeros(lines, self.num_features),)

    def gates(self, x: Tensor, state: State) -> tuple[dict[str, Tensor], State]:
        """Read one frame, see ``Sequence.gates``."""
        net = functional.linear(x, self.weight_ih, self.bias) + functional.linear(state[0], self.weight_hh)
        m = 1.7159 * (2 / 3 * net).tanh()
        g, h, f = functional.linear(m, self.weight_heads, self.bias_heads).chunk(3, 1)
        g, h, gate = g.tanh(), h.tanh(), (-f).sigmoid()
        y = gate * g + (1 - gate) * h
        return {"backbone": m, "time gate": gate, "output": y}, (y,)

    def run(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Read a sequence, see ``Sequence.run``."""
        from seqlab.cells import _liquid_kernel as kernel

        (y,) = state
        pre = linear(x, self.weight_ih, self.bias)
        biases = self.bias_heads.view(3, -1)
        y, _ = Recurrence.apply(kernel, (), pre, y, y.new_empty(len(y), 0), self.weight_hh, self.weight_heads, biases)
        return y, (y[-1],)
