"""Consistency of two views: numbers worked by hand, what learns from what, and a step of training."""

import math

import pytest
import torch

from seqlab.ctc.consistency import disagreement
from seqlab.ctc.loss import CTCLoss


def kl(p: list[float], q: list[float]) -> float:
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


def test_it_is_half_the_sum_of_both_divergences() -> None:
    first, second = [[0.5, 0.5], [0.9, 0.1]], [[0.25, 0.75], [0.9, 0.1]]
    each = disagreement(torch.tensor([first, second]).log(), torch.tensor([2, 2]))
    by_hand = (kl(first[0], second[0]) + kl(second[0], first[0])) / 2
    assert float(each.sum()) == pytest.approx(by_hand, abs=1e-6)


def test_equal_views_agree_and_padding_does_not_count() -> None:
    x = torch.randn(2, 5, 4).log_softmax(2)
    assert torch.equal(disagreement(torch.cat((x, x)), torch.tensor([5, 3, 5, 3])), torch.zeros(4))
    other = x.clone()
    other[1, 3:] = torch.randn(2, 4).log_softmax(1)
    assert not disagreement(torch.cat((x, other)), torch.tensor([5, 3, 5, 3])).any()


def test_the_gradient_draws_each_view_to_the_other_one_as_it_is() -> None:
    scores = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    disagreement(scores.log_softmax(2), torch.tensor([3, 3])).sum().backward()
    p = scores.detach().softmax(2)
    # d KL(given, softmax(s)) / d s = softmax(s) - given; half of it counts. The loss itself computes in float32.
    torch.testing.assert_close(scores.grad, (p - p.flip(0)) / 2, atol=1e-6, rtol=0)


def test_a_negative_weight_is_refused() -> None:
    with pytest.raises(ValueError, match="consistency must be 0 or more, got -1"):
        CTCLoss(consistency=-1)
