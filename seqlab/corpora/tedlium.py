"""TED-LIUM 3: 452 hours of TED talks with transcripts, 2,351 talks to train on.

Hernandez, Nguyen, Ghannay, Tomashenko and Estève, "TED-LIUM 3: twice as much data and corpus repartition for
experiments on speaker adaptation", SPECOM 2018; cite it. CC BY-NC-ND 3.0: not for commercial use, and changed copies
may not be passed on. From openslr.org/51, one archive of 51 GB. 16 kHz mono 16-bit, NIST SPHERE, a talk a file:

    TEDLIUM_release-3/legacy/{train,dev,test}/{sph,stm}/<talk>.{sph,stm}
    TEDLIUM_release-3/data/{sph,stm}/                                    what legacy/train points to

A row of a .stm file is TALK CHANNEL SPEAKER START END <LABELS> TEXT; rows that begin with ;; are comments.

**Splits.** ``legacy``, where dev (8 talks, 507 segments) and test (11 talks, 1,155) are those of TED-LIUM 2, so results
compare. Releases 1 and 2 (train, dev and test beside each other, or in data) are read, too. Speakers differ.

**Texts.** Rows "ignore_time_segment_in_scoring" are left out. Signs that are no speech, <sil>, {NOISE}, pronunciations
as in the(2) and a name in brackets at the end of a row go; "it 's" is joined. <unk>, a word that nobody understood,
leaves training out with its row and stays out of the text of dev and test.

**Traps.** Segments of train are cut closely; Kaldi's recipe widens them by 0.15 s before and 0.1 s after (``widen:
true``). One recording has many segments: lines name it with their ``spans``, and reading one reads the talk's file.
"""

import logging
import re
from collections.abc import Iterator
from pathlib import Path

from seqlab.corpora._common import find_root, some
from seqlab.corpora._download import Archive, obtain, place_of
from seqlab.corpora._images import stop
from seqlab.corpora._speech import SPLITS, Utterance, inside, recording, speech_lines, write_speech
from seqlab.corpora._texts import TextRule, apply_rule
from seqlab.errors import DataError

ARCHIVE = Archive(
    ("https://www.openslr.org/resources/51/TEDLIUM_release-3.tgz",),
    *("TEDLIUM_release-3", 54.0, "sha256:ad1e454d14d1ad550bc2564c462d87c7a7ec83d4dc2b9210f22ab4973b9eccdb"),
)
KNOWN = {"dev": {"lines": 507}, "test": {"lines": 1155}}
PADDING = (0.15, 0.1)  # seconds before and after, of widened training segments
_IGNORED = "ignore_time_segment_in_scoring"
_UNKNOWN = "<unk>"
_NO_SPEECH = re.compile(r"<[^<> ]*>|\{[^{}]*\}|\(\d+\)|\([^() ]*\)\s*$")
_BEFORE_SUFFIX = re.compile(r"(?<=\w) +(?='(?:s|t|d|m|ll|re|ve)\b)", re.IGNORECASE)
_LAYOUT = (
    "It comes from openslr.org/51: TEDLIUM_release-3/legacy/{train,dev,test}/{sph,stm}, for instance "
    "legacy/train/stm/911Mothers_2010W.stm"
)
_log = logging.getLogger(__name__)


def prepare(
    root: str | None,
    out: str,
    text: TextRule = "keep",
    widen: bool = False,
    max_faulty: float = 0.0,
    download: bool = False,
) -> dict[str, Path]:
    """Write the manifests train, dev and test.

    Args:
        root: the folder TEDLIUM_release-3 (or of another release), or its parent.
        out: folder of the manifests and of totals.json.
        text: rule of the texts after the signs that are no speech are gone, see seqlab.corpora._texts.
        widen: widen the segments of train as Kaldi's recipe does, up to the neighbours' ends.
        max_faulty: share of the lines that may be left out as their recordings are missing or faulty.
        download: load TED-LIUM 3 first, into root, or <out>/download where root is None.

    Returns:
        Manifests written.

    Raises:
        UserError: an option makes no sense.
        DataError: root is no TED-LIUM, or files are missing or faulty; loading failed.
        FileNotFoundError: root does not exist.
    """
    if download:
        obtain("tedlium", [ARCHIVE], place_of(root, out))
        root = str(place_of(root, out))
    folder = find_root(root, "tedlium", _LAYOUT)
    tops = {part: top for part in SPLITS if (top := _part(folder, part)) is not None}
    if not tops:
        raise DataError(f"tedlium: no folder of .stm files of train, dev or test in {folder}. {_LAYOUT}")
    faults: list[str] = []
    parts = {part: list(_utterances(top, part, text, faults)) for part, top in tops.items()}
    stop(faults, "tedlium")
    if widen:
        _widen(parts.get("train", []))
    lines = speech_lines("tedlium", parts, Path(out), max_faulty, f"Unpack the archive again. {_LAYOUT}")
    return write_speech("tedlium", lines, Path(out), {"text": text, "widen": widen}, KNOWN)


def _part(folder: Path, part: str) -> Path | None:
    """Find the folder of sph and stm of a part."""
    tops = [folder, *sorted(path for path in folder.glob("TEDLIUM*") if path.is_dir())]
    places = [top / middle / part for top in tops for middle in ("legacy", "data", ".")]
    return next((place for place in places if (place / "stm").is_dir()), None)


def _utterances(top: Path, part: str, rule: TextRule, faults: list[str]) -> Iterator[Utterance]:
    """Read the .stm files of a part."""
    unheard: list[str] = []
    for path in sorted((top / "stm").glob("*.stm")):
        for number, row in enumerate(path.read_text(encoding="utf-8", errors="replace").split("\n"), 1):
            where = f"{path}:{number}"
            if not row.strip() or row.startswith(";;"):
                continue
            try:
                talk, _, speaker, start, end, said = [*row.split(None, 5), ""][:6]
                begin, until = float(start), float(end)
                base = inside(top / "sph", talk, where)
            except ValueError as error:  # a DataError says itself what is wrong
                told = f"{where}: {row[:60]!r} is not TALK CHANNEL SPEAKER START END <LABELS> TEXT"
                faults.append(str(error) if isinstance(error, DataError) else told)
                continue
            said = said.partition(">")[2] if said.startswith("<") else said
            if said.strip() == _IGNORED:
                continue
            name = f"{base.name}-{round(begin * 100):07d}-{round(until * 100):07d}"
            if part == "train" and _UNKNOWN in said:
                unheard.append(name)
                continue
            said = _BEFORE_SUFFIX.sub("", _NO_SPEECH.sub(" ", said.replace(_UNKNOWN, " ")))
            audio = recording(base, (".sph", ".wav", ".flac"))
            yield Utterance(name, apply_rule(rule, said), audio, speaker, begin, until, where, {"talk": base.name})
    if unheard:
        _log.info("tedlium train: %d segment(s) with <unk> left out: %s", len(unheard), some(unheard))


def _widen(utterances: list[Utterance]) -> None:
    """Let segments begin earlier and end later, never into a neighbour of the same recording."""
    ordered = sorted(utterances, key=lambda u: (u.audio, u.start))
    given = [(u.audio, u.start, u.end or u.start) for u in ordered]
    for i, utterance in enumerate(ordered):
        audio, start, end = given[i]
        before = given[i - 1][2] if i and given[i - 1][0] == audio else 0.0
        utterance.start = min(start, max(start - PADDING[0], before))
        if i + 1 < len(given) and given[i + 1][0] == audio:  # the last may lie at the end of the recording
            utterance.end = max(end, min(end + PADDING[1], given[i + 1][1]))
