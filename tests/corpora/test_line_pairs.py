from pathlib import Path

import pytest
from PIL import Image

from seqlab.corpora.line_pairs import prepare
from seqlab.errors import DataError, UserError
from seqlab.manifest import line_to_row, read_manifest


def picture(path: Path, width: int = 40) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (width, 12), 255).save(path)
    return path


def add(folder: Path, name: str, text: str | bytes = "ein Satz\n", image: str = ".png") -> None:
    picture(folder / f"{name}{image}")
    (folder / f"{name}.gt.txt").write_bytes(text if isinstance(text, bytes) else text.encode())


def ids(written: dict[str, Path]) -> dict[str, list[str]]:
    return {split: [line.id for line in read_manifest(path)] for split, path in written.items()}


def everything(folder: Path, out: Path) -> dict[str, str]:
    """Texts by image name, all in train."""
    lines = read_manifest(prepare(str(folder), str(out), dev_share=0, test_share=0)["train"])
    return {Path(line.image or "").name: line.text for line in lines}


def test_three_folders_are_the_splits(tmp_path: Path) -> None:
    add(tmp_path / "train", "l1", "Straße\r\n")
    add(tmp_path / "train" / "deep" / "er", "l2", b"\xef\xbb\xbfmit BOM")
    add(tmp_path / "dev", "l1", image=".jpg")
    add(tmp_path / "test", "l1", image=".TIF")
    written = prepare(str(tmp_path), str(tmp_path), split_by="folder")
    assert ids(written) == {"train": ["train/deep/er/l2", "train/l1"], "dev": ["dev/l1"], "test": ["test/l1"]}
    first, second = read_manifest(written["train"])
    assert first.text == "mit BOM"
    assert line_to_row(second) == {
        "id": "train/l1",
        "text": "Straße",
        "image": "train/l1.png",
        "width": 40,
        "height": 12,
        "folder": "train",
    }


def test_some_of_the_three_folders_stop_the_run(tmp_path: Path) -> None:
    add(tmp_path / "train", "a")
    add(tmp_path / "test", "b")
    with pytest.raises(DataError, match=r"has train and test, but not all of train, dev and test"):
        prepare(str(tmp_path), str(tmp_path / "out"))
    (tmp_path / "dev").mkdir()
    with pytest.raises(DataError, match=r"no pair in folder dev"):
        prepare(str(tmp_path), str(tmp_path / "out"))


def test_pairs_beside_the_three_folders_are_left_out_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for folder in ("train", "dev", "test", "."):
        add(tmp_path / folder, "stray")
    assert ids(prepare(str(tmp_path), str(tmp_path)))["train"] == ["train/stray"]
    assert "1 pair(s) left out, beside train, dev and test: stray" in caplog.text


def test_names_with_several_dots(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    add(folder, "a", "one", image=".bin.png")  # a.bin.png and a.gt.txt
    add(folder, "b.bin", "two")  # b.bin.png and b.bin.gt.txt
    add(folder, "p1.line.3", "three", image=".nrm.png")
    assert everything(folder, tmp_path / "out") == {
        "a.bin.png": "one",
        "b.bin.png": "two",
        "p1.line.3.nrm.png": "three",
    }


def test_the_equal_name_comes_first_and_the_other_image_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "in"
    add(folder, "a", "one")
    picture(folder / "a.bin.png")
    add(folder, "c", "grey")
    add(folder, "c.bin", "binary")
    assert everything(folder, tmp_path / "out") == {"a.png": "one", "c.png": "grey", "c.bin.png": "binary"}
    assert "1 image(s) left out, no .gt.txt of their own: a.bin.png" in caplog.text


@pytest.mark.parametrize("names", [("a.bin.png", "a.nrm.png"), ("a.png", "a.jpg")])
def test_two_images_for_one_text_stop_the_run(tmp_path: Path, names: tuple[str, str]) -> None:
    (tmp_path / "a.gt.txt").write_text("x")
    for name in names:
        picture(tmp_path / name)
    with pytest.raises(DataError, match=r"(?s)a\.gt\.txt: 2 images could be meant, a\..*leave one"):
        prepare(str(tmp_path), str(tmp_path / "out"))


def test_what_stays_alone_or_empty_is_left_out_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "in"
    add(folder, "a", "text")
    add(folder, "b", " \n")
    (folder / "c.gt.txt").write_text("no image")
    picture(folder / "d.png")
    (folder / "._a.gt.txt").write_bytes(b"\x00\x05")  # left behind by macOS
    (folder / "notes.txt").write_text("hello")
    assert everything(folder, tmp_path / "out") == {"a.png": "text"}
    assert "1 text(s) left out, no image of the same name" in caplog.text
    assert "c.gt.txt" in caplog.text
    assert "1 image(s) left out, no .gt.txt of their own: d.png" in caplog.text
    assert "1 pair(s) left out, the text is empty: b.gt.txt" in caplog.text


def test_faulty_texts_and_images_are_all_named(tmp_path: Path) -> None:
    add(tmp_path, "a", "two\nlines\n")
    add(tmp_path, "b", b"caf\xe9")
    with pytest.raises(DataError, match=r"(?s)2 fault\(s\).*a\.gt\.txt: 2 lines of text.*b\.gt\.txt: not UTF-8"):
        prepare(str(tmp_path), str(tmp_path / "out"))
    add(tmp_path, "a")
    add(tmp_path, "b")
    (tmp_path / "b.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"(?s)1 fault\(s\).*b\.png"):
        prepare(str(tmp_path), str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_lines_are_drawn_from_the_seed(tmp_path: Path) -> None:
    for number in range(20):
        add(tmp_path / "in", f"l{number:02d}")
    parts = [ids(prepare(str(tmp_path / "in"), str(tmp_path / str(seed)), seed=seed)) for seed in (1, 1, 2)]
    assert parts[0] == parts[1] != parts[2]
    assert {split: len(names) for split, names in parts[0].items()} == {"train": 16, "dev": 2, "test": 2}
    assert sorted(name for names in parts[0].values() for name in names) == [f"l{number:02d}" for number in range(20)]


def test_folders_stay_whole(tmp_path: Path) -> None:
    for page in range(5):
        for number in range(3):
            add(tmp_path / "in" / f"page{page}", f"l{number}")
    written = prepare(str(tmp_path / "in"), str(tmp_path / "out"), split_by="folder", dev_share=0.2, test_share=0.2)
    pages = {split: {name.partition("/")[0] for name in names} for split, names in ids(written).items()}
    assert {split: len(names) for split, names in pages.items()} == {"train": 3, "dev": 1, "test": 1}
    assert len(set.union(*pages.values())) == 5
    assert sum(len(names) for names in ids(written).values()) == 15


def test_too_little_to_split(tmp_path: Path) -> None:
    add(tmp_path / "page", "a")
    add(tmp_path / "page", "b")
    with pytest.raises(DataError, match=r"1 folder\(s\) with 2 line\(s\) are too few to split by folder"):
        prepare(str(tmp_path), str(tmp_path / "out"), split_by="folder")
    with pytest.raises(DataError, match=r"too few to split by line"):
        prepare(str(tmp_path), str(tmp_path / "out"))


def test_wrong_options_and_roots(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"dev_share 0\.5 and test_share 0\.5"):
        prepare(str(tmp_path), str(tmp_path / "out"), dev_share=0.5, test_share=0.5)
    with pytest.raises(UserError, match="line or folder"):
        prepare(str(tmp_path), str(tmp_path / "out"), split_by="page")  # type: ignore[arg-type]
    for root in (None, str(tmp_path)):
        with pytest.raises(DataError, match=r"a\.png and a\.gt\.txt"):
            prepare(root, str(tmp_path / "out"))
