"""The reliability diagram and where the report tells of it."""

import json
import re

import pytest

from seqlab.report import EvaluatedLine, Evaluation, write_report
from seqlab.report.diagram import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, draw_reliability
from seqlab.report.headline import headline
from seqlab.scoring import reliability

ROWS = [
    EvaluatedLine("1", None, "one two", "one too", 1.0, [0.95, 0.85]),
    EvaluatedLine("2", None, "three four", "three", 1.0, [0.85]),
    EvaluatedLine("3", None, "five", "", 1.0, []),
]


def test_marks_lie_where_the_values_say() -> None:
    found = reliability([0.75, 0.75, 0.25], [True, False, False])
    assert found is not None
    chart = draw_reliability(found)
    marks = re.findall(r'class="mark curve-1" d="M([\d.]+) ([\d.]+)h', chart.svg)
    x, y = (float(value) + 3 for value in marks[1])
    assert len(marks) == 2
    assert (x - LEFT) / (WIDTH - LEFT - RIGHT) == pytest.approx(0.75, abs=1e-3)
    assert (HEIGHT - BOTTOM - y) / (HEIGHT - TOP - BOTTOM) == pytest.approx(0.5, abs=1e-3)
    assert chart.svg.count('class="bar"') == chart.svg.count('class="gap"') == 2
    assert "ECE) 0.2500" in chart.notes[0]
    assert "Of 3 words recognised 33.33 % are right; their mean confidence is 0.5833" in chart.notes[1]


def test_report_holds_the_calibration(tmp_path) -> None:
    evaluation = Evaluation("test", ROWS)
    paths = write_report(tmp_path, evaluation)
    record = json.loads(paths["report.json"].read_text())
    assert record["calibration"]["ece"] == pytest.approx((0.05 + 2 * 0.35) / 3)
    assert record["calibration"]["count"] == 3
    assert [line["word_confidences"] for line in record["lines"]] == [[0.95, 0.85], [0.85], []]
    assert [line["words_correct"] for line in record["lines"]] == [[True, False], [True], []]
    page = paths["report.html"].read_text()
    assert '<h2 id="confidence">Confidence</h2>' in page
    assert "ECE 0.2500" in page
    # entropy of 2/3: 0.9183 bit; costs 0.0740, 2.7370 and 0.2345, mean 1.0152: NCE 1 - 1.0152 / 0.9183
    assert re.search(r"confidence +ECE 0.2500, NCE -0.105 over 3 words", headline(evaluation, evaluation.score()))


def test_report_without_confidences_says_nothing_of_them(tmp_path) -> None:
    evaluation = Evaluation("test", [EvaluatedLine("1", None, "one", "one")])
    paths = write_report(tmp_path, evaluation)
    record = json.loads(paths["report.json"].read_text())
    assert record["calibration"] is None
    assert record["lines"][0]["words_correct"] is None
    assert '<h2 id="confidence">Confidence</h2>' not in paths["report.html"].read_text()
    assert "ECE" not in headline(evaluation, evaluation.score())
