"""seqlab train experiment=long_lag/...: what it writes, what it refuses; every experiment composes; the runner."""

import csv
import json
from pathlib import Path
from types import ModuleType

import pytest
import torch
import yaml

from seqlab.config import build, compose, conf_dir, load_yaml
from seqlab.lab.loop import Loop
from seqlab.scoring.wilson import wilson_interval
from tests.conftest import Run
from tests.scripts import ROOT, load

LAGS = sorted((conf_dir() / "lag").glob("*.yaml"))
EXPERIMENTS = sorted((conf_dir() / "experiment" / "long_lag").glob("*.yaml"))
TINY = ["experiment=long_lag/adding", "lag.max_sequences=64", "lag.test_size=20", "lag.log_every=20", "run_dir=run"]


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda p: p.stem)
def test_every_experiment_composes_and_builds(path: Path) -> None:
    config = compose("train", [f"experiment=long_lag/{path.stem}"])
    assert config["name"] == path.stem
    loop: Loop = build(config["lag"], "lag")
    network = loop.network(build(config["encoder"], "encoder", input_size=loop.task.num_inputs))
    assert build(config["optimizer"], "optimizer", params=list(network.parameters()))
    assert path.read_text(encoding="utf-8").splitlines()[1].startswith("# ")


def test_every_lag_has_an_experiment_and_names_every_argument() -> None:
    names = {path.stem for path in EXPERIMENTS}
    for path in LAGS:
        assert path.stem in names
        node = yaml.safe_load(path.read_text(encoding="utf-8"))
        code = Loop.__init__.__code__
        assert set(node) - {"_target_"} == set(code.co_varnames[1 : code.co_argcount])


def test_a_run_leaves_its_folder(seqlab: Run) -> None:
    done = seqlab("train", *TINY)
    assert done.returncode == 0, done.stderr
    assert "not learnt (no more sequences) after 64 sequences" in done.stdout
    assert "of 20 fresh sequences wrong" in done.stdout
    result = json.loads(Path("run/result.json").read_text())
    assert result["solved"] is False
    assert result["sequences"] == 64
    assert result["parameters"] == 4 * 32 * (2 + 32 + 1) + 33
    assert result["seed"] == 1
    assert result["criterion"].startswith("2000 successive")
    with open("run/metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [32, 64]
    config = load_yaml("run/config.yaml")
    assert set(config) == {"name", "run_dir", "seed", "lag", "encoder", "optimizer", "schedule"}
    loop: Loop = build(config["lag"], "lag")
    network = loop.network(build(config["encoder"], "encoder", input_size=2))
    network.load_state_dict(torch.load("run/model.pt", weights_only=True), strict=True)


def test_a_taken_folder_is_kept_unless_told(seqlab: Run) -> None:
    assert seqlab("train", *TINY).returncode == 0
    first = Path("run/result.json").read_text()
    done = seqlab("train", *TINY, "seed=2")
    assert done.returncode == 2
    assert "already holds a run" in done.stderr
    assert Path("run/result.json").read_text() == first
    assert seqlab("train", *TINY, "seed=2", "overwrite=true").returncode == 0
    assert json.loads(Path("run/result.json").read_text())["seed"] == 2
    assert Path("run/metrics.csv").read_text().count("step") == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["resume=true"], "learnt in one go"),
        (["init.model=other"], "init.model"),
        (["corpus=fsdd"], "leave out: corpus"),
        (["corpus.train=[mine.jsonl]"], "leave out: corpus.train"),
        (["stem=none"], "leave out: stem"),
        (["frontend.num_mels=20", "data.batch_frames=5"], "leave out: frontend.num_mels, data.batch_frames"),
        (["training.max_epochs=3"], "training.max_epochs"),
        (["lm=lstm"], "leave out: lm"),
        (["lag.batch_size=0"], "batch_size must be 1"),
        (["lag.task.length=3"], "length must be 20"),
        (["lag.task.lenght=30"], "did you mean 'length'?"),
        (["lag.outputs=hinge"], "lag.outputs: must be one of"),
        (["lag.outputs=softmax"], "softmax needs"),
        (["lag=reber", "lag.outputs=softmax", "encoder.bidirectional=true"], "reads one way"),
        (["encoder.cell.init=chrono", "encoder.cell.longest_lag=null"], "longest_lag"),
        (["experiment=long_lag/addition"], "long_lag/addition"),
    ],
)
def test_what_makes_no_sense_is_refused(seqlab: Run, settings: list[str], message: str) -> None:
    kept = [t for t in TINY if t.partition("=")[0] not in {s.partition("=")[0] for s in settings}]
    done = seqlab("train", *kept, *settings)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not Path("run/result.json").exists()


def test_threads_and_other_encoders_may_be_chosen(seqlab: Run) -> None:
    changed = ["encoder=lstm", "~encoder.cell", "training.threads=1", "encoder.hidden_size=8"]
    done = seqlab("train", "lag=adding", *TINY[1:], *changed[0:1], *changed[2:])
    assert done.returncode == 0, done.stderr
    assert "encoder" in load_yaml("run/config.yaml")


def test_wilson_interval() -> None:
    # worked by hand for z = 1.96: n = 10
    assert wilson_interval(10, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)
    assert wilson_interval(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson_interval(9, 10) == pytest.approx((0.5958, 0.9821), abs=1e-4)
    low, high = wilson_interval(37, 120)
    for edge in (low, high):  # the edges solve (p - share)^2 = z^2 p (1 - p) / n
        assert (edge - 37 / 120) ** 2 == pytest.approx(1.96**2 * edge * (1 - edge) / 120)
    for wrong in ((3, 2), (-1, 2), (0, 0)):
        with pytest.raises(ValueError, match="successes"):
            wilson_interval(*wrong)


@pytest.fixture(scope="module")
def table() -> ModuleType:
    return load(ROOT / "recipes" / "long_lag" / "table.py")


def test_every_cell_of_the_table_composes(table: ModuleType) -> None:
    for cell in table.CELLS:
        task = "continual_reber" if cell.startswith("2000") else "adding"
        config = compose("train", table.settings_of((task, cell, 1, ())))
        build(config["encoder"], "encoder", input_size=2)
    assert set(table.PUBLISHED) == {path.stem for path in LAGS}


def row(cell: str, seed: int, sequences: int, solved: bool = True) -> dict[str, object]:
    result = {"solved": solved, "sequences": sequences, "cpu_seconds": 2.0, "parameters": 93, "test": {"wrong": seed}}
    return {"task": "adding", "cell": cell, "seed": seed, "set": []} | result


def test_the_table_by_hand(table: ModuleType) -> None:
    rows = [row("gru", 1, 200_000, False), *(row("lstm", s, 1000 * s) for s in (1, 2, 3, 4))]
    rows.append(row("lstm", 5, 99, False))
    lines = table.table(rows).splitlines()
    assert lines[2] == (  # 4 of 5: 0.3755-0.9638
        "| adding |  | lstm | 93 | 4 of 5 | 38-96 % | 2,500 (1,750-3,250) | 2.0 | 2 (2-3) | 74,000 |"
    )
    assert lines[3] == "| adding |  | gru | 93 | 0 of 1 | 0-79 % |  | 2.0 |  | 74,000 |"
    assert table.picture(rows).count("<rect") == 1 + 4  # the page and one mark for each learnt


def test_missed_bars_are_told(table: ModuleType) -> None:
    ten = [row("lstm", s, 70_000) for s in range(1, 11)]
    for one in ten:
        one["test"] = {"mse": 0.001}
    assert table.missed(ten) == []
    assert table.missed([one | {"sequences": 74_001} for one in ten]) == [
        "adding, lstm: 10 of 10 learnt, median 74,001; the bar is 74,000"
    ]
    assert table.missed([*ten[:9], ten[9] | {"solved": False}]) == [
        "adding, lstm: 9 of 10 learnt, median 70,000; the bar is 74,000"
    ]
    assert table.missed([one | {"solved": False} for one in ten[:9]]) == []  # nine seeds say too little
    worse = [one | {"task": "multiplication", "test": {"mse": 0.03}} for one in ten]
    assert table.missed(worse) == ["multiplication, lstm: mean squared error 0.0300; the bar is 0.0223"]


def test_the_runner_goes_on_where_it_stopped(
    table: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: str) -> tuple[int, str, str]:
        tiny = ["--set", "lag.max_sequences=32", "lag.test_size=5"]
        status = table.main(["--tasks", "adding", "--out", str(tmp_path), *tiny, *arguments])
        return (status, *capsys.readouterr())

    status, told, _ = run("--seeds", "1")
    assert status == 0
    assert "1/1 adding lstm seed 1: not learnt (sequences)" in told
    with (tmp_path / "results.jsonl").open("a") as file:
        file.write('{"task": "addi')  # a line that was cut short
    assert "1/1 adding lstm seed 2" in run("--seeds", "2")[1]
    assert "0 of 2" in (tmp_path / "README.md").read_text()
    status, _, error = run("--seeds", "3", "--set", "lag.batch_size=x")
    assert status == 2
    assert "must be int" in error
