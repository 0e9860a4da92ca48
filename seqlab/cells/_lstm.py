"""What the LSTM of 2000 and its variants share: weights, one frame in torch operations, the way to compiled code."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqlab.cells._sequence import Recurrence, Sequence, uniform
from seqlab.cells.cell import State
from seqlab.cells.initial import start_gates
from seqlab.cells.products import linear

# Cells times lines from which torch's fused float32 LSTM beats the compiled one, 1.3 to 1.9 times; 8 cells and one line
# take 1.4 times as long in it (scripts/bench/cells.py --hidden-size 8 --lines 1).
FUSED = 32


class LSTMVariant(Sequence):
    """An LSTM with or without each of its parts; its subclasses give the equations.

    The rows of the weights are gates in the order input, forget, cell, output (torch's), those that are missing left
    out. A projection is the non-recurrent rest of ``Projected``.

    Args:
        input_size: features per frame, D.
        hidden_size: cells, N.
        init: see ``seqlab.cells.initial``.
        longest_lag: of `init` chrono, in frames.
        input_gate: False: i = 1.
        forget_gate: False: f = 1.
        output_gate: False: o = 1.
        input_activation: False: z is not squashed by tanh.
        output_activation: False: c is not squashed by tanh on its way out.
        coupled: f = 1 - i instead of a forget gate.
        peepholes: gates see the cells.
        proj_size: size of the output and of what recurs, R; 0: N, without projection.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        init: str,
        longest_lag: int | None,
        *,
        input_gate: bool = True,
        forget_gate: bool = True,
        output_gate: bool = True,
        input_activation: bool = True,
        output_activation: bool = True,
        coupled: bool = False,
        peepholes: bool = False,
        proj_size: int = 0,
    ) -> None:
        super().__init__(input_size, hidden_size)
        if coupled and not (input_gate and forget_gate):
            raise ValueError("coupled=true makes the forget gate of the input gate; neither can be missing")
        self.hidden_size = hidden_size
        self.num_features = proj_size or hidden_size
        self.coupled, self.input_activation, self.output_activation = coupled, input_activation, output_activation
        has = {"input": input_gate, "forget": forget_gate and not coupled, "cell": True, "output": output_gate}
        self.rows = [name for name, there in has.items() if there]
        size = len(self.rows) * hidden_size
        self.weight_ih = uniform(size, input_size, size=hidden_size)
        self.weight_hh = uniform(size, self.num_features, size=hidden_size)
        self.bias = nn.Parameter(torch.zeros(size))
        seeing = [row for row in self.rows if row != "cell"] if peepholes else []
        self.peepholes = nn.ParameterDict({row: uniform(hidden_size, size=hidden_size) for row in seeing})
        self.weight_hr = uniform(proj_size, hidden_size, size=hidden_size) if proj_size else None
        activations = input_activation and output_activation
        self.plain = len(self.rows) == 4 and activations and not peepholes and not proj_size  # nn.LSTM
        self._start(init, longest_lag)

    def _start(self, init: str, longest_lag: int | None) -> None:
        """Set the gates' biases as `init` says; a tied input gate is a forget gate upside down."""
        part = {row: slice(k * self.hidden_size, (k + 1) * self.hidden_size) for k, row in enumerate(self.rows)}
        with torch.no_grad():
            if self.coupled:
                keep = torch.zeros_like(self.bias[part["input"]])
                start_gates(init, longest_lag, keep, None)
                self.bias[part["input"]] = -keep
                return
            nothing = torch.empty_like(self.bias[: self.hidden_size])  # stands for a gate that is missing
            weights = [w[part["forget"]] for w in (self.weight_ih, self.weight_hh) if "forget" in part]
            weights += [weight for name, weight in self.peepholes.items() if name == "forget"]
            forget, input_ = (self.bias[part[row]] if row in part else nothing for row in ("forget", "input"))
            start_gates(init, longest_lag, forget, input_, tuple(weights))

    def initial(self, lines: int, like: Tensor) -> State:
        """Return y = 0 (B, R) and c = 0 (B, N)."""
        return like.new_zeros(lines, self.num_features), like.new_zeros(lines, self.hidden_size)

    def gates(self, x: Tensor, state: State) -> tuple[dict[str, Tensor], State]:
        """Read one frame, see ``Sequence.gates``."""
        y, c = state
        net = functional.linear(x, self.weight_ih, self.bias) + functional.linear(y, self.weight_hh)
        nets = dict(zip(self.rows, net.chunk(len(self.rows), 1), strict=True))

        def gate(name: str, cell: Tensor) -> Tensor | float:
            if name not in nets:
                return 1.0
            return (nets[name] + self.peepholes[name] * cell if name in self.peepholes else nets[name]).sigmoid()

        z = nets["cell"].tanh() if self.input_activation else nets["cell"]
        i = gate("input", c)
        f = 1.0 - i if self.coupled else gate("forget", c)
        c = f * c + i * z
        o = gate("output", c)
        y = o * (c.tanh() if self.output_activation else c)
        if self.weight_hr is not None:
            y = functional.linear(y, self.weight_hr)
        named = {"input gate": i, "forget gate": f, "cell input": z, "cell state": c, "output gate": o, "output": y}
        return {name: value for name, value in named.items() if isinstance(value, Tensor)}, (y, c)

    def run(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Read a sequence, see ``Sequence.run``; by torch's fused LSTM where that is quicker."""
        if self.plain and x.dtype == torch.float32 and x.shape[1] * self.hidden_size >= FUSED:
            return self.fused(x, state)
        from seqlab.cells import _lstm_kernel as kernel

        first = {row: k * self.hidden_size for k, row in enumerate(self.rows)}
        options = kernel.Options(
            input_=first.get("input", -1),
            forget=first.get("forget", -1),
            cell=first["cell"],
            output=first.get("output", -1),
            coupled=self.coupled,
            squash_input=self.input_activation,
            squash_output=self.output_activation,
        )
        none = x.new_empty(0, 0)
        peepholes = none
        if self.peepholes:
            zero = x.new_zeros(self.hidden_size)
            peepholes = torch.stack([self.peepholes.get(row, zero) for row in ("input", "forget", "output")])
        pre = linear(x, self.weight_ih, self.bias)
        second = none if self.weight_hr is None else self.weight_hr
        y, c = Recurrence.apply(kernel, options, pre, *state, self.weight_hh, second, peepholes)
        return y, (y[-1], c)

    def fused(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Read a sequence, see ``Sequence.fused``: by torch's LSTM where the cell is that one."""
        if not self.plain:
            return super().fused(x, state)
        weights = [self.weight_ih, self.weight_hh, self.bias, torch.zeros_like(self.bias)]
        y, h, c = torch.lstm(x, (state[0][None], state[1][None]), weights, True, 1, 0.0, self.training, False, False)
        return y, (h[0], c[0])
