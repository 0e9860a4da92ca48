"""CTC loss, feasibility and best path against enumeration and hand-worked cases."""

import itertools
import math

import numpy as np
import pytest
import torch

from seqlab.ctc.feasibility import infeasible, required_frames
from seqlab.ctc.greedy import Greedy
from seqlab.ctc.loss import CTCLoss


def collapse(path: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(k for k, _ in itertools.groupby(path) if k)


def probability_by_enumeration(log_probs: torch.Tensor, labels: tuple[int, ...]) -> float:
    """Sum over every path of T frames that collapses to the labels: Graves et al. 2006, equation 3."""
    frames, symbols = log_probs.shape
    total = 0.0
    for path in itertools.product(range(symbols), repeat=frames):
        if collapse(path) == labels:
            total += math.exp(sum(float(log_probs[t, k]) for t, k in enumerate(path)))
    return total


@pytest.mark.parametrize("labels", [(1,), (1, 2), (1, 1), (2, 1, 2), (1, 1, 2), (2, 2)])
@pytest.mark.parametrize("frames", [3, 5, 6])
def test_loss_equals_enumeration(labels: tuple[int, ...], frames: int) -> None:
    torch.manual_seed(frames)
    log_probs = torch.randn(1, frames, 3).log_softmax(2)
    expected = probability_by_enumeration(log_probs[0], labels)
    loss = CTCLoss()(log_probs, torch.tensor([frames]), torch.tensor([labels]), torch.tensor([len(labels)]))
    assert (expected > 0) == (required_frames(labels) <= frames)
    if expected > 0:
        assert float(loss[0]) == pytest.approx(-math.log(expected), abs=1e-5)
    else:
        assert float(loss[0]) == 0.0


def test_loss_of_a_line_does_not_depend_on_its_batch() -> None:
    torch.manual_seed(0)
    log_probs = torch.randn(2, 9, 4).log_softmax(2)
    labels, sizes = torch.tensor([[1, 2, 3], [3, 3, 0]]), torch.tensor([3, 2])
    both = CTCLoss()(log_probs, torch.tensor([9, 5]), labels, sizes)
    alone = CTCLoss()(log_probs[1:, :5], torch.tensor([5]), labels[1:, :2], sizes[1:])
    assert float(both[1]) == pytest.approx(float(alone[0]), abs=1e-6)


def test_mean_divides_by_labels_and_lines() -> None:
    assert float(CTCLoss.mean(torch.tensor([6.0, 4.0]), torch.tensor([3, 1]))) == pytest.approx((2 + 4) / 2)


@pytest.mark.parametrize(
    ("labels", "needed"), [([], 0), ([1], 1), ([1, 2], 2), ([1, 1], 3), ([1, 1, 1], 5), ([1, 2, 2, 1], 5)]
)
def test_required_frames(labels: list[int], needed: int) -> None:
    assert required_frames(labels) == needed


def test_three_spelled_needs_six_frames() -> None:
    assert required_frames([ord(c) for c in "three"]) == 6  # five letters, one of them doubled


def test_infeasible_names_the_lines_with_too_few_frames() -> None:
    labels = torch.tensor([[1, 1, 2], [1, 2, 0], [3, 3, 0]])
    answer = infeasible(torch.tensor([3, 2, 3]), labels, torch.tensor([3, 2, 2]))
    assert answer.tolist() == [True, False, False]


def test_greedy_merges_repeats_and_keeps_spans() -> None:
    path = [0, 1, 1, 0, 1, 2, 2, 0]
    probabilities = np.full((1, 8, 3), 0.1, dtype=np.float32)
    for frame, label in enumerate(path):
        probabilities[0, frame, label] = 0.8
    probabilities[0, 2, 1], probabilities[0, 2, 0], probabilities[0, 2, 2] = 0.9, 0.05, 0.05
    hypothesis = Greedy()(torch.from_numpy(probabilities).log(), torch.tensor([8]))[0]
    assert hypothesis.labels == [1, 1, 2]
    assert [(s.start, s.end) for s in hypothesis.spans] == [(1, 3), (4, 5), (5, 7)]
    assert [s.confidence for s in hypothesis.spans] == pytest.approx([0.9, 0.8, 0.8], abs=1e-6)
    assert hypothesis.score == pytest.approx(7 * math.log(0.8) + math.log(0.9), abs=1e-5)


def test_greedy_looks_at_valid_frames_only() -> None:
    log_probs = torch.full((2, 4, 3), -5.0)
    log_probs[:, :, 1] = -0.1
    answers = Greedy()(log_probs, torch.tensor([0, 2]))
    assert answers[0].labels == []
    assert [(s.start, s.end) for s in answers[1].spans] == [(0, 2)]
