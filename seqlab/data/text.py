"""Lines of text to learn a language model from: of manifests, plain files, or both."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seqlab.errors import DataError
from seqlab.lm.units import read_text
from seqlab.manifest import Line

if TYPE_CHECKING:
    from torch import Tensor

MOST = 20_000  # characters of a line: each costs the training of a language model memory


class Text:
    """What stands in a frontend's place where lines are text: a frame is a character."""

    kind = "text"
    sample_rate = 1.0

    def num_frames(self, lengths: "Tensor") -> "Tensor":
        """Return frames per line, (B,)."""
        return lengths


class TextSource:
    """Lines without a signal: only their size is of use."""

    kind = "text"
    unit = "characters"

    def __init__(self, frontend: object, cache_mb: int = 0) -> None:
        del frontend, cache_mb

    def size(self, line: Line) -> int:
        """Return the characters of a line, its end counted."""
        return len(line.text) + 1

    def read(self, line: Line) -> np.ndarray:
        """Return zeros, one per character."""
        return np.zeros(self.size(line), np.float32)

    def open(self, path: str | Path) -> np.ndarray:
        """Refuse: there is nothing to transcribe."""
        raise DataError(f"{path}: a language model reads no files")

    def signal(self, array: np.ndarray) -> np.ndarray:
        """Return the zeros."""
        return array


def read_texts(paths: Iterable[str]) -> list[Line]:
    """Read the texts of manifests (.jsonl) and of text files, one line each; .gz of both; empty lines are left out.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: a file is damaged or empty, or a line too long.
    """
    lines: list[Line] = []
    for path in paths:
        before = len(lines)
        for number, text in read_text(path):
            where = f"{path}:{number}"
            if len(text) > MOST:
                raise DataError(f"{where}: {len(text)} characters in one line; break it, {MOST} are the most")
            lines.append(Line(id=where, text=text, where=where))
        if len(lines) == before:
            raise DataError(f"{path}: there is no text in it")
    return lines
