"""Recordings of any length: the text and times of one pass, in constant memory."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from seqlab.errors import ConfigError, DataError
from seqlab.media import audio_blocks, read_audio
from seqlab.outputs.transcript import Transcript
from seqlab.recognizer import Recognizer
from seqlab.streaming import transcribe_long
from tests.streaming.conftest import AUDIO, RATE, recognizer_of, speech
from tests.streaming.test_recognizer import same

BEAM: dict[str, Any] = {"_target_": "seqlab.ctc.beam.Beam", "beam": 8}


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Return 40 s of noise in 16 bits."""
    path = tmp_path / "long.wav"
    soundfile.write(path, np.clip(speech(40, 5), -1, 1), RATE)
    return path


@pytest.mark.parametrize("decoder", [{}, BEAM], ids=["greedy", "beam"])
@pytest.mark.parametrize("encoder", ["lstm", "latency_controlled"])
def test_an_encoder_that_streams_reads_as_in_one_pass(recording: Path, encoder: str, decoder: dict[str, Any]) -> None:
    recognizer = recognizer_of(*AUDIO, f"encoder={encoder}", **decoder)
    want = recognizer.transcribe(recording)
    got = transcribe_long(recognizer, recording)
    same(got, want)
    assert len(want.text) > 60
    assert (got.source, got.id) == (str(recording), "long")


@pytest.mark.parametrize("settings", [["encoder=lstm"], ["encoder=blstm", "normalize=line"]], ids=str)
def test_several_vocal_tracts_are_averaged_as_in_one_pass(recording: Path, settings: list[str]) -> None:
    recognizer = recognizer_of(*AUDIO, *settings, gain=1.0)
    once = recognizer.transcribe(recording)
    recognizer.model.hear_as([0.85, 1.0, 1.2])
    want = recognizer.transcribe(recording)
    assert want.text != once.text
    got = transcribe_long(recognizer, recording, window=4, context=4)
    assert got.text == want.text
    assert [w.confidence for w in got.words] == pytest.approx([w.confidence for w in want.words], abs=2e-3)


@pytest.mark.parametrize("normalize", ["line", "global"])
@pytest.mark.parametrize("lines", [1, 3])
def test_windows_of_a_bidirectional_encoder_agree_with_one_pass(recording: Path, normalize: str, lines: int) -> None:
    recognizer = recognizer_of(*AUDIO, "encoder=blstm", f"normalize={normalize}", gain=1.0)
    want = recognizer.transcribe(recording)
    seen: list[float] = []
    got = transcribe_long(recognizer, recording, window=4, context=4, lines=lines, progress=seen.append)
    assert got.text == want.text
    assert got.duration == want.duration == 40
    assert [w.start for w in got.words] == pytest.approx([w.start for w in want.words], abs=0.021)
    assert seen[-1] == 40


def test_no_word_is_lost_or_doubled_at_seams(tmp_path: Path) -> None:
    """An encoder that hears each burst of noise by itself: each is read once, where it lies, whatever the windows."""
    recognizer = bursts()
    rng, audio = np.random.default_rng(0), np.zeros(30 * RATE, np.float32)
    places = np.arange(0.35, 29.5, 0.73)
    for place in places:
        at = round(place * RATE)
        audio[at : at + 800] = rng.uniform(-0.3, 0.3, 800)
    soundfile.write(tmp_path / "bursts.wav", audio, RATE)
    for window in (0.2, 1.0, 2.5, 40):
        got = transcribe_long(recognizer, tmp_path / "bursts.wav", window=window, context=0.4, lines=2)
        assert got.text == "a" * len(places)
        assert [c.start for c in got.characters] == pytest.approx(places.tolist(), abs=0.04)


def bursts() -> Recognizer:
    """Say "a" where it is loud, by an encoder that is none."""
    recognizer = recognizer_of(*AUDIO, "encoder=blstm", "normalize=none")
    model = recognizer.model
    size = model.stem.num_features
    model.encoder = Quiet(size)
    model.head = torch.nn.Linear(size, 5)
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.weight[1] = 1.0
        model.head.bias.zero_()
        model.head.bias[0] = -8.5 * size  # silence has features of -16 to -12, noise more
        model.head.bias[2:] = -1e4
    model.head.weight.data[1] = 1.0
    return recognizer


class Quiet(torch.nn.Module):
    """An encoder that hands frames on and does not stream."""

    streams = False

    def __init__(self, size: int) -> None:
        super().__init__()
        self.num_features = size

    def num_frames(self, lengths: torch.Tensor) -> torch.Tensor:
        return lengths

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x, lengths


def test_a_network_that_takes_samples_alone(recording: Path) -> None:
    """As the graphs of ONNX Runtime are: no parts, features within."""
    recognizer = recognizer_of(*AUDIO, "encoder=blstm", gain=1.0)
    model = recognizer.model
    want = recognizer.transcribe(recording)
    names = ("log_probs_of", "frame_shift", "sample_rate")
    parts = {name: getattr(model, name) for name in names} | {"frontend": SimpleNamespace(kind="audio")}
    recognizer.model = SimpleNamespace(**parts)
    got = transcribe_long(recognizer, recording, window=4, context=4, lines=2)
    assert got.text == want.text


def test_blocks_are_what_is_read_at_once(recording: Path) -> None:
    for rate in (RATE, 11025):
        blocks = list(audio_blocks(recording, rate))
        assert len(blocks) > 2
        np.testing.assert_array_equal(np.concatenate(blocks), read_audio(recording, rate)[0])


def test_faults_are_named(tmp_path: Path, recording: Path) -> None:
    recognizer = recognizer_of(*AUDIO, "encoder=lstm")
    with pytest.raises(FileNotFoundError):
        transcribe_long(recognizer, tmp_path / "none.wav")
    with pytest.raises(ConfigError, match="window > 0"):
        transcribe_long(recognizer, recording, window=0)
    (tmp_path / "cut.wav").write_bytes(recording.read_bytes()[:100_000])
    with pytest.raises(DataError, match="cut off"):
        transcribe_long(recognizer, tmp_path / "cut.wav")
    soundfile.write(tmp_path / "short.wav", np.zeros(50), RATE)
    empty = transcribe_long(recognizer, tmp_path / "short.wav")
    assert isinstance(empty, Transcript)
    assert empty.text == ""
