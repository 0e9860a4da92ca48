"""The stem of line images: masked normalisation against plain statistics, padding that changes nothing, sizes."""

import copy
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from seqlab.stems._norm import MaskedBatchNorm, MaskedGroupNorm
from seqlab.stems.line_cnn import LineCNN

LENGTHS = [7, 12, 3, 12, 9]


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def maps(lengths: Sequence[int] = LENGTHS, channels: int = 4, features: int = 5, more: int = 0) -> Tensor:
    """Maps (B, C, T, F) with means and variances of their own, 0 past each length."""
    x = torch.randn(len(lengths), channels, max(lengths) + more, features, generator=rng())
    x = x * torch.arange(1.0, channels + 1)[:, None, None] + torch.linspace(-3, 5, channels)[:, None, None]
    for line, length in zip(x, lengths, strict=True):
        line[:, length:] = 0
    return x


def positions(x: Tensor, lengths: Sequence[int] = LENGTHS) -> Tensor:
    """Every valid position as a row, (N, C)."""
    return torch.cat([line[:, :n].flatten(1) for line, n in zip(x, lengths, strict=True)], 1).T


def masked(part: MaskedBatchNorm, x: Tensor, lengths: Sequence[int] = LENGTHS) -> Tensor:
    return positions(part(x, torch.tensor(sum(lengths) * x.shape[3])), lengths)


def randomise(module: nn.Module) -> None:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=rng(parameter.numel())))


def test_batch_norm_is_plain_statistics_over_valid_positions() -> None:
    part = MaskedBatchNorm(4, momentum=0.25)
    randomise(part)
    x = maps().requires_grad_()
    out = masked(part, x)
    # by hand, in double precision: mean and variance of the rows that count, and nothing else
    y = x.detach().double().requires_grad_()
    rows = positions(y)
    weight, bias = (p.detach().double().requires_grad_() for p in (part.weight, part.bias))
    mean = rows.mean(0)
    variance = (rows - mean).square().mean(0)
    expected = (rows - mean) / (variance + part.eps).sqrt() * weight + bias
    torch.testing.assert_close(out.double(), expected, atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(part.running_mean.double(), 0.25 * mean.detach(), atol=1e-5, rtol=1e-5)
    unbiased = rows.detach().var(0, unbiased=True)
    torch.testing.assert_close(part.running_var.double(), 0.75 + 0.25 * unbiased, atol=1e-5, rtol=1e-5)
    pull = torch.randn(out.shape, generator=rng(5))
    (out * pull).sum().backward()
    (expected * pull.double()).sum().backward()
    assert x.grad is not None
    assert y.grad is not None
    # what reaches the padding is for the mask before it to stop
    torch.testing.assert_close(positions(x.grad).double(), positions(y.grad), atol=1e-4, rtol=1e-4)
    for ours, theirs in ((part.weight, weight), (part.bias, bias)):
        assert ours.grad is not None
        assert theirs.grad is not None
        torch.testing.assert_close(ours.grad.double(), theirs.grad, atol=1e-4, rtol=1e-4)


def test_batch_norm_gradient_stands_up_to_differences() -> None:
    part = MaskedBatchNorm(2).double()
    randomise(part)
    lengths = [2, 3]
    pull = torch.randn(15, 2, generator=rng(1), dtype=torch.float64)

    def loss(rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        x = torch.zeros(2, 2, 3, 3, dtype=torch.float64)
        x = x.index_put(tuple(places), rows)
        out = torch.func.functional_call(part, {"weight": weight, "bias": bias}, (x, torch.tensor(15)))
        return (positions(out, lengths) * pull).sum()

    template = maps(lengths, 2, 3).double()
    places = (template != 0).nonzero().T
    assert places.shape[1] == 2 * 15
    weight, bias = (p.detach().clone().requires_grad_() for p in (part.weight, part.bias))
    inputs = (template[tuple(places)].requires_grad_(), weight, bias)
    assert torch.autograd.gradcheck(loss, inputs)


def test_batch_norm_equals_torch_where_nothing_is_padded() -> None:
    ours, theirs = MaskedBatchNorm(4), nn.BatchNorm2d(4)
    randomise(ours)
    theirs.load_state_dict(ours.state_dict(), strict=False)
    x = maps([12] * 5)
    for _ in range(3):
        x = x * 1.5 + 0.5
        a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
        y, z = ours(a, torch.tensor(5 * 12 * 5)), theirs(b)
        torch.testing.assert_close(y, z)
        pull = torch.randn(y.shape, generator=rng(2))
        (y * pull).sum().backward()
        (z * pull).sum().backward()
        torch.testing.assert_close(a.grad, b.grad, atol=1e-5, rtol=1e-4)
    for name in ("running_mean", "running_var"):
        torch.testing.assert_close(getattr(ours, name), getattr(theirs, name))
    for name in ("weight", "bias"):
        torch.testing.assert_close(getattr(ours, name).grad, getattr(theirs, name).grad, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(ours.eval()(x, torch.tensor(300)), theirs.eval()(x))


def test_batch_norm_survives_constant_and_single_positions() -> None:
    part = MaskedBatchNorm(2)
    x = torch.zeros(2, 2, 4, 3)
    x[0, :, 0] = torch.tensor([7.0, -3.0])[:, None]
    out = part(x.requires_grad_(), torch.tensor(3))
    assert out[0, :, 0].abs().max() < 0.05  # the mean itself
    out.sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert part.running_var.isfinite().all()
    one = MaskedBatchNorm(2)
    assert one(torch.ones(1, 2, 1, 1), torch.tensor(1)).isfinite().all()
    assert one.running_var.isfinite().all()


@pytest.mark.parametrize("channels", [8, 12, 3])
def test_group_norm_equals_torch_on_each_line(channels: int) -> None:
    part = MaskedGroupNorm(channels)
    randomise(part)
    theirs = nn.GroupNorm(part.groups, channels)
    theirs.load_state_dict(part.state_dict())
    assert channels % part.groups == 0
    x = maps(channels=channels, more=3)
    out = part(x, torch.tensor(LENGTHS))
    for line, y, length in zip(x, out, LENGTHS, strict=True):
        torch.testing.assert_close(y[:, :length], theirs(line[None, :, :length])[0], atol=2e-5, rtol=1e-4)


SMALL: dict[str, Any] = {
    "channels": [4, 6, 8],
    "strides": [[2, 2], [1, 1], [1, 1]],
    "pools": [[1, 1], [2, 2], [1, 2]],
    "blocks": [0, 1, 0],
}


def stem(**settings: Any) -> LineCNN:
    torch.manual_seed(0)
    return LineCNN(9, **SMALL | settings)


def lines(lengths: Sequence[int], more: int = 0, features: int = 9) -> tuple[Tensor, Tensor]:
    x = torch.zeros(len(lengths), max(lengths) + more, features)
    for number, (row, length) in enumerate(zip(x, lengths, strict=True)):
        row[:length] = torch.randn(length, features, generator=rng(number))
    return x, torch.tensor(lengths)


@pytest.mark.parametrize("norm", ["batch", "group", "none"])
@pytest.mark.parametrize("activation", ["relu", "leaky_relu"])
def test_more_padding_changes_nothing_while_training(norm: str, activation: str) -> None:
    results = []
    for more in (0, 1, 2, 5, 32):
        part = stem(norm=norm, activation=activation).train()
        x, lengths = lines([13, 24, 7, 18], more)
        x.requires_grad_()
        y, frames = part(x, lengths)
        pull = torch.randn(4, 6, y.shape[2], generator=rng(3))
        (y[:, :6] * pull).sum().backward()
        assert x.grad is not None
        assert not x.grad[:, 24:].any()
        assert not y[:, 6:].any()
        assert frames.tolist() == [4, 6, 2, 5]  # ceil(n / 4)
        values = {"y": y[:, :6], "dx": x.grad[:, :24]}
        values |= {name: p.grad for name, p in part.named_parameters()}
        results.append(values | dict(part.named_buffers()))
    for other in results[1:]:
        for name, value in results[0].items():
            torch.testing.assert_close(other[name], value, atol=2e-5, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_content_of_padding_changes_nothing_while_training(norm: str) -> None:
    results = []
    for garbage in (0.0, 1e4):
        part = stem(norm=norm).train()
        x, lengths = lines([13, 24, 7, 18], 3)
        for row, length in zip(x, lengths.tolist(), strict=True):
            row[length:] = garbage
        kept = x.clone()
        y, _ = part(x, lengths)
        assert x.equal(kept)  # padding is blanked in maps of the stem's own
        y.square().sum().backward()
        results.append([y, *(p.grad for p in part.parameters()), *part.buffers()])
    for clean, dirty in zip(*results, strict=True):
        torch.testing.assert_close(dirty, clean, atol=1e-5, rtol=1e-5)


def plain(part: LineCNN) -> nn.Sequential:
    """The same network of torch's own layers, for lines that are not padded."""
    layers: list[nn.Module] = []
    for stage in part.stages:
        conv = stage.conv.conv
        layers += [
            nn.Conv2d(conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding, bias=False)
        ]
        layers[-1].load_state_dict(conv.state_dict())
        layers += [nn.BatchNorm2d(conv.out_channels), nn.ReLU(), nn.MaxPool2d(stage.pool)]
        layers[-3].load_state_dict(stage.conv.norm.state_dict(), strict=False)
    return nn.Sequential(*layers)


@pytest.mark.parametrize("collapse", ["max", "concat"])
def test_is_a_plain_network_where_nothing_is_padded(collapse: str) -> None:
    torch.manual_seed(0)
    part = LineCNN(16, **SMALL | {"blocks": [0, 0, 0]}, collapse=collapse).train()
    x, lengths = lines([24, 24, 24], features=16)
    expected = plain(part)(x[:, None])  # (B, C, T, F)
    if collapse == "max":
        expected = expected.max(3).values.transpose(1, 2)
    else:
        expected = torch.cat([expected[:, channel] for channel in range(8)], 2)  # rows of a channel side by side
    y, _ = part(x, lengths)
    torch.testing.assert_close(y, expected, atol=1e-5, rtol=1e-4)


def test_residual_block_goes_past_its_convolutions() -> None:
    part = stem().eval()
    block = part.stages[1].blocks[0]
    with torch.no_grad():
        block.second.norm.weight.zero_()
    x = maps([8, 8], 6, 4).relu()
    assert block(x.clone(), torch.tensor([8, 8])).equal(x)


@pytest.mark.parametrize("norm", ["batch", "group", "none"])
def test_bf16_is_close_and_trains(norm: str) -> None:
    results = []
    for enabled in (False, True):
        part = stem(norm=norm).train()
        x, lengths = lines([13, 24, 7, 18])
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            y, _ = part(x, lengths)
        y.float().square().mean().backward()
        grads = torch.cat([p.grad.flatten() for p in part.parameters() if p.grad is not None])
        results.append((y.float(), grads, part))
        assert all(p.grad is not None and p.grad.isfinite().all() for p in part.parameters())
    (exact, grads, part), (rough, rough_grads, other) = results
    torch.testing.assert_close(rough, exact, atol=0.1, rtol=0.1)
    assert torch.cosine_similarity(grads, rough_grads, 0) > 0.98
    for a, b in zip(part.buffers(), other.buffers(), strict=True):
        assert b.dtype == torch.float32  # statistics stay exact
        torch.testing.assert_close(b, a, atol=0.02, rtol=0.02)


def test_is_deterministic() -> None:
    x, lengths = lines([13, 24, 7, 18])
    results = []
    for _ in range(2):
        part = stem(dropout=0.3, out_dropout=0.2).train()
        torch.manual_seed(7)
        y, _ = part(x, lengths)
        y.square().sum().backward()
        results.append([y, *(p.grad for p in part.parameters()), *part.buffers()])
    assert all(a.equal(b) for a, b in zip(*results, strict=True))


def test_dropout_takes_whole_channels_and_is_off_at_recognition() -> None:
    part = stem(dropout=0.5, out_dropout=0.5)
    x, lengths = lines([13, 24])
    assert part.eval()(x, lengths)[0].equal(part(x, lengths)[0])
    assert not part.train()(x, lengths)[0].equal(part(x, lengths)[0])
    assert part.train()(x, lengths)[0].isfinite().all()


@pytest.mark.parametrize(
    ("features", "collapse", "size"),
    [(9, "max", 8), (9, "concat", 16), (8, "concat", 8), (16, "concat", 16), (1, "concat", 8), (48, "concat", 48)],
)
def test_collapse_gives_the_size_it_says(features: int, collapse: Any, size: int) -> None:
    # feature stride 2 * 2 * 2 = 8, so ceil(features / 8) rows of 8 channels
    part = LineCNN(features, **SMALL, collapse=collapse).eval()
    assert part.num_features == size
    x, lengths = lines([9, 4], features=features)
    assert part(x, lengths)[0].shape == (2, 3, size)


@pytest.mark.parametrize(
    ("strides", "pools", "stride"),
    [
        ([[2, 2], [1, 1], [1, 1]], [[1, 1], [2, 2], [1, 2]], 4),
        ([[1, 1], [1, 1], [1, 1]], [[2, 2], [2, 2], [2, 2]], 8),
        ([[3, 1], [1, 1], [2, 1]], [[1, 1], [1, 1], [1, 1]], 6),
        ([[1, 2], [1, 1], [1, 1]], [[1, 1], [1, 2], [1, 1]], 1),
    ],
)
def test_frames_are_the_ceiling_of_length_over_stride(strides: Any, pools: Any, stride: int) -> None:
    part = stem(strides=strides, pools=pools).eval()
    assert part.stride == stride
    lengths = list(range(1, 26))
    expected = [(n + stride - 1) // stride for n in lengths]
    assert part.num_frames(torch.tensor(lengths)).tolist() == expected
    x, sizes = lines(lengths)
    y, frames = part(x, sizes)
    assert frames.tolist() == expected
    assert y.shape[1] == expected[-1]
    for number, length in enumerate(lengths):
        alone, _ = part(x[number : number + 1, :length], sizes[number : number + 1])
        assert alone.shape[1] == expected[number]
        torch.testing.assert_close(alone[0], y[number, : expected[number]], atol=1e-5, rtol=0)


def test_copies_share_nothing() -> None:
    part = stem().train()
    other = copy.deepcopy(part)
    part(*lines([13, 24]))
    assert all((b == 0).all() or (b == 1).all() for b in other.buffers())
