"""seqlab transcribe: recordings, line images, ink and arrays to text."""

import argparse
import heapq
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from seqlab.decoding import FILE, composed, run_folder
from seqlab.errors import ConfigError, UserError
from seqlab.files import write_lines
from seqlab.outputs.text import one_line
from seqlab.outputs.transcript import Transcript
from seqlab.verbs.transcribe_batch import Answer, Loader, answers, parallel
from seqlab.verbs.transcribe_files import FORMATS, Shard, find_files, is_done, tasks

PAGES = "pages"
TELL = 30.0  # seconds between lines about the progress where there is no terminal


def transcribe(arguments: Sequence[str]) -> int:
    """Run the verb; returns 0, or 1 if files failed.

    Raises:
        UserError: wrong input; nothing was overwritten.
    """
    parser = build_parser()
    given = parser.parse_args(arguments)
    for name in ("threads", "processes"):
        if getattr(given, name) < 1:
            parser.error(f"--{name} must be 1 or more")
    forms = _forms(given.format)
    pages = forms == [PAGES]
    if given.output and given.output_dir:
        parser.error("give --output or --output-dir, not both")
    if pages and not given.output_dir:
        parser.error("-f pages needs --output-dir, the folder for the copies")
    if pages and (given.processes > 1 or given.ray):
        parser.error("-f pages runs in one process; --shard i/n divides the files among several")
    if given.vad and pages:
        parser.error("--vad finds speech, -f pages reads images")
    if given.images and not pages:
        parser.error("--images goes with -f pages")
    if len(forms) > 1 and not given.output_dir:
        parser.error("several formats need --output-dir")
    if given.resume and not (given.output_dir or given.output not in (None, "-")):
        parser.error("--resume needs --output-dir or --output")
    shard = Shard.parse(given.shard)
    decoder = None
    if given.override:
        if wrong := [o for o in given.override if not o.startswith("decoder")]:
            parser.error(f"-s takes decoder=... and decoder.KEY=..., not {wrong[0]}")
        decoder = composed(given.model, given.override)
    where = given.model, given.device, decoder, given.backend, given.threads, given.vad
    loader = Loader(*where, tuple(given.vocal_tracts))
    console = Console(stderr=True, emoji=False)
    if pages:
        failed = _pages(loader, given, shard, console)
    else:
        failed = _files(loader, given, forms, shard, console)
    if failed:
        rows = "\n".join(f"  {message}" for message in failed)
        console.print(f"{len(failed)} file(s) failed:\n{rows}", highlight=False, markup=False, soft_wrap=True)
    return 1 if failed else 0


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the options."""
    parser = argparse.ArgumentParser(
        "seqlab transcribe",
        description="Transcribe recordings, line images, ink or arrays: whatever the model was trained on.",
        epilog="docs/transcribe.md has more, and examples.",
    )
    told = "run folder (its best checkpoint is taken), checkpoint, or model folder of seqlab export"
    parser.add_argument("model", metavar="MODEL", help=told)
    told = "file; folder, searched to any depth; pattern in quotes ('talks/**/*.wav'); - for a list on standard input"
    parser.add_argument("files", metavar="FILE", nargs="+", help=told)
    parser.add_argument(
        "-f",
        "--format",
        metavar="FORMAT[,...]",
        default="txt",
        help=f"{', '.join(FORMATS)}; json has all that is known; several with commas, to --output-dir; "
        "pages: FILEs are PAGE XML, ALTO or hOCR files, of "
        "which copies with the text filled in are written to --output-dir (default txt)",
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="write all transcripts to one file (default: print them)"
    )
    parser.add_argument("-d", "--output-dir", metavar="DIR", help="write one file per recording into this folder")
    parser.add_argument(
        "--resume", action="store_true", help="leave out what is written already and newer than the file"
    )
    parser.add_argument(
        "--shard", metavar="i/n", default="1/1", help="do the i-th of n parts of the files, from 1/n on"
    )
    parser.add_argument(
        "--processes", type=int, default=1, metavar="N", help="processes, each with the model (default 1)"
    )
    parser.add_argument("--ray", action="store_true", help="spread the files over a Ray cluster, as --processes many")
    parser.add_argument("--images", metavar="DIR", help="with -f pages: where page images lie, if not beside the files")
    parser.add_argument(
        "-s",
        "--override",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="how to decode, as seqlab evaluate takes it: -s decoder.n_best=5 -s decoder.hotwords=names.txt change "
        "what seqlab tune chose; -s decoder=greedy goes without (default: what seqlab tune chose, else greedy)",
    )
    parser.add_argument(
        "--vad",
        action="store_true",
        help="look for speech first and read it alone, in pieces that end in pauses (pip install 'seqlab[vad]')",
    )
    parser.add_argument(
        "--vocal-tracts",
        metavar="WARP[,...]",
        type=_warps,
        default=[],
        help="read each recording as if of such voices, and average: 0.88,1,1.12 makes fewer errors on voices unlike "
        "those of the training (which had vocal tracts changed), at three times the work",
    )
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of each process (default 1)")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument(
        "--backend",
        choices=["torch", "onnx", "int8"],
        default="torch",
        help="what runs the network: torch, or ONNX Runtime with the graphs of seqlab export --onnx, --int8",
    )
    return parser


def _warps(text: str) -> list[float]:
    """Read factors of frequencies."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of factors, as 0.88,1,1.12") from None


def _forms(text: str) -> list[str]:
    """Read a list of formats."""
    forms = list(dict.fromkeys(part.strip().lower() for part in text.split(",") if part.strip()))
    unknown = [form for form in forms if form not in FORMATS and form != PAGES]
    if unknown or not forms:
        raise ConfigError(f"--format {text}: there are {', '.join(FORMATS)}, and {PAGES}")
    if PAGES in forms and len(forms) > 1:
        raise ConfigError(f"--format {text}: pages goes alone, it fills in page files that are there")
    return forms


def _pages(loader: Loader, given: argparse.Namespace, shard: Shard, console: Console) -> list[str]:
    from seqlab.verbs.transcribe_pages import transcribe_pages

    recognizer = loader.load()
    if recognizer.kind != "image":
        raise UserError(f"{given.model} reads {recognizer.kind}; pages need a model of line images")
    made_of = _made_of(recognizer.name) if given.resume else None
    return transcribe_pages(
        recognizer, given.files, given.output_dir, console, given.images, (shard.number, shard.count), made_of
    )


def _files(loader: Loader, given: argparse.Namespace, forms: list[str], shard: Shard, console: Console) -> list[str]:
    """Transcribe files one by one; returns a message for every one that failed."""
    recognizer = loader.load()
    kind = recognizer.kind
    for form in forms:
        needs = FORMATS[form].needs
        if (needs == "s" and kind in ("image", "strokes")) or (needs == "px" and kind != "image"):
            what = "times in seconds" if needs == "s" else "places on an image"
            raise ConfigError(f"--format {form} holds {what}, and {given.model} reads {kind}; use json")
    if loader.vad:
        from seqlab.streaming.vad import vad_graph

        if kind != "audio":
            raise ConfigError(f"--vad finds speech, and {given.model} reads {kind}")
        vad_graph()
    out = None if given.output in (None, "-") else shard.file(given.output)
    if given.resume and out is not None and out.is_file():
        _say(console, f"{out} is whole; nothing to do")
        return []
    files = find_files(given.files, kind, given.output_dir)
    if FORMATS[forms[0]].single and not given.output_dir and len(files) > 1:
        raise ConfigError(f"a file of {forms[0]} holds one recording: give --output-dir")
    todo = tasks(files, forms, given.output_dir)[shard.number - 1 :: shard.count]
    total = len(todo)
    if given.resume and given.output_dir:
        made_of = _made_of(recognizer.name)
        todo = [task for task in todo if not is_done(list(task.outputs.values()), [task.path, *made_of])]
        _say(console, f"{total - len(todo)} of {total} files are done already")
    if given.ray:
        from seqlab.verbs.transcribe_ray import spread

        found = spread(loader, todo, given.processes)
    elif given.processes > 1 and len(todo) > 1:
        found = parallel(loader, todo, given.processes)
    else:
        found = answers(recognizer, todo, loader.vad)
    failed: list[str] = []
    transcripts = _told(_in_order(_counted(found, len(todo), console)), failed, console)
    if given.output_dir:
        for _ in transcripts:  # written already
            pass
        _say(console, f"{len(todo) - len(failed)} of {total} files transcribed to {given.output_dir}")
        return failed
    listed = forms == ["txt"] and len(files) > 1
    if out is not None:
        _write(out, forms[0], transcripts, listed, failed)
    else:
        for transcript in transcripts:
            for line in _lines(forms[0], [transcript], listed):
                sys.stdout.write(line + "\n")
            sys.stdout.flush()
    return failed


def _made_of(weights: str) -> list[Path]:
    """Return the files of a model that a transcript depends on, apart from the recording."""
    return [path for path in (Path(weights), run_folder(weights) / FILE) if path.is_file()]


def _lines(form: str, transcripts: Iterable[Transcript], listed: bool) -> Iterator[str]:
    if listed:
        return (f"{one_line(t.source or '')}\t{one_line(t.text)}" for t in transcripts)
    return FORMATS[form].to_lines(transcripts)


def _write(out: Path, form: str, transcripts: Iterator[Transcript], listed: bool, failed: list[str]) -> None:
    """Write one file, as the transcripts come; none if all failed."""
    first = next(transcripts, None)
    if first is None and failed:
        return

    def all_of_them() -> Iterator[Transcript]:
        if first is not None:
            yield first
        yield from transcripts

    write_lines(out, _lines(form, all_of_them(), listed))


def _told(found: Iterable[Answer], failed: list[str], console: Console) -> Iterator[Transcript]:
    """Yield the transcripts; what failed is told at once, and kept.

    Raises:
        OSError: an output could not be written.
    """
    for answer in found:
        if isinstance(answer, OSError):
            raise answer
        if isinstance(answer, str):
            failed.append(answer)
            _say(console, f"failed: {answer}")
        elif answer is not None:
            yield answer


def _in_order(found: Iterable[tuple[int, Answer]]) -> Iterator[Answer]:
    """Yield answers in the order of their indices; those written already are not waited for."""
    waiting: list[tuple[int, Answer]] = []
    wanted = 0
    for index, answer in found:
        heapq.heappush(waiting, (index, answer))
        while waiting and waiting[0][0] == wanted:
            yield heapq.heappop(waiting)[1]
            wanted += 1


def _counted(found: Iterable[tuple[int, Answer]], total: int, console: Console) -> Iterator[tuple[int, Answer]]:
    """Pass answers on and show how many there are, and the time left.

    The rate is counted from the first transcript on: many files are read ahead of it.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    told = time.monotonic()
    first: tuple[int, float] | None = None  # how many there were, and when
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("transcribing", total=total)
        for count, pair in enumerate(found, 1):
            progress.advance(bar)
            now = time.monotonic()
            if first is None:
                told = now
                if not isinstance(pair[1], str):  # what failed was never in a batch
                    first = count, now
            elif not console.is_terminal and now - told > TELL:
                told, rate = now, (count - first[0]) / (now - first[1])
                left = (total - count) / rate / 60
                _say(console, f"{count} of {total} files, {rate:.1f} a second, {left:.1f} minutes left")
            yield pair


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)
