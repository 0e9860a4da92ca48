import base64
import hashlib
import json
import math
import re
import sys
from html.parser import HTMLParser

import jiwer
import numpy as np
import pytest
from PIL import Image

from seqlab.errors import DataError
from seqlab.report import EvaluatedLine, Evaluation, image_uri, write_report
from seqlab.report.curves import draw_charts, read_metrics
from seqlab.report.headline import headline
from seqlab.report.tables import Tally, TokenErrors, confusions, harmless, token_errors, visible, worst_lines
from seqlab.scoring import find_errors

HOSTILE = [
    "<script>alert(1)</script>",
    "</title><script>document.title='pwned'</script>",
    '" onmouseover="alert(1)" x=\'',
    "<img src=x onerror=alert(1)>",
    "{{ 7 * 7 }} {% raw %} &lt;b&gt;",
    "</style></svg><!-- ]]>",
]
METRICS = """epoch,step,train/loss,train/lr,val/loss,val/cer,val/wer,val/blank
0,0,300.0,0.001,,,,
0,50,90.0,0.001,,,,
0,99,,,80.0,0.9,1.0,0.99
1,100,nan,0.001,,,,
1,150,4.5,0.001,,,,
1,199,,,6.0,0.25,0.5,0.75
"""


def evaluation(**changes):
    rows = [
        EvaluatedLine("a-1", "a", "one two three", "one too three", 1.5),
        EvaluatedLine("a-2", "a", "four five", "four five", 1.0),
        EvaluatedLine("b-1", "b", "six", "", 0.5),
        EvaluatedLine("b-2", "b", "", "oh", 1.0),
    ]
    values = {"name": "test", "rows": rows, "seconds": 2.0, "decoder": "greedy"}
    return Evaluation(**(values | changes))


def tally(*pairs):
    return Tally((said, heard, find_errors(said, heard)) for said, heard in pairs)


class Page(HTMLParser):
    """Elements, attributes and text of a page, as a browser's parser would find them."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.texts = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes.extend((tag, name, value) for name, value in attrs)

    def handle_data(self, data):
        self.texts.append(data)


def page_of(tmp_path, **changes):
    return write_report(tmp_path, evaluation(**changes))["report.html"].read_text(encoding="utf-8")


def test_all_files_are_written_and_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "resvg_py", None)  # as without the extra png
    paths = write_report(tmp_path / "report", evaluation())
    assert set(paths) == {
        *("report.json", "report.html", "report.md", "ref.trn", "hyp.trn", "hypotheses.jsonl", "lines.csv"),
        "plots/confusions.svg",
    }
    written = [path for path in (tmp_path / "report").rglob("*") if path.is_file()]
    assert sorted(p.relative_to(tmp_path / "report").as_posix() for p in written) == sorted(paths)
    assert list(paths)[-1] == "report.html"
    assert paths["ref.trn"].read_text() == "one two three (a-1)\nfour five (a-2)\nsix (b-1)\n (b-2)\n"
    assert paths["hyp.trn"].read_text() == "one too three (a-1)\nfour five (a-2)\n (b-1)\noh (b-2)\n"
    rows = [json.loads(line) for line in paths["hypotheses.jsonl"].read_text().splitlines()]
    assert rows[0] == {
        "id": "a-1",
        "speaker": "a",
        "reference": "one two three",
        "hypothesis": "one too three",
        "duration_s": 1.5,
        "word_confidences": None,
        "word_places": None,
        "measures": {},
        "groups": {},
    }


def test_diagrams_are_images_too(tmp_path):
    pytest.importorskip("resvg_py")
    paths = write_report(tmp_path, evaluation())
    box = paths["plots/confusions.svg"].read_text(encoding="utf-8").split('viewBox="0 0 ', 1)[1].split('"', 1)[0]
    with Image.open(paths["plots/confusions.png"]) as file:
        image = np.asarray(file.convert("RGB"))
    assert image.shape[:2] == tuple(2 * int(size) for size in reversed(box.split()))
    assert image[0, 0].tolist() == [255, 255, 255]
    most = 1 - 0.88 * (1 - np.array([0x0B, 0x57, 0xB8]) / 255)  # the commonest confusion's cell, on white
    assert (np.abs(image / 255 - most).max(axis=2) < 0.01).any()


def test_json_holds_the_numbers_of_jiwer(tmp_path):
    model = {"name": "blstm", "parameters": 12, "folder": tmp_path, "bad": math.nan}
    data = [{"path": "test.jsonl", "sha256": "ab", "lines": 4}]
    given = evaluation(model=model, data=data, rules=["lower case"])
    record = json.loads(write_report(tmp_path, given)["report.json"].read_text(encoding="utf-8"))
    references, hypotheses = [row.reference for row in given.rows], [row.hypothesis for row in given.rows]
    assert (record["format"], record["format_version"], record["decoder"]) == ("seqlab-report", 1, "greedy")
    assert record["scores"]["wer"]["rate"] == jiwer.wer(references, hypotheses) == 3 / 6
    assert record["scores"]["cer"]["rate"] == jiwer.cer(references, hypotheses)
    assert record["scores"]["exact_lines"] == 1
    assert (record["seconds"], record["audio_seconds"], record["real_time_factor"]) == (2.0, 4.0, 0.5)
    assert record["model"] == {"name": "blstm", "parameters": 12, "folder": str(tmp_path), "bad": None}
    assert record["data"] == data
    assert record["rules"][-1] == "lower case"
    assert len(record["rules"]) > 1
    assert [line["id"] for line in record["lines"]] == ["a-1", "a-2", "b-1", "b-2"]
    first = record["lines"][0]
    assert first["words"] == {"hits": 2, "substitutions": 1, "deletions": 0, "insertions": 0}
    assert first["characters"] == {"hits": 12, "substitutions": 1, "deletions": 0, "insertions": 0}
    assert first["cer"] == 1 / 13


def test_unknown_duration_leaves_audio_and_real_time_factor_open(tmp_path):
    given = evaluation()
    given.rows[1].duration_s = None
    record = json.loads(write_report(tmp_path, given)["report.json"].read_text())
    assert record["audio_seconds"] is None
    assert record["real_time_factor"] is None
    assert "Real-time factor" not in (tmp_path / "report.html").read_text()


def test_page_shows_the_headline(tmp_path):
    text = " ".join(" ".join(Page(page_of(tmp_path)).texts).split())
    assert "WER 50.00 %" in text
    assert "3 of 6 words" in text
    assert "greedy" in text
    assert "0.5 (2 seconds of audio per second)" in text


def test_page_needs_nothing_from_elsewhere_and_runs_its_own_script_only(tmp_path):
    (tmp_path / "metrics.csv").write_text(METRICS)
    raw = page_of(tmp_path, metrics_csv=tmp_path / "metrics.csv")
    page = Page(raw)
    assert not {"link", "iframe", "object", "embed", "img", "form", "base"} & set(page.tags)
    assert not [name for _, name, _ in page.attributes if name in ("src", "srcset", "style") or name[:2] == "on"]
    ids = [f"#{value}" for _, name, value in page.attributes if name == "id"]
    assert {value for _, name, value in page.attributes if name == "href"} <= set(ids)
    assert len(ids) == len(set(ids))
    assert "url(" not in raw.split("<script", 1)[0]
    policy = next(value for _, name, value in page.attributes if name == "content" and "default-src" in value)
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    for tag in ("style", "script"):
        text = re.search(rf"<{tag}>(.*?)</{tag}>", raw, re.S).group(1)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules[f"{tag}-src"] == f"'sha256-{digest}'"
    assert rules["img-src"] == rules["media-src"] == "data:"


def test_headers_have_a_scope_and_tables_a_caption(tmp_path):
    page = Page(page_of(tmp_path, model={"name": "x"}, data=[{"path": "a", "lines": 1}]))
    assert page.tags.count("th") == sum(tag == "th" and name == "scope" for tag, name, _ in page.attributes)
    assert page.tags.count("table") == page.tags.count("caption") + 1 == 13  # the table of lines has a label
    assert page.tags.count("h1") == 1


def test_hostile_text_stays_text(tmp_path):
    clean = Page(page_of(tmp_path / "clean", model={"k.v": "v"}, data=[{"path": "p", "sha256": "s"}], rules=["r"]))
    for number, text in enumerate(HOSTILE):
        rows = [EvaluatedLine(text, text, text, "x " + text, 1.0), EvaluatedLine("2", text, "b", text, 1.0)]
        raw = page_of(
            tmp_path / str(number),
            name=text,
            rows=rows,
            model={text: text},
            data=[{"path": text, "sha256": text}],
            decoder=text,
            rules=[text],
        )
        page = Page(raw)
        assert set(page.tags) <= set(clean.tags)
        assert {name for _, name, _ in page.attributes} <= {name for _, name, _ in clean.attributes}
        assert page.tags.count("title") == clean.tags.count("title")
        assert text in "".join(page.texts)
        assert page.tags.count("script") == 2


def test_errors_are_marked_without_colour_too(tmp_path):
    raw = page_of(tmp_path)
    aligned = raw[raw.index('<table class="lines"') : raw.index("<script")]
    for operation, letter in (("sub", "S"), ("del", "D"), ("ins", "I")):
        token = re.search(rf'<span class="token {operation}">.*?</span>\n', aligned, re.S).group()
        assert f'<span class="kind">{letter}</span>' in token


def test_right_to_left_lines_run_from_right_to_left(tmp_path):
    # dir="auto" looks at the text of an element but not into <bdi>, so none may stand inside
    raw = page_of(tmp_path, rows=[EvaluatedLine("1", None, "هذا خط", "هذا خت")])
    aligned = raw[raw.index('<div class="aligned') : raw.index("<script")].split("</tr>")[0]
    assert 'dir="auto"' in aligned
    assert "<bdi" not in aligned


def of_writers(**changes):
    rows = [
        EvaluatedLine(f"w{writer}-{line}", f"w{writer}", "a (b), c", "a ( b ) , d" if line else "a (b), c")
        for writer in range(6)
        for line in range(3)
    ]
    return evaluation(**({"rows": rows, "kind": "image"} | changes))


def test_images_speak_of_writers_and_of_no_audio(tmp_path):
    given = of_writers()
    for row in given.rows:
        row.duration_s = 1.0
    files = write_report(tmp_path, given)
    raw, record = files["report.html"].read_text(), json.loads(files["report.json"].read_text())
    text = " ".join(Page(raw.split("<script")[0]).texts)
    assert record["kind"] == "image"
    assert (record["audio_seconds"], record["real_time_factor"]) == (None, None)
    assert '<th scope="col">Writer</th>' in raw
    assert "<caption>Writers, " in raw
    assert "speaker" not in text.lower()
    assert "Real-time" not in text
    assert "<dt>Audio" not in raw
    assert "1.00 s" not in text


@pytest.mark.parametrize(
    ("kind", "person"), [("audio", "speaker"), ("features", "speaker"), ("image", "writer"), ("strokes", "writer")]
)
def test_kind_decides_the_word_for_who_made_a_line(tmp_path, kind, person):
    raw = page_of(tmp_path, rows=of_writers().rows, kind=kind)
    assert f"Interval by&nbsp;{person}" in raw


def test_four_measures_and_intervals_by_writer_are_there(tmp_path):
    files = write_report(tmp_path, of_writers())
    record, raw = json.loads(files["report.json"].read_text()), files["report.html"].read_text()
    scores = record["scores"]
    # 18 lines: a ( b ) , c is 6 isolated words; 12 lines have d for c
    assert (scores["wer_punctuation"]["errors"], scores["wer_punctuation"]["reference"]) == (12, 108)
    # a (b), c -> a ( b ) , d: 2 of 3 words replaced and 3 made up
    assert (scores["wer"]["errors"], scores["wer"]["reference"]) == (60, 54)
    assert (scores["cer_no_spaces"]["errors"], scores["cer_no_spaces"]["reference"]) == (12, 108)
    assert scores["speakers"] == 6
    assert scores["wer"]["interval_by_speaker"][0] <= scores["wer"]["rate"] <= scores["wer"]["interval_by_speaker"][1]
    assert scores["wer"]["interval"][0] < scores["wer"]["rate"] <= scores["wer"]["interval"][1]
    assert record["lines"][1]["words_punctuation"] == {"hits": 5, "substitutions": 1, "deletions": 0, "insertions": 0}
    text = " ".join(" ".join(Page(raw).texts).split())
    assert "WER, punctuation isolated 11.11 %" in text
    assert "12 of 108 words and marks" in text
    assert "144 characters, 54 words" in text
    assert "these 6 writers" in text


def test_few_or_unknown_speakers_leave_the_second_interval_out_and_say_why(tmp_path):
    text = " ".join(" ".join(Page(page_of(tmp_path)).texts).split())
    assert "There is no interval by speaker: it needs the speaker of every line, and 5 or more of them." in text
    assert "Interval by" not in text


def test_known_totals_are_named(tmp_path):
    # 2,915 lines with the totals of IAM's convention A: 25,932 words, 125,616 characters
    lines = [["a"] * 8 for _ in range(2915)]
    for number in range(25_932 - 8 * 2915):
        lines[number % 2915].append("a")
    missing = 125_616 - sum(len(" ".join(line)) for line in lines)
    for number, line in enumerate(lines):
        line[0] += "a" * (missing // 2915 + (number < missing % 2915))
    rows = [EvaluatedLine(str(number), None, " ".join(line), "") for number, line in enumerate(lines)]
    given = evaluation(rows=rows, kind="image")
    assert "those of IAM, Aachen test, convention A" in page_of(tmp_path, rows=rows, kind="image")
    assert "2,915 lines, 125,616 characters, 25,932 words = IAM, Aachen test, convention A" in headline(
        given, given.score()
    )


def test_headline_holds_rates_totals_and_intervals():
    given = of_writers()
    first, *rates, last = headline(given, given.score()).splitlines()
    assert first == "test: 18 lines, 144 characters, 54 words in the references"
    assert [rate.split("%")[0].split() for rate in rates] == [
        ["WER", "111.11"],
        ["WER,", "punctuation", "isolated", "11.11"],
        ["CER", "33.33"],
        ["CER", "without", "spaces", "11.11"],
    ]
    assert all("95% by line" in rate and "by writer" in rate for rate in rates)
    assert last == "2.0 s"
    short = evaluation()
    assert "by speaker" not in headline(short, short.score())
    assert headline(short, short.score()).splitlines()[-1] == "2.0 s, real-time factor 0.5000"


def test_pictures_of_worst_lines_stand_above_their_alignment(tmp_path):
    picture = image_uri(np.full((20, 50), 255, np.uint8))
    files = write_report(tmp_path, of_writers(media={"w0-1": picture, "w0-0": picture, "other": picture}))
    raw = files["report.html"].read_text()
    page = Page(raw)
    assert page.tags.count("img") == 1  # w0-0 has no error
    images = [(name, value) for tag, name, value in page.attributes if tag == "img"]
    assert ("src", picture) in images
    assert ("alt", "Line w0-1 as it was written") in images
    item = next(item for item in raw.split("<tbody") if "<img" in item)
    assert item.index("<img") < item.index('<div class="aligned')
    assert "data:image" not in files["hypotheses.jsonl"].read_text()
    assert "data:image" not in files["report.json"].read_text()


@pytest.mark.parametrize(
    "picture",
    ["https://example.org/x.png", "//example.org/x.png", "javascript:alert(1)", "<svg/>", "data:text/html,x", "/x.png"],
)
def test_a_picture_from_elsewhere_is_refused(tmp_path, picture):
    with pytest.raises(ValueError, match="line w0-1"):
        write_report(tmp_path, of_writers(media={"w0-1": picture}))


def test_hostile_picture_stays_an_attribute(tmp_path):
    picture = 'data:image/png;base64,"onerror="alert(1)"><script>x</script>'
    raw = page_of(tmp_path, rows=of_writers().rows, kind="image", media={"w0-1": picture})
    page = Page(raw)
    assert page.tags.count("script") == 2
    assert ("img", "src", picture) in page.attributes


def test_evaluation_without_errors_or_speakers(tmp_path):
    rows = [EvaluatedLine("1", None, "one", "one"), EvaluatedLine("2", None, "", "")]
    raw = page_of(tmp_path, rows=rows, seconds=None, decoder="")
    assert "Every line was recognised without an error." in raw
    assert "<caption>Speakers" not in raw
    assert "Training" not in raw


def test_evaluation_with_empty_references_only(tmp_path):
    raw = page_of(tmp_path, rows=[EvaluatedLine("1", "a", "", "a b")])
    assert "200.00" in raw


def test_no_line_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no line"):
        write_report(tmp_path, evaluation(rows=[]))
    assert list(tmp_path.iterdir()) == []


def test_confusions_by_hand():
    pairs = [(["a", "b", "c"], ["a", "x", "c"]), (["b"], ["x"]), (["a"], []), ([], ["y"]), (["b", "c"], ["b", "d"])]
    found = [(c.operation, c.reference, c.hypothesis, c.count) for c in confusions(tally(*pairs))]
    assert found == [("sub", "b", "x", 2), ("sub", "c", "d", 1), ("del", "a", None, 1), ("ins", None, "y", 1)]


def test_missed_and_made_up_tokens_by_hand():
    # b stands 4 times: twice read as x, once left out; x is said once where b stands not
    pairs = [(["a", "b"], ["a", "x"]), (["b", "b"], ["x", "b"]), (["b"], []), (["a"], ["a", "x"])]
    assert token_errors(tally(*pairs), 0) == [TokenErrors("b", 3, 4, "x")]
    assert token_errors(tally(*pairs), 1) == [TokenErrors("x", 3, 3, "b")]


def test_worst_lines_come_first_and_right_ones_not_at_all():
    given = evaluation()
    assert [line.row.id for line in worst_lines(given.rows, given.score())] == ["b-2", "b-1", "a-1"]
    assert [line.row.id for line in worst_lines(given.rows, given.score(), top=1)] == ["b-2"]


def test_lines_of_single_words_are_aligned_by_characters_hits_in_runs():
    given = evaluation(rows=[EvaluatedLine("1", None, "中日本語" + "x" * 13, "中日木語" + "x" * 13)])
    assert worst_lines(given.rows, given.score())[0].aligned == [
        ("hit", "中日", "中日"),
        ("sub", "本", "木"),
        ("hit", "語" + "x" * 11, "語" + "x" * 11),
        ("hit", "xx", "xx"),
    ]


def test_runs_of_hits_end_at_white_space_so_that_each_belongs_to_one_word():
    rows = [EvaluatedLine("1", None, "ab cd", "ab cx"), *(EvaluatedLine(str(n), None, "a", "a") for n in range(2, 6))]
    given = evaluation(rows=rows)
    assert [heard for _, _, heard in worst_lines(given.rows, given.score())[0].aligned] == ["ab", " ", "c", "x"]


def test_what_controls_a_terminal_or_turns_text_round_is_shown_as_a_sign(tmp_path):
    assert harmless("a\x00b\x1b[31m\x7f\x9b\u202e\u2066\ufffe é\u200d") == "a␀b␛[31m␡\ufffd\ufffd\ufffd\ufffd é\u200d"
    text = "x\x1b[2Jy\x00\u202ez"
    rows = [EvaluatedLine(text, text, f"a {text}", f"b {text} c", groups={"part": text})]
    rows.append(EvaluatedLine("2", "s", "a b c", "a b", groups={"part": "k"}))
    data = [{"path": f"/home/somebody/{text}.jsonl", "sha256": text}]
    given = evaluation(name=text, rows=rows, decoder=text, rules=[text], data=data, model={text: text})
    files = write_report(tmp_path, given)
    for name in ("report.md", "report.html"):
        written = files[name].read_text(encoding="utf-8")
        assert not set("\x00\x1b\u202e") & set(written)
        assert "\\u001b" not in written
        assert "\\u202e" not in written
        assert "x␛" in written
        assert "somebody" not in written  # the page may be sent to others
    assert json.loads(files["report.json"].read_text())["lines"][0]["id"] == text  # as it is
    assert headline(given, given.score()).splitlines()[0] == "x[2Jyz: 2 lines, 16 characters, 5 words in the references"


def test_summary_holds_no_link(tmp_path):
    rows = [EvaluatedLine("1", None, "www.evil.example WWW.b", "https://evil.example/x me@evil.example")]
    text = write_report(tmp_path, evaluation(rows=rows))["report.md"].read_text()
    assert "www\\.evil.example WWW\\.b" in text
    assert "https\\://evil.example/x me\\@evil.example" in text


def test_files_that_are_no_reports_stay_and_names_of_a_reports_are_refused(tmp_path):
    (tmp_path / "plots").mkdir()
    mine = {"plots/figure1.png": "mine", "plots/training-loss.svg": "mine", "notes.txt": "mine"}
    for name, text in mine.items():
        (tmp_path / name).write_text(text)
    timed = [EvaluatedLine("a-1", "a", "one two", "one too", 1.0, [0.5, 0.5], [[0.0, 0.4], [0.5, 0.9]])]
    first = write_report(tmp_path, evaluation(rows=timed))
    assert {"ref.stm", "hyp.ctm", "plots/confidence.svg"} <= set(first)
    (tmp_path / "plots/training-3.svg").write_text("of an earlier report")
    second = write_report(tmp_path, evaluation())  # without times and confidences: theirs go
    there = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert there == {*mine, *second}
    assert all((tmp_path / name).read_text() == text for name, text in mine.items())


@pytest.mark.parametrize("name", ["ref.stm", "report.json", "lines.csv", "plots/confusions.png"])
def test_a_folder_with_files_of_a_reports_names_that_are_not_seqlabs_is_refused(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text('{"format": "other"}')
    with pytest.raises(DataError, match=f"holds {name}, but no report.json of seqlab's"):
        write_report(tmp_path, evaluation())
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / name]
    assert (tmp_path / name).read_text() == '{"format": "other"}'


@pytest.mark.parametrize("out", ["file", "file/below", "folder"])
def test_a_file_where_a_folder_must_be_is_refused(tmp_path, out):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "plots").write_text("mine")
    with pytest.raises(DataError, match="file"):
        write_report(tmp_path / out, evaluation())
    assert (tmp_path / "file").read_text() == "mine"


def test_while_a_report_is_rewritten_there_is_no_page(tmp_path, monkeypatch):
    def full(*_):
        raise OSError("disk full")

    write_report(tmp_path, evaluation())
    monkeypatch.setattr("seqlab.report.write.trn.write", full)
    with pytest.raises(OSError, match="disk full"):
        write_report(tmp_path, evaluation(name="second"))
    assert not (tmp_path / "report.html").exists()
    monkeypatch.undo()
    assert "second" in write_report(tmp_path, evaluation(name="second"))["report.html"].read_text()


def test_a_line_is_aligned_once(tmp_path, monkeypatch):
    from seqlab.scoring import counts, lines

    aligned = []

    def counting(said, heard, find=counts.find_errors):
        aligned.append((said, heard))
        return find(said, heard)

    given = evaluation()
    given.rows = [EvaluatedLine("1", "a", "one two", "one too", 1.0, [0.9, 0.5])]
    for module in (counts, lines):
        monkeypatch.setattr(module, "find_errors", counting)
    score = given.score()
    # words, characters, and characters without spaces; punctuation isolated changes nothing
    assert len(aligned) == 3
    write_report(tmp_path, given, score)
    headline(given, score)
    assert len(aligned) == 3


def test_embedded_lines_beyond_the_worst_are_data_and_those_without_are_counted(tmp_path):
    picture = image_uri(np.full((20, 50), 255, np.uint8))
    raw = page_of(tmp_path, rows=of_writers().rows, kind="image", media={"w0-1": picture, "w0-0": picture})
    lines = {
        line[0]: line[12] for line in json.loads(re.search(r'id="data">(.*?)</script>', raw, re.S).group(1))["lines"]
    }
    assert (lines["w0-0"], lines["w0-1"], lines["w1-0"]) == (picture, None, None)  # that of w0-1 stands in the table
    assert "The pictures of 2 lines are inside this page (0.1 MB); 16 lines have none here, as the 15 MB" in raw


def test_invisible_tokens_become_visible():
    assert visible(" ") == "␣"
    assert visible("\u00a0") == "U+00A0 NO-BREAK SPACE"
    assert visible("\u0301") == "◌\u0301"
    assert visible("\u202e") == "U+202E RIGHT-TO-LEFT OVERRIDE"
    assert visible("word") == "word"


def test_metrics_are_read_with_their_gaps(tmp_path):
    (tmp_path / "metrics.csv").write_text(METRICS)
    metrics = read_metrics(tmp_path / "metrics.csv")
    assert metrics["train/loss"] == [(0, 300.0), (50, 90.0), (150, 4.5)]
    assert metrics["val/cer"] == [(99, 0.9), (199, 0.25)]
    charts = draw_charts(metrics)
    assert [chart.title for chart in charts] == [
        "Loss",
        "Error rates on validation lines",
        "Share of blank frames on validation lines",
    ]
    assert charts[1].notes == [
        "val/cer: lowest at the end, 25 % at step 199",
        "val/wer: lowest at the end, 50 % at step 199",
    ]
    assert "logarithmic" in charts[0].svg
    assert "logarithmic" not in charts[1].svg


def test_curve_points_lie_where_the_values_say():
    svg = draw_charts({"val/blank": [(0, 0.2), (10, 0.4), (20, 1.0)]})[0].svg
    points = re.search(r'polyline class="curve curve-1" points="([^"]*)"', svg).group(1)
    (x0, y0), (x1, y1), (x2, y2) = (map(float, point.split(",")) for point in points.split())
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.11)
    assert (y0 - y1) / (y0 - y2) == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize("points", [[(5, 0.3)], [(5, 0.3), (6, 0.3)], [(0, 0.0), (1, 1e-9)], [(0, -2.0), (9, 1e30)]])
def test_odd_curves_are_drawn(points):
    svg = draw_charts({"train/loss": points})[0].svg
    assert "nan" not in svg
    assert len(svg) < 9000


def test_long_curves_are_thinned():
    svg = draw_charts({"train/loss": [(n, 1 + n % 7) for n in range(100_000)]})[0].svg
    assert len(svg) < 9000


@pytest.mark.parametrize("content", [None, "", "nonsense\n", "step\n1\n", "a,b\n1,2\n", "\x00\x01", b"\xff\xfe"])
def test_unusable_metrics_are_named_and_the_report_is_written(tmp_path, content):
    path = tmp_path / "metrics.csv"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    raw = page_of(tmp_path / "report", metrics_csv=path)
    assert "No curves:" in raw
    assert "metrics.csv" in raw
