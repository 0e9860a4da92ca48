"""End to end beside a peer: both train on the same lines and the same CPU budget, and take turns on one thread.

python scripts/bench/beside.py EXPERIMENT FOLDER --minutes M --peer COMMAND --dev REGEX --test REGEX -o OUT [settings]

FOLDER holds the corpus's manifests, as corpus.folder of the experiment; settings are further ones of seqlab train. The
peer's command comes from outside of the project and runs where this is started. Each is stopped and continued by
signals, so that neither is ever ahead by more than --slice seconds of CPU time, counted by the kernel over all of its
processes from their start: imports, reading, validation. What a peer prints must reach its output at once; Python's
does. --dev finds its validations there, --test its last figure, each with one named group that holds the rate:
``percent`` or ``share`` of errors, or ``accuracy``, the share that is right. --then is run after training, where the
test figure is another command's; --stop ends a peer at the budget that does not keep one.

Printed are the dev rates of both at every CPU minute and whenever the peer validates; what lies between two validations
is drawn straight from one to the other, and marked ~, which flatters neither as long as rates fall less and less.
Then test: seqlab's by ``seqlab evaluate decoder=greedy`` of the checkpoint of the least dev CER, which is not counted,
as the peer's is not. With --tune ``seqlab tune`` is counted, too: a language model of the training's texts, weighed on
dev, goes along; both test rates are printed, and the tuned one is judged. training.budget_minutes is M minus --reserve:
seqlab's start, last validation and tuning are not in it.
Exit status 1: from minute --from on seqlab is not ahead at one of these times, it ends above --share of the peer's test
rate, or it took more than M; 2: one of them failed. OUT keeps both outputs and seqlab's run. Where numba's cache is
empty, let seqlab run once before, or compiling is in its budget.

The plain baselines, B being their folder, for twenty minutes of handwriting, and ten of digits:

    python scripts/bench/beside.py peraire PERAIRE --minutes 20 --tune --reserve 0.5 -o OUT \\
        --test '"test".*"cer": (?P<percent>[0-9.]+)' --dev '(?:"dev".*"cer"|"dev_cer"): (?P<percent>[0-9.]+)' \\
        --peer "python B/plain_htr.py --data PERAIRE --cpu-min 20 --chan 16,32,64,128 --hidden 192 --batch 4 \\
        --height 48 --shortcut 0.3 --lr 1.5e-3 --dropout 0.25 --out OUT/peer"

    python scripts/bench/beside.py fsdd FSDD --minutes 10 -o OUT --metric wer \\
        --test '"test".*"wer": (?P<percent>[0-9.]+)' --dev '(?:"dev".*"wer"|"dev_wer"): (?P<percent>[0-9.]+)' \\
        --peer "python B/plain_speech.py --data FSDD --cpu-min 10 --batch 8 --rejoin 1 --stack 2"

and for a voice never heard, the split without nicolas written first:

    python -c "import sys; sys.path.insert(0, 'recipes/fsdd_loso'); from pathlib import Path; import loso; \\
        loso.leave_out(Path('FSDD'), 'nicolas', Path('SPLIT'))"
    python scripts/bench/beside.py fsdd_loso SPLIT --minutes 5 -o OUT --metric wer ... \\
        --peer "python B/plain_speech.py --data SPLIT --cpu-min 5 --batch 8 --rejoin 1 --stack 2"
"""

import argparse
import contextlib
import csv
import json
import math
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from timing import bar, versions

TICKS = os.sysconf("SC_CLK_TCK")
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
SEQLAB = [sys.executable, "-m", "seqlab"]
POLL = 0.25  # seconds between two looks at a contender
Known = tuple[float, float]  # CPU minutes, and the rate in per cent of a validation then
Row = tuple[float, float | None, float | None]  # a minute, and the rates of seqlab and of the peer


class Contender:
    """A training as a process group of its own, stopped until its turn.

    Args:
        name: what it is called.
        command: program and arguments.
        log: file that all it prints goes to.
        rates: returns all dev rates that it has told so far, in per cent.

    Attributes:
        cpu_s: CPU seconds of all of its processes.
        known: its validations.
        status: exit status; None while it runs.
    """

    def __init__(self, name: str, command: Sequence[str], log: Path, rates: Callable[[], list[float]]) -> None:
        self.name, self.log, self.rates = name, log, rates
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=os.environ | ONE_THREAD | {"PYTHONUNBUFFERED": "1"},
                start_new_session=True,
            )
        self.signal(signal.SIGSTOP)
        self.cpu_s = 0.0
        self.known: list[Known] = []
        self.status: int | None = None

    def signal(self, number: int) -> None:
        """Send all of its processes a signal."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def turn(self, seconds: float) -> None:
        """Let it run for so many CPU seconds, or to its end."""
        until = self.cpu_s + seconds
        self.signal(signal.SIGCONT)
        while self.status is None and self.cpu_s < until:
            time.sleep(POLL)
            self.cpu_s = max(self.cpu_s, session_cpu(self.process.pid))  # before the end is noticed: then it is gone
            self.status = self.process.poll()
            for rate in self.rates()[len(self.known) :]:
                self.known.append((self.cpu_s / 60, rate))
        self.signal(signal.SIGSTOP)

    def end(self) -> None:
        """End all of its processes."""
        self.signal(signal.SIGKILL)
        self.process.wait()


def session_cpu(leader: int) -> float:
    """Return the CPU seconds of a session's processes, those of their ended children included."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has just ended
            fields = stat.read_text(errors="replace").rpartition(")")[2].split()
            if int(fields[3]) == leader:
                ticks += sum(map(int, fields[11:15]))
    return ticks / TICKS


def told(text: str, pattern: "re.Pattern[str]") -> list[float]:
    """Return the rates in per cent that a pattern finds in whole lines of an output."""
    worth = {"percent": lambda x: x, "share": lambda x: 100 * x, "accuracy": lambda x: 100 * (1 - x)}
    whole = text[: text.rfind("\n") + 1]
    groups = (found.groupdict() for found in pattern.finditer(whole))
    return [of(float(group[name])) for group in groups for name, of in worth.items() if group.get(name)]


def logged(metrics: Path, name: str) -> list[float]:
    """Return the rates in per cent of a run's validations."""
    if not metrics.exists():
        return []
    with metrics.open(newline="", encoding="utf-8") as file:
        return [100 * float(row[name]) for row in csv.DictReader(file) if row.get(name)]


def at(known: Sequence[Known], minute: float) -> float | None:
    """Return the rate at a minute: between two validations on the line from one to the other, after all the last."""
    if not known or minute < known[0][0]:
        return None
    return float(np.interp(minute, [when for when, _ in known], [rate for _, rate in known]))


def race(ours: Sequence[Known], peer: Sequence[Known], minutes: float) -> list[Row]:
    """Return the rates of both at every whole minute and at every validation of the peer."""
    times = sorted({*range(1, math.floor(minutes) + 1), *(minute for minute, _ in peer)})
    return [(minute, at(ours, minute), at(peer, minute)) for minute in times]


def behind(rows: Sequence[Row], first: float) -> int:
    """Count the times from a minute on at which the peer has a rate and ours is not below it."""
    return sum(minute >= first and peer is not None and (ours is None or ours >= peer) for minute, ours, peer in rows)


def group(text: str) -> "re.Pattern[str]":
    """Compile a pattern of --dev or --test."""
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no regular expression: {error}") from None
    if not pattern.groupindex.keys() & {"percent", "share", "accuracy"}:
        raise argparse.ArgumentTypeError(f"{text!r} names no group percent, share or accuracy, as (?P<percent>[0-9.]+)")
    return pattern


def take_turns(both: Sequence[Contender], slice_s: float, stop_s: float | None) -> None:
    """Run both to their ends; a peer, the second, is ended at stop_s CPU seconds.

    Raises:
        SystemExit: one failed.
    """
    while running := [one for one in both if one.status is None]:
        one = min(running, key=lambda one: one.cpu_s)
        one.turn(slice_s)
        if one.status is None and one is both[1] and stop_s and one.cpu_s >= stop_s:
            one.end()
            one.status = 0
        if one.status:
            last = "\n".join(one.log.read_text(errors="replace").splitlines()[-5:])
            print(f"{one.name} ended with status {one.status}; its output is {one.log}:\n{last}", file=sys.stderr)
            sys.exit(2)


def seqlab(log: Path, *arguments: str) -> float:
    """Run seqlab to its end; returns its CPU seconds."""
    before = os.times()
    with log.open("ab") as file:
        command, environment = [*SEQLAB, *arguments], os.environ | ONE_THREAD
        subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, env=environment, check=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def test_rate(run: Path, out: Path, metric: str, log: Path, *settings: str) -> float:
    """Evaluate a run with a report of that place; prints the rate in per cent with its interval, and returns it."""
    seqlab(log, "evaluate", f"model={run}", f"out={out}", *settings)
    score = json.loads((out / "report.json").read_text(encoding="utf-8"))["scores"][metric]
    rate, (low, high) = 100 * score["rate"], (100 * end for end in score["interval"])
    print(f"test {metric.upper()} %: seqlab, {out.name} {rate:.2f} ({low:.2f}-{high:.2f})")
    return float(rate)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment")
    parser.add_argument("folder")
    parser.add_argument("settings", nargs="*")
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--peer", required=True, type=shlex.split, metavar="COMMAND")
    parser.add_argument("--dev", required=True, type=group, metavar="REGEX")
    parser.add_argument("--test", required=True, type=group, metavar="REGEX")
    parser.add_argument("--then", type=shlex.split, metavar="COMMAND")
    parser.add_argument("--stop", action="store_true")
    parser.add_argument("--tune", action="store_true")
    parser.add_argument("--metric", choices=["cer", "wer"], default="cer")
    parser.add_argument("--from", dest="first", type=float, default=3.0)
    parser.add_argument("--share", type=float, default=0.8)
    parser.add_argument("--reserve", type=float, default=0.3)
    parser.add_argument("--slice", type=float, default=5.0)
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_intermixed_args()
    if given.minutes <= given.reserve:
        parser.error(f"--minutes {given.minutes:g} leaves nothing after --reserve {given.reserve:g}")
    out, run = given.output, given.output / "run"
    if run.exists():
        parser.error(f"{run} exists; give another folder with -o")
    out.mkdir(parents=True, exist_ok=True)
    limits = [f"training.budget_minutes={given.minutes - given.reserve:g}", "training.max_epochs=null", "logger=csv"]
    own = [f"experiment={given.experiment}", f"corpus.folder={given.folder}", f"run_dir={run}", *limits]
    print(f"{time.strftime('%Y-%m-%d')}; {versions()}; load {os.getloadavg()[0]:.1f}; one thread each, in turns")
    ours_log, peer_log = out / "seqlab.log", out / "peer.log"
    contenders: list[Contender] = []
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        metric = f"val/{given.metric}"
        commands = [*SEQLAB, "train", *own, *given.settings], given.peer
        contenders.append(Contender("seqlab", commands[0], ours_log, lambda: logged(run / "metrics.csv", metric)))
        heard = lambda: told(peer_log.read_text(errors="replace"), given.dev)  # noqa: E731
        contenders.append(Contender("the peer", commands[1], peer_log, heard))
        take_turns(contenders, given.slice, 60 * given.minutes if given.stop else None)
    except FileNotFoundError as error:
        parser.error(f"--peer: {error}")
    finally:
        for one in contenders:
            one.end()
    ours, peer = contenders
    if not peer.known:
        parser.error(f"--dev fits nothing of {peer_log}")
    print(f"\n| CPU minute | dev {given.metric.upper()} %, seqlab | the peer |\n|---|---|---|")
    rows = race(ours.known, peer.known, given.minutes)
    for minute, *pair in rows:
        cells = [
            "" if rate is None else f"{rate:.2f}" if (minute, rate) in one.known else f"~{rate:.2f}"
            for rate, one in zip(pair, contenders, strict=True)
        ]
        print(f"| {minute:.1f} | {' | '.join(cells)} |")
    if given.then:
        with peer_log.open("ab") as log:
            subprocess.run(given.then, stdout=log, stderr=subprocess.STDOUT, env=os.environ | ONE_THREAD, check=True)
    theirs = told(peer_log.read_text(errors="replace") + "\n", given.test)
    if not theirs:
        parser.error(f"--test fits nothing of {peer_log}")

    print()
    rate = test_rate(run, out / "greedy", given.metric, ours_log, "decoder=greedy")
    if given.tune:
        ours.cpu_s += seqlab(ours_log, "tune", str(run))
        rate = test_rate(run, out / "tuned", given.metric, ours_log)
    print(f"test {given.metric.upper()} %: the peer {theirs[-1]:.2f}")
    print(f"CPU minutes: seqlab {ours.cpu_s / 60:.2f}, the peer {peer.cpu_s / 60:.2f}, its test perhaps included\n")
    late = behind(rows, given.first)
    met = [
        bar(f"times from minute {given.first:g} on at which seqlab is not ahead", late, 0),
        bar("test rate, of the peer's", rate / theirs[-1] if theirs[-1] else math.inf, given.share),
        bar("CPU minutes of seqlab", ours.cpu_s / 60, given.minutes),
    ]
    sys.exit(0 if all(met) else 1)


if __name__ == "__main__":
    main()
