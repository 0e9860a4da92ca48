"""TIMIT: 6,300 read English sentences of 630 speakers, every phone labelled by hand. The corpus of phone recognition.

Garofolo and others, "TIMIT Acoustic-Phonetic Continuous Speech Corpus", LDC93S1, 1993: to be bought from the LDC,
nothing of it is shipped or downloaded here. 16 kHz mono 16-bit, NIST SPHERE files that end in .WAV:

    TIMIT/{TRAIN,TEST}/DR<1-8>/<SEX><INITIALS><digit>/<SENTENCE>.{WAV,PHN,TXT,WRD}      TRAIN/DR1/FCJF0/SX127.PHN

Names in upper or lower case; copies that were converted have .wav, .WAV.wav or .flac, and are read too. A .PHN file has
rows BEGIN END PHONE in samples, a .TXT file one row BEGIN END SENTENCE.

**Splits.** The usual ones: train is the 462 speakers of TRAIN, 3,696 sentences; test the core test, 24 speakers, 192
sentences; dev the 50 other test speakers that papers since Halberstadt 1998 tune on, 400 sentences. The two sentences
SA that everybody says are left out. Speakers differ between the parts.

**Phones.** Texts are the 61 phones of the labels. Results are told on 39 classes: ``tokenizer=timit`` learns 61 phones
and scores 39 classes. phones.map, written beside the manifests for other scoring tools, has a row "PHONE CLASS-OF-48
CLASS-OF-39" for each of the 61; q, which is not scored, stands alone. After folding dev has 15,057 phones and test
7,215, as scoring tools count them; ``prepare`` compares.

**Traps.** Silence counts as a phone in these figures; a result without it is another measure. Each phone's seconds are
kept in ``phone_times``. A .WAV of TIMIT is no RIFF file, and players that go by its name fail.
"""

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from seqlab.corpora._common import find_root
from seqlab.corpora._images import stop
from seqlab.corpora._speech import Utterance, speech_lines, write_speech
from seqlab.corpora._texts import apply_rule
from seqlab.corpora._timit_tables import CORE_TEST, DEV, PHONES, fold
from seqlab.errors import DataError, UserError
from seqlab.files import write_lines
from seqlab.manifest import Line

KNOWN = {
    "train": {"lines": 3696, "speakers": 462},
    "dev": {"lines": 400, "speakers": 50},
    "test": {"lines": 192, "speakers": 24},
}
KNOWN_FOLDED = {"dev": 15_057, "test": 7215}  # phones of 39 classes

_RATE = 16000  # Hz, of the times in .PHN and .TXT
_AUDIO = (".wav", ".wav.wav", ".sph", ".flac")  # in this order, lower case
_SENTENCE = re.compile(r"(s[aix])(\d+)")
_LAYOUT = (
    "It comes from the LDC, LDC93S1: TIMIT/TRAIN/DR1/FCJF0/SX127.WAV with .PHN and .TXT beside it, and so on, in upper "
    "or lower case"
)
_log = logging.getLogger(__name__)


def prepare(root: str | None, out: str, units: Literal["phones", "words"] = "phones") -> dict[str, Path]:
    """Write the manifests train, dev and test, and phones.map.

    Args:
        root: the folder TIMIT, its parent, or the folder of TRAIN and TEST.
        out: folder of the manifests, of phones.map and of totals.json.
        units: what a text is: the 61 phones of a sentence, or its words in lower case without punctuation.

    Returns:
        Manifests written. A line's extra fields are ``dialect``, ``sex``, ``sentence`` (the words), and with phones
        ``phone_times``, [start, end] in seconds of each.

    Raises:
        UserError: no such units.
        DataError: root is no TIMIT, or files are missing or faulty.
        FileNotFoundError: root does not exist.
    """
    if units not in ("phones", "words"):
        raise UserError(f"timit: units must be phones or words, got {units!r}")
    folder, target = find_root(root, "timit", _LAYOUT), Path(out)
    tops = _tops(folder)
    parts: dict[str, list[Utterance]] = {"train": [], "dev": [], "test": []}
    faults: list[str] = []
    for name, top in tops.items():
        for speaker, files in _speakers(top):
            part = "train" if name == "train" else "dev" if speaker in DEV else "test" if speaker in CORE_TEST else None
            if part is not None:
                parts[part] += _sentences(speaker, files, units, faults)
    stop(faults, "timit", "Copy these files from the corpus again.")
    if empty := [part for part, utterances in parts.items() if not utterances]:
        _log.warning("timit: no sentence of %s in %s", " and ".join(empty), folder)
    lines = speech_lines("timit", parts, target, 0.0, f"Copy the recordings from the corpus again. {_LAYOUT}", None)
    written = write_speech("timit", lines, target, {"units": units}, KNOWN)
    write_lines(target / "phones.map", ["\t".join((phone, *(fold(phone) or ()))) for phone in PHONES])
    if units == "phones":
        _compare_folded(lines)
    return written


def _tops(folder: Path) -> dict[str, Path]:
    """Find TRAIN and TEST, in the folder or one below; in any case of letters."""
    for place in (folder, *(path for path in sorted(folder.iterdir()) if path.name.lower() == "timit")):
        folders = {path.name.lower(): path for path in sorted(place.iterdir()) if path.is_dir()}
        found: dict[str, Path] = {name: folders[name] for name in ("train", "test") if name in folders}
        if found:
            if len(found) < 2:
                raise DataError(f"timit: {place} has {', '.join(found)} alone; TRAIN and TEST are needed. {_LAYOUT}")
            return found
    raise DataError(f"timit: no folders TRAIN and TEST in {folder}. {_LAYOUT}")


def _speakers(top: Path) -> Iterator[tuple[str, dict[str, Path]]]:
    """Yield each speaker, lower case, with the files of its folder by lower-case name."""
    for region in sorted(top.iterdir()):
        if region.is_dir() and re.fullmatch(r"dr[1-8]", region.name.lower()):
            for folder in sorted(region.iterdir()):
                if folder.is_dir() and not folder.name.startswith("."):
                    yield folder.name.lower(), {p.name.lower(): p for p in sorted(folder.iterdir())}


def _sentences(speaker: str, files: dict[str, Path], units: str, faults: list[str]) -> Iterator[Utterance]:
    """Yield what one speaker says, without the sentences SA."""
    for name in sorted({name.partition(".")[0] for name in files if name.endswith(".phn")}):
        match = _SENTENCE.fullmatch(name)
        if match is None or match[1] == "sa":
            continue
        phones, text = files[f"{name}.phn"], files.get(f"{name}.txt")
        audio = next((files[name + end] for end in _AUDIO if name + end in files), phones.with_suffix(".WAV"))
        extra: dict[str, Any] = {"dialect": phones.parent.parent.name.lower(), "sex": speaker[0].upper()}
        if text is not None:
            extra["sentence"] = _text(text, faults)
        elif units == "words":
            faults.append(f"{phones.with_suffix('.TXT')} not found")
        labels, times = _phones(phones, faults)
        if units == "phones":
            extra["phone_times"] = times
        written = " ".join(labels) if units == "phones" else apply_rule("plain", extra.get("sentence", ""))
        yield Utterance(f"{speaker}_{name}", written, audio, speaker, where=str(phones), extra=extra)


def _rows(path: Path, kind: str, faults: list[str]) -> Iterator[tuple[int, float, float, str]]:
    """Yield line number, begin and end in seconds, and label of the rows of a label file."""
    for number, row in enumerate(path.read_text(encoding="utf-8", errors="replace").split("\n"), 1):
        if not row.strip():
            continue
        begin, end, label = (*row.split(None, 2), "", "", "")[:3]
        if not (begin.isdecimal() and end.isdecimal() and label.strip()) or int(begin) > int(end):
            faults.append(f"{path}:{number}: {row[:60]!r} is not BEGIN END {kind}")
            continue
        yield number, int(begin) / _RATE, int(end) / _RATE, label.strip()


def _text(path: Path, faults: list[str]) -> str:
    return " ".join(label for *_, label in _rows(path, "SENTENCE", faults))


def _phones(path: Path, faults: list[str]) -> tuple[list[str], list[list[float]]]:
    labels, times = [], []
    for number, begin, end, label in _rows(path, "PHONE", faults):
        if label not in PHONES:
            faults.append(f"{path}:{number}: {label!r} is none of the 61 phones")
        labels.append(label)
        times.append([round(begin, 5), round(end, 5)])
    return labels, times


def _compare_folded(lines: dict[str, list[Line]]) -> None:
    """Log the phones of each part after folding, and warn where they are not those known."""
    for part, rows in lines.items():
        count = sum(fold(phone) is not None for line in rows for phone in line.text.split())
        _log.info("timit %s: %d phones of 39 classes", part, count)
        if rows and (known := KNOWN_FOLDED.get(part)) and count != known:
            _log.warning("timit %s: %d phones of 39 classes, the whole part has %d", part, count, known)
