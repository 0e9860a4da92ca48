"""A BLSTM that waits for a bounded piece of the future: latency-controlled, by chunks with right context."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from seqlab.batch import mask_padding
from seqlab.cells.initial import Init
from seqlab.encoders.blstm import BLSTM, Layers, _reversal


class LatencyControlled(BLSTM):
    """Layers of LSTM that read forward without end, and backward from a little way ahead.

    Zhang et al. 2016, "Highway long short-term memory RNNs for distant speech recognition", section 4 (the
    latency-controlled BLSTM): a line is cut into chunks; all layers read a chunk together with the ``right`` frames
    after it. The forward direction goes on with its state at the end of the chunk before, the backward one begins anew
    at the end of the right context, whose own states are then thrown away. A state thus knows all of the past and at
    least ``right``, at most ``chunk + right - 1`` frames of the future. The work is that of a BLSTM times
    (chunk + right) / chunk.

    The weights are those of ``BLSTM``: a trained one can be read this way, and a line no longer than a chunk with its
    right context has the same states in both.

    Args:
        input_size: features per frame.
        hidden_size: cells per direction and layer.
        num_layers: layers.
        chunk: frames of a chunk, as the encoder sees them, after the stem.
        right: frames of right context, 0 for none.
        dropout: share of states set to 0 between layers, while training.
        out_dropout: share of the last layer's states set to 0, while training.
        init: how the gates start, see ``seqlab.cells.initial.start_gates``.
        input_dropout: share of features set to 0, while training.

    Attributes:
        look_ahead: frames that a state waits for at most.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int = 320,
        num_layers: int = 3,
        chunk: int = 10,
        right: int = 10,
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
            init=init,
            input_dropout=input_dropout,
        )
        self.use_chunks(chunk, right)

    def use_chunks(self, chunk: int, right: int) -> None:
        """Read by other chunks from now on.

        The least future that a state knows is ``right``, what it waits for at most chunk + right - 1: after training,
        smaller chunks with more right context read better for the same wait, and cost more.

        Args:
            chunk: frames of a chunk.
            right: frames of right context, 0 for none.

        Raises:
            ValueError: one is out of range.
        """
        if chunk < 1 or right < 0:
            raise ValueError(f"chunk must be 1 or more and right 0 or more, got {chunk} and {right}")
        self.chunk, self.right = chunk, right
        self.look_ahead = chunk + right - 1

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Turn features into states, see ``BLSTM.forward``."""
        return self.out_dropout(self._reversed(x, lengths)), lengths

    def _reversed(self, x: Tensor, lengths: Tensor, shown: dict[int, Tensor] | None = None) -> Tensor:
        """Run all chunks of all lines, those of a layer at the same time as far as the forward states allow it."""
        frames, size = x.shape[1], self.chunk + self.right
        count = max(-(-frames // self.chunk), 1)
        lengths = lengths.to(x.device)
        begins = torch.arange(count, device=x.device)[:, None] * self.chunk
        inside = (lengths - begins).clamp(0, size).flatten()  # frames of the line in each window, (K * B,)
        backwards = _reversal(inside, size)

        def joined(windows: Tensor) -> Tensor:
            whole = windows[: self.chunk].transpose(0, 1).flatten(0, 1)[:frames]  # (T, B, H)
            return mask_padding(whole.transpose(0, 1), lengths)

        x = self.in_dropout(x.transpose(0, 1))
        x = functional.pad(x, (0, 0, 0, 0, 0, count * self.chunk + self.right - frames))
        x = x.unfold(0, size, self.chunk).permute(3, 0, 1, 2)  # (chunk + right, K, B, F)
        for layer in range(self.num_layers):
            if layer:
                x = self.between(x)
            onward, back = self._weights(2 * layer), self._weights(2 * layer + 1)
            reverse = self._run(x.flatten(1, 2), back, backwards)[backwards]  # (chunk + right, K * B, H)
            x = torch.cat([self._onward(x, onward), reverse.unflatten(1, (count, -1))], 3)
            if shown is not None and layer + 1 in shown:
                shown[layer + 1] = joined(x)
        return joined(x)

    def _onward(self, x: Tensor, weights: list[Tensor]) -> Tensor:
        """Run the forward direction of a layer over windows (chunk + right, K, B, F), chunk after chunk."""
        state = self._zeros(x[:, 0])
        chunks, states = [], []
        for window in x[: self.chunk].unbind(1):
            y, h, c = torch.lstm(window, state, weights, True, 1, 0.0, self.training, False, False)
            state = h, c
            chunks.append(y)
            states.append(state)
        main = torch.stack(chunks, 1)
        if not self.right:
            return main
        ends = tuple(torch.cat(part, 1) for part in zip(*states, strict=True))  # each (1, K * B, H)
        ahead = torch.lstm(x[self.chunk :].flatten(1, 2), ends, weights, True, 1, 0.0, self.training, False, False)[0]
        return torch.cat([main, ahead.unflatten(1, main.shape[1:3])])

    @property
    def streams(self) -> bool:
        """True: lines can be read piece by piece."""
        return True

    def read_on(self, x: Tensor, state: Any = None, last: bool = False) -> tuple[Tensor, Any]:
        """Read the next frames of lines of equal length, see ``BLSTM.read_on``; states come a chunk at a time."""
        held, layers = state or (x[:, :0], None)
        held = torch.cat([held, x], 1)
        size = self.chunk + self.right
        answers = [x.new_zeros(len(x), 0, self.num_features)]
        while held.shape[1] >= size or (last and held.shape[1]):
            states, layers = self._window(held[:, :size].transpose(0, 1), layers)
            answers.append(states.transpose(0, 1))
            held = held[:, self.chunk :]
        return torch.cat(answers, 1), (held, layers)

    def _window(self, x: Tensor, before: Layers | None) -> tuple[Tensor, Layers]:
        """Read one window (T, B, F); returns the states of its chunk and the forward states after it."""
        after: Layers = []
        for layer in range(self.num_layers):
            onward, back = self._weights(2 * layer), self._weights(2 * layer + 1)
            begin = before[layer] if before else self._zeros(x)
            main, h, c = torch.lstm(x[: self.chunk], begin, onward, True, 1, 0.0, False, False, False)
            after.append((h, c))
            if len(x) > self.chunk:
                ahead = torch.lstm(x[self.chunk :], (h, c), onward, True, 1, 0.0, False, False, False)[0]
                main = torch.cat([main, ahead])
            reverse = torch.lstm(x.flip(0), self._zeros(x), back, True, 1, 0.0, False, False, False)[0].flip(0)
            x = torch.cat([main, reverse], 2)
        return x[: self.chunk], after
