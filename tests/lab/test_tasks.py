"""Sequences of the long-lag tasks: ranges, places, chances, grammar and targets, each recomputed from the inputs."""

import re

import numpy as np
import pytest
import torch

from seqlab.lab.adding import Adding, Multiplication
from seqlab.lab.lags import NoiseFreeLag, NoisyLag
from seqlab.lab.reber import SYMBOLS, ContinualReber, EmbeddedReber, Streams
from seqlab.lab.task import Sequences, Task
from seqlab.lab.temporal_order import TemporalOrder
from seqlab.lab.two_sequence import TwoSequence

TASKS: list[Task] = [
    EmbeddedReber(),
    ContinualReber(segment=30),
    NoiseFreeLag(20),
    NoiseFreeLag(20, random_middle=True),
    NoisyLag(30, 5),
    TwoSequence("a"),
    TwoSequence("b"),
    TwoSequence("c", 50, 1),
    Adding(50),
    Multiplication(100),
    TemporalOrder(),
    TemporalOrder([[10, 20], [33, 43], [66, 76]]),
]
every = pytest.mark.parametrize("task", TASKS, ids=lambda t: type(t).__name__)


def draw(task: Task, count: int = 4000, seed: int = 0) -> Sequences:
    return task.draw(np.random.default_rng(seed), count)


def near(share: float, expected: float, count: int) -> bool:
    """Within 4.5 standard deviations of a binomial share: wrong by chance once in 100,000."""
    return abs(share - expected) < 4.5 * (expected * (1 - expected) / count) ** 0.5


# The grammar as a regular expression, worked out from its diagram: after T, S* then X ends at a node from which S
# leaves or X goes over to the other branch; that is T* then V, from whose node V leaves or P goes back.
LOOP = "(?:PX T*V)*".replace(" ", "")
REBER = re.compile(f"B(?:TS*X(?:S|XT*V{LOOP}(?:V|PS))|PT*V{LOOP}(?:V|PS))E")
EMBEDDED = re.compile(f"B(?:T{REBER.pattern}T|P{REBER.pattern}P)E")


@every
def test_shapes_padding_and_seed(task: Task) -> None:
    batch = draw(task, 64)
    assert len(batch) == 64
    assert batch.x.shape == (64, int(batch.lengths.max()), task.num_inputs)
    assert batch.x.dtype == batch.target.dtype == torch.float32
    assert batch.lengths.dtype == batch.steps.dtype == torch.int64
    assert batch.target.shape == (*batch.steps.shape, task.num_outputs)
    assert (batch.steps < batch.lengths[:, None]).all()
    for line, length in zip(batch.x, batch.lengths.tolist(), strict=True):
        assert line[:length].any(1).all() or task.num_inputs == 2
        assert not line[length:].any()
    again, other = draw(task, 64), draw(task, 64, seed=1)
    assert again.x.equal(batch.x)
    assert again.target.equal(batch.target)
    assert other.x.shape != batch.x.shape or not other.x.equal(batch.x)


@every
def test_picking_keeps_what_counts(task: Task) -> None:
    batch = draw(task, 64)
    chosen = torch.tensor([5, 3, 60])
    part = batch.pick(chosen)
    assert part.x.shape[1] == int(part.lengths.max())
    for i, j in enumerate(chosen.tolist()):
        length = int(batch.lengths[j])
        assert part.x[i, :length].equal(batch.x[j, :length])
        kept = batch.steps[j] >= 0
        assert part.target[i][part.steps[i] >= 0].equal(batch.target[j][kept])


def text(vectors: torch.Tensor) -> str:
    return "".join(SYMBOLS[i] for i in vectors.argmax(-1).flatten().tolist())


def test_embedded_reber_strings_are_of_the_grammar() -> None:
    batch = draw(EmbeddedReber())
    strings = []
    for x, target, length in zip(batch.x, batch.target, batch.lengths.tolist(), strict=True):
        strings.append(text(x[:length]) + text(target[length - 1]))
        assert text(target[: length - 1]) == text(x[1:length])
    assert all(EMBEDDED.fullmatch(s) for s in strings)
    assert min(map(len, strings)) == 9  # BTBTXSETE and the like
    assert len({s for s in strings if len(s) == 9}) == 4
    assert near(sum(s[1] == "T" for s in strings) / 4000, 0.5, 4000)
    assert near(sum(s[2:5] == "BTX" for s in strings) / 4000, 0.25, 4000)
    assert near(strings.count("BTBTXSETE") / 4000, 1 / 16, 4000)


def test_allowed_symbols_are_those_that_keep_a_string_possible() -> None:
    batch = draw(EmbeddedReber(), 300)
    assert batch.allowed is not None
    known = [
        text(x[:n]) + text(t[n - 1]) for x, t, n in zip(batch.x, batch.target, batch.lengths.tolist(), strict=True)
    ]
    many = draw(EmbeddedReber(), 20_000, seed=7)
    known += [text(x[:n]) + text(t[n - 1]) for x, t, n in zip(many.x, many.target, many.lengths.tolist(), strict=True)]
    following: dict[str, set[str]] = {}  # what was seen after each beginning
    for string in known:
        for i in range(1, len(string)):
            following.setdefault(string[:i], set()).add(string[i])
    checked = 0
    for line in range(300):
        for step in range(min(int(batch.lengths[line]), 7)):
            allowed = {SYMBOLS[i] for i in batch.allowed[line, step].nonzero()[:, 0].tolist()}
            assert allowed == following[known[line][: step + 1]]
            checked += 1
        last = int(batch.lengths[line]) - 2  # the last but one symbol repeats the second
        assert text(batch.allowed[line, last].float()[None]) == known[line][1]
        assert int(batch.allowed[line, last].sum()) == 1
    assert checked == 2100


def test_continual_reber_is_a_row_of_strings() -> None:
    streams = Streams(np.random.default_rng(0), 3)
    pieces = [streams.read(40) for _ in range(5)]
    for line in range(3):
        row = "".join(text(p.x[line]) for p in pieces)
        ahead = "".join(text(p.target[line]) for p in pieces)
        assert row[1:] == ahead[:-1]  # nothing is lost between two readings
        whole = row[: row.rindex("EB") + 1]
        assert re.fullmatch(f"(?:{EMBEDDED.pattern})+", whole)
    assert all(p.allowed is not None and p.allowed.gather(2, p.target.argmax(2, keepdim=True)).all() for p in pieces)
    streams.restart(np.array([False, True, False]))
    after = streams.read(3)
    assert text(after.x[1])[0] == "B"
    assert text(after.x[0])[0] == text(pieces[-1].target[0])[-1]


def test_noise_free_lag() -> None:
    batch = draw(NoiseFreeLag(20))
    symbols = torch.cat([batch.x.argmax(2), batch.target[:, -1:].argmax(2)], 1)  # (B, p + 1)
    assert symbols.shape[1] == 21
    assert symbols[:, 1:20].equal(torch.arange(2, 21).repeat(4000, 1))
    assert symbols[:, 0].equal(symbols[:, -1])
    assert near((symbols[:, 0] == 0).float().mean().item(), 0.5, 4000)
    assert batch.target[:, :-1].equal(batch.x[:, 1:])


def test_random_middle() -> None:
    batch = draw(NoiseFreeLag(20, random_middle=True))
    middle = batch.x.argmax(2)[:, 1:]
    assert middle.min() == 2
    assert middle.max() == 20
    assert near((middle == 7).float().mean().item(), 1 / 19, middle.numel())
    assert batch.steps.unique().tolist() == [19]
    assert batch.target[:, 0].argmax(1).equal(batch.x[:, 0].argmax(1))


def test_noisy_lag() -> None:
    batch = draw(NoisyLag(30, 5))
    whole = batch.lengths + 1  # with the symbol that is asked for
    assert int(whole.min()) == 34
    # 4 + q + the mean of a geometric distribution, 0.9 / 0.1, whose standard deviation is 9.49
    assert abs(whole.float().mean().item() - 43) < 4.5 * 9.49 / 4000**0.5
    assert near((whole == 34).float().mean().item(), 0.1, 4000)
    for x, length, target in zip(batch.x[:200], batch.lengths.tolist(), batch.target, strict=False):
        symbols = x[:length].argmax(1).tolist()
        assert symbols[0] == 5  # b
        assert symbols[-1] == 6  # e
        assert all(s < 5 for s in symbols[2:-1])
        assert symbols[1] - 7 == int(target[0].argmax())
    assert near(batch.target[:, 0, 0].mean().item(), 0.5, 4000)


@pytest.mark.parametrize("variant", ["a", "b", "c"])
def test_two_sequence(variant: str) -> None:
    batch = draw(TwoSequence(variant, 100, 3))  # type: ignore[arg-type]
    assert {int(n) for n in batch.lengths} == set(range(100, 111))
    begin, noise = batch.x[:, :3, 0], batch.x[:, 3:100, 0]
    assert abs(noise.var().item() - 0.2) < 0.003
    assert abs(noise.mean().item()) < 0.004
    target = batch.target[:, 0, 0]
    if variant == "a":
        assert begin.eq(1).all(1).logical_or(begin.eq(-1).all(1)).all()
        assert target.equal((begin[:, 0] > 0).float())
        assert batch.truth is None
    else:
        truth = target if variant == "b" else batch.truth[:, 0, 0]  # type: ignore[index]
        first = truth > 0.5 if variant == "b" else truth < 0.5
        assert near(first.float().mean().item(), 0.5, 4000)
        assert abs(begin[first].mean().item() - 1) < 0.03
        assert abs(begin[~first].mean().item() + 1) < 0.03
        assert abs(begin[first].var().item() - 0.2) < 0.02
        if variant == "c":
            assert sorted({round(v, 4) for v in truth.tolist()}) == [0.2, 0.8]
            assert abs((target - truth).var().item() - 0.1) < 0.01
            assert abs((target - truth).mean().item()) < 0.03


@pytest.mark.parametrize("task", [Adding(50), Multiplication(50)], ids=["adding", "multiplication"])
def test_adding_and_multiplication(task: Adding) -> None:
    batch = draw(task, 20_000)
    assert {int(n) for n in batch.lengths} == set(range(50, 56))
    firsts = np.zeros(50, int)
    product = isinstance(task, Multiplication)
    inside = batch.x[:, 1:49, 0]
    assert inside.max() <= 1
    assert abs(inside.mean().item() - (0.5 if product else 0)) < 0.005
    assert inside.min() >= (0 if product else -1)
    later = 0
    for x, length, target in zip(batch.x.numpy(), batch.lengths.tolist(), batch.target[:, 0, 0].tolist(), strict=True):
        markers = x[:length, 1]
        marked = np.flatnonzero(markers == 1)
        assert len(marked) == 2
        assert marked[0] < 10
        assert marked[1] < 24  # T/2 - 1 pairs, the first of them marked already at most
        assert markers[-1] == -1
        assert markers[0] == (1 if marked[0] == 0 else -1)
        assert set(markers.tolist()) <= {-1.0, 0.0, 1.0}
        if marked[0] == 0:
            assert x[0, 0] == (1 if product else 0)
        one, other = x[marked, 0].astype(float)
        assert target == pytest.approx(one * other if product else 0.5 + (one + other) / 4, abs=1e-6)
        firsts[marked] += 1
        later += marked[1] >= 10
    assert firsts[24:].sum() == 0
    assert near(later / 20_000, 14 / 23, 20_000)  # the second is one of 0..23 but the first: 14 of 23 lie beyond 9
    assert near(firsts[0] / 20_000, 1 / 10 + 9 / 10 / 23, 20_000)


@pytest.mark.parametrize("places", [[[10, 20], [50, 60]], [[10, 20], [33, 43], [66, 76]]])
def test_temporal_order(places: list[list[int]]) -> None:
    batch = draw(TemporalOrder(places))
    assert {int(n) for n in batch.lengths} == set(range(100, 111))
    seen: list[set[int]] = [set() for _ in places]
    for x, length, target in zip(batch.x, batch.lengths.tolist(), batch.target[:, 0], strict=True):
        symbols = x[:length].argmax(1).numpy()
        assert symbols[0] == 6
        assert symbols[-1] == 7
        relevant = np.flatnonzero((symbols == 4) | (symbols == 5))
        assert len(relevant) == len(places)
        for place, (low, high), where in zip(relevant.tolist(), places, seen, strict=True):
            assert low <= place <= high
            where.add(place)
        word = "".join("XY"[s - 4] for s in symbols[relevant])
        assert int(target.argmax()) == int(word.replace("X", "0").replace("Y", "1"), 2)
        assert set(symbols[1:-1].tolist()) <= set(range(6))
    assert all(len(where) == 11 for where in seen)
    shares = batch.target[:, 0].mean(0)
    assert all(near(s, 1 / 2 ** len(places), 4000) for s in shares.tolist())


def test_errors_are_differences_or_forbidden_symbols() -> None:
    batch = draw(TemporalOrder(), 2)
    y = batch.target.clone()
    y[0, 0, 1] += 0.2
    y[1, 0] -= 0.1
    worst, mean = TemporalOrder().errors(y, batch)
    torch.testing.assert_close(worst, torch.tensor([0.2, 0.1]))
    torch.testing.assert_close(mean, torch.tensor([0.05, 0.1]))
    noisy = draw(TwoSequence("c"), 2)
    assert noisy.truth is not None
    torch.testing.assert_close(TwoSequence("c").errors(noisy.truth + 0.05, noisy)[0], torch.full((2,), 0.05))
    strings = draw(EmbeddedReber(), 50)
    assert strings.allowed is not None
    flat = 0.5 * strings.allowed.float()
    worst, _ = EmbeddedReber().errors(flat, strings)
    assert not worst.any()
    for line in (3, 17):
        last = int(strings.lengths[line]) - 1
        flat[line, last, 0] = 1.0  # B never ends a string
    flat[5, int(strings.lengths[5]) :, 0] = 1.0  # past its end: nothing is judged
    worst, _ = EmbeddedReber().errors(flat, strings)
    assert worst.nonzero()[:, 0].tolist() == [3, 17]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Adding(10), "length must be 20"),
        (lambda: Multiplication(100, -1), "spared"),
        (lambda: TemporalOrder([[10, 20], [15, 30]]), "one after the other"),
        (lambda: TemporalOrder([[0, 5]]), "from 1 on"),
        (lambda: TemporalOrder([[10]]), "ranges"),
        (lambda: TemporalOrder([]), "ranges"),
        (lambda: TemporalOrder(length=60), "length must be 62"),
        (lambda: TwoSequence("d"), "a, b or c"),  # type: ignore[arg-type]
        (lambda: TwoSequence("a", 2, 3), "length must be 3"),
        (lambda: NoiseFreeLag(1), "lag"),
        (lambda: NoisyLag(10, 0), "distractors"),
        (lambda: EmbeddedReber(0), "size"),
        (lambda: ContinualReber(segment=0), "segment"),
    ],
)
def test_senseless_sizes_are_refused(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]
