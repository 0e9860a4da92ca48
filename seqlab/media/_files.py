"""What every reader asks of a path before it opens it."""

import os
import stat

from seqlab.errors import DataError


def check_file(path: str | os.PathLike[str], what: str) -> None:
    """Refuse what is no regular file: a pipe would block for ever.

    Args:
        path: the file.
        what: its kind, such as "audio", for messages.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: it is a folder, a pipe or a device, or cannot be looked at.
    """
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        raise FileNotFoundError(f"{what} file {path} not found") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    article = "an" if what[0].lower() in "aeiou" else "a"
    if stat.S_ISDIR(mode):
        raise DataError(f"{path} is a folder; give {article} {what} file")
    if not stat.S_ISREG(mode):
        raise DataError(f"{path} is no regular file (a pipe or device?); give {article} {what} file")
