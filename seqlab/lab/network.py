"""A net of the laboratory: an encoder, and outputs that read its states where they count."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqlab.lab.task import Sequences

Outputs = Literal["squared", "linear", "softmax", "logistic"]


class Network(nn.Module):
    """An encoder with a linear layer on it.

    Args:
        encoder: (B, T, F), lengths -> (B, T, H), lengths.
        num_inputs: features per step, F.
        num_outputs: outputs, O.
        outputs: squared: logistic outputs and half the squared error, summed over outputs and steps, as in 1997;
            linear: the same with linear outputs; softmax and logistic: cross-entropy of one distribution or of each
            output, a mean over steps.
        head_bias: outputs have biases.
        direct: outputs see the inputs, too.
        weight_range: weights of the outputs begin uniform in plus or minus this; None: as torch's linear layers do.
    """

    def __init__(
        self,
        encoder: nn.Module,
        num_inputs: int,
        num_outputs: int,
        outputs: Outputs,
        head_bias: bool = True,
        direct: bool = False,
        weight_range: float | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.outputs, self.direct = outputs, direct
        states: int = encoder.num_features  # type: ignore[assignment]
        self.head = nn.Linear(states + (num_inputs if direct else 0), num_outputs, bias=head_bias)
        if weight_range is not None:
            for parameter in self.head.parameters():
                nn.init.uniform_(parameter, -weight_range, weight_range)

    def forward(self, batch: Sequences) -> Tensor:
        """Return the net inputs of the outputs at the steps that count, (B, K, O)."""
        states, _ = self.encoder(batch.x, batch.lengths)
        return self.read(states, batch)

    def read(self, states: Tensor, batch: Sequences) -> Tensor:
        """Return the net inputs of the outputs for states (B, T, H)."""
        if self.direct:
            states = torch.cat([states, batch.x], 2)
        lines = torch.arange(len(batch), device=states.device)[:, None]
        answer: Tensor = self.head(states[lines, batch.steps.clamp(min=0)])
        return answer

    def activate(self, z: Tensor) -> Tensor:
        """Return the outputs for their net inputs (B, K, O)."""
        if self.outputs == "linear":
            return z
        return z.softmax(2) if self.outputs == "softmax" else z.sigmoid()

    def loss(self, z: Tensor, batch: Sequences) -> Tensor:
        """Return the loss of net inputs (B, K, O), a mean over sequences or steps."""
        counts = batch.steps >= 0  # (B, K)
        if self.outputs in ("squared", "linear"):
            squares = (self.activate(z) - batch.target).square().sum(2)
            return 0.5 * (squares * counts).sum() / len(batch)
        if self.outputs == "softmax":
            each = -(batch.target * z.log_softmax(2)).sum(2)
        else:
            each = functional.binary_cross_entropy_with_logits(z, batch.target, reduction="none").sum(2)
        return (each * counts).sum() / counts.sum()
