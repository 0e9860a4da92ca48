"""Decoded recordings kept on disk as 16-bit numbers, so that later epochs and runs need not decode them again."""

import hashlib
import logging
import os
import struct
from pathlib import Path

import numpy as np

from seqlab.files import replacing
from seqlab.media import file_stamp

logger = logging.getLogger(__name__)

_HEAD = struct.Struct("<8sQqqQ")  # magic, size and time of the recording, its rate as read, samples
_INT16, _FLOAT32 = b"seqlab-i", b"seqlab-f"
_LOOK_AGAIN = 200  # recordings kept before the folder is measured anew: others may write to it, too


class DecodedCache:
    """A folder of decoded recordings, one file each, written whole or not at all: any number of processes may share it.

    A recording whose every sample is a 16-bit number takes two bytes per sample, others (resampled, 24-bit, MP3) four,
    so what is read is equal to what was decoded, to the bit. A file belongs to the path, size and time of its
    recording, to the rate and to the span; that of a recording that has changed is replaced. When the folder is full
    nothing more is kept.

    Args:
        folder: made when the first recording is kept.
        gigabytes: most that the folder may hold, in GiB.
    """

    def __init__(self, folder: str | Path, gigabytes: float) -> None:
        self.folder = Path(folder)
        self.limit = int(gigabytes * 2**30)
        self.used = 0
        self._since = _LOOK_AGAIN  # recordings kept since the folder was measured
        self._full = False

    def get(self, path: str | Path, rate: int | None, span: tuple[float, float] | None = None) -> np.ndarray | None:
        """Return the samples of a recording or a span of it (seconds), (S,), float32.

        None if they are not kept or no longer its own.
        """
        try:
            stamp = _stamp(path, rate)
            with self._place(path, rate, span).open("rb") as file:
                magic, *theirs, count = _HEAD.unpack(file.read(_HEAD.size))
                if tuple(theirs) != stamp or magic not in (_INT16, _FLOAT32):
                    return None
                kept = np.fromfile(file, "<i2" if magic == _INT16 else "<f4", count)
        except (OSError, struct.error):
            return None
        if len(kept) != count:
            return None
        return kept * np.float32(1 / 32768) if magic == _INT16 else kept

    def keep(
        self, path: str | Path, rate: int | None, samples: np.ndarray, span: tuple[float, float] | None = None
    ) -> None:
        """Keep the samples of a recording or a span of it, (S,), float32, if there is room."""
        if self._full:
            return
        scaled = samples * np.float32(32768)
        small = np.clip(np.rint(scaled), -32768, 32767).astype("<i2")
        exact = bool(np.array_equal(small, scaled))
        content = small if exact else samples.astype("<f4")
        self._since += 1
        if self._since > _LOOK_AGAIN:
            self.used, self._since = _size_of(self.folder), 0
        if self.used + content.nbytes > self.limit:
            self._full = True
            logger.warning(
                "%s holds %.1f GiB and is full: further recordings are decoded in every epoch; raise data.cache_gb or "
                "empty it",
                *(self.folder, self.used / 2**30),
            )
            return
        try:
            head = _HEAD.pack(_INT16 if exact else _FLOAT32, *_stamp(path, rate), len(samples))
            with replacing(self._place(path, rate, span)) as temporary, temporary.open("xb") as file:
                file.write(head)
                content.tofile(file)
            self.used += content.nbytes
        except OSError as error:
            self._full = True
            logger.warning("%s: %s; recordings are decoded in every epoch", self.folder, error.strerror or error)

    def _place(self, path: str | Path, rate: int | None, span: tuple[float, float] | None) -> Path:
        wanted = f"\0{rate}" + (f"\0{span[0]}\0{span[1]}" if span else "")
        name = hashlib.sha256(os.fsencode(os.path.realpath(path)) + wanted.encode()).hexdigest()[:40]
        return self.folder / name[:2] / name[2:]


def _stamp(path: str | Path, rate: int | None) -> tuple[int, int, int]:
    return *file_stamp(path), rate or 0


def _size_of(folder: Path) -> int:
    """Return the bytes of all files in the folders of a folder."""
    total = 0
    for part in folder.glob("??"):
        for entry in os.scandir(part):
            try:
                total += entry.stat().st_size
            except FileNotFoundError:  # replaced by another process just now
                continue
    return total
