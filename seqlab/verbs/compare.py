"""seqlab compare: two or more models side by side."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from seqlab.errors import UserError
from seqlab.files import atomic_write
from seqlab.outputs.text import one_line
from seqlab.report import read_record
from seqlab.report.compare import Comparison, Contender
from seqlab.report.compare import compare as compare_contenders
from seqlab.report.compare_text import comparison_text
from seqlab.report.differences import render_differences

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def compare(
    paths: Sequence[str], console: Console, groups: Sequence[Sequence[str]] = (), page: str | None = None
) -> list[Comparison]:
    """Compare the first model with each of the others; prints the comparison, then writes the page.

    Args:
        paths: report.json files, or folders that hold one; each is a model of its own.
        console: for the tables.
        groups: after these, models of several runs: the reports of each.
        page: file for an HTML page of the lines where they differ, or None; its name ends in .html.

    Raises:
        UserError: fewer than two models or more than there are letters, a report that is given twice in a group, or a
            page that is a folder, ends otherwise or would take the place of a report.
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
    if page is not None:
        _check_page(page, [path for group in given for path in group])
    contenders = []
    for letter, group in zip(LETTERS, given, strict=False):
        runs = [read_record(path) for path in group]
        title = ", ".join(str(runs[0][key]) for key in ("name", "decoder") if runs[0].get(key))
        title = title or "a report without a name"
        name = f"{title} ({group[0]})" if len(group) == 1 else f"{len(group)} runs of {title} ({', '.join(group)})"
        contenders.append(Contender(letter, one_line(name), runs))
    comparisons = compare_contenders(contenders)
    console.print(comparison_text(contenders, comparisons), highlight=False, markup=False, soft_wrap=True)
    if page is not None:
        html = render_differences(contenders, comparisons)
        with atomic_write(Path(page)) as file:
            file.write(html)
        console.print(f"page: {page}", highlight=False, markup=False, soft_wrap=True)
    return comparisons


def _check_page(page: str, reports: Sequence[str]) -> None:
    """Refuse a page that could not be written, or that would take the place of a report or of its page."""
    if Path(page).is_dir():
        raise UserError(f"-o {page}: is a folder; name a page in it, such as {Path(page) / 'differences.html'}")
    if Path(page).suffix.lower() not in (".html", ".htm"):
        raise UserError(f"-o {page}: the page is HTML; give a name that ends in .html")
    for report in reports:
        file = Path(report) / "report.json" if Path(report).is_dir() else Path(report)
        if Path(page).resolve() in (file.resolve(), file.resolve().with_name("report.html")):
            raise UserError(f"-o {page}: would take the place of a report that is compared; give another name")
