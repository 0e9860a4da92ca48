"""What keeps the output from being too sure too early: entropy of alignments, smoothing of frames, less blank."""

import torch
from torch import Tensor
from torch.nn import functional

from seqlab.batch import mask_padding

NEVER = -1e30  # log of a probability of 0 that has no infinite gradient


def path_entropy(log_probs: Tensor, lengths: Tensor, labels: Tensor, label_lengths: Tensor) -> Tensor:
    """Measure how many alignments share the probability of the labels.

    H(p(pi|l, x)), the entropy of the paths pi that spell l (Liu, Jin and Zhang 2018, "Connectionist temporal
    classification with maximum entropy regularization": EnCTC = CTC - beta H). A forward recursion carries the entropy
    of the ways into each state beside their probability: H(t, s) = sum over s' of w (H(t-1, s') - log w), where w is
    the share of s' in what reaches (t, s).

    Args:
        log_probs: log-probabilities (B, T, V), blank 0.
        lengths: frames per line, (B,).
        labels: label ids (B, L), padded with 0.
        label_lengths: labels per line, (B,).

    Returns:
        Nats per line, (B,), float32, differentiable; meaningless for lines that cannot be aligned.
    """
    lines, size = labels.shape
    device = log_probs.device
    labels, label_lengths, lengths = (x.to(device) for x in (labels, label_lengths, lengths))
    states = torch.zeros(lines, 2 * size + 1, dtype=torch.int64, device=device)
    states[:, 1::2] = labels
    emitted = log_probs.float().gather(2, states[:, None].expand(-1, log_probs.shape[1], -1))  # (B, T, 2 L + 1)
    skips = (states[:, 2:] != 0) & (states[:, 2:] != states[:, :-2])
    skips = functional.pad(skips, (min(2, states.shape[1]), 0))[:, : states.shape[1]]
    alpha = torch.full_like(emitted[:, 0], NEVER)
    alpha = torch.cat((emitted[:, 0, :2], alpha[:, 2:]), 1)
    entropy = torch.zeros_like(alpha)
    for time in range(1, log_probs.shape[1]):
        ways = torch.stack((alpha, _shift(alpha, 1, NEVER), _shift(alpha, 2, NEVER).masked_fill(~skips, NEVER)))
        before = torch.stack((entropy, _shift(entropy, 1, 0.0), _shift(entropy, 2, 0.0)))
        total, mixed = _mix(ways, before)
        going = (time < lengths)[:, None]
        alpha = torch.where(going, total + emitted[:, time], alpha)
        entropy = torch.where(going, mixed, entropy)
    ends = torch.stack((2 * label_lengths, (2 * label_lengths - 1).clamp(min=0)))  # (2, B)
    ways, before = (x.gather(1, ends.T).T for x in (alpha, entropy))
    ways = torch.stack((ways[0], ways[1].masked_fill(label_lengths == 0, NEVER)))
    return _mix(ways, before)[1]


def _shift(x: Tensor, by: int, fill: float) -> Tensor:
    return functional.pad(x, (by, 0), value=fill)[:, : x.shape[1]]


def _mix(ways: Tensor, entropy: Tensor) -> tuple[Tensor, Tensor]:
    """Join ways (W, ...) with their log-probabilities and entropies; returns those of the whole."""
    total = ways.logsumexp(0)
    share = ways - total
    return total, (share.exp() * (entropy - share)).sum(0)


def sureness(log_probs: Tensor, lengths: Tensor) -> Tensor:
    """Measure how far posteriors are from uniform: the sum over frames of KL(p(t), uniform) = log V - H(p(t)).

    Kim, Seltzer, Li and Zhao 2018, "Improved training for online end-to-end speech recognition systems":
    (1 - alpha) CTC + alpha times this sum.

    Args:
        log_probs: log-probabilities (B, T, V).
        lengths: frames per line, (B,).

    Returns:
        Nats per line, (B,), float32.
    """
    log_probs = log_probs.float()
    uniform = torch.log(torch.tensor(float(log_probs.shape[2])))
    each = (log_probs.exp() * (log_probs + uniform)).sum(2)
    return mask_padding(each, lengths.to(each.device)).sum(1)


def blank_mass(log_probs: Tensor, lengths: Tensor) -> Tensor:
    """Return the posterior of the blank summed over frames, (B,), float32; it lies between 0 and the frames."""
    return mask_padding(log_probs[:, :, 0].float().exp(), lengths.to(log_probs.device)).sum(1)
