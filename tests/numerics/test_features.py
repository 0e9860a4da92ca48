"""Features against torchaudio's Kaldi, against librosa, and against hand-worked values."""

import math

import librosa
import numpy as np
import pytest
import torch
from torch import Tensor
from torchaudio.compliance import kaldi

from seqlab.errors import DataError
from seqlab.frontends.deltas import append_deltas, deltas
from seqlab.frontends.kaldi import FILTERS_PER_BAND, FLOOR, Framing, cepstral_lifter, mel_filters
from seqlab.frontends.log_mel import BLOCK, LogMel
from seqlab.frontends.mfcc import MFCC


def batch(rate: int) -> tuple[Tensor, Tensor]:
    """Noise, a chord, a quiet line with an offset, silence; the first longer than a block of frames."""
    generator = torch.Generator().manual_seed(3)
    lengths = torch.tensor([7 * rate, 2 * rate + 77, rate, rate // 3])
    x = torch.zeros(4, int(lengths.max()))
    time = torch.arange(x.shape[1]) / rate
    x[0] = 0.3 * torch.randn(x.shape[1], generator=generator)
    x[1] = sum(0.1 * torch.sin(2 * math.pi * f * time) for f in (110.0, 440.0, 1870.0))
    x[1] += 1e-3 * torch.randn(x.shape[1], generator=generator)
    x[2] = 0.2 + 1e-4 * torch.randn(x.shape[1], generator=generator)
    return x * (torch.arange(x.shape[1]) < lengths[:, None]), lengths


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        ({}, {"num_mel_bins": 80}),
        (
            {"sample_rate": 8000, "num_mels": 40, "low_freq": 60.0, "high_freq": -200.0},
            {"sample_frequency": 8000.0, "num_mel_bins": 40, "low_freq": 60.0, "high_freq": -200.0},
        ),
        (
            {"num_mels": 23, "window_ms": 20.0, "shift_ms": 12.5, "preemphasis": 0.0, "high_freq": 7000.0},
            {
                "num_mel_bins": 23,
                "frame_length": 20.0,
                "frame_shift": 12.5,
                "preemphasis_coefficient": 0.0,
                "high_freq": 7000.0,
            },
        ),
        ({"sample_rate": 44100, "num_mels": 64}, {"sample_frequency": 44100.0, "num_mel_bins": 64}),
        (
            {"num_mels": 40, "energy": True},
            {"num_mel_bins": 40, "use_energy": True, "htk_compat": True, "energy_floor": 0.0},
        ),
        (
            {"sample_rate": 8000, "num_mels": 40, "snip_edges": False},
            {"sample_frequency": 8000.0, "num_mel_bins": 40, "snip_edges": False},
        ),
        (
            {"sample_rate": 22050, "num_mels": 40, "window_ms": 24.99, "shift_ms": 11.0, "snip_edges": False},
            {
                "sample_frequency": 22050.0,
                "num_mel_bins": 40,
                "frame_length": 24.99,
                "frame_shift": 11.0,
                "snip_edges": False,
            },
        ),
        (
            {"num_mels": 15, "window_ms": 10.0, "shift_ms": 12.5, "snip_edges": False},
            {"num_mel_bins": 15, "frame_length": 10.0, "frame_shift": 12.5, "snip_edges": False},
        ),
    ],
)
def test_log_mel_equals_kaldi(settings: dict, options: dict) -> None:
    frontend = LogMel(**settings)
    x, lengths = batch(frontend.sample_rate)
    features, frames = frontend(x, lengths)
    assert int(frames[0]) > BLOCK
    for i, length in enumerate(lengths.tolist()):
        expected = kaldi.fbank(x[i : i + 1, :length], **options)
        assert expected.shape == (int(frames[i]), frontend.num_features)
        torch.testing.assert_close(features[i, : int(frames[i])], expected, atol=1e-4, rtol=0)


def test_a_mirrored_line_by_hand() -> None:
    """Windows of 8 every 4 begin 2 before the line, and a line of 3 is mirrored as often as it takes."""
    framing = Framing(1000, 8, 4, snip_edges=False)
    assert framing.num_frames(torch.arange(12)).tolist() == [0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3]
    signal = torch.tensor([[1.0, 2, 3, 0, 0, 0], [1.0, 2, 3, 4, 5, 6]])
    laid = framing.lay_out(signal, torch.tensor([3, 6]))
    assert laid[0, :8].tolist() == [2, 1, 1, 2, 3, 3, 2, 1]
    assert laid[1].tolist() == [2, 1, 1, 2, 3, 4, 5, 6, 6, 5, 4, 3]
    assert Framing(1000, 8, 4).lay_out(signal, torch.tensor([3, 6])) is signal


@pytest.mark.parametrize("deltas", [0, 2])
def test_padding_changes_no_mirrored_line(deltas: int) -> None:
    frontend = LogMel(8000, 24, deltas=deltas, snip_edges=False)
    signal, lengths = 0.1 * torch.randn(4, 4000), torch.tensor([40, 110, 1500, 4000])
    together, frames = frontend(signal, lengths)
    assert frames.tolist() == [1, 1, 19, 50]
    for i, (length, count) in enumerate(zip(lengths.tolist(), frames.tolist(), strict=True)):
        alone, _ = frontend(signal[i : i + 1, :length], lengths[i : i + 1])
        torch.testing.assert_close(together[i, :count], alone[0], atol=1e-5, rtol=0)
        assert not together[i, count:].any()
    with pytest.raises(DataError, match=r"one frame needs 40 \(5 ms at 8000 Hz\)"):
        frontend(signal, torch.tensor([39, 110, 1500, 4000]))


@pytest.mark.parametrize("use_energy", [True, False])
@pytest.mark.parametrize(("lifter", "snip_edges"), [(22.0, True), (0.0, True), (22.0, False)])
def test_mfcc_equals_kaldi(use_energy: bool, lifter: float, snip_edges: bool) -> None:
    frontend = MFCC(use_energy=use_energy, lifter=lifter, snip_edges=snip_edges)
    x, lengths = batch(16000)
    features, frames = frontend(x, lengths)
    assert features.shape[2] == frontend.num_features == 39
    for i, length in enumerate(lengths.tolist()):
        line = x[i : i + 1, :length]
        options = {"use_energy": use_energy, "cepstral_lifter": lifter, "snip_edges": snip_edges}
        expected = kaldi.mfcc(line, energy_floor=0.0, **options)
        torch.testing.assert_close(features[i, : int(frames[i]), :13], expected, atol=1e-3, rtol=0)


def test_whole_batch_equals_line_by_line() -> None:
    """The way of the GPU, on the CPU."""
    frontend = LogMel()
    x, lengths = batch(16000)
    expected, frames = frontend(x, lengths)
    bank = frontend._bank(torch.device("cpu"))
    at_once = bank(x.unfold(1, 400, 160))
    for line, other, count in zip(at_once, expected, frames.tolist(), strict=True):
        torch.testing.assert_close(line[:count], other[:count], atol=1e-4, rtol=0)


def test_gradient_reaches_the_signal() -> None:
    frontend = LogMel(sample_rate=8000, num_mels=8, deltas=1)
    x = (0.1 * torch.randn(1, 300, generator=torch.Generator().manual_seed(0))).requires_grad_()
    frontend(x, torch.tensor([300]))[0][..., 3].sum().backward()
    assert x.grad is not None
    assert x.grad[0, 10:280].all()
    assert not x.grad[0, 280:].any()  # 300 samples hold two frames of 200, shifted by 80


def test_features_stay_exact_in_half_precision() -> None:
    x, lengths = batch(16000)
    expected = LogMel()(x, lengths)[0]
    assert LogMel().bfloat16()(x, lengths)[0].equal(expected)


def test_graves_2013_has_123_features() -> None:
    assert LogMel(num_mels=40, energy=True, deltas=2).num_features == 123


def test_mel_filters_agree_with_librosa() -> None:
    """librosa's HTK filters are triangles in Hz, Kaldi's in mel: same edges and same peaks, slopes a little curved."""
    framing = Framing.from_ms(16000, 25.0, 10.0)
    ours = mel_filters(24, framing, 20.0, 0.0).numpy()
    theirs = librosa.filters.mel(sr=16000, n_fft=512, n_mels=24, fmin=20.0, fmax=8000.0, htk=True, norm=None)[:, :256]
    assert np.abs(ours - theirs).max() < 0.05
    assert ((ours > 0) == (theirs > 1e-7)).mean() > 0.999
    assert (ours.argmax(1) == theirs.argmax(1)).all()


def test_mel_filter_by_hand() -> None:
    """Filter i peaks at mel 1127 ln(1 + f / 700) = low + (i + 1) step, and is linear in mel."""
    framing = Framing.from_ms(8000, 32.0, 10.0)  # 256 samples: bins 31.25 Hz apart
    filters = mel_filters(10, framing, 100.0, 3000.0)

    def mel(f: float) -> float:
        return 1127 * math.log(1 + f / 700)

    step = (mel(3000.0) - mel(100.0)) / 11
    for i, k in ((0, 5), (4, 30), (9, 80), (9, 20)):
        distance = abs(mel(31.25 * k) - (mel(100.0) + (i + 1) * step))
        assert float(filters[i, k]) == pytest.approx(max(0.0, 1 - distance / step), abs=1e-4)


def test_cepstra_agree_with_librosa_dct() -> None:
    x, lengths = batch(16000)
    log_mel = LogMel(num_mels=23)(x, lengths)[0][0]
    ceps = MFCC(use_energy=False, deltas=0)(x, lengths)[0][0]
    # librosa's lifter is 1 + Q / 2 sin(pi (i + 1) / Q): another index, so only its transform is compared.
    expected = librosa.feature.mfcc(S=log_mel.T.numpy(), n_mfcc=13, dct_type=2, norm="ortho", lifter=0).T
    assert np.abs(ceps.numpy() - expected * cepstral_lifter(13, 22.0).numpy()).max() < 1e-3


def test_lifter_by_hand() -> None:
    weights = cepstral_lifter(12, 22.0)
    assert weights[0] == 1
    assert float(weights[11]) == pytest.approx(12.0)  # sin(pi 11 / 22) = 1


def test_energy_by_hand() -> None:
    """A square wave of height 0.5 has energy 400 * 0.25 in a frame of 400 samples; an offset does not count."""
    x = 0.5 * torch.ones(1, 400)
    x[:, 1::2] = -0.5
    for offset in (0.0, 0.25):
        features, _ = LogMel(num_mels=20, energy=True)(x + offset, torch.tensor([400]))
        assert float(features[0, 0, -1]) == pytest.approx(math.log(100.0), abs=1e-4)


def test_silence_is_finite() -> None:
    features, _ = LogMel(energy=True)(torch.zeros(1, 800), torch.tensor([800]))
    torch.testing.assert_close(features, torch.full_like(features, math.log(FLOOR)))


def test_deltas_by_hand() -> None:
    """d = (x[1] - x[-1] + 2 (x[2] - x[-2])) / 10, the first and the last frame repeated at the ends of each line."""
    x = torch.tensor([[0.0, 1.0, 4.0, 9.0, 16.0], [2.0, 5.0, 6.0, 0.0, 0.0]])[:, :, None]
    lengths = torch.tensor([5, 3])
    expected = torch.tensor(
        [
            # (1-0 + 2(4-0)), (4-0 + 2(9-0)), (9-1 + 2(16-0)), (16-4 + 2(16-1)), (16-9 + 2(16-4))
            [0.9, 2.2, 4.0, 4.2, 3.1],
            # (5-2 + 2(6-2)), (6-2 + 2(6-2)), (6-5 + 2(6-2))
            [1.1, 1.2, 0.9, 0.0, 0.0],
        ]
    )[:, :, None]
    torch.testing.assert_close(deltas(x, lengths), expected)
    both = append_deltas(x, lengths, 2)
    torch.testing.assert_close(both[..., :2], torch.cat([x, expected], 2))
    torch.testing.assert_close(both[1, :3, 2], torch.tensor([-0.03, -0.06, -0.07]))


def test_deltas_agree_with_librosa_and_ignore_padding() -> None:
    generator = torch.Generator().manual_seed(4)
    x = torch.randn(2, 30, 3, generator=generator)
    lengths = torch.tensor([30, 14])
    ours = append_deltas(x, lengths, 2)
    for line, original, length in zip(ours, x, lengths.tolist(), strict=True):
        once = librosa.feature.delta(original[:length].numpy(), width=5, axis=0, mode="nearest")
        twice = librosa.feature.delta(once, width=5, axis=0, mode="nearest")
        np.testing.assert_allclose(line[:length, 3:6].numpy(), once, atol=1e-6)
        np.testing.assert_allclose(line[:length, 6:].numpy(), twice, atol=1e-6)


def test_frames_by_hand() -> None:
    framing = Framing.from_ms(16000, 25.0, 10.0)
    assert (framing.window, framing.shift, framing.fft_size) == (400, 160, 512)
    assert framing.num_frames(torch.tensor([399, 400, 559, 560, 16000])).tolist() == [0, 1, 1, 2, 98]
    assert Framing.from_ms(8000, 25.0, 10.0).fft_size == 256
    assert Framing.from_ms(8000, 32.0, 10.0).fft_size == 256
    assert Framing.from_ms(22050, 25.0, 10.0).window == 551


def test_number_of_filters_need_not_fill_the_bands() -> None:
    for num_mels in (FILTERS_PER_BAND - 1, FILTERS_PER_BAND, FILTERS_PER_BAND + 1):
        assert LogMel(num_mels=num_mels)(torch.randn(1, 400), torch.tensor([400]))[0].shape == (1, 1, num_mels)
