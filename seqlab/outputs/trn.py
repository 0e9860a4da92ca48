"""trn, the transcript format of NIST's sclite: ``words (speaker-utterance)``.

Score a pair of files with ``sclite -s -e utf-8 -i spu_id -r ref.trn trn -h hyp.trn trn``. sclite ignores case without
``-s``, and weighs a substitution 4 and the others 3 when it aligns, so its counts may differ from ours in a few lines.

sclite reads braces, a star, a semicolon, a backslash and the word "@" as syntax, and some of them crash it; it has no
escape that works. Such characters are written in their full-width form, in references and hypotheses alike.
"""

import os
import re
from collections.abc import Iterable, Iterator, Sequence

from seqlab.files import write_lines
from seqlab.outputs.text import one_line
from seqlab.outputs.transcript import Transcript

UNKNOWN_SPEAKER = "unknown"
_FULL_WIDTH = {ord(sign): ord(sign) + 0xFEE0 for sign in "{}*;\\@"}
_NOT_IN_IDS = re.compile(r"[^\w.:/+-]+")


def trn_ids(ids: Sequence[str], speakers: Sequence[str | None] | None = None) -> list[str]:
    """Make ids that sclite accepts: speaker, hyphen, utterance; unique without regard to case.

    sclite takes what stands before the first hyphen as the speaker, so hyphens in a speaker become "_", and so does
    white space, a parenthesis or another sign that it cannot read. An utterance that begins with its speaker's name and
    a hyphen loses that beginning. Ids that fall together get "-2", "-3", ...

    Args:
        ids: one per line.
        speakers: one per line, or None if unknown.
    """
    if speakers is None:
        speakers = [None] * len(ids)
    if len(ids) != len(speakers):
        raise ValueError(f"need one speaker per id, got {len(ids)} ids and {len(speakers)} speakers")
    used: dict[str, int] = {}
    return [_unique(line_id, speaker, used) for line_id, speaker in zip(ids, speakers, strict=True)]


def _unique(line_id: str, speaker: str | None, used: dict[str, int]) -> str:
    """Make an id; ``used`` has how often each came, without case."""
    utterance = line_id.removeprefix(f"{speaker}-") if speaker else line_id
    utterance = _NOT_IN_IDS.sub("_", utterance) or "_"
    name = _NOT_IN_IDS.sub("_", speaker or UNKNOWN_SPEAKER).replace("-", "_")
    unique = base = f"{name}-{utterance}"
    number = used.get(base.casefold(), 1)
    while unique.casefold() in used:
        number += 1
        unique = f"{base}-{number}"
    used[base.casefold()] = max(number, 1)
    used.setdefault(unique.casefold(), 1)
    return unique


def to_lines(texts: Iterable[str], ids: Iterable[str]) -> Iterator[str]:
    """Yield the lines of a trn file.

    Args:
        texts: references or hypotheses.
        ids: as :func:`trn_ids` makes them, one per text.
    """
    for text, line_id in zip(texts, ids, strict=True):
        yield legible(f"{one_line(text)} ({line_id})")


def transcript_lines(transcripts: Iterable[Transcript]) -> Iterator[str]:
    """Yield one line per transcript, of an unknown speaker."""
    used: dict[str, int] = {}
    for transcript in transcripts:
        line_id = _unique(transcript.id or transcript.source or "", None, used)
        yield from to_lines([transcript.text], [line_id])


def legible(text: str) -> str:
    """Write the characters that sclite takes for syntax in their full-width form."""
    return text.translate(_FULL_WIDTH)


def write(path: str | os.PathLike[str], texts: Iterable[str], ids: Iterable[str]) -> int:
    """Write a trn file, whole or not at all. Returns the number of lines."""
    return write_lines(path, to_lines(texts, ids))
