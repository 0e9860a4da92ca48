"""Normalisation against numpy on the frames that count."""

import numpy as np
import pytest
import torch
from torch import Tensor

from seqlab.frontends.normalize import Normalize


def batch(lines: int = 4, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(2, 30, (lines,), generator=generator)
    x = 4 * torch.randn(lines, int(lengths.max()), 3, generator=generator) + torch.tensor([-12.0, 0.0, 7.0])
    return x, lengths


def valid(x: Tensor, lengths: Tensor) -> np.ndarray:
    return np.concatenate([line[:n].double().numpy() for line, n in zip(x, lengths.tolist(), strict=True)])


def test_line_by_hand() -> None:
    x = torch.tensor([[[1.0], [3.0], [99.0]]])
    y, _ = Normalize(1, "line")(x, torch.tensor([2]))
    torch.testing.assert_close(y, torch.tensor([[[-1.0], [1.0], [0.0]]]), atol=1e-5, rtol=0)


def test_line_uses_its_own_frames() -> None:
    x, lengths = batch()
    y, _ = Normalize(3, "line")(x, lengths)
    for line, original, length in zip(y, x, lengths.tolist(), strict=True):
        frames = original[:length].double().numpy()
        expected = (frames - frames.mean(0)) / np.sqrt(frames.var(0) + 1e-5)
        np.testing.assert_allclose(line[:length].numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("length", [1, 8])
def test_constant_features_and_single_frames_become_zero(length: int) -> None:
    x = torch.full((2, 8, 3), -15.9424)
    y, _ = Normalize(3, "line")(x, torch.tensor([length, 8]))
    assert y.abs().max() < 1e-3


def test_global_equals_numpy_over_all_batches() -> None:
    normalize = Normalize(3, "global")
    batches = [batch(seed=seed) for seed in range(3)]
    for x, lengths in batches:
        normalize.update(x, lengths)
    normalize.finish()
    frames = np.concatenate([valid(*b) for b in batches])
    np.testing.assert_allclose(normalize.mean.numpy(), frames.mean(0), atol=1e-5)
    np.testing.assert_allclose(normalize.std.numpy(), np.sqrt(frames.var(0) + 1e-5), atol=1e-5)
    y = np.concatenate([valid(normalize(*b)[0], b[1]) for b in batches])
    np.testing.assert_allclose(y.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(y.std(0), 1, atol=1e-5)


def test_global_keeps_small_variance_beside_a_large_mean() -> None:
    """Sums of squares in float32 would lose it."""
    normalize = Normalize(1, "global")
    x = 1000 + torch.randn(8, 1000, 1, generator=torch.Generator().manual_seed(0))
    normalize.update(x, torch.full((8,), 1000))
    normalize.finish()
    assert float(normalize.std) == pytest.approx(float(x.double().std(correction=0)), rel=1e-3)


def test_global_refuses_to_run_before_it_is_measured() -> None:
    x, lengths = batch()
    normalize = Normalize(3, "global")
    with pytest.raises(RuntimeError, match="no statistics"):
        normalize(x, lengths)
    with pytest.raises(RuntimeError, match="no frames"):
        normalize.finish()
    normalize.update(x, lengths)
    with pytest.raises(RuntimeError, match="no statistics"):
        normalize(x, lengths)


def test_loaded_statistics_count_as_measured() -> None:
    x, lengths = batch()
    first, second = Normalize(3, "global"), Normalize(3, "global")
    first.update(x, lengths)
    first.finish()
    second.load_state_dict(first.state_dict())
    assert second(x, lengths)[0].equal(first(x, lengths)[0])


def test_measuring_in_inference_mode_leaves_a_trainable_model() -> None:
    x, lengths = batch()
    normalize = Normalize(3, "global")
    with torch.inference_mode():
        normalize.update(x.clone(), lengths)
        normalize.finish()
    x = x.clone().requires_grad_()
    normalize(x, lengths)[0].sum().backward()
    assert x.grad is not None


def test_only_global_measures() -> None:
    with pytest.raises(RuntimeError, match="kind=line"):
        Normalize(3, "line").update(*batch())
