"""A comparison of reports as text for a terminal."""

from collections.abc import Sequence

from seqlab.report.compare import LEVEL, Comparison, Contender, Judgement, totals
from seqlab.report.headline import NAMES, span
from seqlab.report.totals import described
from seqlab.scoring.significance import FEW, student_interval

_SEEDS = 0.95  # probability mass of the interval of runs


def comparison_text(contenders: Sequence[Contender], comparisons: Sequence[Comparison]) -> str:
    """Return warnings, names, the table of rates, the verdicts, and the rule behind them."""
    warnings = list(dict.fromkeys(text for comparison in comparisons for text in comparison.warnings))
    texts = [*warnings, *(f"{c.letter}: {c.name}" for c in contenders)]
    sizes = {totals(run) for contender in contenders for run in contender.runs}
    if len(sizes) == 1:
        texts.append(f"Reference totals of all: {described(sizes.pop())}")
    texts += ["", *_aligned(rate_table(contenders)), ""]
    for comparison in comparisons:
        texts += [*verdict_lines(comparison), ""]
    return "\n".join([*texts, rule_text(contenders, comparisons)]).rstrip()


def rate_table(contenders: Sequence[Contender]) -> list[list[str]]:
    """Lay out rates and intervals, one measure below the other, one column per contender; the first row is the head.

    Of several runs the rate is the mean, with Student's t interval; the intervals of a single run are those of its
    report.
    """
    rows = [["", *(contender.letter for contender in contenders)]]
    person = person_of(contenders)
    for key, name in NAMES.items():
        parts = [[run["scores"].get(key) or {} for run in contender.runs] for contender in contenders]
        rates = [[part["rate"] for part in runs if part] for runs in parts]
        rows.append([name, *(f"{100 * sum(own) / len(own):.2f}%" if own else "-" for own in rates)])
        for kind, word in (("interval", "by line"), ("interval_by_speaker", f"by {person}")):
            spans = [span(runs[0].get(kind)) if len(runs) == 1 else "" for runs in parts]
            if any(spans):
                rows.append([f"  {_level(contenders)} {word}", *(text or "-" for text in spans)])
        if any(len(own) > 1 for own in rates):
            means = [span(list(student_interval(own, _SEEDS))) if len(own) > 1 else "-" for own in rates]
            ranges = [f"{100 * min(own):.2f} to {100 * max(own):.2f}" if len(own) > 1 else "-" for own in rates]
            rows += [[f"  {100 * _SEEDS:g}% of the mean of runs", *means], ["  lowest and highest run", *ranges]]
    return rows


def verdict_lines(comparison: Comparison) -> list[str]:
    """Return what is said of one contender against the first."""
    first, other = comparison.first.letter, comparison.other.letter
    if not comparison.judgements:
        return [f"{other} against {first}: cannot tell. {comparison.trouble}"]
    texts = [f"{other} against {first}, on the same {comparison.lines:,} lines:"]
    person = person_of([comparison.first, comparison.other])
    texts += [f"  {sentence(judgement, person)}" for judgement in comparison.judgements]
    if comparison.trouble:
        texts.append(f"  {comparison.trouble}")
    return texts + [f"  {text.replace('speakers', f'{person}s')}" for text in comparison.further]


def sentence(judgement: Judgement, person: str) -> str:
    """Return verdict, difference and test of one measure."""
    ends = f"95% {_ends(judgement.by_line)} by line"
    if judgement.by_speaker:
        ends += f", {_ends(judgement.by_speaker)} by {person}"
    return (
        f"{judgement.measure.upper()} {judgement.verdict}: {100 * judgement.difference:+.2f} ({ends}); {judgement.test}"
    )


def rule_text(contenders: Sequence[Contender], comparisons: Sequence[Comparison]) -> str:
    """Return the rule of the verdict in words."""
    tested = [c for c in comparisons if any(judgement.p is not None for judgement in c.judgements)]
    if not tested:
        return "Nothing was tested, so there is no verdict."
    test = (
        "both Welch's t-test of the runs' rates and the permutation of lines"
        if len(contenders[0].runs) > 1  # a single run and several are never tested against each other
        else "the test named (WER: matched pairs of sentence segments, MAPSSWE, and where fewer than "
        f"{FEW} segments differ their permutation too; CER: paired permutation of lines)"
    )
    if len(tested) < len(comparisons):
        test += f" ({', '.join(c.other.letter for c in tested)} against {contenders[0].letter}; the others not tested)"
    holm = f", p corrected for {len(tested)} comparisons by Holm's method" if len(tested) > 1 else ""
    return (
        f"A verdict needs p < {LEVEL:g}, two-sided, by {test}{holm}; otherwise it is 'cannot tell'. It speaks of more "
        f"lines like these; of other {person_of(contenders)}s only the tests by {person_of(contenders)} speak."
    )


def person_of(contenders: Sequence[Contender]) -> str:
    """Return the word for who made a line: "writer" or "speaker"."""
    kinds = {run.get("kind") for contender in contenders for run in contender.runs}
    return "writer" if kinds & {"image", "strokes"} else "speaker"


def _ends(interval: tuple[float, float]) -> str:
    return f"{100 * interval[0]:+.2f} to {100 * interval[1]:+.2f}"


def _level(contenders: Sequence[Contender]) -> str:
    levels = {run["scores"].get("interval_level") for contender in contenders for run in contender.runs}
    level = levels.pop() if len(levels) == 1 else None
    return f"{100 * level:g}%" if isinstance(level, int | float) else "interval"


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(f"{cell:{'>' if n else '<'}{widths[n]}}" for n, cell in enumerate(row)).rstrip() for row in rows]
