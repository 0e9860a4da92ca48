"""report.html: one page that needs nothing else, no network and no script."""

import logging
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from seqlab import __version__
from seqlab.report.curves import Chart, draw_charts, read_metrics
from seqlab.report.diagram import draw_reliability
from seqlab.report.evaluation import Evaluation
from seqlab.report.headline import NAMES
from seqlab.report.tables import aligned_by_words, by_speaker, confusions, visible, worst_lines
from seqlab.report.totals import KNOWN, Totals
from seqlab.scoring import MIN_SPEAKERS, RULES, Score

log = logging.getLogger(__name__)

SPEAKERS = 50  # rows of the table of speakers
MARKS = {"sub": "S", "del": "D", "ins": "I"}


def render_page(evaluation: Evaluation, score: Score) -> str:
    """Return the HTML of a report. Everything given is escaped, so no text can become markup.

    Raises:
        ValueError: a picture is not a data URI of an image.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"percent": percent, "number": number, "visible": visible}
    template = environment.from_string(files("seqlab.report").joinpath("template.html").read_text(encoding="utf-8"))
    rows = evaluation.rows
    speakers = by_speaker(rows, score)
    summary = score.summary()
    charts, trouble = _charts(evaluation)
    calibration = evaluation.calibration()
    diagram = draw_reliability(calibration) if calibration else None
    by_words = aligned_by_words(score)
    words = confusions((row.reference.split(), row.hypothesis.split()) for row in rows)
    characters = confusions((row.reference.strip(), row.hypothesis.strip()) for row in rows)
    for line_id, picture in evaluation.pictures.items():
        if not picture.startswith("data:image/"):
            raise ValueError(f"line {line_id}: a picture must be a data URI of an image, got {picture[:40]!r}")
    units = {"wer": "words", "wer_punctuation": "words and marks"}
    return template.render(
        evaluation=evaluation,
        score=score,
        measures=[(name, units.get(key, "characters"), summary[key]) for key, name in NAMES.items()],
        interval_by_speaker=score.wer_interval_by_speaker is not None,
        fewest_speakers=MIN_SPEAKERS,
        known_set=KNOWN.get(Totals(score.lines, score.characters, score.words)),
        confusions=({"words": words} if by_words else {}) | {"characters": characters},
        speakers=speakers[:SPEAKERS],
        speaker_count=len(speakers),
        worst=worst_lines(rows, score),
        wrong_lines=sum(bool(line.characters.errors) for line in score.per_line),
        by_words=by_words,
        marks=MARKS,
        diagram=diagram and (diagram.title, Markup(diagram.svg), diagram.notes),
        calibration=calibration,
        charts=[(chart.title, Markup(chart.svg), chart.notes) for chart in charts],  # ElementTree has escaped the SVG
        trouble=trouble,
        model=flat(evaluation.model),
        rules=[*RULES, *evaluation.rules],
        version=__version__,
    )


def _charts(evaluation: Evaluation) -> tuple[list[Chart], str | None]:
    """Return the training curves, and why there are none if a file was given that shows none."""
    if evaluation.metrics_csv is None:
        return [], None
    try:
        charts = draw_charts(read_metrics(evaluation.metrics_csv))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        log.warning("no training curves in the report: %s: %s", evaluation.metrics_csv, reason)
        return [], f"{evaluation.metrics_csv} could not be used: {reason}."
    return charts, None if charts else f"{evaluation.metrics_csv} holds none of the metrics that are drawn."


def flat(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Flatten nested settings into pairs of dotted name and text."""
    pairs: list[tuple[str, str]] = []
    for key, value in settings.items():
        if isinstance(value, Mapping):
            pairs.extend(flat(value, f"{prefix}{key}."))
        elif isinstance(value, list | tuple):
            pairs.append((f"{prefix}{key}", ", ".join(str(item) for item in value)))
        elif value is not None:
            whole = isinstance(value, int) and not isinstance(value, bool)
            pairs.append((f"{prefix}{key}", number(value) if whole else str(value)))
    return pairs


def percent(rate: float) -> str:
    """Format a rate: 0.05 becomes "5.00 %", with a space that does not break."""
    return f"{100 * rate:.2f}\u00a0%"


def number(value: float, digits: int = 0) -> str:
    """Format a number with commas between thousands."""
    return f"{value:,.{digits}f}"
