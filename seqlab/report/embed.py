"""The lines as data inside the page, for its script: a list per line, small enough for thousands of lines."""

import json
from typing import Any

from seqlab.report.analysis import Analysis
from seqlab.report.evaluation import EvaluatedLine
from seqlab.report.tables import harmless, line_pair
from seqlab.scoring import Score, align

MOST_LINES = 20_000  # in one page; the worst are kept
_LETTERS = {"hit": "=", "sub": "S", "del": "D", "ins": "I"}


def page_data(analysis: Analysis) -> str:
    """Return the data of the page as JSON in which no sign can end a script element.

    ``lines`` holds [id, speaker, reference, hypothesis, alignment, word errors, words, character errors, characters,
    length, least confidence of a word, places of words in ms, address of the file or what is embedded (of the worst
    lines it stands in the table), groups, number]. The alignment has a letter per pair of tokens: = S D I. Reference
    and hypothesis are tokens between single spaces where ``words`` is true, else each character is a token. Texts are
    as :func:`seqlab.report.tables.harmless` makes them. Without a value: null.
    """
    evaluation, score = analysis.evaluation, analysis.score
    shown_below = {line.number for line in analysis.worst}
    lines: list[list[Any]] = []
    for i in sorted(listed(score)):
        row, counts = evaluation.rows[i], score.per_line[i]
        said, heard, errors = line_pair(row, counts, analysis.by_words)
        letters = "".join(_LETTERS[operation] for operation, _, _ in align(said, heard, errors))
        between = " " if analysis.by_words else ""
        places = [round(1000 * time) for place in row.word_places for time in place] if row.word_places else None
        media = evaluation.media.get(row.id)
        if media and i in shown_below and media.startswith("data:"):
            media = None
        lines.append(
            [
                *(harmless(row.id), row.speaker and harmless(row.speaker)),
                *(harmless(between.join(said)), harmless(between.join(heard)), letters),
                *(counts.words.errors, counts.words.reference, counts.characters.errors, counts.characters.reference),
                *(length(row, evaluation.kind), min(row.word_confidences) if row.word_confidences else None),
                *(places, media, [harmless(name) for name in row.groups.values()], i),
            ]
        )
    exhibits = {
        line.number: {
            "symbols": [(harmless(text), start, end) for text, start, end in shown.symbols],
            "posteriors": shown.posteriors,
        }
        for line in analysis.worst
        if (shown := evaluation.exhibits.get(line.row.id))
    }
    data = {
        "kind": evaluation.kind,
        "person": evaluation.person,
        "words": analysis.by_words,
        "total": len(evaluation.rows),
        "lines": lines,
        "exhibits": exhibits,
    }
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def listed(score: Score) -> list[int]:
    """Return the numbers of the lines that the page lists, the worst first."""
    return sorted(range(score.lines), key=lambda i: -score.per_line[i].characters.rate)[:MOST_LINES]


def length(row: EvaluatedLine, kind: str) -> float:
    """Return what the column of lengths sorts by: seconds of audio, else characters of the reference."""
    return row.duration_s if kind == "audio" and row.duration_s is not None else len(row.reference.strip())
