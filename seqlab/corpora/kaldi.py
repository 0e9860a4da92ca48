"""Kaldi data directories: wav.scp, text, segments and utt2spk, as the recipes of Kaldi, ESPnet and others make them.

    <part>/wav.scp      RECORDING PATH              one of a pipe, "RECORDING COMMAND |", is refused: see below
    <part>/text         UTTERANCE WORD WORD ...
    <part>/segments     UTTERANCE RECORDING START END           seconds; optional, END may be -1
    <part>/utt2spk      UTTERANCE SPEAKER                       optional
    <part>/feats.scp    not read: features are made here, from the recordings

**Parts.** ``parts`` names the directories of train, dev and test, relative to root. Without it, directories named
train, dev (or val, valid) and test below root are taken; a root that is a data directory itself is divided by speaker.

**Recordings.** Paths in wav.scp are relative to where the recipe ran. They are sought below ``audio_root``, by default
root and its parent (of a root that is a data directory, the parent's parent, too); what leads out of it is refused, so
that nobody's list opens other files.

**Pipes.** A line of wav.scp that ends in | is a shell command. None is ever executed here: commands of a stranger's
list could do anything. Where it only decodes a file (flac -c -d -s x.flac |, sph2pipe -f wav x.sph |) write the path
of that file in its place, for FLAC and SPHERE are read directly; else write the output of the command to files.

**Traps.** A recording of two channels would be mixed down, so reco2file_and_channel may name no channel B. An utterance
of text that segments or wav.scp lacks is left out and named.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from seqlab.corpora._common import check_shares, draw_splits, find_root, some
from seqlab.corpora._images import stop
from seqlab.corpora._speech import Utterance, by_speaker, inside, speech_lines, write_speech
from seqlab.corpora._texts import TextRule, apply_rule
from seqlab.errors import DataError, UserError

_NAMES = {"train": ("train",), "dev": ("dev", "val", "valid", "validation"), "test": ("test",)}
_LAYOUT = "It holds data directories with wav.scp and text, data/train/wav.scp and data/train/text"
_log = logging.getLogger(__name__)


def prepare(
    root: str | None,
    out: str,
    parts: Mapping[str, str | Sequence[str]] | None = None,
    audio_root: str | None = None,
    text: TextRule = "keep",
    dev_share: float = 0.1,
    test_share: float = 0.1,
    seed: int = 1,
    max_faulty: float = 0.01,
) -> dict[str, Path]:
    """Write one manifest per part.

    Args:
        root: a data directory, or the folder that holds data directories.
        out: folder of the manifests and of totals.json.
        parts: which directories make which part, {"train": ["train_clean_5"], "dev": "dev_clean_2"}, relative to root.
        audio_root: folder that the recordings lie below, and that relative paths count from.
        text: rule of the texts, see seqlab.corpora._texts.
        dev_share: share of the lines, whole speakers, where one directory is divided.
        test_share: share of the lines, whole speakers, where one directory is divided.
        seed: draws the speakers.
        max_faulty: share of the lines that may be left out as their recordings are missing or faulty.

    Returns:
        Manifests written.

    Raises:
        UserError: an option makes no sense.
        DataError: root has no such directories, wav.scp has pipes or paths that lead out, or files are faulty.
        FileNotFoundError: root does not exist.
    """
    check_shares("kaldi", dev_share, test_share)
    folder = find_root(root, "kaldi", _LAYOUT)
    directories = _directories(folder, parts)
    faults: list[str] = []
    utterances = {
        part: [u for path in paths for u in _utterances(path, folder, audio_root, text, faults)]
        for part, paths in directories.items()
    }
    stop(faults, "kaldi")
    cure = "Correct wav.scp, or give the folder of the recordings, corpus.prepare.audio_root=... on the command line"
    lines = speech_lines("kaldi", utterances, Path(out), max_faulty, cure)
    if set(lines) == {"all"}:
        units, kind = by_speaker(lines["all"])
        lines = draw_splits("kaldi", units, kind, dev_share, test_share, seed, ", or parts")
    options = {"parts": {part: [path.name for path in paths] for part, paths in directories.items()}, "text": text}
    return write_speech("kaldi", lines, Path(out), options, disjoint=False)


def _directories(folder: Path, parts: Mapping[str, str | Sequence[str]] | None) -> dict[str, list[Path]]:
    """Find the data directories of each part; {"all": [...]} is one that is to be divided."""
    if parts is not None:
        named = {part: [names] if isinstance(names, str) else list(names) for part, names in parts.items()}
        found = {part: [inside(folder, name, "parts") for name in names] for part, names in named.items()}
        if bare := [str(p) for paths in found.values() for p in paths if not (p / "wav.scp").is_file()]:
            raise DataError(f"kaldi: no wav.scp in {some(bare)}. {_LAYOUT}")
        if not any(found.values()):
            raise UserError("kaldi: parts is empty; give {train: [...], dev: [...], test: [...]}")
        return found
    if (folder / "wav.scp").is_file():
        return {"all": [folder]}
    for place in (folder, folder / "data"):
        choices = {part: [place / name for name in names] for part, names in _NAMES.items()}
        found = {part: [p for p in paths if (p / "wav.scp").is_file()][:1] for part, paths in choices.items()}
        if found["train"]:
            return {part: paths for part, paths in found.items() if paths}
    there = sorted(path.parent.relative_to(folder).as_posix() for path in folder.glob("*/wav.scp"))
    told = (
        f"; there is {some(there)}: say which is what, corpus.prepare.parts={{train: ...}}" if there else f". {_LAYOUT}"
    )
    raise DataError(f"kaldi: no data directory train in {folder}{told}")


def _table(path: Path, faults: list[str]) -> dict[str, tuple[str, str]]:
    """Read a file of rows "KEY VALUE"; returns key -> (value, "file:line")."""
    table: dict[str, tuple[str, str]] = {}
    try:
        rows = path.read_bytes().decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        faults.append(f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8")
        return table
    for number, row in enumerate(rows, 1):
        if row.strip():
            key, *value = row.split(None, 1)
            if key in table:
                faults.append(f"{path}:{number}: {key} stands already in an earlier row")
            table[key] = (value[0].strip() if value else "", f"{path}:{number}")
    return table


def _recordings(path: Path, folder: Path, audio_root: str | None, faults: list[str]) -> dict[str, Path]:
    """Read wav.scp."""
    top = folder.absolute()
    bases = [top, top.parent, *([top.parent.parent] if (top / "wav.scp").is_file() else [])]
    bases = [Path(audio_root).expanduser()] if audio_root else [base for base in bases if base != base.parent]
    found: dict[str, Path] = {}
    pipes: list[str] = []
    for key, (value, where) in _table(path, faults).items():
        if value.endswith("|"):
            pipes.append(f"{where}: {value[:80]}")
            continue
        choices: list[Path] = []
        outside = ""
        for base in bases:
            try:
                choices.append(inside(base, value, where))
            except DataError as error:
                outside = outside or str(error)
        if choices:
            found[key] = next((choice for choice in choices if choice.is_file()), choices[0])
        else:
            faults.append(f"{outside}; if it is meant, give the recordings' folder, corpus.prepare.audio_root=...")
    if pipes:
        raise DataError(
            f"kaldi: {len(pipes)} recording(s) of {path} are commands, which are never executed here:\n"
            + "\n".join(pipes[:5])
            + "\nWhere a command only decodes a FLAC or SPHERE file, write the path of that file in its place; else "
            "write what it puts out to files, in Kaldi: wav-copy scp:wav.scp, and name these"
        )
    return found


def _utterances(
    directory: Path, folder: Path, audio_root: str | None, rule: TextRule, faults: list[str]
) -> list[Utterance]:
    """Read one data directory."""
    if not (directory / "text").is_file():
        raise DataError(f"kaldi: {directory / 'text'} not found: without transcripts nothing can be learnt. {_LAYOUT}")
    recordings = _recordings(directory / "wav.scp", folder, audio_root, faults)
    optional = {name: directory / name for name in ("segments", "utt2spk", "reco2file_and_channel")}
    tables = {name: _table(path, faults) if path.is_file() else {} for name, path in optional.items()}
    if channels := [key for key, (value, _) in tables["reco2file_and_channel"].items() if value.split()[-1:] == ["B"]]:
        raise DataError(f"kaldi: {directory} has recordings of two channels, {some(channels)}; write each to a file")
    utterances: list[Utterance] = []
    lost: list[str] = []
    for key, (words, where) in _table(directory / "text", faults).items():
        span: tuple[float, float | None] = (0.0, None)
        name = key
        if tables["segments"]:
            if key not in tables["segments"]:
                lost.append(key)
                continue
            value, place = tables["segments"][key]
            try:
                name, start, end = value.split()
                span = float(start), None if float(end) < 0 else float(end)
            except ValueError:
                faults.append(f"{place}: {value[:60]!r} is not RECORDING START END")
                continue
        if name not in recordings:
            lost.append(key)
            continue
        speaker = tables["utt2spk"].get(key, ("", ""))[0] or None
        utterances.append(Utterance(key, apply_rule(rule, words), recordings[name], speaker, *span, where))
    if lost:
        _log.warning("kaldi %s: %d utterance(s) left out, without recording: %s", directory.name, len(lost), some(lost))
    return utterances
