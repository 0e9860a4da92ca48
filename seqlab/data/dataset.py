"""Manifest lines as examples: read, augmented, labelled."""

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch.utils.data import Dataset

from seqlab.batch import Example
from seqlab.data.augment import Augmentation, Drawn, Rejoin, apply_all, draw_all
from seqlab.errors import DataError
from seqlab.manifest import Line, used_seconds
from seqlab.media import audio_info, read_audio, read_line


class Tokenizer(Protocol):
    """What the data needs of a tokenizer."""

    def normalize(self, text: str) -> str: ...  # noqa: D102
    def encode(self, text: str, skip_unknown: bool = False) -> list[int]: ...  # noqa: D102


class AudioCache:
    """Decoded recordings kept in memory, the least recently used dropped first.

    Args:
        megabytes: most memory to use; 0 keeps nothing.
    """

    def __init__(self, megabytes: int) -> None:
        self.limit = megabytes * 2**20
        self.used = 0
        self._kept: OrderedDict[tuple[str, int | None], tuple[np.ndarray, int]] = OrderedDict()

    def read(self, path: str | Path, sample_rate: int | None = None) -> tuple[np.ndarray, int]:
        """Return audio (S,) and its rate as ``media.read_audio``; callers must not write into it."""
        key = (str(path), sample_rate)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        audio, rate = read_audio(path, sample_rate)
        if audio.nbytes <= self.limit // 8:
            self._kept[key] = audio, rate
            self.used += audio.nbytes
            while self.used > self.limit:
                self.used -= self._kept.popitem(last=False)[1][0].nbytes
        return audio, rate


def duration(line: Line) -> float:
    """Return the seconds of a line: as its manifest says, else from the headers of its files."""
    if line.duration_s is None:
        line.duration_s = used_seconds(line, [audio_info(path).duration for path in line.files])
    return line.duration_s


class LineDataset(Dataset[Example]):
    """Lines of a manifest as examples.

    Args:
        lines: the lines.
        tokenizer: turns text into labels.
        sample_rate: rate at which audio is handed out, in Hz.
        seed: seed of all augmentation.
        augment: signal augmentations, in order.
        rejoin: joins a new line in place of each, or None.
        cache_mb: memory for decoded recordings.
        training: unknown characters are an error in training and left out of the labels otherwise.
    """

    def __init__(
        self,
        lines: Sequence[Line],
        tokenizer: Tokenizer,
        sample_rate: int,
        seed: int = 0,
        augment: Sequence[Augmentation] = (),
        rejoin: Rejoin | None = None,
        cache_mb: int = 0,
        training: bool = False,
    ) -> None:
        self.lines = lines
        self.tokenizer = tokenizer
        self.sample_rate = sample_rate
        self.seed = seed
        self.augment = list(augment)
        self.rejoin = rejoin
        self.cache = AudioCache(cache_mb)
        self.training = training
        self.planned: list[tuple[Line, Drawn, float]] = []
        self.epoch = -1

    def plan(self, epoch: int) -> np.ndarray:
        """Draw what happens to every line in an epoch; returns the samples of each line, (lines,)."""
        self.epoch = epoch
        self.planned = []
        for index, line in enumerate(self.lines):
            drawn: Drawn = []
            stretch = 1.0
            if self.augment or self.rejoin:
                rng = np.random.default_rng([self.seed, epoch, index])
                if self.rejoin:
                    line = self.rejoin(line, rng)
                drawn, stretch = draw_all(self.augment, rng)
            self.planned.append((line, drawn, duration(line) * stretch))
        return np.array([round(seconds * self.sample_rate) for _, _, seconds in self.planned], dtype=np.int64)

    def __len__(self) -> int:
        return len(self.lines)

    def __getitem__(self, index: int) -> Example:
        """Read one line as it was planned for the epoch."""
        line, drawn, _ = self.planned[index]
        try:
            signal, rate = read_line(line, self.sample_rate, load=self.cache.read)
        except (DataError, FileNotFoundError) as error:
            raise DataError(f"{error}. 'seqlab doctor' listens to every line and names all like this one") from None
        if drawn:
            signal = apply_all(drawn, signal, rate, np.random.default_rng([self.seed, self.epoch, index, 1]))
        labels = self.tokenizer.encode(line.text, skip_unknown=not self.training)
        return Example(
            line.id,
            torch.from_numpy(np.ascontiguousarray(signal, dtype=np.float32)),
            self.tokenizer.normalize(line.text),
            torch.tensor(labels, dtype=torch.int64),
        )
