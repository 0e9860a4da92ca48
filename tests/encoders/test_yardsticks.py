"""Transformer and conformer: beside torch's and torchaudio's own, and where those are not exact under padding."""

import math
from typing import Any

import pytest
import torch
import torchaudio
from torch import Tensor, nn

from seqlab.encoders._attention import positions
from seqlab.encoders.conformer import Conformer, ConformerBlock
from seqlab.encoders.transformer import Transformer


def test_positions_by_hand() -> None:
    table = positions(3, 4, torch.zeros(1, dtype=torch.float64))
    expected = [[math.sin(t), math.cos(t), math.sin(t / 100), math.cos(t / 100)] for t in range(3)]
    torch.testing.assert_close(table, torch.tensor(expected, dtype=torch.float64), atol=1e-6, rtol=0)


def test_transformer_equals_torchs_encoder() -> None:
    torch.manual_seed(0)
    ours = Transformer(5, 16, 2, num_heads=4).eval()
    layer = nn.TransformerEncoderLayer(16, 4, 64, batch_first=True, norm_first=True)
    theirs = nn.TransformerEncoder(layer, 2, norm=nn.LayerNorm(16), enable_nested_tensor=False).eval()
    theirs.layers.load_state_dict(ours.layers.state_dict())
    x, lengths = torch.randn(3, 11, 5), torch.tensor([11, 4, 7])
    padding = torch.arange(11) >= lengths[:, None]
    expected = theirs(ours.linear(x * ~padding[:, :, None]) + positions(11, 16, x), src_key_padding_mask=padding)
    expected = expected * ~padding[:, :, None]
    torch.testing.assert_close(ours(x, lengths)[0], expected, atol=1e-6, rtol=0)
    with torch.inference_mode():  # torch takes another way here
        torch.testing.assert_close(ours(x, lengths)[0], expected, atol=1e-5, rtol=0)


class FrameNorm(nn.Module):
    """Layer norm over the channels of (B, C, T)."""

    def __init__(self, norm: nn.LayerNorm) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.transpose(1, 2)).transpose(1, 2)


def test_conformer_block_equals_torchaudios_but_for_the_norm() -> None:
    torch.manual_seed(0)
    ours = ConformerBlock(16, num_heads=4, ff_size=64, kernel_size=7, dropout=0.1).eval()
    theirs = torchaudio.models.conformer.ConformerLayer(16, 64, 4, 7, use_group_norm=True).eval()
    conv = theirs.conv_module.sequential
    with torch.no_grad():
        for mine, other in (
            (ours.ff1, theirs.ffn1.sequential),
            (ours.ff2, theirs.ffn2.sequential),
            (ours.attention_norm, theirs.self_attn_layer_norm),
            (ours.attention, theirs.self_attn),
            (ours.conv_norm, theirs.conv_module.layer_norm),
            (ours.conv, conv[2]),
            (ours.norm, theirs.final_layer_norm),
        ):
            other.load_state_dict(mine.state_dict())
        for linear, pointwise in ((ours.conv_in, conv[0]), (ours.conv_out, conv[5])):
            pointwise.weight.copy_(linear.weight[:, :, None])
            pointwise.bias.copy_(linear.bias)
    conv[3] = FrameNorm(ours.conv_mid_norm)
    x = torch.randn(2, 20, 16)
    padding = torch.zeros(2, 20, dtype=torch.bool)
    expected = theirs(x.transpose(0, 1), padding).transpose(0, 1)
    torch.testing.assert_close(ours(x, padding), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("group_norm", [False, True])
def test_torchaudios_conformer_reads_padding(group_norm: bool) -> None:
    """Why ours is written anew. Should this fail one day, torchaudio's could be taken."""
    torch.manual_seed(0)
    theirs = torchaudio.models.Conformer(16, 4, 64, 2, 7, use_group_norm=group_norm).eval()
    x, lengths = torch.randn(2, 30, 16), torch.tensor([30, 12])
    alone = theirs(x[1:, :12], lengths[1:])[0]
    assert (theirs(x, lengths)[0][1, :12] - alone[0]).abs().max() > 0.01
    ours = Conformer(16, 16, 2, kernel_size=7).eval()
    alone = ours(x[1:, :12], lengths[1:])[0]
    torch.testing.assert_close(ours(x, lengths)[0][1, :12], alone[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", [Transformer, Conformer])
def test_padding_of_any_content_is_harmless(kind: type[nn.Module]) -> None:
    encoder = kind(3, 8, 2).eval()
    x, lengths = torch.randn(2, 9, 3), torch.tensor([9, 5])
    expected = encoder(x, lengths)[0]
    x[1, 5:] = float("nan")
    assert encoder(x, lengths)[0].equal(expected)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"hidden_size": 9, "num_heads": 3}, "hidden_size must be even"),
    ({"num_heads": 3}, "multiple of num_heads"),
    ({"num_heads": 0}, "num_heads"),
    ({"ff_factor": 0}, "ff_factor"),
    ({"dropout": 1.0}, "dropout"),
    ({"out_dropout": -0.1}, "out_dropout"),
]


@pytest.mark.parametrize("kind", [Transformer, Conformer])
@pytest.mark.parametrize(("wrong", "message"), REFUSED)
def test_values_out_of_range_are_refused(kind: type[nn.Module], wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kind(3, **{"hidden_size": 8} | wrong)


def test_kernel_must_be_odd() -> None:
    with pytest.raises(ValueError, match="kernel_size"):
        Conformer(3, 8, kernel_size=4)
