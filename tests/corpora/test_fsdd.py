from collections import Counter
from pathlib import Path

import pytest

from seqlab.corpora.fsdd import draw_strings, prepare
from seqlab.errors import DataError, UserError
from seqlab.manifest import Line, line_to_row, read_manifest
from seqlab.media import read_line

from .conftest import Tone


@pytest.fixture
def clone(tmp_path: Path, tone: Tone) -> Path:
    folder = tmp_path / "free-spoken-digit-dataset"
    tone(folder / "recordings" / "7_jackson_0.wav", samples=1000)
    tone(folder / "recordings" / "7_jackson_5.wav", samples=2000)
    tone(folder / "recordings" / "0_theo_10.wav", samples=3000)
    return folder


def test_three_recordings_become_three_splits(clone: Path, tmp_path: Path) -> None:
    written = prepare(str(clone), str(tmp_path / "out"), strings_train=0, strings_dev=0, strings_test=0)
    assert written == {split: tmp_path / "out" / f"{split}.jsonl" for split in ("train", "dev", "test")}
    (line,) = read_manifest(written["test"])
    assert line_to_row(line) == {
        "id": "7_jackson_0",
        "text": "seven",
        "audio": str(clone / "recordings" / "7_jackson_0.wav"),
        "speaker": "jackson",
        "sample_rate": 8000,
        "duration_s": 0.125,
        "digit": 7,
        "index": 0,
    }
    assert [line.id for line in read_manifest(written["dev"])] == ["7_jackson_5"]
    assert [line.text for line in read_manifest(written["train"])] == ["zero"]


@pytest.mark.parametrize(
    ("index", "split"), [(0, "test"), (4, "test"), (5, "dev"), (9, "dev"), (10, "train"), (49, "train")]
)
def test_the_index_decides_the_split(tmp_path: Path, tone: Tone, index: int, split: str) -> None:
    tone(tmp_path / "recordings" / f"3_george_{index}.wav")
    written = prepare(str(tmp_path), str(tmp_path / "out"), 0, 0, 0)
    assert list(written) == [split]


def test_root_may_be_the_recordings_folder_and_paths_are_relative_below_out(clone: Path) -> None:
    written = prepare(str(clone / "recordings"), str(clone), 0, 0, 0)
    (line,) = read_manifest(written["train"])
    assert line.audio == "recordings/0_theo_10.wav"
    assert line.files[0].is_file()


def test_flac_in_speaker_folders(tmp_path: Path, tone: Tone) -> None:
    tone(tmp_path / "audio" / "theo" / "9_theo_11.flac")
    (line,) = read_manifest(prepare(str(tmp_path), str(tmp_path), 0, 0, 0)["train"])
    assert (line.id, line.text, line.audio) == ("9_theo_11", "nine", "audio/theo/9_theo_11.flac")


def test_strange_names_are_left_out_and_named(
    clone: Path, tmp_path: Path, tone: Tone, caplog: pytest.LogCaptureFixture
) -> None:
    tone(clone / "recordings" / "noise.wav")
    (clone / "recordings" / "._7_jackson_1.wav").write_bytes(b"")  # left behind by macOS
    (clone / "recordings" / "README.md").write_text("hello")
    written = prepare(str(clone), str(tmp_path / "out"), 0, 0, 0)
    assert sum(len(read_manifest(path)) for path in written.values()) == 3
    assert "1 file(s) left out" in caplog.text
    assert "noise.wav" in caplog.text


def test_strings_join_recordings_of_one_speaker_and_split(tmp_path: Path, tone: Tone) -> None:
    for speaker in ("ann", "bob"):
        for digit in range(10):
            for index in (1, 6, 12, 13):
                tone(tmp_path / "recordings" / f"{digit}_{speaker}_{index}.wav", samples=800 + 80 * digit)
    written = prepare(str(tmp_path), str(tmp_path), strings_train=20, strings_dev=3, strings_test=2, seed=5)
    strings = {split: read_manifest(written[f"strings_{split}"]) for split in ("train", "dev", "test")}
    assert {split: len(lines) for split, lines in strings.items()} == {"train": 20, "dev": 3, "test": 2}
    names = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    indices = {"train": {12, 13}, "dev": {6}, "test": {1}}
    for split, lines in strings.items():
        for line in lines:
            fields = [Path(part).stem.split("_") for part in line.parts or []]
            assert 3 <= len(fields) <= 7
            assert {speaker for _, speaker, _ in fields} == {line.speaker}
            assert {int(index) for _, _, index in fields} <= indices[split]
            assert line.text.split() == [names[int(digit)] for digit, _, _ in fields]
            assert line.extra["digits"] == "".join(digit for digit, _, _ in fields)
            assert all(20 <= ms <= 200 for ms in line.silence_ms or [])
            signal, rate = read_line(line)
            assert rate == line.sample_rate == 8000
            assert len(signal) / rate == pytest.approx(line.duration_s, abs=1e-3)
    assert Counter(line.speaker for line in strings["train"]) == {"ann": 10, "bob": 10}
    assert strings["train"][0].id == "ann-train-str0000"


def test_strings_depend_on_the_seed_alone() -> None:
    singles = [
        Line(
            f"{d}_a_{i}",
            "x",
            audio=f"{d}{i}",
            speaker="a",
            sample_rate=8000,
            duration_s=0.1,
            extra={"digit": d, "index": i},
        )
        for d in range(10)
        for i in range(10, 14)
    ]
    assert draw_strings(singles, "train", 5, 1) == draw_strings(singles, "train", 5, 1)
    assert draw_strings(singles, "train", 5, 1) != draw_strings(singles, "train", 5, 2)
    assert draw_strings(singles, "train", 3, 1) == draw_strings(singles, "train", 5, 1)[:3]
    assert all(len(set(line.parts or [])) == len(line.parts or []) for line in draw_strings(singles, "train", 50, 1))


def test_wrong_roots_say_what_is_expected(tmp_path: Path) -> None:
    for root in (None, str(tmp_path)):
        with pytest.raises(DataError, match=r"Jakobovski/free-spoken-digit-dataset.*recordings/<digit>"):
            prepare(root, str(tmp_path / "out"))
    with pytest.raises(FileNotFoundError, match=r"nowhere not found.*recordings"):
        prepare(str(tmp_path / "nowhere"), str(tmp_path / "out"))
    with pytest.raises(UserError, match="strings_dev must be 0 or more"):
        prepare(str(tmp_path), str(tmp_path / "out"), strings_dev=-1)
    assert not (tmp_path / "out").exists()


def test_faulty_recordings_are_all_named_and_nothing_is_written(clone: Path, tmp_path: Path) -> None:
    (clone / "recordings" / "1_theo_1.wav").write_text("404 not found")
    (clone / "recordings" / "2_theo_1.wav").write_bytes(b"")
    with pytest.raises(DataError, match=r"(?s)2 faulty file\(s\).*1_theo_1.*2_theo_1"):
        prepare(str(clone), str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
