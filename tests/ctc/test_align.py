"""Forced alignment against enumeration, torchaudio and hand-worked paths."""

import itertools
import math

import numpy as np
import pytest
import torch
from torchaudio.functional import forced_align

from seqlab.ctc.align import STAR, _backward, _forward, align, realign, viterbi
from seqlab.ctc.feasibility import required_frames
from seqlab.ctc.hypothesis import Span
from seqlab.ctc.local import LocalAligner, fit
from seqlab.ctc.peakiness import Peakiness, peakiness
from seqlab.errors import DataError
from tests.ctc.test_ctc import collapse


def one_hot(path: list[int], symbols: int, sure: float = 0.9) -> torch.Tensor:
    """Return log-probabilities (T, V) that say a path."""
    probs = torch.full((len(path), symbols), (1 - sure) / (symbols - 1))
    probs[torch.arange(len(path)), path] = sure
    return probs.log()


def places(spans: list[Span]) -> list[tuple[int, int, int]]:
    return [(span.label, span.start, span.end) for span in spans]


@pytest.mark.parametrize("labels", [(1,), (1, 2), (1, 1), (2, 1, 2), (1, 1, 2)])
@pytest.mark.parametrize("frames", [4, 6])
def test_best_path_equals_enumeration(labels: tuple[int, ...], frames: int) -> None:
    torch.manual_seed(frames)
    for _ in range(20):
        scores = torch.randn(frames, 3).log_softmax(1)
        paths = [p for p in itertools.product(range(3), repeat=frames) if collapse(p) == labels]
        best = max(sum(float(scores[t, k]) for t, k in enumerate(p)) for p in paths)
        for keep in (1, 2, 100):
            path = viterbi(scores.numpy(), np.array(labels, np.int32), keep=keep)
            assert collapse(tuple(path.tolist())) == labels
            assert float(scores.numpy()[np.arange(frames), path].sum()) == pytest.approx(best, abs=1e-5)
        assert align(scores, labels).score == pytest.approx(best, abs=1e-5)


def test_equals_torchaudio_whatever_is_kept() -> None:
    torch.manual_seed(0)
    log_probs = torch.randn(400, 9).log_softmax(1)
    labels = torch.randint(1, 9, (60,))
    expected = forced_align(log_probs[None], labels[None])[0][0].tolist()
    for keep in (7, 100, 4096):
        assert viterbi(log_probs.numpy(), labels.int().numpy(), keep=keep).tolist() == expected


def test_best_path_where_torchaudio_misses_it() -> None:
    """Two equal predecessors (pytorch/audio#4221): the path must not take the worst of three."""
    log_probs = torch.tensor([[0.0, -1.0, -1.0], [-1.0, 0.0, -1.0], [-1.0, -1.0, 0.0]])
    assert places(align(log_probs, [1, 2]).spans) == [(1, 1, 2), (2, 2, 3)]


def test_spans_and_confidences_by_hand() -> None:
    log_probs = one_hot([0, 1, 1, 0, 1, 2, 0], 3)
    log_probs[1, 1] = math.log(0.6)
    found = align(log_probs, [1, 1, 2])
    assert places(found.spans) == [(1, 1, 3), (1, 4, 5), (2, 5, 6)]
    assert [s.confidence for s in found.spans] == pytest.approx([0.9, 0.9, 0.9])
    assert found.score == pytest.approx(6 * math.log(0.9) + math.log(0.6))
    assert align(log_probs, []).spans == []


def test_label_that_is_not_there_is_unsure() -> None:
    found = align(one_hot([0, 1, 0, 0, 3, 0], 4, 0.99), [1, 2, 3])
    assert [s.confidence > 0.5 for s in found.spans] == [True, False, True]


def test_too_few_frames_name_the_numbers() -> None:
    with pytest.raises(DataError, match="3 symbols need 4 frames, there are 3"):
        align(torch.zeros(3, 3), [1, 1, 2])


def test_star_takes_what_the_text_leaves_out() -> None:
    log_probs = one_hot([1, 0, 2, 3, 0, 3, 0, 4], 5, 0.99)
    spans = align(log_probs, [1, STAR, 4]).spans
    assert [places(spans)[0], places(spans)[2]] == [(1, 0, 1), (4, 7, 8)]
    star = spans[1]
    assert (star.label, star.confidence) == (STAR, 1.0)
    assert (star.start, star.end) == (2, 6)  # blanks beside it stay blanks
    assert places(align(log_probs, [STAR, 4]).spans)[1] == (4, 7, 8)


def test_priors_take_frames_from_the_blank() -> None:
    probs = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.99, 0.01]])
    log_priors = torch.tensor([0.7, 0.3]).log()
    assert places(align(probs.log(), [1]).spans) == [(1, 1, 2)]
    assert places(align(probs.log(), [1], log_priors, 1.0).spans) == [(1, 1, 3)]  # 0.4 / 0.3 > 0.6 / 0.7


def test_realign_stays_within_its_margin() -> None:
    torch.manual_seed(1)
    for number in range(50):
        labels = torch.randint(1, 5, (int(torch.randint(1, 9, ())),)).tolist()
        frames = required_frames(labels) + int(torch.randint(0, 30, ()))
        coarse = align(torch.randn(frames, 5).log_softmax(1), labels).spans
        other = torch.randn(frames, 5).log_softmax(1)
        assert [s[1:] for s in places(realign(other, coarse, frames))] == [
            s[1:] for s in places(align(other, labels).spans)
        ]
        margin = number % 3
        fine = realign(other, coarse, margin)
        assert [(s.label, s.confidence) for s in fine] == [(s.label, s.confidence) for s in coarse]
        assert all(a.start >= b.start - margin and a.end <= b.end + margin for a, b in zip(fine, coarse, strict=True))
    assert realign(other, [], 3) == []


def test_local_aligner_finds_borders_that_ctc_need_not_find(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames say their symbol outright; the aligner must fill the symbol's frames, not spike in one of them."""
    monkeypatch.setattr("seqlab.ctc.local.STEPS", 300)
    rng = np.random.default_rng(0)
    lines, truth = [], []
    for _ in range(60):
        labels = rng.permutation(np.arange(1, 5))[:3]
        path = np.concatenate([[0] * 4, *[[k] * rng.integers(4, 9) + [0] * rng.integers(1, 5) for k in labels]])
        x = np.eye(5)[path] + 0.1 * rng.standard_normal((len(path), 5))
        lines.append((torch.tensor(x, dtype=torch.float32), torch.tensor(labels)))
        truth.append([(int(np.flatnonzero(path == k)[0]), int(np.flatnonzero(path == k)[-1]) + 1) for k in labels])
    shares: list[float] = []
    local = fit(lines, 5, shares.append)
    assert shares[-1] == 1.0
    off = []
    with torch.no_grad():
        for (x, labels), borders in zip(lines, truth, strict=True):
            spans = align(local.scores(x), labels.tolist()).spans
            off += [abs(a - b) for s, e in zip(spans, borders, strict=True) for a, b in zip((s.start, s.end), e)]  # noqa: B905
    assert np.mean(off) < 1.0
    again = fit(lines, 5)
    assert all(torch.equal(a, b) for a, b in zip(local.state_dict().values(), again.state_dict().values(), strict=True))


def test_local_aligner_sees_three_frames() -> None:
    net = LocalAligner(4, 3).eval()
    x = torch.randn(1, 9, 4)
    other = x.clone()
    other[:, 6:] = 0
    assert torch.equal(net(x)[:, :5], net(other)[:, :5])
    assert not torch.equal(net(x)[:, 5], net(other)[:, 5])


def test_peakiness_by_hand() -> None:
    log_probs = torch.stack([one_hot([0, 1, 1, 2, 0], 3, 0.995), one_hot([1, 0, 1, 0, 0], 3, 0.5)])
    one = peakiness(log_probs, torch.tensor([5, 3]))
    assert (one.frames, one.blanks, one.runs, one.sure) == (8, 3, 4, 5)
    a = -(0.995 * math.log(0.995) + 2 * 0.0025 * math.log(0.0025))
    b = -(0.5 * math.log(0.5) + 2 * 0.25 * math.log(0.25))
    assert one.entropy_sum == pytest.approx(5 * a + 3 * b, abs=1e-5)
    two = one + one
    assert two.rates() == pytest.approx(one.rates())
    assert two.rates()["blank"] == pytest.approx(3 / 8)
    assert two.rates()["frames_per_symbol"] == pytest.approx(5 / 4)
    assert Peakiness().rates() == {"blank": 0.0, "frames_per_symbol": 0.0, "entropy": 0.0, "sure": 0.0}


def test_compiled_steps_are_kept_beside_the_module() -> None:
    for step in (_forward, _backward):
        assert type(step._cache).__name__ != "NullCache"
