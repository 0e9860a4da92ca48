"""The binary form of an n-gram model (.ngram): mapped into memory, so that it is open at once and shared by processes.

A magic line, the header's size as uint32, the header as JSON, then the arrays, little-endian, each at a multiple of 64
bytes. Header: ``unit``, ``counts`` (n-grams of each order), ``unknown`` (word id), ``text`` (bytes of all words) and
``slots`` (of the hash table); the sizes of all arrays follow from it. Nothing in the file is executed, and the lookup
reads nothing outside of the arrays whatever stands in them (see tables), so that a damaged file gives wrong numbers at
worst.
"""

import json
import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from seqlab.errors import DataError
from seqlab.files import replacing
from seqlab.lm.ngram import UNITS, NGram
from seqlab.lm.tables import Tables, frozen
from seqlab.lm.vocabulary import Vocabulary

MAGIC = b"seqlab n-gram 1\n"
_ALIGN = 64
_MOST = 2**31 - 2


def is_binary(path: str | os.PathLike[str]) -> bool:
    """Tell by the first bytes whether a file is the binary form, of this version or another."""
    with open(path, "rb") as file:
        return file.read(14) == MAGIC[:14]


def _layout(header: dict[str, Any], begin: int) -> Iterator[tuple[str, str, int, int]]:
    """Give name, type, length and place of each array, and last the size of the file."""
    words, nodes = header["counts"][0], 1 + sum(header["counts"])
    sizes = {
        "ends": ("<i8", words),
        "text": ("u1", header["text"]),
        "first": ("<i4", nodes + 1),
        "word": ("<i4", nodes),
        "log_prob": ("<f4", nodes),
        "backoff": ("<f4", nodes),
        "suffix": ("<i4", nodes),
        "slots": ("<i4", header["slots"]),
    }
    for name, (kind, length) in sizes.items():
        begin = -(-begin // _ALIGN) * _ALIGN
        yield name, kind, length, begin
        begin += np.dtype(kind).itemsize * length
    yield "", "", 0, begin


def write(model: NGram, path: str | os.PathLike[str]) -> None:
    """Write the binary form, whole or not at all.

    Raises:
        OSError: the file could not be written.
    """
    header = {
        "unit": model.unit,
        "counts": list(model.counts),
        "unknown": model.unknown,
        "text": len(model.words.text),
        "slots": len(model.tables.slots),
    }
    told = json.dumps(header).encode()
    arrays = {**model.tables._asdict(), "ends": model.words.ends, "text": np.frombuffer(model.words.text, np.uint8)}
    with replacing(path) as temporary, temporary.open("xb") as file:
        file.write(MAGIC + len(told).to_bytes(4, "little") + told)
        for name, kind, _, place in _layout(header, file.tell()):
            file.write(bytes(place - file.tell()))
            if name:
                file.write(np.ascontiguousarray(arrays[name], kind).data)
        file.flush()
        os.fsync(file.fileno())


def read(path: str | os.PathLike[str]) -> NGram:
    """Open the binary form: the file is mapped, its pages are read when they are first used.

    Raises:
        DataError: the file is damaged or of another version.
    """
    path = Path(path)
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if file.read(len(MAGIC)) != MAGIC:
            raise DataError(
                f"{path} is an n-gram model of another version of seqlab; convert it again from its ARPA file"
            )
        length = int.from_bytes(file.read(4), "little")
        told = file.read(min(length, 1 << 16))
        try:
            header = _checked(json.loads(told))
            *arrays, (_, _, _, whole) = _layout(header, file.tell())
        except (ValueError, RecursionError, TypeError, LookupError):
            raise DataError(f"{path} is damaged: its header makes no sense; convert it again") from None
        if whole != size:
            raise DataError(f"{path} is damaged: it has {size} bytes, its header tells of {whole}; convert it again")
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    found = {name: np.frombuffer(mapped, kind, count, place) for name, kind, count, place in arrays}
    text = found.pop("text").data
    words = Vocabulary(text, found.pop("ends"))
    tables = frozen(Tables(**found, vocabulary=len(words), unknown=header["unknown"]))
    return NGram(words, tables, header["counts"], header["unit"])


def _checked(header: Any) -> dict[str, Any]:
    """Return a header that makes sense, or raise ValueError."""
    counts, words = header["counts"], header["counts"][0]
    numbers = [*counts, header["unknown"], header["text"], header["slots"]]
    if not all(type(n) is int and n >= 0 for n in numbers) or header["unit"] not in UNITS:
        raise ValueError
    if not 0 <= header["unknown"] < words or sum(counts) > _MOST or header["text"] >= 2**40:
        raise ValueError
    slots = header["slots"]
    if not 2 <= slots <= 2**33 or slots & (slots - 1):
        raise ValueError
    return {"unit": header["unit"], "counts": counts, **{k: header[k] for k in ("unknown", "text", "slots")}}
