"""Dropout with one mask per line, weights dropped in the recurrence, layers that join in later."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from seqlab.cells.gru import GRU
from seqlab.cells.lstm import LSTM
from seqlab.cells.qrnn import QRNN
from seqlab.encoders._regular import Dropout, Growth
from seqlab.encoders.blstm import BLSTM
from seqlab.encoders.recurrent import Recurrent


def encoders(**settings: Any) -> list[Any]:
    torch.manual_seed(0)
    cell = partial(LSTM, hidden_size=6)
    both = {"num_layers": 3, **settings}
    return [BLSTM(5, 6, **both), BLSTM(5, 6, bidirectional=False, **both), Recurrent(5, cell, **both)]


@pytest.mark.parametrize("time", [0, 1])
def test_a_mask_is_the_same_for_all_frames_of_a_line(time: int) -> None:
    torch.manual_seed(0)
    x = torch.ones(50, 40, 8)
    y = Dropout(0.25, time)(x).transpose(0, time)
    assert (y == y[:1]).all()
    assert y.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert float((y[0] == 0).float().mean()) == pytest.approx(0.25, abs=0.1)
    assert Dropout(0.25, time).eval()(x).equal(x)


@pytest.mark.parametrize("which", range(3))
def test_variational_dropout_of_features_is_that_of_whole_features(which: int) -> None:
    encoder = encoders(input_dropout=0.5, variational=True)[which]
    x, lengths = torch.randn(1, 9, 5), torch.tensor([9])
    torch.manual_seed(3)
    dropped = encoder(x, lengths)[0]
    torch.manual_seed(3)
    mask = nn.functional.dropout(torch.ones(1, 1, 5), 0.5)
    torch.testing.assert_close(dropped, encoder.eval()(x * mask, lengths)[0])


def test_dropped_recurrent_weights_are_those_of_a_plain_lstm_without_them() -> None:
    encoder = BLSTM(5, 6, num_layers=1, bidirectional=False, recurrent_dropout=0.5)
    x, lengths = torch.randn(2, 9, 5), torch.tensor([9, 9])
    torch.manual_seed(1)
    y = encoder(x, lengths)[0]
    plain = nn.LSTM(5, 6, batch_first=True)
    plain.load_state_dict(encoder.lstm.state_dict())
    torch.manual_seed(1)
    with torch.no_grad():
        plain.weight_hh_l0.copy_(nn.functional.dropout(plain.weight_hh_l0, 0.5))
    torch.testing.assert_close(y, plain(x)[0])
    assert encoder.eval()(x, lengths)[0].equal(encoder(x, lengths)[0])


@pytest.mark.parametrize("cell", [LSTM, GRU])
def test_dropped_recurrent_weights_of_any_cell(cell: Any) -> None:
    encoder = Recurrent(5, partial(cell, hidden_size=6), num_layers=1, bidirectional=False, recurrent_dropout=0.4)
    x, lengths = torch.randn(2, 9, 5), torch.tensor([9, 9])
    torch.manual_seed(1)
    y = encoder(x, lengths)[0]
    y.sum().backward()
    own = encoder.layers[0][0]
    assert own.weight_hh.grad is not None
    torch.manual_seed(1)
    kept = nn.functional.dropout(own.weight_hh.detach(), 0.4)
    assert not own.weight_hh.grad[kept == 0].any()
    with torch.no_grad():
        own.weight_hh.copy_(kept)
    torch.testing.assert_close(y, encoder.eval()(x, lengths)[0], atol=1e-6, rtol=0)


def test_a_cell_without_recurrent_weights_has_none_to_drop() -> None:
    with pytest.raises(ValueError, match="QRNN has no recurrent weights"):
        Recurrent(5, partial(QRNN, hidden_size=6), recurrent_dropout=0.1)


@pytest.mark.parametrize("which", range(3))
def test_layers_join_in_at_their_share_and_depth_travels_with_weights(which: int) -> None:
    encoder = encoders(grow_at=[0.2, 0.5])[which]
    x, lengths = torch.randn(2, 7, 5), torch.tensor([7, 4])
    used = []
    for progress in (0.0, 0.2, 0.49, 0.5, 1.0):
        encoder.growth.grow(progress)
        used.append(encoder.growth.layers)
        encoder.zero_grad()
        encoder(x, lengths)[0].sum().backward()
        frozen = [name for name, p in encoder.named_parameters() if p.grad is None]
        layers = {int(name.split("_l")[-1][0] if "_l" in name else name.split(".")[1]) for name in frozen}
        assert layers == set(range(used[-1], 3))
    assert used == [1, 2, 2, 3, 3]
    plain = encoders()[which]
    plain.load_state_dict({k: v for k, v in encoder.state_dict().items() if "depth" not in k})
    torch.testing.assert_close(encoder.eval()(x, lengths)[0], plain.eval()(x, lengths)[0], atol=1e-6, rtol=0)
    encoder.growth.grow(0.3)
    other = encoders(grow_at=[0.2, 0.5])[which]
    other.load_state_dict(encoder.state_dict())
    assert other.growth.layers == 2
    assert "growth.depth" not in plain.state_dict()


@pytest.mark.parametrize("shares", [[0.5, 0.2], [0.0], [1.0], [0.1, 0.2, 0.3]])
def test_shares_out_of_order_or_range_are_refused(shares: list[float]) -> None:
    with pytest.raises(ValueError, match="grow_at must hold ascending shares between 0 and 1, fewer than num_layers=3"):
        Growth(3, shares)
