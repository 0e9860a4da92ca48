"""seqlab align: times of the words and characters of known texts; fitting, priors and peakiness beside it."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import Progress

from seqlab.alignment import DECODER, Aligner, fit_local, open_line, save
from seqlab.ctc import priors
from seqlab.ctc.peakiness import Peakiness, peakiness
from seqlab.data.sources import check_kind
from seqlab.decoding import run_folder
from seqlab.errors import ConfigError, DataError
from seqlab.manifest import Line, read_manifest
from seqlab.outputs.formats import FORMATS
from seqlab.outputs.transcript import Transcript
from seqlab.recognizer import Recognizer

UNSURE = 0.05  # words below it are named: the recording may not hold them

HELP = """\
Times (or places in an image) of the words and characters of a text that is known.

  seqlab align MODEL a.wav a.txt                    one recording or line image; of any length
  seqlab align MODEL a.wav --text "one two"
  seqlab align MODEL lines.jsonl -d OUT             every line of a manifest, one file each

  seqlab align MODEL train.jsonl --fit              once, seconds: much more exact borders from then on
  seqlab align MODEL train.jsonl --write-priors priors.json     label priors, see below
  seqlab align MODEL dev.jsonl --peakiness          how peaky the model's output is

CTC does not ask where a symbol is emitted, and a BLSTM may be early or late by several tenths of a second. --fit trains
a small network of three frames' sight, with label priors in its loss, on lines with their texts (the training part is
best) and keeps it in the run folder; it then places what the model has found. --plain does without it.

A file of label priors is used where it is named: by --priors FILE here, and by beam search with decoder=beam
decoder.priors=FILE (seqlab transcribe: -s decoder=beam -s decoder.priors=FILE).

A word that is * alone stands for anything that the text leaves out: "one * five". Words that are not in the recording
get a confidence near 0 and are named.
"""


def align(arguments: Sequence[str]) -> int:
    """Run the verb; returns the exit status: 1 when lines of a manifest failed."""
    parser = argparse.ArgumentParser(
        "seqlab align",
        usage=argparse.SUPPRESS,
        description=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("model", metavar="MODEL", help="run folder (its best checkpoint is taken) or a checkpoint")
    add("source", metavar="FILE", help="recording, line image, ink or array; or a manifest (.jsonl)")
    add("text_file", metavar="TEXT", nargs="?", help="file of the text, UTF-8")
    add("--text", help="the text itself")
    add("-f", "--format", choices=["json", "textgrid", "ctm"], default="json", help="default %(default)s")
    add("-o", "--output", metavar="FILE", help="write to a file (default: print)")
    add("-d", "--output-dir", metavar="DIR", help="write one file per line of the manifest into this folder")
    add("--star", metavar="WORD", default="*", help="word that stands for anything (default %(default)s)")
    add("--skip-unknown", action="store_true", help="leave out characters that the model does not know")
    add("--plain", action="store_true", help="the model's own CTC path, also where --fit has been run")
    add("--priors", metavar="FILE", help="divide the model's posteriors by these label priors")
    add("--prior-weight", type=float, metavar="W", help="to this power, 0 to 1 (default 0.3 with --priors)")
    jobs = parser.add_mutually_exclusive_group()
    jobs.add_argument("--fit", action="store_true", help="fit to the manifest's lines, keep it in the run folder")
    jobs.add_argument("--write-priors", metavar="FILE", help="write label priors, from the manifest's lines")
    jobs.add_argument("--peakiness", action="store_true", help="measure the model on the manifest's lines")
    add("--threads", type=int, default=1, help="CPU threads (default %(default)s)")
    add("--device", choices=["auto", "cpu", "cuda"], default="auto")
    given = parser.parse_args(arguments)
    many = Path(given.source).suffix == ".jsonl"
    if given.threads < 1:
        parser.error("--threads must be 1 or more")
    if given.prior_weight is not None and not (given.priors and 0 <= given.prior_weight <= 1):
        parser.error("--prior-weight takes 0 to 1 and goes with --priors")
    if given.output and given.output_dir:
        parser.error("give --output or --output-dir, not both")
    job = given.fit or given.write_priors or given.peakiness
    if many and (given.text_file or given.text is not None):
        parser.error("a manifest has the texts of its lines; give no other")
    if not many and (job or given.output_dir):
        parser.error("--fit, --write-priors, --peakiness and --output-dir take a manifest (.jsonl)")
    if not many and (given.text_file is None) == (given.text is None):
        parser.error("give the file of the text, or --text")
    torch.set_num_threads(given.threads)
    console = Console(stderr=True, emoji=False)
    if job:
        _job(given, console)
        return 0
    aligner = _aligner(given)
    return _manifest(aligner, given, console) if many else _file(aligner, given, console)


def _aligner(given: argparse.Namespace) -> Aligner:
    if given.plain:
        aligner = Aligner(Recognizer.load(given.model, given.device, DECODER))
    else:
        aligner = Aligner.load(given.model, given.device)
    aligner.star = given.star
    if given.priors:
        aligner.log_priors = priors.read(given.priors, aligner.recognizer.tokenizer.symbols)
        aligner.prior_weight = 0.3 if given.prior_weight is None else given.prior_weight
    return aligner


def _file(aligner: Aligner, given: argparse.Namespace, console: Console) -> int:
    place, text = "--text", given.text
    if given.text_file is not None:
        place = given.text_file
        try:
            text = Path(place).read_text(encoding="utf-8-sig")
        except UnicodeDecodeError:
            raise DataError(f"{place}: not UTF-8") from None
    try:
        aligner.labels(text, given.skip_unknown)  # before anything long begins
    except DataError as error:
        raise DataError(f"{place}: {error}{_cure(error)}") from None
    signal = aligner.recognizer.open(given.source)
    try:
        transcript = aligner.align(signal, text, given.source, given.skip_unknown)
    except DataError as error:
        raise DataError(f"{given.source}: {error}") from None
    _write(given, [transcript], None)
    _name_unsure(transcript, given.source, aligner.star, console)
    return 0


def _manifest(aligner: Aligner, given: argparse.Namespace, console: Console) -> int:
    lines = read_manifest(given.source)
    check_kind(lines, aligner.recognizer.kind)
    if given.format == "textgrid" and not given.output_dir:
        raise ConfigError("a TextGrid holds one recording: give --output-dir")
    names = _names([line.id for line in lines])
    done: list[Transcript] = []
    failed = 0
    for line in _each(lines, "aligning", console):
        try:
            signal = open_line(aligner.recognizer, line)
            transcript = aligner.align(signal, line.text, str(line.files[0]) if line.files else "", given.skip_unknown)
        except (DataError, OSError) as error:
            failed += 1
            _say(console, f"failed: {line.where} {line.id}: {error}{_cure(error)}")
            continue
        transcript.id = line.id
        _name_unsure(transcript, line.id, aligner.star, console)
        if given.output_dir or not given.output:
            _write(given, [transcript], names[line.id])
        else:
            done.append(transcript)
    if done:
        _write(given, done, None)
    if failed:
        _say(console, f"{failed} of {len(lines)} lines failed")
    return 1 if failed else 0


def _names(ids: Sequence[str]) -> dict[str, str]:
    """Return a file name for each line id; where two would have the same, the later one is numbered."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for line_id in sorted(ids, key=lambda i: "/" in i):  # those that are names already keep them
        name = stem = line_id.replace("/", "_")
        number = 1
        while name in taken:
            number += 1
            name = f"{stem}-{number}"
        taken.add(name)
        names[line_id] = name
    return names


def _write(given: argparse.Namespace, transcripts: Sequence[Transcript], name: str | None) -> None:
    form = FORMATS[given.format]
    if given.output_dir and name is not None:
        form.write(Path(given.output_dir) / f"{name}.{form.suffix}", transcripts)
    elif given.output and given.output != "-":
        form.write(given.output, transcripts)
    else:
        for line in form.to_lines(transcripts):
            sys.stdout.write(line + "\n")
        sys.stdout.flush()


def _job(given: argparse.Namespace, console: Console) -> None:
    """Fit the local aligner, write label priors, or print the peakiness."""
    recognizer = Recognizer.load(given.model, given.device, DECODER)
    lines = read_manifest(given.source)
    check_kind(lines, recognizer.kind)
    symbols = recognizer.tokenizer.symbols
    if given.fit:
        with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
            task = progress.add_task("fitting", total=1.0)
            local = fit_local(recognizer, lines, lambda share: progress.update(task, completed=share))
        _say(console, f"{save(given.model, recognizer, local)}: seqlab align {given.model} uses it from now on")
        return
    if given.write_priors:
        log_priors = priors.estimate(_posteriors(recognizer, lines, console))
        priors.write(given.write_priors, log_priors, symbols)
        _say(console, f"{given.write_priors}: blank {float(log_priors[0].exp()):.1%}, {len(symbols)} symbols")
        return
    total = sum((peakiness(*batch) for batch in _posteriors(recognizer, lines, console)), Peakiness())
    rates = total.rates()
    for text in (
        f"{run_folder(given.model)} on {given.source}: {total.frames} frames",
        f"  blank frames                {rates['blank']:8.1%}",
        f"  frames per symbol           {rates['frames_per_symbol']:8.2f}",
        f"  entropy per frame (nats)    {rates['entropy']:8.3f}",
        f"  frames surer than 0.99      {rates['sure']:8.1%}",
    ):
        sys.stdout.write(text + "\n")


def _posteriors(
    recognizer: Recognizer, lines: Sequence[Line], console: Console
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield log-probabilities (1, T, V) and frames (1,) of each line."""
    aligner = Aligner(recognizer)
    for line in _each(lines, "reading", console):
        try:
            log_probs, _ = aligner.emit(open_line(recognizer, line).samples)
        except (DataError, OSError) as error:
            raise DataError(f"{line.where} {line.id}: {error}") from None
        yield log_probs[None], torch.tensor([len(log_probs)])


def _each(lines: Sequence[Line], what: str, console: Console) -> Iterator[Line]:
    """Yield lines behind a progress bar."""
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        yield from progress.track(lines, description=what)


def _cure(error: Exception) -> str:
    unknown = ("not in the alphabet", "are in no piece")  # what tokenizers say
    return "; --skip-unknown leaves them out" if any(part in str(error) for part in unknown) else ""


def _name_unsure(transcript: Transcript, name: str, star: str, console: Console) -> None:
    found = [w for w in transcript.words if w.text != star and (w.confidence or 0.0) < UNSURE]
    if found:
        told = ", ".join(f"{w.text} ({w.start:g})" for w in found[:10]) + (", ..." if len(found) > 10 else "")
        _say(console, f"{name}: {len(found)} of {len(transcript.words)} words may not be there: {told}")


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)
