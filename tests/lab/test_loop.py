"""The learning loop: what it counts, when it stops, that it learns; streams that carry their state."""

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from seqlab.cells.lstm import LSTM
from seqlab.cells.rnn import RNN
from seqlab.encoders.blstm import BLSTM
from seqlab.encoders.recurrent import Recurrent
from seqlab.lab.adding import Adding
from seqlab.lab.criteria import HeldOut, Streak
from seqlab.lab.lags import NoisyLag
from seqlab.lab.loop import Loop
from seqlab.lab.meter import Meter
from seqlab.lab.network import Network
from seqlab.lab.reber import ContinualReber, EmbeddedReber, Streams
from seqlab.lab.streams import learn_streams, read_streams
from seqlab.lab.task import Task
from seqlab.lab.temporal_order import TemporalOrder
from seqlab.lab.two_sequence import TwoSequence


def small(task: Task, size: int = 8, seed: int = 0) -> Recurrent:
    torch.manual_seed(seed)
    return Recurrent(task.num_inputs, partial(LSTM, hidden_size=size), num_layers=1, bidirectional=False)


def learn(loop: Loop, rate: float = 0.01, seed: int = 1, size: int = 8) -> Any:
    network = loop.network(small(loop.task, size))
    rows: list[dict[str, float]] = []
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=0.0)
    result = loop.learn(network, optimizer, seed, log=rows.append)
    return result, rows, network


def test_a_short_lag_is_learnt_and_generalises() -> None:
    task = NoisyLag(lag=5, distractors=3)
    task.criterion = Streak(window=500, limit=0.2)
    result, rows, network = learn(
        Loop(task, "softmax", batch_size=16, max_sequences=20_000, test_size=300, log_every=200), 0.02
    )
    assert result.solved
    assert result.stopped == "criterion"
    assert 500 <= result.sequences < 20_000
    assert result.test["sequences"] == 300
    assert result.test["wrong"] <= 3
    assert result.parameters == sum(p.numel() for p in network.parameters())
    assert [row["step"] for row in rows] == sorted(row["step"] for row in rows)
    assert rows[0]["train/error"] > 5 * rows[-1]["train/error"]
    assert set(rows[0]) == {"step", "train/error", "train/wrong", "train/loss", "sequences_per_s"}


def test_a_seed_gives_the_same_training_and_another_another() -> None:
    loop = Loop(TemporalOrder([[1, 3], [4, 6]], length=10), "softmax", batch_size=8, max_sequences=400, test_size=50)
    first, second, other = learn(loop), learn(loop), learn(loop, seed=2)
    assert first[1][-1]["train/loss"] == second[1][-1]["train/loss"] != other[1][-1]["train/loss"]
    assert first[0].test == second[0].test != other[0].test
    for one, same in zip(first[2].parameters(), second[2].parameters(), strict=True):
        assert one.equal(same)


def test_sequences_are_counted_to_the_one_that_meets_the_criterion() -> None:
    """An encoder that knows the answer is done after exactly one window, whatever the batch."""

    class Knows(torch.nn.Module):
        num_features = 1

        def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            marked = (x[:, :, 0] * (x[:, :, 1] == 1)).sum(1)
            return (0.5 + marked / 4)[:, None, None].expand(-1, x.shape[1], 1), lengths

    for batch_size in (1, 7, 64):
        loop = Loop(Adding(20), "linear", batch_size=batch_size, max_sequences=5000, test_size=100)
        network = loop.network(Knows())
        with torch.no_grad():
            network.head.weight.fill_(1.0)
            network.head.bias.zero_()  # type: ignore[union-attr]
        result = loop.learn(network, torch.optim.SGD(network.parameters(), lr=1e-9), seed=0)
        assert result.solved
        assert result.sequences == 2000
        assert result.test["wrong"] == 0
        assert result.test["mse"] < 1e-12


def test_one_step_is_gradient_descent_on_one_sequence() -> None:
    task = Adding(20)
    loop = Loop(task, "squared", batch_size=1, max_sequences=1, test_size=1)
    network = loop.network(small(task))
    before = [p.detach().clone() for p in network.parameters()]
    twin = loop.network(small(task))
    twin.load_state_dict(network.state_dict())
    loop.learn(network, torch.optim.SGD(network.parameters(), lr=0.5), seed=3)
    count = min((1 << 22) // task.draw(np.random.default_rng(0), 1).x.numel(), 512)
    batch = task.draw(np.random.default_rng([3, 0]), count).pick(slice(0, 1))
    error = (twin(batch).sigmoid() - batch.target).square().sum() / 2
    error.backward()
    for now, was, other in zip(network.parameters(), before, twin.parameters(), strict=True):
        torch.testing.assert_close(now, was - 0.5 * other.grad)


def test_held_out_sequences_decide_and_the_pool_is_small() -> None:
    task = EmbeddedReber()
    drawn: list[int] = []
    draw = task.draw
    task.draw = lambda rng, count: drawn.append(count) or draw(rng, count)  # type: ignore[func-returns-value, method-assign]
    loop = Loop(task, "softmax", batch_size=16, max_sequences=20_000, test_size=50)
    result, _, network = learn(loop, size=32)
    assert result.solved
    assert result.sequences % 16 == 0
    assert result.sequences % 100 < 16  # looked at once each 100 sequences, at the end of a batch
    assert max(drawn) == 256  # nothing but the pool, the held-out set and the final test
    rng = np.random.default_rng([1, 1])
    held_out = draw(rng, 256)
    worst, _ = task.errors(network.activate(network(held_out)), held_out)
    assert not worst.any()


def test_limits_end_it() -> None:
    task = Adding(20)
    result, rows, _ = learn(Loop(task, "linear", batch_size=8, max_sequences=100, test_size=10, log_every=40))
    assert (result.solved, result.stopped, result.sequences) == (False, "sequences", 104)
    assert [row["step"] for row in rows] == [40, 80, 104]
    result, _, _ = learn(Loop(task, "linear", max_cpu_minutes=0.01, max_sequences=10**9, test_size=10))
    assert result.stopped == "time"
    assert result.cpu_seconds < 5


def test_a_net_that_diverges_is_stopped() -> None:
    task = Adding(20)
    loop = Loop(task, "linear", batch_size=2, max_sequences=10_000, test_size=10)
    torch.manual_seed(0)
    network = loop.network(
        Recurrent(2, partial(RNN, hidden_size=4, nonlinearity="relu", identity=True), 1, bidirectional=False)
    )
    result = loop.learn(network, torch.optim.SGD(network.parameters(), lr=1e6), seed=0)
    assert (result.solved, result.stopped) == (False, "diverged")
    assert result.test["wrong"] == 10


def test_rate_follows_the_share_of_the_run() -> None:
    seen: list[float] = []
    loop = Loop(Adding(20), "linear", batch_size=10, max_sequences=50, test_size=10)
    network = loop.network(small(loop.task))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.5)
    loop.learn(network, optimizer, 0, rate=lambda progress: seen.append(progress) or 0.1)  # type: ignore[func-returns-value]
    assert seen == pytest.approx([0, 0.2, 0.4, 0.6, 0.8])
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.05)


def test_noisy_targets_are_judged_by_the_truth() -> None:
    task = TwoSequence("c", 10, 3)
    task.criterion = HeldOut(size=64, limit=0.1, mean=0.05, every=64)
    result, _, _ = learn(Loop(task, "squared", batch_size=16, max_sequences=30_000, test_size=200), rate=0.02)
    assert result.solved
    assert result.test["mean_error"] < 0.07  # the noise alone is 0.25 away on average


def test_streams_carry_state_across_segments() -> None:
    """Reading piece by piece gives what reading at once does."""
    task = ContinualReber(segment=10, test_streams=3, test_length=2500)
    network = Network(small(task), 7, 7, "softmax")
    whole = Streams(np.random.default_rng(4), 3).read(2500)
    z = network(whole)
    assert whole.allowed is not None
    right = whole.allowed.gather(2, z.argmax(2, keepdim=True))[:, :, 0]
    expected = [(~line).nonzero()[0, 0].item() if not line.all() else 2500 for line in right]
    figures = read_streams(task, network, np.random.default_rng(4), until_error=False)
    assert figures["mean_length"] == pytest.approx(sum(expected) / 3)
    assert figures["wrong"] == sum(e < 2500 for e in expected)


def test_continual_reber_is_learnt() -> None:
    task = ContinualReber(segment=20, test_streams=2, test_length=300, every=400)
    loop = Loop(task, "softmax", batch_size=16, max_sequences=60_000, log_every=400)
    result, rows, _ = learn(loop, size=16)
    assert result.solved
    assert result.sequences % 16 == 0
    assert result.test["mean_length"] > 30
    assert rows[-1]["train/wrong"] < rows[0]["train/wrong"]


def test_a_stream_with_an_error_begins_anew() -> None:
    task = ContinualReber(segment=5, every=10**9)
    network = Network(small(task), 7, 7, "softmax")
    symbols: list[str] = []

    class Watched(Streams):
        def restart(self, lines: np.ndarray) -> None:
            super().restart(lines)
            symbols.extend("B" if line else "-" for line in lines)
            assert (self.symbol[lines] == 0).all()

    import seqlab.lab.streams as module

    kept, module.Streams = module.Streams, Watched  # type: ignore[misc]
    try:
        meter = Meter(20, None, 1000, lambda row: None)
        rng = np.random.default_rng(0)
        assert learn_streams(task, network, 4, lambda loss: None, meter, rng, rng) == "sequences"
    finally:
        module.Streams = kept  # type: ignore[misc]
    assert symbols.count("B") >= 15  # an untrained net errs in nearly every five symbols


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "batch_size must be 1"),
        ({"max_sequences": 0}, "max_sequences"),
        ({"test_size": 0}, "test_size"),
        ({"log_every": 0}, "log_every"),
        ({"clip": 0.0}, "clip must be positive"),
        ({"max_cpu_minutes": -1.0}, "max_cpu_minutes"),
        ({"weight_range": 0.0}, "weight_range"),
        ({"outputs": "softmax"}, "softmax needs"),
    ],
)
def test_senseless_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Loop(Adding(20), **settings)
    with pytest.raises(ValueError, match="outputs=linear is for numbers"):
        Loop(TemporalOrder(), outputs="linear")


def test_any_encoder_will_do() -> None:
    loop = Loop(Adding(20), "linear", batch_size=8, max_sequences=16, test_size=10)
    network = loop.network(BLSTM(2, 4, 1))
    assert loop.learn(network, torch.optim.SGD(network.parameters(), lr=0.1), 0).sequences == 16


def test_a_training_stream_ends_when_it_is_long_enough() -> None:
    """With all right, streams of 12 symbols in segments of 5 start anew after every third segment."""
    task = ContinualReber(segment=5, train_length=12, every=10**9)
    task.errors = lambda y, batch: (torch.zeros(len(batch)), torch.zeros(len(batch)))  # type: ignore[method-assign]
    starts: list[bool] = []

    class Watched(Streams):
        def restart(self, lines: np.ndarray) -> None:
            super().restart(lines)
            starts.append(bool(lines.all()))
            assert lines.all() or not lines.any()

    import seqlab.lab.streams as module

    kept, module.Streams = module.Streams, Watched  # type: ignore[misc]
    try:
        rng = np.random.default_rng(0)
        network = Network(small(task), 7, 7, "softmax")
        learn_streams(task, network, 2, lambda loss: None, Meter(18, None, 1000, lambda row: None), rng, rng)
    finally:
        module.Streams = kept  # type: ignore[misc]
    assert starts == [False, False, True] * 3
