"""FSDD, the Free Spoken Digit Dataset: English digits spoken one at a time, and digit strings joined from them.

Zohar Jackson and others, CC BY-SA 4.0 (share-alike: a changed copy carries the same licence). A git clone of
Jakobovski/free-spoken-digit-dataset on GitHub has 3,000 recordings, 8 kHz mono 16-bit, six speakers, fifty times each
digit:

    recordings/<digit>_<speaker>_<index>.wav        recordings/7_jackson_32.wav

**Splits.** By recording index, the corpus's own rule: 0-4 test, the rest training; 5-9 of the rest are dev here. All
speakers are in every split, so this measures new recordings of known voices.

**Strings.** CTC has little to do on single words, so ``strings_<split>.jsonl`` lists connected digits: 3-7 recordings
of one speaker and of one split, with 20-200 ms of silence before, between and after. They have no audio of their own;
a line names its ``parts`` (see seqlab.manifest). Speakers take turns, digits are drawn evenly, all from the seed.

**Traps.** Recordings are trimmed tightly: mean 0.41 s, shortest 0.14 s. A model that keeps one frame in four has too
few frames to spell some of them (``three`` has five letters and a doubled one); the strings are long enough. Levels
differ seven-fold between speakers. Results on a part of the corpus (say five speakers, 250 test files) must say so.
"""

import logging
import random
import re
from pathlib import Path

from seqlab.corpora._common import DIGITS, find_root, manifest_path, read_headers, some, write_manifests
from seqlab.errors import DataError, UserError
from seqlab.manifest import Line

SPLITS = ("train", "dev", "test")
_LAYOUT = (
    "It is a clone of Jakobovski/free-spoken-digit-dataset on GitHub: "
    "recordings/<digit>_<speaker>_<index>.wav, for instance recordings/7_jackson_32.wav (.flac will do)"
)
_NAME = re.compile(r"(?P<digit>\d)_(?P<speaker>[^_]+)_(?P<index>\d+)")
_log = logging.getLogger(__name__)


def split_of(index: int) -> str:
    """Return the split of a recording index."""
    return "test" if index < 5 else "dev" if index < 10 else "train"


def prepare(
    root: str | None,
    out: str,
    strings_train: int = 2000,
    strings_dev: int = 200,
    strings_test: int = 200,
    seed: int = 1,
) -> dict[str, Path]:
    """Write manifests of the single digits and of digit strings.

    Args:
        root: the clone, or its folder ``recordings``; subfolders are searched.
        out: folder of the manifests.
        strings_train: digit strings for training; 0 writes none.
        strings_dev: for dev.
        strings_test: for test.
        seed: draws the strings.

    Returns:
        Manifests written: train, dev, test, strings_train, strings_dev, strings_test, as far as there is data.

    Raises:
        DataError: root is no FSDD, or recordings are faulty.
        FileNotFoundError: root does not exist.
    """
    numbers = {"train": strings_train, "dev": strings_dev, "test": strings_test}
    for split, number in numbers.items():
        if number < 0:
            raise UserError(f"strings_{split} must be 0 or more, got {number}")
    folder = find_root(root, "fsdd", _LAYOUT)
    if (folder / "recordings").is_dir():
        folder = folder / "recordings"
    singles = _singles(folder, Path(out))
    manifests = {split: [line for line in singles if split_of(line.extra["index"]) == split] for split in SPLITS}
    strings = {f"strings_{split}": draw_strings(manifests[split], split, n, seed) for split, n in numbers.items()}
    return write_manifests(Path(out), manifests | strings)


def _singles(folder: Path, out: Path) -> list[Line]:
    """One line per recording, sorted by speaker, digit and index."""
    found: dict[tuple[str, int, int], Path] = {}
    strange: list[str] = []
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in (".wav", ".flac") or path.name.startswith("."):
            continue
        if match := _NAME.fullmatch(path.stem):  # where a name occurs as .flac and .wav, .wav sorts last and wins
            found[match["speaker"], int(match["digit"]), int(match["index"])] = path
        else:
            strange.append(path.name)
    if not found:
        raise DataError(f"fsdd: no recording in {folder}. {_LAYOUT}")
    if strange:
        _log.warning("fsdd: %d file(s) left out, not named <digit>_<speaker>_<index>: %s", len(strange), some(strange))
    lines = []
    keys = sorted(found)
    for key, header in zip(keys, read_headers([found[key] for key in keys], "fsdd"), strict=True):
        speaker, digit, index = key
        line = Line(
            id=f"{digit}_{speaker}_{index}",
            text=DIGITS[digit],
            audio=manifest_path(found[key], out),
            speaker=speaker,
            sample_rate=header.sample_rate,
            duration_s=round(header.duration, 4),
            extra={"digit": digit, "index": index},
        )
        lines.append(line)
    return lines


def draw_strings(singles: list[Line], split: str, number: int, seed: int) -> list[Line]:
    """Draw lists of recordings to be joined.

    Args:
        singles: recordings of one split.
        split: its name; it enters the ids and the draw.
        number: how many strings.
        seed: equal seeds give equal strings.

    Returns:
        Lines with ``parts`` and ``silence_ms``; none if there are no recordings.
    """
    recordings: dict[str, dict[int, list[Line]]] = {}
    for line in singles:
        recordings.setdefault(line.speaker or "", {}).setdefault(line.extra["digit"], []).append(line)
    rng = random.Random(f"fsdd strings {split} {seed}")
    strings = []
    speakers = sorted(recordings)
    for count in range(number if speakers else 0):
        speaker = speakers[count % len(speakers)]
        parts: list[Line] = []
        digits = [rng.choice(sorted(recordings[speaker])) for _ in range(rng.randint(3, 7))]
        for digit in digits:  # no recording twice in a string while there are others
            choice = recordings[speaker][digit]
            parts.append(rng.choice([line for line in choice if line not in parts] or choice))
        silence = [rng.randint(20, 200) for _ in range(len(parts) + 1)]
        line = Line(
            id=f"{speaker}-{split}-str{count:04d}",
            text=" ".join(DIGITS[digit] for digit in digits),
            parts=[part.audio or "" for part in parts],
            silence_ms=silence,
            speaker=speaker,
            sample_rate=max(part.sample_rate or 0 for part in parts),
            duration_s=round(sum(part.duration_s or 0.0 for part in parts) + sum(silence) / 1000, 4),
            extra={"digits": "".join(map(str, digits))},
        )
        strings.append(line)
    return strings
