"""Your own recordings in a table: CSV or TSV with a header, one line an utterance.

    audio,text,speaker,split
    clips/a1.wav,"Good morning, all",ann,train

What is read is columns by name. Those that are usual are found by themselves, in this order and in any case of letters:

    audio      audio, path, file, filename, file_name, audio_path, audio_filepath, audio_file, wav, wav_filename
    text       text, sentence, transcript, transcription, label
    speaker    speaker, speaker_id, spk, client_id, reader                                  optional
    split      split, subset, part, set                                                    optional
    id         id, utterance, utterance_id, utt_id                                         optional
    start, end     seconds within the recording                                            optional

All others are kept with the line. Commas, semicolons, tabs or | separate columns; CSV may quote with double quotes.

**Splits.** A folder with train.csv, dev.csv and test.csv (or .tsv) is taken as it is, valid and val being dev. Else the
column split says, where there is one. Else parts are drawn from the seed: by speaker where speakers are known, so that
no speaker is in two, or by line, whose error rates a new speaker will not reach.

**Paths** are relative to the table's folder, or to ``audio_root``; one that leads out of it is refused.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from seqlab.corpora._common import check_shares, draw_splits, find_root, some
from seqlab.corpora._images import stop
from seqlab.corpora._speech import SPLITS, Utterance, by_speaker, inside, speech_lines, write_speech
from seqlab.corpora._tables import read_table
from seqlab.corpora._texts import TextRule, apply_rule
from seqlab.errors import DataError, UserError
from seqlab.manifest import Line

USUAL = {
    "audio": (
        *("audio", "path", "file", "filename", "file_name", "audio_path", "audio_filepath", "audio_file", "wav"),
        "wav_filename",
    ),
    "text": ("text", "sentence", "transcript", "transcription", "label"),
    "speaker": ("speaker", "speaker_id", "spk", "client_id", "reader"),
    "split": ("split", "subset", "part", "set"),
    "id": ("id", "utterance", "utterance_id", "utt_id"),
    "start": ("start", "start_s", "begin"),
    "end": ("end", "end_s", "stop"),
}
ALIASES = {"dev": "dev", "val": "dev", "valid": "dev", "validation": "dev", "train": "train", "test": "test"}
_LAYOUT = "It is a table with a header, CSV or TSV, or a folder with train.csv, dev.csv and test.csv"
_log = logging.getLogger(__name__)


def prepare(
    root: str | None,
    out: str,
    audio: str | None = None,
    transcript: str | None = None,
    speaker: str | None = None,
    split: str | None = None,
    id: str | None = None,
    start: str | None = None,
    end: str | None = None,
    delimiter: str | None = None,
    audio_root: str | None = None,
    text: TextRule = "keep",
    dev_share: float = 0.1,
    test_share: float = 0.1,
    seed: int = 1,
    max_faulty: float = 0.01,
) -> dict[str, Path]:
    """Write the manifests train, dev and test of a table.

    Args:
        root: the table, or a folder with train.csv, dev.csv, test.csv or with one table alone.
        out: folder of the manifests and of totals.json.
        audio: column of the recordings; None looks for a usual name, here and below.
        transcript: column of the texts.
        speaker: column of the speakers.
        split: column that says train, dev or test.
        id: column of the lines' ids; without one the path of the recording is the id.
        start: column of the second at which the utterance begins.
        end: column of the second at which it ends.
        delimiter: what separates columns; None sees for itself.
        audio_root: folder that the recordings lie below, and that relative paths count from; None: the table's folder.
        text: rule of the texts, see seqlab.corpora._texts.
        dev_share: share of the lines, where neither files nor a column say.
        test_share: share of the lines, where neither files nor a column say.
        seed: draws the parts.
        max_faulty: share of the lines that may be left out as their recordings are missing or faulty.

    Returns:
        Manifests written.

    Raises:
        UserError: an option makes no sense.
        DataError: a column is missing, rows are faulty, recordings are missing, or there are too few lines to split.
        FileNotFoundError: root does not exist.
    """
    check_shares("table", dev_share, test_share)
    if delimiter is not None and len(delimiter) != 1:
        raise UserError(f'table: delimiter is one character, got {delimiter!r}; a tab is "\\t"')
    named = {
        "audio": audio,
        "text": transcript,
        "speaker": speaker,
        "split": split,
        "id": id,
        "start": start,
        "end": end,
    }
    faults: list[str] = []
    utterances: dict[str, list[Utterance]] = {}
    for part, path in _tables(root).items():
        base = Path(audio_root).expanduser() if audio_root else path.parent
        for own, utterance in _rows(path, base, named, delimiter, text, faults):
            utterances.setdefault(part or own or "all", []).append(utterance)
    stop(faults, "table")
    if "all" in utterances and len(utterances) > 1:
        raise DataError(
            f"table: {len(utterances['all'])} row(s) name no split, others do; name it in all rows or in none"
        )
    cure = "Copy the recordings there, or give their folder, corpus.prepare.audio_root=... on the command line"
    lines = speech_lines("table", utterances, Path(out), max_faulty, cure)
    if "all" in lines:
        units, kind = by_speaker(lines["all"])
        lines = draw_splits("table", units, kind, dev_share, test_share, seed, ", or a column split")
    lines = {part: lines[part] for part in SPLITS if part in lines}
    _warn_of_shared(lines)
    return write_speech("table", lines, Path(out), {"text": text, "seed": seed}, disjoint=False)


def _tables(root: str | None) -> dict[str, Path]:
    """Find the tables; returns part -> table, part "" where the table holds all."""
    path = Path(root).expanduser() if root is not None else None
    if path is not None and path.is_file():
        return {"": path}
    folder = find_root(root, "table", _LAYOUT)
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in (".csv", ".tsv") and not p.name.startswith("."))
    found: dict[str, Path] = {}
    for file in files:
        if (part := ALIASES.get(file.stem.lower())) is not None:
            if part in found:
                raise DataError(f"table: {found[part].name} and {file.name} are both {part}; leave one in {folder}")
            found[part] = file
    if not found and len(files) == 1:
        return {"": files[0]}
    if "train" not in found:
        there = f"there is {some([file.name for file in files])}" if files else "there is none"
        raise DataError(f"table: no train.csv or train.tsv in {folder}, {there}. {_LAYOUT}")
    return found


def _columns(path: Path, columns: list[str], named: dict[str, str | None]) -> dict[str, str]:
    """Return the column of each thing that the table has."""
    lower = {column.lower(): column for column in reversed(columns)}
    chosen: dict[str, str] = {}
    for what, name in named.items():
        option = "transcript" if what == "text" else what
        if name is not None and name not in columns:
            raise DataError(f"table: {path} has no column {name!r} ({option}); its header is {', '.join(columns)}")
        usual = next((lower[usual] for usual in USUAL[what] if usual in lower), None)
        if name is not None or usual is not None:
            chosen[what] = name if name is not None else str(usual)
        elif what in ("audio", "text"):
            raise DataError(
                f"table: no column of {path} has a usual name of {what} ({', '.join(USUAL[what])}); its header is "
                f"{', '.join(columns)}: say which it is, corpus.prepare.{option}=NAME on the command line"
            )
    return chosen


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table of utterances or text lines.

    Attributes:
        part: train, dev or test; "" where it names none.
        id: as the row says, else the medium's name, with the begin where there are begins.
        text: as it stands.
        medium: the file.
        speaker: if known.
        span: begin and end in seconds; None is the end of the recording.
        where: "file:line".
        fields: all columns.
    """

    part: str
    id: str
    text: str
    medium: Path
    speaker: str | None
    span: tuple[float, float | None]
    where: str
    fields: Mapping[str, str]


def read_rows(
    path: Path,
    rows: Iterable[tuple[int, dict[str, str]]],
    chosen: Mapping[str, str],
    find: Callable[[str, str], Path],
    faults: list[str],
    medium: str = "audio",
) -> Iterator[Row]:
    """Read what the rows of a table say; faulty ones are named and left out.

    Args:
        path: the table.
        rows: line numbers and fields.
        chosen: column by what it holds: that of the medium, text, speaker, split, id, start, end.
        find: returns the file of a name, given "file:line" for its DataError.
        faults: gets what is wrong.
        medium: what the medium is called in ``chosen``.
    """
    for number, fields in rows:
        where = f"{path}:{number}"
        value = {what: fields.get(column, "").strip() for what, column in chosen.items()}
        try:
            file = find(value[medium], where)
            span = float(value.get("start") or 0), float(value["end"]) if value.get("end") else None
        except ValueError as error:
            faults.append(str(error) if isinstance(error, DataError) else f"{where}: start or end is no number")
            continue
        part = value.get("split", "").lower()
        if part and part not in ALIASES:
            faults.append(f"{where}: split {part!r} is none of {', '.join(ALIASES)}")
            continue
        name = value.get("id") or value[medium] + (f":{span[0]:g}" if "start" in chosen else "")
        speaker = value.get("speaker") or None
        yield Row(ALIASES.get(part, ""), name, value["text"], file, speaker, span, where, fields)


def _rows(
    path: Path, base: Path, named: dict[str, str | None], delimiter: str | None, rule: TextRule, faults: list[str]
) -> Iterator[tuple[str, Utterance]]:
    """Read a table; yields the part that a row names, or "", with its utterance."""
    columns, rows = read_table(path, delimiter)
    chosen = _columns(path, columns, named)
    others = [column for column in columns if column and column not in chosen.values()]
    for row in read_rows(path, rows, chosen, lambda name, where: inside(base, name, where), faults):
        extra = {column: row.fields[column] for column in others if row.fields[column]}
        extra = {(f"table_{key}" if key in Line.__slots__ or key == "writer" else key): v for key, v in extra.items()}
        written = apply_rule(rule, row.text)
        yield row.part, Utterance(row.id, written, row.medium, row.speaker, *row.span, row.where, extra)


def _warn_of_shared(lines: dict[str, list[Line]]) -> None:
    """Say that parts share speakers, where they do: it is allowed, and a result must say so."""
    speakers = {part: {line.speaker for line in rows if line.speaker} for part, rows in lines.items()}
    for part in SPLITS[1:]:
        if shared := sorted(speakers.get("train", set()) & speakers.get(part, set())):
            _log.warning(
                "table: %d speaker(s) of %s are trained on, too: %s; new speakers will have more errors",
                *(len(shared), part, some(shared)),
            )
