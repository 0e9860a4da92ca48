from pathlib import Path

import pytest

from seqlab.corpora.yesno import prepare
from seqlab.errors import DataError, UserError
from seqlab.manifest import line_to_row, read_manifest

from .conftest import Tone


def name(number: int) -> str:
    return "_".join(f"{number:08b}")


@pytest.fixture
def waves(tmp_path: Path, tone: Tone) -> Path:
    """Sixty files, named by the numbers 0-59 in binary: sorted by name = sorted by number."""
    for number in range(60):
        tone(tmp_path / "waves_yesno" / f"{name(number)}.wav", samples=80 + number)
    return tmp_path


def ids(path: Path) -> list[str]:
    return [line.id for line in read_manifest(path)]


def test_kaldis_halves_with_every_fifth_of_the_first_as_dev(waves: Path) -> None:
    written = prepare(str(waves), str(waves))
    dev = [4, 9, 14, 19, 24, 29]
    assert ids(written["test"]) == [name(n) for n in range(30, 60)]
    assert ids(written["dev"]) == [name(n) for n in dev]
    assert ids(written["train"]) == [name(n) for n in range(30) if n not in dev]


def test_the_name_is_the_transcript(tmp_path: Path, tone: Tone) -> None:
    tone(tmp_path / "0_0_1_0_1_1_1_0.wav", samples=4000)
    tone(tmp_path / "1_0_0_0_0_0_0_0.wav")
    tone(tmp_path / "1_1_1_1_1_1_1_1.wav")
    written = prepare(str(tmp_path), str(tmp_path))
    (line,) = read_manifest(written["train"])
    assert line_to_row(line) == {
        "id": "0_0_1_0_1_1_1_0",
        "text": "no no yes no yes yes yes no",
        "audio": "0_0_1_0_1_1_1_0.wav",
        "speaker": "yesno",
        "sample_rate": 8000,
        "duration_s": 0.5,
    }
    assert len(read_manifest(written["test"])) == 2
    assert "dev" not in written


def test_other_entries_don_t_shift_the_halves(waves: Path, tone: Tone, caplog: pytest.LogCaptureFixture) -> None:
    (waves / "waves_yesno" / "README").write_text("hello")
    (waves / "waves_yesno" / "0_README~").write_text("hello")
    (waves / "waves_yesno" / "._0_0_0_0_0_0_0_0.wav").write_bytes(b"")
    tone(waves / "waves_yesno" / "test.wav")
    written = prepare(str(waves / "waves_yesno"), str(waves / "out"), dev_every=0)
    assert list(written) == ["train", "test"]
    assert ids(written["train"]) == [name(n) for n in range(30)]
    assert ids(written["test"]) == [name(n) for n in range(30, 60)]
    assert "1 file(s) left out" in caplog.text
    assert "test.wav" in caplog.text


def test_wrong_roots_and_options(tmp_path: Path) -> None:
    for root in (None, str(tmp_path)):
        with pytest.raises(DataError, match=r"openslr\.org/1.*waves_yesno"):
            prepare(root, str(tmp_path / "out"))
    with pytest.raises(FileNotFoundError, match="waves_yesno"):
        prepare(str(tmp_path / "nowhere"), str(tmp_path / "out"))
    with pytest.raises(UserError, match="dev_every"):
        prepare(str(tmp_path), str(tmp_path / "out"), dev_every=1)
