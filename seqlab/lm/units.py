"""Text to the units of a model: characters, words or sentencepiece pieces; and the lines of text files."""

import gzip
import io
import json
import os
import sys
import unicodedata
import zlib
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast, get_args

from seqlab.errors import ConfigError, DataError
from seqlab.lm.vocabulary import Unit

Case = Literal["keep", "lower", "upper"]
CASES: tuple[Case, ...] = get_args(Case)


def normalize(text: str, case: Case = "keep") -> str:
    """Return text in Unicode form NFC and in a case, runs of white space as one space: as tokenizers do by default."""
    text = unicodedata.normalize("NFC", " ".join(text.split()))
    return text if case == "keep" else text.lower() if case == "lower" else text.upper()


def splitter(
    unit: Unit, case: Case = "keep", pieces: str | os.PathLike[str] | None = None
) -> Callable[[str], list[str]]:
    """Return what cuts a line of text, normalised, into units.

    Args:
        unit: "char": every character, the space among them; "word": what stands between spaces; "piece": pieces of
            a sentencepiece model.
        case: of the letters.
        pieces: a sentencepiece model file, for "piece" alone.

    Raises:
        ConfigError: an option is none of these, or sentencepiece is not installed.
        DataError: the file is no sentencepiece model.
    """
    if unit not in get_args(Unit) or case not in CASES:
        raise ConfigError(f"unit is one of {', '.join(get_args(Unit))}, case of {', '.join(CASES)}; got {unit}, {case}")
    if unit == "char":
        return lambda text: list(normalize(text, case))
    if unit == "word":
        return lambda text: normalize(text, case).split()
    if pieces is None:
        raise ConfigError("unit piece needs a sentencepiece model: --pieces FILE.model")
    processor = _processor(Path(pieces))
    return lambda text: cast(list[str], processor.encode(normalize(text, case), out_type=str))


def _processor(path: Path) -> Any:
    try:
        import sentencepiece
    except ImportError:
        raise ConfigError("pieces need sentencepiece, which is not installed: pip install 'seqlab[pieces]'") from None
    if not path.is_file():
        raise FileNotFoundError(f"sentencepiece model {path} not found")
    try:
        return sentencepiece.SentencePieceProcessor(model_proto=path.read_bytes())
    except RuntimeError:
        raise DataError(f"{path} is no sentencepiece model") from None


def read_text(path: str, report: Callable[[int], None] | None = None) -> Iterator[tuple[int, str]]:
    """Give line numbers and texts of a file; blank lines are left out.

    Args:
        path: plain UTF-8 text, or .gz of it; "-" is standard input; of a manifest (.jsonl, .jsonl.gz) the ``text`` of
            each line is taken.
        report: called with the bytes read so far, now and then.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: a line is not UTF-8, or none of a manifest, or has a NUL character; the gzip file is damaged.
    """
    name = "standard input" if path == "-" else path
    number = 0
    with nullcontext(sys.stdin.buffer) if path == "-" else Path(path).open("rb") as opened:
        raw = cast(io.BufferedReader, opened)
        compressed = raw.peek(2)[:2] == b"\x1f\x8b"
        file = cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if compressed else raw
        manifest = path.removesuffix(".gz").endswith(".jsonl")
        try:
            for number, line in enumerate(file, 1):
                text = _decoded(line, f"{name}:{number}", manifest)
                if "\0" in text:  # ARPA files cannot hold it
                    raise DataError(
                        f"{name}:{number}: a NUL character; take it out, e.g. tr -d '\\000', or is it UTF-16?"
                    )
                if text.strip():
                    yield number, text
                if report and number % 1000 == 0 and path != "-":
                    report(raw.tell())
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(f"{name}:{number + 1}: the gzip file is damaged or was cut off ({error})") from None


def _decoded(line: bytes, where: str, manifest: bool) -> str:
    try:
        text = line.decode("utf-8-sig" if line.startswith(b"\xef\xbb\xbf") else "utf-8")
    except UnicodeDecodeError:
        raise DataError(f"{where}: not UTF-8; convert the file, e.g. iconv -f latin1 -t utf-8") from None
    if not manifest or not text.strip():
        return text
    try:
        text = json.loads(text)["text"]
        text.encode()
        return str(text)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        raise DataError(f'{where}: no line of a manifest; it must be a JSON object with a "text"') from None
