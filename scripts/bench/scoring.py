"""Scoring: the same numbers as jiwer, its time, the memory of a million lines, and what the intervals hold.

python scripts/bench/scoring.py [REPORT.json] [--pairs N] [--lines N] [--coverage N]

1. Counts of words and characters of N random pairs (100,000), empty ones among them, against jiwer 4.
2. CPU time of WER, CER and both alignments of 2,620 lines against jiwer's, then of the whole score with 1,000 draws of
   the bootstrap. The lines are those of REPORT.json, over and over, else made up: as many words as LibriSpeech's
   test-clean has, one in twelve wrong.
3. Peak memory of N lines scored as a stream (1,000,000), intervals by line and by speaker included.
4. With --coverage N: how often the interval by speaker holds the true rate, in N simulated test sets each; speakers'
   error rates are drawn from beta distributions, each has 5 to 39 lines of 5 to 29 words. Of low rates, LOW, it falls
   short where few speakers are bad and most are not, so there no limit is set.

Exits 1 if a count differs, the time is above 0.35 and 1.0 of jiwer's, a stream's memory grows above 500 MB, or an
interval by speaker holds the truth in less than 93 % or more than 97 % (SETTINGS).
"""

import argparse
import json
import random
import resource
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version

import jiwer
import numpy as np
from timing import bar, growth, measure, ratio, start, table

from seqlab.scoring import bootstrap_interval, char_counts, count, score_lines, score_stream, word_counts
from seqlab.scoring.counts import counted, find_errors

Pairs = list[tuple[str, str]]
ALPHABETS = ("a b", "ab cd ", "abcdefgh    ", "äöß日本 \U0001f600")
UTTERANCES, MOST_MB = 2620, 500
SETTINGS = ((0.1, 0.02), (0.1, 0.05), (0.1, 0.1), (0.02, 0.02))  # mean rate of speakers, its deviation
LOW = ((0.01, 0.01), (0.005, 0.005), (0.01, 0.02), (0.02, 0.04))


def random_pair(generator: random.Random) -> tuple[str, str]:
    alphabet = generator.choice(ALPHABETS)
    reference = "".join(generator.choices(alphabet, k=generator.choice([0, 1, 2, 5, 30, 100])))
    if generator.random() < 0.5:
        return reference, "".join(
            sign if generator.random() < 0.8 else generator.choice(alphabet) * generator.choice([0, 1, 2])
            for sign in reference
        )
    return reference, "".join(generator.choices(alphabet, k=generator.choice([0, 1, 2, 5, 30, 100])))


def differing(pairs: int) -> int:
    generator, wrong = random.Random(1), 0
    for _ in range(pairs):
        reference, hypothesis = random_pair(generator)
        for found, theirs in (
            (word_counts(reference, hypothesis), jiwer.process_words(reference, hypothesis)),
            (char_counts(reference, hypothesis), jiwer.process_characters(reference, hypothesis)),
        ):
            counts = (found.hits, found.substitutions, found.deletions, found.insertions)
            wrong += counts != (theirs.hits, theirs.substitutions, theirs.deletions, theirs.insertions)
    return wrong


def utterances(number: int, wrong: float = 1 / 12) -> Iterator[tuple[str, str]]:
    """Make lines of 1 to 40 words of 1 to 9 letters, and readings of them."""
    generator = random.Random(2)
    words = ["".join(generator.choices("etaoinshrdlu", k=generator.randrange(1, 10))) for _ in range(5000)]
    for _ in range(number):
        said = generator.choices(words, k=generator.randrange(1, 41))
        heard = []
        for word in said:
            kind = generator.random() / wrong
            if kind < 0.1:
                continue
            heard.append(word if kind >= 0.9 else word[:-1] + generator.choice("aeiou"))
            if 0.9 <= kind < 1:
                heard.append(generator.choice(words))
        yield " ".join(said), " ".join(heard)


def timed(pairs: Pairs) -> bool:
    references, hypotheses = [list(texts) for texts in zip(*pairs, strict=True)]
    ids = [str(n) for n in range(len(pairs))]

    def both() -> None:
        for reference, hypothesis in pairs:
            said, heard = reference.split(), hypothesis.split()
            counted(find_errors(said, heard), len(said))
            reference, hypothesis = reference.strip(), hypothesis.strip()
            counted(find_errors(reference, hypothesis), len(reference))

    seconds = measure(
        {
            "jiwer": lambda: (
                jiwer.process_words(references, hypotheses),
                jiwer.process_characters(references, hypotheses),
            ),
            "WER, CER, alignments": both,
            "score of four measures": lambda: score_lines(ids, references, hypotheses, resamples=0),
            "and 1,000 draws": lambda: score_lines(ids, references, hypotheses),
        },
        5,
    )
    notes = {name: f"{ratio(seconds, name, 'jiwer'):.2f} of jiwer's" for name in seconds}
    print(table(seconds, "jiwer", notes))
    tenth = len(pairs) // 10
    more = {
        f"score of {number} lines": lambda n=number: score_lines(ids[:n], references[:n], hypotheses[:n])
        for number in (tenth, 10 * tenth)
    }
    print(growth(measure(more, 5), f"score of {tenth} lines"))
    print()
    own = bar("WER, CER and alignments, share of jiwer's time", ratio(seconds, "WER, CER, alignments", "jiwer"), 0.35)
    whole = bar("score with 1,000 draws, share of jiwer's time", ratio(seconds, "and 1,000 draws", "jiwer"), 1.0)
    return not (own and whole)


def streamed(lines: int) -> bool:
    before, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    stream = ((said, heard, f"s{n % 997}") for n, (said, heard) in enumerate(utterances(lines)))
    score = score_stream(stream)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    interval = " to ".join(f"{100 * end:.3f}" for end in score.wer_interval or ())
    print(
        f"{score.lines:,} lines streamed: WER {100 * score.wer.rate:.3f} % ({interval}), peak memory grew by "
        f"{grown:.0f} MB, {time.process_time() - begun:.0f} s"
    )
    return grown > MOST_MB


def coverage(sets: int) -> bool:
    generator, missed = np.random.default_rng(3), False
    print("\n| speakers | rate | between speakers | by speaker holds it | missed below | missed above | by line |")
    print("|---|---|---|---|---|---|---|")
    for mean, between in (*SETTINGS, *LOW):
        spread = mean * (1 - mean) / between**2 - 1
        for speakers in (5, 8, 10, 20, 40, 100):
            below = above = by_line = 0
            for seed in range(sets):
                errors, totals, own = [], [], []
                for _ in range(speakers):
                    words = generator.integers(5, 30, size=generator.integers(5, 40))
                    wrong = generator.binomial(words, generator.beta(mean * spread, (1 - mean) * spread))
                    errors.extend(wrong)
                    totals.extend(words)
                    own.append((wrong.sum(), words.sum()))
                low, high = bootstrap_interval(*zip(*own, strict=True), seed=seed)
                below, above = below + (high < mean), above + (low > mean)
                if seed % 10 == 0:  # takes long, and is plain from few
                    low, high = bootstrap_interval(errors, totals, resamples=200, seed=seed)
                    by_line += low <= mean <= high
            held = 1 - (below + above) / sets
            missed |= (mean, between) in SETTINGS and not 0.93 <= held <= 0.97
            print(
                f"| {speakers} | {mean} | {between} | {held:.3f} | {below / sets:.3f} | {above / sets:.3f} | "
                f"{by_line / -(-sets // 10):.2f} |",
                flush=True,
            )
    return missed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", nargs="?")
    parser.add_argument("--pairs", type=int, default=100_000)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--coverage", type=int, default=0)
    given = parser.parse_args()
    start()
    missed = False
    if given.lines:
        missed |= streamed(given.lines)  # first, as peak memory only grows
    if given.pairs:
        wrong = differing(given.pairs)
        told = f"counts that differ from jiwer {version('jiwer')}, of {given.pairs:,} random pairs"
        missed |= not bar(told, wrong, 0)
    pairs = list(utterances(UTTERANCES))
    if given.report:
        with open(given.report, encoding="utf-8") as file:
            lines = [(line["reference"], line["hypothesis"]) for line in json.load(file)["lines"]]
        pairs = (lines * (UTTERANCES // len(lines) + 1))[:UTTERANCES]
    words = [count(said.split(), heard.split()) for said, heard in pairs]
    wer = sum(c.errors for c in words) / sum(c.reference for c in words)
    print(f"{len(pairs):,} lines, {sum(c.reference for c in words):,} words, WER {100 * wer:.1f} %\n")
    missed |= timed(pairs)
    if given.coverage:
        missed |= coverage(given.coverage)
    sys.exit("\na limit was missed" if missed else 0)


if __name__ == "__main__":
    main()
