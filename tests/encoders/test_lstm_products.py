"""The LSTM for training in bfloat16: states and gradients of torch's nn.LSTM, and where it is used."""

import pytest
import torch
from torch import Tensor, nn

from seqlab.encoders import _lstm_products
from seqlab.encoders._lstm_products import lstm
from seqlab.encoders.blstm import BLSTM


def gradients(states: Tensor, of: list[Tensor]) -> list[Tensor]:
    weights = torch.linspace(-1, 1, states.numel(), dtype=states.dtype).view_as(states)
    return list(torch.autograd.grad((states * weights).sum(), of))


@pytest.mark.parametrize("frames", [1, 9])
def test_gradients_are_those_of_torch(frames: int) -> None:
    torch.manual_seed(0)
    layer = nn.LSTM(7, 5).double()
    x = torch.randn(frames, 3, 7, dtype=torch.float64, requires_grad=True)
    of = [x, *layer.parameters()]
    states = lstm(x, list(layer.parameters()))
    torch.testing.assert_close(states, layer(x)[0])
    for own, theirs in zip(gradients(states, of), gradients(layer(x)[0], of), strict=True):
        torch.testing.assert_close(own, theirs, rtol=1e-10, atol=1e-12)


def test_features_without_gradient_get_none() -> None:
    layer = nn.LSTM(4, 3)
    x = torch.randn(5, 2, 4)
    lstm(x, list(layer.parameters())).sum().backward()
    assert x.grad is None
    assert all(p.grad is not None for p in layer.parameters())


def test_wide_bfloat16_training_takes_it_and_stays_near_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(_lstm_products, "lstm", lambda x, w: calls.append(x.dtype) or lstm(x, w))
    torch.manual_seed(0)
    encoder = BLSTM(6, 64, 2)
    x, lengths = torch.randn(64, 12, 6), torch.arange(64) % 12 + 1
    exact, _ = encoder(x, lengths)
    exact.square().sum().backward()
    want = {name: p.grad.clone() for name, p in encoder.named_parameters() if p.grad is not None}
    assert not calls
    encoder.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        states, _ = encoder(x, lengths)
    assert calls == [torch.bfloat16] * 4  # two layers, two ways
    states.float().square().sum().backward()
    for name, p in encoder.named_parameters():
        assert p.grad is not None
        assert float((p.grad - want[name]).norm() / want[name].norm()) < 0.03, name
    calls.clear()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        encoder(x, lengths)
    with torch.autocast("cpu", torch.bfloat16):
        encoder(x[:8], lengths[:8])
    assert not calls  # nothing to learn, and few lines
