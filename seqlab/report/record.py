"""report.json: the evaluation as data.

    format                "seqlab-report"
    format_version        1; grows when a key changes its meaning or goes away, not when one is added
    seqlab                version of the program
    name                  title
    kind                  what was recognised: "audio", "image", "strokes" or "features"
    model                 object as given: name, parameters, checkpoint, summary of the configuration
    data                  list of objects: path, sha256, lines
    decoder               text
    seconds               wall time of decoding, or null
    audio_seconds         seconds of audio, or null unless every line's duration is known
    real_time_factor      seconds / audio_seconds, or null
    rules                 list of texts: how the lines were scored
    peakiness             of the model's output: blank (share of frames), frames_per_symbol, entropy (nats per frame),
                          sure (share of frames above 0.99); empty if it was not measured
    calibration           of the words' confidences, or null where there are none:
      count, correct                           recognised words, and share of them that is right (aligned with the
                                               fewest errors; missing words have no confidence and count nowhere)
      ece                                      expected calibration error: distance between the two means below, by the
                                               bins' shares of the words
      nce                                      normalised cross entropy (NIST), or null if all or no words are right
      bins                                     ten of equal width; each has low, high, count, and confidence (mean) and
                                               correct (share right), null where it has no words
    scores
      lines, exact_lines, words, characters    integers; words and characters are those of the references
      speakers                                 integer: known speakers or writers
      interval_level                           probability mass of the intervals
      wer, wer_punctuation, cer, cer_no_spaces objects: rate, interval (by line) and interval_by_speaker [low, high] or
                                               null, errors, reference, hits, substitutions, deletions, insertions;
                                               wer_punctuation has punctuation isolated
    lines                 list of objects, in the order of the data:
      id, speaker, reference, hypothesis       texts; speaker (or writer) may be null
      duration_s                               seconds or null
      word_confidences, words_correct          lists, one entry per word of the hypothesis, or null
      word_places                              list of [start, end] in seconds per word of the hypothesis, or null
      measures                                 object of numbers: level_db (root mean square of the recording, dB below
                                               full scale) and range_db (95th above 10th percentile of frames' levels);
                                               of images height_px and contrast (share of full scale)
      groups                                   object of texts: what else the manifest says of the line
      wer, cer                                 rates of this line
      words, words_punctuation, characters,    objects: hits, substitutions, deletions, insertions
        characters_no_spaces

Of these keys, kind, speakers, wer_punctuation, words_punctuation and interval_by_speaker were added later: a file
without them is an older one, of audio. Added after these: peakiness, calibration, word_confidences, words_correct; and
after these: word_places, measures, groups. report.schema.json, beside this module, says the same as JSON Schema.

Rates are fractions, 0.05 for 5 %. Never add up rates of lines; add up counts.
"""

import json
import os
import reprlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from seqlab import __version__
from seqlab.errors import DataError
from seqlab.outputs.json_lines import dumps
from seqlab.report.evaluation import Evaluation
from seqlab.report.faults import fault, is_count
from seqlab.scoring import MEASURES, RULES, Score

FORMAT = "seqlab-report"
FORMAT_VERSION = 1


def to_record(evaluation: Evaluation, score: Score) -> dict[str, Any]:
    """Return the content of report.json."""
    return to_head(evaluation, score) | {"lines": list(to_lines(evaluation, score))}


def to_lines(evaluation: Evaluation, score: Score) -> Iterator[dict[str, Any]]:
    """Yield the ``lines`` of report.json."""
    for row, line in zip(evaluation.rows, score.per_line, strict=True):
        yield (
            asdict(row)
            | {"words_correct": row.words_correct(line) if row.word_confidences is not None else None}
            | {"wer": line.words.rate, "cer": line.characters.rate}
            | {name: asdict(getattr(line, name)) for name in MEASURES.values()}
        )


def to_head(evaluation: Evaluation, score: Score) -> dict[str, Any]:
    """Return the content of report.json but its ``lines``."""
    calibration = evaluation.calibration(score)
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "seqlab": __version__,
        "name": evaluation.name,
        "kind": evaluation.kind,
        "model": evaluation.model,
        "data": evaluation.data,
        "decoder": evaluation.decoder,
        "seconds": evaluation.seconds,
        "audio_seconds": evaluation.audio_seconds,
        "real_time_factor": evaluation.real_time_factor,
        "rules": [*RULES, *evaluation.rules],
        "peakiness": evaluation.peakiness,
        "calibration": calibration.summary() if calibration else None,
        "scores": score.summary(),
    }


def to_json(record: dict[str, Any]) -> str:
    """Return the text of report.json: the head indented, then each line of the data in a row of its own."""
    return "".join(to_text({key: value for key, value in record.items() if key != "lines"}, record["lines"]))


def to_text(head: dict[str, Any], lines: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yield the text of report.json in parts, so that no more than a line of it is held at a time."""
    yield f'{dumps(head, indent=1)[:-2]},\n "lines": ['
    for number, line in enumerate(lines):
        yield f"{',' if number else ''}\n  {dumps(line)}"
    yield "\n ]\n}\n"


def read_record(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a report.json, and see that the scores and lines which a comparison needs are there.

    Args:
        path: the file, or the folder that holds it.

    Raises:
        DataError: there is no such file, it is no report of seqlab's, or it is a newer or a damaged one.
    """
    file = Path(path)
    if file.is_dir():
        file = file / "report.json"
        if not file.exists():
            below = sorted(str(found) for depth in ("*", "*/*") for found in Path(path).glob(f"{depth}/report.json"))
            hint = f"; below it lie {', '.join(below[:5])}" if below else "; seqlab evaluate writes one"
            raise DataError(f"{path}: the folder holds no report.json{hint}")
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{file}: there is no such file; give a report.json or its folder") from None
    except OSError as error:
        raise DataError(f"{file}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file}: not a report.json ({error})") from None
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise DataError(f"{file}: not a report of seqlab's; it does not say format {FORMAT!r}")
    version = record.get("format_version")
    if not is_count(version) or not 1 <= version <= FORMAT_VERSION:
        raise DataError(f"{file}: has format_version {reprlib.repr(version)}; this seqlab knows {FORMAT_VERSION}")
    found = fault(record)
    if found:
        raise DataError(f"{file}: the report is damaged: {found}; run seqlab evaluate again")
    return record
