"""Time warp and vocal tracts: places worked by hand, tones that move, views that share them."""

from typing import Any

import numpy as np
import pytest
import torch

from seqlab.config import compose
from seqlab.errors import ConfigError
from seqlab.frontends.log_mel import LogMel
from seqlab.frontends.spec_augment import TimeWarp, warped
from seqlab.frontends.vocal_tract import VocalTract
from seqlab.model import CTCModel

VOICES = "+augment.features.voices={_target_:seqlab.frontends.vocal_tract.VocalTract}"


def test_both_parts_are_stretched_linearly() -> None:
    position, last = torch.arange(8), torch.tensor([[6.0]])
    source = warped(position, torch.tensor([[2.0]]), torch.tensor([[4.0]]), last)
    assert source.tolist() == [[0.0, 0.5, 1.0, 1.5, 2.0, 4.0, 6.0, 7.0]]  # 2 came to 4, 6 stays, 7 is padding


def test_a_warp_moves_frames_by_its_width_at_most_and_keeps_ends_and_padding() -> None:
    torch.manual_seed(0)
    lengths = torch.tensor([60, 33, 2, 1])
    times = torch.arange(60.0)[None, :, None].repeat(4, 1, 3)
    warp = TimeWarp(8)
    y, same = warp(times, lengths)
    assert same.equal(lengths)
    moves = []
    for line, length in zip(y, lengths.tolist(), strict=True):
        assert float(line[0, 0]) == 0
        assert float(line[length - 1, 0]) == length - 1
        assert (line[1:length, 0] >= line[: length - 1, 0]).all()
        assert line[length:].equal(times[0, length:])
        moves.append(float((line[:length, 0] - torch.arange(length)).abs().max()))
    assert moves[0] > 0.5
    assert max(moves) <= 8
    assert moves[2:] == [0, 0]
    assert warp.eval()(times, lengths)[0] is times
    with pytest.raises(ValueError, match="width must be 0 or more"):
        TimeWarp(-1)


def config(*settings: str) -> dict[str, Any]:
    return compose("train", ["frontend.sample_rate=8000", "frontend.num_mels=40", "encoder.hidden_size=8", *settings])


def test_views_share_the_warp_and_the_voice_but_not_the_masks() -> None:
    warp = "+augment.features.warp={_target_:seqlab.frontends.spec_augment.TimeWarp,width:9}"
    model = CTCModel(config("augment=none", warp, VOICES, "stem=none"), 4).train()
    signal, lengths = 0.1 * torch.randn(2, 8000), torch.tensor([8000, 6000])
    x, _ = model.frames(signal, lengths, 2)
    assert x[:2].equal(x[2:])
    other, _ = model.frames(signal, lengths, 2)
    assert not x.equal(other)
    model.eval()
    assert model.frames(signal, lengths)[0].equal(model.frames(signal, lengths)[0])
    masked = CTCModel(config("stem=none"), 4).train()
    x, _ = masked.frames(signal, lengths, 2)
    assert not x[:2].equal(x[2:])


@pytest.mark.parametrize("warp", [0.85, 1.15])
def test_a_warped_filterbank_reads_a_tone_as_one_of_another_frequency(warp: float) -> None:
    frontend = LogMel(16000, 60)
    time = torch.arange(16000) / 16000
    heard = torch.sin(2 * torch.pi * 1500 * time)[None]
    meant = torch.sin(2 * torch.pi * 1500 * warp * time)[None]
    lengths = torch.tensor([16000])
    peaks = [int(frontend(x, lengths, w)[0][0, 50].argmax()) for x, w in ((heard, [warp]), (meant, None))]
    assert abs(peaks[0] - peaks[1]) <= 1
    assert abs(peaks[0] - int(frontend(heard, lengths)[0][0, 50].argmax())) >= 1
    assert frontend(heard, lengths, [1.0])[0].equal(frontend(heard, lengths)[0])


def test_voices_are_drawn_by_the_seed_and_refused_where_no_filterbank_is() -> None:
    voices = VocalTract(0.8, 1.2)
    torch.manual_seed(4)
    first = voices.draw(200)
    torch.manual_seed(4)
    assert first == voices.draw(200)
    assert (min(first), max(first)) == (0.8, 1.2)
    with pytest.raises(ConfigError, match="frontend=log_mel or mfcc"):
        CTCModel(compose("train", ["frontend=features", "frontend.size=4", VOICES]), 4)
    with pytest.raises(ValueError, match="in order"):
        VocalTract(1.1, 0.9)
    narrow = ["frontend.sample_rate=8000", "frontend.num_mels=80", "frontend.window_ms=32"]
    CTCModel(compose("train", narrow), 4)
    with pytest.raises(ConfigError, match=r"a vocal tract warped by 1.2: num_mels=80 is too many"):
        CTCModel(compose("train", [*narrow, VOICES.replace("Tract}", "Tract,high:1.2}")]), 4)


def test_a_model_that_hears_several_vocal_tracts_averages_what_it_reads() -> None:
    config = compose("train", ["frontend=mfcc", "normalize=line", "encoder=blstm", "encoder.hidden_size=6"])
    torch.manual_seed(1)
    model = CTCModel(config, 4).eval()
    rng = np.random.default_rng(5)
    signals = [rng.normal(0, 0.1, size).astype(np.float32) for size in (16000, 9000, 10)]
    once = model.log_probs_of(signals)
    model.hear_as([1.0])
    for line, other in zip(once, model.log_probs_of(signals), strict=True):
        np.testing.assert_allclose(line, other, atol=1e-6)
    each = []
    for warp in (0.9, 1.2):
        model.hear_as([warp])
        each.append(model.log_probs_of(signals))
    model.hear_as([0.9, 1.2])
    both = model.log_probs_of(signals)
    for line, low, high in zip(both, *each, strict=True):
        shares = np.sqrt(np.exp(low) * np.exp(high))  # geometric mean
        np.testing.assert_allclose(np.exp(line), shares / shares.sum(1, keepdims=True), atol=1e-6)
        assert not len(line) or abs(low - high).max() > 1e-3
    model.hear_as([])
    assert all(map(np.array_equal, once, model.log_probs_of(signals)))


def test_vocal_tracts_to_hear_are_refused_where_they_cannot_be() -> None:
    with pytest.raises(ConfigError, match=r"vocal_tracts: .*frontend=log_mel or mfcc"):
        CTCModel(compose("train", ["frontend=features", "frontend.size=4"]), 4).hear_as([1.1])
    model = CTCModel(compose("train", ["frontend=mfcc"]), 4)
    for warp in (0.1, float("nan"), 2.0):
        with pytest.raises(ConfigError, match=r"warped by .*in \[0.7, 1.4\]"):
            model.hear_as([1.0, warp])
    for wrong in (0.9, "0.9", ["a"], [[1.0]]):
        with pytest.raises(ConfigError, match="needs a list of factors"):
            model.hear_as(wrong)
    assert not model.vocal_tracts
