import json
from pathlib import Path
from typing import Any

import pytest

from seqlab.corpora.pendigits import draw_strings, join, prepare
from seqlab.errors import DataError, UserError
from seqlab.manifest import Line, line_to_row, read_manifest

SPLITS = ("train", "dev", "test")


def unipen(samples: list[tuple[str, int]], strokes: str = ".PEN_DOWN\n 10 400\n 12 380\n.PEN_UP\n.DT 100\n") -> str:
    """A file of samples (label, writer) that look alike."""
    head = '.INCLUDE dene.doc\n.LEXICON "0" "1"\n.HIERARCHY DIGIT\n'
    rows = [f'.SEGMENT DIGIT {i} ? "{d}"\n.COMMENT {d} {w} {i}\n{strokes}' for i, (d, w) in enumerate(samples)]
    return head + "".join(rows)


@pytest.fixture
def original(tmp_path: Path) -> Path:
    folder = tmp_path / "uci"
    folder.mkdir()
    train = [(str(d), writer) for writer in (1, 2, 3) for d in range(10)]
    (folder / "pendigits-orig.tra").write_text(unipen(train))
    (folder / "pendigits-orig.tes").write_text(unipen([(str(d), 1) for d in range(10)]))
    return folder


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def manifests(tmp_path: Path) -> Path:
    """Manifests made before, y growing up."""
    folder = tmp_path / "made"
    folder.mkdir()
    for split in SPLITS:
        one = {"id": f"{split}-1", "text": "1", "word": "one", "writer": "tr01", "n_points": 2}
        seven = one | {"id": f"{split}-7", "text": "7", "word": "seven", "n_points": 3}
        one["strokes"] = [[[100, 300], [104, 200]]]
        seven["strokes"] = [[[50, 310], [90, 310]], [[70, 190]]]
        write(folder / f"{split}.jsonl", [one, seven])
    string = {"id": "s1", "parts": ["train-7", "train-1", "train-7"], "gap": [0, 20, 30], "text": "717"}
    write(folder / "strings_train.jsonl", [string | {"writer": "tr01", "n_points": 8}])
    return folder


def test_manifests_are_flipped_and_strings_set_side_by_side(manifests: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    written = prepare(str(manifests), str(out))
    assert written == {name: out / f"{name}.jsonl" for name in (*SPLITS, "strings_train")}
    assert line_to_row(read_manifest(written["dev"])[1]) == {
        "id": "dev-7",
        "text": "7",
        "speaker": "tr01",
        "strokes": [[[50, 190], [90, 190]], [[70, 310]]],  # 500 - y
        "n_points": 3,
        "word": "seven",
    }
    (string,) = read_manifest(written["strings_train"])
    # 7 is 40 wide and begins at 0; 20 units on, at 60, the 1, 4 wide; 30 units on, at 94, the second 7
    assert line_to_row(string) == {
        "id": "s1",
        "text": "717",
        "speaker": "tr01",
        "strokes": [
            [[0, 190], [40, 190]],
            [[20, 310]],
            [[60, 200], [64, 300]],
            [[94, 190], [134, 190]],
            [[114, 310]],
        ],
        "n_points": 8,
        "parts_of": ["train-7", "train-1", "train-7"],
        "gap": [0, 20, 30],
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"parts": ["train-7", "dev-1"], "gap": [0, 5]}, r"strings_train.jsonl:1: parts .* dev-1"),
        ({"gap": [0, 20]}, '"gap" must have 3 entries'),
        ({"gap": None}, '"gap" must have 3 entries'),
        ({"text": "711"}, "the text is '711', its parts say '717'"),
    ],
)
def test_faulty_strings_are_named(manifests: Path, tmp_path: Path, change: dict, message: str) -> None:
    path = manifests / "strings_train.jsonl"
    write(path, [json.loads(path.read_text()) | change])
    with pytest.raises(DataError, match=message):
        prepare(str(manifests), str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_digits_without_strokes_of_their_own_are_refused(manifests: Path, tmp_path: Path) -> None:
    write(manifests / "dev.jsonl", [{"id": "a", "text": "1", "strokes": "a.xml"}])
    with pytest.raises(DataError, match=r"dev.jsonl:1: line a has no strokes"):
        prepare(str(manifests), str(tmp_path / "out"))


def test_original_files_are_split_by_writer(original: Path, tmp_path: Path) -> None:
    written = prepare(str(original), str(tmp_path / "out"), 4, 2, 0, dev_writers=["tr03"])
    assert set(written) == {*SPLITS, "strings_train", "strings_dev"}
    writers = {split: {line.speaker for line in read_manifest(written[split])} for split in SPLITS}
    assert writers == {"train": {"tr01", "tr02"}, "dev": {"tr03"}, "test": {"te01"}}
    first = read_manifest(written["test"])[0]
    assert (first.id, first.text) == ("pendigits-te-00000", "0")
    assert first.strokes == [[[10, 100], [12, 120]]]
    assert first.extra == {"n_points": 2, "word": "zero"}
    assert read_manifest(written["dev"])[0].id == "pendigits-tr-00020"
    assert [line.speaker for line in read_manifest(written["strings_train"])] == ["tr01", "tr02", "tr01", "tr02"]


def test_a_part_of_the_corpus_will_do(original: Path, tmp_path: Path) -> None:
    (original / "pendigits-orig.tra").unlink()
    assert set(prepare(str(original), str(tmp_path / "out"), 5, 5, 5)) == {"test", "strings_test"}


def test_strings_hold_digits_of_one_writer_and_depend_on_the_seed_alone() -> None:
    singles = [
        Line(f"{w}-{d}-{i}", str(d), strokes=[[[d, 0], [d + 9, 9]]], speaker=w)
        for w in ("tr01", "tr02")
        for d in range(10)
        for i in range(8)
    ]
    strings = draw_strings(singles, "dev", 40, 1)
    assert strings == draw_strings(singles, "dev", 40, 1)
    assert strings != draw_strings(singles, "dev", 40, 2)
    assert strings[:3] == draw_strings(singles, "dev", 3, 1)
    assert (strings[0].id, strings[1].id) == ("tr01-dev-str0000", "tr02-dev-str0001")
    for line in strings:
        ids = line.extra["parts_of"]
        assert 3 <= len(ids) <= 8
        assert len(set(ids)) == len(ids)
        assert {i.split("-")[0] for i in ids} == {line.speaker}
        assert line.text == "".join(i.split("-")[1] for i in ids)
        assert line.extra["gap"][0] == 0
        assert all(10 <= gap <= 80 for gap in line.extra["gap"][1:])
    assert {len(line.text) for line in strings} == {3, 4, 5, 6, 7, 8}
    assert draw_strings([], "dev", 5, 1) == []


def test_joining_leaves_the_digits_as_they_are() -> None:
    one = Line("a", "1", strokes=[[[5, 7], [6, 8]]], speaker="w")
    assert join("s", [one, one], [0, 3]).strokes == [[[0, 7], [1, 8]], [[4, 7], [5, 8]]]
    assert one.strokes == [[[5, 7], [6, 8]]]


def test_wrong_roots_and_settings_say_what_is_expected(original: Path, manifests: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    for root in (None, str(empty)):
        with pytest.raises(DataError, match=r"pendigits-orig\.tra"):
            prepare(root, str(tmp_path / "out"))
    with pytest.raises(UserError, match="strings_dev must be 0 or more"):
        prepare(str(original), str(tmp_path / "out"), strings_dev=-1)
    with pytest.raises(UserError, match="none of dev_writers tr77 is there; valid: tr01, tr02, tr03"):
        prepare(str(original), str(tmp_path / "out"), dev_writers=["tr77"])
    with pytest.raises(UserError, match="give another"):
        prepare(str(manifests), str(manifests))
    (original / "pendigits-orig.tes").write_text(unipen([("x", 1)]))
    with pytest.raises(DataError, match=r"tes: sample 0 has label 'x'"):
        prepare(str(original), str(tmp_path / "out"), dev_writers=["tr01"])
    (original / "pendigits-orig.tes").write_text("8,3,1\n")
    with pytest.raises(DataError, match=r"no \.SEGMENT"):
        prepare(str(original), str(tmp_path / "out"), dev_writers=["tr01"])
    assert not (tmp_path / "out").exists()
