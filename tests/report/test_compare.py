import copy
import html.parser
import io
import json
import math
import random
import re

import pytest
from rich.console import Console

from seqlab.errors import DataError, UserError
from seqlab.report import EvaluatedLine, Evaluation, read_record
from seqlab.report.compare import Contender, compare_rules, compare_totals
from seqlab.report.compare import compare as compare_contenders
from seqlab.report.compare_text import comparison_text
from seqlab.report.differences import MOST_LINES, different_lines, render_differences
from seqlab.report.record import to_json, to_record
from seqlab.verbs.compare import compare as compare_verb

A = '" Bella Marie " ( Parlophone ) , a song .'
C = '" Bella Marie " ( Parlophone ), a song.'


ZERO = {"hits": 0, "substitutions": 0, "deletions": 0, "insertions": 0}


def write(folder, pairs, **changes):
    """Write the report of (reference, hypothesis) pairs of eight writers and return its record."""
    rows = [EvaluatedLine(f"l{n}", f"w{n % 8}", *pair) for n, pair in enumerate(pairs)]
    evaluation = Evaluation(**({"name": folder.name, "rows": rows, "kind": "image"} | changes))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(to_json(to_record(evaluation, evaluation.score())), encoding="utf-8")
    return read_record(folder)


def contenders(*models):
    """One contender for each report or list of reports."""
    runs = [model if isinstance(model, list) else [model] for model in models]
    return [Contender(letter, own[0]["name"], own) for letter, own in zip("ABCDEFG", runs, strict=False)]


def compare(*models):
    found = contenders(*models)
    return comparison_text(found, compare_contenders(found))


def verdicts(*models):
    """The verdicts on WER and CER of each model against the first."""
    return [tuple(j.verdict for j in c.judgements) for c in compare_contenders(contenders(*models))]


def noisy(seed, rate, number=200):
    generator = random.Random(seed)
    return [
        ("one two three", "".join("x" if generator.random() < rate else sign for sign in "one two three"))
        for _ in range(number)
    ]


def scores(lines, characters, words):
    return {"scores": {"lines": lines, "characters": characters, "words": words}, "lines": []}


def printed(paths, **options):
    console = Console(file=io.StringIO(), width=40)
    found = compare_verb([str(path) for path in paths], console, **options)
    return found, console.file.getvalue()


def test_equal_totals_give_no_warning(tmp_path):
    a, b = write(tmp_path / "a", noisy(0, 0.3)), write(tmp_path / "b", noisy(1, 0.1))
    assert compare_totals(a, b) is None
    assert "WARNING" not in compare(a, b)
    assert "Reference totals of all: 200 lines, 2,600 characters, 600 words" in compare(a, b)


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
    text = compare(a, c)
    assert text.startswith("WARNING")
    assert "A: a\nB: c\n" in text
    # A against C: ") ," and "song ." are two words replaced and two left out of 11, two spaces left out of 41 signs
    table = {line.split("  ")[0]: line.split() for line in text.splitlines()}
    assert table["WER"][1:] == ["36.36%", "0.00%"]
    assert table["WER, punctuation isolated"][-2:] == ["0.00%", "0.00%"]
    assert table["CER"][1:] == ["4.88%", "0.00%"]
    assert "95% by writer" in text
    assert "No verdict: the references of 9 of these lines differ" in text
    assert verdicts(a, c) == [("cannot tell", "cannot tell")]
    assert "WER cannot tell: -36.36" in text


def test_paired_test_decides_what_intervals_leave_open(tmp_path):
    first = noisy(0, 0.3)
    # one error fewer in every fifth line: far less than the intervals are wide
    second = []
    for n, (said, heard) in enumerate(first):
        at = heard.find("x") if n % 5 == 0 else -1
        second.append((said, heard if at < 0 else heard[:at] + said[at] + heard[at + 1 :]))
    a, b = write(tmp_path / "a", first), write(tmp_path / "b", second)
    assert a["scores"]["cer"]["interval"][0] < b["scores"]["cer"]["rate"]
    text = compare(a, b)
    assert verdicts(a, b) == [("better", "better")]
    assert verdicts(b, a) == [("worse", "worse")]
    assert re.search(
        r"WER better: -[\d.]+ \(95% -[\d.]+ to .* by line, .* by writer\); MAPSSWE over \d+ segments", text
    )
    assert re.search(r"CER better: -[\d.]+ .*; permutation of lines, p < 0.0001", text)
    assert "by 8 writers: B better for 8, worse for 0; permutation p 0.0078" in text  # 2 of 2^8
    assert verdicts(a, a) == [("cannot tell", "cannot tell")]


def test_matched_pairs_by_hand(tmp_path):
    # 30 lines where A has one word wrong and B none, 10 where B has; each is a segment: mean 0.5, variance
    # (30 * 0.25 + 10 * 2.25) / 39 = 30 / 39, z = 0.5 / sqrt(30 / 39 / 40) = 3.606
    right, wrong = ("one two three", "one two three"), ("one two three", "one too three")
    a, b = write(tmp_path / "a", [wrong] * 30 + [right] * 20), write(tmp_path / "b", [right] * 40 + [wrong] * 10)
    assert "MAPSSWE over 40 segments, z 3.61, p 0.0003" in compare(a, b)
    assert "Lines without a word error: B alone 30, A alone 10; McNemar p 0.0022" in compare(a, b)
    # of few segments one-sided errors are no proof, though z is infinite: 2 of 2 ** 5 ways to share out five errors
    few = write(tmp_path / "few", [wrong] * 5 + [right] * 45), write(tmp_path / "none", [right] * 50)
    assert verdicts(*few)[0][0] == "cannot tell"
    assert "MAPSSWE over 5 segments, z inf, p < 0.0001, but only 5 differ: with their permutation p 0.0625" in (
        compare(*few)
    )
    assert "where fewer than 30 segments differ their permutation too" in compare(*few)
    # at 22 against 18 nothing is decided
    c = write(tmp_path / "c", [right] * 28 + [wrong] * 22)
    assert verdicts(a, c) == [("cannot tell", "cannot tell")]


def test_several_models_are_corrected_for(tmp_path):
    wrong, right = ("one two three", "one too three"), ("one two three", "one two three")
    # against A, B is right in 9 lines more and wrong in 1 more: mean 0.8, variance (10 - 6.4) / 9,
    # z = 0.8 / sqrt(0.04); of the 2^10 ways to share them out 2 (1 + 10) are as uneven
    a = write(tmp_path / "a", [wrong] * 9 + [right] * 91)
    b = write(tmp_path / "b", [right] * 9 + [wrong] + [right] * 90)
    assert verdicts(a, b)[0][0] == "better"
    same = [write(tmp_path / f"s{n}", [wrong] * 9 + [right] * 91) for n in range(3)]
    assert verdicts(a, b, *same)[0][0] == "cannot tell"
    text = compare(a, b, *same)
    assert "Holm" in text
    assert "z 4.00, p < 0.0001, but only 10 differ: with their permutation p 0.0215, corrected 0.0859" in text


def seeds(folder, rates):
    return [write(folder / f"run{n}", noisy(n + 50, rate, 100)) for n, rate in enumerate(rates)]


def test_runs_of_one_model_are_a_group(tmp_path):
    a, b = seeds(tmp_path / "a", [0.3, 0.31, 0.29]), seeds(tmp_path / "b", [0.15, 0.16, 0.14])
    assert verdicts(a, b) == [("better", "better")]
    text = compare(a, b)
    assert "Welch's t over 3 and 3 runs" in text
    rates = [run["scores"]["cer"]["rate"] * 100 for run in a]
    row = next(line for line in text.splitlines() if line.startswith("CER "))
    assert row.split()[1] == f"{sum(rates) / 3:.2f}%"
    assert f"{min(rates):.2f} to {max(rates):.2f}" in text
    # runs far apart: the lines say yes, the seeds do not know
    wide = [seeds(tmp_path / "c", [0.1, 0.5])[0], seeds(tmp_path / "c", [0.1, 0.5])[1]]
    assert verdicts(wide, seeds(tmp_path / "d", [0.2, 0.2])) == [("cannot tell", "cannot tell")]
    # one run against several says nothing
    assert verdicts(a[0], b) == [("cannot tell", "cannot tell")]
    assert "A is a single run" in compare(a[0], b)


def test_other_rules_are_warned_of(tmp_path):
    a, b = (
        write(tmp_path / "a", noisy(0, 0.3), rules=["lower case"]),
        write(tmp_path / "b", noisy(1, 0.1), rules=["as is"]),
    )
    text = compare(a, b)
    assert text.startswith("WARNING: the lines were not scored by the same rules")
    assert "A alone: lower case\n  B alone: as is" in text
    assert verdicts(a, b) == [("cannot tell", "cannot tell")]
    assert compare_rules(a, a) is None
    del b["rules"]  # an older report
    assert compare_rules(a, b) is None


def test_order_of_lines_does_not_matter(tmp_path):
    a = write(tmp_path / "a", noisy(0, 0.3))
    b = json.loads(json.dumps(a))
    random.Random(0).shuffle(b["lines"])
    assert [j.difference for j in compare_contenders(contenders(a, b))[0].judgements] == [0, 0]


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
    assert row.split()[-2] == "-"


def test_report_without_words_or_texts_is_judged_by_what_it_has(tmp_path):
    a = write(tmp_path / "a", noisy(0, 0.3))
    b = copy.deepcopy(a)
    for line in b["lines"]:
        del line["reference"], line["hypothesis"]
    assert "MAPSSWE over" not in compare(b, b)
    for line in b["lines"]:
        del line["words"]
    assert [j.measure for j in compare_contenders(contenders(b, b))[0].judgements] == ["cer"]
    assert different_lines(compare_contenders(contenders(b, b))[0]) == ([], 0)


def test_verb_takes_files_and_folders_and_compares_each_with_the_first(tmp_path):
    for name, rate in (("a", 0.3), ("b", 0.2), ("c [bold]", 0.1)):
        write(tmp_path / name, noisy(0, rate))
    found, output = printed([tmp_path / "a", tmp_path / "b" / "report.json", tmp_path / "c [bold]"])
    assert [(c.first.letter, c.other.letter) for c in found] == [("A", "B"), ("A", "C")]
    assert f"A: a ({tmp_path / 'a'})\n" in output  # nothing wrapped, no markup read
    assert f"C: c [bold] ({tmp_path / 'c [bold]'})\n" in output


def test_verb_keeps_names_to_their_line(tmp_path):
    name = "a\x1b[2J\x07\nC: forged \u202eb"
    write(tmp_path / "a", noisy(0, 0.3), name=name, decoder="greedy", rules=["x\x1b[31m\ny"])
    write(tmp_path / "b", noisy(0, 0.2), decoder="beam", rules=["z"])
    _, output = printed([tmp_path / "a", tmp_path / "b"], page=str(tmp_path / "page.html"))
    assert f"A: a[2J C: forged b, greedy ({tmp_path / 'a'})\nB: b, beam ({tmp_path / 'b'})\n" in output
    assert "A alone: x[31m y\n" in output
    assert not re.search("[\x00-\x09\x0b-\x1f\u202e]", output + (tmp_path / "page.html").read_text())


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("a/report.json", r"ends in \.html"),
        ("a", "is a folder; name a page in it"),
        ("a/report.html", "would take the place of a report"),
        ("odd.html", "would take the place of a report"),
        ("link.html", "would take the place of a report"),
    ],
)
def test_page_never_takes_the_place_of_a_report(tmp_path, page, message):
    write(tmp_path / "a", noisy(0, 0.3))
    write(tmp_path / "b", noisy(0, 0.2))
    (tmp_path / "b" / "report.json").rename(tmp_path / "odd.html")
    (tmp_path / "link.html").symlink_to(tmp_path / "a" / "report.json")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match=message):
        printed([tmp_path / "a", tmp_path / "odd.html"], page=str(tmp_path / page))
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_comparison_is_printed_though_the_page_cannot_be_written(tmp_path):
    write(tmp_path / "a", noisy(0, 0.3))
    (tmp_path / "file").write_text("")
    console = Console(file=io.StringIO())
    with pytest.raises(OSError):
        compare_verb([str(tmp_path / "a")] * 2, console, page=str(tmp_path / "file" / "page.html"))
    assert "B against A" in console.file.getvalue()


def test_rule_tells_what_was_done(tmp_path):
    a, b = write(tmp_path / "a", noisy(0, 0.3)), write(tmp_path / "b", noisy(1, 0.1))
    other = write(tmp_path / "other", noisy(1, 0.1, 100))
    both = compare(a, b, b)
    assert "corrected for 2 comparisons by Holm's method" in both
    one = compare(a, b, other)  # other lines: one comparison is left, so nothing is corrected
    assert "Holm" not in one
    assert "(B against A; the others not tested)" in one
    assert "corrected" not in one
    mixed = compare(a, b, [b, b])  # several runs against one run are not tested
    assert "Welch" not in mixed
    assert "MAPSSWE" in mixed.splitlines()[-1]
    assert "Welch" in compare([a, a], [b, b]).splitlines()[-1]
    assert compare(a, other).endswith("Nothing was tested, so there is no verdict.")


def test_verb_takes_groups_and_refuses_a_run_given_twice(tmp_path):
    groups = [[str(tmp_path / x / f"run{n}") for n in range(2)] for x in "ab"]
    for x, rate in (("a", 0.3), ("b", 0.1)):
        seeds(tmp_path / x, [rate, rate])
    found, output = printed([], groups=groups)
    assert len(found) == 1
    assert "A: 2 runs of run0 (" in output
    with pytest.raises(UserError, match="given twice"):
        printed([], groups=[[groups[0][0], groups[0][0] + "/../run0"], groups[1]])


class Tags(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.links = [], "", []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name in ("src", "href") or name.startswith("on")]

    def handle_data(self, data):
        self.text += data


def test_page_shows_the_lines_where_they_differ(tmp_path):
    hostile = '<script>alert("x")</script> & \u202eabc'
    same = ("one two", "one two")
    write(tmp_path / "a", [("one two three", "one too three"), same, (hostile, hostile)], name=hostile)
    write(tmp_path / "b", [("one two three", "one two three"), same, (hostile, "x" + hostile)])
    found, output = printed([tmp_path / "a", tmp_path / "b"], page=str(tmp_path / "page.html"))
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    page = Tags(text)
    assert output.endswith(f"page: {tmp_path / 'page.html'}\n")
    assert not {"script", "img", "link", "iframe"} & set(page.tags)
    assert page.links == []
    assert 'alert("x")</script>' in page.text
    assert "A: 1 word error in 3 words" in page.text  # by words, as lines are long enough
    assert "WER: 95% by line" in page.text  # a row of intervals says of what
    assert re.findall(r"<h3><bdi>(.*?)</bdi>", text) == ["l0", "l2"]  # not l1
    assert "B makes 1 character error fewer" in page.text
    assert "B makes 1 character error more" in page.text
    assert different_lines(found[0])[1] == 2


def test_page_is_cut_and_says_so(tmp_path):
    pairs = [("ab cd", "ab cx")] * (MOST_LINES + 5)
    a, b = write(tmp_path / "a", pairs), write(tmp_path / "b", [("ab cd", "ab cd")] * len(pairs))
    models = contenders(a, b)
    text = render_differences(models, compare_contenders(models))
    assert f"{MOST_LINES} of {MOST_LINES + 5} lines read differently" in text
    assert text.count("<h3>") == MOST_LINES


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
        (b'{"format": "seqlab-report", "format_version": true}', "format_version True"),
        (b'{"format": "seqlab-report", "format_version": -3}', "format_version -3"),
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
        (("lines", 3, "words"), 3, "line l3 has no counts of words"),
        (("lines", 3, "words", "hits"), -5, "line l3 has no counts of words"),
        (("lines", 3, "words", "hits"), 10**400, "line l3 has no counts of words"),
        (("lines", 3, "words", "deletions"), 7, "line l3 has 3 words in its reference, but was counted otherwise"),
        (("lines", 3, "words", "insertions"), 7, "line l3 has 2 words in its hypothesis, but was counted otherwise"),
        (("lines", 4, "words"), dict(ZERO, hits=3), "line l4 has other errors of words than its texts"),
        (("lines", 3, "reference"), 7, "the reference of line l3 is 7"),
        (("lines", 3, "hypothesis"), ["x"], "the hypothesis of line l3 is"),
        (("lines", 3, "id"), "a\x1b[2J\nb", "counts"),
        (("rules",), 5, "rules is 5"),
        (("kind",), ["audio"], "kind is"),
        (("name",), {"a": 1}, "name is"),
        (("decoder",), 1, "decoder is 1"),
        (("scores", "interval_level"), [1], r"scores.interval_level is \[1\]"),
        (("scores", "interval_level"), 95, "scores.interval_level is 95"),
        (("scores", "wer", "rate"), math.nan, "scores.wer has no rate"),
        (("scores", "wer", "interval"), [0, -math.inf], "scores.wer.interval"),
        (("scores", "words"), 10**400, r"scores.words is 10+\.\.\.0+;"),
    ],
)
def test_damage_is_named(tmp_path, keys, value, message):
    record = write(tmp_path, noisy(0, 0.3, 5))
    node = record
    for key in keys[:-1]:
        node = node[key]
    node[keys[-1]] = value
    if keys[-1] == "id":
        record["lines"][3]["words"] = 3
    (tmp_path / "report.json").write_text(json.dumps(record))
    with pytest.raises(DataError, match=message) as caught:
        read_record(tmp_path)
    assert str(caught.value).isprintable()  # nothing a terminal would take for orders, whatever stands in the file
    assert len(str(caught.value)) < 300


def test_keys_of_a_later_version_do_no_harm(tmp_path):
    record = write(tmp_path, noisy(0, 0.3, 9))
    for line in record["lines"]:
        line["characters"]["more"] = 1
        line["speaker"] = None
    (tmp_path / "report.json").write_text(json.dumps(record | {"more": 1}))
    assert verdicts(read_record(tmp_path), record) == [("cannot tell", "cannot tell")]
