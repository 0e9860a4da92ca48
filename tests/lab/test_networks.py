"""Nets of the laboratory: published numbers of weights, losses, what is read where, what is refused."""

import pytest
import torch

from seqlab.config import build, compose
from seqlab.encoders.blstm import BLSTM
from seqlab.lab.loop import Loop
from seqlab.lab.network import Network
from seqlab.lab.task import Sequences


def weights(name: str, *settings: str) -> int:
    config = compose("train", [f"experiment=long_lag/{name}", *settings])
    loop: Loop = build(config["lag"], "lag")
    network = loop.network(build(config["encoder"], "encoder", input_size=loop.task.num_inputs))
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("name", "settings", "published"),
    [
        ("reber_1997", (), 276),
        (
            "reber_1997",
            ("encoder.cell.num_blocks=4", "encoder.cell.block_size=1", "encoder.cell.output_gate_bias=[-1,-2,-3,-4]"),
            264,
        ),
        ("lag_2c_1997", (), 364),
        ("lag_2c_1997", ("lag.task.distractors=1000",), 6064),
        ("two_sequence_3a_1997", (), 102),
        ("two_sequence_3b_1997", (), 102),
        ("two_sequence_3c_1997", (), 102),
        ("adding_1997", (), 93),
        ("multiplication_1997", (), 93),
        ("temporal_order_6a_1997", (), 156),
        ("temporal_order_6b_1997", (), 308),
        ("continual_reber_2000", (), 424),
    ],
)
def test_weights_are_as_many_as_published(name: str, settings: tuple[str, ...], published: int) -> None:
    assert weights(name, *settings) == published


def test_weights_of_2a() -> None:
    """10,504 are published: outputs that see the inputs (101 x 101), a cell and its gate (2 x 101), its outputs (101).

    Ours has the 2 weights from the cell to itself and its gate besides.
    """
    assert weights("lag_2a_1997") == 10_504 + 2


def batch() -> Sequences:
    """Two sequences of 3 and 2 steps; the first counts at steps 0 and 2, the second at step 1."""
    x = torch.arange(12.0).reshape(2, 3, 2) / 10
    x[1, 2] = 0
    target = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 0.0]]])
    return Sequences(x, torch.tensor([3, 2]), torch.tensor([[0, 2], [1, -1]]), target)


class Same(torch.nn.Module):
    """An encoder that hands its input on."""

    num_features = 2

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x, lengths


def test_outputs_read_the_states_at_the_steps_that_count() -> None:
    network = Network(Same(), 2, 2, "linear", direct=True)
    with torch.no_grad():
        network.head.weight.copy_(torch.tensor([[1.0, 0, 0, 0], [0, 0, 0, 2.0]]))
        network.head.bias.copy_(torch.tensor([0.0, 1.0]))
    z = network(batch())
    torch.testing.assert_close(z[0], torch.tensor([[0.0, 1.2], [0.4, 2.0]]))
    torch.testing.assert_close(z[1, 0], torch.tensor([0.8, 2.8]))


def test_losses_by_hand() -> None:
    z = torch.tensor([[[0.0, 0.0], [1.0, 1.0]], [[2.0, 0.0], [9.0, 9.0]]])  # the last does not count

    def loss(outputs: str) -> float:
        return Network(Same(), 2, 2, outputs).loss(z, batch()).item()  # type: ignore[arg-type]

    # half the squares, (1 + 0) + (1 + 0) + (4 + 1), over two sequences
    assert loss("linear") == pytest.approx(0.5 * 7 / 2)
    # logistic(0) = 0.5, logistic(1) = 0.731059, logistic(2) = 0.880797
    squares = 0.25 + 0.25 + 0.534447 + 0.072329 + 0.775803 + 0.25
    assert loss("squared") == pytest.approx(0.5 * squares / 2, rel=1e-5)
    # -log 0.5, -log 0.5, -log(1 / (1 + e^2)), a mean over three steps
    assert loss("softmax") == pytest.approx((0.693147 + 0.693147 + 2.126928) / 3, rel=1e-5)
    # -log 0.5 twice; -log(1 - .731059) - log .731059; -log(1 - .880797) - log .5
    assert loss("logistic") == pytest.approx((1.386294 + 1.313262 + 0.313262 + 2.126928 + 0.693147) / 3, rel=1e-5)


def test_outputs_begin_within_the_given_range() -> None:
    torch.manual_seed(0)
    network = Network(BLSTM(2, 40, 1, bidirectional=False), 2, 30, "squared", weight_range=0.1)
    assert 0.095 < network.head.weight.abs().max() <= 0.1
    assert network.head.bias.abs().max() <= 0.1


def test_an_encoder_that_reads_ahead_cannot_foretell() -> None:
    for name, allowed in (("reber", False), ("lag_2b", True), ("adding", True)):
        loop: Loop = build(compose("train", [f"experiment=long_lag/{name}"])["lag"], "lag")
        both = BLSTM(loop.task.num_inputs, 4, 1, bidirectional=True)
        if allowed:  # at the last step nothing is ahead
            loop.network(both)
            continue
        with pytest.raises(ValueError, match="reads one way"):
            loop.network(both)
        loop.network(BLSTM(loop.task.num_inputs, 4, 1, bidirectional=False))


def test_streams_need_a_state_to_carry() -> None:
    loop: Loop = build(compose("train", ["experiment=long_lag/continual_reber"])["lag"], "lag")
    with pytest.raises(ValueError, match="bidirectional=false"):
        loop.network(BLSTM(7, 4, 1, bidirectional=False))
