"""What the corpora of recorded speech share: utterances become lines, and lines become manifests with their totals."""

import json
import logging
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seqlab.corpora._common import manifest_path, some, try_headers, write_manifests
from seqlab.errors import DataError, UserError
from seqlab.files import write_lines
from seqlab.manifest import MAX_FAULTS, Line
from seqlab.media import AudioInfo

SPLITS = ("train", "dev", "test")
_SLACK = 0.05  # seconds by which a segment may end after its recording, as rounded times do
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Utterance:
    """One transcribed stretch of a recording, before anybody looked at the recording.

    Attributes:
        id: unique within its part.
        text: the transcript of the manifest.
        audio: the recording.
        speaker: who speaks, if known.
        start: seconds from the beginning of the recording.
        end: seconds; None is the end of the recording.
        where: "file:line", for messages.
        extra: further fields of the manifest.
    """

    id: str
    text: str
    audio: Path
    speaker: str | None = None
    start: float = 0.0
    end: float | None = None
    where: str = ""
    extra: dict[str, Any] = field(default_factory=dict)


def speech_lines(
    corpus: str,
    parts: Mapping[str, Sequence[Utterance]],
    out: Path,
    max_faulty: float,
    cure: str,
    setting: str | None = "corpus.prepare.max_faulty",
) -> dict[str, list[Line]]:
    """Look at the recordings of all utterances and make lines of them.

    Lines without text are left out and counted. Lines whose recording is missing or cannot be read, or that begin after
    its end, are left out and named, as long as they are few. Headers are read once, see try_headers.

    Args:
        corpus: for messages.
        parts: utterances by part.
        out: folder of the manifests.
        max_faulty: share of the lines that may be left out for their recording, 0 to 1.
        cure: what to do about missing recordings, for messages.
        setting: by which a user sets max_faulty; None: there is none.

    Raises:
        UserError: max_faulty is no share.
        DataError: an id stands twice in a part, too many recordings are missing or faulty, or no line is left.
    """
    if not 0 <= max_faulty <= 1:
        raise UserError(f"{corpus}: max_faulty is a share of the lines, 0 to 1, got {max_faulty}")
    _check_ids(corpus, parts)
    paths = [utterance.audio for utterances in parts.values() for utterance in utterances]
    headers, faults = try_headers(paths, corpus, out)
    lines: dict[str, list[Line]] = {}
    left_out: list[str] = []
    silent: list[str] = []
    for part, utterances in parts.items():
        lines[part] = []
        for utterance in utterances:
            header = headers.get(utterance.audio)
            fault = faults.get(utterance.audio) if header is None else _span_fault(utterance, header)
            if not utterance.text:
                silent.append(utterance.id)
            elif header is None or fault:
                left_out.append(f"{utterance.where or utterance.id}: {fault}")
            else:
                lines[part].append(_line(utterance, header, out))
    if silent:
        _log.warning("%s: %d line(s) left out, the text is empty: %s", corpus, len(silent), some(silent))
    total = sum(map(len, parts.values()))
    if left_out:
        shown = "\n".join(left_out[:MAX_FAULTS])
        more = f"\n... and {len(left_out) - MAX_FAULTS} more" if len(left_out) > MAX_FAULTS else ""
        told = f"{corpus}: {len(left_out)} of {total} line(s) have no sound recording"
        if len(left_out) > max_faulty * total:
            other = (
                f"; or leave such lines out: {setting}= on the command line (a share of the lines, now {max_faulty:g})"
            )
            raise DataError(f"{told}:\n{shown}{more}\n{cure}{other if setting else ', or take out these lines'}")
        _log.warning("%s and are left out:\n%s%s", told, shown, more)
    if not any(lines.values()):
        raise DataError(f"{corpus}: no line with both text and recording is left of {total}. {cure}")
    return lines


def _check_ids(corpus: str, parts: Mapping[str, Sequence[Utterance]]) -> None:
    for part, utterances in parts.items():
        seen: dict[str, Utterance] = {}
        twice = [u for u in utterances if seen.setdefault(u.id, u) is not u]
        if twice:
            places = some([f"{u.id} ({u.where})" if u.where else u.id for u in twice])
            what = f"{corpus} {part}".strip()
            raise DataError(f"{what}: {len(twice)} id(s) stand twice: {places}; ids must be unique")


def _span_fault(utterance: Utterance, header: AudioInfo) -> str | None:
    """Say what is wrong with the stretch of the recording, if anything."""
    end = header.duration if utterance.end is None else utterance.end
    if not 0 <= utterance.start < end:
        return f"{utterance.audio}: a segment from {utterance.start:g} to {end:g} s makes no sense"
    if end > header.duration + _SLACK:
        length = header.duration
        return f"{utterance.audio} has {length:.2f} s; the segment {utterance.start:g} to {end:g} s goes beyond its end"
    return None


def _line(utterance: Utterance, header: AudioInfo, out: Path) -> Line:
    end = header.duration if utterance.end is None else min(utterance.end, header.duration)
    whole = utterance.start == 0 and (utterance.end is None or header.duration - end < 0.5 / header.sample_rate)
    return Line(
        id=utterance.id,
        text=utterance.text,
        audio=manifest_path(utterance.audio, out),
        spans=None if whole else [[round(utterance.start, 6), round(end, 6)]],
        speaker=utterance.speaker,
        sample_rate=header.sample_rate,
        duration_s=round(end - utterance.start, 4),
        extra=utterance.extra,
    )


def write_speech(
    corpus: str,
    lines: Mapping[str, Sequence[Line]],
    out: Path,
    options: Mapping[str, Any],
    known: Mapping[str, Mapping[str, int]] | None = None,
    disjoint: bool = True,
    parts: Collection[str] = SPLITS,
) -> dict[str, Path]:
    """Write manifests; log their totals, keep them in totals.json, and warn where they are not those known.

    Args:
        corpus: for messages.
        lines: lines by part.
        out: folder of the manifests.
        options: what led to them, kept beside the totals.
        known: totals of the whole corpus by part, of "lines", "speakers", "words" and "characters" as far as known.
        disjoint: the corpus promises that no speaker is in two parts.
        parts: see write_manifests.

    Raises:
        DataError: a speaker stands in two parts although none should.
    """
    if disjoint:
        check_speakers(corpus, lines)
    written = write_manifests(out, lines, parts)
    counts = {part: _totals(rows) for part, rows in lines.items() if rows}
    for part, count in counts.items():
        _log.info("%s %s: %s", corpus, part, ", ".join(f"{n} {name}" for name, n in count.items()))
        told = {name: n for name, n in (known or {}).get(part, {}).items() if n != count[name]}
        for name, n in told.items():
            _log.warning(
                "%s %s: %s %s, the whole corpus has %d; say so with every result", corpus, part, count[name], name, n
            )
    write_lines(out / "totals.json", [json.dumps({"corpus": corpus, **options, "parts": counts}, indent=1)])
    return written


def check_speakers(corpus: str, lines: Mapping[str, Sequence[Line]]) -> None:
    """Refuse parts that share a speaker.

    Raises:
        DataError: they do; the message names the speakers.
    """
    owner: dict[str, str] = {}
    shared: dict[str, None] = {}
    for part, rows in lines.items():
        for line in rows:
            if line.speaker is not None and owner.setdefault(line.speaker, part) != part:
                shared[f"{line.speaker} ({owner[line.speaker]}, {part})"] = None
    if shared:
        raise DataError(f"{corpus}: {len(shared)} speaker(s) stand in two parts, which none may: {some(list(shared))}")


def _totals(lines: Sequence[Line]) -> dict[str, Any]:
    return {
        "lines": len(lines),
        "hours": round(sum(line.duration_s or 0.0 for line in lines) / 3600, 4),
        "speakers": len({line.speaker for line in lines if line.speaker is not None}),
        "words": sum(len(line.text.split()) for line in lines),
        "characters": sum(len(line.text) for line in lines),
    }


def by_speaker(lines: Sequence[Line]) -> tuple[dict[str, list[Line]], str]:
    """Group lines to draw from: by speaker where all are known and there are three or more, else each by itself.

    Returns:
        Lines by unit, and what a unit is: "speaker" or "line".
    """
    speakers = {line.speaker for line in lines}
    kind = "speaker" if None not in speakers and len(speakers) > 2 else "line"
    units: dict[str, list[Line]] = {}
    for line in lines:
        units.setdefault(str(line.speaker) if kind == "speaker" else line.id, []).append(line)
    return units, kind


def recording(base: Path, suffixes: Sequence[str]) -> Path:
    """Return the recording of a name without suffix: the first that is there, or else where it should be."""
    choices = [base.with_name(base.name + suffix) for suffix in suffixes]
    return next((path for path in choices if path.is_file()), choices[0])


def inside(folder: Path, name: str, what: str) -> Path:
    """Return the file of a folder that a list names; a name that leaves the folder is refused.

    Links below the folder are followed wherever they lead: they are the work of whoever laid the folder out.

    Args:
        folder: the folder that recordings lie in.
        name: a path, relative to the folder or absolute.
        what: "file:line" or the like, for messages.

    Raises:
        DataError: the path leads out of the folder, or is no path.
    """
    if not name or "\0" in name or "://" in name:
        raise DataError(f"{what}: {name[:200]!r} is no path of a file")
    base = folder.absolute()
    path = Path(os.path.normpath(base / name))
    if not (path.is_relative_to(os.path.normpath(base)) or path.is_relative_to(folder.resolve())):
        raise DataError(f"{what}: {name[:200]} lies outside of {folder}")
    return path
