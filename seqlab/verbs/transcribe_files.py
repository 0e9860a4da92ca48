"""What seqlab transcribe is to read, and what it writes of each: lists, folders, patterns, names, shards, resuming."""

import glob
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from seqlab.errors import ConfigError, DataError
from seqlab.media.kinds import SUFFIXES
from seqlab.outputs.formats import FORMATS as TIMED
from seqlab.pages.line_file import FORMATS as PAGED

FORMATS = TIMED | PAGED
STDIN = "-"


@dataclass(frozen=True, slots=True)
class Task:
    """A file to be transcribed.

    Attributes:
        path: the file.
        name: of its outputs, unique among all files.
        outputs: files to be written, by the name of their format; empty if the transcript is wanted itself.
        words: whether the transcript is to have words, places and confidences, see ``Recognizer.transcript_of``.
    """

    path: Path
    name: str
    outputs: dict[str, Path] = field(default_factory=dict)
    words: bool = True


@dataclass(frozen=True, slots=True)
class Shard:
    """A part of the files: one of ``count``, the ``number``-th, from 1 on."""

    number: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Read "2/8".

        Raises:
            ConfigError: it is something else.
        """
        number, slash, count = text.partition("/")
        if slash and number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count):
            return cls(int(number), int(count))
        raise ConfigError(f"--shard {text}: give it as i/n, from 1/n to n/n, such as 2/8")

    def file(self, path: str | Path) -> Path:
        """Return the name of this shard's file: all.json becomes all-00002-of-00008.json."""
        path = Path(path)
        if self.count == 1:
            return path
        return path.with_name(f"{path.stem}-{self.number:05d}-of-{self.count:05d}{path.suffix}")


def find_files(paths: Sequence[str], kind: str = "audio", skip: str | Path | None = None) -> list[Path]:
    """Return files as given, and the files of a kind in folders, at any depth, and those that a pattern matches.

    Folders and patterns give files in order of path; hidden files are passed over.

    Args:
        paths: files; folders; patterns with *, ?, [] and ** for folders at any depth; "-" for a list of files and
            folders on standard input, one a line.
        kind: audio, image, strokes or features.
        skip: folder of the outputs, which is not searched when it lies below a folder that is.

    Raises:
        DataError: a folder or a pattern has no file of that kind, or the list is empty.
    """
    found: list[Path] = []
    for path in paths:
        if path == STDIN:
            listed = [os.fsdecode(line.rstrip(b"\r")) for line in sys.stdin.buffer.read().split(b"\n") if line.strip()]
            if not listed:
                raise DataError("the list on standard input is empty; give one path a line")
            for entry in listed:
                found += _below(Path(entry), kind, skip) if Path(entry).is_dir() else [Path(entry)]
        elif Path(path).is_dir():
            found += _below(Path(path), kind, skip)
        elif glob.has_magic(path) and not os.path.lexists(path):
            matched = sorted(Path(p) for p in glob.glob(path, recursive=True))
            found += _of_kind(matched, kind, f"pattern {path} matches")
        else:
            found.append(Path(path))
    return found


def _below(folder: Path, kind: str, skip: str | Path | None) -> list[Path]:
    out = Path(skip).resolve() if skip is not None else None
    inside: Iterator[Path] | list[Path] = folder.rglob("*")
    if out is not None and folder.resolve() in out.parents:
        inside = [p for p in inside if not p.resolve().is_relative_to(out)]
    return _of_kind(sorted(inside), kind, f"folder {folder} holds")


def _of_kind(paths: Sequence[Path], kind: str, place: str) -> list[Path]:
    suffixes = SUFFIXES[kind]
    found = [p for p in paths if p.suffix.lower() in suffixes and not p.name.startswith(".") and p.is_file()]
    if not found:
        raise DataError(f"{place} no file of kind {kind} ({', '.join(sorted(suffixes))})")
    return found


def tasks(files: Sequence[Path], forms: Sequence[str], out_dir: str | Path | None) -> list[Task]:
    """Name the outputs of files; without a folder there are none.

    Raises:
        ConfigError: an output would overwrite one of the files.
    """
    pairs = zip(files, _names(files), strict=True)
    words = any(FORMATS[form].words for form in forms)
    if out_dir is None:
        return [Task(path, name, words=words) for path, name in pairs]
    found = [
        Task(path, name, {form: Path(out_dir) / f"{name}.{FORMATS[form].suffix}" for form in forms}, words)
        for path, name in pairs
    ]
    sources = {os.path.abspath(path) for path in files}
    for task in found:
        for output in task.outputs.values():
            if os.path.abspath(output) in sources:
                raise ConfigError(f"{output} is a file to be read and would be overwritten; give another --output-dir")
    return found


def is_done(outputs: Sequence[Path], newer_than: Sequence[Path]) -> bool:
    """Tell whether outputs are all there, and not older than what they were made of.

    They appear under their names when they are whole. What cannot be looked at counts as not done.
    """
    try:
        return min(p.stat().st_mtime_ns for p in outputs) >= max(p.stat().st_mtime_ns for p in newer_than)
    except OSError:
        return False


def _names(files: Sequence[Path]) -> list[str]:
    """Name the outputs of files: their stems; where two are the same, whole paths with _ between folders."""
    stems = Counter(path.stem for path in files)
    names = [p.stem if stems[p.stem] == 1 else "_".join(part for part in p.parts if part != p.anchor) for p in files]
    seen = Counter(names)
    return [name if seen[name] == 1 else f"{name}-{i}" for i, name in enumerate(names, 1)]
