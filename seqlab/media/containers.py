"""Open audio files that may be damaged or hostile, and decode them block by block."""

import os
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, BinaryIO

import numpy as np
import soundfile

from seqlab.errors import DataError
from seqlab.media._files import file_stamp, member_of, open_file

MAX_CHANNELS = 64
MIN_RATE, MAX_RATE = 100, 1_000_000  # Hz
MAX_DURATION = 24 * 3600.0  # seconds; a few kB of FLAC can claim, and truly decode to, years of silence
MAX_SAMPLE = 2.0**31  # float files written at the scale of integers pass, numbers that overflow in features don't
BLOCK = 65536  # samples decoded at a time
UNKNOWN_LENGTH = 2**40  # samples; a header that cannot know the length (a stream) is reported as a huge number
_SEEKABLE = ("WAV", "WAVEX", "RF64", "W64", "FLAC", "AIFF", "AU", "CAF", "NIST")
_READS = "WAV, FLAC, OGG, MP3, AIFF, AU, CAF and NIST SPHERE"
_FFMPEG_DEMUXERS = (  # containers only: no playlist, which could make ffmpeg open other files
    "aac,ac3,aiff,amr,ape,asf,avi,caf,dsf,dts,eac3,flac,flv,matroska,mov,mp3,mp4,m4a,mpeg,mpegts,ogg,rm,tta,w64,wav,webm,wv"
)


class _ForwardFile(soundfile.SoundFile):
    """A sound file that is only read forward: soundfile would seek after each block, which fails in cut files."""

    def seekable(self) -> bool:
        return False


class _CalmFile:
    """A file as libsndfile calls back for it, where nothing may raise: a seek to nowhere leaves it where it is."""

    def __init__(self, file: BinaryIO) -> None:
        self._seek, self.tell, self.read = file.seek, file.tell, file.read
        self.readinto = getattr(file, "readinto")  # noqa: B009

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> None:
        with suppress(OSError, ValueError):
            self._seek(offset, whence)


@contextmanager
def open_audio(path: str | os.PathLike[str], longest: float = MAX_DURATION) -> Iterator[soundfile.SoundFile]:
    """Open an audio file and check what its header says; what only ffmpeg reads holds ``longest`` seconds and one."""
    with ExitStack() as stack:
        raw = stack.enter_context(open_file(path, "audio"))
        try:
            head = raw.read(4096)
            _check_container(raw, head, path)
            raw.seek(0)
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error}") from None
        try:
            file = _ForwardFile(_CalmFile(raw) if member_of(path) else os.fspath(path))
        except (soundfile.LibsndfileError, TypeError, ValueError) as error:  # TypeError: headerless .raw
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="seqlab-")))
            file = _ForwardFile(_convert(path, folder, head, _reason(error), longest))
        stack.enter_context(file)
        if not 1 <= file.channels <= MAX_CHANNELS:
            raise DataError(f"{path}: {file.channels} channels; 1 to {MAX_CHANNELS} are read. Is the file damaged?")
        if not MIN_RATE <= file.samplerate <= MAX_RATE:
            raise DataError(
                f"{path}: a sample rate of {file.samplerate} Hz; rates from {MIN_RATE} to {MAX_RATE} Hz are read. "
                "Write the file again with its true rate"
            )
        if file.frames <= 0:
            raise DataError(
                f"{path} holds no samples: the recording is empty, was never finished, or is cut off; drop the file"
            )
        yield file


def _check_container(raw: IO[bytes], head: bytes, path: str | os.PathLike[str]) -> None:
    """Name what libsndfile would take without a word: empty and text files, and cut WAV and OGG."""
    size = raw.seek(0, os.SEEK_END)
    if not size:
        raise DataError(f"{path} is empty (0 bytes); copy or record it again, or drop the line")
    if head.startswith(b"version https://git-lfs"):
        raise DataError(f"{path} is a Git LFS pointer, not audio; run 'git lfs pull' where it comes from")
    if not head.startswith((b"NIST_1A", b"fLaC")) and not any(c < 9 or 13 < c < 32 or c == 127 for c in head[:512]):
        start = " ".join(head[:40].decode("utf-8", "replace").split())
        raise DataError(f"{path} is text, not audio (it begins {start!r}); give an audio file ({_READS})")
    missing = 0
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        missing = _missing_wav_bytes(raw, size)
    elif head[:4] == b"OggS":
        missing = _missing_ogg_bytes(raw, size)
    elif head.startswith(b"NIST_1A"):
        missing = _missing_sphere_bytes(head, size, path)
    if missing > 0:
        raise DataError(
            f"{path} is cut off: {missing} of {size + missing} bytes are missing at the end; copy the file again or "
            "drop the line"
        )


def _missing_wav_bytes(raw: IO[bytes], size: int) -> int:
    """Bytes that the data chunk promises beyond the end of the file."""
    position = 12
    for _ in range(1000):  # chunks; a hostile file could hold millions
        if position + 8 > size:
            break
        raw.seek(position)
        name, length = struct.unpack("<4sI", raw.read(8))
        if name == b"data":
            # a stream's header says "unknown", mostly 2**32-1 or near 2**31; some writers count their 44-byte header in
            missing = position + 8 + length - size
            return missing if length < 0x7FFF0000 and missing > 64 else 0
        position += 8 + length + length % 2
    return 0


def _missing_ogg_bytes(raw: IO[bytes], size: int) -> int:
    """Bytes that the last page promises beyond the end of the file."""
    raw.seek(max(0, size - 70_000))  # a page has 65,307 bytes at most
    tail = raw.read()
    start = tail.rfind(b"OggS")
    table = tail[start + 27 :][: tail[start + 26]] if 0 <= start < len(tail) - 27 else b""
    return start + 27 + len(table) + sum(table) - len(tail) if table else 0


def _missing_sphere_bytes(head: bytes, size: int, path: str | os.PathLike[str]) -> int:
    """Bytes that a NIST SPHERE header promises beyond the end of the file; compressed ones are refused.

    The header is text: its length in the second row, then rows NAME -TYPE VALUE up to end_head.
    """
    rows = head.split(b"end_head", 1)[0].decode("latin-1").split("\n")
    fields = {name: value for name, _, value in (row.split(None, 2) for row in rows if len(row.split(None, 2)) == 3)}
    coding = fields.get("sample_coding", "pcm").lower()
    if packed := next((name for name in ("shorten", "shortpack", "wavpack") if name in coding), None):
        raise DataError(
            f"{path} is a SPHERE file compressed with {packed}, which is not read; unpack it with the LDC's program, "
            "sph2pipe -f wav IN.sph OUT.wav"
        )
    try:
        start = int(rows[1])
        numbers = [int(fields[name]) for name in ("sample_count", "channel_count", "sample_n_bytes")]
    except (IndexError, KeyError, ValueError):
        return 0
    return start + numbers[0] * numbers[1] * numbers[2] - size


def plausible_samples(file: soundfile.SoundFile, path: str | os.PathLike[str]) -> int:
    """Samples to reserve memory for: what the header says, as far as the size of the file allows it."""
    return min(int(file.frames), 16 * file_stamp(path)[0] + BLOCK, int(MAX_DURATION) * MAX_RATE)


def seeks_exactly(file: soundfile.SoundFile) -> bool:
    """Tell whether decoding can begin at any sample and gives what decoding from the beginning gives there."""
    plain = file.subtype.startswith("PCM_") or file.subtype in ("FLOAT", "DOUBLE", "ULAW", "ALAW")
    return bool(file.format in _SEEKABLE and plain and file.frames < UNKNOWN_LENGTH)


def mono_blocks(
    file: soundfile.SoundFile, path: str | os.PathLike[str], first: int = 0, last: int | None = None
) -> Iterator[np.ndarray]:
    """Decode a file block by block, each mixed down to (S,).

    Args:
        file: as open_audio gives it.
        path: for messages.
        first: sample to begin at; 0, unless the file seeks_exactly.
        last: sample to end before, or None.
    """
    count = first
    buffer = np.empty((BLOCK if last is None else min(BLOCK, last - first), file.channels), np.float32)
    while True:
        try:
            if first and count == first:
                file.seek(first)
            block = file.read(out=buffer if last is None else buffer[: last - count])
        except soundfile.LibsndfileError as error:
            begin, whole = count / file.samplerate, file.frames / file.samplerate
            of = f"of {whole:.1f} s " if file.frames < UNKNOWN_LENGTH else ""
            raise DataError(
                f"{path} is cut off or damaged: decoding {of}failed in the block that begins at {begin:.1f} s "
                f"({_reason(error)}); copy the file again or drop the line"
            ) from None
        if not len(block):
            return
        with np.errstate(over="ignore", invalid="ignore"):
            mono = block.mean(axis=1, dtype=np.float32) if file.channels > 1 else block[:, 0].copy()
        if (at := overflowing(mono)) is not None:
            raise DataError(
                f"{path} holds a sample of {mono[at]:g} at {(count + at) / file.samplerate:.2f} s; write it again with "
                "samples in [-1, 1]"
            )
        count += len(block)
        if count > MAX_DURATION * file.samplerate:
            raise DataError(f"{path} is longer than {MAX_DURATION / 3600:.0f} h; cut it into pieces")
        yield mono


def overflowing(samples: np.ndarray) -> int | None:
    """Return the place of the first sample of (S,) that is NaN or so loud that features overflow; None: no such."""
    with np.errstate(invalid="ignore"):
        sane = np.abs(samples) <= MAX_SAMPLE  # False for NaN
    return None if sane.all() else int(np.argmin(sane))


def check_complete(
    file: soundfile.SoundFile, path: str | os.PathLike[str], count: int, last: int | None = None
) -> None:
    """Compare the sample up to which was decoded with the header's count, or with the last that was wanted."""
    rate, claimed = file.samplerate, int(file.frames)
    if last is not None and count == last:
        return
    # an MP3's count is a guess without a Xing tag, and an encoder's delay is counted in by some
    slack = max(2304, claimed // 20) if file.format == "MP3" else 0
    if count == 0 or (claimed < UNKNOWN_LENGTH and count + slack < claimed):
        raise DataError(
            f"{path} is cut off or damaged: its header says {claimed} samples ({claimed / rate:.2f} s), {count} "
            f"({count / rate:.2f} s) could be decoded; copy the file again or drop the line"
        )


def _reason(error: Exception) -> str:
    """What libsndfile said, without its ornaments."""
    said = str(getattr(error, "error_string", error)).removeprefix("Error :").strip(" .")
    return said[:1].lower() + said[1:] or "unknown format"


def _convert(path: str | os.PathLike[str], folder: Path, head: bytes, reason: str, longest: float) -> str:
    """Decode with ffmpeg what soundfile cannot read, a second more than the longest; returns a WAV in folder."""
    if head.startswith(b"fLaC"):  # soundfile knows every FLAC, and ffmpeg would take a damaged one without a word
        raise DataError(f"{path} is a damaged FLAC file ({reason}); copy the file again or drop the line")
    program = shutil.which("ffmpeg")
    if program is None:
        raise DataError(
            f"{path} cannot be read as audio ({reason}): it is damaged, or of a format other than "
            f"{_READS}. For other formats install the program ffmpeg, or convert the file to WAV"
        )
    target = folder / "audio.wav"
    source, protocols = f"file:{os.path.abspath(path)}", "file"
    if member := member_of(path):
        end = member.offset + member.size
        source = f"subfile,,start,{member.offset},end,{end},,:file:{os.path.abspath(member.tar)}"
        protocols = "file,subfile"
    command = [program, "-nostdin", "-v", "error", "-xerror", "-protocol_whitelist", protocols, "-format_whitelist"]
    command += [_FFMPEG_DEMUXERS, "-i", source, "-map", "0:a:0", "-vn"]
    command += ["-t", str(int(longest) + 1), "-rf64", "auto", "-c:a", "pcm_s16le", "-y", str(target)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=3600, check=False)
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise DataError(f"{path}: ffmpeg did not decode it: {error}") from None
    if done.returncode or not target.exists() or not target.stat().st_size:
        said = (done.stderr.strip().splitlines() or ["no reason given"])[-1][:300]
        raise DataError(f"{path} cannot be read as audio, neither by soundfile ({reason}) nor by ffmpeg ({said})")
    return str(target)
