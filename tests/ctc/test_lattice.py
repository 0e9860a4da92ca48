"""The compiled CTC loss against torch's in float64, and where its numbers would underflow."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from seqlab.ctc._lattice import CTC, _scaled
from seqlab.ctc.loss import CTCLoss


def of_torch(log_probs: Tensor, lengths: Tensor, labels: Tensor, sizes: Tensor) -> Tensor:
    return functional.ctc_loss(log_probs.transpose(0, 1), labels, lengths, sizes, reduction="none", zero_infinity=True)


def both(logits: Tensor, lengths: Tensor, labels: Tensor, sizes: Tensor, dtype: torch.dtype) -> list[Tensor]:
    """Return losses and gradients of the logits: own in a type, torch's in float64."""
    weights = torch.linspace(0.5, 1.5, len(logits))  # what comes after the loss differs from line to line
    answers = []
    for loss, kind in ((CTC.apply, dtype), (of_torch, torch.float64)):
        leaf = logits.to(kind).requires_grad_()
        losses = loss(leaf.log_softmax(2), lengths, labels, sizes)
        answers += [losses.detach(), *torch.autograd.grad((losses * weights).sum(), leaf)]
    return answers


def a_batch(frames: int, symbols: int, labels: int, scale: float, blank: float) -> tuple[Tensor, ...]:
    """Return random logits, the blank's higher by so much, lengths, labels and label lengths of four lines."""
    torch.manual_seed(frames + symbols + labels)
    logits = scale * torch.randn(4, frames, symbols)
    logits[:, :, 0] += blank
    sizes = torch.tensor([labels, labels // 2, 0, labels])
    lengths = torch.tensor([frames, frames, frames // 2, max(frames // 4, 1)])
    return logits, lengths, torch.randint(1, symbols, (4, labels)), sizes


@pytest.mark.parametrize(("scale", "blank"), [(1.0, 0.0), (1.0, 6.0), (10.0, 0.0), (100.0, 0.0)])
@pytest.mark.parametrize(
    ("frames", "symbols", "labels"), [(1, 3, 1), (6, 4, 3), (50, 3, 20), (200, 32, 190), (400, 32, 40), (60, 2000, 9)]
)
def test_loss_and_gradient_are_those_of_torch_in_float64(
    frames: int, symbols: int, labels: int, scale: float, blank: float
) -> None:
    batch = a_batch(frames, symbols, labels, scale, blank)
    loss, grad, want, want_grad = both(*batch, torch.float64)
    torch.testing.assert_close(loss, want, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(grad, want_grad, rtol=0, atol=1e-10)
    loss, grad, _, _ = both(*batch, torch.float32)
    if scale <= 10:
        torch.testing.assert_close(loss.double(), want, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(grad.double(), want_grad, rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize("blank", [0.0, 5.0])
def test_a_line_of_ten_thousand_frames(blank: float) -> None:
    torch.manual_seed(0)
    logits = torch.randn(1, 10_000, 8)
    logits[:, :, 0] += blank
    sizes = torch.tensor([10_000]), torch.randint(1, 8, (1, 150)), torch.tensor([150])
    loss, grad, want, want_grad = both(logits, *sizes, torch.float64)
    torch.testing.assert_close(loss, want, rtol=1e-12, atol=0)
    torch.testing.assert_close(grad, want_grad, rtol=0, atol=1e-9)


def test_as_many_frames_as_labels_leave_one_path() -> None:
    torch.manual_seed(0)
    log_probs = torch.randn(1, 300, 5, dtype=torch.float64).log_softmax(2).requires_grad_()
    labels = 1 + torch.arange(300)[None] % 4
    loss = CTC.apply(log_probs, torch.tensor([300]), labels, torch.tensor([300]))
    assert float(loss.detach()) == pytest.approx(-float(log_probs.detach()[0].gather(1, labels.T).sum()), rel=1e-12)
    loss.sum().backward()
    torch.testing.assert_close(log_probs.grad, -functional.one_hot(labels, 5).double())  # that path takes all


def test_what_underflows_is_computed_in_logarithms() -> None:
    torch.manual_seed(0)
    logits, labels = 100 * torch.randn(1, 500, 32, dtype=torch.float64), torch.randint(1, 32, (1, 60))
    probs = logits.log_softmax(2)[0][:, [0, *labels[0].tolist()]].exp().numpy()  # (T, 1 + L)
    assert math.isinf(_scaled(probs, np.ones(62), np.zeros(probs.shape)))
    loss, grad, want, want_grad = both(logits, torch.tensor([500]), labels, torch.tensor([60]), torch.float64)
    torch.testing.assert_close(loss, want, rtol=1e-12, atol=0)
    torch.testing.assert_close(grad, want_grad, rtol=0, atol=1e-9)


def test_gradient_by_differences() -> None:
    torch.manual_seed(0)
    log_probs = torch.randn(3, 7, 4, dtype=torch.float64).requires_grad_()  # need not be normalised
    labels, sizes = torch.tensor([[1, 1, 3], [2, 0, 0], [0, 0, 0]]), torch.tensor([3, 1, 0])
    assert torch.autograd.gradcheck(CTC.apply, (log_probs, torch.tensor([7, 5, 3]), labels, sizes))


def test_lines_without_a_path_cost_nothing() -> None:
    logits = torch.zeros(4, 4, 3, requires_grad=True)
    never = torch.zeros(4, 4, 3)
    never[3, :, 2] = -math.inf  # symbol 2 is impossible
    labels = torch.tensor([[1, 1, 1], [1, 2, 1], [0, 0, 0], [2, 0, 0]])
    lengths, sizes = torch.tensor([4, 2, 0, 4]), torch.tensor([3, 3, 0, 1])
    loss = CTC.apply((logits + never).log_softmax(2), lengths, labels, sizes)
    assert loss.tolist() == [0, 0, 0, 0]
    loss.sum().backward()
    assert not logits.grad.any()


def test_a_line_leaves_nothing_to_the_next() -> None:
    torch.manual_seed(0)
    logits = torch.randn(5, 60, 6, dtype=torch.float64)
    logits[2] *= 1000  # underflows
    logits[3, :, 5] = -math.inf  # no path
    labels = torch.randint(1, 6, (5, 40))
    labels[3, 0] = 5
    lengths, sizes = torch.tensor([60, 20, 60, 60, 9]), torch.tensor([40, 4, 10, 3, 2])
    leaf = logits.clone().requires_grad_()
    CTC.apply(leaf.log_softmax(2), lengths, labels, sizes).sum().backward()
    for b in range(5):
        alone = logits[b : b + 1].clone().requires_grad_()
        row = labels[b : b + 1, : int(sizes[b])]
        CTC.apply(alone.log_softmax(2), lengths[b : b + 1], row, sizes[b : b + 1]).sum().backward()
        torch.testing.assert_close(leaf.grad[b], alone.grad[0], rtol=0, atol=1e-14)


def test_impossible_symbols_have_no_gradient_and_nan_stays() -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 9, 5)
    sizes = torch.tensor([9, 9]), torch.tensor([[1, 2, 1], [4, 4, 1]]), torch.tensor([3, 3])
    logits[0, 2:5, 3] = logits[0, :4, 0] = -300.0  # torch's gradient of -inf is NaN
    _, _, want, want_grad = both(logits, *sizes, torch.float64)
    logits[0, 2:5, 3] = logits[0, :4, 0] = -math.inf
    loss, grad, *_ = both(logits, *sizes, torch.float64)
    torch.testing.assert_close(loss, want, rtol=1e-12, atol=0)
    torch.testing.assert_close(grad, want_grad, rtol=0, atol=1e-12)
    logits[1, 4, 2] = math.nan
    loss, grad, *_ = both(logits, *sizes, torch.float32)
    assert loss.isnan().tolist() == [False, True]
    assert grad.isnan().flatten(1).any(1).tolist() == [False, True]


def test_same_bits_again_and_float32_from_bfloat16() -> None:
    logits, *sizes = a_batch(80, 20, 30, 3.0, 0.0)
    answers = [both(logits, *sizes, torch.float32)[:2] for _ in range(2)]
    assert all(torch.equal(first, again) for first, again in zip(*answers, strict=True))
    half = logits.log_softmax(2).bfloat16()
    loss = CTCLoss()(half, *sizes)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, of_torch(half.float(), *sizes))


def test_lengths_beyond_the_tensors_raise() -> None:
    log_probs = torch.zeros(1, 4, 3)
    for lengths, sizes in ((5, 1), (4, 3)):
        with pytest.raises(ValueError, match="do not fit into 4 and 2"):
            CTC.apply(log_probs, torch.tensor([lengths]), torch.tensor([[1, 2]]), torch.tensor([sizes]))


def test_numba_is_not_imported_before_a_loss_is_computed() -> None:
    code = "import sys, seqlab.ctc.loss, seqlab.encoders.blstm; print('numba' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
