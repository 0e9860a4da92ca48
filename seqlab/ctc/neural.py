"""A neural language model in beam search: readings ranked anew, or each symbol scored as prefixes grow."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seqlab.checkpoints import find_checkpoint
from seqlab.errors import ConfigError
from seqlab.lm.neural import EDGE, NeuralLM

UNKNOWN = float(np.log(1e-4))  # log-probability of a symbol that the model has not; it reads on as if it were not there
MOST = 200_000  # readings whose scores are remembered
SYMBOLS = 40_000  # scored at once, padding counted


@lru_cache(maxsize=1)
def _open(path: str, changed: int) -> tuple[NeuralLM, dict[bytes, float | None]]:
    """Return a model, and the readings that it has scored: another decoder with it need not score them again."""
    del changed
    return NeuralLM.load(path), {}


class Neural:
    """A neural language model over the labels of a recogniser, matched by the symbols' text.

    Args:
        path: run folder or checkpoint of the model.
        tokenizer: the recogniser's.
        weight: factor of its log-probabilities.

    Raises:
        ConfigError: the model's labels are of another kind, or it has none of the tokenizer's symbols.
        DataError: the file is no language model.
        FileNotFoundError: there is no such file.
    """

    def __init__(self, path: str, tokenizer: Any, weight: float) -> None:
        file = find_checkpoint(path)
        self.model, self._seen = _open(str(file.resolve()), file.stat().st_mtime_ns)
        self.weight = weight
        theirs = self.model.tokenizer
        index = {symbol: label for label, symbol in enumerate(theirs.symbols) if label}
        self.ids = np.array([EDGE, *(index.get(symbol, -1) for symbol in tokenizer.symbols[1:])], np.int64)
        kind, own = type(theirs).__name__, type(tokenizer).__name__
        if kind != own or (self.ids[1:] < 0).all():
            told = f"reads {kind}, the recogniser {own}" if kind != own else "knows none of the recogniser's symbols"
            raise ConfigError(f"decoder.neural_lm: the model {told}; train one with the recogniser's tokenizer")

    @torch.inference_mode()
    def score(self, readings: Sequence[np.ndarray]) -> np.ndarray:
        """Return the weighted log-probability of each reading, its end included, (N,), natural log.

        Args:
            readings: labels of the recogniser, each (L,).
        """
        rows = [self.ids[reading] for reading in readings]
        keys = [row.tobytes() for row in rows]
        seen = {key: self._seen.get(key) for key in keys}  # several threads may be here
        new = {key: row for key, row in zip(keys, rows, strict=True) if seen[key] is None}
        todo = sorted(new, key=lambda key: len(new[key]))
        while todo:
            count = max(1, min(len(todo), SYMBOLS // (len(new[todo[-1]]) + 1)))
            part, todo = todo[-count:], todo[:-count]
            known = [torch.from_numpy(new[key][new[key] >= 0]) for key in part]
            lengths = torch.tensor([len(row) for row in known])
            scores = self.model.score(torch.nn.utils.rnn.pad_sequence(known, batch_first=True), lengths)
            for key, score, row in zip(part, scores.tolist(), known, strict=True):
                seen[key] = score + UNKNOWN * (len(new[key]) - len(row))
        if len(self._seen) > MOST:
            self._seen.clear()
        self._seen.update((key, seen[key]) for key in new)
        return self.weight * np.array([seen[key] for key in keys], np.float64)

    def factors(self, log_probs: Tensor) -> np.ndarray:
        """Return exp(weight * log p), (N, V), of the recogniser's labels; that of the end of the line at 0."""
        factors = np.exp(self.weight * log_probs.numpy().astype(np.float64)[:, np.maximum(self.ids, 0)])
        factors[:, self.ids < 0] = np.exp(self.weight * UNKNOWN)
        return factors


class Prefixes:
    """State and next symbols of every prefix in the beams of several lines, which are read on together.

    Args:
        neural: the model.
        lines: how many.
        beam: prefixes of a line at most.

    Attributes:
        factors: of each label after each prefix, (B, K, V); at label 0 that of the line's end.
    """

    @torch.inference_mode()
    def __init__(self, neural: Neural, lines: int, beam: int) -> None:
        self.neural = neural
        self.beam = beam
        log_probs, state = neural.model.step(torch.tensor([EDGE]))
        self.state = [part.repeat(1, lines * beam, 1) for part in state]
        self.factors = np.tile(neural.factors(log_probs), (lines * beam, 1)).reshape(lines, beam, -1)

    @torch.inference_mode()
    def follow(self, places: np.ndarray, sources: np.ndarray, labels: np.ndarray) -> None:
        """Put prefixes in their places, those that are new one symbol longer than what they come from.

        Args:
            places: where they are to stand, (N,): line * K + rank.
            sources: where they, or their parents, stood, (N,).
            labels: the symbols by which they are longer, (N,); 0 where they are not.
        """
        table = self.factors.reshape(len(self.factors) * self.beam, -1)
        table[places] = table[sources]
        moved = [part[:, sources] for part in self.state]
        for part, values in zip(self.state, moved, strict=True):
            part[:, places] = values
        new = np.flatnonzero(labels)
        ids = self.neural.ids[labels[new]]
        new, ids = new[ids >= 0], ids[ids >= 0]  # an unknown symbol leaves its prefix's state and next symbols alone
        if len(new):
            state = (moved[0][:, new].contiguous(), moved[1][:, new].contiguous())
            log_probs, after = self.neural.model.step(torch.from_numpy(ids), state)
            table[places[new]] = self.neural.factors(log_probs)
            for part, values in zip(self.state, after, strict=True):
                part[:, places[new]] = values


def moves(tree: np.ndarray, before: np.ndarray, after: np.ndarray, offset: int) -> np.ndarray:
    """Tell where the prefixes of a beam come from: themselves or their parents, in the beam one change before.

    Args:
        tree: the prefixes.
        before: those of the beam before, (K',).
        after: those of the beam, (K'',).
        offset: place of the line's first.

    Returns:
        Places, sources and labels as ``Prefixes.follow`` takes them, (3, N); none if nothing changed.
    """
    if np.array_equal(before, after):
        return np.zeros((3, 0), np.int64)
    order = np.argsort(before)
    nearest = order[np.searchsorted(before, after, sorter=order) % len(before)]
    stays = before[nearest] == after
    parents = tree["parent"][after]
    sources = order[np.searchsorted(before, np.where(stays, after, parents), sorter=order)]
    labels = np.where(stays, 0, tree["label"][after])
    return np.stack([np.arange(len(after)) + offset, sources + offset, labels])
