"""Consistency between two views of a line ("CR-CTC", Yao et al. 2024, arXiv 2410.05101, equations 4 to 6)."""

import torch
from torch import Tensor

from seqlab.batch import mask_padding


def disagreement(log_probs: Tensor, lengths: Tensor) -> Tensor:
    """Measure how far the posteriors of two views of each line lie apart, frame by frame.

    Each view learns from the other one's posteriors, which are taken as given: half the sum over frames of
    KL(b, a) + KL(a, b), where no gradient flows through the first of each pair.

    Args:
        log_probs: log-probabilities (2 B, T, V): the first views of all lines, then the second ones.
        lengths: frames per view, (2 B,).

    Returns:
        Nats per view, (2 B,): a view's own half of the sum, so that the two add up to it.
    """
    first, second = log_probs.float().chunk(2)
    given = torch.cat((second, first)).detach()
    each = (given.exp() * (given - torch.cat((first, second)))).sum(2)  # (2 B, T)
    return mask_padding(each, lengths).sum(1) / 2
