"""seqlab compare: two or more models side by side."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from seqlab.errors import UserError
from seqlab.files import atomic_write
from seqlab.report import read_record
from seqlab.report.compare import Comparison, Contender
from seqlab.report.compare import compare as compare_contenders
from seqlab.report.compare_text import comparison_text
from seqlab.report.differences import render_differences

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def compare(
    paths: Sequence[str], console: Console, groups: Sequence[Sequence[str]] = (), page: str | None = None
) -> list[Comparison]:
    """Compare the first model with each of the others; prints the comparison.

    Args:
        paths: report.json files, or folders that hold one; each is a model of its own.
        console: for the tables.
        groups: after these, models of several runs: the reports of each.
        page: file for an HTML page of the lines where they differ, or None.

    Raises:
        UserError: fewer than two models or more than there are letters, or a report that is given twice in a group.
        DataError: a path is no report that can be read.
        OSError: the page could not be written.
    """
    given = [*([path] for path in paths), *groups]
    if not 2 <= len(given) <= len(LETTERS):
        raise UserError(
            f"seqlab compare needs two or more report.json files or their folders, and {len(LETTERS)} at most, got "
            f"{len(given)}; each --runs is one"
        )
    for group in groups:
        if len({Path(path).resolve() for path in group}) < len(group):
            raise UserError(f"--runs {' '.join(group)}: a report is given twice, and would count as two runs")
    contenders = []
    for letter, group in zip(LETTERS, given, strict=False):
        runs = [read_record(path) for path in group]
        title = str(runs[0].get("name") or "a report without a name")
        name = f"{title} ({group[0]})" if len(group) == 1 else f"{len(group)} runs of {title} ({', '.join(group)})"
        contenders.append(Contender(letter, name, runs))
    comparisons = compare_contenders(contenders)
    text = comparison_text(contenders, comparisons)
    if page is not None:
        html = render_differences(contenders, comparisons)
        with atomic_write(Path(page)) as file:
            file.write(html)
        text += f"\npage: {page}"
    console.print(text, highlight=False, markup=False, soft_wrap=True)
    return comparisons
