"""Text made fit for files of lines and for XML, whatever a model's symbols are."""

import re

# Controls, U+202A-202E and U+2066-2069, which turn the order of what follows them, noncharacters, surrogates.
UNSEEN = re.compile("[\0-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")


def one_line(text: str) -> str:
    """Return text in one line: white space, line breaks too, becomes one space; control characters go.

    Letters that run from right to left stay as they are, in the order in which they are read.
    """
    return " ".join(UNSEEN.sub("", " ".join(text.split())).split())
