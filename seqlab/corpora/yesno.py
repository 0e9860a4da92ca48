"""YESNO: sixty recordings of eight words, each word "yes" or "no". The smallest real speech corpus.

From openslr.org/1, made to try Kaldi's scripts. No licence is stated: use it, don't redistribute it. One male speaker;
the words are Hebrew (ken, lo) by openslr, English by another account, which changes nothing for training. 8 kHz mono
16-bit, about six seconds each:

    waves_yesno/<b>_<b>_<b>_<b>_<b>_<b>_<b>_<b>.wav        waves_yesno/0_1_0_0_1_1_0_1.wav      1 = yes, 0 = no

The file name is the transcript.

**Splits.** Kaldi's: names sorted, first half training, second half test, 30 and 30. Kaldi's recipe has no dev set, so
every fifth training file becomes dev (6 of 30): the names are sorted by transcript, and a step through them keeps yes
and no mixed. Test stays Kaldi's 30 files, so results compare; training has 24.

**Traps.** Only ``*.wav`` counts: a README in the folder would shift the halves. As the halves are sorted by transcript,
lines of training begin with "no" and lines of test mostly with "yes". One speaker in every split.
"""

import logging
import re
from pathlib import Path

from seqlab.corpora._common import find_root, manifest_path, read_headers, some
from seqlab.corpora._download import Archive, obtain, place_of
from seqlab.corpora._speech import write_speech
from seqlab.errors import DataError, UserError
from seqlab.manifest import Line

WORDS = ("no", "yes")
ARCHIVE = Archive(
    ("https://www.openslr.org/resources/1/waves_yesno.tar.gz",),
    *("waves_yesno", 0.005, "sha256:c3f49e0cca421f96b75b41640749167b52118f232498667ca7a5f9416aef8e73"),
)
_LAYOUT = "It comes from openslr.org/1: waves_yesno/0_1_0_0_1_1_0_1.wav and 59 more, names of eight 0s and 1s"
_NAME = re.compile(r"[01](_[01])*")
_log = logging.getLogger(__name__)


def prepare(root: str | None, out: str, dev_every: int = 5, download: bool = False) -> dict[str, Path]:
    """Write the manifests train, dev and test.

    Args:
        root: the folder waves_yesno, or the one that holds it.
        out: folder of the manifests.
        dev_every: each so-many-th file of the training half becomes dev; 0 leaves the training half whole.
        download: load the corpus from openslr.org first, into root, or <out>/download where root is None.

    Returns:
        Manifests written.

    Raises:
        DataError: root is no YESNO, or recordings are faulty; loading failed.
        FileNotFoundError: root does not exist.
    """
    if dev_every < 0 or dev_every == 1:
        raise UserError(f"dev_every must be 0 (no dev) or 2 and more, got {dev_every}")
    if download:
        obtain("yesno", [ARCHIVE], place_of(root, out))
        root = str(place_of(root, out))
    folder = find_root(root, "yesno", _LAYOUT)
    if (folder / "waves_yesno").is_dir():
        folder = folder / "waves_yesno"
    waves = sorted(path for path in folder.glob("*.wav") if not path.name.startswith("."))
    strange = [path.name for path in waves if not _NAME.fullmatch(path.stem)]
    if strange:
        _log.warning(
            "yesno: %d file(s) left out, the name is no transcript of 0 and 1: %s", len(strange), some(strange)
        )
    waves = [path for path in waves if _NAME.fullmatch(path.stem)]
    if len(waves) < 2:
        raise DataError(f"yesno: {len(waves)} recording(s) in {folder}, two or more are needed. {_LAYOUT}")
    lines = []
    for path, header in zip(waves, read_headers(waves, "yesno", Path(out)), strict=True):
        line = Line(
            id=path.stem,
            text=" ".join(WORDS[int(bit)] for bit in path.stem.split("_")),
            audio=manifest_path(path, Path(out)),
            speaker="yesno",
            sample_rate=header.sample_rate,
            duration_s=round(header.duration, 4),
        )
        lines.append(line)
    half = len(lines) // 2
    dev = lines[:half][dev_every - 1 :: dev_every] if dev_every else []
    train = [line for line in lines[:half] if line not in dev]
    manifests = {"train": train, "dev": dev, "test": lines[half:]}
    known = {"train": {"lines": 30 - len(dev)}, "test": {"lines": 30}}
    return write_speech("yesno", manifests, Path(out), {"dev_every": dev_every}, known, disjoint=False)
