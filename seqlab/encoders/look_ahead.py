"""A one-way LSTM that looks a few frames ahead: row convolution over its states."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqlab.batch import mask_padding
from seqlab.cells.initial import Init
from seqlab.encoders.blstm import BLSTM


class LookAhead(BLSTM):
    """Layers of LSTM that read forward, then a row convolution over the states of the last.

    Amodei et al. 2016, "Deep Speech 2", section 3.7 (row convolution): with states h and a row of weights per state,

        r(t, i) = sum over j = 0 ... look_ahead of W(i, j) h(t + j, i)

    so that a frame's output knows ``look_ahead`` frames of the future; past the end of a line states are 0. It starts
    as r = h.

    Args:
        input_size: features per frame.
        hidden_size: cells per layer.
        num_layers: layers.
        look_ahead: frames after a frame that its output sees, as the encoder sees them, after the stem.
        dropout: share of states set to 0 between layers, while training.
        out_dropout: share of the output set to 0, while training.
        init: how the gates start, see ``seqlab.cells.initial.start_gates``.
        input_dropout: share of features set to 0, while training.

    Attributes:
        neutral: weights that do nothing as they start; a model that training starts from need not have them.

    Raises:
        ValueError: an argument is out of range.
    """

    neutral = ("rows",)

    def __init__(
        self,
        input_size: int,
        hidden_size: int = 512,
        num_layers: int = 3,
        look_ahead: int = 10,
        dropout: float = 0.0,
        out_dropout: float = 0.0,
        init: Init = "one",
        input_dropout: float = 0.0,
    ) -> None:
        super().__init__(
            input_size,
            hidden_size,
            num_layers,
            dropout=dropout,
            out_dropout=out_dropout,
            bidirectional=False,
            init=init,
            input_dropout=input_dropout,
        )
        if look_ahead < 0:
            raise ValueError(f"look_ahead must be 0 or more, got {look_ahead}")
        self.look_ahead = look_ahead
        self.rows = nn.Parameter(torch.zeros(hidden_size, 1, look_ahead + 1))
        with torch.no_grad():
            self.rows[:, :, 0] = 1

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Turn features into states, see ``BLSTM.forward``."""
        return self.out_dropout(self._reversed(x, lengths)), lengths

    def _reversed(self, x: Tensor, lengths: Tensor, shown: dict[int, Tensor] | None = None) -> Tensor:
        """Run all layers, then look ahead."""
        states = super()._reversed(x, lengths, shown)
        return mask_padding(self._rows(functional.pad(states, (0, 0, 0, self.look_ahead))), lengths.to(x.device))

    def _rows(self, states: Tensor) -> Tensor:
        """Convolve states (B, T + look_ahead, H) to (B, T, H)."""
        return functional.conv1d(states.transpose(1, 2), self.rows, groups=len(self.rows)).transpose(1, 2)

    def read_on(self, x: Tensor, state: Any = None, last: bool = False) -> tuple[Tensor, Any]:
        """Read the next frames of lines of equal length, see ``BLSTM.read_on``; states come ``look_ahead`` later."""
        held, layers = state or (x.new_zeros(len(x), 0, self.num_features), None)
        states, layers = super().read_on(x, layers)
        held = torch.cat([held, states], 1)
        if last:
            held = functional.pad(held, (0, 0, 0, self.look_ahead))
        ready = max(held.shape[1] - self.look_ahead, 0)
        answer = self._rows(held) if ready else held[:, :0]
        return answer, (held[:, ready:], layers)
