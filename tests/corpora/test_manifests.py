import json
from pathlib import Path

import pytest
from PIL import Image

from seqlab.corpora.manifests import prepare
from seqlab.errors import DataError
from seqlab.manifest import line_to_row, read_manifest


def add(folder: Path, split: str, name: str, **fields: object) -> None:
    path = folder / "images" / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (30, 10), 255).save(path)
    row = {"id": name, "image": f"images/{name}.png", "text": f"texte {name}", "writer": "w", "page": "p", **fields}
    with open(folder / f"{split}.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "peraire"
    add(folder, "train", "a-001", width=30, height=10)
    add(folder, "dev", "b-001", width=30, height=10)
    add(folder, "test", "c-001")
    return folder


def test_manifests_elsewhere_point_to_the_files(corpus: Path, tmp_path: Path) -> None:
    written = prepare(str(corpus), str(tmp_path / "out"))
    assert written == {split: tmp_path / "out" / f"{split}.jsonl" for split in ("train", "dev", "test")}
    (line,) = read_manifest(written["test"])
    assert line_to_row(line) == {
        "id": "c-001",
        "text": "texte c-001",
        "speaker": "w",
        "image": str(corpus / "images" / "c-001.png"),
        "width": 30,
        "height": 10,
        "writer": "w",
        "page": "p",
    }


def test_files_below_out_stay_relative(corpus: Path) -> None:
    written = prepare(str(corpus), str(corpus.parent))
    (line,) = read_manifest(written["train"])
    assert line.image == "peraire/images/a-001.png"
    assert line.files[0].is_file()


@pytest.mark.parametrize("named", [True, False])
def test_a_folder_with_manifests_is_used_as_it_is(corpus: Path, named: bool) -> None:
    before = {path: path.read_bytes() for path in corpus.glob("*.jsonl")}
    written = prepare(str(corpus) if named else None, str(corpus))
    assert written == {split: corpus / f"{split}.jsonl" for split in ("train", "dev", "test")}
    assert {path: path.read_bytes() for path in corpus.iterdir() if path.is_file()} == before


def test_parts_that_are_not_there_are_not_written(corpus: Path, tmp_path: Path) -> None:
    (corpus / "test.jsonl").unlink()
    assert list(prepare(str(corpus), str(tmp_path / "out"))) == ["train", "dev"]


def test_missing_images_are_named_with_their_lines(corpus: Path, tmp_path: Path) -> None:
    (corpus / "images" / "b-001.png").unlink()
    with pytest.raises(DataError, match=r"(?s)1 fault\(s\).*dev\.jsonl:1: .*b-001\.png not found"):
        prepare(str(corpus), str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_file_in_two_parts_is_refused(corpus: Path, tmp_path: Path) -> None:
    add(corpus, "dev", "a-001")
    with pytest.raises(DataError, match=r"1 file\(s\) stand in two parts.*a-001\.png"):
        prepare(str(corpus), str(tmp_path / "out"))


def test_folders_without_manifests(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no manifest; give the folder of the corpus"):
        prepare(None, str(tmp_path / "out"))
    with pytest.raises(DataError, match=r"no train\.jsonl, dev\.jsonl or test\.jsonl"):
        prepare(str(tmp_path), str(tmp_path / "out"))
    with pytest.raises(FileNotFoundError, match="nowhere not found"):
        prepare(str(tmp_path / "nowhere"), str(tmp_path / "out"))
