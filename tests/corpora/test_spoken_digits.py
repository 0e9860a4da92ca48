import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from seqlab.corpora import spoken_digits
from seqlab.corpora.spoken_digits import ACCENTS, VARIANTS, prepare, voices
from seqlab.errors import DataError, UserError
from seqlab.manifest import read_manifest

SMALL = {"num_train": 6, "num_dev": 2, "num_test": 3}
NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("espeakng_loader")
    folder = tmp_path_factory.mktemp("spoken")
    prepare(None, str(folder), **SMALL)
    return folder


def test_splits_share_no_accent_and_no_variant() -> None:
    for table in (ACCENTS, VARIANTS):
        train, dev, test = (set(table[split]) for split in ("train", "dev", "test"))
        assert not train & dev
        assert not train & test
        assert not dev & test
    assert all(len(set(voices(split))) == len(ACCENTS[split]) * len(VARIANTS[split]) for split in ACCENTS)


def test_manifests_and_audio(small: Path) -> None:
    for split, number in (("train", 6), ("dev", 2), ("test", 3)):
        lines = read_manifest(small / f"{split}.jsonl")
        assert len(lines) == number
        for line in lines:
            assert line.audio == f"audio/{split}/{line.id}.flac"
            assert line.speaker in voices(split)
            assert line.text.split() == [NAMES[int(digit)] for digit in line.extra["digits"]]
            assert 1 <= len(line.text.split()) <= 8
            assert line.extra["synthetic"].startswith("espeak-ng ")
            signal, rate = soundfile.read(line.files[0])
            assert soundfile.info(line.files[0]).subtype == "PCM_16"
            assert rate == line.sample_rate == 16000
            assert len(signal) / rate == pytest.approx(line.duration_s, abs=1e-4)
            assert 0.12 < len(signal) / rate / len(line.text.split()) < 2
            assert 0.005 < np.sqrt(np.mean(signal**2)) < 0.3
            assert np.abs(signal).max() < 0.999


def test_speech_stands_between_silence(small: Path) -> None:
    for line in read_manifest(small / "train.jsonl"):
        signal, _ = soundfile.read(line.files[0])
        edges = np.concatenate([signal[:800], signal[-800:]])  # 50 ms at each end
        assert np.sqrt(np.mean(edges**2)) < 0.5 * np.sqrt(np.mean(signal**2))
        assert np.abs(edges).max() > 0  # the noise goes on


def test_equal_seeds_give_equal_bytes_and_other_seeds_others(small: Path, tmp_path: Path) -> None:
    prepare(None, str(tmp_path / "same"), **SMALL)
    prepare(None, str(tmp_path / "other"), **SMALL, seed=2)
    first, same, other = contents(small), contents(tmp_path / "same"), contents(tmp_path / "other")
    assert same == first
    assert other.keys() == first.keys()
    assert other["train.jsonl"] != first["train.jsonl"]


def test_a_line_does_not_depend_on_how_many_there_are(small: Path, tmp_path: Path) -> None:
    prepare(None, str(tmp_path), num_train=2, num_dev=0, num_test=0)
    assert not (tmp_path / "dev.jsonl").exists()
    name = "audio/train/train-00001.flac"
    assert (tmp_path / name).read_bytes() == (small / name).read_bytes()


def test_a_finished_corpus_is_left_alone(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object) -> None:
        raise AssertionError("synthesised again")

    monkeypatch.setattr(spoken_digits._Plan, "record", fail)
    written = prepare(None, str(small), **SMALL)
    assert written == {split: small / f"{split}.jsonl" for split in ("train", "dev", "test")}


def test_an_interrupted_run_is_finished(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        record, calls = spoken_digits._Plan.record, []

        def stop_at_four(plan: spoken_digits._Plan, engine: spoken_digits._Espeak) -> np.ndarray:
            calls.append(plan.id)
            if len(calls) == 4:
                raise KeyboardInterrupt
            return record(plan, engine)

        patch.setattr(spoken_digits._Plan, "record", stop_at_four)
        with pytest.raises(KeyboardInterrupt):
            prepare(None, str(tmp_path), **SMALL)
        assert not list(tmp_path.glob("*.jsonl"))
    prepare(None, str(tmp_path), **SMALL)
    assert contents(tmp_path) == contents(small)


def test_other_options_in_the_same_folder_are_refused(small: Path) -> None:
    before = contents(small)
    with pytest.raises(DataError, match=r"num_train 6, now 7.*give another folder"):
        prepare(None, str(small), **SMALL | {"num_train": 7})
    assert contents(small) == before


def test_foreign_and_damaged_folders_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("espeakng_loader")
    (tmp_path / "train.jsonl").write_text("{}\n")
    with pytest.raises(DataError, match=r"manifests of something else \(train\)"):
        prepare(None, str(tmp_path), **SMALL)
    (tmp_path / "prepare.json").write_text(json.dumps([1]))
    with pytest.raises(DataError, match=r"prepare\.json is damaged"):
        prepare(None, str(tmp_path), **SMALL)


def test_every_voice_is_in_the_wheel_and_sounds_different() -> None:
    pytest.importorskip("espeakng_loader")
    engine = spoken_digits._Espeak()
    spoken = {}
    for voice in [voice for split in ACCENTS for voice in voices(split)]:
        audio, rate = engine.speak("nine", voice, 170, 50, 50)
        assert rate == 22050
        assert 0.2 < len(audio) / rate < 1.5
        assert np.abs(audio).max() > 0.1
        spoken[audio.tobytes()] = voice
    assert len(spoken) == sum(len(voices(split)) for split in ACCENTS)


def test_senseless_options(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="reads no corpus"):
        prepare("somewhere", str(tmp_path))
    with pytest.raises(UserError, match="num_dev=-1"):
        prepare(None, str(tmp_path), num_dev=-1)


def test_without_the_synthesiser_the_message_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(UserError, match=r'pip install "seqlab\[synth\]"'):
        prepare(None, str(tmp_path), **SMALL)
