from pathlib import Path

import pytest

from seqlab.corpora.librispeech import prepare
from seqlab.errors import DataError, UserError
from seqlab.manifest import line_to_row, read_manifest

from .conftest import Tone


def add(
    tone: Tone, top: Path, subset: str, utterance: str, text: str | None, end: str = "\n", samples: int = 1600
) -> None:
    """Add an utterance to a tree: its audio, and its line in the transcript."""
    speaker, chapter, _ = utterance.split("-")
    folder = top / subset / speaker / chapter
    tone(folder / f"{utterance}.flac", samples=samples, rate=16000)
    if text is not None:
        with open(folder / f"{speaker}-{chapter}.trans.txt", "a", encoding="utf-8", newline="") as file:
            file.write(f"{utterance} {text}{end}")


@pytest.fixture
def tree(tmp_path: Path, tone: Tone) -> Path:
    top = tmp_path / "LibriSpeech"
    add(tone, top, "dev-clean", "84-121123-0000", "GO DO YOU HEAR", samples=16000)
    add(tone, top, "dev-clean", "84-121123-0001", "BUT IN LESS THAN FIVE MINUTES", end="")
    add(tone, top, "train-clean-100", "19-198-0000", "NORTHANGER ABBEY")
    return top


def rows(path: Path) -> list[dict]:
    return [line_to_row(line) for line in read_manifest(path)]


def test_true_layout_becomes_manifests(tree: Path, tmp_path: Path) -> None:
    written = prepare(str(tree), str(tmp_path))
    assert written == {"train": tmp_path / "train.jsonl", "dev": tmp_path / "dev.jsonl"}
    first, second = rows(written["dev"])
    assert first == {
        "id": "84-121123-0000",
        "text": "GO DO YOU HEAR",
        "audio": "LibriSpeech/dev-clean/84/121123/84-121123-0000.flac",
        "speaker": "84",
        "sample_rate": 16000,
        "duration_s": 1.0,
        "subset": "dev-clean",
        "chapter": "121123",
    }
    assert (second["text"], second["duration_s"]) == ("BUT IN LESS THAN FIVE MINUTES", 0.1)
    assert [row["id"] for row in rows(written["train"])] == ["19-198-0000"]


def test_parent_and_subset_folder_as_root(tree: Path, tmp_path: Path) -> None:
    assert sorted(prepare(str(tree.parent), str(tmp_path / "a"))) == ["dev", "train"]
    written = prepare(str(tree / "dev-clean"), str(tmp_path / "b"))
    assert list(written) == ["dev"]
    assert rows(written["dev"])[0]["audio"] == str(tree / "dev-clean" / "84" / "121123" / "84-121123-0000.flac")


def test_default_splits(tmp_path: Path, tone: Tone) -> None:
    subsets = [
        "train-clean-100",
        "train-other-500",
        "train-clean-5",
        "dev-clean",
        "dev-clean-2",
        "dev-other",
        "test-clean",
        "test-other",
    ]
    for number, subset in enumerate(subsets):
        add(tone, tmp_path, subset, f"{number}-1-0000", "A")
    written = prepare(str(tmp_path), str(tmp_path))
    found = {split: {row["subset"] for row in rows(path)} for split, path in written.items()}
    assert found == {
        "train": {"train-clean-100", "train-other-500", "train-clean-5"},
        "dev": {"dev-clean", "dev-clean-2"},
        "dev-other": {"dev-other"},
        "test-clean": {"test-clean"},
        "test-other": {"test-other"},
    }


@pytest.mark.parametrize(
    ("subsets", "expected"),
    [
        (["dev-clean"], {"dev": 2}),
        ({"tune": "dev-clean"}, {"tune": 2}),
        ({"train": ["train-clean-100", "dev-clean"]}, {"train": 3}),
    ],
)
def test_chosen_subsets(tree: Path, tmp_path: Path, subsets: object, expected: dict[str, int]) -> None:
    written = prepare(str(tree), str(tmp_path / "out"), subsets=subsets)  # type: ignore[arg-type]
    assert {split: len(rows(path)) for split, path in written.items()} == expected


def test_lower_case(tree: Path, tmp_path: Path) -> None:
    written = prepare(str(tree), str(tmp_path / "out"), case="lower")
    assert rows(written["train"])[0]["text"] == "northanger abbey"
    with pytest.raises(UserError, match="upper or lower"):
        prepare(str(tree), str(tmp_path / "out"), case="title")  # type: ignore[arg-type]


def test_lines_without_audio_are_left_out_and_named(
    tree: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tree / "dev-clean" / "84" / "121123" / "84-121123-0000.flac").unlink()
    written = prepare(str(tree), str(tmp_path / "out"))
    assert [row["id"] for row in rows(written["dev"])] == ["84-121123-0001"]
    assert "1 line(s) left out" in caplog.text
    assert "84-121123-0000" in caplog.text


def test_windows_line_ends_and_apostrophes(tmp_path: Path, tone: Tone) -> None:
    add(tone, tmp_path, "test-clean", "61-70968-0000", "HE DIDN'T", end="\r\n")
    assert rows(prepare(str(tmp_path), str(tmp_path))["test-clean"])[0]["text"] == "HE DIDN'T"


def test_speakers_file_gives_the_sex(tree: Path, tmp_path: Path) -> None:
    (tree / "SPEAKERS.TXT").write_text(
        "; comment | M | x\n;ID  |SEX| SUBSET           |MINUTES| NAME\n"
        "19   | F | train-clean-100  | 25.19 | Kara Shallenberg\n84 | F | dev-clean | 8.02 | a | bar in a name\n"
    )
    written = prepare(str(tree), str(tmp_path / "out"))
    assert rows(written["train"])[0]["sex"] == "F"
    assert rows(written["dev"])[0]["sex"] == "F"


@pytest.mark.parametrize(
    "row", ["19-198-0001\n", "19-198-0001 \n", "20-198-0001 A TEXT\n", "NORTHANGER ABBEY\n", "19-198-1 \xff\n"]
)
def test_faulty_transcript_lines_are_named(tree: Path, tmp_path: Path, row: str) -> None:
    path = tree / "train-clean-100" / "19" / "198" / "19-198.trans.txt"
    path.write_bytes(path.read_bytes() + row.encode("latin-1"))
    with pytest.raises(DataError, match=r"19-198\.trans\.txt:2"):
        prepare(str(tree), str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_unknown_and_absent_subsets(tree: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    with pytest.raises(UserError, match=r"unknown subset 'dev-cleen'.*valid:.*dev-clean, dev-other"):
        prepare(str(tree), out, subsets=["dev-cleen"])
    with pytest.raises(UserError, match="more than once"):
        prepare(str(tree), out, subsets={"train": ["dev-clean"], "dev": ["dev-clean"]})
    with pytest.raises(UserError, match="no subset chosen"):
        prepare(str(tree), out, subsets=[])
    with pytest.raises(DataError, match=r"test-clean not in .*; there is train-clean-100, dev-clean"):
        prepare(str(tree), out, subsets=["test-clean"])


def test_wrong_roots(tmp_path: Path) -> None:
    for root in (None, str(tmp_path)):
        with pytest.raises(DataError, match=r"openslr\.org/12.*<subset>/<speaker>/<chapter>"):
            prepare(root, str(tmp_path / "out"))
    with pytest.raises(FileNotFoundError, match=r"openslr\.org/12"):
        prepare(str(tmp_path / "nowhere"), str(tmp_path / "out"))
    (tmp_path / "dev-clean").mkdir()
    with pytest.raises(DataError, match="no utterance"):
        prepare(str(tmp_path), str(tmp_path / "out"))
