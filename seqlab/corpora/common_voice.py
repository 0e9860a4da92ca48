"""Common Voice: sentences read aloud by volunteers, in more than a hundred languages, each a corpus of its own.

Ardila and others, "Common Voice: a massively-multilingual speech corpus", LREC 2020; cite it. CC0. Mozilla gives a
language's archive after a registration, so it is not downloaded here. MP3, 48 or 32 kHz mono, often of poor quality:

    cv-corpus-<version>/<language>/{train,dev,test,validated,invalidated,other}.tsv
    cv-corpus-<version>/<language>/clips/<path>.mp3
    cv-corpus-<version>/<language>/clip_durations.tsv                in newer issues

The tables have a header and no quoting; columns are read by name: client_id (the speaker, hashed), path, sentence, and
age, gender, accents, variant, locale as far as there are.

**Splits.** ``split: official`` takes train, dev and test as published; no speaker is in two. They use a part of what
was validated, one recording per sentence: ``split: validated`` trains on all validated clips whose speaker is not in
dev or test. State version, language and split with every result.

**Texts.** Sentences have case and punctuation. The rule ``plain`` is usual; for languages whose marks it would hurt,
take ``lower`` or ``keep``. Lines without a sentence and clips without sound are left out and named.

**Traps.** ``path`` lacks .mp3 in old issues. The same sentence is read by many in validated.tsv. A training decodes
each MP3 anew in every epoch, unless the clips fit into its cache in memory (``data.cache_mb``) or a folder keeps them
decoded (``data.cache_dir``, of at most ``data.cache_gb``; see conf/data/default.yaml).
"""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from seqlab.corpora._common import find_root
from seqlab.corpora._images import stop
from seqlab.corpora._speech import SPLITS, Utterance, inside, recording, speech_lines, write_speech
from seqlab.corpora._tables import read_table
from seqlab.corpora._texts import TextRule, apply_rule
from seqlab.errors import DataError, UserError

_KEPT = ("age", "gender", "accents", "accent", "variant", "locale", "segment")
_LAYOUT = (
    "It comes from commonvoice.mozilla.org, a language at a time: cv-corpus-<version>/<language>/{train,dev,test}.tsv "
    "and clips/*.mp3"
)
_log = logging.getLogger(__name__)


def prepare(
    root: str | None,
    out: str,
    split: Literal["official", "validated"] = "official",
    text: TextRule = "plain",
    max_faulty: float = 0.01,
) -> dict[str, Path]:
    """Write the manifests train, dev and test.

    Args:
        root: the folder of one language, with its tables and clips.
        out: folder of the manifests and of totals.json.
        split: train on the published part, or on all validated clips of speakers of neither dev nor test.
        text: rule of the texts, see seqlab.corpora._texts.
        max_faulty: share of the lines that may be left out as their clips are missing or faulty.

    Returns:
        Manifests written. A line's extra fields are what the table says of age, gender, accents, variant and locale.

    Raises:
        UserError: an option makes no sense.
        DataError: root is no language of Common Voice, or files are missing or faulty.
        FileNotFoundError: root does not exist.
    """
    if split not in ("official", "validated"):
        raise UserError(f"common_voice: split must be official or validated, got {split!r}")
    folder = find_root(root, "common_voice", _LAYOUT)
    tables = {part: folder / f"{part}.tsv" for part in SPLITS}
    if split == "validated":
        tables["train"] = folder / "validated.tsv"
    if missing := [path.name for path in tables.values() if not path.is_file()]:
        languages = sorted(path.parent.name for path in folder.glob("*/train.tsv"))
        told = f"; is one of its folders meant, {', '.join(languages[:10])}?" if languages else f". {_LAYOUT}"
        raise DataError(f"common_voice: no {' and no '.join(missing)} in {folder}{told}")
    faults: list[str] = []
    parts = {part: list(_rows(path, text, faults)) for part, path in tables.items()}
    stop(faults, "common_voice")
    if split == "validated":
        kept_out = {u.speaker for part in ("dev", "test") for u in parts[part]}
        whole = len(parts["train"])
        parts["train"] = [u for u in parts["train"] if u.speaker not in kept_out]
        _log.info("common_voice train: %d of %d validated clips", len(parts["train"]), whole)
    cure = f"Unpack the archive again. {_LAYOUT}"
    lines = speech_lines("common_voice", parts, Path(out), max_faulty, cure)
    options = {"language": folder.name, "split": split, "text": text}
    known = {part: {"lines": len(utterances)} for part, utterances in parts.items()}
    return write_speech("common_voice", lines, Path(out), options, known)


def _rows(path: Path, rule: TextRule, faults: list[str]) -> Iterator[Utterance]:
    """Read a table."""
    columns, rows = read_table(path, "\t", quoted=False)
    if lacking := [name for name in ("client_id", "path", "sentence") if name not in columns]:
        raise DataError(f"{path} has no column {' and '.join(lacking)}; its header is {', '.join(columns)}")
    for number, row in rows:
        where = f"{path}:{number}"
        if not row["path"] or not row["client_id"]:
            faults.append(f"{where}: client_id or path is empty")
            continue
        try:
            clip = inside(path.parent / "clips", row["path"], where)
        except DataError as error:
            faults.append(str(error))
            continue
        audio = clip if clip.suffix else recording(clip, (".mp3", ".wav", ".flac"))
        extra = {name: value for name in _KEPT if (value := row.get(name))}
        sentence = apply_rule(rule, row["sentence"])
        yield Utterance(audio.stem, sentence, audio, row["client_id"], where=where, extra=extra)
