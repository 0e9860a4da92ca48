"""Audio datasets of the Hugging Face hub, or of a folder that its library reads.

    seqlab prepare corpus=hub corpus.prepare.root=google/fleurs corpus.prepare.config=fr_fr

The library ``datasets`` loads them (pip install "seqlab[hub]"); it keeps what it loaded in its own cache and resumes
there. Recordings are written to <out>/audio/<part>/ as they come, neither decoded nor resampled; what is there already,
byte for byte, is not written again.

**Parts.** The dataset's own: train, validation (or dev, valid, val) and test, or what ``splits`` names. One with
train alone can be divided: ``splits: {train: "train[10%:]", dev: "train[:10%]"}``.

**Safety.** Datasets that bring code of their own are refused by the library, and nothing here allows it.

**Traps.** Each dataset has a licence of its own; look at its page. A column ``text`` may be normalised or not.
Recordings that are named by a path alone must lie below root or the library's cache, and go when it is cleared.
"""

import contextlib
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seqlab.corpora._common import track
from seqlab.corpora._images import stop
from seqlab.corpora._speech import Utterance, inside, speech_lines, write_speech
from seqlab.corpora._texts import TextRule, apply_rule
from seqlab.corpora.table import ALIASES, USUAL
from seqlab.errors import DataError, UserError
from seqlab.files import replacing

_ENDINGS = {b"RIFF": ".wav", b"fLaC": ".flac", b"OggS": ".ogg", b"NIST": ".sph", b"ID3": ".mp3", b"FORM": ".aiff"}
_log = logging.getLogger(__name__)


def prepare(
    root: str | None,
    out: str,
    config: str | None = None,
    splits: Mapping[str, str] | None = None,
    audio: str = "audio",
    transcript: str | None = None,
    speaker: str | None = None,
    revision: str | None = None,
    text: TextRule = "keep",
    max_faulty: float = 0.01,
) -> dict[str, Path]:
    """Write recordings and manifests of a dataset.

    Args:
        root: name of the dataset, "google/fleurs", or a folder that the library reads.
        out: folder of the manifests, of audio/ and of totals.json.
        config: which of the dataset's configurations, such as a language.
        splits: the dataset's split of each part, {"train": "train", "dev": "validation"}; None takes those it has.
        audio: column of the recordings.
        transcript: column of the texts; None looks for a usual name.
        speaker: column of the speakers; None looks for a usual name.
        revision: commit or tag of the dataset, so that a later run has the same data.
        text: rule of the texts, see seqlab.corpora._texts.
        max_faulty: share of the lines that may be left out as their recordings are faulty.

    Returns:
        Manifests written.

    Raises:
        UserError: the library is missing, or no dataset is named.
        DataError: the dataset cannot be loaded, or lacks a split or column.
    """
    if not root:
        raise UserError("hub: which dataset? corpus.prepare.root=google/fleurs on the command line, and its config")
    library = _library()
    if splits is not None:
        dataset = {name: _load(library, root, config, revision, name) for name in splits.values()}
        chosen = dict(splits)
    else:
        dataset = _load(library, root, config, revision)
        chosen = _usual_splits(dataset)
    faults: list[str] = []
    parts = {}
    folders = [Path(root).expanduser(), *_caches(library)]
    for part, name in chosen.items():
        rows = dataset[name]
        named = {"audio": audio, "text": transcript, "speaker": speaker}
        columns = {what: _column(root, what, given, rows.column_names) for what, given in named.items()}
        rows = rows.cast_column(columns["audio"], library.Audio(decode=False))
        parts[part] = [
            _utterance(row, columns, f"{part}-{number:07d}", Path(out) / "audio" / part, folders, text, faults)
            for number, row in enumerate(track(rows, f"hub {part}"))
        ]
    stop(faults, "hub")
    lines = speech_lines("hub", parts, Path(out), max_faulty, "Run this again to load the dataset anew")
    options = {"dataset": root, "config": config, "revision": revision, "splits": chosen, "text": text}
    return write_speech("hub", lines, Path(out), options, disjoint=False)


def _library() -> Any:
    try:
        import datasets
    except ImportError:
        raise UserError(
            'corpus=hub needs the library datasets: pip install "seqlab[hub]". A dataset with wav or mp3 files and a '
            "CSV can be had by hand, too: load its files and take corpus=table"
        ) from None
    return datasets


def _load(library: Any, root: str, config: str | None, revision: str | None, split: str | None = None) -> Any:
    """Return the dataset's splits by name, or one split."""
    try:
        return library.load_dataset(root, config, split=split, revision=revision)
    except Exception as error:  # the library and what it loads over the network raise anything
        cause = error.__cause__ or error  # the library hides what is wrong behind errors of its own
        reason = (str(cause).strip().splitlines() or [""])[0][:300].rstrip(".")
        raise DataError(
            f"hub: {root} cannot be loaded: {type(cause).__name__}: {reason}. Is the name right, is there a network, "
            "and is a configuration needed (corpus.prepare.config=...)?"
        ) from None


def _usual_splits(dataset: Mapping[str, Any]) -> dict[str, str]:
    """Return the split of each part by its usual name."""
    found: dict[str, str] = {}
    for name in dataset:
        if (part := ALIASES.get(name)) is not None:
            found.setdefault(part, name)
    if not found:
        raise DataError(
            "hub: no split is called train, validation or test; name them, corpus.prepare.splits={train: ...} of "
            f"{', '.join(dataset)}"
        )
    return {part: found[part] for part in ("train", "dev", "test") if part in found}


def _column(root: str, what: str, given: str | None, columns: list[str]) -> str:
    option = "transcript" if what == "text" else what
    if given is not None and given not in columns:
        raise DataError(f"hub: {root} has no column {given!r} ({option}); it has {', '.join(columns)}")
    usual = next((name for name in USUAL[what] if name in columns), "")
    if given is None and not usual and what != "speaker":
        raise DataError(
            f"hub: which column of {root} is the {option}? corpus.prepare.{option}=, of {', '.join(columns)}"
        )
    return given or usual


def _caches(library: Any) -> list[Path]:
    """Return the folders that the library loads recordings into."""
    names = ("HF_DATASETS_CACHE", "DOWNLOADED_DATASETS_PATH", "EXTRACTED_DATASETS_PATH", "HF_CACHE_HOME")
    known = [getattr(library.config, name, None) for name in names] + [os.environ.get("HF_HUB_CACHE")]
    return list(dict.fromkeys(Path(folder).expanduser() for folder in known if folder))


def _within(folders: Sequence[Path], source: str) -> Path | None:
    """Return the recording of a path, if it is there and below one of the folders."""
    for folder in folders:
        with contextlib.suppress(DataError):
            if (path := inside(folder, source, "")).is_file():
                return path
    return None


def _utterance(
    row: Mapping[str, Any],
    columns: Mapping[str, str],
    name: str,
    place: Path,
    folders: Sequence[Path],
    rule: TextRule,
    faults: list[str],
) -> Utterance:
    """Write one recording into its place, unless it is there, and return its line."""
    record = row[columns["audio"]] or {}
    content, source = record.get("bytes"), record.get("path") or ""
    path = Path(source)
    if content:
        ending = next(
            (end for head, end in _ENDINGS.items() if content.startswith(head)), Path(source).suffix or ".mp3"
        )
        path = place / f"{name}{ending}"
        if not path.is_file() or path.stat().st_size != len(content) or path.read_bytes() != content:
            with replacing(path) as temporary:
                temporary.write_bytes(content)
    elif (found := _within(folders, source)) is not None:
        path = found
    else:
        told = f"{source} is not below {' or '.join(map(str, folders))}" if source else "empty"
        faults.append(f"{name}: no recording in column {columns['audio']} ({told})")
    said = row[columns["text"]]
    who = row[columns["speaker"]] if columns["speaker"] else None
    return Utterance(name, apply_rule(rule, str(said or "")), path, None if who in (None, "") else str(who), where=name)
