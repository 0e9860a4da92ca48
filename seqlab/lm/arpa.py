"""Read and write ARPA files, the text form of backoff n-gram models (Doug Paul's, as SRILM, KenLM and flashlight use).

    \\data\\
    ngram 1=4
    ngram 2=2

    \\1-grams:
    -99<tab><s><tab>-0.3        log10 probability, words, log10 backoff weight
    ...
    \\2-grams:
    -0.5<tab><s> the
    ...
    \\end\\

Words are separated by spaces or tabs, so that in a model of characters the space itself is written ``<space>``.
"""

import gzip
import os
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from seqlab.errors import DataError
from seqlab.files import replacing
from seqlab.lm import _arpa
from seqlab.lm.ngram import LOG_10, UNKNOWN_LOG_PROB, NGram, Unit
from seqlab.lm.tables import Grams, TwiceError
from seqlab.lm.vocabulary import SPECIAL, UNKNOWN

SPACE = "<space>"
BLOCK = 1 << 22  # bytes read at a time; no line may be longer
_COUNT = re.compile(rb"ngram\s+(\d{1,9})\s*=\s*(\d{1,18})$")
_NOT_ARPA = "is no n-gram model: it is neither ARPA (no line \\data\\) nor seqlab's binary form"
_FAULTS = {
    _arpa.NO_NUMBER: "does not begin with a number, the log10 probability",
    _arpa.POSITIVE: "has a log10 probability above 0 or that is no number; it must be 0 or less",
    _arpa.FEW_WORDS: "has too few words for its section",
    _arpa.NEW_WORD: "has a word that is not among the 1-grams",
    _arpa.BAD_BACKOFF: "has a backoff weight that is no finite number",
    _arpa.TOO_MANY: "has more than a probability, the words of its section and a backoff weight",
}


class _Source:
    """A file read in blocks of whole lines."""

    def __init__(self, path: Path, report: Callable[[int], None] | None) -> None:
        self.path = path
        self.raw = path.open("rb")
        compressed = self.raw.peek(2)[:2] == b"\x1f\x8b"
        self.file = cast(BinaryIO, gzip.GzipFile(fileobj=self.raw)) if compressed else self.raw
        self.report = report
        self.data = b""
        self.place = 0  # what lies before it is done
        self.end = 0  # of the last whole line
        self.lines = 0  # before self.data

    def fill(self) -> bool:
        """Read on; False at the end of the file."""
        self.lines += self.data.count(b"\n", 0, self.place)
        try:
            block = self.file.read(BLOCK)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(f"{self.path}: the gzip file is damaged or was cut off ({error})") from None
        rest = self.data[self.place :]
        self.data = rest + block if block or not rest or rest.endswith(b"\n") else rest + b"\n"
        self.place, self.end = 0, self.data.rfind(b"\n") + 1
        if self.report:
            self.report(self.raw.tell())
        if block and not self.end:
            if len(self.data) >= BLOCK:
                raise self.fault(f"a line is longer than {BLOCK >> 20} MiB: {_NOT_ARPA}")
            return self.fill()
        return bool(block) or len(self.data) > len(rest)

    def line(self) -> bytes | None:
        """Return the next line that is not blank, stripped, or None at the end."""
        while self.place < self.end or self.fill():
            end = self.data.index(b"\n", self.place) + 1
            text = self.data[self.place : end].strip()
            self.place = end
            if text:
                return text
        return None

    def fault(self, message: str) -> DataError:
        """Return an error that names the line at hand."""
        number = self.lines + self.data.count(b"\n", 0, self.place) + 1
        return DataError(f"{self.path}:{number}: {message}")


def read(path: str | os.PathLike[str], unit: Unit | None, report: Callable[[int], None] | None = None) -> NGram:
    """Read an ARPA file, plain or gzipped.

    Taken as KenLM takes them: spaces for tabs, CRLF, blank lines, missing backoff weights, weights at the highest
    order (without effect), a missing <unk> (gets 1e-100), <UNK> for <unk>. Taken, too: text before \\data\\, a missing
    <s> or </s>, n-grams whose beginning is missing. Probabilities and weights
    below 1e-100, 0 among them, become 1e-100.

    Args:
        path: the file.
        unit: what a word is; None guesses, see NGram.load.
        report: called with the bytes read so far.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: what is wrong, and in which line.
    """
    source = _Source(Path(path), report)
    with source.raw:
        counts = _counts(source)
        words: list[str] = []
        keys = _arpa.Keys(*(np.zeros(0, t) for t in (np.uint8, np.int64, np.int32)))
        levels: list[Grams] = []
        for order, count in enumerate(counts, 1):
            parts = list(_section(source, order, keys))
            ids, log_prob, backoff, text, ends = (np.concatenate(column) for column in zip(*parts, strict=True))
            if len(log_prob) != count:
                told = f"section \\{order}-grams: holds {len(log_prob)} n-grams, the header says ngram {order}={count}"
                raise source.fault(f"{told}; the file was cut off or edited: make it anew, or correct the header")
            if order == 1:
                words, keys = _words(source.path, text, ends)
                ids = np.arange(len(words), dtype=np.int32)[:, None]
            levels.append(Grams(ids, log_prob, backoff))
            expected = b"\\end\\" if order == len(counts) else b"\\%d-grams:" % (order + 1)
            found = source.line()
            if found != expected:
                told = repr(found.decode("utf-8", "replace")[:80]) if found else "the end of the file"
                raise source.fault(f"expected the line {expected.decode()}, found {told}; was the file cut off?")
    while len(levels) > 1 and not len(levels[-1].ids):
        levels.pop()
    if unit is None:
        unit = _guess(words)
    if unit == "char":
        words = [" " if word == SPACE else word for word in words]
    try:
        return NGram.build(words, levels, unit)
    except TwiceError as error:
        line = _line_of(source.path, error.order, error.row)
        raise DataError(f"{path}:{line}: the n-gram stands twice in section \\{error.order}-grams:") from None


def _counts(source: _Source) -> list[int]:
    for _ in range(1000):
        line = source.line()
        if line is None or b"\0" in line:
            break
        if line.removeprefix(b"\xef\xbb\xbf") == b"\\data\\":
            counts: list[int] = []
            while (line := source.line()) is not None and (match := _COUNT.match(line)):
                if int(match[1]) != len(counts) + 1:
                    raise DataError(f"{source.path}: the header must count orders 1, 2, 3, ..., got {line.decode()!r}")
                counts.append(int(match[2]))
            if not counts or not counts[0]:
                raise DataError(f"{source.path}: the header must count the n-grams: ngram 1=NUMBER, with one or more")
            if line != b"\\1-grams:":
                raise source.fault("expected the line \\1-grams: after the counts")
            return counts
    raise DataError(f"{source.path} {_NOT_ARPA}")


def _section(source: _Source, order: int, keys: _arpa.Keys) -> Iterator[tuple[np.ndarray, ...]]:
    """Read the n-grams of a section block by block: ids, log-probs, backoff weights, and text and ends of new words."""
    while True:
        block = np.frombuffer(source.data, np.uint8)
        source.place, fault, *arrays = _arpa.parse(block, source.place, source.end, order, keys)
        if fault:
            line = source.data[source.place : source.data.index(b"\n", source.place)].strip()
            raise source.fault(f"{line.decode('utf-8', 'replace')[:120]!r} {_FAULTS[fault]}")
        log_prob, backoff = (np.maximum(a * LOG_10, UNKNOWN_LOG_PROB).astype(np.float32) for a in arrays[1:3])
        yield arrays[0], log_prob, backoff, arrays[3], arrays[4]
        if source.place < source.end or not source.fill():
            return


def _words(path: Path, text: np.ndarray, sizes: np.ndarray) -> tuple[list[str], _arpa.Keys]:
    """Return the words of the 1-grams, and a hash table of them."""
    ends = np.cumsum(sizes)
    keys, twice = _arpa.index_words(text, ends)
    if twice >= 0:
        raise DataError(f"{path}:{_line_of(path, 1, twice)}: the n-gram stands twice in section \\1-grams:")
    stored = text.tobytes()
    words = []
    for row, (begin, end) in enumerate(zip([0, *ends.tolist()], ends.tolist(), strict=False)):
        try:
            words.append(stored[begin:end].decode())
        except UnicodeDecodeError:
            raise DataError(f"{path}:{_line_of(path, 1, row)}: the word is not UTF-8; convert the file") from None
    if UNKNOWN not in words and "<UNK>" in words:
        words[words.index("<UNK>")] = UNKNOWN
    return words, keys


def _line_of(path: Path, order: int, row: int) -> int:
    """Return the line number of the n-gram at a row, counted from 0, of a section: reads the file once more."""
    source = _Source(path, None)
    with source.raw:
        section = False
        while (line := source.line()) is not None:
            if line.startswith(b"\\"):
                section = line == b"\\%d-grams:" % order
            elif section:
                row -= 1
                if row < 0:
                    break
        return source.lines + source.data.count(b"\n", 0, source.place)


def _guess(words: list[str]) -> Unit:
    ordinary = [word for word in words if word not in SPECIAL]
    if all(len(word) == 1 or word == SPACE for word in ordinary):
        return "char"
    return "piece" if any(word.startswith("▁") for word in ordinary) else "word"


def write(model: NGram, path: str | os.PathLike[str], report: Callable[[int], None] | None = None) -> None:
    """Write a model as ARPA, gzipped if the name ends in .gz.

    Args:
        model: any model.
        path: the file; it is written whole or not at all.
        report: called with the number of n-grams written so far.

    Raises:
        OSError: the file could not be written.
    """
    tables = model.tables
    words = [SPACE if word == " " else word for word in model.words]
    has_backoff = (np.diff(tables.first) > 0) | (tables.backoff != 0)
    parents = np.repeat(np.arange(len(tables.word)), np.diff(tables.first))
    done = 0
    with replacing(path) as temporary, temporary.open("xb") as raw:
        compressed = str(path).endswith(".gz")
        file = cast(BinaryIO, gzip.GzipFile(fileobj=raw, mode="wb", mtime=0) if compressed else raw)
        head = ["\\data\\", *(f"ngram {k}={n}" for k, n in enumerate(model.counts, 1))]
        file.write(("\n".join(head) + "\n\n").encode())
        begin = 1
        for order, count in enumerate(model.counts, 1):
            file.write(f"\\{order}-grams:\n".encode())
            for low in range(begin, begin + count, 1 << 16):
                nodes = np.arange(low, min(low + (1 << 16), begin + count))
                ids = []
                above = nodes
                for _ in range(order):
                    ids.append(tables.word[above].tolist())
                    above = parents[above - 1]
                log_prob = (np.minimum(tables.log_prob[nodes], 0) / LOG_10).tolist()  # above 0 is refused by readers
                backoff = (tables.backoff[nodes] / LOG_10).tolist()
                texts = (" ".join([words[i] for i in gram]) for gram in zip(*ids[::-1], strict=True))
                rows = zip(log_prob, texts, backoff, has_backoff[nodes].tolist(), strict=True)
                lines = [f"{p:.7g}\t{t}\t{b:.7g}\n" if h else f"{p:.7g}\t{t}\n" for p, t, b, h in rows]
                file.write("".join(lines).encode())
                done += len(nodes)
                if report:
                    report(done)
            file.write(b"\n")
            begin += count
        file.write(b"\\end\\\n")
        if compressed:
            file.close()
        raw.flush()
        os.fsync(raw.fileno())
