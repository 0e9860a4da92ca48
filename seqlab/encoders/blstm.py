"""Long short-term memory in torch's fused kernels, one way or both ways."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from seqlab.batch import mask_padding
from seqlab.cells.initial import Init, start_gates
from seqlab.encoders._regular import Dropout, Growth, check_shares

# Up to so many lines bfloat16 is slower than float32 on a CPU: a training step of 2 x 192 takes 1.3 times as long for
# two, 1.1 for three, as long or less for four (scripts/bench/encoder.py --lines 2 --hidden-size 192 --num-layers 2
# --input-size 128 --frames 165, and --lines 3, 4).
SMALL = 3
# Lines times cells squared from which a bfloat16 layer is trained by ``_lstm_products`` on a CPU: below, its calls by
# frame cost more than they save. Two layers, times as fast as float32, torch's kernel and this one: 128 cells and 8
# lines 1.13 and 0.85, 16 lines 1.38 and 1.44; 256 cells and 4 lines 0.92 and 1.05, 512 and 4 lines 0.41 and 1.30.
WIDE = 2**18
PIECE = 16384  # frames, times lines, per piece when no gradient is needed
FEW = 3  # frames up to which a cell by itself is quicker than the fused kernel (scripts/bench/streaming.py)
Layers = list[tuple[Tensor, Tensor]]  # hidden and cell state of each layer, (1, B, any)


class BLSTM(nn.Module):
    """Layers of LSTM (Graves and Schmidhuber 2005), exact for every length in a padded batch.

    The weights are those of one nn.LSTM, and two ways of running it give the same result. On a GPU the batch is
    packed for cuDNN (not measured here: no GPU was at hand). Elsewhere packing would leave the fused kernel, so the
    two directions run as two one-way LSTMs, the backward one on lines reversed each by its own length: 1.4 to 1.9
    times as fast as packing in training. torch.onnx.export(dynamo=False) takes it with free sizes; torch.export
    freezes the number of frames of any LSTM (torch 2.11). Under bf16 autocast the states are bfloat16,
    on a CPU only from four lines on: fewer are quicker in float32.

    torch adds two biases: where `init` sets one, bias_ih holds it and bias_hh a 0.

    Args:
        input_size: features per frame.
        hidden_size: cells per direction and layer.
        num_layers: layers.
        proj_size: size to which each hidden state is projected before it recurs (torch's LSTM with projections, Sak
            et al. 2014); 0 for none. The CPU has no fused kernel for it.
        dropout: share of states set to 0 between layers, while training.
        out_dropout: share of the last layer's states set to 0, while training.
        bidirectional: False reads forward only.
        init: how the gates start, see ``seqlab.cells.initial.start_gates``; with `zero` their biases are random.
        longest_lag: the longest lag expected, in frames, for `init` chrono.
        variational: a line's frames have one mask of dropout, not each its own (Gal and Ghahramani 2016).
        input_dropout: share of features set to 0, while training.
        recurrent_dropout: share of the recurrent weights set to 0 in a step, while training: the mask on them is that
            of all frames and lines ("DropConnect", Merity et al. 2017, AWD-LSTM, section 2), so the kernel stays fused.
        grow_at: shares of training at which one more layer joins in, see ``Growth``; for training in one process.

    Attributes:
        look_ahead: frames that a state waits for where lines are read piece by piece.
    """

    look_ahead = 0

    def __init__(
        self,
        input_size: int,
        hidden_size: int = 320,
        num_layers: int = 3,
        proj_size: int = 0,
        dropout: float = 0.0,
        out_dropout: float = 0.0,
        bidirectional: bool = True,
        init: Init = "one",
        longest_lag: int | None = None,
        variational: bool = False,
        input_dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        grow_at: Sequence[float] = (),
    ) -> None:
        super().__init__()
        if min(input_size, hidden_size, num_layers) < 1:
            raise ValueError(
                "input_size, hidden_size and num_layers must be 1 or more, got "
                f"{input_size}, {hidden_size} and {num_layers}"
            )
        if not 0 <= proj_size < hidden_size:
            raise ValueError(f"proj_size must be 0 or lie below hidden_size = {hidden_size}, got {proj_size}")
        check_shares(
            dropout=dropout, out_dropout=out_dropout, input_dropout=input_dropout, recurrent_dropout=recurrent_dropout
        )
        self.out_dropout = Dropout(out_dropout, 1 if variational else None)
        self.in_dropout = Dropout(input_dropout, 0 if variational else None)
        self.between = Dropout(dropout, 0 if variational else None)
        self.recurrent_dropout = recurrent_dropout
        self.num_layers = num_layers
        self.growth = Growth(num_layers, grow_at)
        # what one call for all layers cannot do
        self._special = bool(variational or input_dropout or recurrent_dropout or grow_at)
        self.lstm = nn.LSTM(
            input_size,
            hidden_size,
            num_layers,
            batch_first=True,
            # torch warns about dropout that has no gap to act in.
            dropout=dropout if num_layers > 1 else 0.0,
            bidirectional=bidirectional,
            proj_size=proj_size,
        )
        self.num_features = (proj_size or hidden_size) * (2 if bidirectional else 1)
        self._start(init, longest_lag)

    @torch.no_grad()
    def _start(self, init: Init, longest_lag: int | None) -> None:
        size = self.lstm.hidden_size
        for names in self.lstm._all_weights:
            weights = {name[:9]: getattr(self.lstm, name)[: 2 * size] for name in names if "hr" not in name}
            # gates lie in the order input, forget, cell, output
            bias, other = weights.pop("bias_ih_l"), weights.pop("bias_hh_l")
            start_gates(init, longest_lag, bias[size:], bias[:size], tuple(w[size:] for w in weights.values()))
            if init != "zero":
                other[size if init == "one" else 0 :] = 0.0

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
        special = self._special and (self.training or bool(self.growth.grow_at))
        if special or (self.lstm.bidirectional and not x.is_cuda):
            x = self._reversed(x, lengths)
        elif self.lstm.bidirectional:
            x = self._packed(x, lengths)
        else:
            x = mask_padding(self.lstm(x)[0], lengths.to(x.device))  # what comes after a line never reaches it
        return self.out_dropout(x), lengths

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
        y = self._reversed(x, lengths, shown)
        below = [self.out_dropout(shown[layer]) for layer in layers if layer < self.growth.layers]
        return self.out_dropout(y), below, lengths

    @property
    def streams(self) -> bool:
        """Whether lines can be read piece by piece, see ``read_on``."""
        return not self.lstm.bidirectional

    def read_on(self, x: Tensor, state: Any = None, last: bool = False) -> tuple[Tensor, Any]:
        """Read the next frames of lines of equal length; all answers together are the states of ``forward``.

        Args:
            x: the next features (B, T, F), T may be 0.
            state: what the call before returned; None at the beginning of the lines.
            last: these are the last frames.

        Returns:
            The states that are certain by now, (B, T', H), and what the next call needs.
        """
        if not x.shape[1]:
            return x.new_zeros(len(x), 0, self.lstm.proj_size or self.lstm.hidden_size), state
        x, after = x.transpose(0, 1), []
        for layer in range(self.growth.layers):
            before = state[layer] if state else self._zeros(x)
            x, ends = self._few(x, before, layer) if len(x) <= FEW else self._many(x, before, layer)
            after.append(ends)
        return x.transpose(0, 1), after

    def _many(self, x: Tensor, before: tuple[Tensor, Tensor], layer: int) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        x, h, c = torch.lstm(x, before, self._weights(layer), True, 1, 0.0, False, False, False)
        return x, (h, c)

    def _few(self, x: Tensor, before: tuple[Tensor, Tensor], layer: int) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        if self.lstm.proj_size or not len(x):
            return self._many(x, before, layer)
        h, c = before[0][0], before[1][0]
        states = []
        for frame in x:
            h, c = torch.lstm_cell(frame, (h, c), *self.lstm.all_weights[layer])
            states.append(h)
        return torch.stack(states), (h[None], c[None])

    def _weights(self, index: int) -> list[Tensor]:
        """Return the weights of a layer, or of one direction of it: forward and backward by turns."""
        return list(self.lstm.all_weights[index])

    def _zeros(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the states before the first frame of x (T, B, F)."""
        sizes = self.lstm.proj_size or self.lstm.hidden_size, self.lstm.hidden_size
        return x.new_zeros(1, x.shape[1], sizes[0]), x.new_zeros(1, x.shape[1], sizes[1])

    def _packed(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Run all layers on a packed batch."""
        # An empty line cannot be packed: it is given one frame, and loses it below.
        packed = pack_padded_sequence(x, lengths.cpu().clamp(min=1), batch_first=True, enforce_sorted=False)
        x, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=x.shape[1])
        return mask_padding(x, lengths.to(x.device))

    def _reversed(self, x: Tensor, lengths: Tensor, shown: dict[int, Tensor] | None = None) -> Tensor:
        """Run each direction of each layer on the padded batch, the backward one on lines reversed by their lengths.

        States of the layers that `shown` names, from 1, are put into it.
        """
        if x.shape[0] <= SMALL and not torch.compiler.is_compiling() and torch.is_autocast_enabled(x.device.type):
            with torch.autocast(x.device.type, enabled=False):
                return self._reversed(x.float(), lengths, shown)
        lengths = lengths.to(x.device)
        backwards = _reversal(lengths, x.shape[1])
        x = self.in_dropout(x.transpose(0, 1))  # (T, B, F), the order in which the kernel runs
        ways = 2 if self.lstm.bidirectional else 1
        for layer in range(self.growth.layers):
            if layer:
                x = self.between(x)
            weights = self.lstm.all_weights[ways * layer : ways * layer + ways]
            x = self._run(x, weights[0]) if ways == 1 else self._both_ways(x, weights, backwards)  # (T, B, H)
            if shown is not None and layer + 1 in shown:
                shown[layer + 1] = mask_padding(x.transpose(0, 1), lengths)
        return mask_padding(x.transpose(0, 1), lengths)

    def _by_products(self, x: Tensor) -> bool:
        """Whether x (T, B, F) is trained on in bfloat16 by ``_lstm_products``, which is quick for large products."""
        if x.device.type != "cpu" or self.lstm.proj_size or x.shape[1] * self.lstm.hidden_size**2 < WIDE:
            return False
        if torch.compiler.is_compiling() or torch.jit.is_tracing() or not torch.is_grad_enabled():
            return False
        return torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16

    def _both_ways(self, x: Tensor, weights: Sequence[Sequence[Tensor]], backwards: tuple[Tensor, Tensor]) -> Tensor:
        states = self._run(x, weights[0])
        reverse = self._run(x, weights[1], backwards)
        return torch.cat([states, _reordered(reverse, backwards)], 2)

    def _run(self, x: Tensor, weights: Sequence[Tensor], order: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """Run one direction of one layer over x (T, B, F), reordered if an order is given, from states of 0.

        Without gradients a long recording runs in pieces that hand their states on: the same result, and the kernel's
        own memory (all gates of all frames) stays that of a piece.
        """
        if self.training and self.recurrent_dropout:
            dropped = functional.dropout(weights[1], self.recurrent_dropout)
            weights = [weights[0], dropped, *weights[2:]]
        frames, lines = x.shape[:2]
        whole = torch.is_grad_enabled() or torch.compiler.is_compiling() or torch.jit.is_tracing()
        if whole and order is not None:
            x, order = _reordered(x, order), None
        if self._by_products(x):
            from seqlab.encoders import _lstm_products  # here: numba is slow to import, and only training needs it

            return _lstm_products.lstm(x.bfloat16(), [weight.bfloat16() for weight in weights])
        hidden, cell = self._zeros(x)
        size = frames if whole else max(PIECE // lines, 1)
        answers = []
        for begin in range(0, frames, size) if not whole and frames > size else (0,):
            part = slice(begin, begin + size)
            piece = x[part] if order is None else x[order[0][part], order[1]]
            answer, hidden, cell = torch.lstm(
                piece, (hidden, cell), tuple(weights), True, 1, 0.0, self.training, False, False
            )
            answers.append(answer)
        return torch.cat(answers) if len(answers) > 1 else answers[0]


class _Reordered(torch.autograd.Function):
    """Reorder x (T, B, F) by a reversal, which is its own inverse; torch's own gradient of indexing adds up slowly."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rows: Tensor) -> Tensor:
        ctx.save_for_backward(rows)
        return x.flatten(0, 1).index_select(0, rows).view_as(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad.flatten(0, 1).index_select(0, ctx.saved_tensors[0]).view_as(grad), None


def _reordered(x: Tensor, order: tuple[Tensor, Tensor]) -> Tensor:
    if not x.requires_grad or torch.compiler.is_compiling() or torch.jit.is_tracing():
        return x[order]
    reordered: Tensor = _Reordered.apply(x, (order[0] * x.shape[1] + order[1]).flatten())
    return reordered


def _reversal(lengths: Tensor, frames: int) -> tuple[Tensor, Tensor]:
    """Return the index that reverses x (T, B, F) in time, each line by its length; padding stays in place."""
    time = torch.arange(frames, device=lengths.device)[:, None]
    source = torch.where(time < lengths, lengths - 1 - time, time)  # (T, B)
    return source, torch.arange(lengths.shape[0], device=lengths.device)
