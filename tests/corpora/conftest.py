"""Fake trees: tones under the names and in the folders of the true corpora."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from seqlab.manifest import line_to_row, read_manifest

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


def write_sphere(path: Path, samples: int = 1600, rate: int = 16000, coding: str | None = None) -> Path:
    """Write a NIST SPHERE file as TIMIT's are: a text header of 1,024 bytes, then 16-bit samples."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = ["NIST_1A", "   1024", "channel_count -i 1", f"sample_count -i {samples}", f"sample_rate -i {rate}"]
    rows += ["sample_n_bytes -i 2", "sample_byte_format -s2 01", "sample_sig_bits -i 16"]
    rows += [f"sample_coding -s{len(coding)} {coding}"] if coding else []
    signal = (3000 * np.sin(2 * np.pi * 440 / rate * np.arange(samples))).astype("<i2")
    path.write_bytes("\n".join([*rows, "end_head\n"]).encode().ljust(1024) + signal.tobytes())
    return path


def rows(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a manifest as JSON objects."""
    return [line_to_row(line) for line in read_manifest(path)]
