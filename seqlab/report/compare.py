"""Compare two reports: their rates side by side, and a warning where the references were not the same."""

from typing import Any

from seqlab.report.headline import NAMES, span
from seqlab.report.totals import Totals, described
from seqlab.scoring import Counts, paired_bootstrap, speaker_sums

Record = dict[str, Any]

_LEVEL = 0.95
_SPACING_PROOF = ("wer_punctuation", "cer_no_spaces")


def totals(record: Record) -> Totals:
    """Return the reference totals of a report."""
    scores = record["scores"]
    return Totals(scores["lines"], scores["characters"], scores["words"])


def compare_totals(a: Record, b: Record) -> str | None:
    """Say that two reports were counted on different references, or return None if their totals are the same.

    Args:
        a: content of a report.json.
        b: the same of another.

    Returns:
        A warning with both totals and, where they are known, the set and convention they belong to; and whether the
        measures that spacing cannot move (CER without spaces, WER with punctuation isolated) compare all the same.
    """
    first, second = totals(a), totals(b)
    if first == second:
        return None
    symbols = [[(r["scores"].get(name) or {}).get("reference") for r in (a, b)] for name in _SPACING_PROOF]
    if first.lines != second.lines:
        cause = "The number of lines differs: these are different sets, or one lacks a part of the other."
    elif all(one == other is not None for one, other in symbols):
        cause = (
            "Lines, characters without spaces and isolated words are as many in both: the references seem to differ\n"
            "  by spaces alone, so WER with punctuation isolated and CER without spaces do compare, the others don't."
        )
    else:
        cause = "The number of lines is the same: the references differ by their transcripts."
    return (
        "WARNING: the reference totals differ, so these rates are not rates of the same task.\n"
        f"  A: {described(first)}\n  B: {described(second)}\n  {cause}"
    )


def compare(a: Record, b: Record, names: tuple[str, str] = ("", "")) -> str:
    """Compare two reports in text: a warning if need be, then rates, intervals, differences, and a paired test.

    Args:
        a: content of a report.json.
        b: the same of another.
        names: what to call them beside their titles, such as their paths.
    """
    warning = compare_totals(a, b)
    texts = [warning] if warning else []
    texts += [f"A: {_title(a, names[0])}", f"B: {_title(b, names[1])}"]
    if not warning:
        texts.append(f"Reference totals of both: {described(totals(a))}")
    return "\n".join([*texts, "", *_table(a, b), "", *_paired(a, b)])


def _title(record: Record, name: str) -> str:
    title = str(record.get("name") or "a report without a name")
    return f"{title} ({name})" if name else title


def _table(a: Record, b: Record) -> list[str]:
    """Lay out rates and intervals, one measure below the other."""
    cells = [["", "A", "B", "B - A"]]
    for key, name in NAMES.items():
        one, other = a["scores"].get(key) or {}, b["scores"].get(key) or {}
        rates = [f"{100 * part['rate']:.2f}%" if part else "-" for part in (one, other)]
        cells.append([name, *rates, f"{100 * (other['rate'] - one['rate']):+.2f}" if one and other else "-"])
        for kind, word in (("interval", "by line"), ("interval_by_speaker", f"by {_person(a, b)}")):
            spans = [span(part.get(kind)) for part in (one, other)]
            if any(spans):
                cells.append([f"  {_level(a, b)} {word}", *(text or "-" for text in spans), ""])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(f"{cell:{'>' if n else '<'}{widths[n]}}" for n, cell in enumerate(row)).rstrip() for row in cells]


def _person(a: Record, b: Record) -> str:
    return "writer" if {a.get("kind"), b.get("kind")} & {"image", "strokes"} else "speaker"


def _level(a: Record, b: Record) -> str:
    level, other = (record["scores"].get("interval_level") for record in (a, b))
    return f"{100 * level:g}%" if level == other and isinstance(level, int | float) else "interval"


def _paired(a: Record, b: Record) -> list[str]:
    """Describe the difference of CER on the same lines, or say why the lines are not the same."""
    first, second = ({line["id"]: line for line in record["lines"]} for record in (a, b))
    if len(first) < len(a["lines"]) or len(second) < len(b["lines"]):
        return ["No paired test: an id stands for several lines."]
    if first.keys() != second.keys():
        shared = len(first.keys() & second.keys())
        return [
            f"No paired test, the lines are not the same: {shared:,} ids are in both, {len(first) - shared:,} in A "
            f"alone, {len(second) - shared:,} in B alone."
        ]
    pairs = [(line, second[line_id]) for line_id, line in first.items()]
    ours, theirs = ([_counts(line["characters"]) for line in lines] for lines in zip(*pairs, strict=True))
    changed = sum(one.get("reference") != other.get("reference") for one, other in pairs)
    texts = [_test(f"CER of the same {len(pairs):,} lines", "lines", ours, theirs, not changed)]
    speakers = [line.get("speaker") for line, _ in pairs]
    sums, their_sums = speaker_sums(ours, speakers), speaker_sums(theirs, speakers)
    if sums and their_sums:
        people = f"{_person(a, b)}s"
        texts.append(_test(f"The same by their {len(sums):,} {people}", people, sums, their_sums, not changed))
    if changed:
        texts.append(f"No verdict: the references of {changed:,} of these lines differ, and so what is an error.")
    fewer = sum(their.errors < our.errors for our, their in zip(ours, theirs, strict=True))
    more = sum(their.errors > our.errors for our, their in zip(ours, theirs, strict=True))
    texts.append(f"B has fewer character errors in {fewer:,} lines, more in {more:,}.")
    return texts


def _counts(counts: Record) -> Counts:
    return Counts(counts["hits"], counts["substitutions"], counts["deletions"], counts["insertions"])


def _test(what: str, drawn: str, a: list[Counts], b: list[Counts], judge: bool) -> str:
    low, high, better = paired_bootstrap(a, b, level=_LEVEL)
    verdict = ": B is better" if high < 0 else ": A is better" if low > 0 else ": not decided"
    return (
        f"{what}, B - A: {100 * low:+.2f} to {100 * high:+.2f} with {100 * _LEVEL:g}%, B lower in {100 * better:.1f}% "
        f"of draws of {drawn}{verdict if judge else ''}."
    )
