import io
import json
import random

import pytest
from rich.console import Console

from seqlab.errors import DataError, UserError
from seqlab.report import EvaluatedLine, Evaluation, read_record, write_report
from seqlab.report.compare import compare, compare_totals
from seqlab.verbs.compare import compare as compare_verb

A = '" Bella Marie " ( Parlophone ) , a song .'
C = '" Bella Marie " ( Parlophone ), a song.'


def write(folder, pairs, **changes):
    """Write the report of (reference, hypothesis) pairs of eight writers and return its record."""
    rows = [EvaluatedLine(f"l{n}", f"w{n % 8}", *pair) for n, pair in enumerate(pairs)]
    write_report(folder, Evaluation(**({"name": folder.name, "rows": rows, "kind": "image"} | changes)))
    return read_record(folder)


def noisy(seed, rate, number=200):
    generator = random.Random(seed)
    return [
        ("one two three", "".join("x" if generator.random() < rate else sign for sign in "one two three"))
        for _ in range(number)
    ]


def scores(lines, characters, words):
    return {"scores": {"lines": lines, "characters": characters, "words": words}, "lines": []}


def printed(paths):
    console = Console(file=io.StringIO(), width=40)
    texts = compare_verb([str(path) for path in paths], console)
    return texts, console.file.getvalue()


def test_equal_totals_give_no_warning(tmp_path):
    a, b = write(tmp_path / "a", noisy(0, 0.3)), write(tmp_path / "b", noisy(1, 0.1))
    assert compare_totals(a, b) is None
    assert "WARNING" not in compare(a, b)
    assert "Reference totals of both: 200 lines, 2,600 characters, 600 words" in compare(a, b)


@pytest.mark.parametrize(
    ("totals", "letter"),
    [((125_616, 25_932), "A"), ((125_494, 25_810), "B"), ((123_090, 23_406), "C"), ((121_897, 22_219), "D")],
)
def test_known_conventions_are_named(totals, letter):
    warning = compare_totals(scores(2915, *totals), scores(2781, 120_000, 24_000))
    assert f"A: 2,915 lines, {totals[0]:,} characters, {totals[1]:,} words = IAM, Aachen test, convention {letter}" in (
        warning
    )
    assert "B: 2,781 lines, 120,000 characters, 24,000 words\n" in warning
    assert "The number of lines differs" in warning


def test_spacing_alone_is_told_from_other_transcripts(tmp_path):
    a, c = write(tmp_path / "a", [(A, A)] * 9), write(tmp_path / "c", [(C, C)] * 9)
    warning = compare_totals(a, c)
    assert warning.startswith("WARNING: the reference totals differ")
    assert "differ\n  by spaces alone" in warning
    other = write(tmp_path / "other", [("something else", "x")] * 9)
    assert "differ by their transcripts" in compare_totals(a, other)
    for record in (a, c):
        del record["scores"]["wer_punctuation"]  # as in a report of an older version
    assert "differ by their transcripts" in compare_totals(a, c)


def test_warning_comes_first_and_the_table_follows(tmp_path):
    a, c = write(tmp_path / "a", [(A, C)] * 9), write(tmp_path / "c", [(C, C)] * 9)
    text = compare(a, c, ("runs/a", "runs/c"))
    assert text.startswith("WARNING")
    assert "A: a (runs/a)\nB: c (runs/c)\n" in text
    # A against C: ") ," and "song ." are two words replaced and two left out of 11, two spaces left out of 41 signs
    table = {line.split("  ")[0]: line.split() for line in text.splitlines()}
    assert table["WER"][1:] == ["36.36%", "0.00%", "-36.36"]
    assert table["WER, punctuation isolated"][-3:] == ["0.00%", "0.00%", "+0.00"]
    assert table["CER"][1:] == ["4.88%", "0.00%", "-4.88"]
    assert "95% by writer" in text
    assert "No verdict: the references of 9 of these lines differ" in text
    assert "better" not in text


def test_paired_test_decides_what_intervals_leave_open(tmp_path):
    first = noisy(0, 0.3)
    # one error fewer in every fifth line: far less than the intervals are wide
    second = []
    for n, (said, heard) in enumerate(first):
        at = heard.find("x") if n % 5 == 0 else -1
        second.append((said, heard if at < 0 else heard[:at] + said[at] + heard[at + 1 :]))
    a, b = write(tmp_path / "a", first), write(tmp_path / "b", second)
    better = sum(one != two for one, two in zip(first, second, strict=True))
    assert a["scores"]["cer"]["interval"][0] < b["scores"]["cer"]["rate"]
    text = compare(a, b)
    assert "CER of the same 200 lines, B - A: -" in text
    assert "B lower in 100.0% of draws of lines: B is better." in text
    assert "The same by their 8 writers, B - A: -" in text
    assert f"B has fewer character errors in {better} lines, more in 0." in text
    assert "A is better." in compare(b, a)
    assert "not decided" in compare(a, a)


def test_order_of_lines_does_not_matter(tmp_path):
    a = write(tmp_path / "a", noisy(0, 0.3))
    b = json.loads(json.dumps(a))
    random.Random(0).shuffle(b["lines"])
    assert "B has fewer character errors in 0 lines, more in 0." in compare(a, b)


def test_other_lines_are_counted_and_not_paired(tmp_path):
    a, b = write(tmp_path / "a", noisy(0, 0.3, 10)), write(tmp_path / "b", noisy(0, 0.3, 10))
    b["lines"][0]["id"] = "new"
    assert "the lines are not the same: 9 ids are in both, 1 in A alone, 1 in B alone." in compare(a, b)
    b["lines"][0]["id"] = "l1"
    assert "No paired test: an id stands for several lines." in compare(a, b)


def test_older_report_without_the_newer_keys_compares(tmp_path):
    a, b = write(tmp_path / "a", noisy(0, 0.3)), write(tmp_path / "b", noisy(1, 0.3))
    del a["kind"], a["scores"]["wer_punctuation"], a["scores"]["speakers"]
    for measure in ("wer", "cer", "cer_no_spaces"):
        del a["scores"][measure]["interval_by_speaker"]
    (tmp_path / "a" / "report.json").write_text(json.dumps(a))
    text = compare(read_record(tmp_path / "a"), b)
    row = next(line for line in text.splitlines() if line.startswith("WER, punctuation"))
    assert row.split()[-3] == row.split()[-1] == "-"


def test_verb_takes_files_and_folders_and_compares_each_with_the_first(tmp_path):
    for name, rate in (("a", 0.3), ("b", 0.2), ("c [bold]", 0.1)):
        write(tmp_path / name, noisy(0, rate))
    texts, output = printed([tmp_path / "a", tmp_path / "b" / "report.json", tmp_path / "c [bold]"])
    assert len(texts) == 2
    assert output == "\n\n".join(texts) + "\n"  # nothing wrapped, no markup read
    assert all(f"A: a ({tmp_path / 'a'})" in text for text in texts)
    assert "B: c [bold]" in texts[1]


@pytest.mark.parametrize("number", [0, 1])
def test_fewer_than_two_reports_are_refused(tmp_path, number):
    with pytest.raises(UserError, match=f"two or more .* got {number}"):
        printed([tmp_path] * number)


def test_missing_reports_are_named(tmp_path):
    write(tmp_path / "run" / "evaluate" / "test", noisy(0, 0.3))
    with pytest.raises(DataError, match=r"nowhere: there is no such file"):
        read_record(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"run: the folder holds no report.json; below it lie .*evaluate/test/report"):
        read_record(tmp_path / "run")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty: the folder holds no report.json; seqlab evaluate writes one"):
        read_record(tmp_path / "empty")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a report.json"),
        (b"\xff\xfe\x00", "not a report.json"),
        (b"[" * 100_000, "not a report.json"),
        (b"[]", "not a report of seqlab's"),
        (b'{"format": "other"}', "not a report of seqlab's"),
        (b'{"format": "seqlab-report", "format_version": 99}', "format_version 99"),
        (b'{"format": "seqlab-report", "format_version": "1"}', "format_version '1'"),
        (b'{"format": "seqlab-report", "format_version": 1}', "damaged: it has no scores"),
    ],
)
def test_what_is_no_report_is_named(tmp_path, content, message):
    path = tmp_path / "report.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_record(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (("scores", "words"), "many", "scores.words"),
        (("scores", "words"), -1, "scores.words"),
        (("scores", "cer"), None, "scores.cer has no rate"),
        (("scores", "wer", "rate"), "x", "scores.wer has no rate"),
        (("scores", "wer", "interval"), [1], "scores.wer.interval"),
        (("scores", "wer_punctuation", "reference"), 1.5, "scores.wer_punctuation.reference"),
        (("lines",), [], "no lines"),
        (("lines", 3), "x", r"lines\[3\] has no id"),
        (("lines", 3, "id"), 7, r"lines\[3\] has no id"),
        (("lines", 3, "speaker"), ["x"], "the speaker of line l3 is"),
        (("lines", 3, "characters"), {}, "line l3 has no counts"),
        (("lines", 3, "characters"), {"more": 1}, "line l3 has no counts"),
        (("lines", 3, "characters", "hits"), True, "line l3 has no counts"),
    ],
)
def test_damage_is_named(tmp_path, keys, value, message):
    record = write(tmp_path, noisy(0, 0.3, 5))
    node = record
    for key in keys[:-1]:
        node = node[key]
    node[keys[-1]] = value
    (tmp_path / "report.json").write_text(json.dumps(record))
    with pytest.raises(DataError, match=message):
        read_record(tmp_path)


def test_keys_of_a_later_version_do_no_harm(tmp_path):
    record = write(tmp_path, noisy(0, 0.3, 9))
    for line in record["lines"]:
        line["characters"]["more"] = 1
        line["speaker"] = None
    (tmp_path / "report.json").write_text(json.dumps(record | {"more": 1}))
    assert "not decided" in compare(read_record(tmp_path), record)
