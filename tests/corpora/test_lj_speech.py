from pathlib import Path

import pytest

from seqlab.corpora.lj_speech import prepare
from seqlab.errors import DataError, UserError

from .conftest import Tone, rows


@pytest.fixture
def tree(tmp_path: Path, tone: Tone) -> Path:
    top = tmp_path / "LJSpeech-1.1"
    table = []
    for section in range(1, 6):
        for number in range(1, 5):
            name = f"LJ{section:03d}-{number:04d}"
            tone(top / "wavs" / f"{name}.wav", samples=2205, rate=22050)
            table.append(f'{name}|In 1{section}00 he said "no|In fourteen he said "no, Mr. Weaver\'s—no')
    (top / "metadata.csv").write_text("\n".join(table) + "\n", encoding="utf-8")
    return top


def test_true_layout_becomes_manifests(tree: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    written = prepare(str(tmp_path), str(tmp_path / "out"), dev_share=0.2, test_share=0.2)
    found = {part: {row["id"][:5] for row in rows(path)} for part, path in written.items()}
    assert {part: len(sections) for part, sections in found.items()} == {"train": 3, "dev": 1, "test": 1}
    assert len(set.union(*found.values())) == 5
    row = rows(written["train"])[0]
    assert row["text"] == "in fourteen he said no mr weaver's no"
    assert (row["speaker"], row["sample_rate"], row["duration_s"]) == ("lj", 22050, 0.1)
    assert "the whole corpus has 13092" in caplog.text  # less the eight of dev and test


def test_printed_text_kept_as_it_is(tree: Path, tmp_path: Path) -> None:
    written = prepare(str(tree), str(tmp_path / "out"), text="keep", spoken=False, dev_share=0, test_share=0)
    assert rows(written["train"])[0]["text"] == 'In 1100 he said "no'


def test_own_data_in_its_layout(tmp_path: Path, tone: Tone) -> None:
    for name in ("a", "b", "c"):
        tone(tmp_path / "wavs" / f"{name}.flac")
    (tmp_path / "metadata.csv").write_bytes("\ufeffa|Été|\r\nb|deux\r\nc|trois|TROIS\r\n\r\n".encode())
    written = prepare(str(tmp_path), str(tmp_path / "out"), dev_share=0, test_share=0, speaker="me", text="lower")
    assert [(row["id"], row["text"]) for row in rows(written["train"])] == [("a", "été"), ("b", "deux"), ("c", "trois")]


def test_faults_are_named(tree: Path, tmp_path: Path) -> None:
    (tree / "wavs/LJ002-0001.wav").unlink()
    with pytest.raises(
        DataError, match=r"(?s)1 of 20 line\(s\).*metadata\.csv:5: .*LJ002-0001\.wav not found.*max_faulty"
    ):
        prepare(str(tree), str(tmp_path / "out"))
    written = prepare(str(tree), str(tmp_path / "out"), max_faulty=0.05)
    assert sum(len(rows(path)) for path in written.values()) == 19
    with (tree / "metadata.csv").open("a") as file:
        file.write("no bars\n../../../etc/passwd|x|y\n|x|y\n")
    with pytest.raises(DataError, match=r"(?s)3 fault\(s\).*csv:21: 'no bars'.*csv:22: .*lies outside.*csv:23"):
        prepare(str(tree), str(tmp_path / "out"))
    (tree / "metadata.csv").write_text("LJ002-0002|x|y\n")
    with pytest.raises(UserError, match="text must be one of keep, lower, upper, plain"):
        prepare(str(tree), str(tmp_path / "out"), text="title")  # type: ignore[arg-type]
    (tree / "metadata.csv").write_bytes(b"a|\xff\n")
    with pytest.raises(DataError, match="not UTF-8"):
        prepare(str(tree), str(tmp_path / "out"))
    with pytest.raises(DataError, match=r"metadata\.csv not found"):
        prepare(str(tree / "wavs"), str(tmp_path / "out"))
