"""The LSTM of 1997: blocks of memory cells, no forget gate, truncated gradient."""

from collections.abc import Sequence as Values
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqlab.cells._sequence import Recurrence, Sequence
from seqlab.cells.cell import State
from seqlab.cells.products import linear


class LSTM1997(Sequence):
    """LSTM as it was published: constant error carousels behind an input and an output gate.

    Hochreiter and Schmidhuber, "Long short-term memory", Neural Computation 1997. The cells of a block share its gates.
    With m(t-1) the cells' outputs and, with `gate_feedback`, the gates of the frame before:

        y_in, y_out = sigmoid(W x(t) + U m(t-1) + b);   net_c = W_c x(t) + U_c m(t-1) + b_c
        s(t) = s(t-1) + y_in g(net_c);   y_c(t) = y_out h(s(t))
        g(x) = 4 sigmoid(x) - 2;   h(x) = 2 sigmoid(x) - 1

    The learning rule of 1997 truncates the gradient: no error flows back to m(t-1), so that it lives in s alone, where
    it neither grows nor fades (appendix A.1). Errors of the input x(t) are not truncated. With `forget_gate`, the
    extended cell of Gers, Schmidhuber and Cummins 2000, s(t) = y_forget s(t-1) + y_in g(net_c).

    The rows of weight_ih and weight_hh are input gates, forget gates if any, output gates, cells block by block; the
    columns of weight_hh are cells, then gates. There are (blocks gates + N) (D + N [+ blocks gates]) weights and a bias
    for each gate and cell that has one.

    Args:
        input_size: features per frame, D.
        num_blocks: memory blocks.
        block_size: cells of each; N = num_blocks block_size.
        truncated: the gradient of 1997; False: the whole gradient.
        gate_feedback: gates are sources of the next frame, as in the fully connected hidden layers of the experiments.
        gate_bias: gates have biases.
        cell_bias: cells have biases.
        output_gate: False: y_out = 1, as in experiment 2a.
        forget_gate: the cell of 2000.
        input_squash: g, or the logistic function.
        output_squash: h, or nothing.
        weight_range: all weights and biases start uniform within plus and minus this.
        input_gate_bias: start of the input gates' biases, one per block, such as [-1, -3, -5]; empty: random.
        output_gate_bias: the same of the output gates.
        forget_gate_bias: the same of the forget gates.

    Raises:
        ValueError: a size is below 1, a list of biases does not fit the blocks, or stands for gates without biases.
    """

    def __init__(
        self,
        input_size: int,
        num_blocks: int = 4,
        block_size: int = 2,
        truncated: bool = True,
        gate_feedback: bool = True,
        gate_bias: bool = True,
        cell_bias: bool = True,
        output_gate: bool = True,
        forget_gate: bool = False,
        input_squash: Literal["symmetric", "logistic"] = "symmetric",
        output_squash: Literal["symmetric", "identity"] = "symmetric",
        weight_range: float = 0.1,
        input_gate_bias: Values[float] = (),
        output_gate_bias: Values[float] = (),
        forget_gate_bias: Values[float] = (),
    ) -> None:
        if min(num_blocks, block_size) < 1:
            raise ValueError(f"num_blocks and block_size must be 1 or more, got {num_blocks} and {block_size}")
        super().__init__(input_size, num_blocks * block_size)
        if input_squash not in ("symmetric", "logistic"):
            raise ValueError(f"input_squash must be symmetric or logistic, got {input_squash!r}")
        if output_squash not in ("symmetric", "identity"):
            raise ValueError(f"output_squash must be symmetric or identity, got {output_squash!r}")
        if weight_range <= 0:
            raise ValueError(f"weight_range must be above 0, got {weight_range}")
        self.num_blocks, self.block_size = num_blocks, block_size
        self.truncated, self.gate_feedback = truncated, gate_feedback
        self.input_squash, self.output_squash = input_squash, output_squash
        self.kinds = ["input", *["forget"] * forget_gate, *["output"] * output_gate]  # of gates, in the order of rows
        starts = {"input": input_gate_bias, "forget": forget_gate_bias, "output": output_gate_bias}
        for kind, values in starts.items():
            if values and (kind not in self.kinds or not gate_bias or len(values) != num_blocks):
                raise ValueError(
                    f"{kind}_gate_bias: needs {kind} gates with gate_bias=true and one value for each of the "
                    f"{num_blocks} blocks, got {list(values)}"
                )
        num_gates, cells = len(self.kinds) * num_blocks, self.num_features

        def random(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.empty(*shape).uniform_(-weight_range, weight_range))

        self.weight_ih = random(num_gates + cells, input_size)
        self.weight_hh = random(num_gates + cells, cells + num_gates * gate_feedback)
        self.bias_gates = random(num_gates) if gate_bias else None
        self.bias_cells = random(cells) if cell_bias else None
        for k, kind in enumerate(self.kinds):
            if self.bias_gates is not None and starts[kind]:
                with torch.no_grad():
                    part = self.bias_gates[k * num_blocks : (k + 1) * num_blocks]
                    part.copy_(torch.tensor(list(starts[kind]), device=part.device))

    def initial(self, lines: int, like: Tensor) -> State:
        """Return m = 0 (B, cells and, with feedback, gates) and s = 0 (B, N)."""
        return like.new_zeros(lines, self.weight_hh.shape[1]), like.new_zeros(lines, self.num_features)

    def _biased(self, net: Tensor) -> Tensor:
        """Add the biases of gates and cells, if any."""
        if self.bias_gates is None and self.bias_cells is None:
            return net
        num_gates = len(self.weight_ih) - self.num_features
        gates = self.weight_ih.new_zeros(num_gates) if self.bias_gates is None else self.bias_gates
        cells = self.weight_ih.new_zeros(self.num_features) if self.bias_cells is None else self.bias_cells
        return net + torch.cat([gates, cells])

    def gates(self, x: Tensor, state: State) -> tuple[dict[str, Tensor], State]:
        """Read one frame, see ``Sequence.gates``; gates are (B, blocks)."""
        m, s = state
        net = self._biased(functional.linear(x, self.weight_ih)) + functional.linear(
            m.detach() if self.truncated else m, self.weight_hh
        )
        activations = net[:, : -self.num_features].sigmoid()
        net_c = net[:, -self.num_features :]
        named = dict(zip(self.kinds, activations.chunk(len(self.kinds), 1), strict=True))
        shared = {kind: gate.repeat_interleave(self.block_size, 1) for kind, gate in named.items()}
        g = 4 * net_c.sigmoid() - 2 if self.input_squash == "symmetric" else net_c.sigmoid()
        s = shared.get("forget", 1) * s + shared["input"] * g
        h = 2 * s.sigmoid() - 1 if self.output_squash == "symmetric" else s
        y = shared.get("output", 1) * h
        m = torch.cat([y, activations], 1) if self.gate_feedback else y
        return {
            **{f"{kind} gate": gate for kind, gate in named.items()},
            "cell input": g,
            "cell state": s,
            "output": y,
        }, (m, s)

    def run(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Read a sequence, see ``Sequence.run``."""
        from seqlab.cells import _lstm_1997_kernel as kernel

        options = kernel.Options(
            self.block_size,
            "forget" in self.kinds,
            "output" in self.kinds,
            self.input_squash == "symmetric",
            self.output_squash == "symmetric",
            self.truncated,
        )
        none = x.new_empty(0, 0)
        pre = self._biased(linear(x, self.weight_ih))
        m, s = Recurrence.apply(kernel, options, pre, *state, self.weight_hh, none, none)
        return m[..., : self.num_features], (m[-1], s)
