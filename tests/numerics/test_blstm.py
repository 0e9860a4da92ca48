"""Reversal by length against packing, which is the oracle."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from seqlab.encoders.blstm import BLSTM, _reversal

SHAPES = [
    {"num_layers": 3},
    {"num_layers": 1},
    {"num_layers": 2, "bidirectional": False},
    {"num_layers": 2, "proj_size": 5},
]
shapes = pytest.mark.parametrize("settings", SHAPES, ids=str)


def batch(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.tensor([23, 40, 1, 31, 40, 7])
    x = torch.randn(6, 40, 9, generator=generator)
    return x * (torch.arange(40) < lengths[:, None])[:, :, None], lengths


def oracle(encoder: BLSTM, x: Tensor, lengths: Tensor) -> Tensor:
    """A plain nn.LSTM with the same weights, packed."""
    own = encoder.lstm
    lstm = nn.LSTM(
        own.input_size,
        own.hidden_size,
        own.num_layers,
        batch_first=True,
        bidirectional=own.bidirectional,
        proj_size=own.proj_size,
    )
    lstm.load_state_dict(encoder.lstm.state_dict())
    packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    return pad_packed_sequence(lstm(packed)[0], batch_first=True, total_length=x.shape[1])[0]


@shapes
def test_states_equal_packed_lstm(settings: dict) -> None:
    torch.manual_seed(1)
    encoder = BLSTM(9, hidden_size=32, **settings)
    x, lengths = batch()
    expected = oracle(encoder, x, lengths)
    for run in (lambda x, n: encoder(x, n)[0], encoder._packed):
        torch.testing.assert_close(run(x, lengths), expected, atol=1e-6, rtol=0)


@shapes
def test_gradients_equal_packed_lstm(settings: dict) -> None:
    torch.manual_seed(1)
    encoder = BLSTM(9, hidden_size=32, **settings)
    x, lengths = batch()
    weights = torch.randn(6, 40, encoder.num_features)
    gradients = []
    for path in (lambda x, n: encoder(x, n)[0], encoder._packed):
        encoder.zero_grad()
        signal = x.clone().requires_grad_()
        # The mean, so that gradients have the size that they have in training.
        (path(signal, lengths) * weights).mean().backward()
        gradients.append([signal.grad, *(p.grad.clone() for p in encoder.parameters() if p.grad is not None)])
    assert len(gradients[0]) == 1 + len(list(encoder.parameters()))
    for ours, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, expected, atol=1e-6, rtol=0)


def test_cpu_takes_the_way_of_reversal() -> None:
    encoder = BLSTM(9, hidden_size=32)
    x, lengths = batch()
    assert encoder(x, lengths)[0].equal(encoder._reversed(x, lengths))


def test_padded_lstm_would_be_wrong() -> None:
    """What the reversal is for: nn.LSTM on the padded batch reads padding first on the way back."""
    torch.manual_seed(1)
    encoder = BLSTM(9, hidden_size=32, num_layers=1)
    x, lengths = batch()
    naive = encoder.lstm(x)[0]
    exact = encoder(x, lengths)[0]
    assert (naive - exact)[0, :23].abs().max() > 1e-2


def test_both_ways_drop_between_layers_while_training() -> None:
    encoder = BLSTM(9, hidden_size=8, num_layers=2, dropout=0.5)
    x, lengths = batch()
    for path in (encoder._reversed, encoder._packed):
        assert not path(x, lengths).equal(path(x, lengths))
        encoder.eval()
        assert path(x, lengths).equal(path(x, lengths))
        encoder.train()
    assert BLSTM(9, num_layers=1, dropout=0.5).lstm.dropout == 0


def test_dropout_acts_between_layers_only(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []

    def record(x: Tensor, p: float, training: bool, inplace: bool = False) -> Tensor:
        if p:
            sizes.append((x.shape[2], p, training))
        return x

    monkeypatch.setattr("seqlab.encoders.blstm.functional.dropout", record)
    BLSTM(9, hidden_size=8, num_layers=3, dropout=0.5)(*batch())
    assert sizes == [(16, 0.5, True)] * 2
    sizes.clear()
    BLSTM(9, hidden_size=8, num_layers=1, out_dropout=0.25)(*batch())
    assert sizes == [(16, 0.25, True)]


def test_packed_way_takes_empty_lines() -> None:
    encoder = BLSTM(9, hidden_size=8)
    x, lengths = batch()
    lengths[0] = 0
    torch.testing.assert_close(encoder._packed(x, lengths), encoder._reversed(x, lengths), atol=1e-6, rtol=0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@shapes
def test_gpu_equals_cpu(settings: dict) -> None:
    torch.manual_seed(1)
    encoder = BLSTM(9, hidden_size=32, **settings)
    x, lengths = batch()
    expected, _ = encoder(x, lengths)
    states, _ = encoder.cuda()(x.cuda(), lengths.cuda())
    torch.testing.assert_close(states.cpu(), expected, atol=1e-4, rtol=0)


def test_dropout_leaves_the_last_layer_whole() -> None:
    encoder = BLSTM(9, hidden_size=8, num_layers=2, dropout=0.9)
    x, lengths = batch()
    states = encoder(x, lengths)[0]
    assert states[1].all()


def test_reversal_by_hand() -> None:
    x = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8]]).T[:, :, None]  # (T, B, 1)
    index = _reversal(torch.tensor([4, 2]), 4)
    there = x[index]
    assert there[:, 0, 0].tolist() == [4, 3, 2, 1]
    assert there[:, 1, 0].tolist() == [6, 5, 7, 8]
    assert there[index].equal(x)


def test_one_step_by_hand() -> None:
    """With all weights 0, gates come from the biases alone: i = o = 1/2, f = sigma(1), g = tanh(1)."""
    encoder = BLSTM(2, hidden_size=1, num_layers=1, bidirectional=False)
    with torch.no_grad():
        for name, parameter in encoder.lstm.named_parameters():
            if name.startswith("weight"):
                parameter.zero_()
            else:
                # input, forget, cell, output; the forget gate as the class has set it
                forget = parameter[1].clone()
                parameter.zero_()
                parameter[1] = forget
                parameter[2] = 0.5
    states, _ = encoder(torch.randn(1, 2, 2), torch.tensor([2]))
    sigma, g = torch.sigmoid(torch.tensor(1.0)), torch.tanh(torch.tensor(1.0))
    first = 0.5 * g
    second = sigma * first + 0.5 * g
    torch.testing.assert_close(states[0, :, 0], torch.stack([0.5 * torch.tanh(first), 0.5 * torch.tanh(second)]))


def test_forget_gate_starts_at_one() -> None:
    encoder = BLSTM(4, hidden_size=6, num_layers=2)
    for layer in range(2):
        for way in ("", "_reverse"):
            total = getattr(encoder.lstm, f"bias_ih_l{layer}{way}") + getattr(encoder.lstm, f"bias_hh_l{layer}{way}")
            assert total[6:12].tolist() == [1.0] * 6
            assert not (total[:6] == 1).any()


def test_number_of_weights_is_that_of_graves_2013() -> None:
    """CTC-3l-250h has 3.8 M weights (table 1); here without peepholes and with one bias of torch's two."""
    encoder = BLSTM(123, hidden_size=250, num_layers=3)
    weights = sum(p.numel() for n, p in encoder.named_parameters() if not n.startswith("lstm.bias_hh"))
    assert weights == 2 * 4 * 250 * (123 + 250 + 1) + 2 * 2 * 4 * 250 * (500 + 250 + 1)
    peepholes, output = 3 * 2 * 3 * 250, (500 + 1) * 62
    assert round((weights + peepholes + output) / 1e6, 1) == 3.8


@shapes
def test_bf16_autocast_trains(settings: dict) -> None:
    torch.manual_seed(1)
    encoder = BLSTM(9, hidden_size=32, **settings)
    x, lengths = batch()
    exact = encoder(x, lengths)[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        states, _ = encoder(x, lengths)
    torch.testing.assert_close(states.float(), exact, atol=0.02, rtol=0)
    states.float().square().mean().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.dtype == torch.float32
        assert parameter.grad.isfinite().all()
        assert parameter.grad.any(), name


def test_long_recordings_run_in_pieces_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    from seqlab.encoders import blstm

    torch.manual_seed(0)
    encoder = blstm.BLSTM(5, hidden_size=4, num_layers=2).eval()
    x, lengths = torch.randn(3, 50, 5), torch.tensor([50, 31, 8])
    whole, _ = encoder(x, lengths)  # with gradients: in one go
    monkeypatch.setattr(blstm, "PIECE", 21)  # pieces of 7 frames
    with torch.inference_mode():
        pieces, _ = encoder(x, lengths)
    assert torch.allclose(whole, pieces, atol=1e-6, rtol=0)
