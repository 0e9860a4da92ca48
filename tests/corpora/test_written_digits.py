import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from seqlab.corpora.written_digits import compose, prepare, split_digits
from seqlab.errors import UserError
from seqlab.manifest import line_to_row, read_manifest
from seqlab.media import read_image


def test_lines_name_real_digits_and_their_images_are_there(tmp_path: Path) -> None:
    written = prepare(None, str(tmp_path), num_train=30, num_dev=4, num_test=5)
    assert written == {split: tmp_path / f"{split}.jsonl" for split in ("train", "dev", "test")}
    labels = load_digits().target
    for split, number in (("train", 30), ("dev", 4), ("test", 5)):
        lines = read_manifest(written[split])
        assert len(lines) == number
        for line in lines:
            assert 3 <= len(line.text) <= 8
            assert line.text == "".join(str(labels[index]) for index in line.extra["digits"])
            assert line.extra["synthetic"] == "strings composed of real digits (scikit-learn load_digits)"
            with Image.open(line.files[0]) as image:
                assert (image.mode, image.size) == ("L", (line.width, line.height))
            assert line.height == 32
            grey = read_image(line.files[0])
            assert grey.min() < 60  # dark ink
            assert (grey[:, [0, 1, -2, -1]] == 255).all()  # on white paper
    row = line_to_row(read_manifest(written["dev"])[0])
    assert (row["id"], row["image"]) == ("dev-00000", "lines/dev/dev-00000.png")


def test_no_digit_image_is_in_two_splits(tmp_path: Path) -> None:
    labels = load_digits().target
    pools = split_digits(labels, 1)
    used = {split: [index for figure in figures for index in figure] for split, figures in pools.items()}
    assert sorted(used["train"] + used["dev"] + used["test"]) == list(range(1797))
    figures = Counter(labels.tolist())
    for figure in range(10):  # 70, 10 and 20 per cent of each figure
        assert len(pools["dev"][figure]) == round(figures[figure] / 10)
        assert len(pools["test"][figure]) == round(figures[figure] / 5)
        assert {labels[index] for split in pools for index in pools[split][figure]} == {figure}
    written = prepare(None, str(tmp_path), 10, 10, 10)
    for split, path in written.items():
        assert {index for line in read_manifest(path) for index in line.extra["digits"]} <= set(used[split])


def test_equal_seeds_give_equal_files(tmp_path: Path) -> None:
    def content(name: str, *options: int) -> dict[str, bytes]:
        prepare(None, str(tmp_path / name), *options)
        files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        return {path.relative_to(tmp_path / name).as_posix(): path.read_bytes() for path in files}

    first = content("a", 6, 2, 2, 7)
    assert first == content("b", 6, 2, 2, 7)
    other = content("c", 6, 2, 2, 8)
    assert first["train.jsonl"] != other["train.jsonl"]
    more = content("d", 9, 2, 2, 7)
    assert more["train.jsonl"].startswith(first["train.jsonl"])
    assert first["lines/train/train-00005.png"] == more["lines/train/train-00005.png"]


def test_digits_stand_side_by_side_in_order() -> None:
    bar = np.zeros((8, 8))
    bar[:, 3:5] = 1  # its empty columns are cut off before it is placed
    line = compose([bar, bar, bar], random.Random(0))
    assert line.shape[0] == 32
    ink = (line < 128).any(axis=0)
    starts = np.flatnonzero(np.diff(ink.astype(int)) == 1)
    assert 1 <= len(starts) <= 3
    assert not ink[:2].any()
    assert not ink[-2:].any()


@pytest.mark.parametrize(
    ("root", "numbers", "fault"),
    [
        ("somewhere", (1, 1, 1), "leave root empty"),
        (None, (0, 0, 0), "nothing to make"),
        (None, (1, -1, 1), "num_dev=-1 must lie between"),
    ],
)
def test_wrong_options(tmp_path: Path, root: str | None, numbers: tuple[int, int, int], fault: str) -> None:
    with pytest.raises(UserError, match=fault):
        prepare(root, str(tmp_path / "out"), *numbers)
    assert not (tmp_path / "out").exists()
