"""Cuts of lhotse: manifests of icefall and other toolkits, read without lhotse.

    {"id": "a-1", "start": 0.0, "duration": 2.5, "channel": 0, "type": "MonoCut",
     "supervisions": [{"id": "a-1", "start": 0.0, "duration": 2.5, "text": "ONE TWO", "speaker": "a"}],
     "recording": {"id": "a", "sources": [{"type": "file", "channels": [0], "source": "audio/a.wav"}],
                   "sampling_rate": 16000, "num_samples": 40000, "duration": 2.5}}

JSON lines, plain or compressed (.jsonl, .jsonl.gz), one cut a line; other fields are not looked at. A cut of one
supervision is a line; of several, each is, with its own stretch of the recording.

**Parts.** ``parts`` names the files of train, dev and test, relative to root. Without it, names that have train, dev
(or val, valid) or test in them say: librispeech_cuts_train-clean-100.jsonl.gz. Copies perturbed in speed (_sp0.9 in an
id) are left out: training makes its own.

**What is refused.** Mixed and padded cuts, cuts with transforms or of several channels, features without a recording,
and recordings that are no single file: commands, URLs, memory, Shar archives. Where lhotse is at hand,
``cuts.save_audios(folder)`` makes plain cuts of any. Paths are relative to ``audio_root``, by default root, or absolute
below it; what leads out of it is refused.
"""

import gzip
import json
import logging
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from seqlab.corpora._common import find_root, some
from seqlab.corpora._images import stop
from seqlab.corpora._speech import Utterance, inside, speech_lines, write_speech
from seqlab.corpora._texts import TextRule, apply_rule
from seqlab.errors import DataError, UserError

_MAX_LINE = 50_000_000  # bytes of one cut
_PARTS = {"train": r"train", "dev": r"dev|val(?:id)?(?:ation)?", "test": r"test"}
_PERTURBED = re.compile(r"_(?:sp|vp|tp)\d+(?:\.\d+)?")
_LAYOUT = "It holds cuts as lhotse writes them, such as cuts_train.jsonl.gz, cuts_dev.jsonl.gz and cuts_test.jsonl.gz"
_CURE = "write plain cuts with lhotse, cuts.save_audios(folder), and give these"
_log = logging.getLogger(__name__)


def prepare(
    root: str | None,
    out: str,
    parts: Mapping[str, str | Sequence[str]] | None = None,
    audio_root: str | None = None,
    text: TextRule = "keep",
    max_faulty: float = 0.01,
) -> dict[str, Path]:
    """Write one manifest per part.

    Args:
        root: the folder of the files of cuts.
        out: folder of the manifests and of totals.json.
        parts: which files make which part, {"train": ["cuts_train.jsonl.gz"], "dev": "cuts_dev.jsonl.gz"}.
        audio_root: folder that the recordings lie below, and that relative paths count from; None: root.
        text: rule of the texts, see seqlab.corpora._texts.
        max_faulty: share of the lines that may be left out as their recordings are missing or faulty.

    Returns:
        Manifests written.

    Raises:
        UserError: an option makes no sense.
        DataError: no file of cuts is there, or cuts are faulty or of a kind that is refused.
        FileNotFoundError: root does not exist.
    """
    folder = find_root(root, "lhotse", _LAYOUT)
    base = Path(audio_root).expanduser() if audio_root else folder
    faults: list[str] = []
    utterances = {
        part: [u for path in paths for u in _cuts(path, base, text, faults)]
        for part, paths in _files(folder, parts).items()
    }
    stop(faults, "lhotse")
    cure = "Copy the recordings there, or give their folder, corpus.prepare.audio_root=... on the command line"
    lines = speech_lines("lhotse", utterances, Path(out), max_faulty, cure)
    return write_speech("lhotse", lines, Path(out), {"text": text}, disjoint=False)


def _files(folder: Path, parts: Mapping[str, str | Sequence[str]] | None) -> dict[str, list[Path]]:
    """Find the files of each part."""
    if parts is not None:
        named = {part: [names] if isinstance(names, str) else list(names) for part, names in parts.items()}
        found = {part: [inside(folder, name, "parts") for name in names] for part, names in named.items()}
        if not any(found.values()):
            raise UserError("lhotse: parts is empty; give {train: [...], dev: [...], test: [...]}")
    else:
        files = [path for end in ("jsonl", "jsonl.gz") for path in sorted(folder.glob(f"*cuts*.{end}"))]
        found = {
            part: [f for f in files if re.search(rf"(?:^|[^a-z])(?:{pattern})(?:[^a-z]|$)", f.name.lower())]
            for part, pattern in _PARTS.items()
        }
        owners = [file for paths in found.values() for file in paths]
        if twice := [file.name for file in files if owners.count(file) > 1]:
            raise DataError(
                f"lhotse: {some(twice)} may be more than one part; say, corpus.prepare.parts={{train: ...}}"
            )
        if not found["train"]:
            there = f"there is {some([file.name for file in files])}" if files else "there is none"
            raise DataError(f"lhotse: no file of cuts of train in {folder}, {there}. {_LAYOUT}")
    if missing := [str(path) for paths in found.values() for path in paths if not path.is_file()]:
        raise DataError(f"lhotse: {some(missing)} not found. {_LAYOUT}")
    return {part: paths for part, paths in found.items() if paths}


def _cuts(path: Path, base: Path, rule: TextRule, faults: list[str]) -> Iterator[Utterance]:
    """Read one file of cuts."""
    perturbed = 0
    number = 0
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            while raw := file.readline(_MAX_LINE + 1):
                number += 1
                where = f"{path}:{number}"
                if len(raw) > _MAX_LINE:
                    raise DataError(f"{where}: a line of more than {_MAX_LINE} bytes; is it a file of cuts?")
                if not raw.strip():
                    continue
                try:
                    cut = json.loads(raw)
                    if _PERTURBED.search(str(cut["id"])):
                        perturbed += 1
                        continue
                    yield from _utterances(cut, base, rule, where)
                except DataError as error:
                    faults.append(str(error))
                except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError) as error:
                    told = f"{type(error).__name__} {error}" if isinstance(error, KeyError) else str(error)
                    faults.append(f"{where}: is no cut ({told})")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: the gzip file is damaged or was cut off after line {number} ({error})") from None
    if perturbed:
        _log.info("lhotse: %d perturbed cut(s) of %s left out: training perturbs by itself", perturbed, path.name)


def _utterances(cut: dict[str, Any], base: Path, rule: TextRule, where: str) -> Iterator[Utterance]:
    """Make lines of a cut."""
    kind = cut.get("type", "MonoCut")
    record = cut.get("recording")
    if kind != "MonoCut" or not record:
        told = "features without a recording" if kind == "MonoCut" else f"a {kind}"
        raise DataError(f"{where}: {cut['id']} is {told}; {_CURE}")
    sources = record["sources"]
    if len(sources) != 1 or sources[0]["type"] != "file":
        told = f"of {len(sources)} sources" if len(sources) != 1 else f"a {sources[0]['type']}"
        raise DataError(f"{where}: the recording of {cut['id']} is {told}, not one file; {_CURE}")
    if len(sources[0].get("channels", [0])) != 1 or record.get("transforms"):
        told = "has several channels" if not record.get("transforms") else "is transformed"
        raise DataError(f"{where}: the recording of {cut['id']} {told}; {_CURE}")
    audio = inside(base, str(sources[0]["source"]), where)
    supervisions = cut.get("supervisions") or []
    begin, duration = float(cut["start"]), float(cut["duration"])
    for supervision in supervisions:
        start, end, name = begin, begin + duration, str(cut["id"])
        if len(supervisions) > 1:
            start = begin + max(0.0, float(supervision["start"]))
            end = begin + min(duration, float(supervision["start"]) + float(supervision["duration"]))
            name = str(supervision["id"])
        whole = start == 0 and abs(end - float(record["duration"])) < 1.0 / float(record["sampling_rate"])
        extra = {key: str(supervision[key]) for key in ("language", "gender") if supervision.get(key)}
        written = apply_rule(rule, supervision.get("text") or "")
        speaker = supervision.get("speaker")
        yield Utterance(
            name, written, audio, str(speaker) if speaker else None, start, None if whole else end, where, extra
        )
