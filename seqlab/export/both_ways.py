"""A BLSTM as ONNX has it: one node for a layer, which reads both ways, each line by its own length."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from seqlab.batch import mask_padding
from seqlab.encoders.blstm import BLSTM
from seqlab.model import CTCModel


def in_nodes(model: CTCModel) -> CTCModel:
    """Return a network whose BLSTM, if it has one, is a BothWays, to be traced; its other parts are shared."""
    encoder = model.encoder
    if type(encoder) is not BLSTM or not encoder.lstm.bidirectional or encoder.lstm.proj_size:
        return model
    model = copy.copy(model)
    model._modules = {**model._modules, "encoder": BothWays(encoder)}
    return model


class BothWays(nn.Module):
    """A BLSTM for tracing alone: in torch it gives no states, but a graph has the node that computes them.

    The graph needs no copies of lines in reverse, as ``BLSTM`` makes them: it is smaller and a little quicker.

    Args:
        encoder: the BLSTM.
    """

    def __init__(self, encoder: BLSTM) -> None:
        super().__init__()
        self.num_layers = encoder.growth.layers
        for layer in range(self.num_layers):
            ways = encoder.lstm.all_weights[2 * layer : 2 * layer + 2]
            inputs, states, *biases = (torch.stack([_in_order(w) for w in pair]) for pair in zip(*ways, strict=True))
            self.register_buffer(f"inputs_{layer}", inputs)  # (2, 4 H, F)
            self.register_buffer(f"states_{layer}", states)  # (2, 4 H, H)
            self.register_buffer(f"biases_{layer}", torch.cat(biases, 1))  # (2, 8 H)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Turn features (B, T, F) of lines (B,) into states (B, T, 2 H), 0 past a length."""
        x, frames = x.transpose(0, 1), lengths.clamp(min=1).to(torch.int32)  # a line of the node has a frame
        for layer in range(self.num_layers):
            weights = (getattr(self, f"{name}_{layer}") for name in ("inputs", "states", "biases"))
            x = _Node.apply(x, *weights, frames)  # (T, 2, B, H)
            x = x.transpose(1, 2).flatten(2)
        return mask_padding(x.transpose(0, 1), lengths), lengths


def _in_order(weights: Tensor) -> Tensor:
    """Bring gates from torch's order, input, forget, cell, output, into that of ONNX: input, output, forget, cell."""
    i, f, c, o = weights.detach().chunk(4)
    return torch.cat([i, o, f, c])


class _Node(torch.autograd.Function):
    @staticmethod
    def symbolic(g: Any, x: Any, inputs: Any, states: Any, biases: Any, frames: Any) -> Any:
        size = states.type().sizes()[2]
        return g.op(
            "LSTM", x, inputs, states, biases, frames, hidden_size_i=size, direction_s="bidirectional", outputs=3
        )[0]

    @staticmethod
    def forward(ctx: Any, x: Tensor, inputs: Tensor, states: Tensor, biases: Tensor, frames: Tensor) -> Tensor:
        return x.new_zeros(len(x), 2, x.shape[1], states.shape[2])
