"""The command line. The verbs live in seqlab/verbs and are imported when they run, so that help comes at once."""

import argparse
import atexit
import gc
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqlab import __version__
from seqlab.errors import Preempted, UserError

if TYPE_CHECKING:
    from rich.console import Console

HELP = """\
seqlab: train speech and handwriting recognisers with recurrent networks and CTC, and use them.

  seqlab prepare corpus=NAME         make the manifests of a corpus          (KEY=VALUE settings)
  seqlab doctor TRAIN.jsonl ...      faults of manifests; --machine: what suits it  (files, --options)
  seqlab fit FOLDER|TABLE            your own data to a model, all by itself (--options, KEY=VALUE settings)
  seqlab train experiment=NAME       train a model                           (KEY=VALUE settings)
  seqlab evaluate model=RUN          error rates and an HTML report          (KEY=VALUE settings)
  seqlab transcribe RUN FILE...      recordings, line images, ink to text     (files, --options)
  seqlab transcribe RUN PAGES -f pages -d OUT    PAGE, ALTO and hOCR files with their text filled in
  seqlab align RUN FILE TEXT         times of the words of a known text      (files, --options)
  seqlab inspect RUN FILE            a picture of gates, cells and posteriors over a line  (files, --options)
  seqlab tune RUN                    choose beam search and language model on dev  (files, --options)
  seqlab lm build TEXT -o MODEL      n-gram language models: build, convert, score  (files, --options)
  seqlab export RUN OUT              a model folder to share; --onnx: a graph without torch  (files, --options)
  seqlab serve MODEL...              a page to drop files on, speak to and write on; HTTP API  (--options)
  seqlab compare REPORT REPORT       reports of evaluate side by side         (files)
  seqlab completion bash             tab completion: eval "$(seqlab completion bash)"

From nothing to a recogniser in minutes, with synthetic speech:
  seqlab prepare                             # spoken digits, made on the spot: data/spoken_digits
  seqlab train experiment=spoken_digits      # runs/spoken_digits, a few CPU minutes
  seqlab evaluate model=runs/spoken_digits   # WER, CER, report.html
  seqlab transcribe runs/spoken_digits my.wav

Your own recordings, line images, pages, ink or arrays with their texts, in one command:
  seqlab fit my_data --minutes 30            # runs/my_data; seqlab fit --help

Step by step: a manifest is one JSON object per line,
  {"id": "a1", "audio": "audio/a1.wav", "text": "hello world", "speaker": "ann"}
  seqlab doctor train.jsonl dev.jsonl
  seqlab train corpus=manifest name=mine corpus.train=[train.jsonl] corpus.dev=[dev.jsonl]

Settings (train, prepare, evaluate) are KEY=VALUE; groups such as encoder=lstm choose a file of conf/.
  seqlab train --help                groups and every setting
  seqlab train --cfg job             the configuration that would run, without running it
  seqlab train -m seed=1,2,3         one run for each value
  seqlab train ... resume=true       go on after a stop, bit by bit as if there had been none

Exit status: 0 done, 1 some files failed (each is named), 2 wrong input (the message says what and where),
75 a training was told to end (SIGTERM, SIGUSR1), is saved and wants to be started again with resume=true
(fit: by the same command).
"""
REQUEUE = 75  # EX_TEMPFAIL of sysexits.h


def _console() -> "Console":
    from rich.console import Console

    return Console(emoji=False)


def _hydra(verb: str, arguments: Sequence[str]) -> int:
    """Run a verb that takes Hydra overrides."""
    from seqlab import config

    def job(settings: config.Config, folder: Path) -> float | None:
        if verb == "train":
            from seqlab.checkpoints import metric_in_name
            from seqlab.verbs.train import train

            return metric_in_name(train(settings, folder, _console()))
        elif verb == "prepare":
            from seqlab.verbs.prepare import prepare

            prepare(settings, _console())
        else:
            from seqlab.verbs.evaluate import evaluate

            evaluate(settings, _console())
        return None

    if verb == "evaluate" and (models := [a[6:] for a in arguments if a.startswith("model=")]):
        from seqlab.decoding import changed

        arguments = changed(models[-1], arguments)
    config.run(verb, arguments, job)
    return 0


def _transcribe(arguments: Sequence[str]) -> int:
    gc.set_threshold(50_000)  # modules and transcripts are many objects, hardly any of them garbage
    from seqlab.verbs.transcribe import transcribe

    return transcribe(arguments)


def _doctor(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        "seqlab doctor",
        description="Examine manifests: too few frames for CTC, unknown characters, wrong case, empty text, missing "
        "and broken files, wrong lengths, clipping, silence, outliers, lines in two splits. Names lines and cures.",
        epilog="exit status 1 when a line is unusable",
    )
    parser.add_argument("manifests", metavar="MANIFEST", nargs="*", help="the first is the training part")
    parser.add_argument(
        "-m", "--model", metavar="RUN", help="hold the lines to this trained model's alphabet and frames"
    )
    parser.add_argument(
        "-s",
        "--override",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="setting of seqlab train, e.g. stem.factor=2",
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="the whole list (default doctor.jsonl); with --machine: what --json prints (default: no file)",
    )
    parser.add_argument(
        "--machine", action="store_true", help="no manifests: measure this machine and say what suits it, and why"
    )
    parser.add_argument("--json", action="store_true", help="with --machine: as JSON on the standard output")
    given = parser.parse_args(arguments)
    if given.json and not given.machine:
        parser.error("--json goes with --machine; of manifests, the whole list is in the file of -o")
    if given.machine and (given.manifests or given.model or given.override):
        parser.error("--machine looks at the machine alone, not at manifests, models or settings")
    from seqlab.verbs.doctor import doctor, machine

    if given.machine:
        machine(given.json, given.output, _console())
        return 0
    diagnosis = doctor(given.manifests, given.model, given.override, given.output or "doctor.jsonl", _console())
    return 1 if diagnosis.count("error") else 0


def _fit(arguments: Sequence[str]) -> int:
    from seqlab.verbs.fit import fit

    return fit(arguments, _console())


def _tune(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        "seqlab tune",
        description="Choose how a trained model decodes: language model weight, insertion bonus and the share of the "
        "label priors that is taken out, by the error rate of the dev part; 0 wherever nothing is gained. The choice "
        "and the language model are kept in the run folder, and evaluate and transcribe use them from then on.",
        epilog="examples: seqlab tune runs/peraire     seqlab tune runs/mine --lm words.ngram --metric wer",
    )
    parser.add_argument("model", metavar="RUN", help="run folder")
    parser.add_argument(
        "--lm",
        metavar="FILE",
        help="language model, .arpa or .ngram; none: without (default: characters of the train part)",
    )
    parser.add_argument("--order", type=int, default=6, help="of the model that is built (default %(default)s)")
    parser.add_argument("--dev", metavar="MANIFEST", help="lines to choose on (default: the model's own dev part)")
    parser.add_argument("--metric", choices=["cer", "wer"], default="cer", help="what to lower (default %(default)s)")
    parser.add_argument("--beam", type=int, default=32, help="width of the search (default %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default %(default)s)")
    told = "run folder of a neural language model (seqlab train experiment=char_lm), its weight is chosen too"
    parser.add_argument("--neural", metavar="RUN", help=told)
    modes = {"choices": ["fusion", "rescore"], "default": "fusion"}
    told = "score each symbol of the search by it, or only rank the best readings anew (default %(default)s)"
    parser.add_argument("--neural-mode", help=told, **modes)  # type: ignore[arg-type]
    given = parser.parse_args(arguments)
    for name in ("order", "beam", "threads"):
        if getattr(given, name) < 1:
            parser.error(f"--{name} must be 1 or more")
    from seqlab.verbs.tune import tune

    tune(
        given.model,
        _console(),
        lm=given.lm,
        order=given.order,
        dev=given.dev,
        metric=given.metric,
        beam=given.beam,
        threads=given.threads,
        neural=given.neural,
        neural_mode=given.neural_mode,
    )
    return 0


def _align(arguments: Sequence[str]) -> int:
    from seqlab.verbs.align import align

    return align(arguments)


def _inspect(arguments: Sequence[str]) -> int:
    from seqlab.verbs.inspect import inspect

    return inspect(arguments)


def _lm(arguments: Sequence[str]) -> int:
    from seqlab.verbs.lm import lm

    return lm(arguments)


def _export(arguments: Sequence[str]) -> int:
    from seqlab.verbs.export import export

    return export(arguments)


def _serve(arguments: Sequence[str]) -> int:
    from seqlab.verbs.serve import serve

    return serve(arguments, _console())


def _compare(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        "seqlab compare",
        description="Compare reports of seqlab evaluate: rates, intervals, and whether each model is better or worse "
        "than the first or it cannot be told. Warns where references or rules of scoring differ, as such rates cannot "
        "be compared.",
    )
    parser.add_argument("reports", metavar="REPORT", nargs="*", help="report.json or its folder, one for each model")
    parser.add_argument(
        "--runs",
        metavar="REPORT",
        nargs="+",
        action="append",
        default=[],
        help="the reports of several runs of one model, such as seeds: --runs runs/a-*/evaluate/test "
        "--runs runs/b-*/evaluate/test; their mean and spread are compared",
    )
    parser.add_argument("-o", "--output", metavar="FILE", help="write an HTML page of the lines where they differ")
    given = parser.parse_args(arguments)
    from seqlab.verbs.compare import compare

    compare(given.reports, _console(), given.runs, given.output)
    return 0


def _completion(arguments: Sequence[str]) -> int:
    if list(arguments) != ["bash"]:
        raise UserError('seqlab completion bash prints the script; use it as: eval "$(seqlab completion bash)"')
    from seqlab.verbs.completion import COMPLETION

    sys.stdout.write(COMPLETION)
    return 0


VERBS: dict[str, Callable[[Sequence[str]], int]] = {
    "prepare": lambda arguments: _hydra("prepare", arguments),
    "train": lambda arguments: _hydra("train", arguments),
    "evaluate": lambda arguments: _hydra("evaluate", arguments),
    "fit": _fit,
    "transcribe": _transcribe,
    "align": _align,
    "inspect": _inspect,
    "doctor": _doctor,
    "tune": _tune,
    "lm": _lm,
    "export": _export,
    "serve": _serve,
    "compare": _compare,
    "completion": _completion,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 some files failed, 2 wrong input."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    atexit.register(gc.freeze)  # a process that ends frees its memory at once; looking for garbage would take 0.3 s
    try:
        status = _main(given)
    except BrokenPipeError:
        status = 1
    except KeyboardInterrupt:
        lag = any(a.startswith(("lag=", "experiment=long_lag/")) for a in given)  # learnt in one go
        again = given[:1] == ["train"] and not lag
        how = "with resume=true" if again else "by the same command" if given[:1] == ["fit"] else ""
        sys.stderr.write("\nstopped" + (f"; it goes on {how}\n" if how else "\n"))
        status = 130
    except Preempted as error:
        sys.stderr.write(f"seqlab: {error}\n")
        status = REQUEUE
    except (UserError, OSError) as error:
        sys.stderr.write(f"seqlab: error: {_message(error)}\n")
        status = 2
    sys.exit(status)


def _message(error: Any) -> str:
    if isinstance(error, OSError) and error.strerror:
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror}"
    text = str(error).strip()
    if "Original Traceback" in text:  # an error of a reading process: its last line is the message
        return text.splitlines()[-1].partition(": ")[2]
    return text


def _main(given: list[str]) -> int:
    if not given or given[0] in ("-h", "--help", "help"):
        sys.stdout.write(HELP)
        return 0
    if given[0] in ("-V", "--version"):
        sys.stdout.write(f"seqlab {__version__}\n")
        return 0
    if given[0] not in VERBS:
        import difflib

        near = difflib.get_close_matches(given[0], VERBS, n=1)
        raise UserError(
            f"unknown command {given[0]!r}"
            + (f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(VERBS)}")
        )
    return VERBS[given[0]](given[1:])
