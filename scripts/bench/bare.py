"""What ONNX Runtime can do: nn.LSTM and its output layer as torch's exporter and quantize_dynamic leave them."""

import logging
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from seqlab.onnx_model import open_session


class Bare(nn.Module):
    """An LSTM whose states go in and come out.

    Args:
        lstm: batch first.
        head: its output layer.
    """

    def __init__(self, lstm: nn.LSTM, head: nn.Linear) -> None:
        super().__init__()
        self.lstm, self.head = lstm, head

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return log-probabilities (B, T, V) of frames (B, T, F), and the states after them."""
        y, (h, c) = self.lstm(x, (h, c))
        return self.head(y).log_softmax(2), h, c


def bare_int8(lstm: nn.LSTM, head: nn.Linear, folder: Path) -> Callable[[np.ndarray, int], np.ndarray]:
    """Write both graphs into a folder; return what reads frames (1, T, F) in pieces of a size, to (T, V)."""
    from onnxruntime.quantization import quantize_dynamic

    plain, small = folder / "bare.onnx", folder / "bare.int8.onnx"
    shape = (lstm.num_layers * (1 + lstm.bidirectional), 1, lstm.hidden_size)
    names, outputs = ["x", "h", "c"], ["log_probs", "next_h", "next_c"]
    states = torch.zeros(shape)
    logging.disable(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Bare(lstm, head).eval(),
            (torch.zeros(1, 4, lstm.input_size), states, states),
            str(plain),
            dynamo=False,
            opset_version=17,
            input_names=names,
            output_names=outputs,
            dynamic_axes={"x": {1: "T"}, "log_probs": {1: "T"}},
        )
        quantize_dynamic(plain, small)
    logging.disable(logging.NOTSET)
    session = open_session(small, 1)

    def read(x: np.ndarray, size: int) -> np.ndarray:
        h = c = np.zeros(shape, np.float32)
        found = []
        for at in range(0, x.shape[1], size):
            y, h, c = session.run(outputs, {"x": x[:, at : at + size], "h": h, "c": c})
            found.append(y[0])
        return np.concatenate(found)

    return read
