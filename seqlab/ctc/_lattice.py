"""The CTC loss on a CPU, compiled: forward and backward pass over the lattice of each line.

The lattice of L labels has L + 1 blanks, number j after label j, and the labels 1 to L; label 0 stands for none. Its
values are probabilities in float64, scaled in each frame; where they leave the range of numbers, logarithms are taken.
"""

from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor
from torch.autograd.function import once_differentiable

# Each pass loses what falls below 1e-308 of a frame's sum. Where both, each of sum 1, overlap by LEAST or more, the
# paths that were lost have a share of less than 1e-308 / LEAST of all.
LEAST = 1e-250

# Sums may be taken in any order, always the same: that makes vectors of them.
_cached = njit(nogil=True, error_model="numpy", fastmath={"contract", "reassoc"}, cache=True)


class CTC(torch.autograd.Function):
    """Negative log-likelihood of the labels (Graves 2012, equations 7.26 to 7.31).

    The gradient is that of log-probabilities as free numbers, minus the share of all paths that passes through a symbol
    in a frame; log_softmax makes of it posterior minus share. torch's own is the latter at once.
    """

    @staticmethod
    def forward(ctx: Any, log_probs: Tensor, lengths: Tensor, labels: Tensor, label_lengths: Tensor) -> Tensor:
        """Compute the loss of each line.

        Args:
            ctx: autograd's.
            log_probs: log-probabilities (B, T, V), blank 0, float32 or float64.
            lengths: frames per line, (B,).
            labels: label ids (B, L), padded with 0.
            label_lengths: labels per line, (B,).

        Returns:
            Nats, (B,), of log_probs' type; 0, without gradient, for lines whose labels have no path.

        Raises:
            ValueError: a length is larger than the tensor that it belongs to.
        """
        lines, frames, _ = log_probs.shape
        if lines and (int(lengths.max()) > frames or int(label_lengths.max()) > labels.shape[1]):
            raise ValueError(
                f"{int(lengths.max())} frames and {int(label_lengths.max())} labels of a line do not fit into "
                f"{frames} and {labels.shape[1]}"
            )
        symbols = torch.cat([labels.new_zeros(lines, 1), labels], 1)  # (B, 1 + L), blank first
        logs = log_probs.gather(2, symbols[:, None].expand(-1, frames, -1)).double()  # (B, T, 1 + L)
        losses, shares = logs.new_zeros(lines), log_probs.new_zeros(logs.shape)
        sizes = lengths.numpy(), label_lengths.numpy()
        _lines(logs.numpy(), logs.exp().numpy(), symbols.numpy(), *sizes, losses.numpy(), shares.numpy())
        ctx.save_for_backward(symbols, shares)
        ctx.shape = log_probs.shape
        return losses.to(log_probs.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        """Give each symbol its share."""
        symbols, shares = ctx.saved_tensors
        of_log_probs = shares.new_zeros(ctx.shape)
        _spread(symbols.numpy(), shares.numpy(), grad.contiguous().numpy(), of_log_probs.numpy())
        return of_log_probs, None, None, None


@_cached
def _spread(symbols: Any, shares: Any, grad: Any, out: Any) -> None:
    """Subtract shares (B, T, 1 + L), times the gradients of the lines, from the entries (B, T, V) of their symbols."""
    for b in range(shares.shape[0]):
        for t in range(shares.shape[1]):
            for j in range(shares.shape[2]):
                if shares[b, t, j] != 0:  # NaN counts
                    out[b, t, symbols[b, j]] -= shares[b, t, j] * grad[b]


@_cached
def _lines(logs: Any, probs: Any, symbols: Any, lengths: Any, label_lengths: Any, losses: Any, shares: Any) -> None:
    """Fill in losses (B,) and shares (B, T, 1 + L), which are 0 so far."""
    for b in range(lengths.size):
        frames, count = lengths[b], label_lengths[b]
        repeats = 0
        skip = np.zeros(count + 2)  # 1: label j may follow label j - 1 without a blank
        for j in range(2, count + 1):
            if symbols[b, j] == symbols[b, j - 1]:
                repeats += 1
            else:
                skip[j] = 1
        if frames < max(count + repeats, 1):
            continue
        share = shares[b, :frames, : count + 1]
        loss = _scaled(probs[b, :frames, : count + 1], skip, share)
        if loss == np.inf:
            loss = _logarithmic(logs[b, :frames, : count + 1], skip, share)
        losses[b] = 0.0 if loss == np.inf else loss


@_cached
def _scaled(probs: Any, skip: Any, share: Any) -> Any:
    """Fill in the shares and return the loss; infinity: the range of numbers is too small, or there is no path."""
    frames, size = probs.shape
    count = size - 1
    blanks, marks = np.zeros((frames, size + 1)), np.zeros((frames, size + 1))  # of the forward pass
    loss, rate = 0.0, 1.0  # rate: what makes the sum of the frame before 1
    for t in range(frames):
        y, blank, mark = probs[t], blanks[t], marks[t]
        # what begins in time, and can be ended in time
        high, low = min(count, t + 1), max(count - (frames - 1 - t), 0)
        total = 0.0
        if t:
            blank_before, mark_before, y_blank = blanks[t - 1], marks[t - 1], y[0] * rate
            for j in range(low, high + 1):
                blank[j] = (blank_before[j] + mark_before[j]) * y_blank
                total += blank[j]
            for j in range(max(low, 1), high + 1):
                mark[j] = (mark_before[j] + blank_before[j - 1] + skip[j] * mark_before[j - 1]) * (y[j] * rate)
                total += mark[j]
        else:
            if low == 0:
                blank[0] = y[0]
            if count:
                mark[1] = y[1]
            total = blank[0] + mark[1]
        if total < LEAST:
            return np.inf
        loss -= np.log(total)
        rate = 1 / total
    last = (blanks[frames - 1, count] + marks[frames - 1, count]) * rate
    loss -= np.log(last)
    if not loss < np.inf:
        share[:] = loss  # NaN, or zeros are to come
        return loss
    blank_ahead, mark_ahead = np.zeros(size + 1), np.zeros(size + 1)  # of the backward pass, with the frame's own y
    blank_after, mark_after = np.zeros(size + 1), np.zeros(size + 1)  # without
    blank_after[count], mark_after[count] = 1.0, 1.0 if count else 0.0
    total = 1.0 + mark_after[count]
    for t in range(frames - 1, -1, -1):
        y, blank, mark, out = probs[t], blanks[t], marks[t], share[t]
        high, low = min(count, t + 1), max(count - (frames - 1 - t), 0)
        if t < frames - 1:
            total = 0.0
            for j in range(low, high + 1):
                blank_after[j] = blank_ahead[j] + mark_ahead[j + 1]
                total += blank_after[j]
            for j in range(max(low, 1), high + 1):
                mark_after[j] = mark_ahead[j] + blank_ahead[j] + skip[j + 1] * mark_ahead[j + 1]
                total += mark_after[j]
        if total < LEAST:
            return np.inf
        rate = 1 / total
        of_blank, of_marks = 0.0, 0.0
        y_blank = y[0] * rate
        for j in range(low, high + 1):
            of_blank += blank[j] * blank_after[j]
            blank_ahead[j] = blank_after[j] * y_blank
        for j in range(max(low, 1), high + 1):
            of_marks += mark[j] * mark_after[j]
            mark_ahead[j] = mark_after[j] * (y[j] * rate)
        whole = of_blank + of_marks
        if whole * rate < LEAST:
            return np.inf
        whole = 1 / whole
        out[0] = of_blank * whole
        for j in range(max(low, 1), high + 1):
            out[j] = mark[j] * mark_after[j] * whole
    return loss


@_cached
def _add(a: Any, b: Any) -> Any:
    """Compute log(exp(a) + exp(b))."""
    if a < b:
        a, b = b, a
    return a if b == -np.inf else a + np.log1p(np.exp(b - a))


@_cached
def _logarithmic(logs: Any, skip: Any, share: Any) -> Any:
    """Do the same as `_scaled` with logarithms; infinity: there is no path."""
    frames, size = logs.shape
    count = size - 1
    none = -np.inf
    blanks, marks = np.full((frames, size + 1), none), np.full((frames, size + 1), none)
    blanks[0, 0] = logs[0, 0]
    if count:
        marks[0, 1] = logs[0, 1]
    for t in range(1, frames):
        for j in range(size):
            blanks[t, j] = _add(blanks[t - 1, j], marks[t - 1, j]) + logs[t, 0]
            if j:
                value = _add(marks[t - 1, j], blanks[t - 1, j - 1])
                marks[t, j] = (_add(value, marks[t - 1, j - 1]) if skip[j] else value) + logs[t, j]
    whole = _add(blanks[frames - 1, count], marks[frames - 1, count])
    share[:] = 0
    if whole == none:
        return np.inf
    blank_after, mark_after = np.full(size + 1, none), np.full(size + 1, none)
    blank_after[count] = 0.0
    if count:
        mark_after[count] = 0.0
    for t in range(frames - 1, -1, -1):
        if t < frames - 1:
            for j in range(size):  # number j needs j and j + 1 of the frame after: in this order they are there yet
                blank, mark = blank_after[j] + logs[t + 1, 0], mark_after[j] + logs[t + 1, j]
                ahead = mark_after[j + 1] + logs[t + 1, j + 1] if j < count else none
                blank_after[j] = _add(blank, ahead)
                if j:
                    value = _add(mark, blank)
                    mark_after[j] = _add(value, ahead) if skip[j + 1] else value
        for j in range(size):
            share[t, 0] += np.exp(blanks[t, j] + blank_after[j] - whole)
            if j:
                share[t, j] = np.exp(marks[t, j] + mark_after[j] - whole)
    return -whole
