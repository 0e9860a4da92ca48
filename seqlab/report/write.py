"""Write the report of an evaluation into a folder."""

import csv
import os
import re
from dataclasses import asdict
from pathlib import Path

from seqlab.errors import DataError
from seqlab.files import atomic_write, replacing
from seqlab.outputs import Transcript, Word, ctm, json_lines, stm, trn
from seqlab.report.analysis import analyse
from seqlab.report.evaluation import EvaluatedLine, Evaluation
from seqlab.report.markdown import render_summary
from seqlab.report.page import render_page
from seqlab.report.plots import alone, draw_plots, raster
from seqlab.report.record import FORMAT, to_head, to_lines, to_text
from seqlab.scoring import Score

_FILES = ("report.json", "hypotheses.jsonl", "ref.trn", "hyp.trn", "lines.csv", "ref.stm", "hyp.ctm", "report.md")
_PAGE = "report.html"
_PLOT = re.compile(r"(confusions|confidence|training-\d+)\.(svg|png)")
_OURS = re.compile(rf'\{{\s*"format": "{FORMAT}"')  # how a report.json begins


def check_folder(folder: Path) -> None:
    """See that a report can be written into a folder without loss of a file that is no report's.

    An earlier report, known by its report.json, may be replaced; other files in the folder stay.

    Raises:
        DataError: the folder is a file, or may not be written, or holds files of a report's names that are not one's.
    """
    there = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
    if not there.is_dir():
        raise DataError(f"{folder}: a report is a folder, and {there} is a file; give another out=")
    if not os.access(there, os.W_OK | os.X_OK):
        raise DataError(f"{folder}: no report can be written, {there} is write-protected; give another out=")
    names = [name for name in (*_FILES, _PAGE) if os.path.lexists(folder / name)] + _plots(folder)
    if (folder / "plots").exists() and not (folder / "plots").is_dir():
        raise DataError(f"{folder / 'plots'}: is a file where a report has a folder; give another out=")
    if names and not _is_report(folder):
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        raise DataError(
            f"{folder}: holds {', '.join(names[:5])}{more}, but no report.json of seqlab's, so these are not a "
            "report's to replace; give another out= or move them away"
        )


def _plots(folder: Path) -> list[str]:
    """Name the files in a folder's plots that are called as a report's are."""
    return sorted(f"plots/{path.name}" for path in folder.glob("plots/*") if _PLOT.fullmatch(path.name))


def _is_report(folder: Path) -> bool:
    try:
        with (folder / "report.json").open(encoding="utf-8", errors="replace") as file:
            return bool(_OURS.match(file.read(200)))
    except OSError:
        return False


def write_report(folder: Path, evaluation: Evaluation, score: Score | None = None) -> dict[str, Path]:
    """Write what is told of an evaluation.

    report.html, report.json, report.md, lines.csv, hypotheses.jsonl, ref.trn and hyp.trn for sclite, and the diagrams
    as SVG files in plots/, as PNG too with the extra ``png``; where the words of all lines have times, ref.stm and
    hyp.ctm. Each file is written whole or not at all; an old report.html goes first and the new one comes last, so
    where it stands the others stand too.

    Args:
        folder: made if it does not exist; an earlier report in it is replaced, other files stay.
        evaluation: what was recognised, and how.
        score: of it, if it is known already (``evaluation.score()``).

    Returns:
        The path of each file by its name.

    Raises:
        DataError: the evaluation holds no line, or as :func:`check_folder`.
        OSError: a file could not be written.
    """
    if not evaluation.rows:
        raise DataError(f"evaluation {evaluation.name!r} holds no line, so there is nothing to report")
    folder, rows = Path(folder), evaluation.rows
    check_folder(folder)
    score = score or evaluation.score()
    analysis = analyse(evaluation, score)
    plots, trouble = draw_plots(analysis)
    page, summary = render_page(analysis, plots, trouble), render_summary(analysis)
    drawn = {f"plots/{name}.svg": alone(chart) for name, chart in plots.items()}
    images = {name.replace(".svg", ".png"): image for name, svg in drawn.items() if (image := raster(svg))}
    timed = all(row.word_places is not None and row.duration_s is not None for row in rows)
    own = [name for name in _FILES if timed or name not in ("ref.stm", "hyp.ctm")]
    paths = {name: folder / name for name in (*own, *drawn, *images, _PAGE)}
    for name in (_PAGE, *_FILES, *_plots(folder)):  # of an earlier report; its report.json says so until it is replaced
        if name == _PAGE or name not in paths:
            (folder / name).unlink(missing_ok=True)
    with atomic_write(paths["report.json"]) as file:
        file.writelines(to_text(to_head(evaluation, score), to_lines(evaluation, score)))
    json_lines.write_rows(paths["hypotheses.jsonl"], (asdict(row) for row in rows))
    ids = trn.trn_ids([row.id for row in rows], [row.speaker for row in rows])
    trn.write(paths["ref.trn"], (row.reference for row in rows), ids)
    trn.write(paths["hyp.trn"], (row.hypothesis for row in rows), ids)
    if timed:
        _write_times(folder, evaluation, ids)
    _write_lines(paths["lines.csv"], evaluation, score)
    for name, image in images.items():
        with replacing(paths[name]) as temporary:
            temporary.write_bytes(image)
    for name, text in (drawn | {"report.md": summary, _PAGE: page}).items():
        with atomic_write(paths[name]) as file:
            file.write(text)
    return paths


def _write_times(folder: Path, evaluation: Evaluation, ids: list[str]) -> None:
    """Write ref.stm and hyp.ctm, sorted as sclite wants them."""
    order = sorted(zip(ids, evaluation.rows, strict=True), key=lambda pair: pair[0].casefold())
    stm.write(
        folder / "ref.stm",
        ((line_id, line_id.split("-", 1)[0], 0.0, row.duration_s or 0.0, row.reference) for line_id, row in order),
    )
    ctm.write(folder / "hyp.ctm", (Transcript(row.hypothesis, _words(row), id=line_id) for line_id, row in order))


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
