"""seqlab compare: two or more reports side by side."""

from collections.abc import Sequence

from rich.console import Console

from seqlab.errors import UserError
from seqlab.report import read_record
from seqlab.report.compare import compare as compare_records


def compare(paths: Sequence[str], console: Console) -> list[str]:
    """Compare the first report with each of the others; returns the texts printed.

    Args:
        paths: two or more report.json files, or folders that hold one.
        console: for the tables.

    Raises:
        UserError: fewer than two paths.
        DataError: a path is no report that can be read.
    """
    if len(paths) < 2:
        raise UserError(f"seqlab compare needs two or more report.json files or their folders, got {len(paths)}")
    records = [read_record(path) for path in paths]
    texts = [
        compare_records(records[0], record, (paths[0], path))
        for path, record in zip(paths[1:], records[1:], strict=True)
    ]
    console.print("\n\n".join(texts), highlight=False, markup=False, soft_wrap=True)
    return texts
