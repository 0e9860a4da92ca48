"""Any recurrent cell as an encoder: one way or two, deep, with residuals."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqlab.batch import mask_padding
from seqlab.cells.cell import Cell
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

    Raises:
        ValueError: an argument is out of range, or what `cell` makes is no cell.
    """

    def __init__(
        self,
        input_size: int,
        cell: Callable[..., Cell],
        num_layers: int = 3,
        bidirectional: bool = True,
        residual: bool = False,
        dropout: float = 0.0,
        out_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if num_layers < 1:
            raise ValueError(f"num_layers must be 1 or more, got {num_layers}")
        for name, share in (("dropout", dropout), ("out_dropout", out_dropout)):
            if not 0 <= share < 1:
                raise ValueError(f"{name} must lie in [0, 1), got {share}")
        self.residual = residual
        self.dropout = dropout
        self.out_dropout = nn.Dropout(out_dropout)
        self.layers = nn.ModuleList()
        size = input_size
        for _ in range(num_layers):
            directions = [cell(input_size=size) for _ in range(2 if bidirectional else 1)]
            if not isinstance(directions[0], Cell):
                raise ValueError(f"cell: {type(directions[0]).__name__} is no recurrent cell; see conf/encoder/cell")
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
        on_device = lengths.to(x.device)
        backwards = _reversal(on_device, x.shape[1])
        x = x.transpose(0, 1)  # (T, B, F), the order in which cells read
        for index, layer in enumerate(self.layers):
            if index:
                x = functional.dropout(x, self.dropout, self.training)
            forward, *backward = layer.children()
            y = torch.cat([forward(x)[0], *(cell(x[backwards])[0][backwards] for cell in backward)], 2)
            x = x + y if self.residual and x.shape == y.shape else y  # (T, B, H)
        return self.out_dropout(mask_padding(x.transpose(0, 1), on_device)), lengths
