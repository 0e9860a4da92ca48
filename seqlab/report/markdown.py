"""report.md: the evaluation in a few lines of Markdown, for a pull request."""

import re
from pathlib import Path

from seqlab.report.analysis import Analysis
from seqlab.report.headline import NAMES, span
from seqlab.report.tables import harmless, visible
from seqlab.report.totals import Totals, described

WORST, CONFUSIONS, LONGEST = 5, 10, 80
_HTML = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}
_SYNTAX = re.compile(r"[\\`*_\[\]<>#!|~&@$:]|(?<=[wW]{3})\.")  # www. alone makes a link on GitHub


def render_summary(analysis: Analysis) -> str:
    """Return rates with intervals, what stands out, the commonest errors and the worst lines."""
    evaluation, score = analysis.evaluation, analysis.score
    summary, level = score.summary(), f"{100 * score.level:g} %"
    parts = [
        f"### {plain(evaluation.name)}",
        "",
        f"{plain(described(Totals(score.lines, score.characters, score.words)))} in the references; "
        f"{score.exact:,} lines without any error. Decoder: {plain(evaluation.decoder or 'not stated')}.",
        "",
        f"| | Rate | {level} by line | {level} by {evaluation.person} | Errors | S | D | I |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for key, name in NAMES.items():
        measure = summary[key]
        spans = [span(measure[kind]) or "–" for kind in ("interval", "interval_by_speaker")]
        kinds = [f"{measure[kind]:,}" for kind in ("substitutions", "deletions", "insertions")]
        errors = f"{measure['errors']:,} of {measure['reference']:,}"
        cells = [name, f"**{100 * measure['rate']:.2f} %**", *spans, errors, *kinds]
        parts.append(f"| {' | '.join(cells)} |")
    for entry in evaluation.data:
        name, digest = Path(str(entry.get("path", ""))).name, str(entry.get("sha256") or "")[:12]
        parts += ["", f"Data: {plain(name)}" + (f" (sha256 {plain(digest)}…)" if digest else "")]
    if analysis.findings:
        parts += ["", "**What stands out**", "", *(f"- {plain(finding)}" for finding in analysis.findings)]
    unit, confused = next(iter(analysis.confusions.items()))
    if confused:
        most = sorted(confused, key=lambda error: -error.count)[:CONFUSIONS]
        parts += ["", f"**Commonest errors, {unit}**", "", "| Reference | Recognised | Count |", "|---|---|--:|"]
        parts += [f"| {_token(e.reference)} | {_token(e.hypothesis)} | {e.count:,} |" for e in most]
    if analysis.worst:
        parts += ["", "**Worst lines**", "", "| Line | CER | Reference | Recognised |", "|---|--:|---|---|"]
        parts += [
            f"| {_token(line.row.id)} | {100 * line.score.characters.rate:.1f} % | {_token(line.row.reference)} | "
            f"{_token(line.row.hypothesis)} |"
            for line in analysis.worst[:WORST]
        ]
    return "\n".join(parts) + "\n"


def plain(text: str) -> str:
    """Escape a text so that Markdown and HTML show it as it is; line breaks become spaces, see :func:`harmless`."""
    return _SYNTAX.sub(lambda sign: _HTML.get(sign[0], "\\" + sign[0]), harmless(" ".join(text.split())))


def _token(text: str | None) -> str:
    if text is None:
        return "∅"
    shown = visible(text) if len(text) == 1 else text
    return plain(shown if len(shown) <= LONGEST else shown[: LONGEST - 1] + "…") or "∅"
