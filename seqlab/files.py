"""Write a file whole or not at all."""

import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give the name of a temporary file beside ``path`` that takes its place when the block ends well.

    If the block raises, what stood at ``path`` before is untouched and the temporary file is gone. Missing folders are
    made; a link is followed.

    Raises:
        OSError: the file could not be written.
    """
    path = Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}.part")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        if error.errno is None or error.filename not in (None, str(temporary)):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from None  # nobody knows the temporary file
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[TextIO]:
    """Open a file for text that takes the place of ``path`` when the block ends well; see replacing.

    Text is UTF-8; code points that UTF-8 cannot hold (lone surrogates, as broken JSON may bring) are written as
    ``\\udXXX``, which JSON readers turn back.

    Raises:
        OSError: the file could not be written.
    """
    with (
        replacing(path) as temporary,
        temporary.open("x", encoding="utf-8", errors="backslashreplace", newline="\n") as file,
    ):
        yield file
        file.flush()
        os.fsync(file.fileno())  # a full disk may show only here, and it must show before the rename


def cache_folder() -> Path:
    """Return the user's folder for what can be made anew; it need not be there."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "seqlab"


def write_lines(path: str | os.PathLike[str], lines: Iterable[str]) -> int:
    """Write lines, a line feed after each, whole or not at all. Returns the number of lines."""
    count = 0
    with atomic_write(path) as file:
        for line in lines:
            file.write(line + "\n")
            count += 1
    return count
