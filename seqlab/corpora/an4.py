"""AN4, the CMU census data: 1,078 short recordings of people who spell names, addresses and numbers. An hour in all.

Acero and Stern, "Environmental robustness in automatic speech recognition", ICASSP 1990. Recorded at Carnegie Mellon
University in 1991; the archive names no licence, and is published for anybody to use. 64 MB. 16 kHz mono 16-bit, NIST
SPHERE:

    an4/etc/an4_{train,test}.transcription       <s> RUBOUT G M E F THREE NINE </s> (an406-fcaw-b)
    an4/wav/an4_clstk/<speaker>/<utterance>.sph                  training, an4test_clstk the same for test

**Splits.** The corpus's own: 948 utterances of 74 speakers to train on, 130 of 10 others to test on. It has no dev
part: whole speakers are drawn from the training part, a tenth of its lines. ESPnet's recipe takes the first hundred
utterances, sorted by speaker; test is the same for all.

**Traps.** The transcripts of train have <s> and </s> around them, those of test may not. Texts are upper case. Copies
that were converted have .wav beside or instead of .sph; both are read. Letters are spelled: a language model of words
helps little.
"""

import re
from pathlib import Path

from seqlab.corpora._common import check_shares, draw_splits, find_root
from seqlab.corpora._download import Archive, obtain, place_of
from seqlab.corpora._images import stop
from seqlab.corpora._speech import Utterance, recording, speech_lines, write_speech
from seqlab.corpora._texts import TextRule, apply_rule
from seqlab.errors import DataError
from seqlab.manifest import Line

# the second address is a copy that another toolkit keeps; the sum is that of the copy
ARCHIVE = Archive(
    (
        "http://www.speech.cs.cmu.edu/databases/an4/an4_sphere.tar.gz",
        "https://dldata-public.s3.us-east-2.amazonaws.com/an4_sphere.tar.gz",
    ),
    *("an4", 0.065, "sha256:a0525579493735d32b60fb6fa5975dd0eaacde087b0a4eeb7f13b7ef33077b12"),
)
TRAIN_LINES = 948  # dev included
_FOLDERS = {"train": "an4_clstk", "test": "an4test_clstk"}
_LAYOUT = (
    "It is an4_sphere.tar.gz of www.speech.cs.cmu.edu/databases/an4: an4/etc/an4_train.transcription and "
    "an4/wav/an4_clstk/<speaker>/<utterance>.sph"
)
_ROW = re.compile(r"(?P<text>.*)\((?P<id>[^()\s/\\]+)\)\s*")


def prepare(
    root: str | None,
    out: str,
    dev_share: float = 0.1,
    seed: int = 1,
    text: TextRule = "keep",
    download: bool = False,
) -> dict[str, Path]:
    """Write the manifests train, dev and test.

    Args:
        root: the folder an4, or its parent.
        out: folder of the manifests and of totals.json.
        dev_share: share of the training lines that become dev, whole speakers of them; 0 leaves training whole.
        seed: draws the speakers of dev.
        text: rule of the texts, see seqlab.corpora._texts.
        download: load the corpus first, into root, or <out>/download where root is None.

    Returns:
        Manifests written.

    Raises:
        UserError: an option makes no sense.
        DataError: root is no AN4, or files are missing or faulty; loading failed.
        FileNotFoundError: root does not exist.
    """
    check_shares("an4", dev_share, 0.0)
    if download:
        obtain("an4", [ARCHIVE], place_of(root, out))
        root = str(place_of(root, out))
    folder = find_root(root, "an4", _LAYOUT)
    folder = folder / "an4" if (folder / "an4" / "etc").is_dir() else folder
    faults: list[str] = []
    parts = {part: _utterances(folder, part, text, faults) for part in _FOLDERS}
    stop(faults, "an4")
    lines = speech_lines("an4", parts, Path(out), 0.0, f"Unpack the archive again. {_LAYOUT}", None)
    units: dict[str, list[Line]] = {}
    for line in lines["train"]:
        units.setdefault(str(line.speaker), []).append(line)
    lines = draw_splits("an4", units, "speaker", dev_share, 0.0, seed) | {"test": lines["test"]}
    known = {"train": {"lines": TRAIN_LINES - len(lines["dev"])}, "test": {"lines": 130, "speakers": 10}}
    options = {"dev_share": dev_share, "seed": seed, "text": text}
    return write_speech("an4", lines, Path(out), options, known)


def _utterances(folder: Path, part: str, rule: TextRule, faults: list[str]) -> list[Utterance]:
    """Read the transcripts of a part."""
    path = folder / "etc" / f"an4_{part}.transcription"
    if not path.is_file():
        raise DataError(f"an4: {path} not found. {_LAYOUT}")
    utterances = []
    for number, row in enumerate(path.read_text(encoding="utf-8", errors="replace").split("\n"), 1):
        if not row.strip():
            continue
        match = _ROW.fullmatch(row)
        if match is None or len(fields := match["id"].split("-")) != 3:
            faults.append(f"{path}:{number}: {row[:60]!r} is not 'WORDS (<text>-<speaker>-<take>)'")
            continue
        words = match["text"].replace("<s>", " ").replace("</s>", " ")
        base = folder / "wav" / _FOLDERS[part] / fields[1] / match["id"]
        audio, where = recording(base, (".sph", ".wav")), f"{path}:{number}"
        utterances.append(Utterance(match["id"], apply_rule(rule, words), audio, fields[1], where=where))
    return utterances
