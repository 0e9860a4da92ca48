"""Write the report of an evaluation into a folder."""

import csv
from dataclasses import asdict
from pathlib import Path

from seqlab.errors import DataError
from seqlab.files import atomic_write
from seqlab.outputs import Transcript, Word, ctm, json_lines, stm, trn
from seqlab.report.analysis import analyse
from seqlab.report.evaluation import EvaluatedLine, Evaluation
from seqlab.report.markdown import render_summary
from seqlab.report.page import render_page
from seqlab.report.plots import alone, draw_plots
from seqlab.report.record import to_json, to_record
from seqlab.scoring import Score


def write_report(folder: Path, evaluation: Evaluation) -> dict[str, Path]:
    """Score an evaluation and write what is told of it.

    report.html, report.json, report.md, lines.csv, hypotheses.jsonl, ref.trn and hyp.trn for sclite, and the diagrams
    as SVG files in plots/; where the words of all lines have times, ref.stm and hyp.ctm too. Each file is written whole
    or not at all; report.html comes last, so where it stands the others stand too.

    Args:
        folder: made if it does not exist; files of an earlier report are replaced.
        evaluation: what was recognised, and how.

    Returns:
        The path of each file by its name.

    Raises:
        DataError: the evaluation holds no line.
        OSError: a file could not be written.
    """
    if not evaluation.rows:
        raise DataError(f"evaluation {evaluation.name!r} holds no line, so there is nothing to report")
    folder, rows = Path(folder), evaluation.rows
    score = evaluation.score()
    analysis = analyse(evaluation, score)
    plots, trouble = draw_plots(analysis)
    page = render_page(analysis, plots, trouble)
    names = ["hypotheses.jsonl", "ref.trn", "hyp.trn", "lines.csv", *(f"plots/{name}.svg" for name in plots)]
    names += ["report.md", "report.json", "report.html"]
    paths = {name: folder / name for name in names}
    json_lines.write_rows(paths["hypotheses.jsonl"], (asdict(row) for row in rows))
    ids = trn.trn_ids([row.id for row in rows], [row.speaker for row in rows])
    trn.write(paths["ref.trn"], (row.reference for row in rows), ids)
    trn.write(paths["hyp.trn"], (row.hypothesis for row in rows), ids)
    paths |= _write_times(folder, evaluation, ids)
    _write_lines(paths["lines.csv"], evaluation, score)
    for old in folder.glob("plots/*.svg"):
        if f"plots/{old.name}" not in paths:
            old.unlink()
    texts = {f"plots/{name}.svg": alone(chart) for name, chart in plots.items()}
    texts |= {
        "report.md": render_summary(analysis),
        "report.json": to_json(to_record(evaluation, score)),
        "report.html": page,
    }
    for name, text in texts.items():
        with atomic_write(paths[name]) as file:
            file.write(text)
    return {name: paths[name] for name in sorted(paths, key=lambda name: name == "report.html")}


def _write_times(folder: Path, evaluation: Evaluation, ids: list[str]) -> dict[str, Path]:
    """Write ref.stm and hyp.ctm, sorted as sclite wants them; nothing where a line has no times."""
    paths = {name: folder / name for name in ("ref.stm", "hyp.ctm")}
    if any(row.word_places is None or row.duration_s is None for row in evaluation.rows):
        for path in paths.values():
            path.unlink(missing_ok=True)  # of an earlier report
        return {}
    order = sorted(zip(ids, evaluation.rows, strict=True), key=lambda pair: pair[0].casefold())
    stm.write(
        paths["ref.stm"],
        ((line_id, line_id.split("-", 1)[0], 0.0, row.duration_s or 0.0, row.reference) for line_id, row in order),
    )
    ctm.write(paths["hyp.ctm"], (Transcript(row.hypothesis, _words(row), id=line_id) for line_id, row in order))
    return paths


def _words(row: EvaluatedLine) -> list[Word]:
    places = row.word_places or []
    confidences = row.word_confidences or (None,) * len(places)
    return [
        Word(text, start, end, confidence)
        for text, (start, end), confidence in zip(row.hypothesis.split(), places, confidences, strict=True)
    ]


def _write_lines(path: Path, evaluation: Evaluation, score: Score) -> None:
    """Write lines.csv: what is known of each line, its texts as they are, and its errors."""
    groups = list(dict.fromkeys(name for row in evaluation.rows for name in row.groups))
    measures = list(dict.fromkeys(name for row in evaluation.rows for name in row.measures))
    counts = [f"{unit}_{name}" for unit in ("words", "characters") for name in ("reference", "errors")]
    with atomic_write(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        head = ["id", evaluation.person, "duration_s", *measures, *groups, *counts, "wer", "cer"]
        writer.writerow([*head, "reference", "hypothesis"])
        for row, line in zip(evaluation.rows, score.per_line, strict=True):
            known = [
                row.id,
                row.speaker,
                row.duration_s,
                *map(row.measures.get, measures),
                *map(row.groups.get, groups),
            ]
            numbers = [line.words.reference, line.words.errors, line.characters.reference, line.characters.errors]
            rates = [f"{line.words.rate:.6f}", f"{line.characters.rate:.6f}"]
            writer.writerow([*known, *numbers, *rates, row.reference, row.hypothesis])
