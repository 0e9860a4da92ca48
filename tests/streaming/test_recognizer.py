"""StreamingRecognizer: what it says while it listens, and that it ends with what Recognizer says."""

from typing import Any

import numpy as np
import pytest

from seqlab.errors import ConfigError, DataError
from seqlab.outputs.transcript import Transcript
from seqlab.streaming import Partial, StreamingRecognizer
from tests.streaming.conftest import AUDIO, RATE, pieces, recognizer_of, speech

BEAM: dict[str, Any] = {"_target_": "seqlab.ctc.beam.Beam", "beam": 8, "n_best": 2}


def same(got: Transcript, want: Transcript) -> None:
    assert got.text == want.text
    assert got.duration == want.duration
    assert got.unit == want.unit
    assert [(w.text, w.start, w.end) for w in got.words] == [(w.text, w.start, w.end) for w in want.words]
    assert [a.text for a in got.alternatives] == [a.text for a in want.alternatives]


def listen(streaming: StreamingRecognizer, signal: np.ndarray, seed: int) -> list[Partial]:
    return [streaming.accept(piece) for piece in pieces(signal, seed)]


@pytest.mark.parametrize("decoder", [{}, BEAM], ids=["greedy", "beam"])
def test_ends_with_what_the_recogniser_says(encoder: list[str], decoder: dict[str, Any]) -> None:
    settings = [x for x in AUDIO if encoder[0] != "encoder=recurrent" or "hidden_size" not in x]
    recognizer = recognizer_of(*settings, *encoder, **decoder)
    streaming = StreamingRecognizer(recognizer)
    assert streaming.streams
    for seed in range(2):  # finish makes it ready for the next line
        signal = speech(3.1, seed)
        want = recognizer.transcribe(signal)
        assert len(want.text) > 5
        partials = listen(streaming, signal, seed)
        same(streaming.finish(), want)
        stable = ""
        for partial in partials:
            assert partial.text.startswith(stable)
            assert partial.text.startswith(partial.stable)
            assert partial.stable.startswith(stable)
            stable = partial.stable
        assert want.text.startswith(stable)
        assert len(stable) > len(want.text) / 2
        assert partials[-1].heard == pytest.approx(len(signal) / RATE)
        assert [w.text for w in partials[-1].words] == partials[-1].text.split()


def test_several_vocal_tracts_are_averaged_piece_by_piece() -> None:
    recognizer = recognizer_of(*AUDIO, "encoder=lstm")
    signal = speech(3.1)
    once = recognizer.transcribe(signal).text
    recognizer.model.hear_as([0.85, 1.2])
    streaming = StreamingRecognizer(recognizer)
    assert streaming.streams
    want = recognizer.transcribe(signal)
    assert want.text != once
    listen(streaming, signal, 0)
    same(streaming.finish(), want)


def test_latency_is_what_an_impulse_needs() -> None:
    """Change a signal from one sample on: output frames whose latency has passed before it stay, the next does not."""
    recognizer = recognizer_of(*AUDIO, "encoder=latency_controlled", "encoder.chunk=3", "encoder.right=2")
    streaming = StreamingRecognizer(recognizer)
    # frames of 25 ms every 10 ms, two to a frame of the encoder, which waits for 4 more: 9 * 10 ms + 25 ms
    assert streaming.latency == pytest.approx(0.115)
    assert StreamingRecognizer(recognizer_of(*AUDIO, "encoder=lstm")).latency == pytest.approx(0.035)
    signal = speech(2)
    counts = [len(streaming._network(signal[at : at + 40], False)) for at in range(0, len(signal), 40)]
    heard = 40 * (np.flatnonzero(counts) + 1) / RATE  # when chunks of three output frames of 20 ms came out
    begins = 0.06 * np.arange(len(heard))
    assert counts[np.flatnonzero(counts)[0]] == 3
    assert (heard - begins).max() <= streaming.latency + 40 / RATE  # type: ignore[operator]


def test_an_encoder_of_whole_lines_waits_for_the_end() -> None:
    recognizer = recognizer_of(*AUDIO, "encoder=blstm", "normalize=line")
    streaming = StreamingRecognizer(recognizer)
    assert not streaming.streams
    assert streaming.latency is None
    signal = speech(1.3)
    assert {p.text for p in listen(streaming, signal, 0)} == {""}
    same(streaming.finish(), recognizer.transcribe(signal))


def test_normalisation_by_lines_has_a_cure() -> None:
    recognizer = recognizer_of(*AUDIO, "encoder=lstm", "normalize=line")
    with pytest.raises(ConfigError, match="running=True"):
        StreamingRecognizer(recognizer)
    streaming = StreamingRecognizer(recognizer, running=True)
    signal = speech(2)
    texts = []
    for seed in range(2):
        listen(streaming, signal, seed)
        texts.append(streaming.finish())
    same(*texts)


def test_other_rates_and_integers() -> None:
    recognizer = recognizer_of(*AUDIO, "encoder=lstm")
    signal = np.clip(np.repeat(speech(1), 2), -1, 1)
    want = recognizer.transcribe(signal, sample_rate=2 * RATE)
    streaming = StreamingRecognizer(recognizer, sample_rate=2 * RATE)
    listen(streaming, signal, 0)
    assert streaming.finish().text == want.text
    low = StreamingRecognizer(recognizer)
    integers = np.round(speech(1) * 32767).astype(np.int16)
    listen(low, integers, 0)
    same(low.finish(), recognizer.transcribe(integers))


def test_features_stream() -> None:
    recognizer = recognizer_of(
        *("frontend=features", "frontend.size=5", "normalize=none", "stem=none", "encoder=lstm", "augment=none"),
        *("encoder.hidden_size=16", "encoder.num_layers=1"),
    )
    frames = np.random.default_rng(0).normal(size=(200, 5)).astype(np.float32)
    streaming = StreamingRecognizer(recognizer)
    listen(streaming, frames, 2)
    same(streaming.finish(), recognizer.transcribe(frames))


def test_ink_is_read_anew_at_the_end_of_each_stroke() -> None:
    recognizer = recognizer_of(
        *("frontend=stroke_points", "normalize=none", "stem=none", "encoder=blstm", "augment=none"),
        *("encoder.hidden_size=16", "encoder.num_layers=1"),
    )
    rng = np.random.default_rng(0)
    ink = np.cumsum(rng.normal(size=(60, 4)), 0).astype(np.float32)
    ink[:, 2] = np.arange(60)
    ink[:, 3] = np.arange(60) % 20 == 19
    streaming = StreamingRecognizer(recognizer)
    partials = [streaming.accept(ink[at : at + 5]) for at in range(0, 60, 5)]
    assert {p.stable for p in partials} == {""}
    for points in (20, 40, 60):
        assert partials[points // 5 - 1].text == recognizer.transcribe(ink[:points]).text
    same(streaming.finish(), recognizer.transcribe(ink))
    for wrong in (np.zeros((3, 2)), np.full((3, 4), 1e300)):  # of which nothing stays
        with pytest.raises(DataError, match="finite points"):
            streaming.accept(wrong)
    assert streaming.finish().text == ""
    with pytest.raises(ConfigError, match="sample_rate"):
        StreamingRecognizer(recognizer, sample_rate=8000)


def test_nothing_said_is_no_text() -> None:
    for settings in (["encoder=lstm"], ["encoder=blstm"]):
        streaming = StreamingRecognizer(recognizer_of(*AUDIO, *settings))
        assert streaming.finish().text == ""
        assert streaming.accept(np.zeros(50, np.float32)).text == ""
        assert streaming.accept(np.zeros(0, np.float32)).heard == pytest.approx(50 / RATE)
        assert streaming.finish().text == ""


def test_faulty_samples_lose_nothing() -> None:
    recognizer = recognizer_of(*AUDIO, "encoder=lstm")
    streaming = StreamingRecognizer(recognizer)
    signal = speech(1)
    streaming.accept(signal[:3000])
    loud = np.array([0.0, 1e30], np.float32)
    wrong: list[Any] = [np.full(10, np.nan), loud, np.zeros((10, 2)), np.zeros(10, np.uint8), np.ones(3, complex)]
    for samples in [*wrong, np.array(["a"]), np.array(0.5), 0.5]:
        with pytest.raises(DataError):
            streaming.accept(samples)
    streaming.accept(signal[3000:])
    same(streaming.finish(), recognizer.transcribe(signal))


def test_images_are_refused() -> None:
    recognizer = recognizer_of("experiment=testaments", "encoder.hidden_size=8", "augment=none")
    with pytest.raises(ConfigError, match="as a whole"):
        StreamingRecognizer(recognizer)
