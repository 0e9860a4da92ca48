from pathlib import Path

import pytest

from seqlab.corpora.an4 import prepare
from seqlab.errors import DataError, UserError

from .conftest import Tone, rows, write_sphere

FOLDERS = {"train": "an4_clstk", "test": "an4test_clstk"}


def add(top: Path, part: str, name: str, row: str) -> Path:
    with (top / "etc" / f"an4_{part}.transcription").open("a") as file:
        file.write(f"{row} ({name})\n")
    return write_sphere(top / "wav" / FOLDERS[part] / name.split("-")[1] / f"{name}.sph")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    top = tmp_path / "an4"
    (top / "etc").mkdir(parents=True)
    for speaker in ("fash", "fbbh", "mblw", "mjbh"):
        add(top, "train", f"an251-{speaker}-b", "<s> YES </s>")
        add(top, "train", f"cen4-{speaker}-b", "<s> G L E N N </s>")
    add(top, "test", "an406-fcaw-b", "RUBOUT G M E F THREE NINE")
    return top


def test_true_layout_becomes_manifests(tree: Path, tmp_path: Path) -> None:
    written = prepare(str(tree), str(tmp_path), dev_share=0.25)
    assert rows(written["test"]) == [
        {
            "id": "an406-fcaw-b",
            "text": "RUBOUT G M E F THREE NINE",
            "audio": "an4/wav/an4test_clstk/fcaw/an406-fcaw-b.sph",
            "speaker": "fcaw",
            "sample_rate": 16000,
            "duration_s": 0.1,
        }
    ]
    train, dev = ({row["speaker"] for row in rows(written[part])} for part in ("train", "dev"))
    assert (len(train), len(dev), train & dev) == (3, 1, set())
    assert {row["text"] for row in rows(written["train"])} == {"YES", "G L E N N"}


def test_without_dev_and_in_lower_case(tree: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    written = prepare(str(tree.parent), str(tmp_path / "out"), dev_share=0, text="lower")
    assert list(written) == ["train", "test"]
    assert len(rows(written["train"])) == 8
    assert rows(written["train"])[1]["text"] == "g l e n n"
    assert "an4 train: 8 lines, the whole corpus has 948" in caplog.text


def test_converted_copies(tree: Path, tmp_path: Path, tone: Tone) -> None:
    path = add(tree, "test", "an407-fcaw-b", "GO")
    path.unlink()
    tone(path.with_suffix(".wav"), samples=3200, rate=16000)
    assert rows(prepare(str(tree), str(tmp_path / "out"))["test"])[1]["duration_s"] == 0.2


def test_faults_are_named(tree: Path, tmp_path: Path) -> None:
    path = add(tree, "test", "an407-fcaw-b", "GO")
    path.unlink()
    with pytest.raises(
        DataError, match=r"(?s)1 of 10 line\(s\).*an4_test\.transcription:2: .*an407-fcaw-b\.sph not found"
    ):
        prepare(str(tree), str(tmp_path / "out"))
    with (tree / "etc/an4_test.transcription").open("a") as file:
        file.write("GO (../../evil)\nGO\n")
    with pytest.raises(DataError, match=r"(?s)2 fault\(s\).*transcription:3.*transcription:4"):
        prepare(str(tree), str(tmp_path / "out"))
    with pytest.raises(DataError, match=r"an4_train\.transcription not found"):
        prepare(str(tree / "wav"), str(tmp_path / "out"))
    with pytest.raises(UserError, match="dev_share"):
        prepare(str(tree), str(tmp_path / "out"), dev_share=1)


def test_a_speaker_of_train_in_test_is_refused(tree: Path, tmp_path: Path) -> None:
    add(tree, "test", "an408-fash-b", "GO")
    with pytest.raises(DataError, match=r"1 speaker\(s\) stand in two parts.*fash"):
        prepare(str(tree), str(tmp_path / "out"), dev_share=0)
