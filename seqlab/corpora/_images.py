"""What the corpora of line images share: sizes read with progress, and totals that identify a data set."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seqlab.corpora._common import track
from seqlab.errors import DataError
from seqlab.files import write_lines
from seqlab.manifest import MAX_FAULTS, Line
from seqlab.media import image_size


def stop(faults: Sequence[str], what: str, cure: str = "") -> None:
    """Raise a DataError that names the first faults and counts the rest; no faults, no error."""
    if faults:
        more = f"\n... and {len(faults) - MAX_FAULTS} more" if len(faults) > MAX_FAULTS else ""
        tail = f"\n{cure}" if cure else ""
        raise DataError(f"{what}: {len(faults)} fault(s):\n" + "\n".join(faults[:MAX_FAULTS]) + more + tail)


def read_sizes(paths: Sequence[Path], what: str, cure: str = "") -> list[tuple[int, int]]:
    """Read width and height of image files from their headers, in pixels.

    Args:
        paths: the images.
        what: for messages and progress.
        cure: what to do about faulty files, for messages.

    Raises:
        DataError: files are missing or no images; the message names up to 20 of them.
    """
    sizes, faults = [], []
    for path in track(paths, what):
        try:
            sizes.append(image_size(path))
        except (DataError, FileNotFoundError) as error:
            faults.append(str(error))
    stop(faults, what, cure)
    return sizes


def totals(manifests: Mapping[str, Sequence[Line]]) -> dict[str, dict[str, int]]:
    """Count lines, characters (spaces included) and words (split at spaces) of each part."""
    return {
        part: {
            "lines": len(lines),
            "characters": sum(len(line.text) for line in lines),
            "words": sum(len(line.text.split()) for line in lines),
        }
        for part, lines in manifests.items()
    }


def report_totals(
    out: Path, corpus: str, options: Mapping[str, Any], counts: Mapping[str, Mapping[str, int]], log: logging.Logger
) -> None:
    """Log the totals of each part and keep them, with the options that led to them, in <out>/totals.json."""
    for part, count in counts.items():
        log.info(
            "%s %s: %d lines, %d characters, %d words",
            *(corpus, part, count["lines"], count["characters"], count["words"]),
        )
    write_lines(out / "totals.json", [json.dumps({"corpus": corpus, **options, "parts": counts}, indent=1)])
