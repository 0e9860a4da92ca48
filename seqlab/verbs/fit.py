"""seqlab fit: own data to a model in one command: find, divide, choose, train, tune, evaluate."""

import argparse
import json
import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from seqlab.config import compose, conf_dir, quoted, read_overrides
from seqlab.errors import ConfigError, Preempted
from seqlab.files import atomic_write
from seqlab.fit.discover import LAYOUTS, LOOKED_FOR, RUN_FILE
from seqlab.fit.prepare import Wish, compose_fit, prepare
from seqlab.fit.split import TENTH
from seqlab.verbs.evaluate import evaluate
from seqlab.verbs.train import train
from seqlab.verbs.tune import tune

STATE = RUN_FILE  # in the run folder: what the command was, and which stages are done
# Settings that are fit's own.
OWN = ("run_dir", "resume", "overwrite", "experiment", "corpus", "init", "lm", "lag", "hydra")


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(
        "seqlab fit",
        description="From your own data to a trained recogniser: finds recordings, line images, page files, ink or "
        "arrays with their texts, divides them into train, dev and test, leaves out what cannot be learnt, chooses "
        "settings from the data and the machine, trains, tunes decoding on dev, and evaluates on test once. All that "
        "was chosen is an ordinary configuration, RUN/experiment/fit.yaml, which seqlab train repeats. Stopped, it "
        "goes on by the same command.",
        epilog=f"{LOOKED_FOR}\n\nexamples:\n"
        "  seqlab fit lines/                         a.png with a.gt.txt, to any depth: runs/lines\n"
        "  seqlab fit recordings.csv --minutes 60    columns of files, texts, speakers, found by themselves\n"
        "  seqlab fit list.tsv --media /data/clips --columns text=sentence speaker=client_id\n"
        "  seqlab fit pages/ --dry-run               PAGE XML, ALTO, hOCR: show what would be done\n"
        "  seqlab fit lines/ -o runs/big encoder.hidden_size=256    settings of seqlab train on top",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("source", metavar="SOURCE", help="folder, or table (CSV, TSV, JSONL)")
    made.add_argument(
        "overrides", metavar="KEY=VALUE", nargs="*", help="settings of seqlab train, on top of the chosen"
    )
    minutes = "for all of it: CPU minutes of one thread, minutes by the clock with several or a GPU (default 30)"
    made.add_argument("--minutes", type=float, default=30.0, help=minutes)
    made.add_argument("-o", "--output", metavar="RUN", help="run folder (default runs/NAME OF SOURCE)")
    made.add_argument("--dry-run", action="store_true", help="look, divide and choose; show it; leave nothing behind")
    made.add_argument("--overwrite", action="store_true", help="replace what the run folder holds")
    made.add_argument("--layout", choices=LAYOUTS, help="what SOURCE is, where it could be several things")
    made.add_argument("--recipe", metavar="NAME", help="go out from this experiment instead of the one that fits best")
    made.add_argument("--media", metavar="DIR", help="tables: folder that the media lie below, and paths count from")
    columns = "tables: column of media, text, speaker, split, id, start, end, as far as not guessed"
    made.add_argument("--columns", metavar="WHAT=NAME", nargs="+", default=[], help=columns)
    kinds = ("speaker", "document", "line")
    told = "what stays together (default: speakers where known, else pages or folders, else lines)"
    made.add_argument("--split-by", choices=kinds, help=told)
    shares = "shares of dev and test, where they are not given, kept as they are; TEST 0: none (default: a tenth each, "
    shares += "but 20 lines or more as far as train keeps half, 1000 at most)"
    made.add_argument("--shares", type=float, nargs=2, metavar=("DEV", "TEST"), help=shares)
    made.add_argument("--seed", type=int, default=1, help="of split and training (default %(default)s)")
    return made


def fit(arguments: Sequence[str], console: Console) -> int:
    """Run the verb; returns the exit status.

    Raises:
        ConfigError: options make no sense, or the run folder holds something else.
        DataError: the data are not understood or of no use.
        Preempted: it was told to end, and goes on by the same command.
    """
    given = parser().parse_intermixed_args(arguments)
    _check(given)
    source = Path(given.source).expanduser()
    place = source.resolve()
    name = re.sub(r"[^\w.-]+", "_", place.stem if source.is_file() else place.name) or "fit"
    wish = Wish(
        source,
        name,
        given.minutes,
        given.overrides,
        given.layout,
        Path(given.media).expanduser() if given.media else None,
        dict(pair.split("=", 1) for pair in given.columns),
        given.recipe,
        (given.shares[0], given.shares[1]) if given.shares else None,
        given.split_by,
        given.seed,
    )
    if given.dry_run:
        with tempfile.TemporaryDirectory() as folder:
            run = Path(folder) / name
            prepare(wish, run, console)
            text = (run / "experiment" / "fit.yaml").read_text(encoding="utf-8")
            _say(console, f"\n{text.replace(str(run), 'RUN')}\nnothing was trained, nothing is left behind")
        return 0
    run = Path(os.path.abspath(given.output or Path("runs") / name))
    state = _open(given, source, run)
    stages: dict[str, Callable[[], Any]] = {
        "prepared": lambda: prepare(wish, run, console),
        "trained": lambda: _train(run, console),
        "tuned": lambda: _tune(run, console),
        "evaluated": lambda: _evaluate(run, console),
    }
    if state["done"] == list(stages):
        _say(console, f"{run} is finished already, reports in {run / 'evaluate'}; --overwrite begins anew")
        return 0
    for stage, work in stages.items():
        if stage not in state["done"]:
            work()
            state["done"].append(stage)
            _write_state(run, state)
    again = ["seqlab", "train", "--config-dir", str(run), "experiment=fit", f"run_dir=runs/{name}-again"]
    _say(console, f"the same training again: {shlex.join(again)}")
    _say(console, f"use it: seqlab transcribe {shlex.quote(str(run))} FILE...")
    return 0


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def _check(given: argparse.Namespace) -> None:
    """Refuse options that make no sense."""
    if not 0.05 <= given.minutes <= 1e6:
        raise ConfigError(f"--minutes must be 0.05 or more, got {given.minutes:g}")
    dev, test = given.shares or (TENTH, TENTH)
    if not (0 < dev < 1 and 0 <= test < 1 and dev + test < 1):
        raise ConfigError(f"--shares: dev and test are shares of the lines that leave some to train, got {dev} {test}")
    if given.seed < 0:
        raise ConfigError(f"--seed must be 0 or more, got {given.seed}")
    for pair in given.columns:
        if "=" not in pair:
            raise ConfigError(f"--columns takes WHAT=NAME such as text=sentence, got {pair!r}")
    for override in given.overrides:
        key = override.split("=")[0].lstrip("+~")
        if "=" not in override:
            raise ConfigError(f"{override!r} is no KEY=VALUE; one folder or table is taken, settings follow it")
        if re.split("[./]", key)[0] in OWN:
            cures = {"run_dir": "--output", "overwrite": "--overwrite", "experiment": "--recipe"}
            cure = cures.get(key, "seqlab train for that")
            raise ConfigError(f"{key}: seqlab fit sets it by itself; use {cure}")
    read_overrides(given.overrides)
    if given.recipe and not (conf_dir() / "experiment" / f"{given.recipe}.yaml").is_file():
        known = ", ".join(path.stem for path in sorted((conf_dir() / "experiment").glob("*.yaml")))
        raise ConfigError(f"--recipe: there is no experiment {given.recipe!r}; there are {known}")


def _open(given: argparse.Namespace, source: Path, run: Path) -> dict[str, Any]:
    """Return the state of a run folder: new, or left by the same command."""
    asked = {k: v for k, v in vars(given).items() if k not in ("source", "output", "dry_run", "overwrite")}
    asked = json.loads(json.dumps(asked)) | {"source": os.path.abspath(source)}
    path = run / STATE
    if given.overwrite and path.is_file():
        for part in (run / "data", run / "experiment", run / "checkpoints", run / "evaluate"):
            shutil.rmtree(part, ignore_errors=True)
        for part in (path, run / "config.yaml", run / "decoding.yaml", run / "lm.ngram", run / "metrics.csv"):
            part.unlink(missing_ok=True)
    elif run.exists() and any(run.iterdir()) and not path.is_file():
        raise ConfigError(f"{run} holds something else; give another folder, --output RUN")
    if path.is_file():
        try:
            state: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            before, done = state["asked"], state["done"]
        except (ValueError, KeyError, TypeError):
            raise ConfigError(f"{path} is damaged; --overwrite begins anew") from None
        changed = sorted(k for k in asked if before.get(k) != asked[k])
        if changed and not done:  # nothing worth keeping: what was asked for was wrong
            for part in (run / "data", run / "experiment"):
                shutil.rmtree(part, ignore_errors=True)
            changed, before = [], asked
            _write_state(run, {"asked": asked, "done": []})
        if changed:
            told = "; ".join(f"{k} {before.get(k)}, now {asked[k]}" for k in changed)
            raise ConfigError(
                f"{run} was begun by another command ({told}); give another --output, or --overwrite to replace it"
            )
        return {"asked": asked, "done": list(done)}
    state = {"asked": asked, "done": []}
    _write_state(run, state)
    return state


def _write_state(run: Path, state: Mapping[str, Any]) -> None:
    with atomic_write(run / STATE) as file:
        json.dump(state, file, indent=1)


def _train(run: Path, console: Console) -> None:
    """Train, or go on where training was stopped."""
    resume = (run / "checkpoints" / "last.ckpt").is_file()
    config = compose_fit(run) | {"run_dir": str(run), "resume": resume, "overwrite": not resume}
    try:
        train(config, run, console)
    except Preempted as error:
        raise Preempted(str(error).replace("with resume=true", "by the same command")) from None


def _tune(run: Path, console: Console) -> None:
    """Tune decoding on dev, of many lines on some."""
    some = run / "data" / "dev_tune.jsonl"
    tune(str(run), console, dev=str(some) if some.is_file() else None)


def _evaluate(run: Path, console: Console) -> None:
    """Evaluate on test; where there is none, on dev, and say so."""
    tested = sorted(str(path) for path in run.glob("data/test*.jsonl"))
    if not tested:
        tested = [str(run / "data" / "dev.jsonl")]
        _say(console, "there is no test part: the rates of dev, on which decoding was tuned, flatter")
    config = compose("evaluate", [f"model={quoted(str(run))}"]) | {"model": str(run), "manifest": tested}
    evaluate(config, console)
