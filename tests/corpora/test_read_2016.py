import logging
from pathlib import Path

import numpy as np
import pytest

from seqlab.corpora import read_2016
from seqlab.corpora.read_2016 import prepare, split_of
from seqlab.errors import DataError
from seqlab.manifest import read_manifest

from .test_pages import add_page

FOLDERS = {
    "train": "Train-And-Val-ICFHR-2016/PublicData/Training",
    "dev": "Train-And-Val-ICFHR-2016/PublicData/Validation",
    "test": "Test-ICFHR-2016",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A page of each part in the published layout: images in Images, those of the test part beside page/."""
    for number, (split, folder) in enumerate(FOLDERS.items()):
        base = tmp_path / "read" / folder
        add_page(base / "page", f"Seite000{number}", [f"Zeile {split}\u00ac", ""])
        images = base if split == "test" else base / "Images"
        images.mkdir(exist_ok=True)
        (base / "page" / f"Seite000{number}.png").rename(images / f"Seite000{number}.png")
    return tmp_path / "read"


def test_the_published_layout_gives_its_own_splits(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(read_2016, "LINES", {"train": 1, "dev": 1, "test": 1138})
    with caplog.at_level(logging.INFO):
        written = prepare(str(tree), str(tmp_path / "out"))
    for split, path in written.items():
        (line,) = read_manifest(path)
        assert line.text == f"Zeile {split}\u00ac"
        assert (line.width, line.height) == (160, 15)
        assert line.files[0].is_file()
    assert list(written) == ["train", "dev", "test"]
    assert "read_2016 train: 1 lines, as published" in caplog.text
    assert "read_2016 test: 1 lines, published are 1138; do not compare" in caplog.text
    assert "3 line(s) left out: no text" in caplog.text


def test_published_totals() -> None:
    assert read_2016.LINES == {"train": 8349, "dev": 1040, "test": 1138}


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("Train-And-Val-ICFHR-2016/PublicData/Validation/page/a.xml", "dev"),
        ("training/page/a.xml", "train"),
        ("valid/a.xml", "dev"),
        ("test/a.xml", "test"),
        ("page/train.xml", None),
    ],
)
def test_the_innermost_folder_decides(path: str, split: str | None) -> None:
    assert split_of(Path(path)) == split


def test_pages_outside_are_named_and_wrong_roots_refused(
    tree: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    add_page(tree / "elsewhere", "stray", ["x"])
    prepare(str(tree), str(tmp_path / "out"))
    assert "1 page file(s) in no split's folder left out" in caplog.text
    assert "stray.xml" in caplog.text
    with pytest.raises(DataError, match=r"no page file of a split.*zenodo\.org/records/1164045"):
        prepare(str(tree / "elsewhere"), str(tmp_path / "out"))
    with pytest.raises(FileNotFoundError, match="nowhere not found"):
        prepare(str(tmp_path / "nowhere"), str(tmp_path / "out"))


def test_turned_images_stop_the_work(tree: Path, tmp_path: Path) -> None:
    from seqlab.media import write_image

    write_image(tree / FOLDERS["test"] / "Seite0002.png", np.zeros((200, 100), np.uint8))
    with pytest.raises(DataError, match="seems turned"):
        prepare(str(tree), str(tmp_path / "out"))
