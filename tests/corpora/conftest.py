"""Fake trees: tones under the names and in the folders of the true corpora."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

Tone = Callable[..., Path]


@pytest.fixture
def tone() -> Tone:
    """Return a function that writes a tone, making its folders."""

    def write(path: Path, samples: int = 800, rate: int = 8000) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        signal = 0.1 * np.sin(2 * np.pi * 440 / rate * np.arange(samples))
        soundfile.write(path, signal, rate, subtype="PCM_16")
        return path

    return write
