"""What a long-lag task is: sequences with targets at some of their steps, and a rule that says when it is learnt."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from seqlab.lab.criteria import HeldOut, Streak


@dataclass(slots=True)
class Sequences:
    """Several sequences, padded with zeros at the end.

    Attributes:
        x: inputs, (B, T, F).
        lengths: steps per sequence, (B,), int64.
        steps: the steps whose outputs count, (B, K), int64; -1 where a sequence has fewer.
        target: what the outputs should be there, (B, K, O); 0 where steps are -1.
        allowed: outputs that may be the largest there, (B, K, O), bool; None where only their values matter.
        truth: target without noise, (B, K, O); None where the target has none.
    """

    x: Tensor
    lengths: Tensor
    steps: Tensor
    target: Tensor
    allowed: Tensor | None = None
    truth: Tensor | None = None

    def __len__(self) -> int:
        return len(self.lengths)

    def pick(self, index: slice | Tensor) -> "Sequences":
        """Return some of the sequences, with no more padding than they need."""
        lengths, steps = self.lengths[index], self.steps[index]
        frames = int(lengths.max())
        counted = int((steps >= 0).sum(1).max())

        def some(y: Tensor | None) -> Tensor | None:
            return None if y is None else y[index, :counted]

        x, target = self.x[index, :frames], self.target[index, :counted]
        return Sequences(x, lengths, steps[:, :counted], target, some(self.allowed), some(self.truth))


class Task:
    """One task: its sizes, its sequences, what an error is and when it is learnt.

    Attributes:
        num_inputs: features per step, F.
        num_outputs: outputs, O.
        one_of: exactly one output is to be 1 and the others 0: softmax and cross-entropy make sense.
        foretells: targets are inputs of later steps, so an encoder must not read ahead.
        criterion: when training is done, as published.
        limit: a sequence is wrong when its error reaches this.
        pool: sequences that training draws from, again and again; 0: always new ones.
    """

    num_inputs: int
    num_outputs: int
    one_of: bool = False
    foretells: bool = False
    criterion: Streak | HeldOut
    limit: float
    pool: int = 0

    def draw(self, rng: np.random.Generator, count: int) -> Sequences:
        """Draw sequences.

        Args:
            rng: where chance comes from.
            count: number of sequences, B.
        """
        raise NotImplementedError

    def errors(self, y: Tensor, batch: Sequences) -> tuple[Tensor, Tensor]:
        """Measure each sequence.

        Args:
            y: outputs at the steps that count, in [0, 1] or about it, (B, K, O).
            batch: the sequences.

        Returns:
            The largest and the mean absolute difference from the target (from its truth, where it is noisy), (B,) each.
            Where a task says what is allowed, the former is 1 if any largest output is not allowed, else 0.
        """
        counts = (batch.steps >= 0)[:, :, None]
        target = batch.target if batch.truth is None else batch.truth
        difference = (y - target).abs() * counts
        mean = difference.sum((1, 2)) / (counts.sum((1, 2)) * y.shape[2])
        if batch.allowed is None:
            return difference.amax((1, 2)), mean
        right = batch.allowed.gather(2, y.argmax(2, keepdim=True)) | ~counts
        return (~right.all(1))[:, 0].to(y.dtype), mean


def at_end(x: np.ndarray, lengths: np.ndarray, target: np.ndarray, truth: np.ndarray | None = None) -> Sequences:
    """Make sequences whose outputs count at the last step alone.

    Args:
        x: inputs, (B, T, F); what stands past a length is set to 0.
        lengths: steps per sequence, (B,).
        target: (B, O).
        truth: target without noise, (B, O).
    """
    x[np.arange(x.shape[1]) >= lengths[:, None]] = 0
    return Sequences(
        torch.from_numpy(x),
        torch.from_numpy(lengths),
        torch.from_numpy(lengths[:, None] - 1),
        _column(target),
        truth=None if truth is None else _column(truth),
    )


def _column(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values[:, None].astype(np.float32))


def one_hot(symbols: np.ndarray, size: int) -> np.ndarray:
    """Return vectors (..., size) with a 1 at each symbol, float32."""
    vectors = np.zeros((*symbols.shape, size), np.float32)
    np.put_along_axis(vectors, symbols[..., None], 1.0, -1)
    return vectors


def check(**least: tuple[float, float]) -> None:
    """Refuse values below the smallest that makes sense: name=(value, smallest).

    Raises:
        ValueError: with the name.
    """
    for name, (value, smallest) in least.items():
        if value < smallest:
            raise ValueError(f"{name} must be {smallest} or more, got {value}")
