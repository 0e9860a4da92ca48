"""LibriSpeech: about 1,000 hours of English read for LibriVox, and the two-subset mini version of it.

Panayotov, Chen, Povey and Khudanpur, "LibriSpeech: an ASR corpus based on public domain audio books", ICASSP 2015;
cite it. CC BY 4.0. From openslr.org/12 (60 GB in all), the mini version from openslr.org/31 (train-clean-5 and
dev-clean-2, five and two hours). 16 kHz mono 16-bit FLAC:

    LibriSpeech/SPEAKERS.TXT                                                     ID | SEX | SUBSET | MINUTES | NAME
    LibriSpeech/<subset>/<speaker>/<chapter>/<speaker>-<chapter>-<nnnn>.flac
    LibriSpeech/<subset>/<speaker>/<chapter>/<speaker>-<chapter>.trans.txt       ID TEXT, one utterance a line

**Splits.** The corpus's own. By default every train-* subset there is becomes train; dev-clean (of the mini version
dev-clean-2) becomes dev; dev-other, test-clean and test-other become manifests of their own names, for results are
reported for each. Speakers differ between subsets. A part of the tree is enough: what is absent is not written.

**Traps.** Texts are upper case, A-Z, apostrophe and space, no punctuation; ``case: lower`` suits other models' texts.
Utterances reach 35 s. The last line of a transcript file may lack its newline. Partial copies list utterances whose
audio is absent; they are left out, counted and named. The mini version has no test subset: results on dev-clean-2 are
dev results. train-clean-100 against 360 or 960 hours of training: say which; each has a configuration.

**Totals.** Lines and speakers of each subset, and words of dev and test, are known and compared; see totals.json.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from seqlab.corpora._common import find_root, manifest_path, read_headers, some
from seqlab.corpora._download import Archive, obtain, place_of
from seqlab.corpora._speech import write_speech
from seqlab.errors import DataError, UserError
from seqlab.manifest import MAX_FAULTS, Line

SUBSETS = (
    *("train-clean-5", "train-clean-100", "train-clean-360", "train-other-500"),
    *("dev-clean-2", "dev-clean", "dev-other", "test-clean", "test-other"),
)
DEFAULT_SPLITS: dict[str, tuple[str, ...]] = {
    "train": tuple(name for name in SUBSETS if name.startswith("train")),
    "dev": ("dev-clean", "dev-clean-2"),
    "dev-other": ("dev-other",),
    "test-clean": ("test-clean",),
    "test-other": ("test-other",),
}
# lines and speakers of the whole subsets; words as scoring tools count them
KNOWN: dict[str, dict[str, int]] = {
    "train-clean-5": {"lines": 1519},
    "train-clean-100": {"lines": 28_539, "speakers": 251},
    "train-clean-360": {"lines": 104_014, "speakers": 921},
    "train-other-500": {"lines": 148_688, "speakers": 1166},
    "dev-clean-2": {"lines": 1089},
    "dev-clean": {"lines": 2703, "speakers": 40, "words": 54_402},
    "dev-other": {"lines": 2864, "speakers": 33, "words": 50_948},
    "test-clean": {"lines": 2620, "speakers": 40, "words": 52_576},
    "test-other": {"lines": 2939, "speakers": 33, "words": 52_343},
}


def _archive(subset: str, resource: int, gigabytes: float, digest: str) -> Archive:
    url = f"https://www.openslr.org/resources/{resource}/{subset}.tar.gz"
    return Archive((url,), f"LibriSpeech/{subset}", gigabytes, digest)


ARCHIVES = {
    archive.holds.rpartition("/")[2]: archive
    for archive in (
        _archive("train-clean-5", 31, 0.35, "md5:5df7d4e78065366204ca6845bb08f490"),
        _archive(
            *("train-clean-100", 12, 6.4),
            "sha256:d4ddd1d5a6ab303066f14971d768ee43278a5f2a0aa43dc716b0e64ecbbbf6e2",
        ),
        _archive(
            *("train-clean-360", 12, 23.1),
            "sha256:146a56496217e96c14334a160df97fffedd6e0a04e66b9c5af0d40be3c792ecf",
        ),
        _archive(
            *("train-other-500", 12, 30.6),
            "sha256:ddb22f27f96ec163645d53215559df6aa36515f26e01dd70798188350adcb6d2",
        ),
        _archive("dev-clean-2", 31, 0.13, "md5:6d7ab67ac6a1d2c993d050e16d61080d"),
        _archive("dev-clean", 12, 0.34, "sha256:76f87d090650617fca0cac8f88b9416e0ebf80350acb97b343a85fa903728ab3"),
        _archive("dev-other", 12, 0.32, "sha256:12661c48e8c3fe1de2c1caa4c3e135193bfb1811584f11f569dd12645aa84365"),
        _archive("test-clean", 12, 0.35, "sha256:39fde525e59672dc6d1551919b1478f724438a95aa55f874b576be21967e6c23"),
        _archive("test-other", 12, 0.33, "sha256:d09c181bba5cf717b3dee7d4d592af11a3ee3a09e08ae025c5506f6ebe961c29"),
    )
}
_LAYOUT = (
    "It comes from openslr.org/12 (mini version: openslr.org/31): LibriSpeech/<subset>/<speaker>/<chapter>/"
    f"<speaker>-<chapter>-<nnnn>.flac and <speaker>-<chapter>.trans.txt; subsets: {', '.join(SUBSETS)}"
)
_log = logging.getLogger(__name__)


def prepare(
    root: str | None,
    out: str,
    subsets: Mapping[str, str | Sequence[str]] | Sequence[str] | None = None,
    case: Literal["upper", "lower"] = "upper",
    download: bool = False,
) -> dict[str, Path]:
    """Write one manifest per split.

    Args:
        root: the folder LibriSpeech, its parent, or one subset folder, which then is all that is read.
        out: folder of the manifests and of totals.json.
        subsets: which subsets make which split, {"train": ["train-clean-100"], "dev": "dev-clean"}; a plain list picks
            subsets and leaves them in their usual splits; None takes all there are.
        case: upper, as published, or lower.
        download: load the subsets that are missing from openslr.org first, into root, or <out>/download where root is
            None; subsets must then be chosen.

    Returns:
        Manifests written, one for each split that has lines.

    Raises:
        UserError: an unknown subset or case.
        DataError: root holds no subset, or a subset asked for by name is absent, or files are faulty; loading failed.
        FileNotFoundError: root does not exist.
    """
    if case not in ("upper", "lower"):
        raise UserError(f"case must be upper or lower, got {case!r}")
    splits = _splits(subsets)
    if download:
        root = _download(root, out, splits, chosen=subsets is not None)
    folder, present = _tree(find_root(root, "librispeech", _LAYOUT))
    if absent := [name for names in splits.values() for name in names if name not in present]:
        if subsets is not None:
            raise DataError(f"librispeech: {', '.join(absent)} not in {folder}; there is {', '.join(present)}")
        _log.info("librispeech: not in %s: %s", folder, ", ".join(absent))
    sexes = _sexes(folder / "SPEAKERS.TXT")
    manifests: dict[str, list[Line]] = {}
    for split, names in splits.items():
        manifests[split] = []
        for name in names:
            if name in present:
                manifests[split] += _subset(folder / name, Path(out), case, sexes)
    if not any(manifests.values()):
        raise DataError(f"librispeech: no utterance with both text and audio in {folder}. {_LAYOUT}")
    known = {
        split: {key: sum(KNOWN[name].get(key, 0) for name in names) for key in KNOWN[names[0]]}
        for split, names in splits.items()
        if names and all(name in present and KNOWN[name].keys() == KNOWN[names[0]].keys() for name in names)
    }
    options = {"subsets": {split: [name for name in names if name in present] for split, names in splits.items()}}
    # subsets may be prepared one after the other: manifests of other parts stay
    return write_speech("librispeech", manifests, Path(out), options | {"case": case}, known, parts=())


def _download(root: str | None, out: str, splits: Mapping[str, tuple[str, ...]], chosen: bool) -> str:
    """Load what is missing; returns the folder that holds LibriSpeech."""
    if not chosen:
        raise UserError(
            "librispeech: all subsets are 60 GB; choose some to load, corpus=librispeech_100 (librispeech_mini, "
            "librispeech_360, librispeech_960) or corpus.prepare.subsets=[dev-clean] on the command line"
        )
    folder = place_of(root, out)
    folder = folder.parent if folder.name == "LibriSpeech" else folder
    obtain("librispeech", [ARCHIVES[name] for names in splits.values() for name in names], folder)
    return str(folder)


def _splits(subsets: Mapping[str, str | Sequence[str]] | Sequence[str] | None) -> dict[str, tuple[str, ...]]:
    """Bring the option into the form {split: subsets} and check the names."""
    if subsets is None:
        return DEFAULT_SPLITS
    if isinstance(subsets, Mapping):
        splits = {key: (names,) if isinstance(names, str) else tuple(names) for key, names in subsets.items()}
        chosen = [name for names in splits.values() for name in names]
    else:
        chosen = [subsets] if isinstance(subsets, str) else list(subsets)
        splits = {key: tuple(name for name in names if name in chosen) for key, names in DEFAULT_SPLITS.items()}
    if unknown := [name for name in chosen if name not in SUBSETS]:
        raise UserError(f"librispeech: unknown subset {', '.join(map(repr, unknown))}; valid: {', '.join(SUBSETS)}")
    if twice := sorted({name for name in chosen if chosen.count(name) > 1}):
        raise UserError(f"librispeech: {', '.join(twice)} named more than once; splits must not overlap")
    if not chosen:
        raise UserError(f"librispeech: no subset chosen; valid: {', '.join(SUBSETS)}")
    return splits


def _tree(root: Path) -> tuple[Path, list[str]]:
    """Find the folder that holds the subsets, and the subsets that count."""
    root = root.absolute()
    if root.name in SUBSETS:
        return root.parent, [root.name]
    for folder in (root, root / "LibriSpeech"):
        if present := [name for name in SUBSETS if (folder / name).is_dir()]:
            return folder, present
    raise DataError(f"librispeech: no subset folder in {root}. {_LAYOUT}")


def _sexes(path: Path) -> dict[str, str]:
    """Read speaker -> M or F from SPEAKERS.TXT, where it is there."""
    if not path.is_file():
        return {}
    sexes = {}
    for row in path.read_text(encoding="utf-8", errors="replace").splitlines():
        fields = [field.strip() for field in row.split("|")]
        if not row.startswith(";") and len(fields) >= 2 and fields[1] in ("M", "F"):
            sexes[fields[0]] = fields[1]
    return sexes


def _subset(folder: Path, out: Path, case: str, sexes: Mapping[str, str]) -> list[Line]:
    """The lines of one subset, sorted by speaker and chapter folder."""
    texts: dict[Path, str] = {}
    faults: list[str] = []
    silent: list[str] = []
    for transcript in sorted(folder.glob("*/*/*.trans.txt")):
        chapter = transcript.name.removesuffix(".trans.txt")
        for number, raw in enumerate(transcript.read_bytes().split(b"\n"), 1):
            row = raw.decode("utf-8", "backslashreplace")
            if not row.strip():
                continue
            name, _, text = row.rstrip("\r").partition(" ")
            if name.count("-") != 2 or not name.startswith(f"{chapter}-") or not text.strip() or "\\" in text:
                faults.append(f"{transcript}:{number}: {row[:60]!r} is not '{chapter}-<nnnn> TEXT'")
                continue
            audio = transcript.with_name(f"{name}.flac")
            if audio.is_file():
                texts[audio] = text.strip()
            else:
                silent.append(name)
    if faults:
        shown = "\n".join(faults[:MAX_FAULTS])
        raise DataError(f"librispeech {folder.name}: {len(faults)} faulty transcript line(s):\n{shown}")
    if silent:
        _log.warning("librispeech %s: %d line(s) left out, no audio: %s", folder.name, len(silent), some(silent))
    lines = []
    for audio, header in zip(texts, read_headers(list(texts), f"librispeech {folder.name}", out), strict=True):
        speaker, chapter, _ = audio.stem.split("-")
        line = Line(
            id=audio.stem,
            text=texts[audio].lower() if case == "lower" else texts[audio],
            audio=manifest_path(audio, out),
            speaker=speaker,
            sample_rate=header.sample_rate,
            duration_s=round(header.duration, 4),
            extra={"subset": folder.name, "chapter": chapter},
        )
        if speaker in sexes:
            line.extra["sex"] = sexes[speaker]
        lines.append(line)
    return lines
