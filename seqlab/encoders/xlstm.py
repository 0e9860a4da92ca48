"""xLSTM: residual blocks of mLSTM and sLSTM, one way or both ways (Beck et al. 2024)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqlab.batch import mask_padding
from seqlab.cells.cell import Cell
from seqlab.cells.mlstm import MLSTM, HeadNorm
from seqlab.cells.slstm import SLSTM
from seqlab.encoders._regular import check_shares
from seqlab.encoders.blstm import _reversal

Order = tuple[Tensor, Tensor]


class XLSTM(nn.Module):
    """A linear map to hidden_size, pre-norm residual blocks, and a last layer norm; exact in a padded batch.

    An "m" block (Beck et al. 2024, figure 11) lets mLSTM read at `expansion` times the width: q, k, v and the output
    gate are themselves the projection up, a linear map leads down. An "s" block (figure 10) is an sLSTM at the width
    of the line, its heads normalised, and then a gated feed-forward layer of 4/3 the width. Both without the paper's
    convolution over four frames: here a stem does that. Two directions are two cells in each block, the backward one on
    lines reversed each by its own length; "m" joins them in the map down, "s" adds them.

    Args:
        input_size: features per frame.
        hidden_size: width of the line, and size of the output.
        num_layers: blocks.
        blocks: kinds of block, "m" and "s", from the first on and over again: "ms" alternates, "m" is mLSTM alone.
        num_heads: heads of every cell; must divide hidden_size and expansion * hidden_size.
        expansion: width of an mLSTM over hidden_size.
        dropout: share of what each block adds set to 0, while training.
        out_dropout: share of the output set to 0, while training.
        bidirectional: False reads forward only.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int = 256,
        num_layers: int = 4,
        blocks: str = "ms",
        num_heads: int = 4,
        expansion: int = 2,
        dropout: float = 0.0,
        out_dropout: float = 0.0,
        bidirectional: bool = True,
    ) -> None:
        super().__init__()
        if min(input_size, hidden_size, num_layers, expansion) < 1:
            raise ValueError(
                "input_size, hidden_size, num_layers and expansion must be 1 or more, got "
                f"{input_size}, {hidden_size}, {num_layers} and {expansion}"
            )
        if not blocks or set(blocks) - {"m", "s"}:
            raise ValueError(f"blocks must be letters m and s, such as ms, got {blocks!r}")
        check_shares(dropout=dropout, out_dropout=out_dropout)
        ways = 2 if bidirectional else 1
        self.linear = nn.Linear(input_size, hidden_size)
        self.blocks = nn.ModuleList(
            _SBlock(hidden_size, num_heads, ways, dropout)
            if blocks[layer % len(blocks)] == "s"
            else _MBlock(hidden_size, num_heads, ways, expansion, dropout)
            for layer in range(num_layers)
        )
        self.num_layers = num_layers
        self.norm = nn.LayerNorm(hidden_size)
        self.out_dropout = nn.Dropout(out_dropout)
        self.num_features = hidden_size

    def num_frames(self, lengths: Tensor) -> Tensor:
        """Return the lengths as they are."""
        return lengths

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Turn features into states.

        Args:
            x: features (B, T, F).
            lengths: frames per line, (B,).

        Returns:
            States (B, T, H) and the lengths; states past a length are 0.
        """
        return self.intermediate(x, lengths, ())[0], lengths

    def intermediate(self, x: Tensor, lengths: Tensor, layers: Sequence[int]) -> tuple[Tensor, list[Tensor], Tensor]:
        """Turn features into states, and show those of lower layers too.

        Args:
            x: features (B, T, F).
            lengths: frames per line, (B,).
            layers: numbers of layers, from 1.

        Returns:
            States as of ``forward``, states of each of the layers, (B, T, H), by the same norm, and the lengths.
        """
        on_device = lengths.to(x.device)
        backwards = _reversal(on_device, x.shape[1])
        x = self.linear(mask_padding(x, on_device).transpose(0, 1))  # (T, B, H)
        states = []
        for block in self.blocks:
            x = block(x, backwards)
            states.append(x)
        shown = [self.norm(states[layer - 1]).transpose(0, 1) for layer in (self.num_layers, *layers)]  # (B, T, H)
        last, *below = (self.out_dropout(mask_padding(y, on_device)) for y in shown)
        return last, below, lengths


class _MBlock(nn.Module):
    def __init__(self, size: int, num_heads: int, ways: int, expansion: int, dropout: float) -> None:
        super().__init__()
        inner = expansion * size
        self.norm = nn.LayerNorm(size)
        self.cells = nn.ModuleList(MLSTM(size, inner, num_heads, norm=True) for _ in range(ways))
        self.down = nn.Linear(ways * inner, size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, backwards: Order) -> Tensor:
        read = _read(self.cells, self.norm(x), backwards)
        out: Tensor = x + self.dropout(self.down(torch.cat(read, 2)))
        return out


class _SBlock(nn.Module):
    def __init__(self, size: int, num_heads: int, ways: int, dropout: float) -> None:
        super().__init__()
        inner = max(4 * size // 3, 1)
        self.norm = nn.LayerNorm(size)
        self.cells = nn.ModuleList(SLSTM(size, size, num_heads) for _ in range(ways))
        self.head_norms = nn.ModuleList(HeadNorm(size, num_heads) for _ in range(ways))
        self.up_norm = nn.LayerNorm(size)
        self.up = nn.Linear(size, 2 * inner)
        self.down = nn.Linear(inner, size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, backwards: Order) -> Tensor:
        read = _read(self.cells, self.norm(x), backwards)
        for states, norm in zip(read, self.head_norms, strict=True):
            x = x + self.dropout(norm(states))
        gate, value = self.up(self.up_norm(x)).chunk(2, 2)
        out: Tensor = x + self.dropout(self.down(functional.gelu(gate) * value))
        return out


def _read(cells: nn.ModuleList, x: Tensor, backwards: Order) -> list[Tensor]:
    """Return what each direction's cell gives for x (T, B, H), both in the order of x."""
    outputs = []
    for way, cell in enumerate(cells):
        assert isinstance(cell, Cell)
        outputs.append(cell(x[backwards])[0][backwards] if way else cell(x)[0])
    return outputs
