"""What a line is on its way to the model: Example, Batch, padding and masks.

Shape letters, used in every docstring of seqlab:
    B lines    S samples of audio or columns of an image    Y image rows    T frames    F features
    H states   L labels    V symbols with blank    K beam

A line is one utterance or one text line; lengths are integer counts of the tensor that they accompany.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

LARGE = 8 * 2**20  # bytes from which a tensor goes through shared memory


@dataclass(slots=True)
class Example:
    """One line, ready for a batch.

    Attributes:
        id: the line's id in its manifest.
        signal: audio in [-1, 1], (S,); images are (S, Y), strokes (S, channels).
        text: the reference, normalised by the tokenizer.
        labels: label ids, (L,), never blank.
    """

    id: str
    signal: Tensor
    text: str
    labels: Tensor


@dataclass(slots=True)
class Batch:
    """Several lines, padded with zeros at the end.

    Attributes:
        ids: ids of the lines, B of them.
        signal: (B, S, ...).
        lengths: valid samples per line, (B,), int64.
        texts: references, B of them.
        labels: (B, L), padded with 0 (blank).
        label_lengths: (B,), int64.
    """

    ids: list[str]
    signal: Tensor
    lengths: Tensor
    texts: list[str]
    labels: Tensor
    label_lengths: Tensor

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "Batch":
        """Return the batch with its tensors on another device."""

        def move(x: Tensor) -> Tensor:
            return x.to(device, non_blocking=non_blocking)

        return Batch(
            self.ids, move(self.signal), move(self.lengths), self.texts, move(self.labels), move(self.label_lengths)
        )

    def pin_memory(self) -> "Batch":
        """Return the batch with its tensors in page-locked memory (called by torch's DataLoader)."""
        return Batch(
            self.ids,
            self.signal.pin_memory(),
            self.lengths,
            self.texts,
            self.labels.pin_memory(),
            self.label_lengths,
        )

    def __len__(self) -> int:
        return len(self.ids)

    def __reduce__(self) -> tuple[Any, ...]:
        """Go from process to process as arrays: each tensor sent as such takes a file and a connection of its own."""
        tensors = self.signal, self.lengths, self.labels, self.label_lengths
        return _received, (self.ids, self.texts, *(_sendable(x) for x in tensors))


def _sendable(x: Tensor) -> Any:
    return x.numpy() if x.device.type == "cpu" and x.nbytes < LARGE else x


def _received(ids: list[str], texts: list[str], *sent: Any) -> Batch:
    signal, lengths, labels, label_lengths = (x if isinstance(x, Tensor) else torch.from_numpy(x) for x in sent)
    return Batch(ids, signal, lengths, texts, labels, label_lengths)


def pad(rows: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Stack rows of unequal length, zeros at the end.

    Args:
        rows: tensors (S_i, ...), equal in all but the first dimension.

    Returns:
        (B, max S, ...) and the lengths (B,), int64.
    """
    lengths = torch.tensor([len(row) for row in rows], dtype=torch.int64)
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True), lengths


def collate(examples: Sequence[Example]) -> Batch:
    """Join examples into one padded batch."""
    signal, lengths = pad([e.signal for e in examples])
    labels, label_lengths = pad([e.labels for e in examples])
    return Batch([e.id for e in examples], signal, lengths, [e.text for e in examples], labels, label_lengths)


def valid_mask(lengths: Tensor, size: int) -> Tensor:
    """True where a position counts.

    Args:
        lengths: (B,), integer.
        size: length of the padded dimension.

    Returns:
        (B, size), bool.
    """
    return torch.arange(size, device=lengths.device)[None, :] < lengths[:, None]


def mask_padding(x: Tensor, lengths: Tensor) -> Tensor:
    """Set everything past each line's length to 0; x is (B, T, ...)."""
    mask = valid_mask(lengths, x.shape[1])
    return x.masked_fill(~mask.reshape(*mask.shape, *[1] * (x.dim() - 2)), 0)
