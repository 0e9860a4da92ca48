"""Best-path decoding (Graves et al. 2006, section 3.2)."""

from typing import Any

import numpy as np
from torch import Tensor

from seqlab.ctc.hypothesis import Hypothesis, Span


class Greedy:
    """Take the likeliest symbol of every frame, merge repeats, remove blanks.

    The score is the best path's log-probability; a symbol's confidence is its largest probability in its span.

    Args:
        tokenizer: labels to text, given to every decoder; the best path needs none.
    """

    def __init__(self, tokenizer: Any = None) -> None:
        self.tokenizer = tokenizer

    def __call__(self, log_probs: Tensor, lengths: Tensor) -> list[Hypothesis]:
        """Decode a batch.

        Args:
            log_probs: log-probabilities (B, T, V), blank 0.
            lengths: frames per line, (B,).

        Returns:
            One hypothesis per line.
        """
        best, path = log_probs.float().max(2)
        rows = zip(best.cpu().numpy(), path.cpu().numpy(), lengths.tolist(), strict=True)
        return [self._line(score[:length], labels[:length]) for score, labels, length in rows]

    @staticmethod
    def _line(scores: np.ndarray, path: np.ndarray) -> Hypothesis:
        if not len(path):
            return Hypothesis()
        starts = np.flatnonzero(np.diff(path, prepend=-1))
        ends = np.append(starts[1:], len(path))
        peaks = np.exp(np.maximum.reduceat(scores, starts))
        runs = zip(path[starts].tolist(), starts.tolist(), ends.tolist(), peaks.tolist(), strict=True)
        spans = [Span(label, start, end, min(peak, 1.0)) for label, start, end, peak in runs if label]
        return Hypothesis(spans, float(scores.sum()))
