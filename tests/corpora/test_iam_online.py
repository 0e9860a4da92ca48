from pathlib import Path

import pytest

from seqlab.corpora.iam_online import prepare
from seqlab.errors import DataError
from seqlab.manifest import line_to_row, read_manifest
from seqlab.media.ink import read_ink

HEAD = '<?xml version="1.0" encoding="ISO-8859-1"?>\n<WhiteboardCaptureSession><WhiteboardDescription/>'
INK = [(10, 20), (14, 31), (30, 5)]


def add_form(top: Path, form: str, rows: list[str], lines: int | list[list[tuple[int, int]]], end: str = "\n") -> None:
    """Add a form: its text, and stroke files of so many lines, or of these points."""
    short = form[:7]
    texts = top / "ascii" / form[:3] / short
    texts.mkdir(parents=True, exist_ok=True)
    (texts / f"{form}.txt").write_bytes(
        end.join(["OCR:", "", "what was asked", "   ", "CSR:", "", *rows, ""]).encode("latin-1")
    )
    folder = top / "lineStrokes" / form[:3] / short
    folder.mkdir(parents=True, exist_ok=True)
    inks = [INK] * lines if isinstance(lines, int) else lines
    for number, ink in enumerate(inks, 1):
        points = "".join(f'<Point x="{x}" y="{y}" time="{i / 100:.2f}"/>' for i, (x, y) in enumerate(ink))
        text = f'{HEAD}<StrokeSet><Stroke colour="black">{points}</Stroke></StrokeSet></WhiteboardCaptureSession>'
        (folder / f"{form}-{number:02d}.xml").write_text(text)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    top = tmp_path / "iamondb"
    add_form(top, "a01-000u", ["A MOVE to  stop ", "Mr. Gaitskell ' s"], 2)
    add_form(top, "a01-000x", ["Caf\xe9"], 1, end="\r\n")
    add_form(top, "b02-003", ["no letter"], 1)
    add_form(top, "c03-000z", ["test one", "", "test two"], 2)
    (top / "trainset.txt").write_bytes(b" a01-000u\r\n a01-000x\r\n")
    (top / "testset_v.txt").write_text(" b02-003\n")
    (top / "testset_t.txt").write_text("")
    (top / "testset_f.txt").write_text(" c03-000z\n\n")
    return top


def test_forms_become_lines_of_their_lists(tree: Path, tmp_path: Path) -> None:
    (tree / "forms.txt").write_text("# form writer\na01-000u 10139 x\nc03-000z 20001\n")
    out = tmp_path / "out"
    written = prepare(str(tree), str(out))
    assert written == {split: out / f"{split}.jsonl" for split in ("train", "dev", "test")}
    first, second, third = read_manifest(written["train"])
    assert line_to_row(first) == {
        "id": "a01-000u-01",
        "text": "A MOVE to stop",
        "strokes": str(tree / "lineStrokes/a01/a01-000/a01-000u-01.xml"),
        "speaker": "10139",
        "form": "a01-000u",
        "n_points": 3,
    }
    assert (second.id, second.text) == ("a01-000u-02", "Mr. Gaitskell ' s")
    assert (third.id, third.text, third.speaker) == ("a01-000x-01", "Caf\xe9", None)
    assert [line.text for line in read_manifest(written["dev"])] == ["no letter"]
    assert [line.text for line in read_manifest(written["test"])] == ["test one", "test two"]
    assert len(read_ink(first.files[0])) == 3


def test_paths_are_relative_below_out_and_archives_may_bring_folders(tree: Path) -> None:
    for name in ("lineStrokes", "ascii"):
        (tree / f"{name}-all").mkdir()
        (tree / name).rename(tree / f"{name}-all" / name)
    (line,) = read_manifest(prepare(str(tree), str(tree))["dev"])
    assert line.strokes == "lineStrokes-all/lineStrokes/b02/b02-003/b02-003-01.xml"
    assert line.files[0].is_file()


def test_what_cannot_be_used_is_left_out_and_named(
    tree: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    add_form(tree, "d04-000", ["one", "two", "three"], 2)  # text and strokes differ
    add_form(tree, "d04-001", ["one", "two"], 2)
    strokes = tree / "lineStrokes" / "d04" / "d04-001"
    (strokes / "d04-001-02.xml").rename(strokes / "d04-001-03.xml")  # a number is missing
    add_form(tree, "z01-000z", [], 3)  # no text
    add_form(
        tree,
        "e05-000",
        ["a dot", "a dash", "a bar", "nothing", "good"],
        [[(1, 1)], [(1, 5), (9, 5)], [(5, 1), (5, 9)], [], INK],
    )
    add_form(tree, "f06-000", ["in no list"], 1)
    add_form(tree, "g07-000", ["no strokes"], 0)
    (tree / "lineStrokes" / "d04" / "copy of d04.xml").write_text("x")
    (tree / "trainset.txt").write_text(" d04-000\n d04-001\n z01-000z\n e05-000\n g07-000\n h08-000\n")
    (line,) = read_manifest(prepare(str(tree), str(tmp_path / "out"))["train"])
    assert (line.id, line.text) == ("e05-000-05", "good")
    for message in (
        "2 form(s) whose text and strokes differ left out: d04-000 (3 rows, 2 stroke files), d04-001 (2 rows, 2 stroke",
        "1 form(s) without CSR text left out: z01-000z",
        "4 line(s) of one point, or without height or width, left out: e05-000-01, e05-000-02, e05-000-03, e05-000-04",
        "3 form(s) with strokes stand in no list: a01-000u, a01-000x, f06-000",
        "2 listed form(s) have no strokes: g07-000, h08-000",
        "1 file(s) left out, not named <form>-<nn>.xml: copy of d04.xml",
    ):
        assert message in caplog.text


def test_faulty_stroke_files_are_all_named_and_nothing_is_written(tree: Path, tmp_path: Path) -> None:
    folder = tree / "lineStrokes" / "a01" / "a01-000"
    (folder / "a01-000u-01.xml").write_text("<html>not found</html>")
    (folder / "a01-000u-02.xml").write_text(HEAD)
    with pytest.raises(DataError, match=r"(?s)2 faulty file\(s\).*a01-000u-01.*a01-000u-02"):
        prepare(str(tree), str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_lists_are_checked(tree: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    out = str(tmp_path / "out")
    (tree / "testset_f.txt").write_text(" c03-000z\n a01-000u\n")
    with pytest.raises(DataError, match=r"testset_f\.txt:2: form a01-000u stands in trainset\.txt too"):
        prepare(str(tree), out)
    (tree / "testset_f.txt").write_text("lineStrokes/a01/a01-000/a01-000u-01.xml\n")
    with pytest.raises(DataError, match=r"testset_f\.txt:1: .* is no form"):
        prepare(str(tree), out)
    (tree / "testset_f.txt").unlink()
    assert set(prepare(str(tree), out)) == {"train", "dev"}
    assert "testset_f.txt not found, so no manifest test" in caplog.text


@pytest.mark.parametrize("name", ["lineStrokes", "ascii", "trainset.txt"])
def test_missing_parts_are_named(tree: Path, tmp_path: Path, name: str) -> None:
    (tree / name).rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match=rf"no {name} in .*fki\.tic\.heia-fr\.ch"):
        prepare(str(tree), str(tmp_path / "out"))


def test_wrong_roots_say_what_is_expected(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"corpus\.prepare\.root=.*lineStrokes-all"):
        prepare(None, str(tmp_path / "out"))
    with pytest.raises(FileNotFoundError, match="nowhere not found"):
        prepare(str(tmp_path / "nowhere"), str(tmp_path / "out"))
    for name in ("testset_v.txt", "testset_f.txt"):
        (tree / name).write_text("")
    (tree / "trainset.txt").write_text(" x01-000\n")
    with pytest.raises(DataError, match="no line with both strokes and text"):
        prepare(str(tree), str(tmp_path / "out"))
