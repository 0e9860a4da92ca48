"""Write the report of an evaluation into a folder."""

from dataclasses import asdict
from pathlib import Path

from seqlab.errors import DataError
from seqlab.files import atomic_write
from seqlab.outputs import json_lines, trn
from seqlab.report.evaluation import Evaluation
from seqlab.report.page import render_page
from seqlab.report.record import to_json, to_record


def write_report(folder: Path, evaluation: Evaluation) -> dict[str, Path]:
    """Score an evaluation and write report.json, report.html, ref.trn, hyp.trn and hypotheses.jsonl.

    Each file is written whole or not at all; report.html comes last, so where it stands the others stand too.

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
    folder = Path(folder)
    score = evaluation.score()
    page = render_page(evaluation, score)
    names = ("hypotheses.jsonl", "ref.trn", "hyp.trn", "report.json", "report.html")
    paths = {name: folder / name for name in names}
    json_lines.write_rows(paths["hypotheses.jsonl"], (asdict(row) for row in evaluation.rows))
    ids = trn.trn_ids([row.id for row in evaluation.rows], [row.speaker for row in evaluation.rows])
    trn.write(paths["ref.trn"], (row.reference for row in evaluation.rows), ids)
    trn.write(paths["hyp.trn"], (row.hypothesis for row in evaluation.rows), ids)
    with atomic_write(paths["report.json"]) as file:
        file.write(to_json(to_record(evaluation, score)))
    with atomic_write(paths["report.html"]) as file:
        file.write(page)
    return paths
