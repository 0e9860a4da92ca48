import json
from collections.abc import Callable
from pathlib import Path
from xml.sax.saxutils import quoteattr

import pytest
from PIL import Image

from seqlab.corpora.iam import prepare
from seqlab.errors import DataError, UserError
from seqlab.manifest import Line, line_to_row, read_manifest

# Nothing here is of the corpus: forms, writers and texts are invented.
LINES = r"""#--- lines.txt -----------------------------------------------#
#
z90-001-00 ok 170 21 400 700 1500 95 She|said|,|"|No|.|"
z90-001-01 err 170 19 400 800 1500 95 The|#|B B C|'s|men|can|'t
z90-001-02 ok 170 3 400 900 90 60 end
z91-002x-00 ok 154 11 400 700 1500 95 M P|,|and|I|'ll
z91-002x-01 err 154 11 400 800 1500 95 stay|.
c04-160-00 ok 154 11 400 700 1500 95 c04
z92-003-00 ok 160 9 400 700 1200 80 Nobody|knows|,
z92-003-01 err 160 9 400 800 1200 80 least|of|all
z93-004-00 ok 160 9 400 700 1200 80 A|&|B
"""
FORMS = "# forms\nz90-001 907 2 prt 3 2 9 8\nz91-002x 908 1 all 2 1 7 7\nz93-004 907 1 prt 1 1 3 3\n"
LISTS = {
    "trainset": ["z90-001-00 ", "", "z90-001-01"],
    "validationset1": ["z91-002x-00"],
    "validationset2": ["c04-160-00", "z93-004-00"],
    "testset": ["z92-003-00"],
}
FKI = {
    "z90-001": {"z90-001-00": 'She said, "No."', "z90-001-01": "The # BBC's men can't", "z90-001-02": "end"},
    "z91-002x": {"z91-002x-00": "MP, and I'll"},  # one line is missing, as some are
    "c04-160": {"c04-160-00": "c04"},
    "z92-003": {"z92-003-00": "Nobody knows,", "z92-003-01": "least of all"},
    "z93-004": {"z93-004-00": "A & B"},
}


def write_tree(folder: Path, draw: Callable[[str], Image.Image]) -> Path:
    """Write the true layout with the official lists; draw makes the image of a line's tokens."""
    (folder / "ascii").mkdir(parents=True)
    (folder / "ascii" / "lines.txt").write_text(LINES)
    (folder / "ascii" / "forms.txt").write_text(FORMS)
    for row in LINES.splitlines()[2:]:
        name, tokens = row.split()[0], row.split(" ", 8)[8]
        form = name.rpartition("-")[0]
        path = folder / "lines" / form.partition("-")[0] / form / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        draw(tokens).save(path)
    task = folder / "largeWriterIndependentTextLineRecognitionTask"
    task.mkdir()
    for name, rows in LISTS.items():
        (task / f"{name}.txt").write_text("\r\n".join(rows) + "\r\n")
    return folder


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "IAM", lambda tokens: Image.new("L", (175, 12), 255))


@pytest.fixture
def aachen(tree: Path) -> Path:
    """The same with Aachen's lists of forms; that of dev lacks c04-160."""
    (tree / "splits").mkdir()
    for name, forms in (("train", ["z90-001"]), ("validation", ["z91-002x"]), ("test", ["z92-003", "z93-004"])):
        (tree / "splits" / f"{name}.uttlist").write_text("".join(f"{form}\n" for form in forms))
    return tree


def write_fki(tree: Path) -> None:
    (tree / "xml").mkdir(exist_ok=True)
    for form, texts in FKI.items():
        rows = [
            f'<line id="{name}" text={quoteattr(text.replace("&", "&amp;").replace(chr(34), "&quot;"))}><word/></line>'
            for name, text in texts.items()
        ]
        text = f'<form id="{form}" writer-id="907"><handwritten-part>{"".join(rows)}</handwritten-part></form>'
        head = '<?xml version="1.0" encoding="ISO-8859-1"?><!DOCTYPE form SYSTEM "form-metadata.dtd">'
        (tree / "xml" / f"{form}.xml").write_text(head + text)


def write_a2ia(tree: Path, pages: dict[str, list[str]]) -> None:
    (tree / "a2ia").mkdir(exist_ok=True)
    rows = "".join(
        f'<SinglePage FileName="pages/{form}.png"><WriterID/><Paragraph Top="1">'
        + "".join(f"<Line Value={quoteattr(value)}><Word Value='x'/></Line>" for value in values)
        + "</Paragraph></SinglePage>"
        for form, values in pages.items()
    )
    (tree / "a2ia" / "all.xml").write_text(f"<DocumentList>{rows}</DocumentList>")


def lines(written: dict[str, Path]) -> dict[str, list[Line]]:
    return {part: read_manifest(path) for part, path in written.items()}


def ids(written: dict[str, Path]) -> dict[str, list[str]]:
    return {part: [line.id for line in rows] for part, rows in lines(written).items()}


def texts(written: dict[str, Path]) -> dict[str, str]:
    return {line.id: line.text for rows in lines(written).values() for line in rows}


def test_official_split_in_the_true_layout(tree: Path, tmp_path: Path) -> None:
    written = prepare(str(tree), str(tmp_path))
    assert written == {part: tmp_path / f"{part}.jsonl" for part in ("train", "dev", "dev2", "test")}
    assert ids(written) == {
        "train": ["z90-001-00", "z90-001-01"],
        "dev": ["z91-002x-00"],
        "dev2": ["c04-160-00", "z93-004-00"],
        "test": ["z92-003-00"],
    }
    first, second = lines(written)["train"]
    assert line_to_row(first) == {
        "id": "z90-001-00",
        "text": 'She said , " No . "',
        "speaker": "907",
        "image": "IAM/lines/z90/z90-001/z90-001-00.png",
        "width": 175,
        "height": 12,
        "form": "z90-001",
        "status": "ok",
        "tokens": 'She|said|,|"|No|.|"',
    }
    assert (second.extra["status"], second.text) == ("err", "The # B B C 's men can 't")  # err kept, # kept
    assert lines(written)["test"][0].speaker is None  # not in forms.txt


def test_totals_are_counted_logged_and_kept(tree: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    prepare(str(tree), str(tmp_path / "out"))
    kept = json.loads((tmp_path / "out" / "totals.json").read_text())
    assert {key: kept[key] for key in ("corpus", "split", "convention", "keep_err")} == {
        "corpus": "iam",
        "split": "official",
        "convention": "A",
        "keep_err": True,
    }
    # 'Nobody knows ,' and 'M P , and I 'll'
    assert kept["parts"]["test"] == {"lines": 1, "characters": 14, "words": 3}
    assert kept["parts"]["dev"] == {"lines": 1, "characters": 15, "words": 6}
    assert "iam test: 1 lines, 14 characters, 3 words" in caplog.text
    assert "iam test: 1 lines, the whole official has 1861" in caplog.text


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        (
            "aachen-976",
            {
                "train": ["z90-001-00", "z90-001-01", "z90-001-02"],
                "dev": ["z91-002x-00", "z91-002x-01", "c04-160-00"],
                "test": ["z92-003-00", "z92-003-01", "z93-004-00"],
            },
        ),
        (
            "aachen-966",
            {
                "train": ["z90-001-00", "z90-001-01"],
                "dev": ["z91-002x-00", "z91-002x-01"],
                "test": ["z92-003-00", "z92-003-01", "z93-004-00"],
            },
        ),
        (
            "aachen-2781",
            {"train": ["z90-001-00", "z90-001-01"], "dev": ["z91-002x-00"], "test": ["z92-003-00", "z93-004-00"]},
        ),
    ],
)
@pytest.mark.parametrize("form_c04_160_listed", [True, False])
def test_aachen_splits(
    aachen: Path, tmp_path: Path, split: str, expected: dict[str, list[str]], form_c04_160_listed: bool
) -> None:
    if form_c04_160_listed:
        (aachen / "splits" / "validation.uttlist").write_text("z91-002x\nc04-160\n")
    assert ids(prepare(str(aachen), str(tmp_path / "out"), split)) == expected  # type: ignore[arg-type]


def test_the_second_dev_set_of_the_official_split_does_not_stay_beside_another_split(
    aachen: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    prepare(str(aachen), str(out))
    assert (out / "dev2.jsonl").is_file()
    prepare(str(aachen), str(out), "aachen-966")
    assert sorted(path.name for path in out.glob("*.jsonl")) == ["dev.jsonl", "test.jsonl", "train.jsonl"]


def test_aachen_lists_of_line_images_and_train_from_the_official_list(aachen: Path, tmp_path: Path) -> None:
    for path in (aachen / "splits").iterdir():
        path.unlink()
    (aachen / "splits" / "val.ln").write_text("z91-002x-00.png\nz91-002x-01.png\n")
    (aachen / "splits" / "te.lst").write_text("z92-003-00.png\nsomewhere/z93-004-00.png\n")
    found = ids(prepare(str(aachen), str(tmp_path / "out"), "aachen-976"))
    assert {part: len(names) for part, names in found.items()} == {"train": 3, "dev": 3, "test": 3}


def test_known_totals_of_the_aachen_test_are_named(
    aachen: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    prepare(str(aachen), str(tmp_path / "out"), "aachen-966")
    # 'Nobody knows ,' 14 + 'least of all' 12 + 'A & B' 5; 3 + 3 + 3 words
    assert "31 characters and 9 words, convention A is known to have 125616 and 25932" in caplog.text
    assert "iam test: 3 lines, the whole aachen-966 has 2915" in caplog.text


def test_err_lines_can_be_dropped_and_are_counted(
    aachen: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = ids(prepare(str(aachen), str(tmp_path / "out"), "aachen-976", keep_err=False))
    assert found == {
        "train": ["z90-001-00", "z90-001-02"],
        "dev": ["z91-002x-00", "c04-160-00"],
        "test": ["z92-003-00", "z93-004-00"],
    }
    assert "3 line(s) with status err left out" in caplog.text


def test_convention_b(tree: Path, tmp_path: Path) -> None:
    found = texts(prepare(str(tree), str(tmp_path / "out"), convention="B"))
    assert found["z90-001-00"] == 'She said , " No . "'
    assert found["z90-001-01"] == "The # BBC's men can't"
    assert found["z91-002x-00"] == "MP , and I'll"


def test_convention_d_is_unescaped_twice_and_names_missing_lines(
    aachen: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_fki(aachen)
    assert "&amp;quot;No.&amp;quot;" in (aachen / "xml" / "z90-001.xml").read_text()
    assert "A &amp;amp; B" in (aachen / "xml" / "z93-004.xml").read_text()
    found = texts(prepare(str(aachen), str(tmp_path / "out"), "aachen-976", "D"))
    assert found == {name: text for form in FKI.values() for name, text in form.items()}
    assert "1 line(s) left out, not in the XML files of xml.tgz, <form>.xml: z91-002x-01" in caplog.text


def test_convention_c_finds_lines_by_their_letters(
    aachen: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_fki(aachen)  # of the other kind, under other names: passed over
    pages = {
        "z90-001": ['She said, " No. "', "The # BBC 's men can 't", "end"],
        "z91-002x": ["stay.", ""],  # out of order, and one text is empty
        "z92-003": ["Nobody knows, a slip", "least of all"],  # other letters: by order, for the counts agree
        "z93-004": ["A & B"],
    }
    write_a2ia(aachen, pages)
    found = texts(prepare(str(aachen), str(tmp_path / "out"), "aachen-966", "C"))
    assert found == {
        "z90-001-00": 'She said, " No. "',
        "z90-001-01": "The # BBC 's men can 't",
        "z91-002x-01": "stay.",
        "z92-003-00": "Nobody knows, a slip",
        "z92-003-01": "least of all",
        "z93-004-00": "A & B",
    }
    assert "1 line(s) left out, not in A2iA's XML files (SinglePage, Line Value=): z91-002x-00" in caplog.text


@pytest.mark.parametrize(("convention", "needed"), [("C", "A2iA's XML files"), ("D", r"xml\.tgz")])
def test_conventions_without_xml(tree: Path, tmp_path: Path, convention: str, needed: str) -> None:
    with pytest.raises(DataError, match=rf"convention {convention} needs .*{needed}.*no line was found"):
        prepare(str(tree), str(tmp_path / "out"), convention=convention)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("split", "name", "source"),
    [
        ("official", "trainset.txt", "fki.tic.heia-fr.ch"),
        ("official", "validationset2.txt", "largeWriterIndependentTextLineRecognitionTask"),
        ("aachen-966", "trainset.txt", "fki.tic.heia-fr.ch"),
        ("aachen-966", "test.uttlist", "openslr.org/56"),
        ("aachen-976", "validation.uttlist", "openslr.org/56"),
        ("aachen-2781", "testset.txt", "fki.tic.heia-fr.ch"),
    ],
)
def test_a_missing_list_is_named_with_its_source(
    aachen: Path, tmp_path: Path, split: str, name: str, source: str
) -> None:
    next(aachen.rglob(name)).unlink()
    with pytest.raises(DataError, match=rf"split {split} needs .*{source}") as caught:
        prepare(str(aachen), str(tmp_path / "out"), split)  # type: ignore[arg-type]
    assert name.partition(".")[0] in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_faulty_lists(aachen: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    test = aachen / "splits" / "test.uttlist"
    test.write_text("z92-003\nz93-004\nwords and more\n")
    with pytest.raises(DataError, match=r"test\.uttlist:3: 'words and more' is neither a form"):
        prepare(str(aachen), out, "aachen-976")
    test.write_text("z92-003\nz99-999\n")
    with pytest.raises(DataError, match=r"test\.uttlist:2: z99-999 is not in lines\.txt"):
        prepare(str(aachen), out, "aachen-976")
    test.write_text("z92-003\nz91-002x\n")
    with pytest.raises(DataError, match=r"z91-002x-00, z91-002x-01 in test and in dev"):
        prepare(str(aachen), out, "aachen-976")
    test.write_text("z92-003\n")
    (aachen / "test.txt").write_text("z93-004\n")
    with pytest.raises(DataError, match=r"test\.uttlist and .*test\.txt differ; leave only one"):
        prepare(str(aachen), out, "aachen-976")


def test_faulty_lines_are_named(tree: Path, tmp_path: Path) -> None:
    with open(tree / "ascii" / "lines.txt", "a") as file:
        file.write("z94-001-00 ok 1 2 3 4 5 6\nz94-001-01 fine 1 2 3 4 5 6 a\nz90-001-00 ok 1 2 3 4 5 6 twice\n")
    with pytest.raises(DataError) as caught:
        prepare(str(tree), str(tmp_path / "out"))
    for fault in (
        "3 fault(s)",
        "lines.txt:12: 'z94-001-00 ok",
        "lines.txt:13:",
        "lines.txt:14: z90-001-00 stands there",
    ):
        assert fault in str(caught.value)


def test_missing_and_unreadable_images_are_named(tree: Path, tmp_path: Path) -> None:
    page = b"<!DOCTYPE html>\n<html><body>Please log in</body></html>"
    (tree / "lines" / "z90" / "z90-001" / "z90-001-00.png").write_bytes(page)
    (tree / "lines" / "z92" / "z92-003" / "z92-003-00.png").unlink()
    with pytest.raises(DataError, match=r"(?s)2 fault\(s\).*z90-001-00\.png.*z92-003-00\.png.*login pages"):
        prepare(str(tree), str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_other_places_for_the_same_files(tree: Path, tmp_path: Path) -> None:
    (tree / "ascii" / "lines.txt").rename(tree / "lines.txt")
    (tree / "ascii" / "forms.txt").unlink()
    for path in sorted((tree / "lines").iterdir()):
        path.rename(tree / path.name)  # lines.tgz unpacked in the folder itself
    (line,) = lines(prepare(str(tree), str(tree)))["test"]
    assert (line.image, line.speaker) == ("z92/z92-003/z92-003-00.png", None)


def test_wrong_options_and_roots(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"split must be one of official, aachen-966.*'aachen'"):
        prepare(str(tree), str(tmp_path / "out"), "aachen")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="convention must be one of A, B, C, D"):
        prepare(str(tree), str(tmp_path / "out"), convention="E")  # type: ignore[arg-type]
    (tmp_path / "empty").mkdir()
    for root in (None, str(tmp_path / "empty")):
        with pytest.raises(DataError, match=r"fki\.tic\.heia-fr\.ch.*lines/a01/a01-000u/a01-000u-00\.png"):
            prepare(root, str(tmp_path / "out"))
