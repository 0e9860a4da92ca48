"""Label priors: how much of the output each label takes on average; kept in a small JSON file."""

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from seqlab.batch import mask_padding
from seqlab.errors import DataError
from seqlab.files import write_lines

FLOOR = 1e-5  # smallest prior: a label that was never seen must not win by that alone
FILE = "priors.json"  # in a run folder


def mean_posteriors(log_probs: Tensor, lengths: Tensor) -> Tensor:
    """Return the mean of the posteriors over the frames of a batch.

    Args:
        log_probs: log-probabilities (B, T, V).
        lengths: frames per line, (B,).

    Returns:
        (V,), sum 1; NaN if there is no frame.
    """
    return mask_padding(log_probs.exp(), lengths).sum((0, 1)) / lengths.sum()


def estimate(batches: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
    """Estimate priors P(a) as the mean of the posteriors p(a|x) over all frames (Huang et al. 2024, section 3.2).

    Args:
        batches: log-probabilities (B, T, V) and frames per line (B,).

    Returns:
        Log priors (V,), float32, on the CPU.

    Raises:
        DataError: there is no frame.
    """
    total, frames = torch.zeros(()), 0
    for log_probs, lengths in batches:
        count = int(lengths.sum())
        if count:
            total = total + mean_posteriors(log_probs, lengths).double().cpu() * count
            frames += count
    if not frames:
        raise DataError("label priors need one line or more that is long enough for a frame")
    return (total / frames).float().clamp(min=FLOOR).log()


def write(path: str | os.PathLike[str], log_priors: Tensor, symbols: Sequence[str]) -> None:
    """Write priors as JSON, {"symbols": [...], "log_priors": [...]}, whole or not at all."""
    row = {"symbols": list(symbols), "log_priors": [round(x, 6) for x in log_priors.tolist()]}
    write_lines(path, [json.dumps(row, ensure_ascii=False)])


def read(path: str | os.PathLike[str], symbols: Sequence[str]) -> Tensor:
    """Read priors.

    Args:
        path: a file that ``write`` wrote.
        symbols: those of the model.

    Returns:
        Log priors (V,), float32.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: it holds no priors, or those of other symbols.
    """
    made = f"write it with: seqlab align MODEL MANIFEST.jsonl --write-priors {path}"
    if not Path(path).exists():
        raise FileNotFoundError(f"label priors {path} not found; {made}")
    try:
        row: Any = json.loads(Path(path).read_text(encoding="utf-8"))
        log_priors = torch.tensor(row["log_priors"], dtype=torch.float32)
        own = list(row["symbols"])
    except (ValueError, KeyError, TypeError, UnicodeDecodeError):
        raise DataError(f"{path} holds no label priors; {made}") from None
    if own != list(symbols) or log_priors.shape != (len(symbols),) or not bool(torch.isfinite(log_priors).all()):
        raise DataError(f"{path} holds the priors of {len(own)} other symbols than the model's {len(symbols)}; {made}")
    return log_priors


def divide(log_probs: Tensor, log_priors: Tensor, weight: float) -> Tensor:
    """Divide posteriors by priors: log p(a|x) - weight log P(a), not normalised (Huang et al. 2024, equation 5).

    Args:
        log_probs: log-probabilities (..., V).
        log_priors: (V,).
        weight: the paper's alpha, 0 to 1; 0 changes nothing.
    """
    return log_probs - weight * log_priors.to(log_probs) if weight else log_probs
