"""How gates start; the cell as a setting; the encoder around it."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from seqlab.cells.coupled import Coupled
from seqlab.cells.gru import GRU
from seqlab.cells.layer_norm_lstm import LayerNormLSTM
from seqlab.cells.liquid import Liquid
from seqlab.cells.lstm import LSTM
from seqlab.cells.peephole import Peephole
from seqlab.cells.projected import Projected
from seqlab.cells.rnn import RNN
from seqlab.config import compose, load_yaml, save_yaml
from seqlab.encoders.blstm import BLSTM
from seqlab.encoders.recurrent import Recurrent
from seqlab.errors import ConfigError
from seqlab.model import CTCModel, build_on_meta

D, N = 5, 8


def test_init_zero_and_one() -> None:
    for make in (LSTM, Peephole, LayerNormLSTM):
        assert not make(D, N, init="zero").bias.any()
        assert make(D, N, init="one").bias.tolist() == [0.0] * N + [1.0] * N + [0.0] * 2 * N
    assert Coupled(D, N, init="one").bias.tolist() == [-1.0] * N + [0.0] * 2 * N
    assert GRU(D, N, init="one").bias.tolist() == [0.0] * N + [1.0] * N + [0.0] * N


def test_init_chrono_spreads_times_of_forgetting() -> None:
    torch.manual_seed(0)
    bias = LSTM(D, 2000, init="chrono", longest_lag=101).bias.detach()
    forget = bias[2000:4000]
    u = forget.exp()
    assert 1 <= float(u.min()) < 2
    assert 99 < float(u.max()) <= 100
    assert abs(float(u.mean()) - 50.5) < 2.5  # uniform on [1, 100]: sd of the mean is 0.64
    assert bias[:2000].equal(-forget)
    # a cell with forget bias log(u) keeps sigmoid(log u) = u / (1 + u) per frame: it forgets over 1 + u frames
    torch.testing.assert_close(1 / (1 - forget.sigmoid()), 1 + u, rtol=1e-3, atol=0)
    z = GRU(D, 2000, init="chrono", longest_lag=101).bias[2000:4000].detach()
    assert abs(float(z.exp().mean()) - 50.5) < 2.5
    i = Coupled(D, 2000, init="chrono", longest_lag=101).bias[:2000].detach()
    assert abs(float((-i).exp().mean()) - 50.5) < 2.5


def test_init_cec_holds_the_forget_gate_at_exactly_one() -> None:
    for make in (LSTM, Peephole, partial(Projected, proj_size=3)):
        cell = make(D, hidden_size=N, init="cec")
        activity = cell.activity(5 * torch.randn(50, 2, D))
        assert (activity["forget gate"] == 1).all()
        assert activity["input gate"].median().item() < 0.2
        assert cell.bias[:N].tolist() == [-3.0] * N
        for weight in (cell.weight_hh, *cell.peepholes.values()):  # other ways back than the carousel
            nn.init.zeros_(weight)
        c = torch.zeros(1, N).requires_grad_()
        last = cell(torch.randn(1000, 1, D), (torch.zeros(1, cell.num_features), c))[1][1]
        (gradient,) = torch.autograd.grad(last.sum(), c)
        assert gradient.equal(torch.ones(1, N))


def test_init_of_the_fused_encoder() -> None:
    torch.manual_seed(0)
    for proj_size in (0, 3):
        lstm = BLSTM(D, N, 2, proj_size=proj_size, init="chrono", longest_lag=50).lstm
        for layer in ("l0", "l1", "l0_reverse", "l1_reverse"):
            bias = getattr(lstm, f"bias_ih_{layer}").detach() + getattr(lstm, f"bias_hh_{layer}").detach()
            assert bias[:N].equal(-bias[N : 2 * N])
            assert float(bias[N : 2 * N].min()) >= 0
            assert float(bias[N : 2 * N].exp().max()) <= 49 * (1 + 1e-6)
        lstm = BLSTM(D, N, 1, proj_size=proj_size, init="cec").lstm
        assert not lstm.weight_hh_l0[N : 2 * N].any()
        assert not lstm.weight_ih_l0_reverse[N : 2 * N].any()
        assert (lstm.bias_ih_l0 + lstm.bias_hh_l0)[: 2 * N].tolist() == [-3.0] * N + [20.0] * N


@pytest.mark.parametrize(
    ("make", "settings", "message"),
    [
        (LSTM, {"init": "two"}, "zero, one, chrono, cec"),
        (LSTM, {"init": "chrono"}, "longest_lag"),
        (GRU, {"init": "chrono", "longest_lag": 2}, "longest_lag"),
        (GRU, {"init": "cec"}, "lets nothing in"),
        (Coupled, {"init": "cec"}, "lets nothing in"),
        (LSTM, {"hidden_size": 0}, "hidden_size"),
        (Peephole, {"coupled": True, "forget_gate": False}, "coupled"),
        (Projected, {"proj_size": 512}, "proj_size"),
        (LayerNormLSTM, {"hidden_size": 1}, "hidden_size"),
        (Liquid, {"backbone_size": 0}, "backbone_size"),
        (RNN, {"nonlinearity": "sine"}, "nonlinearity"),
    ],
)
def test_refused(make: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(D, **settings)


def test_cell_is_a_setting_like_any_other(tmp_path: Path) -> None:
    config = compose("train", ["encoder=recurrent", "encoder/cell=peephole", "encoder.cell.hidden_size=24"])
    encoder = build_on_meta(config).encoder
    assert isinstance(encoder.layers[2][1], Peephole)
    assert encoder.num_features == 48
    save_yaml(config, tmp_path / "config.yaml")
    models = [CTCModel(load_yaml(tmp_path / "config.yaml"), 5) for _ in range(2)]
    models[0].load_state_dict(models[1].state_dict(), strict=True)
    with pytest.raises(ConfigError) as caught:
        compose(
            "train",
            [
                "encoder=recurrent",
                "encoder/cell=gru",
                "encoder.cell.hiden_size=3",
                "encoder.cell.init=two",
                "+encoder.cell.input_size=3",
                "encoder.cell.longest_lag=x",
            ],
        )
    text = str(caught.value)
    assert "encoder.cell.hiden_size: unknown key; did you mean 'hidden_size'?" in text
    assert "encoder.cell.init: must be one of zero, one, chrono, cec" in text
    assert "encoder.cell.input_size: is given by the program" in text
    assert "encoder.cell.longest_lag: must be int | null, got 'x'" in text
    with pytest.raises(ConfigError, match="must be a node with a _target_, got 'gru'"):
        compose("train", ["encoder=recurrent", "encoder.cell=gru"])
    with pytest.raises(ConfigError, match=r"not allowed under 'cell', which takes seqlab\.cells"):
        compose("train", ["encoder=recurrent", "encoder.cell._target_=seqlab.encoders.blstm.BLSTM"])
    with pytest.raises(ConfigError, match="needs longest_lag"):
        build_on_meta(compose("train", ["encoder=recurrent", "encoder.cell.init=chrono"]))


def test_residual_adds_the_input_where_sizes_agree() -> None:
    torch.manual_seed(0)
    x, lengths = torch.randn(2, 9, 2 * N), torch.tensor([9, 5])
    cell = partial(LSTM, hidden_size=N)
    encoder = Recurrent(2 * N, cell, num_layers=2, residual=True)
    plain = Recurrent(2 * N, cell, num_layers=1)
    plain.layers[0].load_state_dict(encoder.layers[0].state_dict())
    first = x + plain(x, torch.tensor([9, 5]))[0]
    plain.layers[0].load_state_dict(encoder.layers[1].state_dict())
    expected = first + plain(first, lengths)[0]
    torch.testing.assert_close(encoder(x, lengths)[0][0], expected[0])
    torch.testing.assert_close(encoder(x, lengths)[0][1, :5], expected[1, :5])
    narrow = Recurrent(3, cell, num_layers=1, residual=True)
    assert narrow(torch.randn(1, 4, 3), torch.tensor([4]))[0].shape == (1, 4, 2 * N)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("make", [LSTM, Peephole, GRU, RNN, LayerNormLSTM, Liquid])
def test_can_be_traced(make: Any) -> None:
    torch.manual_seed(0)
    encoder = Recurrent(D, partial(make, hidden_size=N), num_layers=1).eval()
    x, lengths = torch.randn(2, 7, D), torch.tensor([7, 4])
    traced = torch.jit.trace(encoder, (x, lengths))
    other = torch.randn(2, 7, D)
    torch.testing.assert_close(traced(other, lengths)[0], encoder(other, lengths)[0], atol=1e-5, rtol=0)
