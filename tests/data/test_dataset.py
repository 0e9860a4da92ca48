"""Examples: augmentation follows (seed, epoch, line), lengths are known beforehand, batches are padded right."""

from pathlib import Path

import numpy as np
import pytest
import torch

from seqlab.batch import Example, collate, mask_padding, valid_mask
from seqlab.data.augment import Gain, Rejoin, Speed, WhiteNoise
from seqlab.data.dataset import LineDataset
from seqlab.data.sources import AudioSource
from seqlab.errors import ConfigError, DataError
from seqlab.frontends.log_mel import LogMel
from seqlab.manifest import Line, read_manifest
from seqlab.tokenizers.characters import Characters
from tests.conftest import RATE


def source(cache_mb: int = 0) -> AudioSource:
    return AudioSource(LogMel(RATE), cache_mb)


def dataset(corpus: Path, **settings: object) -> LineDataset:
    lines = read_manifest(corpus / "train.jsonl")
    return LineDataset(lines, Characters(" abc"), source(), training=True, **settings)  # type: ignore[arg-type]


def test_example_holds_signal_text_and_labels(corpus: Path) -> None:
    data = dataset(corpus)
    samples = data.plan(0)
    example = data[3]
    line = data.lines[3]
    assert (example.id, example.text) == (line.id, line.text)
    assert example.labels.tolist() == [1 + " abc".index(c) for c in line.text]
    assert len(example.signal) == samples[3] == round((line.duration_s or 0) * RATE)


def test_augmentation_repeats_by_seed_and_epoch(corpus: Path) -> None:
    augment = [Speed(0.9, 1.1), Gain(), WhiteNoise(-60, -40)]
    data = dataset(corpus, augment=augment, seed=1)
    data.plan(0)
    first = data[5].signal
    assert torch.equal(first, data[5].signal)
    data.plan(1)
    other = data[5].signal
    assert len(first) != len(other) or not torch.equal(first, other)
    data.plan(0)
    assert torch.equal(first, data[5].signal)
    again = dataset(corpus, augment=augment, seed=2)
    again.plan(0)
    assert len(first) != len(again[5].signal) or not torch.equal(first, again[5].signal)


def test_planned_length_is_that_of_the_example(corpus: Path) -> None:
    lines = read_manifest(corpus / "train.jsonl")
    data = dataset(corpus, augment=[Speed(0.7, 1.4)], rejoin=Rejoin(lines, 1, 3, 0, 100, trim=0.3))
    samples = data.plan(4)
    for index in range(20):
        assert len(data[index].signal) == pytest.approx(samples[index], abs=100)


def test_lines_beyond_the_draws_share_them(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from seqlab.data import dataset as module

    exact = dataset(corpus, augment=[Speed(0.7, 1.4)], seed=3)
    exact.plan(2)
    monkeypatch.setattr(module, "MOST_DRAWS", 5)
    data = dataset(corpus, augment=[Speed(0.7, 1.4)], seed=3)
    samples = data.plan(2)
    plain = dataset(corpus).plan(2)
    assert len({round(float(r), 2) for r in samples / plain}) <= 5
    for index in range(20):
        assert len(data[index].signal) == pytest.approx(samples[index], abs=100)
    again = dataset(corpus, augment=[Speed(0.7, 1.4)], seed=3)
    assert np.array_equal(again.plan(2), samples)
    assert torch.equal(again[7].signal, data[7].signal)
    assert not np.array_equal(again.plan(3), samples)


def test_speed_changes_length_and_pitch() -> None:
    time = np.arange(RATE) / RATE
    tone = np.sin(2 * np.pi * 500 * time).astype(np.float32)
    fast = Speed().apply(tone, 1.25, np.random.default_rng(0))
    assert len(fast) == pytest.approx(RATE / 1.25, abs=2)
    peak = np.abs(np.fft.rfft(fast)).argmax() * RATE / len(fast)
    assert peak == pytest.approx(625, abs=3)
    assert Speed().stretch(1.25) == pytest.approx(0.8)


def test_gain_and_noise_have_the_level_they_name() -> None:
    rng = np.random.default_rng(0)
    signal = np.full(RATE, 0.1, np.float32)
    assert Gain().apply(signal, 6.0206, rng)[0] == pytest.approx(0.2, abs=1e-4)
    assert Gain().apply(signal, 40.0, rng).max() == 1.0
    noise = WhiteNoise().apply(np.zeros(10 * RATE, np.float32), -40.0, rng)
    assert 20 * np.log10(noise.std()) == pytest.approx(-40, abs=0.1)


def test_rejoin_takes_recordings_of_the_speaker(corpus: Path) -> None:
    pool = read_manifest(corpus / "train.jsonl")
    by_path = {str(p.root / str(p.audio)): p for p in pool}
    line = pool[0]
    joined = Rejoin(pool, 2, 4, 20, 30)(line, np.random.default_rng(0))
    assert joined.id == line.id
    assert joined.parts is not None
    assert 2 <= len(joined.parts) <= 4
    picks = [by_path[p] for p in joined.parts]
    assert {p.speaker for p in picks} == {line.speaker}
    assert joined.text == " ".join(p.text for p in picks)
    assert joined.silence_ms is not None
    assert all(20 <= s <= 30 for s in joined.silence_ms)
    unknown = Line("x", "a", audio="a.wav", speaker="nobody")
    assert Rejoin(pool)(unknown, np.random.default_rng(0)) is unknown


def test_rejoin_trims_at_most_its_share(corpus: Path) -> None:
    pool = read_manifest(corpus / "train.jsonl")
    rejoin = Rejoin(pool, 1, 1, 0, 0, trim=0.25)
    durations = {str(p.root / str(p.audio)): p.duration_s or 0 for p in pool}
    shares = []
    for seed in range(200):
        joined = rejoin(pool[0], np.random.default_rng(seed))
        assert joined.spans is not None
        assert joined.parts is not None
        (start, end), full = joined.spans[0], durations[joined.parts[0]]
        assert start == 0 or end > full
        shares.append(1 - (min(end, full) - start) / full)
    assert 0.2 < max(shares) <= 0.25
    assert 0.4 < np.mean(np.array(shares) > 1e-6) < 0.6


def test_rejoin_needs_durations() -> None:
    with pytest.raises(ConfigError, match="needs audio and duration_s"):
        Rejoin([Line("x", "a", audio="a.wav", where="m:1")])


def test_unknown_characters_stop_training_only(corpus: Path) -> None:
    lines = read_manifest(corpus / "train.jsonl")
    strict = LineDataset(lines, Characters("ab "), source(), training=True)
    strict.plan(0)
    index = next(i for i, line in enumerate(lines) if "c" in line.text)
    with pytest.raises(DataError, match="'c' are not in the alphabet"):
        _ = strict[index]
    lenient = LineDataset(lines, Characters("ab "), source())
    lenient.plan(0)
    assert len(lenient[index].labels) < len(lines[index].text)


def test_cache_stays_within_its_memory(corpus: Path) -> None:
    one = source(cache_mb=1)
    lines = read_manifest(corpus / "train.jsonl")
    for _ in range(3):
        for line in lines:
            one.read(line)
            assert one.cache.used <= one.cache.limit
    assert one.read(lines[0]) is one.read(lines[0])
    none = source(cache_mb=0)
    none.read(lines[0])
    assert none.cache.used == 0


def test_collate_pads_with_zeros() -> None:
    examples = [
        Example("a", torch.ones(3), "x", torch.tensor([1, 2])),
        Example("b", torch.ones(5), "", torch.tensor([], dtype=torch.int64)),
    ]
    batch = collate(examples)
    assert batch.signal.tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]
    assert batch.lengths.tolist() == [3, 5]
    assert batch.labels.tolist() == [[1, 2], [0, 0]]
    assert batch.label_lengths.tolist() == [2, 0]


def test_masks() -> None:
    lengths = torch.tensor([1, 3, 0])
    expected = [[True, False, False], [True, True, True], [False, False, False]]
    assert valid_mask(lengths, 3).tolist() == expected
    x = torch.full((3, 3, 2), float("nan"))
    x[0, 0], x[1] = 1.0, 2.0
    assert torch.equal(mask_padding(x, lengths), torch.nan_to_num(x, nan=0.0))
