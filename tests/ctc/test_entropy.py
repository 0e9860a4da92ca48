"""Regularised losses: against all alignments one by one, by hand, and in a step of training."""

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from seqlab.config import compose
from seqlab.ctc.entropy import blank_mass, path_entropy, sureness
from seqlab.ctc.loss import CTCLoss
from seqlab.errors import ConfigError
from tests.conftest import Run


def entropy_by_enumeration(log_probs: Tensor, labels: list[int]) -> float:
    """Entropy of the alignments of one line (T, V), each visited."""
    paths = []
    for path in itertools.product(range(log_probs.shape[1]), repeat=len(log_probs)):
        if [label for label, _ in itertools.groupby(path) if label] == labels:
            paths.append(math.exp(sum(float(log_probs[t, label]) for t, label in enumerate(path))))
    total = sum(paths)
    return -sum(p / total * math.log(p / total) for p in paths)


@pytest.mark.parametrize("labels", [[1], [1, 2], [2, 2], [1, 2, 1], []])
@pytest.mark.parametrize("frames", [3, 5])
def test_entropy_of_alignments_is_that_of_all_of_them(labels: list[int], frames: int) -> None:
    log_probs = torch.randn(1, frames, 3, generator=torch.Generator().manual_seed(frames)).log_softmax(2)
    given = torch.tensor([labels], dtype=torch.int64), torch.tensor([len(labels)])
    measured = float(path_entropy(log_probs, torch.tensor([frames]), *given))
    assert measured == pytest.approx(entropy_by_enumeration(log_probs[0], labels), abs=1e-5)


def test_entropy_of_a_line_is_the_same_in_a_padded_batch_and_has_the_right_gradient() -> None:
    torch.manual_seed(0)
    scores = torch.randn(2, 6, 4, requires_grad=True)
    labels, sizes, lengths = torch.tensor([[1, 3, 3], [2, 0, 0]]), torch.tensor([3, 1]), torch.tensor([6, 4])
    both = path_entropy(scores.log_softmax(2), lengths, labels, sizes)
    alone = path_entropy(scores[1:, :4].log_softmax(2), lengths[1:], labels[1:, :1], sizes[1:])
    torch.testing.assert_close(both[1:], alone)
    both.sum().backward()
    assert scores.grad is not None
    assert not scores.grad[1, 4:].any()
    step = 1e-2
    for line, time, symbol in ((0, 2, 3), (1, 0, 2), (0, 5, 0)):
        up, down = scores.detach().clone(), scores.detach().clone()
        up[line, time, symbol] += step
        down[line, time, symbol] -= step
        ends = [float(path_entropy(x.log_softmax(2), lengths, labels, sizes).sum()) for x in (up, down)]
        assert float(scores.grad[line, time, symbol]) == pytest.approx((ends[0] - ends[1]) / (2 * step), abs=1e-3)


def test_sureness_and_blank_by_hand() -> None:
    log_probs = torch.tensor([[[0.5, 0.25, 0.25], [0.9, 0.05, 0.05]]]).log()
    first = math.log(3) + 0.5 * math.log(0.5) + 0.5 * math.log(0.25)
    second = math.log(3) + 0.9 * math.log(0.9) + 0.1 * math.log(0.05)
    assert float(sureness(log_probs, torch.tensor([2]))) == pytest.approx(first + second, abs=1e-6)
    assert float(sureness(log_probs, torch.tensor([1]))) == pytest.approx(first, abs=1e-6)
    assert float(blank_mass(log_probs, torch.tensor([2]))) == pytest.approx(1.4, abs=1e-6)
    assert float(sureness(torch.zeros(1, 4, 5).log_softmax(2), torch.tensor([4]))) == pytest.approx(0, abs=1e-6)


def test_terms_add_up_and_spare_lines_that_cannot_be_aligned() -> None:
    log_probs = torch.randn(2, 3, 3).log_softmax(2)
    lengths, labels, sizes = torch.tensor([3, 2]), torch.tensor([[1, 2], [2, 2]]), torch.tensor([2, 2])
    whole = CTCLoss(entropy=0.5, smoothing=0.25, blank=2.0).regularizers(log_probs, lengths, labels, sizes)
    parts = [f(log_probs, lengths) for f in (sureness, blank_mass)]
    expected = -0.5 * path_entropy(log_probs, lengths, labels, sizes) + 0.25 * parts[0] + 2 * parts[1]
    torch.testing.assert_close(whole, torch.stack((expected[0], torch.zeros(()))))
    assert not CTCLoss().regularizers(log_probs, lengths, labels, sizes).any()


def test_weight_of_consistency_grows_in_a_straight_line() -> None:
    loss = CTCLoss(consistency=0.2, consistency_warmup=0.1)
    assert [round(loss.consistency_at(p), 6) for p in (0.0, 0.05, 0.1, 1.0)] == [0.0, 0.1, 0.2, 0.2]
    assert CTCLoss(consistency=0.2).consistency_at(0.0) == 0.2


def test_intermediate_losses_take_their_share() -> None:
    loss = CTCLoss(intermediate_layers=[1, 2], intermediate_weight=0.25)
    joined = loss.with_intermediate(torch.tensor([8.0]), [torch.tensor([4.0]), torch.tensor([2.0])])
    assert joined.tolist() == [0.75 * 8 + 0.25 * 3]
    assert loss.with_intermediate(torch.tensor([8.0]), []).tolist() == [8.0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"entropy": -0.1}, "entropy must be 0 or more"),
        ({"blank": -1.0}, "blank must be 0 or more"),
        ({"intermediate_weight": 1.5}, "intermediate_weight must lie in"),
        ({"consistency_warmup": 2.0}, "consistency_warmup must lie in"),
        ({"intermediate_layers": [0]}, "different numbers from 1"),
        ({"intermediate_layers": [1, 1]}, "different numbers from 1"),
        ({"intermediate_weight": 0.5}, "intermediate_weight needs intermediate_layers; without, leave it at 0.3"),
        ({"prior_decay": 0.9}, "prior_decay needs prior_weight above 0; without, leave it at 0.99"),
        ({"consistency_warmup": 0.1}, "consistency_warmup needs consistency above 0; without, leave it at 0"),
    ],
)
def test_bad_settings_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CTCLoss(**options)


def config(*settings: str) -> dict[str, Any]:
    made: dict[str, Any] = compose("train", ["frontend.num_mels=24", "encoder.hidden_size=8", *settings])
    made["tokenizer"]["alphabet"] = list("abc")
    return made


@pytest.mark.parametrize("encoder", ["blstm", "lstm", "recurrent", "xlstm", "transformer", "conformer"])
def test_each_layer_is_read_by_the_same_head(encoder: str) -> None:
    from seqlab.task import CTCTask

    settings = ["encoder.num_layers=3", "loss=intermediate", "loss.intermediate_layers=[1,2]"]
    size = "encoder.cell.hidden_size=8" if encoder == "recurrent" else "encoder.hidden_size=8"
    made = compose("train", [f"encoder={encoder}", *settings, size])
    made["tokenizer"]["alphabet"] = list("abc")
    model = CTCTask(made).model.eval()
    x, lengths = torch.randn(2, 7, model.stem.num_features), torch.tensor([7, 4])
    log_probs, below, same = model.read_layers(x, lengths, [1, 2])
    assert (len(below), same.tolist()) == (2, [7, 4])
    torch.testing.assert_close(log_probs, model.read(x, lengths)[0])
    for depth in (1, 2):  # a net of the first layers alone
        made["encoder"]["num_layers"] = depth
        lower = CTCTask(made | {"loss": {"_target_": "seqlab.ctc.loss.CTCLoss"}}).model.eval()
        assert not lower.load_state_dict(model.state_dict(), strict=False).missing_keys
        torch.testing.assert_close(below[depth - 1], lower.read(x, lengths)[0], atol=1e-6, rtol=0)


def test_layers_that_are_not_there_are_refused() -> None:
    from seqlab.task import CTCTask

    with pytest.raises(ConfigError, match=r"\[2\] must lie below the last of 2 layers"):
        CTCTask(config("encoder.num_layers=2", "loss.intermediate_layers=[2]"))
    made = compose("train", ["encoder=mdlstm", "loss.intermediate_layers=[1]"])
    made["tokenizer"]["alphabet"] = list("abc")
    with pytest.raises(ConfigError, match="MDLSTM does not show its layers"):
        CTCTask(made)


def test_all_terms_train_together(corpus: Any, seqlab: Run) -> None:
    from tests.conftest import small_settings

    settings = ["loss=intermediate", "loss.consistency=0.2", "loss.consistency_warmup=0.5", "loss.shortcut=0.3"]
    settings += ["loss.prior_weight=0.3", "loss.entropy=0.1", "loss.smoothing=0.05", "loss.blank=0.01"]
    done = seqlab("train", *small_settings(corpus), *settings, "encoder.num_layers=2", "run_dir=run")
    assert done.returncode == 0, done.stderr
