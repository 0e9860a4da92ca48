"""The page of scripts/bench/all: figures are read from what benches print, never typed in."""

import runpy
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.scripts import BENCH, load


@pytest.fixture(scope="module")
def results() -> ModuleType:
    return load(BENCH / "results.py")


def goal(results: ModuleType, number: str, words: str) -> object:
    return next(g for g in results.GOALS if g.number == number and words in g.words)


def done(results: ModuleType, name: str, output: str, **more: object) -> object:
    bench = next(b for b in results.BENCHES if b.name == name)
    return results.Done(bench, f"python scripts/bench/{bench.command}", output, 3.0, **more)


def test_a_figure_beside_its_bar_is_what_timing_prints(results: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    timing = load(BENCH / "timing.py")
    assert timing.bar("fbank, times as fast as torchaudio's", 1.75, 1.6, least=True)
    assert not timing.bar("padding of it, %", 2.5, 2)
    output = capsys.readouterr().out
    assert output == (
        "ok: fbank, times as fast as torchaudio's: 1.75, bar >= 1.6\nMISSED: padding of it, %: 2.5, bar <= 2\n"
    )
    assert goal(results, "P1", "torchaudio").figure({"features": output}) == 1.75
    padding = goal(results, "P3", "padding")
    assert padding.figure({"data, plan": output}) == 2.5
    assert not padding.met(2.5)
    assert padding.figure({"data, plan": "nothing"}) is None
    assert padding.figure({}) is None


def test_page_tells_what_is_met_missed_left_out_and_failed(results: ModuleType) -> None:
    runs = [
        done(results, "features", "ok: fbank, times as fast as torchaudio's: 1.75, bar >= 1.6\n"),
        done(results, "data, plan", "MISSED: padding of it, %: 2.5, bar <= 2\n", status=1),
        done(results, "onnx", "OSError: no\n", status=2),
        results.Done(next(b for b in results.BENCHES if b.name == "an hour of audio"), told="needs --data"),
    ]
    page = results.page(runs, "python scripts/bench/all", "today; numpy 2.4.6", "## Notes\n")
    assert "| P1 | filterbank, times as fast as torchaudio's | 1.75 | >= 1.6 | yes | `python scripts/" in page
    assert "| P3 | padding of shuffled buckets, % | 2.5 | <= 2 | **no** |" in page
    assert (
        "| P13 | an hour to text, times as fast as eager and pyctcdecode | not measured | >= 4 | needs --data |" in page
    )
    assert "| P14 | runs with numpy of major version | 2 | >= 2 | yes |" in page
    assert "**failed**, exit status 2" in page
    assert "Left out: needs --data." in page


def test_the_page_is_there_after_each_bench(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(BENCH))
    script = runpy.run_path(str(BENCH / "all"))
    out = tmp_path / "page.md"

    def run(bench: Any, names: dict[str, str], quick: bool) -> object:
        if bench.name == "decode":
            raise KeyboardInterrupt
        return script["Done"](
            bench, "python ctc.py", "ok: 32 symbols, times as fast as torch's loss: 7, bar >= 5\n", 3.0
        )

    monkeypatch.setattr("sys.argv", ["all", "--only", "ctc", "decode", "-o", str(out)])
    main = script["main"]
    main.__globals__.update(run=run, machine=lambda: "today; numpy 2.4.6")
    with pytest.raises(KeyboardInterrupt):
        main()
    text = out.read_text(encoding="utf-8")
    assert "| P6 | CTC loss, 32 symbols, times as fast as torch's | 7 | >= 5 | yes | `python ctc.py` |" in text
    assert "### decode\n\nLeft out: not run yet." in text
    assert [path.name for path in tmp_path.iterdir()] == ["page.md"]


def test_every_goal_names_a_bench_and_every_bench_a_file(results: ModuleType) -> None:
    names = {bench.name for bench in results.BENCHES}
    assert len(names) == len(results.BENCHES)
    assert {goal.bench for goal in results.GOALS} <= names | {"machine"}
    assert {goal.number for goal in results.GOALS} == {f"P{n}" for n in range(1, 15)}
    for bench in results.BENCHES:
        assert (BENCH / bench.command.split()[0]).is_file(), bench.command
