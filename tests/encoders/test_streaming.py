"""Encoders that wait for a bounded piece of the future: read at once, piece by piece, and against their definitions."""

import pytest
import torch

from seqlab.encoders.blstm import BLSTM
from seqlab.encoders.latency_controlled import LatencyControlled
from seqlab.encoders.look_ahead import LookAhead

FRAMES = 53


def encoders() -> list[BLSTM]:
    torch.manual_seed(0)
    made = [
        LatencyControlled(12, 16, 3, chunk=7, right=4),
        LatencyControlled(12, 16, 2, chunk=3, right=0),
        LookAhead(12, 16, 3, look_ahead=5),
        LookAhead(12, 16, 1, look_ahead=0),
        BLSTM(12, 16, 3, bidirectional=False),
        BLSTM(12, 16, 2, proj_size=6, bidirectional=False),
    ]
    for encoder in made:
        with torch.no_grad():
            for parameter in encoder.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
    return [encoder.eval() for encoder in made]


@pytest.mark.parametrize("encoder", encoders(), ids=lambda e: type(e).__name__)
@torch.no_grad()
def test_pieces_give_the_states_of_the_whole(encoder: BLSTM) -> None:
    assert encoder.streams
    x = torch.randn(2, FRAMES, 12)
    whole, _ = encoder(x, torch.tensor([FRAMES, FRAMES]))
    assert whole.std() > 0.05
    state, answers, at, given = None, [], 0, 0
    for size in (1, 2, 0, 9, 20, 11, 10):
        at += size
        states, state = encoder.read_on(x[:, at - size : at], state, last=at == FRAMES)
        answers.append(states)
        given += states.shape[1]
        assert at - given <= encoder.look_ahead
    torch.testing.assert_close(torch.cat(answers, 1), whole, atol=1e-5, rtol=0)


@torch.no_grad()
def test_a_state_knows_its_past_and_the_window_that_it_lies_in() -> None:
    torch.manual_seed(1)
    encoder = LatencyControlled(4, 8, 2, chunk=5, right=3).eval()
    x, lengths = torch.randn(1, 20, 4), torch.tensor([20])
    before, _ = encoder(x, lengths)
    for changed in range(20):
        y = x.clone()
        y[0, changed] += 1
        moved = (encoder(y, lengths)[0] - before)[0].abs().amax(1) > 0
        for t in range(20):
            end = t // 5 * 5 + 5 + 3  # of the window that frame t is kept of
            assert bool(moved[t]) == (changed < end), (t, changed)


@torch.no_grad()
def test_a_line_no_longer_than_a_window_is_read_as_by_a_blstm() -> None:
    ours = LatencyControlled(12, 16, 3, chunk=40, right=13).eval()
    full = BLSTM(12, 16, 3).eval()
    full.load_state_dict(ours.state_dict())
    x, lengths = torch.randn(2, FRAMES, 12), torch.tensor([FRAMES, 30])
    torch.testing.assert_close(ours(x, lengths)[0], full(x, lengths)[0], atol=1e-6, rtol=0)


@torch.no_grad()
def test_chunks_can_be_changed_after_training() -> None:
    made = LatencyControlled(4, 8, 2, chunk=2, right=6).eval()
    changed = LatencyControlled(4, 8, 2, chunk=5, right=3).eval()
    changed.load_state_dict(made.state_dict())
    x, lengths = torch.randn(2, 30, 4), torch.tensor([30, 21])
    assert not torch.allclose(changed(x, lengths)[0], made(x, lengths)[0], atol=1e-4)
    changed.use_chunks(2, 6)
    torch.testing.assert_close(changed(x, lengths)[0], made(x, lengths)[0])
    assert changed.look_ahead == 7
    with pytest.raises(ValueError, match="chunk"):
        changed.use_chunks(0, 6)


@torch.no_grad()
def test_rows_weigh_the_states_ahead() -> None:
    encoder = LookAhead(3, 2, 1, look_ahead=2).eval()
    plain = BLSTM(3, 2, 1, bidirectional=False).eval()
    plain.lstm.load_state_dict(encoder.lstm.state_dict())
    x, lengths = torch.randn(1, 6, 3), torch.tensor([6])
    h = plain(x, lengths)[0][0]
    torch.testing.assert_close(encoder(x, lengths)[0][0], h)  # at first nothing is added
    weights = torch.tensor([[1.0, 2.0, -1.0], [0.5, 0.0, 3.0]])
    encoder.rows.copy_(weights[:, None])
    got = encoder(x, lengths)[0][0]
    ahead = torch.cat([h, torch.zeros(2, 2)])
    want = torch.stack([sum(weights[:, j] * ahead[t + j] for j in range(3)) for t in range(6)])  # type: ignore[misc]
    torch.testing.assert_close(got, want)


def test_values_out_of_range_are_refused() -> None:
    for wrong in ({"chunk": 0}, {"right": -1}):
        with pytest.raises(ValueError, match="chunk must be 1 or more"):
            LatencyControlled(4, **wrong)
    with pytest.raises(ValueError, match="look_ahead"):
        LookAhead(4, look_ahead=-1)
