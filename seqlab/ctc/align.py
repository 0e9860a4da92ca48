"""Forced alignment: the best CTC path of a given text, of one line or of hours.

The path is Viterbi's over the labels with blanks between them (Graves 2012, section 7.5.1 with max for sum). Steps back
would take a byte for each of frames x states, 12 GB for an hour; so only every 2048th frame's scores are kept, and the
frames between are computed again on the way back, where few states are still in reach.

torchaudio's forced_align gives the same for short lines (the tests compare them), but keeps every step, and misses the
best path where two scores are equal (pytorch/audio#4221), as they are beside a star.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numba import njit
from torch import Tensor

from seqlab.ctc.feasibility import required_frames
from seqlab.ctc.hypothesis import Hypothesis, Span
from seqlab.ctc.priors import divide
from seqlab.errors import DataError

STAR = -1  # label of what stands for any output whatever
STAR_COST = 1e-3  # nats per frame: a blank frame beside a star stays blank
KEEP = 2048  # frames between two that are kept


def align(
    log_probs: Tensor, labels: Sequence[int], log_priors: Tensor | None = None, prior_weight: float = 0.0
) -> Hypothesis:
    """Find the frames of given labels.

    ``STAR`` among the labels stands for any output, one frame or more of it: speech that the text leaves out. Each of
    its frames scores as the likeliest symbol there, less a trifle. Labels that the line does not hold are squeezed
    into a frame or so each and have a confidence near 0.

    Args:
        log_probs: log-probabilities of one line, (T, V), blank 0.
        labels: label ids and ``STAR``, never blank.
        log_priors: (V,); divides the posteriors, so that blanks take fewer frames (Huang et al. 2024).
        prior_weight: its exponent, 0 to 1.

    Returns:
        One span per label, in order; its confidence is the label's largest posterior in its frames, 1 for stars. The
        score is the path's, priors and stars as they are.

    Raises:
        DataError: there are fewer frames than the labels need.
    """
    needed = required_frames(labels)
    if len(log_probs) < needed:
        raise DataError(f"{len(labels)} symbols need {needed} frames, there are {len(log_probs)}; the text is too long")
    if not labels:
        return Hypothesis(score=float(log_probs[:, 0].sum()))
    log_probs = log_probs.detach().float().cpu()
    weighed = log_probs if log_priors is None else divide(log_probs, log_priors, prior_weight)
    scores, targets = _with_star(weighed, labels)
    path = viterbi(scores, targets)
    frames = np.arange(len(path))
    starts, ends, runs = _runs(path)
    told = np.concatenate([log_probs.numpy(), np.zeros((len(log_probs), 1), np.float32)], 1)  # stars are sure
    peaks = np.exp(np.maximum.reduceat(told[frames, path], starts)).clip(max=1.0)
    rows = zip(labels, starts[runs].tolist(), ends[runs].tolist(), peaks[runs].tolist(), strict=True)
    return Hypothesis([Span(*row) for row in rows], float(scores[frames, path].sum(dtype=np.float64)))


def realign(scores: Tensor, coarse: Sequence[Span], margin: int) -> list[Span]:
    """Align again by other scores, each label near where it is already.

    Args:
        scores: of one line, (T, V), blank 0; need not be normalised.
        coarse: the labels, with their spans in the same frames; confidences are kept.
        margin: frames that a label may go beyond its span.

    Returns:
        One span per label, in order.
    """
    if not coarse:
        return []
    values, targets = _with_star(scores.detach().float().cpu(), [span.label for span in coarse])
    first = np.zeros(2 * len(coarse) + 1, np.int64)  # frames that a state may take; blanks those of both neighbours
    last = np.full(2 * len(coarse) + 1, len(values))
    first[1::2] = [span.start - margin for span in coarse]
    last[1::2] = [span.end + margin for span in coarse]
    first[2::2], last[:-1:2] = first[1::2], last[1::2]
    starts, ends, runs = _runs(viterbi(values, targets, band=(first, last)))
    places = zip(coarse, starts[runs].tolist(), ends[runs].tolist(), strict=True)
    return [Span(span.label, start, end, span.confidence) for span, start, end in places]


def _with_star(scores: Tensor, labels: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return scores (T, V + 1), the star's last, and the labels (L,), int32, as their columns."""
    star = scores.max(1, keepdim=True).values - STAR_COST
    targets = [scores.shape[1] if label == STAR else label for label in labels]
    return torch.cat([scores, star], 1).numpy(), np.array(targets, np.int32)


def _runs(path: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return starts and ends of the runs of a path (T,), and the numbers of those that are no blanks."""
    starts = np.flatnonzero(np.diff(path, prepend=-1))
    return starts, np.append(starts[1:], len(path)), np.flatnonzero(path[starts])


def viterbi(
    scores: np.ndarray, labels: np.ndarray, band: tuple[np.ndarray, np.ndarray] | None = None, keep: int = KEEP
) -> np.ndarray:
    """Find the best path with memory for the states of every ``keep``-th frame only.

    Args:
        scores: (T, V), float32, blank 0; need not be normalised.
        labels: (L,), int32, one or more; as many as the frames allow.
        band: the first frame of each state (blanks at even places), and one past its last, (2 L + 1,) each, int64,
            rising; some path must lie within. The work is then that of the band.
        keep: frames between two that are kept.

    Returns:
        The label of every frame, (T,), int64.
    """
    frames, states = len(scores), 2 * len(labels) + 1
    symbols = np.zeros(states, np.int32)
    symbols[1::2] = labels
    skips = np.zeros(states, np.bool_)  # may follow the state before the last
    skips[3::2] = labels[1:] != labels[:-1]
    low, high = band or (np.zeros(states, np.int64), np.full(states, frames))
    alpha = np.full(states, -np.inf)
    alpha[:2] = np.where(low[:2] <= 0, scores[0, symbols[:2]], -np.inf)
    kept = []
    nothing = np.zeros((0, 0), np.uint8)
    for first in range(1, frames, keep):
        kept.append(alpha.copy())
        _forward(scores[first : first + keep], symbols, skips, low - first, high - first, alpha, nothing)
    state = states - 1 if alpha[-1] > alpha[-2] else states - 2
    path = np.zeros(frames, np.int64)
    for number in range(len(kept) - 1, -1, -1):
        first = 1 + number * keep
        piece = scores[first : first + keep]
        base = max(0, state - 2 * len(piece))  # no state before it leads here
        reach = slice(base, state + 1)
        back = np.zeros((len(piece), state + 1 - base), np.uint8)
        _forward(piece, symbols[reach], skips[reach], low[reach] - first, high[reach] - first, kept.pop()[reach], back)
        part = path[first : first + len(piece)]
        state = base + _backward(back, state - base, part)
        part += base
    path[0] = state
    return symbols[path].astype(np.int64)


@njit(cache=True, nogil=True)
def _forward(scores, symbols, skips, low, high, alpha, back):  # type: ignore[no-untyped-def]
    """Take frames (T, V) into the scores of the states (2 L + 1,), in place, each within its frames [low, high).

    ``back`` (T, 2 L + 1), if it has rows, gets how many states below its own each came from.
    """
    bottom, top = 0, 0
    for t in range(len(scores)):
        row = scores[t]
        while top < len(alpha) and low[top] <= t:
            top += 1
        for s in range(top - 1, bottom - 1, -1):  # downwards: states below are still those of the frame before
            best, step = alpha[s], 0
            if s > 0 and alpha[s - 1] > best:
                best, step = alpha[s - 1], 1
            if skips[s] and s > 1 and alpha[s - 2] > best:
                best, step = alpha[s - 2], 2
            alpha[s] = best + row[symbols[s]]
            if len(back):
                back[t, s] = step
        while bottom < top and high[bottom] <= t:  # only now: the next state may have come from it
            alpha[bottom] = -np.inf
            bottom += 1


@njit(cache=True, nogil=True)
def _backward(back, state, path):  # type: ignore[no-untyped-def]
    """Follow steps (T, S) back from a state; fills ``path`` (T,) and returns the state before the first frame."""
    for t in range(len(back) - 1, -1, -1):
        path[t] = state
        state -= back[t, state]
    return state
