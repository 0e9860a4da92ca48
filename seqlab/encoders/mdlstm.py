"""Multidimensional LSTM: recurrence over time and over the rows of an image (or the bands of a spectrum) at once.

Graves, Fernandez and Schmidhuber, "Multi-dimensional recurrent neural networks", ICANN 2007 (the cell, and the four
scan directions); Graves and Schmidhuber, "Offline handwriting recognition with multidimensional recurrent neural
networks", NIPS 2008 (the hierarchy of levels, and its end in a sequence for CTC); Voigtlaender, Doetsch and Ney,
"Handwriting recognition with large multidimensional LSTM recurrent neural networks", ICFHR 2016 (all cells of a
diagonal at once). Here without peepholes.

Shape letters besides those of seqlab.batch: R rows (blocks of features), C channels of a block, K diagonals.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqlab.batch import mask_padding

CELL_LIMIT = 1e6
DIRECTIONS = 4  # forward or backward in time, times down or up the rows


class MDLSTM(nn.Module):
    """Levels of multidimensional LSTM, exact for every length in a padded batch.

    Each level cuts its input into blocks of (time, features). The first reads the blocks themselves; a later one reads
    tanh of a linear map of blocks of the former level's states, all directions summed with weights of their own. At the
    end the states are summed over the rows. Frames of a half-filled last block count: num_frames rounds up.

    Slow for its size: on one CPU thread a training step takes 13 to 15 times as long as that of a one-layer BLSTM with
    as many weights, and 0.6 to 0.7 times as long as that of the 3 x 320 default (scripts/bench/mdlstm.py).

    Args:
        input_size: features per frame, such as the rows of an image; the last block is filled up with zeros.
        blocks: (frames, features) per block, one pair for each level; of later levels (columns, rows) of states.
        hidden_sizes: cells per direction, one number for each level.
        linear_sizes: outputs of the linear map between levels, one number for each level but the first.
        dropout: share of the outputs of the linear maps set to 0, while training.

    Attributes:
        stride: frames of the input per frame of the output.
        num_features: 4 directions times the cells of the last level.
    """

    def __init__(
        self,
        input_size: int,
        blocks: Sequence[Sequence[int]] = ((2, 4), (2, 2)),
        hidden_sizes: Sequence[int] = (16, 64),
        linear_sizes: Sequence[int] = (32,),
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if not len(blocks) == len(hidden_sizes) == len(linear_sizes) + 1:
            raise ValueError(
                "blocks and hidden_sizes need one entry for each level, linear_sizes one for each but the first, got "
                f"{len(blocks)}, {len(hidden_sizes)} and {len(linear_sizes)}"
            )
        if any(len(block) != 2 or min(block) < 1 for block in blocks):
            raise ValueError(f"blocks must be pairs (frames, features) of 1 or more, got {[list(b) for b in blocks]}")
        if min(input_size, *hidden_sizes, *linear_sizes) < 1:
            raise ValueError(
                "input_size, hidden_sizes and linear_sizes must be 1 or more, got "
                f"{input_size}, {list(hidden_sizes)} and {list(linear_sizes)}"
            )
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must lie in [0, 1), got {dropout}")
        self.blocks = [(time, rows) for time, rows in blocks]
        self.linears, self.layers = nn.ModuleList(), nn.ModuleList()
        size = self.blocks[0][0] * self.blocks[0][1]
        for level, hidden_size in enumerate(hidden_sizes):
            self.layers.append(MDLSTMLayer(size, hidden_size))
            if level < len(linear_sizes):
                area = math.prod(self.blocks[level + 1])
                self.linears.append(nn.Linear(area * DIRECTIONS * hidden_size, linear_sizes[level]))
                size = linear_sizes[level]
        self.dropout = nn.Dropout(dropout)
        self.stride = math.prod(time for time, _ in self.blocks)
        self.num_features = DIRECTIONS * hidden_sizes[-1]

    def num_frames(self, lengths: Tensor) -> Tensor:
        """Return the frames left: lengths divided by the stride, rounded up."""
        return (lengths + self.stride - 1) // self.stride

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Turn features into states.

        Args:
            x: features (B, T, F).
            lengths: frames per line, (B,).

        Returns:
            States (B, ceil(T / stride), H), the directions side by side, and frames per line; states past a length
            are 0.
        """
        frames = self.num_frames(lengths)
        lengths = lengths.to(x.device)
        x = x.unsqueeze(3)  # (B, T, R, C)
        for level, (block, layer) in enumerate(zip(self.blocks, self.layers, strict=True)):
            x = _cut(mask_padding(x, lengths), block)
            lengths = (lengths + block[0] - 1) // block[0]
            if level:
                x = self.dropout(torch.tanh(self.linears[level - 1](x)))
            x = layer(x, lengths)
        return mask_padding(x.sum(2), lengths), frames


class MDLSTMLayer(nn.Module):
    """One layer of multidimensional LSTM cells that scans a plane in four directions, each with weights of its own.

    For time t and row r, with a forget gate for each dimension (Graves et al. 2007, section 2.1):

        i, f_time, f_rows, o = sigmoid(W x(t, r) + U [h(t-1, r), h(t, r-1)] + b), four parts
        z = tanh(the fifth part of the same sum)
        c(t, r) = i z + f_time c(t-1, r) + f_rows c(t, r-1);    h(t, r) = o tanh(c(t, r))

    All forget biases start at 0, not 1 as in one dimension: the two gates then sum to 1 for an input of 0. Where they
    sum to more, c grows without bound, for as many paths lead to a cell as there are ways through the plane (Leifert
    et al., "Cells in multidimensional recurrent neural networks", JMLR 2016). So c is held within +-CELL_LIMIT, far
    past where tanh is 1; infinite, it would make gradients NaN.

    Args:
        input_size: channels of each position.
        hidden_size: cells per direction, N; a direction has 5 N (C + 2 N + 1) weights.
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.weight_ih = nn.Parameter(torch.empty(DIRECTIONS, input_size, 5 * hidden_size))
        self.weight_hh = nn.Parameter(torch.empty(DIRECTIONS, 2 * hidden_size, 5 * hidden_size))
        self.bias = nn.Parameter(torch.zeros(DIRECTIONS, 1, 5 * hidden_size))
        for weight in (self.weight_ih, self.weight_hh):
            nn.init.uniform_(weight, -(hidden_size**-0.5), hidden_size**-0.5)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Scan from all four corners.

        Each line is reversed by its own length, so every scan meets the line before its padding.

        Args:
            x: (B, T, R, C).
            lengths: columns per line, (B,), on the device of x.

        Returns:
            States (B, T, R, 4 N): forward down, forward up, backward down, backward up; they mean nothing past a
            length.
        """
        lines, columns, rows, _ = x.shape
        time = torch.arange(columns, device=x.device)
        source = torch.where(time < lengths[:, None], lengths[:, None] - 1 - time, time)  # (B, T)
        backwards = torch.arange(lines, device=x.device)[:, None], source
        turned = x[backwards]
        x = torch.stack([x, x.flip(2), turned, turned.flip(2)]).flatten(1, 3)  # (4, B T R, C)
        gates = (torch.bmm(x, self.weight_ih) + self.bias).unflatten(1, (lines, columns, rows))
        states = self._scan(gates).to(x.dtype)
        down, up, turned_down, turned_up = states.unbind()
        return torch.cat([down, up.flip(2), turned_down[backwards], turned_up.flip(2)[backwards]], 3)

    def _scan(self, gates: Tensor) -> Tensor:
        """Run the recurrence from the corner (0, 0), diagonal by diagonal.

        Row r is shifted right by r. A column of the result is a diagonal t + r = k of the plane, and its cells need
        nothing but the diagonal before: (t-1, r) in the same row, and (t, r-1) one row above. The shift leaves zeros
        left of column r; their z is tanh(0), so states before the plane stay at 0 without a mask.

        Args:
            gates: what the input brings to each gate, (4, B, T, R, 5 N).

        Returns:
            States (4, B, T, R, N), at least float32.
        """
        _, lines, columns, rows, _ = gates.shape
        cells = self.weight_hh.shape[1] // 2
        skewed = _skew(gates.transpose(2, 3)).permute(3, 0, 1, 2, 4).contiguous()  # (K, 4, B, R, 5 N)
        exact = torch.promote_types(gates.dtype, torch.float32)  # the sums of c suffer in bfloat16
        hidden = gates.new_zeros(DIRECTIONS, lines, rows + 1, cells, dtype=exact)  # row 0 lies above the plane
        cell = hidden
        states = []
        for diagonal in skewed.unbind():
            before = torch.cat([hidden[:, :, 1:], hidden[:, :, :-1]], 3).flatten(1, 2).to(self.weight_hh.dtype)
            total = (diagonal + torch.bmm(before, self.weight_hh).unflatten(1, (lines, rows))).to(exact)
            i, f_time, f_rows, o = total[..., : 4 * cells].sigmoid().chunk(4, 3)
            c = i * total[..., 4 * cells :].tanh() + f_time * cell[:, :, 1:] + f_rows * cell[:, :, :-1]
            c = c.clamp(-CELL_LIMIT, CELL_LIMIT)
            h = o * c.tanh()
            states.append(h)
            hidden, cell = functional.pad(h, (0, 0, 1, 0)), functional.pad(c, (0, 0, 1, 0))
        return _unskew(torch.stack(states, 3), columns).transpose(2, 3)  # (4, B, T, R, N)


def _cut(x: Tensor, block: tuple[int, int]) -> Tensor:
    """Cut (B, T, R, C) into blocks (time, rows) side by side in C, filled up with zeros."""
    time, rows = block
    x = functional.pad(x, (0, 0, 0, -x.shape[2] % rows, 0, -x.shape[1] % time))
    x = x.unflatten(2, (-1, rows)).unflatten(1, (-1, time))  # (B, T', time, R', rows, C)
    return x.transpose(2, 3).flatten(3)


def _skew(x: Tensor) -> Tensor:
    """Shift row r of (..., R, T, C) right by r, zeros around: (..., R, T + R - 1, C)."""
    rows, columns = x.shape[-3:-1]
    # rows of T + R numbers, read as rows of one number less, slip by one more each
    flat = functional.pad(x, (0, 0, 0, rows)).flatten(-3, -2)
    return flat[..., : rows * (columns + rows - 1), :].unflatten(-2, (rows, columns + rows - 1))


def _unskew(x: Tensor, columns: int) -> Tensor:
    """Undo :func:`_skew`: (..., R, T + R - 1, C) to (..., R, T, C)."""
    rows = x.shape[-3]
    flat = functional.pad(x.flatten(-3, -2), (0, 0, 0, rows))
    return flat.unflatten(-2, (rows, columns + rows))[..., :columns, :]
