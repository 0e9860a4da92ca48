"""Rooms, noise, codecs and voices: levels and pitches as they are named; repeatable; seeds decide."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from seqlab.config import build, compose
from seqlab.data.augment import Occasional, Speed
from seqlab.data.augment_rooms import Clip, Codec, LowerRate, Noise, Reverberation, blocks, coloured, level, mu_law
from seqlab.data.augment_voices import Pitch, Tempo, change_tempo
from seqlab.data.dataset import LineDataset
from seqlab.data.sources import AudioSource
from seqlab.errors import ConfigError, DataError
from seqlab.frontends.log_mel import LogMel
from seqlab.manifest import read_manifest
from seqlab.tokenizers.characters import Characters
from tests.conftest import RATE


def tone(frequency: float = 300.0, seconds: float = 2.0, rate: int = RATE) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * frequency * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def pitch_of(signal: np.ndarray, rate: int = RATE) -> float:
    return float(np.abs(np.fft.rfft(signal * np.hanning(len(signal)))).argmax() * rate / len(signal))


def bound(augmentation: Any, corpus: Path) -> Any:
    augmentation.bind(AudioSource(LogMel(RATE)), read_manifest(corpus / "train.jsonl"))
    return augmentation


def chance(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("speed", [0.7, 0.9, 1.0, 1.3, 2.0])
@pytest.mark.parametrize("rate", [8000, 16000])
def test_tempo_changes_length_and_keeps_pitch_and_level(speed: float, rate: int) -> None:
    signal = tone(rate=rate)
    changed = change_tempo(signal, speed, rate)
    assert len(changed) == round(len(signal) / speed)
    assert pitch_of(changed, rate) == pytest.approx(300, abs=1.5)
    middle = changed[rate // 10 : -rate // 10]
    assert level(middle) == pytest.approx(level(signal), rel=0.02)  # pieces meet in phase
    if speed == 1.0:
        np.testing.assert_allclose(changed, signal, atol=1e-6)


def test_tempo_keeps_the_order_of_sounds() -> None:
    signal = np.concatenate([tone(400, 0.5), tone(1000, 0.5)])
    slow = change_tempo(signal, 0.5, RATE)
    assert (pitch_of(slow[: RATE - 800]), pitch_of(slow[RATE + 800 :])) == pytest.approx((400, 1000), abs=3)


@pytest.mark.parametrize("semitones", [-4.0, 3.0])
def test_pitch_keeps_length(semitones: float) -> None:
    signal = tone()
    changed = Pitch().apply(signal, semitones, chance())
    assert changed.shape == signal.shape
    assert pitch_of(changed) == pytest.approx(300 * 2 ** (semitones / 12), abs=1.5)
    assert Pitch().stretch(semitones) == 1.0


def test_a_share_of_lines_is_left_alone() -> None:
    tempo = Tempo(0.8, 0.9, share=0.25)
    rng = chance()
    drawn = [tempo.draw(rng) for _ in range(4000)]
    assert sum(value is not None for value in drawn) / 4000 == pytest.approx(0.25, abs=0.03)
    assert tempo.stretch(None) == 1.0
    assert tempo.stretch(0.8) == 1.25
    signal = tone()
    assert tempo.apply(signal, None, rng) is signal


@pytest.mark.parametrize("kind", ["white", "pink", "brown", "babble"])
def test_noise_has_the_ratio_that_was_drawn(kind: Any, corpus: Path) -> None:
    signal = tone()
    noise = bound(Noise(kinds=[kind]), corpus).apply(signal, 10.0, chance()) - signal
    assert 20 * np.log10(level(signal) / level(noise)) == pytest.approx(10, abs=0.01)


@pytest.mark.parametrize(("colour", "slope"), [("white", 0.0), ("pink", -3.01), ("brown", -6.02)])
def test_power_falls_by_its_slope_per_octave(colour: str, slope: float) -> None:
    power = np.abs(np.fft.rfft(coloured(colour, 2**18, RATE, chance()))) ** 2
    frequency = np.fft.rfftfreq(2**18, 1 / RATE)
    bands = [10 * np.log10(power[(frequency >= f) & (frequency < 1.1 * f)].mean()) for f in (200, 400, 800, 1600)]
    assert np.diff(bands) == pytest.approx([slope] * 3, abs=0.3)


def test_noise_and_rooms_come_from_folders(tmp_path: Path, corpus: Path) -> None:
    (tmp_path / "noise" / "deep").mkdir(parents=True)
    hum = tone(1000, 0.5, 16000)
    soundfile.write(tmp_path / "noise" / "deep" / "hum.wav", hum, 16000)  # another rate, shorter than the line
    noise = bound(Noise(folder=str(tmp_path / "noise")), corpus)
    added = noise.apply(tone(), 0.0, chance()) - tone()
    assert pitch_of(added) == pytest.approx(1000, abs=5)
    (tmp_path / "rooms").mkdir()
    response = np.zeros(800, np.float32)
    response[100], response[500] = 0.8, 0.4
    soundfile.write(tmp_path / "rooms" / "hall.wav", response, RATE, subtype="FLOAT")
    room = bound(Reverberation(folder=str(tmp_path / "rooms")), corpus)
    click = np.zeros(1000, np.float32)
    click[200] = 1.0
    wet = room.apply(click, 0.3, chance())
    assert np.flatnonzero(np.abs(wet) > 1e-4).tolist() == [200, 600]  # the direct sound is not late
    assert wet[600] / wet[200] == pytest.approx(0.5, abs=1e-3)
    assert level(wet) == pytest.approx(level(click), rel=1e-3)
    with pytest.raises(ValueError, match="noise: no recording"):
        Noise(folder=str(tmp_path / "nothing"))


def test_empty_signals_stay_and_empty_recordings_of_a_folder_are_named(tmp_path: Path, corpus: Path) -> None:
    empty = np.zeros(0, np.float32)
    for augmentation in (Pitch(), Tempo(), Clip(), Noise(), Reverberation(), Codec(), LowerRate(), Speed()):
        assert len(bound(augmentation, corpus).apply(empty, 1.0, chance())) == 0
    soundfile.write(tmp_path / "none.wav", empty, RATE)
    for augmentation in (Noise(folder=str(tmp_path)), Reverberation(folder=str(tmp_path))):
        with pytest.raises(DataError, match=r"none\.wav.*empty"):
            bound(augmentation, corpus).apply(tone(), 1.0, chance())


def test_a_made_room_decays_in_its_time() -> None:
    room = Reverberation(low_db=6.0, high_db=6.0)
    room.rate = 16000
    response = room.made(0.5, chance()).astype(np.float64)
    assert response[0] == 1.0
    tail = response[1:]
    assert 10 * np.log10(1 / np.sum(tail**2)) == pytest.approx(6, abs=0.1)
    late = [10 * np.log10(np.mean(tail[a : a + 800] ** 2)) for a in (1600, 4800)]  # 0.2 s apart: 24 dB
    assert late[0] - late[1] == pytest.approx(24, abs=2)


def test_codecs_lose_what_they_lose() -> None:
    signal = tone(1000)
    coded = mu_law(signal)
    assert len(np.unique(coded)) <= 255
    assert 20 * np.log10(level(signal) / level(coded - signal)) > 30
    assert mu_law(np.array([1.0, -1.0, 0.0])).tolist() == pytest.approx([1.0, -1.0, 0.0])
    parts = blocks(np.array([0.7, 0.06, -0.3, 0.0, 0.01]), 3)
    assert parts.tolist() == pytest.approx([0.7, 0.1, -0.3, 0.0, 0.01], abs=1e-6)
    phone = Codec(ways=["telephone"])
    phone.rate = 16000
    lost = {f: level(phone.apply(tone(f, rate=16000), 0.0, chance())) / level(tone(f)) for f in (100, 1000, 5000)}
    assert lost[1000] == pytest.approx(1, abs=0.03)
    assert max(lost[100], lost[5000]) < 0.1


def test_a_lower_rate_has_no_high_tones_and_clipping_cuts_peaks() -> None:
    lower = LowerRate([4000])
    lower.rate = RATE
    assert level(lower.apply(tone(3000), 0.0, chance())) < 0.01
    kept = lower.apply(tone(500), 0.0, chance())
    assert (len(kept), level(kept)) == (2 * RATE, pytest.approx(level(tone(500)), rel=0.02))
    signal = tone()
    assert LowerRate([16000]).bind(AudioSource(LogMel(RATE)), []) is None
    clipped = Clip().apply(signal, 6.0206, chance())
    assert np.abs(clipped).max() == pytest.approx(0.15, abs=1e-4)


def robust() -> list[Occasional]:
    nodes = compose("train", ["augment=robust"])["augment"]["signal"]
    return [build(node, "augment") for node in nodes.values()]


def test_robust_augmentation_repeats_by_seed_and_epoch_and_plans_lengths(corpus: Path) -> None:
    lines = read_manifest(corpus / "train.jsonl")
    sets = [
        LineDataset(lines, Characters(" abc"), AudioSource(LogMel(RATE)), seed, robust(), training=True)
        for seed in (1, 1, 2)
    ]
    samples = [data.plan(3) for data in sets]
    assert (samples[0] == samples[1]).all()
    assert not (samples[0] == samples[2]).all()
    for index in range(len(lines)):
        first, again = (data[index].signal.numpy() for data in sets[:2])
        assert np.array_equal(first, again)
        assert np.isfinite(first).all()
        assert first.dtype == np.float32
        assert len(first) == pytest.approx(samples[0][index], abs=5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Tempo(0.1, 1.0), "a tempo must lie in"),
        (lambda: Pitch(-20, 0), "a change must lie in"),
        (lambda: Noise(share=1.5), "share must lie in"),
        (lambda: Noise(kinds=[]), "kinds must name"),
        (lambda: Noise(30, 5), "exceeds the upper bound"),
        (lambda: Reverberation(0.0, 0.5), "low_s above 0"),
        (lambda: LowerRate([]), "rates must be"),
        (lambda: Codec(ways=[]), "ways must name"),
    ],
)
def test_bad_settings_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_an_unknown_colour_is_a_fault_of_the_configuration() -> None:
    with pytest.raises(ConfigError, match=r"augment\.signal\.noise\.kinds.*green"):
        compose("train", ["augment=robust", "augment.signal.noise.kinds=[green]"])
