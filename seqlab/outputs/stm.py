"""stm, the references of NIST's sclite with their times: ``recording channel speaker start end words``.

    a-1 1 a 0.000 1.500 one two

It goes with a ctm file of what was recognised: ``sclite -s -e utf-8 -r ref.stm stm -h hyp.ctm ctm``. Times are seconds.
sclite wants both files sorted by recording and takes some signs as syntax; see :mod:`seqlab.outputs.trn`.
"""

import os
from collections.abc import Iterable, Iterator

from seqlab.files import write_lines
from seqlab.outputs.text import one_line
from seqlab.outputs.trn import legible

Segment = tuple[str, str, float, float, str]


def to_lines(segments: Iterable[Segment]) -> Iterator[str]:
    """Yield one line per segment, as it is given.

    Args:
        segments: (recording, speaker, start, end, text) of each; white space in the names becomes "_", control
            characters go.
    """
    for recording, speaker, start, end, text in segments:
        names = [one_line(name).replace(" ", "_") or "unknown" for name in (recording, speaker)]
        words = one_line(text)
        label = "<o> " if words.startswith("<") else ""  # else the first word would be taken for one
        yield legible(f"{names[0]} 1 {names[1]} {start:.3f} {end:.3f} {label}{words}".rstrip())


def write(path: str | os.PathLike[str], segments: Iterable[Segment]) -> int:
    """Write a stm file, whole or not at all. Returns the number of lines."""
    return write_lines(path, to_lines(segments))
