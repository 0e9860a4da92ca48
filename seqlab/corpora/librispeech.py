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
dev results. train-clean-100 against 960 hours of training: say which.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from seqlab.corpora._common import find_root, manifest_path, read_headers, some, write_manifests
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
) -> dict[str, Path]:
    """Write one manifest per split.

    Args:
        root: the folder LibriSpeech, its parent, or one subset folder, which then is all that is read.
        out: folder of the manifests.
        subsets: which subsets make which split, {"train": ["train-clean-100"], "dev": "dev-clean"}; a plain list picks
            subsets and leaves them in their usual splits; None takes all there are.
        case: upper, as published, or lower.

    Returns:
        Manifests written, one for each split that has lines.

    Raises:
        UserError: an unknown subset or case.
        DataError: root holds no subset, or a subset asked for by name is absent, or files are faulty.
        FileNotFoundError: root does not exist.
    """
    if case not in ("upper", "lower"):
        raise UserError(f"case must be upper or lower, got {case!r}")
    splits = _splits(subsets)
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
    return write_manifests(Path(out), manifests, parts=())  # subsets may be prepared one after the other


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
    for audio, header in zip(texts, read_headers(list(texts), f"librispeech {folder.name}"), strict=True):
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
