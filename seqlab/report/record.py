"""report.json: the evaluation as data.

    format                "seqlab-report"
    format_version        1; grows when a key changes its meaning or goes away, not when one is added
    seqlab                version of the program
    name                  title
    model                 object as given: name, parameters, checkpoint, summary of the configuration
    data                  list of objects: path, sha256, lines
    decoder               text
    seconds               wall time of decoding, or null
    audio_seconds         seconds of audio, or null unless every line's duration is known
    real_time_factor      seconds / audio_seconds, or null
    rules                 list of texts: how the lines were scored
    scores
      lines, exact_lines, words, characters    integers; words and characters are those of the references
      interval_level                           probability mass of the intervals
      wer, cer, cer_no_spaces                  objects: rate, interval [low, high] or null, errors, reference, hits,
                                               substitutions, deletions, insertions
    lines                 list of objects, in the order of the data:
      id, speaker, reference, hypothesis       texts; speaker may be null
      duration_s                               seconds or null
      wer, cer                                 rates of this line
      words, characters, characters_no_spaces  objects: hits, substitutions, deletions, insertions

Rates are fractions, 0.05 for 5 %. Never add up rates of lines; add up counts.
"""

from dataclasses import asdict
from typing import Any

from seqlab import __version__
from seqlab.outputs.json_lines import dumps
from seqlab.report.evaluation import Evaluation
from seqlab.scoring import RULES, Score

FORMAT = "seqlab-report"
FORMAT_VERSION = 1


def to_record(evaluation: Evaluation, score: Score) -> dict[str, Any]:
    """Return the content of report.json."""
    lines = [
        asdict(row)
        | {"wer": line.words.rate, "cer": line.characters.rate}
        | {
            "words": asdict(line.words),
            "characters": asdict(line.characters),
            "characters_no_spaces": asdict(line.characters_no_spaces),
        }
        for row, line in zip(evaluation.rows, score.per_line, strict=True)
    ]
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "seqlab": __version__,
        "name": evaluation.name,
        "model": evaluation.model,
        "data": evaluation.data,
        "decoder": evaluation.decoder,
        "seconds": evaluation.seconds,
        "audio_seconds": evaluation.audio_seconds,
        "real_time_factor": evaluation.real_time_factor,
        "rules": [*RULES, *evaluation.rules],
        "scores": score.summary(),
        "lines": lines,
    }


def to_json(record: dict[str, Any]) -> str:
    """Return the text of report.json: the head indented, then each line of the data in a row of its own."""
    head = {key: value for key, value in record.items() if key != "lines"}
    lines = ",\n  ".join(dumps(line) for line in record["lines"])
    return f'{dumps(head, indent=1)[:-2]},\n "lines": [\n  {lines}\n ]\n}}\n'
