"""Any recurrent cell as an encoder: one way or two, deep, with residuals."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from seqlab.batch import mask_padding
from seqlab.cells.cell import Cell
from seqlab.encoders._regular import Dropout, Growth, check_shares
from seqlab.encoders.blstm import _reversal


class Recurrent(nn.Module):
    """Layers of one kind of cell, exact for every length in a padded batch.

    The backward direction reads each line reversed by its own length, so it meets the line before its padding.

    Args:
        input_size: features per frame.
        cell: makes one cell from its input_size: a class of seqlab.cells with its other arguments bound. Called once
            for each layer and direction.
        num_layers: layers.
        bidirectional: False reads forward only.
        residual: add a layer's input to its output where the two have one size.
        dropout: share of states set to 0 between layers, while training.
        out_dropout: share of the last layer's states set to 0, while training.
        variational: a line's frames have one mask of dropout, not each its own (Gal and Ghahramani 2016).
        input_dropout: share of features set to 0, while training.
        recurrent_dropout: share of the recurrent weights (a cell's `weight_hh`) set to 0 in a step, while training
            ("DropConnect", Merity et al. 2017, AWD-LSTM, section 2).
        grow_at: shares of training at which one more layer joins in, see ``Growth``; for training in one process.

    Raises:
        ValueError: an argument is out of range, or what `cell` makes is no cell.
    """

    look_ahead = 0  # frames that a state waits for where lines are read piece by piece

    def __init__(
        self,
        input_size: int,
        cell: Callable[..., Cell],
        num_layers: int = 3,
        bidirectional: bool = True,
        residual: bool = False,
        dropout: float = 0.0,
        out_dropout: float = 0.0,
        variational: bool = False,
        input_dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        grow_at: Sequence[float] = (),
    ) -> None:
        super().__init__()
        if num_layers < 1:
            raise ValueError(f"num_layers must be 1 or more, got {num_layers}")
        check_shares(
            dropout=dropout, out_dropout=out_dropout, input_dropout=input_dropout, recurrent_dropout=recurrent_dropout
        )
        self.residual = residual
        self.out_dropout = Dropout(out_dropout, 1 if variational else None)
        self.in_dropout = Dropout(input_dropout, 0 if variational else None)
        self.between = Dropout(dropout, 0 if variational else None)
        self.recurrent_dropout = recurrent_dropout
        self.num_layers = num_layers
        self.growth = Growth(num_layers, grow_at)
        self.layers = nn.ModuleList()
        size = input_size
        for _ in range(num_layers):
            directions = [cell(input_size=size) for _ in range(2 if bidirectional else 1)]
            if not isinstance(directions[0], Cell):
                raise ValueError(f"cell: {type(directions[0]).__name__} is no recurrent cell; see conf/encoder/cell")
            if recurrent_dropout and "weight_hh" not in dict(directions[0].named_parameters()):
                raise ValueError(
                    f"recurrent_dropout: {type(directions[0]).__name__} has no recurrent weights weight_hh"
                )
            self.layers.append(nn.ModuleList(directions))
            size = sum(direction.num_features for direction in directions)
        self.num_features = size

    def num_frames(self, lengths: Tensor) -> Tensor:
        """Return the lengths as they are."""
        return lengths

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Turn features into states.

        Args:
            x: features (B, T, F).
            lengths: frames per line, (B,).

        Returns:
            States (B, T, H), forward and backward side by side, and the lengths; states past a length are 0.
        """
        return self.out_dropout(self._states(x, lengths)), lengths

    @property
    def streams(self) -> bool:
        """Whether lines can be read piece by piece, see ``BLSTM.read_on``."""
        return len(list(self.layers[0].children())) == 1

    def read_on(self, x: Tensor, state: Any = None, last: bool = False) -> tuple[Tensor, Any]:
        """Read the next frames of lines of equal length, see ``BLSTM.read_on``."""
        if not x.shape[1]:
            return x.new_zeros(len(x), 0, self.num_features), state
        x, after = x.transpose(0, 1), []
        for index, layer in enumerate(self.layers[: self.growth.layers]):
            (cell,) = layer.children()
            y, end = cell(x, state[index] if state else None)
            after.append(end)
            x = x + y if self.residual and x.shape == y.shape else y
        return x.transpose(0, 1), after

    def intermediate(self, x: Tensor, lengths: Tensor, layers: Sequence[int]) -> tuple[Tensor, list[Tensor], Tensor]:
        """Turn features into states, and show those of lower layers too.

        Args:
            x: features (B, T, F).
            lengths: frames per line, (B,).
            layers: numbers of layers, from 1; those not in use (``grow_at``) are left out.

        Returns:
            States as of ``forward``, states of each of the layers, (B, T, H), and the lengths.
        """
        shown: dict[int, Tensor] = dict.fromkeys(layers, x)
        y = self._states(x, lengths, shown)
        below = [self.out_dropout(shown[layer]) for layer in layers if layer < self.growth.layers]
        return self.out_dropout(y), below, lengths

    def _states(self, x: Tensor, lengths: Tensor, shown: dict[int, Tensor] | None = None) -> Tensor:
        """Run the layers in use; states of those that `shown` names, from 1, are put into it."""
        on_device = lengths.to(x.device)
        backwards = _reversal(on_device, x.shape[1])
        x = self.in_dropout(x.transpose(0, 1))  # (T, B, F), the order in which cells read
        for index, layer in enumerate(self.layers[: self.growth.layers]):
            if index:
                x = self.between(x)
            forward, *backward = layer.children()
            y = torch.cat(
                [self._read(forward, x), *(self._read(cell, x[backwards])[backwards] for cell in backward)], 2
            )
            x = x + y if self.residual and x.shape == y.shape else y  # (T, B, H)
            if shown is not None and index + 1 in shown:
                shown[index + 1] = mask_padding(x.transpose(0, 1), on_device)
        return mask_padding(x.transpose(0, 1), on_device)

    def _read(self, cell: nn.Module, x: Tensor) -> Tensor:
        if not (self.training and self.recurrent_dropout):
            states: Tensor = cell(x)[0]
            return states
        dropped = functional.dropout(cell.get_parameter("weight_hh"), self.recurrent_dropout)
        kept: Tensor = functional_call(cell, {"weight_hh": dropped}, (x,))[0]
        return kept
