"""seqlab lm: build, convert and score n-gram language models."""

import argparse
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from seqlab.errors import ConfigError, DataError

if TYPE_CHECKING:
    from seqlab.lm.ngram import NGram

SUFFIXES = (".ngram", ".arpa", ".arpa.gz")
MANY_UNKNOWN = 0.2  # share of units above which something is amiss

HELP = """\
n-gram language models of characters, words or sentencepiece pieces, for beam search.

  seqlab lm build TEXT... -o MODEL    estimate one: modified Kneser-Ney
  seqlab lm convert IN OUT            ARPA to the form that opens at once, and back
  seqlab lm score MODEL TEXT...       log-probability and perplexity of texts

A model is written as ARPA where its name ends in .arpa or .arpa.gz, for KenLM, SRILM or flashlight; as .ngram it opens
at once, whatever its size, and remembers its unit. Both are read everywhere.
"""
BUILD_EXAMPLES = """\
examples:
  seqlab lm build data/fsdd/train.jsonl --unit char --order 6 -o chars.ngram
  seqlab lm build news.txt.gz books.txt --order 3 --case lower --prune 0 0 1 -o words.arpa.gz
  zcat dump.gz | seqlab lm build - --unit piece --pieces bpe500.model --order 5 -o pieces.ngram

The case should be that of the recogniser's alphabet. In a model of characters the space is a character of its own; ARPA
files write it <space>. --prune 0 0 1 leaves out what occurs once, from order 3 up: a smaller model.
"""
CONVERT_EXAMPLES = """\
examples:
  seqlab lm convert 4-gram.arpa.gz 4-gram.ngram
  seqlab lm convert words.ngram words.arpa
"""
SCORE_EXAMPLES = """\
examples:
  seqlab lm score words.ngram dev.jsonl test.jsonl
  seqlab lm score 4-gram.arpa.gz dev.txt --case upper
  seqlab lm score runs/char_lm dev.txt          a neural one, see seqlab train experiment=char_lm

The end of each line counts as a unit. OOV are units that the model does not have: they get the probability of <unk>.
Perplexities of two models can be compared if both have the same vocabulary.
"""


def lm(arguments: Sequence[str]) -> int:
    """Run one of the three; returns the exit status."""
    form: Any = {"formatter_class": argparse.RawDescriptionHelpFormatter}
    parser = argparse.ArgumentParser("seqlab lm", description=HELP, usage=argparse.SUPPRESS, **form)
    verbs = parser.add_subparsers(
        prog="seqlab lm", dest="verb", required=True, metavar="build, convert or score", help=argparse.SUPPRESS
    )
    units = ("char", "word", "piece")
    text = "text (UTF-8, one sentence or line each), .gz of it, a manifest .jsonl, or - for standard input"
    case = {"choices": ["keep", "lower", "upper"], "default": "keep", "help": "case of the text (default %(default)s)"}
    pieces = {"metavar": "FILE", "help": "sentencepiece model, for pieces"}

    build = verbs.add_parser("build", description="Estimate a model from text.", epilog=BUILD_EXAMPLES, **form)
    build.add_argument("texts", metavar="TEXT", nargs="+", help=text)
    build.add_argument("-n", "--order", type=int, default=3, help="length of the longest n-grams (default %(default)s)")
    build.add_argument("-u", "--unit", choices=units, default="word", help="(default %(default)s)")
    told = "leave out n-grams that occur this often or less: a count for each order, the last holds for the rest"
    build.add_argument("--prune", type=int, nargs="+", default=[0], metavar="COUNT", help=told)
    build.add_argument("--closed", action="store_true", help="give no probability to units that the text does not have")
    build.add_argument("--case", **case)  # type: ignore[arg-type]
    build.add_argument("--pieces", **pieces)  # type: ignore[arg-type]
    build.add_argument("-o", "--output", required=True, metavar="MODEL", help=".ngram, .arpa or .arpa.gz")

    convert = verbs.add_parser("convert", description="Convert a model.", epilog=CONVERT_EXAMPLES, **form)
    convert.add_argument("input", metavar="IN", help="model, .ngram or ARPA")
    convert.add_argument("output", metavar="OUT", help=".ngram, .arpa or .arpa.gz")
    guess = "what a word of an ARPA file is (default: guessed from its words)"
    convert.add_argument("-u", "--unit", choices=units, help=guess)

    score = verbs.add_parser("score", description="Score texts.", epilog=SCORE_EXAMPLES, **form)
    score.add_argument("model", metavar="MODEL", help="model, .ngram or ARPA, or run folder of a neural one")
    score.add_argument("texts", metavar="TEXT", nargs="+", help=text)
    score.add_argument("-u", "--unit", choices=units, help=guess)
    score.add_argument("--case", **case)  # type: ignore[arg-type]
    score.add_argument("--pieces", **pieces)  # type: ignore[arg-type]

    given = parser.parse_args(arguments)
    if getattr(given, "pieces", None) and given.unit not in (None, "piece"):
        parser.error("--pieces goes with --unit piece")
    if given.verb != "score" and not given.output.endswith(SUFFIXES):
        raise ConfigError(f"{given.output}: the name must end in {', '.join(SUFFIXES)}: it says which form to write")
    console = Console(stderr=True, emoji=False)
    if given.verb == "build":
        _build(given, console)
    elif given.verb == "convert":
        _save(_load(given.input, given.unit, console), given.output, console)
    else:
        _score(given, console)
    return 0


@contextmanager
def _bar(console: Console, what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show how far long work is; gives a function that takes what is done."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done: progress.update(task, completed=done)


def _lines(path: str, console: Console) -> Iterator[tuple[str, str]]:
    """Give place and text of each line."""
    from seqlab.lm.units import read_text

    size = os.path.getsize(path) if path != "-" and os.path.isfile(path) else None
    with _bar(console, f"reading {os.path.basename(path)}", size) as report:
        for number, text in read_text(path, report):
            yield f"{path}:{number}", text


def _load(path: str, unit: Any, console: Console) -> "NGram":
    from seqlab.lm.ngram import NGram

    with _bar(console, f"reading {os.path.basename(path)}", os.path.getsize(path)) as report:
        return NGram.load(path, unit, report)


def _save(model: "NGram", path: str, console: Console) -> None:
    with _bar(console, f"writing {os.path.basename(path)}", sum(model.counts)) as report:
        model.save(path, report)
    counts = ", ".join(f"{k}: {n}" for k, n in enumerate(model.counts, 1))
    size = os.path.getsize(path) / 1e6
    console.print(
        f"{path}: {model.unit} {model.order}-gram model, n-grams {counts}; {size:.1f} MB",
        highlight=False,
        soft_wrap=True,
    )


def _build(given: argparse.Namespace, console: Console) -> None:
    from seqlab.lm.estimate import FALLBACK, Corpus, check, estimate
    from seqlab.lm.units import splitter

    check(given.order, given.prune)
    split = splitter(given.unit, given.case, given.pieces)
    corpus = Corpus()
    for path in given.texts:
        for where, text in _lines(path, console):
            try:
                corpus.add(split(text))
            except DataError as error:
                raise DataError(f"{where}: {error}") from None
    with console.status("counting and estimating"):
        model, discounts = estimate(corpus, given.order, given.unit, given.prune, given.closed)
    for k, discount in enumerate(discounts, 1):
        told = " ".join(f"{d:.4f}" for d in discount)
        why = " (usual ones: the text is too small, or has too few units, for its own)" if discount == FALLBACK else ""
        console.print(f"order {k}: discounts {told}{why}", highlight=False, soft_wrap=True)
    _save(model, given.output, console)


def _score(given: argparse.Namespace, console: Console) -> None:
    import math

    import numpy as np

    from seqlab.lm.units import splitter

    if os.path.isdir(given.model) or given.model.endswith(".ckpt"):
        return _score_neural(given, console)
    model = _load(given.model, given.unit, console)
    split = splitter(model.unit, given.case, given.pieces)
    table = Table("text", "lines", model.unit + "s", "OOV", "log10 prob", "perplexity", "without OOV", box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for path in given.texts:
        lines = units = unknown = 0
        total = total_unknown = 0.0
        for _, text in _lines(path, console):
            ids = model.line_ids(split(text))
            log_probs = model.score_ids(ids)
            missing = ids == model.unknown
            lines, units, unknown = lines + 1, units + len(ids), unknown + int(missing.sum())
            total += float(log_probs.sum())
            total_unknown += float(np.where(missing, log_probs, 0.0).sum())
        if not units:
            raise DataError(f"{path}: there is no text in it")
        with_oov, without = math.exp(-total / units), float("nan")
        if units > unknown:
            without = math.exp(-(total - total_unknown) / (units - unknown))
        told = (f"{total / math.log(10):.4f}", f"{with_oov:.4f}", f"{without:.4f}")
        table.add_row(path, str(lines), str(units), str(unknown), *told)
        if unknown > MANY_UNKNOWN * units:
            hint = "does the case differ (--case), or the unit (--unit)?"
            console.print(
                f"{path}: {unknown / units:.0%} of the {model.unit}s are not in the model; {hint}", style="yellow"
            )
    Console(emoji=False, width=200, soft_wrap=True).print(table)


def _score_neural(given: argparse.Namespace, console: Console) -> None:
    """Score texts with a neural model; characters that it has no label for are left out."""
    import math

    from seqlab.lm.neural import NeuralLM

    model = NeuralLM.load(given.model)
    table = Table("text", "lines", "symbols", "left out", "log10 prob", "perplexity", box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for path in given.texts:
        texts = [text for _, text in _lines(path, console)]
        if not texts:
            raise DataError(f"{path}: there is no text in it")
        symbols, total = 0, 0.0
        texts.sort(key=len)
        for begin in range(0, len(texts), 32):
            labels, lengths = model.encode(texts[begin : begin + 32])
            total += float(model.score(labels, lengths).double().sum())
            symbols += int(lengths.sum()) + len(lengths)
        left_out = sum(text.count(c) for text in texts for c in model.tokenizer.unknown(text))
        told = (f"{total / math.log(10):.4f}", f"{math.exp(-total / symbols):.4f}")
        table.add_row(path, str(len(texts)), str(symbols), str(left_out), *told)
    Console(emoji=False, width=200, soft_wrap=True).print(table)
