"""Manifest lines as examples: read, augmented, labelled."""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from torch.utils.data import Dataset

from seqlab.batch import Example
from seqlab.data.augment import Augmentation, Drawn, apply_all, draw_all
from seqlab.data.sources import Source, sizes_of
from seqlab.errors import DataError
from seqlab.manifest import Line
from seqlab.manifest_index import PIECE

MOST_DRAWS = 2**14  # sets of augmentation parameters per epoch

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
        for augmentation in self.augment:
            augmentation.bind(source, lines)
        self.rejoin = rejoin
        self.training = training
        self.epoch = -1
        self._variants: np.ndarray | None = None  # of every line in this epoch; None: its own index
        self._sizes: np.ndarray | None = None  # samples before augmentation, where they are dear to find

    def begin(self, epoch: int) -> None:
        """Begin an epoch: what happens to a line is drawn from (seed, epoch, its variant) when it is read.

        A line's variant is its index; of more than MOST_DRAWS lines each takes one of so many variants by chance, so
        that lengths of millions of lines are known at once.
        """
        if epoch == self.epoch:
            return
        self.epoch, count = epoch, len(self.lines)
        self._variants = None
        if self.augment and not self.rejoin and count > MOST_DRAWS:
            self._variants = np.random.default_rng([self.seed, epoch]).integers(MOST_DRAWS, size=count, dtype=np.uint16)

    def plan(self, epoch: int) -> np.ndarray:
        """Begin an epoch; returns about how many samples each line will have, (lines,), int32."""
        self.begin(epoch)
        count = len(self.lines)
        if self.rejoin:  # every line is another one, so each must be asked
            return np.array([self._joined_size(index) for index in range(count)], dtype=np.int32)
        if self._sizes is None:
            sizes, cheap = sizes_of(self.lines, self.source)
            if not cheap:
                self._sizes = sizes.copy()
        else:
            sizes = self._sizes.copy()
        if not self.augment:
            return sizes
        draws = min(count, MOST_DRAWS)
        factors = np.array([draw_all(self.augment, self._rng(variant))[1] for variant in range(draws)])
        for begin in range(0, count, PIECE):
            piece = slice(begin, begin + PIECE)
            variants = piece if self._variants is None else self._variants[piece]
            sizes[piece] = np.rint(sizes[piece] * factors[variants])
        return sizes

    def _rng(self, variant: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, self.epoch, variant])

    def _drawn(self, index: int) -> tuple[Line, Drawn, float]:
        """Return what an epoch makes of a line: the line itself or a joined one, and its augmentation."""
        line = self.lines[index]
        if not (self.augment or self.rejoin):
            return line, [], 1.0
        rng = self._rng(index if self._variants is None else int(self._variants[index]))
        if self.rejoin:
            line = self.rejoin(line, rng)
        return line, *draw_all(self.augment, rng)

    def _joined_size(self, index: int) -> int:
        line, _, stretch = self._drawn(index)
        return round(self.source.size(line) * stretch)

    def __len__(self) -> int:
        return len(self.lines)

    def __getitems__(self, batch: tuple[int, list[int]]) -> list[Example]:
        """Read the lines of a batch of an epoch, which a reading process may not have heard of yet."""
        epoch, lines = batch
        self.begin(epoch)
        return [self[index] for index in lines]

    def __getitem__(self, index: int) -> Example:
        """Read one line as it was planned for the epoch."""
        line, drawn, _ = self._drawn(index)
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
