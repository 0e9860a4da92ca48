"""Speech alone: where pieces are cut, that none is lost, and that places are those of the file."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from seqlab.errors import ConfigError
from seqlab.outputs.transcript import Transcript, Word
from seqlab.streaming import vad
from seqlab.streaming.vad import BEFORE, FRAME, cut, joined, speech_pieces, speech_probabilities, transcribe_speech
from tests.streaming.conftest import AUDIO, RATE, recognizer_of
from tests.streaming.test_long import bursts


def probabilities(seconds: float, *spoken: tuple[float, float]) -> np.ndarray:
    """Frames of 0.1 s: 0.9 where there is speech, else 0.1."""
    p = np.full(round(seconds * 10), 0.1)
    for start, end in spoken:
        p[round(start * 10) : round(end * 10)] = 0.9
    return p


def test_pauses_of_more_than_a_second_end_a_piece_and_the_pads_go_along() -> None:
    p = probabilities(20, (2, 4), (4.9, 6), (7.5, 7.6), (18, 19.9))
    want = [(1.7, 6.3), (7.2, 7.9), (17.7, 20.0)]
    assert speech_pieces(p, 0.1) == [pytest.approx(piece) for piece in want]


def test_speech_begins_at_a_half_and_goes_on_above_the_lower_bound() -> None:
    p = np.array([0.0] * 20 + [0.4] * 5 + [0.6] + [0.4] * 5 + [0.0] * 20 + [0.45] * 5 + [0.0] * 20)
    assert speech_pieces(p, 0.1) == [pytest.approx((2.5 - 0.3, 3.1 + 0.3))]


def test_a_long_piece_is_divided_at_its_longest_pauses() -> None:
    spoken = [(0, 14), (14.2, 25), (25.6, 39), (39.9, 60)]  # 60 s; pauses of 0.2, 0.6 and 0.9 s
    want = [(0, 25.3), (25.3, 39.3), (39.6, 60)]  # the pause of 0.2 s stays inside
    assert speech_pieces(probabilities(60, *spoken), 0.1) == [pytest.approx(piece) for piece in want]


def test_without_a_pause_it_is_divided_where_speech_is_least_probable() -> None:
    p = np.full(500, 0.9)
    p[[30, 290]] = 0.4, 0.6  # the former is not in the middle half
    assert speech_pieces(p, 0.1) == [(0, 29), (29, 50)]


@pytest.mark.parametrize("seed", range(5))
def test_pieces_hold_all_speech_once_and_are_short_enough(seed: int) -> None:
    p = np.repeat(np.random.default_rng(seed).random(700), np.random.default_rng(seed + 9).integers(1, 60, 700))
    pieces = speech_pieces(p, 0.032)
    assert all(b - a <= vad.LONGEST + 2 * vad.PAD for a, b in pieces)
    assert all(b <= c + 1e-9 for (_, b), (c, _) in pairwise(pieces))
    inside = np.zeros(len(p), bool)
    for a, b in pieces:
        inside[round(a / 0.032) : round(b / 0.032)] = True
    assert inside[p >= 0.5].all()


@pytest.mark.parametrize("p", [np.zeros(0), np.zeros(100)])
def test_silence_has_no_pieces(p: np.ndarray) -> None:
    assert speech_pieces(p) == []


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_cut_gives_the_samples_of_each_piece_and_reads_to_the_end(size: int) -> None:
    x = np.arange(100, dtype=np.float32)
    blocks = iter([x[at : at + size] for at in range(0, 100, size)])
    found = list(cut(blocks, [(3, 10), (10, 12), (50, 61), (95, 120)]))
    assert [start for start, _ in found] == [3, 10, 50, 95]
    for (_, got), want in zip(found, [x[3:10], x[10:12], x[50:61], x[95:]], strict=True):
        np.testing.assert_array_equal(got, want)
    assert next(blocks, None) is None


def test_transcripts_are_joined_with_spaces() -> None:
    one = Transcript("ab", [Word("ab", 1, 2, 0.9)], 0.5, characters=[Word("a", 1, 1.5), Word("b", 1.5, 2)])
    other = Transcript("c", [Word("c", 5, 6, 0.8)], 0.5, characters=[Word("c", 5, 6)])
    whole = joined([one, Transcript("", confidence=1.0), other], 9.0, "x/talk.wav")
    assert (whole.text, whole.confidence, whole.duration, whole.id) == ("ab c", 0.25, 9.0, "talk")
    assert [w.text for w in whole.words] == ["ab", "c"]
    assert "".join(c.text for c in whole.characters) == whole.text
    assert (whole.characters[2].start, whole.characters[2].end) == (2, 5)
    assert joined([], 9.0, "talk.wav").text == ""


def test_bursts_are_read_once_where_they_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loudness in the place of silero: bursts of noise, with pauses of up to 20 s, some of them 80 s on end."""
    rng = np.random.default_rng(0)
    places = np.cumsum(np.concatenate([rng.uniform(0.3, 0.9, 130), rng.uniform(0.5, 20, 30), [0.4]]))
    audio = np.zeros(round((places[-1] + 3) * RATE), np.float32)
    for place in places:
        audio[round(place * RATE) :][:800] = rng.uniform(-0.3, 0.3, 800)
    soundfile.write(tmp_path / "bursts.wav", audio, RATE)

    def loud(blocks: object) -> list[float]:
        whole = np.concatenate(list(blocks))  # type: ignore[call-overload]
        whole = np.pad(whole, (0, -len(whole) % FRAME)).reshape(-1, FRAME)
        return (np.abs(whole).max(1) > 0.05).astype(float).tolist()

    monkeypatch.setattr(vad, "speech_probabilities", loud)
    got = transcribe_speech(bursts(), tmp_path / "bursts.wav")
    assert got.text.replace(" ", "") == "a" * len(places)
    starts = [c.start for c in got.characters if c.text == "a"]
    assert starts == pytest.approx(places.tolist(), abs=0.04)
    assert got.duration == pytest.approx(len(audio) / RATE, abs=1e-3)


def test_faults_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vad, "FILE", "data/none.onnx")
    soundfile.write(tmp_path / "a.wav", np.zeros(RATE), RATE)
    with pytest.raises(ConfigError, match=r"seqlab\[vad\]"):
        transcribe_speech(recognizer_of(*AUDIO), tmp_path / "a.wav")


def test_probabilities_are_those_of_the_package(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    silero = pytest.importorskip("silero_vad.sequence_vad")
    rng = np.random.default_rng(0)
    signal = (0.1 * rng.standard_normal(41_234)).astype(np.float32)
    signal[10_000:20_000] = 0
    want = silero.SileroVADSequence(str(vad.vad_graph())).audio_forward(signal)
    assert silero.RATE_CONFIG[16000] == (FRAME, BEFORE)
    for size in (999, 50_000):
        got = list(speech_probabilities(signal[at : at + size] for at in range(0, len(signal), size)))
        np.testing.assert_allclose(got, want, atol=1e-5)
