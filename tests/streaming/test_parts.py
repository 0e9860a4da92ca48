"""Frontends, normalisation, stems and whole networks piece by piece."""

import numpy as np
import pytest
import torch

from seqlab.errors import ConfigError
from seqlab.frontends.log_mel import LogMel
from seqlab.frontends.mfcc import MFCC
from seqlab.frontends.normalize import Normalize
from seqlab.stems.conv2d import Conv2d
from seqlab.stems.none import NoStem
from seqlab.stems.stack import Stack
from seqlab.streaming.parts import WARM, LogProbs, Reach, Running, normalization
from seqlab.streaming.windows import Windows
from tests.streaming.conftest import AUDIO, pieces, recognizer_of, speech


def through(part: object, signal: torch.Tensor, seed: int, most: int) -> torch.Tensor:
    out = [part.accept(torch.from_numpy(piece)) for piece in pieces(signal.numpy(), seed, most)]  # type: ignore[attr-defined]
    return torch.cat([*out, part.accept(signal[:0], last=True)])  # type: ignore[attr-defined]


@pytest.mark.parametrize("snip", [True, False])
@pytest.mark.parametrize("deltas", [0, 1, 2])
@pytest.mark.parametrize("seed", range(3))
def test_log_mel_frames_are_those_of_the_whole(deltas: int, seed: int, snip: bool) -> None:
    frontend = LogMel(8000, num_mels=23, energy=True, deltas=deltas, snip_edges=snip)
    signal = torch.from_numpy(speech(1.5, seed))[: 12000 - 37 * seed]
    whole = frontend(signal[None], torch.tensor([len(signal)]))[0][0]
    got = through(Reach(frontend), signal, seed, 4000)
    torch.testing.assert_close(got, whole, atol=1e-5, rtol=0)


def test_mfcc_frames_are_those_of_the_whole() -> None:
    frontend = MFCC(8000)
    signal = torch.from_numpy(speech(1.0))
    whole = frontend(signal[None], torch.tensor([len(signal)]))[0][0]
    torch.testing.assert_close(through(Reach(frontend), signal, 4, 900), whole, atol=2e-5, rtol=0)


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 6, 7, 8, 9, 31, 100])
@pytest.mark.parametrize(
    "stem",
    [
        NoStem(6),
        Stack(6, 3),
        Conv2d(6, (2, 3), 3, (2, 2), (1, 2), 5),
        Conv2d(6, (2, 2, 2), 5, (1, 3, 2), (1, 1, 1), 5),
        Conv2d(6, (2,), 1, (3,), (1,), 5),
    ],
    ids=["none", "stack", "conv2d", "three", "narrow"],
)
def test_stem_frames_are_those_of_the_whole(stem: torch.nn.Module, length: int) -> None:
    x = torch.randn(length, 6, generator=torch.Generator().manual_seed(length))
    with torch.no_grad():
        whole = stem.eval()(x[None], torch.tensor([length]))[0][0]
        for most in (1, 5):
            got = through(Reach(stem), x, length, most)
            torch.testing.assert_close(got, whole, atol=1e-6, rtol=0)


def test_a_frontend_gives_frames_as_soon_as_their_samples_are_there() -> None:
    frontend = Reach(LogMel(8000, num_mels=23))  # windows of 200 samples, every 80
    counts = [len(frontend.accept(torch.randn(n))) for n in (199, 1, 79, 1, 160)]
    assert counts == [0, 1, 0, 1, 2]
    mirrored = Reach(LogMel(8000, num_mels=23, snip_edges=False))  # begin 60 samples earlier
    counts = [len(mirrored.accept(torch.randn(n))) for n in (139, 1, 79, 1, 160)]
    assert counts == [0, 1, 0, 1, 2]
    assert len(mirrored.accept(torch.zeros(0), last=True)) == 1


def test_running_statistics_are_those_so_far() -> None:
    x = 3 + 2 * torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
    got = through(Running(1e-5), x, 0, 50)
    for t in (0, 10, WARM - 1, WARM, 120, 199):
        past = x[: max(t + 1, WARM)].double()
        want = (x[t] - past.mean(0)) / (past.var(0, correction=0) + 1e-5).sqrt()
        torch.testing.assert_close(got[t].double(), want, atol=1e-4, rtol=0)
    short = through(Running(1e-5), x[:20], 0, 5)
    want, _ = Normalize(4, "line")(x[None, :20], torch.tensor([20]))
    torch.testing.assert_close(short, want[0], atol=1e-4, rtol=0)


def test_normalisation_by_lines_is_refused_with_a_cure() -> None:
    with pytest.raises(ConfigError, match="normalize=global, or take running=True"):
        normalization(Normalize(4, "line"))


def test_log_probabilities_are_those_of_the_whole(encoder: list[str]) -> None:
    settings = [x for x in AUDIO if encoder[0] != "encoder=recurrent" or "hidden_size" not in x]
    model = recognizer_of(*settings, *encoder, "frontend.deltas=1").model
    signal = torch.from_numpy(speech(3.03))
    with torch.inference_mode():
        whole = model(signal[None], torch.tensor([len(signal)]))[0][0]
    assert whole.argmax(1).diff().ne(0).sum() > 5  # the answers change
    for seed in range(3):
        got = through(LogProbs(model, normalization(model.normalize)), signal, seed, 4000)
        torch.testing.assert_close(got, whole, atol=1e-5, rtol=0)


@pytest.mark.parametrize("step", [1, 3])
@pytest.mark.parametrize("lines", [1, 3])
def test_windows_cover_every_frame_once(step: int, lines: int) -> None:
    seen: list[int] = []

    def run(windows: list[np.ndarray]) -> list[np.ndarray]:
        seen.append(len(windows))
        return [window[: len(window) // step * step : step, None] for window in windows]

    for length in (0, 1, 2, 3, 29, 30, 31, 40, 41, 100, 101, 299):
        x = np.arange(length)
        windows = Windows(run, step, 10, 4, lines)
        found = [windows.accept(x[at : at + 7]) for at in range(0, length, 7)]
        got = np.concatenate([*found, windows.accept(x[:0], last=True)])
        assert got[:, 0].tolist() == x[: length // step * step : step].tolist()
        assert max(seen, default=0) <= lines


def test_memory_of_what_is_held_does_not_grow() -> None:
    frontend = Reach(LogMel(8000, num_mels=23, deltas=2))
    for _ in range(50):
        frontend.accept(torch.randn(1000))
    assert len(frontend._held) < 1000 + 200 + 80 * 9  # type: ignore[arg-type]
    windows = Windows(lambda parts: parts, 1, 10, 4, 2)
    for _ in range(50):
        windows.accept(np.zeros(5, np.float32))
    assert windows._count <= 2 * 10 + 2 * 4 + 5


def test_numpy_and_torch_agree_on_shapes() -> None:
    model = recognizer_of(*AUDIO, "encoder=lstm").model
    log_probs = LogProbs(model, normalization(model.normalize))
    assert log_probs.accept(torch.from_numpy(np.zeros(10, np.float32))).shape == (0, 5)
