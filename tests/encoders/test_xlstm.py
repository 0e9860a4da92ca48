"""The xLSTM encoder: what a block computes, and both ways of reading."""

from typing import Any

import pytest
import torch
from torch.nn import functional

from seqlab.cells.mlstm import MLSTM
from seqlab.cells.slstm import SLSTM
from seqlab.encoders.xlstm import XLSTM


def test_pattern_is_repeated() -> None:
    kinds = [[type(cell) for cell in block.cells] for block in XLSTM(3, 8, 5, blocks="mms").blocks]
    assert kinds == [[kind, kind] for kind in (MLSTM, MLSTM, SLSTM, MLSTM, MLSTM)]


def test_one_way_equals_blocks_by_hand() -> None:
    torch.manual_seed(0)
    encoder = XLSTM(3, 8, 2, "ms", num_heads=2, bidirectional=False).double()
    x = torch.randn(1, 9, 3, dtype=torch.float64)
    m, s = encoder.blocks
    line = encoder.linear(x[0])[:, None]  # (T, 1, H)
    line = line + m.down(m.cells[0](functional.layer_norm(line, (8,)))[0])
    states = s.cells[0](functional.layer_norm(line, (8,)))[0]
    line = line + functional.group_norm(states.flatten(0, 1), 2)[:, None]
    gate, value = s.up(functional.layer_norm(line, (8,))).chunk(2, 2)
    line = line + s.down(functional.gelu(gate) * value)
    expected = functional.layer_norm(line, (8,))[:, 0]
    torch.testing.assert_close(encoder(x, torch.tensor([9]))[0][0], expected, atol=1e-12, rtol=0)


def test_backward_cells_read_from_the_end() -> None:
    """With the two directions' weights equal, a line read backwards gives the states backwards."""
    torch.manual_seed(0)
    encoder = XLSTM(3, 8, 2, num_heads=2).double()
    for block in encoder.blocks:
        forward, backward = block.cells
        backward.load_state_dict(forward.state_dict())
        if hasattr(block, "head_norms"):
            block.head_norms[1].load_state_dict(block.head_norms[0].state_dict())
        else:  # the map down sees both directions side by side
            with torch.no_grad():
                block.down.weight[:, 16:] = block.down.weight[:, :16]
    x = torch.randn(2, 9, 3, dtype=torch.float64)
    lengths = torch.tensor([9, 9])
    torch.testing.assert_close(encoder(x.flip(1), lengths)[0], encoder(x, lengths)[0].flip(1), atol=1e-12, rtol=0)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_reach(bidirectional: bool) -> None:
    torch.manual_seed(0)
    encoder = XLSTM(3, 8, 2, num_heads=2, bidirectional=bidirectional)
    x = torch.randn(1, 9, 3, requires_grad=True)
    (slope,) = torch.autograd.grad((encoder(x, torch.tensor([9]))[0][0, 4] * torch.randn(8)).sum(), x)
    seen = slope[0].any(1).tolist()
    assert seen == [True] * 9 if bidirectional else [True] * 5 + [False] * 4


def test_padding_of_any_content_is_harmless() -> None:
    encoder = XLSTM(3, 8, 2, num_heads=2)
    x, lengths = torch.randn(2, 9, 3), torch.tensor([9, 5])
    expected = encoder(x, lengths)[0]
    x[1, 5:] = float("nan")
    assert encoder(x, lengths)[0].equal(expected)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"blocks": "mx"}, "letters m and s"),
    ({"blocks": ""}, "letters m and s"),
    ({"num_heads": 3}, "num_heads must divide"),
    ({"num_layers": 0}, "num_layers"),
    ({"expansion": 0}, "expansion"),
    ({"dropout": 1.0}, "dropout"),
    ({"out_dropout": -0.1}, "out_dropout"),
]


@pytest.mark.parametrize(("wrong", "message"), REFUSED)
def test_values_out_of_range_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        XLSTM(3, **{"hidden_size": 8} | wrong)
