"""LJ Speech: 24 hours of one woman reading seven books, 13,100 clips; and every corpus in its layout.

Keith Ito and Linda Johnson, "The LJ Speech Dataset", keithito.com/LJ-Speech-Dataset, 2017. Public domain. Made for
speech synthesis; it teaches recognition one voice. 22,050 Hz mono 16-bit, 2.7 GB:

    LJSpeech-1.1/metadata.csv        LJ001-0001|the text as printed|the text as spoken
    LJSpeech-1.1/wavs/LJ001-0001.wav

No header and no quoting: a quotation mark is a part of the text. Own recordings for synthesis mostly come in this
layout, some without the third field, some with .flac; all are read.

**Splits.** There are none of its own. Sections (what stands before the last hyphen of a name, LJ001) are drawn whole
from the seed, so that no part has sentences of a chapter that another has; where names have no sections, lines are.

**Traps.** Use the text as spoken: the printed one has figures and abbreviations. Texts keep case and punctuation unless
a rule takes them. A result is one of a speaker who was trained on.
"""

from pathlib import Path

from seqlab.corpora._common import check_shares, draw_splits, find_root
from seqlab.corpora._download import Archive, obtain, place_of
from seqlab.corpora._images import stop
from seqlab.corpora._speech import Utterance, inside, recording, speech_lines, write_speech
from seqlab.corpora._texts import TextRule, apply_rule
from seqlab.errors import DataError, UserError
from seqlab.manifest import Line

ARCHIVE = Archive(
    ("https://data.keithito.com/data/speech/LJSpeech-1.1.tar.bz2",),
    *("LJSpeech-1.1", 2.75, "sha256:be1a30453f28eb8dd26af4101ae40cbf2c50413b1bb21936cbcdc6fae3de8aa5"),
)
LINES = 13_100
_LAYOUT = "It comes from keithito.com/LJ-Speech-Dataset: metadata.csv with rows ID|TEXT|SPOKEN TEXT, and wavs/<ID>.wav"


def prepare(
    root: str | None,
    out: str,
    text: TextRule = "plain",
    spoken: bool = True,
    speaker: str = "lj",
    dev_share: float = 0.05,
    test_share: float = 0.05,
    seed: int = 1,
    max_faulty: float = 0.01,
    download: bool = False,
) -> dict[str, Path]:
    """Write the manifests train, dev and test.

    Args:
        root: the folder of metadata.csv and wavs, or the one that holds LJSpeech-1.1.
        out: folder of the manifests and of totals.json.
        text: rule of the texts, see seqlab.corpora._texts.
        spoken: take the third field, where it is not empty, instead of the second.
        speaker: name of the one speaker.
        dev_share: share of the lines, whole sections of them.
        test_share: share of the lines, whole sections of them.
        seed: draws the sections.
        max_faulty: share of the lines that may be left out as their recordings are missing or faulty.
        download: load LJ Speech first, into root, or <out>/download where root is None.

    Returns:
        Manifests written.

    Raises:
        UserError: an option makes no sense.
        DataError: root has no such layout, or files are missing or faulty; loading failed.
        FileNotFoundError: root does not exist.
    """
    check_shares("lj_speech", dev_share, test_share)
    if not speaker:
        raise UserError("lj_speech: speaker is empty; give a name")
    if download:
        obtain("lj_speech", [ARCHIVE], place_of(root, out))
        root = str(place_of(root, out))
    folder = find_root(root, "lj_speech", _LAYOUT)
    folder = folder / ARCHIVE.holds if (folder / ARCHIVE.holds / "metadata.csv").is_file() else folder
    path = folder / "metadata.csv"
    if not path.is_file():
        raise DataError(f"lj_speech: {path} not found. {_LAYOUT}")
    utterances = []
    faults: list[str] = []
    for number, row in enumerate(_decoded(path).split("\n"), 1):
        fields = row.rstrip("\r").split("|")
        if not row.strip():
            continue
        if len(fields) < 2 or not fields[0].strip():
            faults.append(f"{path}:{number}: {row[:60]!r} is not ID|TEXT or ID|TEXT|SPOKEN TEXT")
            continue
        name, said = fields[0].strip(), fields[2] if spoken and len(fields) > 2 and fields[2].strip() else fields[1]
        try:
            base = inside(folder / "wavs", name, f"{path}:{number}")
        except DataError as error:
            faults.append(str(error))
            continue
        base = base.with_name(base.name.removesuffix(".wav"))
        audio = recording(base, (".wav", ".flac"))
        utterances.append(Utterance(base.name, apply_rule(text, said), audio, speaker, where=f"{path}:{number}"))
    stop(faults, "lj_speech")
    cure = f"Unpack the archive again. {_LAYOUT}"
    lines = speech_lines("lj_speech", {"all": utterances}, Path(out), max_faulty, cure)["all"]
    units: dict[str, list[Line]] = {}
    for line in lines:
        units.setdefault(line.id.rpartition("-")[0] or line.id, []).append(line)
    parts = draw_splits("lj_speech", units, "section", dev_share, test_share, seed)
    options = {"text": text, "spoken": spoken, "seed": seed, "dev_share": dev_share, "test_share": test_share}
    train = LINES - len(parts["dev"]) - len(parts["test"])
    known = {"train": {"lines": train}} if lines[0].id.startswith("LJ001-") else {}  # others have its layout, too
    return write_speech("lj_speech", parts, Path(out), options, known, disjoint=False)


def _decoded(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8") from None
