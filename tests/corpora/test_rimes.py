import json
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np
import pytest
from PIL import Image

from seqlab.corpora.rimes import prepare
from seqlab.errors import DataError, UserError
from seqlab.manifest import line_to_row, read_manifest
from seqlab.media import read_image

# Texts are invented.
Box = tuple[object, object, object, object]  # left, top, right, bottom


def page(name: str, *lines: tuple[str, Box]) -> str:
    rows = "".join(
        f'<Line Value={quoteattr(text)} Left="{left}" Top="{top}" Right="{right}" Bottom="{bottom}"><Word/></Line>'
        for text, (left, top, right, bottom) in lines
    )
    return f'<SinglePage FileName="images_gray/{name}.png"><Paragraph Top="0">{rows}</Paragraph></SinglePage>'


def document(path: Path, *pages: str) -> None:
    path.write_text(f'<?xml version="1.0" encoding="UTF-8"?><DocumentList>{"".join(pages)}</DocumentList>', "utf-8")


def image(folder: Path, name: str) -> np.ndarray:
    """A page of 60 x 40 pixels, each of them known: its column plus three times its row."""
    grey = (np.arange(60)[None, :] + 3 * np.arange(40)[:, None]).astype(np.uint8)
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(grey).save(folder / f"{name}.png")
    return grey


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "RIMES"
    for name in ("train2011-2", "train2011-9", "train2011-10", "eval2011-0"):
        image(folder / "images_gray", name)
    document(
        folder / "training_2011.xml",
        page("train2011-9", ("J'étais là,  hier", (5, 4, 50, 14))),
        page("train2011-10", ("Veuillez agréer", (0, 0, 60, 40))),
        page("train2011-2", ("à l'est & à l'ouest", (-7, -3, 20, 12)), ("", (0, 0, 9, 9)), ("N° 3", (30, 20, 99, 77))),
    )
    document(folder / "eval_2011_annotated.xml", page("eval2011-0", ("Madame,", (1, 2, 31, 22)), (" ", (1, 1, 2, 2))))
    return folder


def test_boxes_become_line_images(tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    written = prepare(str(tree), str(out), dev_pages=1)
    assert written == {part: out / f"{part}.jsonl" for part in ("train", "dev", "test")}
    (line,) = read_manifest(written["test"])
    assert line_to_row(line) == {
        "id": "eval2011-0-00",
        "text": "Madame,",
        "image": "lines/eval2011-0-00.png",
        "width": 30,
        "height": 20,
        "page": "eval2011-0",
        "box": [1, 2, 31, 22],
    }
    crop = read_image(line.files[0])
    assert crop.shape == (20, 30)
    assert crop[0, 0] == 1 + 3 * 2
    assert crop[-1, -1] == 30 + 3 * 21


def test_dev_is_the_last_pages_by_number(tree: Path, tmp_path: Path) -> None:
    written = prepare(str(tree), str(tmp_path / "out"), dev_pages=1)
    assert [line.id for line in read_manifest(written["dev"])] == ["train2011-10-00"]
    assert {line.extra["page"] for line in read_manifest(written["train"])} == {"train2011-2", "train2011-9"}


def test_boxes_are_clamped_and_empty_texts_left_out(
    tree: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lines = {line.id: line for line in read_manifest(prepare(str(tree), str(tmp_path), dev_pages=1)["train"])}
    assert list(lines) == ["train2011-2-00", "train2011-2-02", "train2011-9-00"]
    assert lines["train2011-2-00"].extra["box"] == [0, 0, 20, 12]
    assert lines["train2011-2-02"].extra["box"] == [30, 20, 60, 40]
    assert (lines["train2011-2-02"].width, lines["train2011-2-02"].height) == (30, 20)
    assert read_image(lines["train2011-2-02"].files[0])[0, 0] == 30 + 3 * 20
    assert lines["train2011-2-00"].text == "à l'est & à l'ouest"
    assert lines["train2011-9-00"].text == "J'étais là, hier"
    assert "1 line(s) of training_2011.xml left out, no text: train2011-2-01" in caplog.text
    assert "1 line(s) of eval_2011_annotated.xml left out, no text: eval2011-0-01" in caplog.text


def test_boxes_beside_the_page_are_left_out_and_named(
    tree: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    document(
        tree / "eval_2011_annotated.xml",
        page("eval2011-0", ("là", (1, 1, 9, 9)), ("loin", (70, 1, 90, 9)), ("rien", (5, 9, 5, 20))),
    )
    written = prepare(str(tree), str(tmp_path / "out"), dev_pages=1)
    assert [line.id for line in read_manifest(written["test"])] == ["eval2011-0-00"]
    assert (
        "2 line(s) left out, nothing of their box is on the page: eval2011-0-01 (70, 1, 90, 9) in 60 x 40"
        in caplog.text
    )


def test_totals_are_counted_and_kept(tree: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    prepare(str(tree), str(tmp_path / "out"), dev_pages=1)
    parts = json.loads((tmp_path / "out" / "totals.json").read_text())["parts"]
    # "à l'est & à l'ouest" 19 and 5, "N° 3" 4 and 2, "J'étais là, hier" 16 and 3
    assert parts["train"] == {"lines": 3, "characters": 39, "words": 10}
    assert parts["test"] == {"lines": 1, "characters": 7, "words": 1}
    assert "rimes dev: 1 lines, 15 characters, 2 words" in caplog.text
    assert "rimes test: 1 lines, the whole test has 778" in caplog.text


def test_images_in_archive_folders_and_names_that_lead_out(tree: Path, tmp_path: Path) -> None:
    (tree / "images_gray").rename(tree / "images_moved")
    image(tree / "other" / "images_gray", "eval2011-0")  # the one whose path ends as the XML says
    written = prepare(str(tree), str(tmp_path / "out"), dev_pages=1)
    assert len(read_manifest(written["test"])) == 1
    image(tmp_path, "secret")
    document(tree / "eval_2011_annotated.xml", page("../../secret", ("x", (0, 0, 5, 5))))
    with pytest.raises(DataError, match=r"page 'images_gray/\.\./\.\./secret\.png': no such image in the folder"):
        prepare(str(tree), str(tmp_path / "out"), dev_pages=1)


def test_one_of_the_two_files_is_enough(tree: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tree / "training_2011.xml").unlink()
    assert list(prepare(str(tree), str(tmp_path / "out"))) == ["test"]
    assert "no training_2011.xml" in caplog.text


def test_faulty_boxes_missing_images_and_twin_pages_are_all_named(tree: Path, tmp_path: Path) -> None:
    document(
        tree / "eval_2011_annotated.xml",
        page("eval2011-0", ("x", (1, "", 9, 9)), ("y", (1, 1, "9.5", 9))),
        page("eval2011-0", ("x", (1, 1, 9, 9))),
        page("eval2011-7", ("x", (1, 1, 9, 9))),
    )
    with pytest.raises(DataError) as caught:
        prepare(str(tree), str(tmp_path / "out"), dev_pages=1)
    message = str(caught.value)
    for fault in (
        "4 fault(s)",
        "line eval2011-0-00: the box",
        "'9.5'",
        "'eval2011-0' stands there twice",
        "eval2011-7",
    ):
        assert fault in message
    assert not (tmp_path / "out").exists()


def test_unreadable_pages_are_named(tree: Path, tmp_path: Path) -> None:
    (tree / "images_gray" / "eval2011-0.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"1 fault\(s\):\n.*eval2011-0\.png"):
        prepare(str(tree), str(tmp_path / "out"), dev_pages=1)
    assert not (tmp_path / "out" / "train.jsonl").exists()


def test_hostile_xml_is_refused(tree: Path, tmp_path: Path) -> None:
    (tree / "eval_2011_annotated.xml").write_text('<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/hostname">]><a>&e;</a>')
    with pytest.raises(DataError, match=r"eval_2011_annotated\.xml:1: the file declares an entity"):
        prepare(str(tree), str(tmp_path / "out"), dev_pages=1)


def test_wrong_options_and_roots(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="dev_pages must be 1 or more"):
        prepare(str(tree), str(tmp_path / "out"), dev_pages=0)
    with pytest.raises(DataError, match=r"3 training page\(s\) are too few for 100 of dev"):
        prepare(str(tree), str(tmp_path / "out"))
    (tree / "eval_2011_annotated.xml").write_text("<page><source/></page>")
    with pytest.raises(DataError, match="no SinglePage in"):
        prepare(str(tree), str(tmp_path / "out"), dev_pages=1)
    (tmp_path / "empty").mkdir()
    for root in (None, str(tmp_path / "empty")):
        with pytest.raises(DataError, match=r"A2iA after a signed agreement"):
            prepare(root, str(tmp_path / "out"))
