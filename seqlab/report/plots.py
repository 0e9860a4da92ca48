"""The page's diagrams, and the same as SVG files that stand alone and as PNG."""

import logging
import re
from importlib.resources import files

from seqlab.report.analysis import Analysis
from seqlab.report.breakdown import Group
from seqlab.report.curves import Chart, draw_charts, read_metrics
from seqlab.report.diagram import draw_reliability
from seqlab.report.evaluation import Evaluation
from seqlab.report.matrix import draw_matrix

log = logging.getLogger(__name__)


def draw_plots(analysis: Analysis) -> tuple[dict[str, Chart], str | None]:
    """Draw the diagrams by the names of their files; second, why there are no training curves if some were given."""
    plots: dict[str, Chart] = {}
    matrix = draw_matrix(analysis.tallies["characters"])
    if matrix:
        plots["confusions"] = matrix
    if analysis.calibration:
        plots["confidence"] = draw_reliability(analysis.calibration)
    curves, trouble = _curves(analysis.evaluation)
    for number, chart in enumerate(curves, 1):
        plots[f"training-{number}"] = chart
    return plots, trouble


def _curves(evaluation: Evaluation) -> tuple[list[Chart], str | None]:
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


def style(name: str) -> str:
    """Return a style sheet of the report, or its script."""
    return files("seqlab.report").joinpath(name).read_text(encoding="utf-8")


def alone(chart: Chart) -> str:
    """Return a diagram as the text of an SVG file, with its colours for light and dark pages."""
    head, rest = chart.svg.split(">", 1)
    width, height = head.split('viewBox="0 0 ', 1)[1].split('"', 1)[0].split()
    page = "svg { background: var(--page); }"
    return (
        f'{head} xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">'
        f"<style>{style('plot.css')}{page}</style>{rest}\n"
    )


def raster(svg: str) -> bytes | None:
    """Return what ``alone`` made as a PNG image of twice its size, in the colours of light pages.

    None without the extra ``png`` (resvg), whose style sheets know neither variables nor ``@media``.
    """
    try:
        from resvg_py import svg_to_bytes
    except ImportError:
        return None
    light = re.sub(r"@media[^{]*\{(?:[^{}]*\{[^{}]*\})*\s*\}", "", svg)
    colours = dict(re.findall(r"(--[\w-]+): ([^;]+);", light))
    light = re.sub(r"var\((--[\w-]+)\)", lambda found: colours[found[1]], light)
    return bytes(svg_to_bytes(svg_string=light, background=colours["--page"], zoom=2))


def bar(group: Group, groups: list[Group]) -> str:
    """Draw a group's character error rate and its interval, to the scale of the highest of all groups."""
    most = max(max(g.characters.rate, g.interval[1] if g.interval else 0.0) for g in groups) or 1.0
    wide = 100 * group.characters.rate / most
    box = 'class="share-bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true" focusable="false"'
    svg = f'<svg {box}><rect width="{wide:.1f}" height="10" fill-opacity=".45"/>'
    if group.interval:
        low, high = (100 * end / most for end in group.interval)
        svg += f'<line x1="{low:.1f}" x2="{high:.1f}" y1="5" y2="5"/>'
    return svg + "</svg>"
