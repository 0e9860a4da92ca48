"""seqlab transcribe: recordings, line images, ink and arrays to text."""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.progress import Progress

from seqlab.errors import ConfigError, DataError
from seqlab.media.kinds import SUFFIXES
from seqlab.outputs import ctm, json_lines, textgrid, txt
from seqlab.outputs.transcript import Transcript
from seqlab.recognizer import Recognizer, Signal, samples_per_second

BATCH_SECONDS = 60.0  # see samples_per_second
FORMATS: dict[str, Any] = {"txt": txt, "json": json_lines, "textgrid": textgrid, "ctm": ctm}
SUFFIX = {"txt": "txt", "json": "json", "textgrid": "TextGrid", "ctm": "ctm"}


def find_files(paths: Sequence[str], kind: str = "audio") -> list[Path]:
    """Return files as given and the files of a kind in folders, searched to any depth, in order of name.

    Raises:
        DataError: a folder holds no file of that kind.
    """
    suffixes = SUFFIXES[kind]
    found: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = sorted(
                p
                for p in path.rglob("*")
                if p.suffix.lower() in suffixes and not p.name.startswith(".") and p.is_file()
            )
            if not inside:
                raise DataError(f"folder {path} holds no file of kind {kind} ({', '.join(sorted(suffixes))})")
            found += inside
        else:
            found.append(path)
    return found


def transcribe(
    recognizer: Recognizer,
    paths: Sequence[str],
    console: Console,
    form: Literal["txt", "json", "textgrid", "ctm"] = "txt",
    out: str | None = None,
    out_dir: str | None = None,
) -> list[str]:
    """Transcribe files and folders; returns a message for every file that failed.

    Args:
        recognizer: the model.
        paths: audio files and folders.
        console: for progress and messages, not for transcripts.
        form: format of the output.
        out: one file for all transcripts; nothing or "-" is standard output.
        out_dir: folder for one file per recording instead.
    """
    files = find_files(paths, recognizer.kind)
    if form == "textgrid" and len(files) > 1 and not out_dir:
        raise ConfigError("a TextGrid holds one recording: give --output-dir")
    failed: list[str] = []
    done: list[Transcript] = []
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("transcribing", total=len(files))
        names = _names(files, form)
        for (path, transcript), name in zip(_each(recognizer, files, failed), names, strict=True):
            progress.advance(task)
            if transcript is None:
                console.print(f"failed: {failed[-1]}", highlight=False, markup=False, soft_wrap=True)
            elif out_dir:
                FORMATS[form].write(Path(out_dir) / name, [transcript])
            elif out and out != "-":
                done.append(transcript)
            else:
                for line in FORMATS[form].to_lines([transcript]):
                    prefix = f"{path}\t" if form == "txt" and len(files) > 1 else ""
                    sys.stdout.write(f"{prefix}{line}\n")
                sys.stdout.flush()
    if out and out != "-" and not out_dir and done:
        if form == "txt" and len(files) > 1:
            txt.write_lines(out, (f"{t.source}\t{' '.join(t.text.split())}" for t in done))
        else:
            FORMATS[form].write(out, done)
    return failed


def _names(files: Sequence[Path], form: str) -> list[str]:
    """Name the outputs of recordings: their stems; where two are the same, whole paths with _ between folders."""
    stems = Counter(path.stem for path in files)
    names = [p.stem if stems[p.stem] == 1 else "_".join(part for part in p.parts if part != p.anchor) for p in files]
    seen = Counter(names)
    numbered = [name if seen[name] == 1 else f"{name}-{i}" for i, name in enumerate(names, 1)]
    return [f"{name}.{SUFFIX[form]}" for name in numbered]


def _each(recognizer: Recognizer, files: Sequence[Path], failed: list[str]) -> Iterator[tuple[Path, Transcript | None]]:
    """Yield every file with its transcript, in order; files are read and recognised a batch at a time."""
    rate = samples_per_second(recognizer)
    batch: list[tuple[Path, Signal | str]] = []
    longest = 0.0
    for path in files:
        content: Signal | str
        try:
            content = recognizer.open(path)
        except (DataError, OSError) as error:
            content = str(error)
        seconds = len(content.samples) / rate if isinstance(content, Signal) else 0.0
        if batch and max(longest, seconds) * (len(batch) + 1) > BATCH_SECONDS:  # padding counted
            yield from _recognise(recognizer, batch, failed)
            batch, longest = [], 0.0
        batch.append((path, content))
        longest = max(longest, seconds)
    yield from _recognise(recognizer, batch, failed)


def _recognise(
    recognizer: Recognizer, batch: Sequence[tuple[Path, Signal | str]], failed: list[str]
) -> Iterator[tuple[Path, Transcript | None]]:
    """Recognise a batch of recordings; texts in place of recordings say why a file could not be read."""
    signals = {i: a for i, (_, a) in enumerate(batch) if not isinstance(a, str)}
    texts = recognizer.transcribe_signals(list(signals.values()), [str(batch[i][0]) for i in signals])
    answers = dict(zip(signals, texts, strict=True))
    for i, (path, content) in enumerate(batch):
        if isinstance(content, str):
            failed.append(content if str(path) in content else f"{path}: {content}")
        yield path, answers.get(i)
