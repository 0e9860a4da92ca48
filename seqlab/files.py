"""Write a text file whole or not at all."""

import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[TextIO]:
    """Open a temporary file beside ``path`` for text and rename it into place when the block ends well.

    If the block raises, or the disk is full, what stood at ``path`` before is untouched and the temporary file is gone.
    Missing folders are made; a link is followed. Text is UTF-8; code points that UTF-8 cannot hold (lone surrogates, as
    broken JSON may bring) are written as ``\\udXXX``, which JSON readers turn back.

    Raises:
        OSError: the file could not be written.
    """
    path = Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}.part")
    try:
        with temporary.open("x", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # a full disk may show only here, and it must show before the rename
        os.replace(temporary, path)
    except OSError as error:
        error.filename, error.filename2 = str(path), None  # nobody knows the temporary file
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_lines(path: str | os.PathLike[str], lines: Iterable[str]) -> int:
    """Write lines, a line feed after each, whole or not at all. Returns the number of lines."""
    count = 0
    with atomic_write(path) as file:
        for line in lines:
            file.write(line + "\n")
            count += 1
    return count
