from pathlib import Path

import numpy as np
import pytest

from seqlab.corpora.pages import prepare
from seqlab.errors import DataError, UserError
from seqlab.manifest import line_to_row, read_manifest
from seqlab.media import read_image, write_image

LINE = (
    '<TextLine id="{id}"><Coords points="20,{top} 180,{top} 180,{bottom} 20,{bottom}"/>'
    "<TextEquiv><Unicode>{text}</Unicode></TextEquiv></TextLine>"
)
PAGE = (
    '<PcGts xmlns="http://schema.primaresearch.org/PAGE/gts/pagecontent/2013-07-15"><Page imageFilename="{image}" '
    'imageWidth="200" imageHeight="100"><TextRegion id="r1" type="{kind}">{lines}</TextRegion></Page></PcGts>'
)


def add_page(folder: Path, name: str, texts: list[str], kind: str = "paragraph", image: bool = True) -> np.ndarray:
    """Write a page with a line for each text, and its image beside it; returns the image."""
    lines = "".join(
        LINE.format(id=f"l{i}", top=10 + 20 * i, bottom=25 + 20 * i, text=text) for i, text in enumerate(texts)
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.xml").write_text(PAGE.format(image=f"{name}.png", kind=kind, lines=lines), encoding="utf-8")
    grey = np.random.default_rng(len(name)).integers(150, 250, (100, 200), dtype=np.uint8)
    if image:
        write_image(folder / f"{name}.png", grey)
    return grey


def test_three_pages_become_three_splits(tmp_path: Path) -> None:
    grey = add_page(tmp_path / "in" / "train", "p1", ["erste  Zeile", "a\u0308"])
    add_page(tmp_path / "in" / "validation", "p2", ["zwei"])
    add_page(tmp_path / "in" / "Test", "p3", ["drei"])
    out = tmp_path / "out"
    written = prepare(str(tmp_path / "in"), str(out))
    assert written == {split: out / f"{split}.jsonl" for split in ("train", "dev", "test")}
    first, second = read_manifest(written["train"])
    assert line_to_row(first) == {
        "id": "train_p1-l0",
        "text": "erste Zeile",
        "image": "lines/train_p1/l0.png",
        "width": 160,
        "height": 15,
        "page": "train_p1",
        "zone": "r1",
        "type": "paragraph",
    }
    assert second.text == "\u00e4"
    assert np.array_equal(read_image(out / "lines/train_p1/l0.png"), grey[10:25, 20:180])
    assert [line.text for line in read_manifest(written["dev"])] == ["zwei"]
    assert [line.text for line in read_manifest(written["test"])] == ["drei"]


def test_shares_go_by_page_and_depend_on_the_seed_alone(tmp_path: Path) -> None:
    for number in range(10):
        add_page(tmp_path / "in", f"p{number}", ["ja", "nein"])

    def pages(seed: int) -> dict[str, set[str]]:
        written = prepare(str(tmp_path / "in"), str(tmp_path / "out"), dev_share=0.2, test_share=0.1, seed=seed)
        return {split: {line.extra["page"] for line in read_manifest(path)} for split, path in written.items()}

    one = pages(1)
    assert {split: len(names) for split, names in one.items()} == {"train": 7, "dev": 2, "test": 1}
    assert not one["train"] & (one["dev"] | one["test"])
    assert pages(1) == one
    assert any(pages(seed) != one for seed in (2, 3))
    assert list(prepare(str(tmp_path / "in"), str(tmp_path / "o"), dev_share=0, test_share=0)) == ["train"]


def test_lists_decide(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("a", "b", "c", "d"):
        add_page(tmp_path / "in" / "train", name, [name])
    (tmp_path / "train.txt").write_text("a\ntrain/b\n\n")
    lists: dict[str, str | list[str]] = {"train": str(tmp_path / "train.txt"), "test": ["c.xml"]}
    written = prepare(str(tmp_path / "in"), str(tmp_path / "out"), lists=lists)
    assert {s: [line.text for line in read_manifest(p)] for s, p in written.items()} == {
        "train": ["a", "b"],
        "test": ["c"],
    }
    assert "1 page(s) in no list left out" in caplog.text
    with pytest.raises(DataError, match=r"(?s)2 fault\(s\).*dev: nowhere: 0 pages.*test: a is in the list of train"):
        prepare(str(tmp_path / "in"), str(tmp_path / "o"), lists={"train": ["a"], "dev": ["nowhere"], "test": ["a"]})
    with pytest.raises(DataError, match="a split 'valid'; there are train, dev, test"):
        prepare(str(tmp_path / "in"), str(tmp_path / "o"), lists={"valid": ["a"]})


def test_what_is_left_out_is_counted_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    add_page(tmp_path / "in", "p1", ["gut genug", "", "x"])
    add_page(tmp_path / "in", "p2", ["am Rand", "auch"], kind="marginalia", image=False)
    text = (tmp_path / "in" / "p1.xml").read_text()
    (tmp_path / "in" / "p1.xml").write_text(
        text.replace(
            "</TextRegion>",
            '<TextLine id="l9"><TextEquiv><Unicode>ohne Ort</Unicode></TextEquiv></TextLine></TextRegion>',
        )
    )
    (tmp_path / "in" / "mets.xml").write_text("<mets/>")
    (tmp_path / "in" / "._p1.xml").write_bytes(b"\0")
    written = prepare(str(tmp_path / "in"), str(tmp_path / "out"), None, 0, 0, min_chars=2, leave_out=["marginalia"])
    assert [line.text for line in read_manifest(written["train"])] == ["gut genug"]
    for message in (
        "1 line(s) left out: no text",
        "1 line(s) left out: text shorter than 2",
        "2 line(s) left out: type marginalia",
        "1 line(s) left out: cannot be cut out",
        "p1 l2 'x'",
        "line 'l9' has neither",
    ):
        assert message in caplog.text


def test_lines_with_one_id_get_names_of_their_own(tmp_path: Path) -> None:
    add_page(tmp_path / "in", "p 1", ["a", "b"])
    path = tmp_path / "in" / "p 1.xml"
    path.write_text(path.read_text().replace('id="l1"', 'id="l0"'))
    (path,) = prepare(str(tmp_path / "in"), str(tmp_path / "out"), None, 0, 0).values()
    lines = read_manifest(path)
    assert [line.id for line in lines] == ["p_1-l0", "p_1-l0-2"]
    assert all(line.files[0].is_file() for line in lines)


def test_faulty_pages_are_all_named_and_no_manifest_is_written(tmp_path: Path) -> None:
    add_page(tmp_path / "in", "p1", ["a"])
    add_page(tmp_path / "in", "p2", ["a"], image=False)
    (tmp_path / "in" / "p3.xml").write_text("<PcGts>")
    with pytest.raises(
        DataError, match=r"(?s)2 fault\(s\).*p2\.xml: its image 'p2\.png' was not found.*p3\.xml:1: not well"
    ):
        prepare(str(tmp_path / "in"), str(tmp_path / "out"), None, 0, 0)
    assert not list((tmp_path / "out").glob("*.jsonl"))


def test_wrong_roots_and_shares_say_what_is_expected(tmp_path: Path) -> None:
    for root in (None, str(tmp_path)):
        with pytest.raises(DataError, match="PAGE XML, ALTO or hOCR files with their images"):
            prepare(root, str(tmp_path / "out"))
    with pytest.raises(UserError, match="dev_share and test_share"):
        prepare(str(tmp_path), str(tmp_path / "out"), dev_share=0.6, test_share=0.4)
    add_page(tmp_path / "in", "p1", ["a"])
    with pytest.raises(DataError, match=r"1 page\(s\) cannot be divided"):
        prepare(str(tmp_path / "in"), str(tmp_path / "out"))
    add_page(tmp_path / "bare", "p1", [""])
    with pytest.raises(DataError, match="are they transcribed"):
        prepare(str(tmp_path / "bare"), str(tmp_path / "out"), None, 0, 0)


def texts_of(written: dict[str, Path]) -> dict[str, list[str]]:
    return {split: [line.text for line in read_manifest(path)] for split, path in written.items()}


ALTO = (
    '<alto xmlns="http://www.loc.gov/standards/alto/ns-v4#"><Description><MeasurementUnit>pixel</MeasurementUnit>'
    "<sourceImageInformation><fileName>{image}</fileName></sourceImageInformation></Description><Layout>"
    '<Page WIDTH="200" HEIGHT="100"><PrintSpace><TextBlock ID="b"><TextLine ID="l" HPOS="20" VPOS="10" WIDTH="160" '
    'HEIGHT="15"><String CONTENT="{text}"/></TextLine></TextBlock></PrintSpace></Page></Layout></alto>'
)


def test_of_page_and_alto_of_one_image_page_is_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = tmp_path / "in"
    for folder in ("page", "alto"):
        (root / folder).mkdir(parents=True)
    for number in range(6):
        add_page(root, f"{number}", [f"seite {number}"])
        (root / f"{number}.xml").rename(root / "page" / f"{number}.xml")
        (root / "alto" / f"{number}.xml").write_text(ALTO.format(image=f"{number}.png", text=f"alto {number}"))
    add_page(root, "x", ["nur alto"])
    (root / "x.xml").write_text(ALTO.format(image="x.png", text="nur alto"))
    written = prepare(str(root), str(tmp_path / "out"), dev_share=0.2, test_share=0.2)
    lines = [text for texts in texts_of(written).values() for text in texts]
    assert sorted(lines) == sorted(["nur alto", *(f"seite {number}" for number in range(6))])
    assert "6 page file(s) left out" in caplog.text


def test_two_page_files_of_one_kind_and_image_stop_the_run(tmp_path: Path) -> None:
    add_page(tmp_path / "in", "p1", ["a"])
    (tmp_path / "in" / "filled").mkdir()
    (tmp_path / "in" / "filled" / "p1.xml").write_bytes((tmp_path / "in" / "p1.xml").read_bytes())
    with pytest.raises(
        DataError, match=r"(?s)1 fault.*filled/p1\.xml.*p1\.xml: all have the image .*p1\.png.*keep one"
    ):
        prepare(str(tmp_path / "in"), str(tmp_path / "out"), None, 0, 0)
    assert not (tmp_path / "out").exists()


def test_pages_and_lines_whose_names_come_out_alike_stay_apart(tmp_path: Path) -> None:
    add_page(tmp_path / "in" / "x", "q", ["a", "b"])
    add_page(tmp_path / "in", "x_q", ["c"])
    add_page(tmp_path / "in", "x", ["d"])
    path = tmp_path / "in" / "x.xml"
    path.write_text(path.read_text().replace('id="l0"', 'id="q-l0"').replace('"x.png"', '"X.png"'))
    (tmp_path / "in" / "x.png").rename(tmp_path / "in" / "X.png")
    written = prepare(str(tmp_path / "in"), str(tmp_path / "out"), None, 0, 0)
    lines = read_manifest(written["train"])
    assert sorted(line.text for line in lines) == ["a", "b", "c", "d"]
    assert len({line.id.casefold() for line in lines}) == len({str(line.image).casefold() for line in lines}) == 4


def test_a_numbered_name_that_is_taken_is_not_given_again(tmp_path: Path) -> None:
    add_page(tmp_path / "in", "p", ["a", "b", "c"])
    path = tmp_path / "in" / "p.xml"
    path.write_text(path.read_text().replace('"l1"', '"l0"').replace('"l2"', '"L0-2"'))
    (manifest,) = prepare(str(tmp_path / "in"), str(tmp_path / "out"), None, 0, 0).values()
    lines = read_manifest(manifest)
    assert [line.id for line in lines] == ["p-l0", "p-l0-2", "p-L0-2-2"]
    assert len({line.files[0].read_bytes() for line in lines}) == 3


def test_manifests_of_an_earlier_run_do_not_stay_beside_new_ones(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(5):
        add_page(tmp_path / "in", f"p{number}", [f"{number}"])
    out = tmp_path / "out"
    prepare(str(tmp_path / "in"), str(out))
    (out / "mine.jsonl").write_text("")
    assert (out / "test.jsonl").is_file()
    prepare(str(tmp_path / "in"), str(out), test_share=0)
    assert sorted(path.name for path in out.glob("*.jsonl")) == ["dev.jsonl", "mine.jsonl", "train.jsonl"]
    assert "test.jsonl is of an earlier run and was removed" in caplog.text
