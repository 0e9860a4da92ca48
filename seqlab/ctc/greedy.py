"""Best-path decoding (Graves et al. 2006, section 3.2)."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from seqlab.ctc.hypothesis import Hypothesis, Span

if TYPE_CHECKING:  # decoding needs no torch, see seqlab.onnx_model
    from torch import Tensor


class Greedy:
    """Take the likeliest symbol of every frame, merge repeats, remove blanks.

    The score is the best path's log-probability; a symbol's confidence is its largest probability in its span.

    Args:
        tokenizer: labels to text, given to every decoder; the best path needs none.
    """

    def __init__(self, tokenizer: Any = None) -> None:
        self.tokenizer = tokenizer

    def __call__(self, log_probs: "Tensor", lengths: "Tensor") -> list[Hypothesis]:
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

    def lines(self, emissions: Sequence[np.ndarray]) -> list[Hypothesis]:
        """Decode lines, each log-probabilities (T, V) of its own; returns one hypothesis per line."""
        return [self._line(frames.max(1), frames.argmax(1)) for frames in emissions]

    def stream(self) -> "GreedyStream":
        """Return a decoder for one line whose frames come piece by piece."""
        return GreedyStream(self)

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


class GreedyStream:
    """Best-path decoding of one line whose frames come piece by piece; what is decoded never changes.

    Args:
        decoder: what decodes a piece.
    """

    def __init__(self, decoder: Greedy) -> None:
        self._decoder = decoder
        self._spans: list[Span] = []
        self._score = 0.0
        self._frames = 0

    def accept(self, log_probs: np.ndarray) -> None:
        """Read the next frames (T, V); nothing changes for none."""
        (piece,) = self._decoder.lines([log_probs])
        spans = [replace(s, start=s.start + self._frames, end=s.end + self._frames) for s in piece.spans]
        if spans and self._spans and spans[0].start == self._spans[-1].end and spans[0].label == self._spans[-1].label:
            before = self._spans.pop()  # a run of frames goes on
            spans[0] = replace(spans[0], start=before.start, confidence=max(before.confidence, spans[0].confidence))
        self._spans += spans
        self._score += piece.score
        self._frames += len(log_probs)

    def partial(self) -> tuple[Hypothesis, int]:
        """Return what is read by now, and how many of its symbols are certain: all."""
        return self.finish(), len(self._spans)

    def finish(self) -> Hypothesis:
        """Return what was read."""
        return Hypothesis(list(self._spans), self._score)
