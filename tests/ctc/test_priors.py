"""Label priors in the loss, and as a file, against enumeration and hand-worked cases."""

import json
import math
from pathlib import Path

import pytest
import torch

from seqlab.ctc import priors
from seqlab.ctc.loss import CTCLoss
from seqlab.errors import DataError
from tests.ctc.test_ctc import probability_by_enumeration

PRIORS = torch.tensor([0.7, 0.2, 0.1])


def prior_loss(weight: float) -> CTCLoss:
    loss = CTCLoss(prior_weight=weight, num_symbols=3)
    loss.priors.copy_(PRIORS)
    return loss


@pytest.mark.parametrize("labels", [(1,), (1, 2), (1, 1), (2, 1, 2)])
@pytest.mark.parametrize("weight", [0.3, 1.0])
def test_loss_with_priors_equals_enumeration(labels: tuple[int, ...], weight: float) -> None:
    """Value and gradient: -log of the sum over paths of the product of p(a|x) / P(a)^weight, per frame."""
    torch.manual_seed(len(labels))
    logits = torch.randn(2, 6, 3, dtype=torch.float64, requires_grad=True)
    lengths = torch.tensor([5, 6])
    targets, sizes = torch.tensor([labels, labels]), torch.tensor([len(labels)] * 2)
    losses = prior_loss(weight)(logits.log_softmax(2), lengths, targets, sizes)
    losses.sum().backward()

    def brute(values: torch.Tensor) -> float:
        scores = values.log_softmax(1) - weight * PRIORS.double().log()
        return -math.log(probability_by_enumeration(scores, labels))

    first = logits.detach()[0, :5]
    losses = losses.detach()
    assert float(losses[0]) == pytest.approx(brute(first), abs=1e-4)
    assert float(losses[1]) == pytest.approx(brute(logits.detach()[1]), abs=1e-4)
    assert logits.grad is not None
    assert float(logits.grad[0, 5].abs().max()) < 1e-6  # padding
    for frame, symbol in ((0, 0), (2, 1), (4, 2)):
        moved = [first.clone(), first.clone()]
        moved[0][frame, symbol] += 1e-4
        moved[1][frame, symbol] -= 1e-4
        slope = (brute(moved[0]) - brute(moved[1])) / 2e-4
        assert float(logits.grad[0, frame, symbol]) == pytest.approx(slope, abs=1e-4)


def test_infeasible_line_has_no_loss_and_no_gradient() -> None:
    logits = torch.randn(1, 2, 3, requires_grad=True)
    losses = prior_loss(0.5)(logits.log_softmax(2), torch.tensor([2]), torch.tensor([[1, 1]]), torch.tensor([2]))
    assert losses.tolist() == [0.0]
    losses.sum().backward()
    assert logits.grad is not None
    assert float(logits.grad.abs().max()) < 1e-6


def test_evaluation_and_uniform_priors_are_plain_ctc() -> None:
    torch.manual_seed(0)
    log_probs = torch.randn(1, 7, 3).log_softmax(2)
    rest = (torch.tensor([7]), torch.tensor([[1, 2]]), torch.tensor([2]))
    plain = CTCLoss()(log_probs, *rest)
    assert torch.equal(prior_loss(0.5).eval()(log_probs, *rest), plain)
    uniform = CTCLoss(prior_weight=0.5, num_symbols=3)(log_probs, *rest)
    assert float(uniform) == pytest.approx(float(plain) - 7 * 0.5 * math.log(3), abs=1e-4)


def test_running_mean_by_hand_travels_with_the_weights() -> None:
    loss = CTCLoss(prior_weight=0.5, prior_decay=0.9, num_symbols=2)
    probs = torch.tensor([[[0.9, 0.1], [0.5, 0.5]], [[0.7, 0.3], [0.0, 1.0]]])
    loss.learn_priors(probs.log(), torch.tensor([2, 1]))  # the last frame is padding: mean 0.7, 0.3
    assert loss.priors.tolist() == pytest.approx([0.9 * 0.5 + 0.1 * 0.7, 0.9 * 0.5 + 0.1 * 0.3])
    other = CTCLoss(prior_weight=0.5, num_symbols=2)
    other.load_state_dict(loss.state_dict())
    assert torch.equal(other.priors, loss.priors)
    assert not CTCLoss(shortcut=0.1).state_dict()  # checkpoints without priors stay as they were


@pytest.mark.parametrize(
    ("options", "message"),
    [({"prior_weight": 1.5}, "prior_weight"), ({"prior_decay": 1.0}, "decay"), ({"shortcut": -1.0}, "shortcut")],
)
def test_wrong_options(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CTCLoss(**options)  # type: ignore[arg-type]


def test_estimate_by_hand() -> None:
    one = torch.tensor([[[0.5, 0.5], [0.1, 0.9]]]).log()
    two = torch.tensor([[[0.9, 0.1]]]).log()
    log_priors = priors.estimate([(one, torch.tensor([1])), (two, torch.tensor([1])), (two, torch.tensor([0]))])
    assert log_priors.exp().tolist() == pytest.approx([0.7, 0.3])
    with pytest.raises(DataError, match="one line or more"):
        priors.estimate([])


def test_divide() -> None:
    log_probs, log_priors = torch.tensor([[-1.0, -2.0]]), torch.tensor([-0.5, -4.0])
    assert priors.divide(log_probs, log_priors, 0.5).tolist() == [[-0.75, 0.0]]
    assert priors.divide(log_probs, log_priors, 0.0) is log_probs


def test_file(tmp_path: Path) -> None:
    path, symbols = tmp_path / "priors.json", ["<blk>", "a", "é"]
    priors.write(path, torch.tensor([-0.25, -2.0, -3.0]), symbols)
    assert json.loads(path.read_text()) == {"symbols": symbols, "log_priors": [-0.25, -2.0, -3.0]}
    assert priors.read(path, symbols).tolist() == [-0.25, -2.0, -3.0]
    with pytest.raises(DataError, match=r"3 other symbols than the model's 2; write it with: seqlab align"):
        priors.read(path, ["<blk>", "a"])
    with pytest.raises(FileNotFoundError, match="seqlab align MODEL MANIFEST"):
        priors.read(tmp_path / "none.json", symbols)
    path.write_text('{"symbols": 3}')
    with pytest.raises(DataError, match="holds no label priors"):
        priors.read(path, symbols)
