import csv
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

import seqlab.report
from seqlab.report import EvaluatedLine, Evaluation, sound_uri, write_report
from seqlab.report.analysis import analyse
from seqlab.report.breakdown import breakdowns, by_number, error_signs, sign_of
from seqlab.report.embed import page_data
from seqlab.report.exhibits import image_measures, link, pack, sound_measures
from seqlab.report.markdown import plain
from seqlab.report.matrix import draw_matrix
from tests.report.test_report import tally


def evaluation():
    """Forty lines of ten characters: those of b have two errors each, those of a none."""
    rows = [
        EvaluatedLine(f"{name}-{n}", name, "abcdefghij", "abcdefghij" if name == "a" else "abXYefghij", 1.0 + n / 10)
        for name in "ab"
        for n in range(20)
    ]
    for number, row in enumerate(rows):
        row.groups = {"part": "left" if number % 2 else "right"}
        row.measures = {"level_db": -40.0 if row.speaker == "b" else -20.0}
    return Evaluation("test", rows)


def test_lines_are_divided_by_names_and_quarters():
    given = evaluation()
    divided = {part.key: part for part in breakdowns(given, given.score())}
    assert list(divided) == ["speakers", "group-part", "duration", "speed", "level-db"]  # all texts are equally long
    groups = divided["speakers"].groups
    assert [(g.label, g.lines, g.characters.errors) for g in groups] == [("b", 20, 40), ("a", 20, 0)]
    assert all(g.interval and g.interval[0] <= g.characters.rate <= g.interval[1] for g in groups)
    assert [(g.label, g.lines) for g in divided["level-db"].groups] == [("-40", 20), ("-20", 20)]
    assert [g.lines for g in divided["duration"].groups] == [10, 10, 10, 10]
    assert divided["duration"].groups[0].label == "1 to 1.4"


def test_few_or_unknown_numbers_are_not_divided():
    given = evaluation()
    scores = given.score().per_line
    assert by_number([1.0] * 19 + [None] * 21, scores) == []
    assert sum(g.lines for g in by_number([float(n) for n in range(30)] + [None] * 10, scores)) == 30


@pytest.mark.parametrize(
    ("edit", "sign"),
    [
        (("del", " ", None), "spaces"),
        (("sub", ",", "."), "punctuation"),
        (("sub", " ", "-"), "punctuation"),
        (("sub", "A", "a"), "case"),
        (("sub", "é", "e"), "accents"),
        (("ins", None, "\u0301"), "accents"),
        (("sub", "a", "b"), "rest"),
        (("sub", ",", "b"), "rest"),
    ],
)
def test_signs_of_errors(edit, sign):
    assert sign_of(edit) == sign


def test_lines_wrong_in_spaces_and_punctuation_only_are_counted():
    rows = [
        EvaluatedLine("1", None, "a, b", "a b"),
        EvaluatedLine("2", None, "ab", "a bc"),
        EvaluatedLine("3", None, "x", "x"),
    ]
    signs = error_signs(rows, Evaluation("", rows).score())
    assert signs.errors == {"spaces": 1, "punctuation": 1, "case": 0, "accents": 0, "rest": 1}
    assert (signs.lines, signs.wrong_lines) == (1, 2)
    assert signs.slight == pytest.approx(2 / 3)


def test_findings_name_the_group_that_holds_the_errors():
    given = evaluation()
    told = analyse(given, given.score()).findings
    assert any("Speakers: b has 100 % of the character errors on 50 % of the characters" in text for text in told)
    assert any(text.startswith("One confusion makes 50 % of the character errors: “c” read as “X”") for text in told)
    given.rows = [EvaluatedLine("1", None, "ab", "ab"), EvaluatedLine("2", None, "ab", "")]
    assert "1 of 2 lines got no text at all" in analyse(given, given.score()).findings[0]


def test_measures_of_a_tone_and_of_a_page():
    time = np.arange(8000) / 8000
    tone = np.sin(2 * np.pi * 100 * time)
    assert sound_measures(tone, 8000) == {"level_db": -3.0, "range_db": 0.0}
    tone[4000:] *= 0.01  # the second half 40 dB lower; all of it half the power
    assert sound_measures(tone, 8000) == {"level_db": -6.0, "range_db": 40.0}
    assert sound_measures(np.zeros(0), 8000) == {}
    assert sound_measures(np.zeros(80), 8000)["level_db"] == -100.0
    page = np.full((50, 100), 204, np.uint8)
    page[:5] = 51
    assert image_measures(page) == {"height_px": 50.0, "contrast": 0.6}


def test_sound_comes_back_from_its_data_uri(tmp_path):
    import base64

    tone = np.sin(np.arange(800) / 5) * 0.5
    head, data = sound_uri(tone, 8000).split(",")
    (tmp_path / "x.wav").write_bytes(base64.b64decode(data))
    back, rate = soundfile.read(tmp_path / "x.wav")
    assert (head, rate) == ("data:audio/wav;base64", 8000)
    assert np.abs(back - tone).max() < 2 / 2**15


def test_posteriors_are_packed_where_they_are_seen():
    posteriors = np.array([[1, 0, 0], [0.2, 0.8, 0], [0.995, 0.005, 0], [0, 0, 1.0]])
    packed = pack(posteriors, ["", "a", "b"], (0.0, 1.0))
    assert packed == {"ends": [0.0, 1.0], "blank": "/zP+AA==", "spikes": [["a", 1, "zA=="], ["b", 3, "/w=="]]}


def test_links_are_relative_and_cannot_be_another_scheme(tmp_path):
    file = tmp_path / "sound" / "java script:x #1.wav"
    file.parent.mkdir()
    file.touch()
    assert link(file, tmp_path / "report", "audio") == "../sound/java%20script%3Ax%20%231.wav"
    assert link(file, file.parent, "audio") == "./java%20script%3Ax%20%231.wav"
    assert link(file, tmp_path, "image") is None
    assert link(tmp_path / "none.wav", tmp_path, "audio") is None


def test_data_of_the_page_cannot_end_its_script():
    text = "</script><!-- <script> & \u2028"
    given = Evaluation(text, [EvaluatedLine(text, text, text, "x y")])
    data = page_data(analyse(given, given.score()))
    assert not set("<>&\u2028") & set(data)
    assert json.loads(data)["lines"][0][:2] == [text, text]


def test_matrix_holds_the_counts_and_the_right_ones_not():
    svg = draw_matrix(tally(("aab", "abb"), ("a", "b"), ("c", ""), ("", "d"))).svg
    texts = [part.split("<")[0] for part in svg.split(">") if part.split("<")[0]]
    # rows and columns a b c d and nothing; a was read as b twice, c left out, d made up
    assert texts[3:] == [*("a", "a", "2", "b", "b", "c", "c", "1", "d", "d", "∅", "∅", "1")]
    assert draw_matrix(tally(("a", "a"))) is None


def test_tables_and_summary_hold_hostile_text_as_it_is(tmp_path):
    text = 'a|b `c` <script> "q",\n=1+1 *x*'
    paths = write_report(tmp_path, Evaluation(text, [EvaluatedLine(text, None, text, "x", groups={"part": text})]))
    with paths["lines.csv"].open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["id"], row["part"], row["reference"], row["hypothesis"]) == (text, text, text, "x")
    summary = paths["report.md"].read_text(encoding="utf-8")
    assert "<script>" not in summary
    assert plain(text) == 'a\\|b \\`c\\` &lt;script&gt; "q", =1+1 \\*x\\*'
    assert plain(text) in summary


def test_report_json_keeps_its_schema(tmp_path):
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((Path(seqlab.report.__file__).parent / "report.schema.json").read_text())
    validator = jsonschema.Draft202012Validator(schema)
    validator.check_schema(schema)
    given = evaluation()
    given.rows[0].word_confidences, given.rows[0].word_places = [0.5], [[0.1, 0.2]]
    record = json.loads(write_report(tmp_path, given)["report.json"].read_text())
    validator.validate(record)
    record["lines"][0]["word_confidences"] = [1.5]
    assert not validator.is_valid(record)
