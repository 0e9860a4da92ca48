"""Manifest lines as examples: read, augmented, labelled."""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from torch.utils.data import Dataset

from seqlab.batch import Example
from seqlab.data.augment import Augmentation, Drawn, apply_all, draw_all
from seqlab.data.sources import Source
from seqlab.errors import DataError
from seqlab.manifest import Line

Rejoin = Callable[[Line, np.random.Generator], Line]


class Tokenizer(Protocol):
    """What the data needs of a tokenizer."""

    def normalize(self, text: str) -> str: ...  # noqa: D102
    def encode(self, text: str, skip_unknown: bool = False) -> list[int]: ...  # noqa: D102


class LineDataset(Dataset[Example]):
    """Lines of a manifest as examples.

    Args:
        lines: the lines.
        tokenizer: turns text into labels.
        source: reads the lines.
        seed: seed of all augmentation.
        augment: signal augmentations, in order.
        rejoin: joins a new line in place of each, or None.
        training: unknown characters are an error in training and left out of the labels otherwise.
    """

    def __init__(
        self,
        lines: Sequence[Line],
        tokenizer: Tokenizer,
        source: Source,
        seed: int = 0,
        augment: Sequence[Augmentation] = (),
        rejoin: Rejoin | None = None,
        training: bool = False,
    ) -> None:
        self.lines = lines
        self.tokenizer = tokenizer
        self.source = source
        self.seed = seed
        self.augment = list(augment)
        self.rejoin = rejoin
        self.training = training
        self.planned: list[tuple[Line, Drawn]] = []
        self.epoch = -1

    def plan(self, epoch: int) -> np.ndarray:
        """Draw what happens to every line in an epoch; returns about how many samples each will have, (lines,)."""
        self.epoch = epoch
        self.planned = []
        sizes = np.zeros(len(self.lines), dtype=np.int64)
        for index, line in enumerate(self.lines):
            drawn: Drawn = []
            stretch = 1.0
            if self.augment or self.rejoin:
                rng = np.random.default_rng([self.seed, epoch, index])
                if self.rejoin:
                    line = self.rejoin(line, rng)
                drawn, stretch = draw_all(self.augment, rng)
            self.planned.append((line, drawn))
            sizes[index] = round(self.source.size(line) * stretch)
        return sizes

    def __len__(self) -> int:
        return len(self.lines)

    def __getitem__(self, index: int) -> Example:
        """Read one line as it was planned for the epoch."""
        line, drawn = self.planned[index]
        try:
            signal = self.source.read(line)
            if drawn:
                signal = apply_all(drawn, signal, np.random.default_rng([self.seed, self.epoch, index, 1]))
            signal = self.source.signal(signal)
        except (DataError, FileNotFoundError) as error:
            raise DataError(f"{error}. 'seqlab doctor' looks at every line and names all like this one") from None
        labels = self.tokenizer.encode(line.text, skip_unknown=not self.training)
        return Example(
            line.id,
            torch.from_numpy(np.ascontiguousarray(signal, dtype=np.float32)),
            self.tokenizer.normalize(line.text),
            torch.tensor(labels, dtype=torch.int64),
        )
