"""The studies of recipes/: the vanishing gradient by cell, variants of the LSTM at equal weights."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from torch import Tensor

from seqlab.cells.cell import Cell, State
from seqlab.cells.lstm_1997 import LSTM1997
from seqlab.config import build, compose
from seqlab.corpora.pendigits import prepare
from seqlab.errors import ConfigError
from seqlab.studies import append_row, mean_and_interval, read_rows
from tests.corpora.test_pendigits import unipen
from tests.scripts import ROOT, load

RECIPES = ROOT / "recipes"


measure = load(RECIPES / "vanishing_gradient" / "measure.py")
ablate = load(RECIPES / "ablation" / "ablate.py")


@pytest.mark.parametrize("name", ["vanishing_gradient", "ablation"])
def test_every_study_has_its_files(name: str) -> None:
    assert os.access(RECIPES / name / "run.sh", os.X_OK)
    readme = (RECIPES / name / "README.md").read_text(encoding="utf-8")
    assert f"recipes/{name}/run.sh" in readme
    assert "## Results" in readme


# ---- the vanishing gradient


class Halves(Cell):
    """h(t) = h(t-1) / 2 + x(t)."""

    def initial(self, lines: int, like: Tensor) -> State:
        return (like.new_zeros(lines, self.num_features),)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        h = state[0] / 2 + x
        return h, (h,)


def test_gradient_of_a_known_cell_is_exact() -> None:
    ratios = measure.gradient(Halves(3, 3), 40)
    np.testing.assert_allclose(ratios, 0.5 ** np.arange(40), rtol=1e-12)
    assert measure.decay(ratios) == pytest.approx(0.5)
    assert measure.decay(np.array([1.0, 0.0, 0.0])) == 0.0


@pytest.fixture(scope="module")
def curves() -> Callable[[str], np.ndarray]:
    known: dict[str, np.ndarray] = {}

    def curve(name: str) -> np.ndarray:
        if name not in known:
            torch.manual_seed(1)
            known[name] = measure.gradient(measure.cells(32, 1000)[name](), 1000)
        return known[name]

    return curve


@pytest.mark.parametrize(
    ("name", "lag", "low", "high"),
    [
        ("tanh RNN", 100, 0.0, 1e-20),
        ("GRU", 100, 0.0, 1e-12),
        ("LSTM, forget bias 0", 100, 0.0, 1e-12),
        ("LSTM, forget bias 1", 100, 1e-14, 1e-5),
        ("LSTM, chrono", 999, 1e-3, 1.0),
        ("LSTM, cec", 999, 1e-3, 1e2),
        ("LSTM 1997, truncated", 999, 1e-3, 1.0),
    ],
)
def test_what_is_left_of_the_gradient(
    name: str, lag: int, low: float, high: float, curves: Callable[[str], np.ndarray]
) -> None:
    assert low <= curves(name)[lag] <= high


def test_the_carousel_of_1997_is_flat(curves: Callable[[str], np.ndarray]) -> None:
    ratios = curves("LSTM 1997, truncated")[1:]
    assert ratios.max() / ratios.min() < 10  # over a thousand steps
    assert measure.decay(curves("LSTM 1997, truncated")) == pytest.approx(1.0, abs=1e-3)


def test_error_in_the_carousel_is_kept_exactly() -> None:
    torch.manual_seed(0)
    cell = LSTM1997(3, 2, 2, truncated=True).double()
    outputs, first = cell.initial(1, torch.zeros(1, dtype=torch.float64))
    first.requires_grad_()
    state: State = (outputs, first)
    for frame in torch.randn(1000, 1, 3, dtype=torch.float64):
        _, state = cell.step(frame, state)
    (slope,) = torch.autograd.grad(state[1].sum(), first)
    assert slope.tolist() == [[1.0] * 4]  # d s(1000) / d s(0)


def test_the_figure_and_its_table(tmp_path: Path) -> None:
    command = [sys.executable, str(RECIPES / "vanishing_gradient" / "measure.py"), "--length", "30", "--units", "4"]
    done = subprocess.run([*command, "-o", "v.svg"], cwd=tmp_path, capture_output=True, text=True)
    *rows, seconds = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (int(float(seconds.split()[0]) > 10), "")
    names = list(measure.cells(4, 30))
    assert [row.split(" | ")[0].strip("| ") for row in rows[2:]] == names
    assert len({row.count("|") for row in rows}) == 1
    texts = {element.text for element in ElementTree.parse(tmp_path / "v.svg").iter("{http://www.w3.org/2000/svg}text")}
    assert set(names) <= texts
    done = subprocess.run([*command, "-o", "v.png"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, "ends in .svg" in done.stderr) == (2, True)


# ---- the ablation


def test_variants_have_equal_weights() -> None:
    vanilla = compose("train", ablate.settings_of("vanilla", "pendigits", 64))
    units = 64
    found = ablate.count_weights(vanilla, units)
    inputs = build(vanilla["frontend"], "frontend").num_features
    assert found == 2 * (4 * units * (inputs + units + 1) + 3 * units)  # Gers et al. 2002, both ways
    for variant, allowed in {"no_forget_gate": 0.02, "gru": 0.02, "tanh_rnn": 0.02, "slstm": 0.05}.items():
        size, weights = ablate.units_for(variant, "pendigits", found)
        assert size > units
        assert abs(weights - found) <= allowed * found, variant
    with pytest.raises(ConfigError, match="nonsense"):
        ablate.units_for("gru", "pendigits", found, ["encoder.nonsense=1"])


def test_every_variant_differs_from_the_vanilla_cell_in_one_part() -> None:
    cells = {v: compose("train", ablate.settings_of(v, "fsdd", 8))["encoder"]["cell"] for v in ablate.VARIANTS}
    switched = [v for v, cell in cells.items() if cell["_target_"] == cells["vanilla"]["_target_"] and v != "vanilla"]
    assert len(switched) == 7
    for variant in switched:
        different = {k for k, value in cells[variant].items() if value != cells["vanilla"][k]}
        assert len(different) == 1, variant


def rows(**rates: list[float]) -> list[dict[str, Any]]:
    shared = {"units": 64, "weights": 1000, "cpu_minutes": 2.0, "resumed": False}
    return [
        {"variant": v, "seed": n, "cer": rate} | shared for v, each in rates.items() for n, rate in enumerate(each, 1)
    ]


def test_intervals_are_those_of_student() -> None:
    mean, low, high = mean_and_interval([1.0, 2.0, 3.0])
    assert (mean, (high - low) / 2) == pytest.approx((2.0, 4.302653 / math.sqrt(3)), abs=1e-5)  # t of 2 degrees, s = 1
    assert math.isnan(mean_and_interval([1.0])[1])


def test_a_row_that_was_cut_short_is_left_out_and_written_past(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    assert read_rows(path) == []
    append_row(path, {"a": 1})
    with path.open("a") as file:
        file.write('{"a": 2, "b')
    assert read_rows(path) == [{"a": 1}]
    append_row(path, {"a": 3})
    assert read_rows(path) == [{"a": 1}, {"a": 3}]


def test_table_and_picture_say_what_the_rows_say() -> None:
    found = rows(gru=[0.02, 0.04, 0.06], vanilla=[0.01, 0.02, 0.03])
    lines = ablate.table(found).splitlines()
    assert lines[2].startswith("| vanilla | 64 | 1,000 | 2.00 (1.00, 2.00, 3.00) | 0.00-4.48 |")
    assert "| 4.00 (2.00, 4.00, 6.00) | 0.00-8.97 | +2.00 (-0.48 to +4.48) |" in lines[3]
    root = ElementTree.fromstring(ablate.draw(found, "made up").svg())
    marks = [float(e.attrib["x"]) for e in root.iter("{http://www.w3.org/2000/svg}rect") if e.get("class") == "mark"]
    assert len(marks) == 6
    doubled = [b - a for a, b in zip(marks[:3], marks[3:], strict=True)]  # on a logarithmic scale
    assert doubled == pytest.approx([doubled[0]] * 3, abs=0.2)


@pytest.mark.slow
def test_study_trains_scores_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    folder = tmp_path / "uci"
    folder.mkdir()
    for part, writers in (("tra", (1, 2)), ("tes", (1,))):
        samples = [(str(d), writer) for writer in writers for d in range(10)]
        (folder / f"pendigits-orig.{part}").write_text(unipen(samples))
    prepare(str(folder), str(tmp_path / "data"), 12, 4, 4, dev_writers=["tr02"])
    command = [sys.executable, str(RECIPES / "ablation" / "ablate.py"), "corpus.folder=data", "max_faulty=1.0"]
    options = ["--variants", "vanilla", "no_forget_gate", "--units", "4", "--epochs", "1", "-o", "out"]

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, *options, *more], cwd=tmp_path, capture_output=True, text=True, timeout=300)

    done = run("--seeds", "1")
    assert done.returncode == 0, done.stderr
    results = [json.loads(line) for line in (tmp_path / "out" / "results.jsonl").read_text().splitlines()]
    assert [(row["variant"], row["seed"], row["units"]) for row in results] == [
        ("vanilla", 1, 4),
        ("no_forget_gate", 1, 5),
    ]
    for row in results:
        own = tmp_path / "out" / f"{row['variant']}-1" / "evaluate" / "report.json"
        assert row["cer"] == json.loads(own.read_text())["scores"]["cer"]["rate"]
        assert row["cpu_minutes"] > 0
    assert "| no_forget_gate | 5 |" in (tmp_path / "out" / "README.md").read_text()
    ElementTree.parse(tmp_path / "out" / "ablation.svg")
    again = run("--seeds", "1")  # nothing left to do
    assert again.stdout.startswith("| variant |")
    other = run("--seeds", "1", "--epochs", "2")
    assert (other.returncode, "results of other settings" in other.stderr) == (2, True)
