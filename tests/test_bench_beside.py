"""The bench beside a peer: both take turns, what they tell is read and judged as it says."""

import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.scripts import BENCH, load

WORK = """
import sys, time
for number in range(4):
    until = time.process_time() + 0.4
    while time.process_time() < until:
        pass
    print(f"dev {50 - 10 * number} %")
sys.exit(int(sys.argv[1]))
"""


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    return load(BENCH / "beside.py")


def test_rates_are_read_from_whole_lines_in_per_cent(bench: ModuleType) -> None:
    text = 'epoch 1 "dev_cer": 52.5\nepoch 2 "dev_cer": 31\nepoch 3 "dev_cer": 2'  # of the last the end is missing
    assert bench.told(text, re.compile('"dev_cer": (?P<percent>[0-9.]+)')) == [52.5, 31.0]
    assert bench.told("val_cer=0.25\n", re.compile("val_cer=(?P<share>[0-9.]+)")) == [25.0]
    assert bench.told("right 0.75\n", re.compile("right (?P<accuracy>[0-9.]+)")) == [25.0]
    assert bench.told("nothing\n", re.compile("right (?P<accuracy>[0-9.]+)")) == []


def test_rates_of_a_run(bench: ModuleType, tmp_path: Path) -> None:
    metrics = tmp_path / "metrics.csv"
    assert bench.logged(metrics, "val/cer") == []
    metrics.write_text("epoch,step,train/loss,val/cer\n0,9,1.5,\n0,12,,0.5\n1,19,1.25,\n1,24,,0.25\n")
    assert bench.logged(metrics, "val/cer") == [50.0, 25.0]


def test_rates_between_validations_and_equal_is_not_ahead(bench: ModuleType) -> None:
    ours = [(1.0, 80.0), (3.0, 30.0), (3.5, 20.0)]
    peer = [(1.5, 100.0), (3.0, 30.0), (3.25, 25.5), (4.25, 15.5)]
    rows = bench.race(ours, peer, 4.0)
    assert [minute for minute, _, _ in rows] == [1, 1.5, 2, 3, 3.25, 4, 4.25]
    assert rows[0] == (1, 80.0, None)
    assert rows[1] == (1.5, 67.5, 100.0)  # a quarter of the way from 80 to 30
    assert rows[4] == (3.25, 25.0, 25.5)
    assert rows[5] == (4, 20.0, pytest.approx(18.0))
    assert bench.behind(rows, 3.0) == 3  # at 3 equal, at 4 and 4.25 with 20; ahead at 3.25 with 25
    assert bench.behind(rows, 3.1) == 2
    assert bench.behind([(3, None, 90.0), (4, 50.0, None), (5, None, None)], 3.0) == 1


def test_a_pattern_must_say_what_it_finds(bench: ModuleType) -> None:
    with pytest.raises(Exception, match="names no group percent, share or accuracy"):
        bench.group("cer ([0-9.]+)")
    with pytest.raises(Exception, match="no regular expression"):
        bench.group("(?P<percent>[0-9.]+")


def contenders(bench: ModuleType, folder: Path, *codes: int) -> list[object]:
    found = []
    for number, code in enumerate(codes):
        log = folder / f"{number}.log"
        heard = lambda log=log: bench.told(log.read_text(), re.compile("dev (?P<percent>[0-9.]+)"))  # noqa: E731
        found.append(bench.Contender(f"number {number}", [sys.executable, "-c", WORK, str(code)], log, heard))
    return found


def test_two_processes_take_turns_and_their_rates_are_dated(bench: ModuleType, tmp_path: Path) -> None:
    both = contenders(bench, tmp_path, 0, 0)
    try:
        bench.take_turns(both, 0.2, None)
    finally:
        for one in both:
            one.end()
    for one in both:
        assert [rate for _, rate in one.known] == [50.0, 40.0, 30.0, 20.0]
        minutes = [minute for minute, _ in one.known]
        assert minutes == sorted(minutes)
        assert minutes[-1] > 1.2 / 60  # three works at least, of 0.4 CPU seconds each


def test_a_peer_is_stopped_at_the_budget_and_a_failure_is_told(
    bench: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = contenders(bench, tmp_path, 0, 0)
    bench.take_turns(both, 0.2, 0.9)
    assert both[1].process.poll() == -9
    assert len(both[1].known) < 4
    assert len(both[0].known) == 4
    for one in contenders(bench, tmp_path, 3, 0):
        both.append(one)
    with pytest.raises(SystemExit, match="2"):
        bench.take_turns(both[2:], 0.2, None)
    assert "number 0 ended with status 3; its output is" in capsys.readouterr().err
    both[3].end()


def test_wrong_use_ends_with_status_2(tmp_path: Path) -> None:
    given = ["fsdd", "FOLDER", "--peer", "true", "--dev", "(?P<percent>1)", "--test", "(?P<percent>1)"]
    command = [sys.executable, str(BENCH / "beside.py"), *given, "-o", str(tmp_path), "--minutes"]
    done = subprocess.run([*command, "0.2"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "leaves nothing after --reserve" in done.stderr
    (tmp_path / "run").mkdir()
    done = subprocess.run([*command, "5"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "give another folder with -o" in done.stderr
