"""Compare reports: whether they are of the same task, how far apart their rates are, and whether that is chance.

The verdict on a model against the first, for WER and for CER each by itself, is "better" or "worse" where p is below
0.05, else "cannot tell":
    - One run each: WER by NIST's matched-pairs sentence-segment word error test (MAPSSWE), of fewer than 30 segments
      that differ by their permutation too; CER by the paired permutation of lines.
    - Two or more runs each, such as seeds: the rates of the runs by Welch's t-test, and the errors of the lines,
      averaged over the runs, by the paired permutation. Both must find a difference, so the larger p counts: other
      seeds and other lines could each turn a difference around.
    - One run against several: no verdict, as nothing is known of the first one's other seeds.
With more than two models every p is corrected for the number of comparisons tested (Holm). There is no verdict where
lines, references or rules of scoring differ. None of this tells what other speakers would give: see the tests by
speaker.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from seqlab.outputs.text import one_line
from seqlab.report.totals import Totals, described
from seqlab.scoring import Counts, add, paired_bootstrap, speaker_sums
from seqlab.scoring.nist import nist_align, segments
from seqlab.scoring.significance import (
    FEW,
    binomial_test,
    holm,
    matched_pairs,
    permutation_test,
    welch_test,
    wilcoxon_test,
)

Record = dict[str, Any]
Verdict = Literal["better", "worse", "cannot tell"]

LEVEL = 0.05
MEASURES = {"wer": "words", "cer": "characters"}  # those judged, and the counts of a line behind them
_SPACING_PROOF = ("wer_punctuation", "cer_no_spaces")


@dataclass(frozen=True, slots=True)
class Contender:
    """A model in a comparison: one report, or those of several runs of it.

    Attributes:
        letter: what the tables call it.
        name: its title, and where its reports lie.
        runs: contents of report.json, one or more.
    """

    letter: str
    name: str
    runs: list[Record]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is said of one measure of a contender against the first.

    Attributes:
        measure: "wer" or "cer".
        difference: its rate less that of the first; below 0 it has fewer errors.
        by_line: 95 % bootstrap interval of the difference, lines drawn.
        by_speaker: the same, speakers drawn, or None.
        test: the test and what it found, in words.
        p: two-sided, or None where nothing was tested.
        verdict: with p corrected.
    """

    measure: str
    difference: float
    by_line: tuple[float, float]
    by_speaker: tuple[float, float] | None
    test: str
    p: float | None
    verdict: Verdict = "cannot tell"


@dataclass(frozen=True, slots=True)
class Comparison:
    """A contender against the first.

    Attributes:
        first: the first.
        other: the contender.
        warnings: why rates cannot be compared, if so.
        lines: number of lines in common.
        trouble: why nothing was tested or judged, if so.
        judgements: one per measure, if the lines are the same.
        further: other tests, in words.
    """

    first: Contender
    other: Contender
    warnings: list[str]
    lines: int = 0
    trouble: str | None = None
    judgements: list[Judgement] = field(default_factory=list)
    further: list[str] = field(default_factory=list)


def totals(record: Record) -> Totals:
    """Return the reference totals of a report."""
    scores = record["scores"]
    return Totals(scores["lines"], scores["characters"], scores["words"])


def compare_totals(a: Record, b: Record, letters: tuple[str, str] = ("A", "B")) -> str | None:
    """Say that two reports were counted on different references, or return None if their totals are the same.

    Args:
        a: content of a report.json.
        b: the same of another.
        letters: what to call them.

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
        f"  {letters[0]}: {described(first)}\n  {letters[1]}: {described(second)}\n  {cause}"
    )


def compare_rules(a: Record, b: Record, letters: tuple[str, str] = ("A", "B")) -> str | None:
    """Say which rules of normalisation and scoring two reports do not share, or return None if they share all."""
    rules = [{one_line(str(rule)): None for rule in record.get("rules") or ()} for record in (a, b)]
    if not all(rules) or rules[0].keys() == rules[1].keys():  # a report that tells none is too old to differ by them
        return None
    alone = [
        f"\n  {letter} alone: {rule}"
        for letter, own, others in ((letters[0], *rules), (letters[1], *reversed(rules)))
        for rule in own
        if rule not in others
    ]
    return "WARNING: the lines were not scored by the same rules, so these rates do not compare." + "".join(alone)


def compare(contenders: Sequence[Contender]) -> list[Comparison]:
    """Compare each contender with the first.

    Args:
        contenders: two or more.
    """
    found = [_compared(contenders[0], other) for other in contenders[1:]]
    for measure in MEASURES:
        tested = [
            (comparison, place, judgement.p)
            for comparison in found
            for place, judgement in enumerate(comparison.judgements)
            if judgement.measure == measure and judgement.p is not None
        ]
        for (comparison, place, _), p in zip(tested, holm([p for _, _, p in tested]), strict=True):
            judgement = comparison.judgements[place]
            verdict: Verdict = "cannot tell"
            if p < LEVEL and not comparison.trouble and judgement.difference:
                verdict = "better" if judgement.difference < 0 else "worse"
            test = judgement.test if len(tested) == 1 else f"{judgement.test}, corrected {told(p)}"
            comparison.judgements[place] = replace(judgement, test=test, p=p, verdict=verdict)
    return found


def _compared(first: Contender, other: Contender) -> Comparison:
    letters = (first.letter, other.letter)
    others = [(side.letter, run) for side in (first, other) for run in side.runs][1:]
    texts = [
        told_by(first.runs[0], run, (first.letter, letter))
        for letter, run in others
        for told_by in (compare_totals, compare_rules)
    ]
    warnings = list(dict.fromkeys(text for text in texts if text))
    sides = [[{line["id"]: line for line in run["lines"]} for run in side.runs] for side in (first, other)]
    comparison = Comparison(first, other, warnings)
    runs = [run for side in (first, other) for run in side.runs]
    known = [lines for side in sides for lines in side]
    if any(len(lines) < len(run["lines"]) for lines, run in zip(known, runs, strict=True)):
        return replace(comparison, trouble="No paired test: an id stands for several lines.")
    ids = sides[0][0].keys()
    strange = next((lines for lines in known if lines.keys() != ids), None)
    if strange is not None:
        shared = len(ids & strange.keys())
        return replace(
            comparison,
            trouble=f"No paired test, the lines are not the same: {shared:,} ids are in both, {len(ids) - shared:,} in "
            f"{letters[0]} alone, {len(strange) - shared:,} in {letters[1]} alone.",
        )
    changed = sum(any(_reference(lines[i]) != _reference(sides[0][0][i]) for lines in known) for i in ids)
    trouble = None
    if changed:
        trouble = f"No verdict: the references of {changed:,} of these lines differ, and so what is an error."
    elif warnings:
        trouble = "No verdict: the reports are not of the same measure."
    elif (len(first.runs) == 1) != (len(other.runs) == 1):
        alone = letters[0] if len(first.runs) == 1 else letters[1]
        trouble = f"No verdict: {alone} is a single run, and what its other seeds would give is not known."
    speakers = [line.get("speaker") for line in sides[0][0].values()]
    comparison = replace(comparison, lines=len(ids), trouble=trouble)
    for measure, key in MEASURES.items():
        if all(_has_counts(line.get(key)) for lines in known for line in lines.values()):
            summed = [[add(_counts(lines[i][key]) for lines in side) for i in ids] for side in sides]
            _judge(comparison, measure, sides, summed, speakers)
    return comparison


def _reference(line: Record) -> object:
    text = line.get("reference")
    return text if isinstance(text, str) else line["characters"].get("reference")


def _has_counts(counts: object) -> bool:
    names = ("hits", "substitutions", "deletions", "insertions")
    return isinstance(counts, dict) and all(isinstance(counts.get(name), int) for name in names)


def _counts(counts: Record) -> Counts:
    return Counts(counts["hits"], counts["substitutions"], counts["deletions"], counts["insertions"])


def _judge(
    comparison: Comparison,
    measure: str,
    sides: list[list[dict[str, Record]]],
    summed: list[list[Counts]],
    speakers: list[str | None],
) -> None:
    """Add what one measure says: the difference, its intervals, the test of the verdict and further tests."""
    ours, theirs = summed
    sizes = [len(side) for side in sides]
    differences = [b.errors / sizes[1] - a.errors / sizes[0] for a, b in zip(ours, theirs, strict=True)]
    by_line = permutation_test(differences)
    test, p = f"permutation of lines, p {told(by_line)}", by_line
    own, others = speaker_sums(ours, speakers), speaker_sums(theirs, speakers)
    rate = add(theirs).rate - add(ours).rate
    low, high, _ = paired_bootstrap(ours, theirs)
    between = paired_bootstrap(own, others)[:2] if own and others else None
    if any(_reference(line) != _reference(sides[0][0][i]) for side in sides for run in side for i, line in run.items()):
        comparison.judgements.append(Judgement(measure, rate, (low, high), between, "not tested", None))
        return
    if min(sizes) > 1:
        rates = [[run["scores"][measure]["rate"] for run in side.runs] for side in (comparison.first, comparison.other)]
        runs = welch_test(*rates)
        test, p = f"Welch's t over {sizes[0]} and {sizes[1]} runs, p {told(runs)}; {test}", max(runs, by_line)
    elif max(sizes) == 1 and measure == "wer":
        pairs = [(one, sides[1][0][i]) for i, one in sides[0][0].items()]
        if all(
            isinstance(line.get(key), str) for pair in pairs for line in pair for key in ("reference", "hypothesis")
        ):
            found = matched_pairs([cut for pair in pairs for cut in _segments(*pair)])
            test, p = f"MAPSSWE over {found.segments:,} segments, z {found.z:.2f}, p {told(found.p_normal)}", found.p
            if 0 < found.differing < FEW:
                whose = "1 differs: with its" if found.differing == 1 else f"{found.differing} differ: with their"
                test += f", but only {whose} permutation p {told(p)}"
    name = measure.upper()
    if max(sizes) == 1 and measure == "wer":
        alone = [
            sum(not x.errors and bool(y.errors) for x, y in zip(*lines, strict=True))
            for lines in (summed, summed[::-1])
        ]
        right = f"{comparison.other.letter} alone {alone[1]:,}, {comparison.first.letter} alone {alone[0]:,}"
        comparison.further.append(f"Lines without a word error: {right}; McNemar p {told(binomial_test(*alone))}")
    if own and others:
        swapped = [b.errors / sizes[1] - a.errors / sizes[0] for a, b in zip(own, others, strict=True)]
        rated = [b.rate - a.rate for a, b in zip(own, others, strict=True)]
        better, worse = sum(r < 0 for r in rated), sum(r > 0 for r in rated)
        comparison.further.append(
            f"{name} by {len(rated):,} speakers: {comparison.other.letter} better for {better:,}, worse for {worse:,}; "
            f"permutation p {told(permutation_test(swapped))}, Wilcoxon p {told(wilcoxon_test(rated))}, "
            f"sign p {told(binomial_test(better, worse))}"
        )
    comparison.judgements.append(
        Judgement(measure, rate, (low, high), between, test, None if comparison.trouble else p)
    )


def _segments(one: Record, other: Record) -> list[tuple[int, int]]:
    said = one["reference"].split()
    heard, heard_too = one["hypothesis"].split(), other["hypothesis"].split()
    if said == heard == heard_too:
        return []
    return segments(nist_align(said, heard), nist_align(said, heard_too))


def told(p: float) -> str:
    """Write a p-value."""
    return "< 0.0001" if p < 0.0001 else f"{p:.4f}" if p < 0.1 else f"{p:.2f}"
