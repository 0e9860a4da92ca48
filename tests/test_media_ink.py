import contextlib
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqlab.errors import DataError
from seqlab.media.ink import ink_from_strokes, ink_length, read_ink, read_unipen, strokes_of

IAM = """<?xml version="1.0" encoding="ISO-8859-1"?>
<WhiteboardCaptureSession><WhiteboardDescription><SensorLocation corner="top_left"/>
<DiagonallyOppositeCoords x="6512" y="1376"/></WhiteboardDescription>
<StrokeSet>
<Stroke colour="black" start_time="769.05" end_time="769.07">
<Point x="10" y="20" time="769.05"/><Point x="14" y="31" time="769.07"/></Stroke>
<Stroke colour="black" start_time="769.50" end_time="769.50"><Point x="30" y="5" time="769.50"/></Stroke>
</StrokeSet></WhiteboardCaptureSession>"""
INKML = """<ink xmlns="http://www.w3.org/2003/InkML">
<traceFormat><channel name="X" type="decimal"/><channel name="Y"/><channel name="T" units="ms"/></traceFormat>
<trace id="t0">10 20 1000, 14 31 1020</trace>
<trace type="penUp">15 30 1030</trace>
<traceGroup><trace id="t1"> 30 5 1450 </trace></traceGroup></ink>"""
UNIPEN = """.VERSION 1.0
.COORD X Y
.SEGMENT DIGIT 0-1 ? "4"
.COMMENT 4 12 224
.PEN_DOWN
 10  -20
 14  -31
.PEN_UP
.DT 100
.PEN_DOWN
 30  -5
.PEN_UP
.SEGMENT DIGIT 2 ? "1"
.COMMENT 1 7 225
.PEN_DOWN
1 500
2 400
.PEN_UP
"""
EXPECTED = np.array([[10, 20, 0, 0], [14, 31, 0.02, 1], [30, 5, 0.45, 1]], np.float32)


def write(tmp_path: Path, text: str, name: str = "ink") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="latin-1")
    return path


def test_strokes_become_rows_and_come_back() -> None:
    ink = ink_from_strokes([[[10, 20], [14, 31]], [], [[30, 5]]])
    assert ink.dtype == np.float32
    assert ink.tolist() == [[10, 20, 0, 0], [14, 31, 0, 1], [30, 5, 0, 1]]
    assert [stroke.tolist() for stroke in strokes_of(ink)] == [[[10, 20], [14, 31]], [[30, 5]]]
    assert ink_from_strokes([np.array([[10.0, 20.0], [14.0, 31.0]]), np.array([[30.0, 5.0]])]).tolist() == ink.tolist()
    assert ink_from_strokes([]).shape == (0, 4)
    assert strokes_of(ink_from_strokes([])) == []


def test_times_count_from_the_first_point_and_keep_their_precision() -> None:
    ink = ink_from_strokes([[[0, 0, 1.7e9], [1, 0, 1.7e9 + 0.25]]])
    assert ink[:, 2].tolist() == [0, 0.25]


def test_a_stroke_without_its_end_mark_counts() -> None:
    ink = ink_from_strokes([[[1, 2], [3, 4]]])
    ink[-1, 3] = 0
    assert [stroke.tolist() for stroke in strokes_of(ink)] == [[[1, 2], [3, 4]]]


def test_length_leaves_out_the_lifted_pen() -> None:
    assert ink_length(ink_from_strokes([[[0, 0], [3, 4]], [[100, 0], [100, 2]]])) == 7


@pytest.mark.parametrize(
    ("strokes", "message"),
    [
        ([[[1, 2], [3, float("nan")]]], "point 1: y is nan"),
        ([[[float("inf"), 2]]], "point 0: x is inf"),
        ([[[1, 2, float("nan")]]], "t is nan"),
        ([[[1e30, 0]]], "x is 1e"),
        ([[[1, 2], [3, 4, 5]]], "stroke 0: points must all"),
        ([[[1, 2]], [[1]]], "stroke 1: points must all"),
        ([[["a", "b"]]], "numbers only"),
        ([[1, 2]], "points must all"),
        ([[[1, 2, 3, 4]]], "points must all"),
    ],
)
def test_strange_points_are_refused(strokes: list, message: str) -> None:
    with pytest.raises(DataError, match=message):
        ink_from_strokes(strokes)


@pytest.mark.parametrize("text", [IAM, INKML], ids=["iam", "inkml"])
def test_xml_formats(tmp_path: Path, text: str) -> None:
    np.testing.assert_allclose(read_ink(write(tmp_path, text)), EXPECTED, atol=1e-6)


def test_inkml_without_format_has_x_and_y_and_may_name_seconds(tmp_path: Path) -> None:
    assert read_ink(write(tmp_path, "<ink><trace>1 2, 3 4</trace></ink>")).tolist() == [[1, 2, 0, 0], [3, 4, 0, 1]]
    seconds = (
        '<ink><traceFormat><channel name="T" units="s"/><channel name="Y"/><channel name="X"/></traceFormat>'
        "<trace>5 2 1,6 4 3</trace></ink>"
    )
    assert read_ink(write(tmp_path, seconds)).tolist() == [[1, 2, 0, 0], [3, 4, 1, 1]]


def test_json_with_and_without_a_key(tmp_path: Path) -> None:
    strokes = [[[10, 20, 0], [14, 31, 0.02]], [[30, 5, 0.45]]]
    for data in (strokes, {"strokes": strokes, "text": "x"}):
        np.testing.assert_allclose(read_ink(write(tmp_path, json.dumps(data))), EXPECTED, atol=1e-6)


def test_unipen_is_flipped_and_its_first_sample_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, UNIPEN)
    expected = EXPECTED * [1, 1, 0, 1]
    assert read_ink(path).tolist() == expected.tolist()
    (first, second) = read_unipen(path)
    assert (first[0], first[1], second[0], second[1]) == ("4", "12", "1", "7")
    assert first[2].tolist() == expected.tolist()
    assert second[2].tolist() == [[1, -500, 0, 0], [2, -400, 0, 1]]


def test_unipen_with_times_and_without_segments(tmp_path: Path) -> None:
    text = ".COORD X Y T\n.PEN_DOWN\n1 2 100\n3 4 350\n.PEN_UP\n9 9 400\n.PEN_DOWN\n5 6 600\n"
    path = write(tmp_path, text)
    assert read_ink(path).tolist() == [[1, -2, 0, 0], [3, -4, 0.25, 1], [5, -6, 0.5, 1]]
    with pytest.raises(DataError, match=r"ink: no \.SEGMENT"):
        read_unipen(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("hello world", "no ink file"),
        ("<html><body/></html>", "root <html>"),
        ("<ink><trace>1 2, 3</trace></ink>", "a trace point '3' has not the channels X Y"),
        ("<ink><trace>1 2, '3 4</trace></ink>", "difference-coded"),
        ("<ink/>", "holds no points"),
        ("<ink><trace>1 NaN</trace></ink>", "y is nan"),
        (IAM.replace('x="14" ', ""), "x=None"),
        (IAM.replace("</Stroke>", "", 1), "not well-formed"),
        ("[1, 2]", "list of strokes"),
        ("[[[1, 2], [3, NaN]]]", "y is nan"),
        ("[" * 100_000, "not JSON"),
        ('{"points": []}', "list of strokes"),
        (".PEN_DOWN\n1 two\n", "y='two'"),
        (".PEN_DOWN\n1\n", "row 2: '1' is no point"),
        ('.SEGMENT DIGIT 0 ? "1"\n.PEN_DOWN\n.PEN_UP\n', "segment '1' has no stroke"),
        (".COORD T\n.PEN_DOWN\n1\n", "without X and Y"),
    ],
)
def test_broken_files_are_named_with_their_fault(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(DataError, match=message) as error:
        read_ink(path)
    assert str(error.value).count(str(path)) == 1


def test_entities_are_not_read(tmp_path: Path) -> None:
    secret = write(tmp_path, "1 2", "secret")
    text = f'<!DOCTYPE ink [<!ENTITY x SYSTEM "{secret}">]><ink><trace>&x;</trace></ink>'
    with pytest.raises(DataError, match="entity"):
        read_ink(write(tmp_path, text))


def test_missing_files_folders_and_huge_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere not found"):
        read_ink(tmp_path / "nowhere")
    with pytest.raises(DataError, match="is a folder"):
        read_ink(tmp_path)
    monkeypatch.setattr("seqlab.media.ink.MAX_BYTES", 10)
    with pytest.raises(DataError, match="larger than"):
        read_ink(write(tmp_path, IAM))
    monkeypatch.setattr("seqlab.media.ink.MAX_POINTS", 2)
    with pytest.raises(DataError, match="3 points"):
        ink_from_strokes([[[1, 2], [3, 4], [5, 6]]])


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([IAM, INKML, UNIPEN]), st.integers(0, 500), st.integers(0, 60), st.binary(max_size=20))
def test_damaged_files_never_crash(
    tmp_path_factory: pytest.TempPathFactory, text: str, at: int, cut: int, garbage: bytes
) -> None:
    raw = text.encode("latin-1")
    path = tmp_path_factory.mktemp("ink") / "damaged"
    path.write_bytes(raw[:at] + garbage + raw[at + cut :])
    with contextlib.suppress(DataError):
        ink = read_ink(path)
        assert np.isfinite(ink).all()
        assert ink.shape[1] == 4
