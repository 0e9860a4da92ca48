"""n-gram models: how fast a 4-gram of five million n-grams is made, converted, opened and looked up.

python scripts/bench/lm.py [--grams 5e6] [--keep FOLDER]

Exit status 1 if converting takes 60 s or more, opening 1 s or more, or if one thread looks up fewer than a million
words a second; converting and looking up in CPU seconds, as the machine may be shared. The text is synthetic, in a
temporary folder: each word depends on the one before. Opening is timed in a new process, imports and compiled code
loaded before, the file in the page cache. KenLM, when it can be imported, reads the same file and scores the same text.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numba import njit

from seqlab.lm.estimate import Corpus, estimate
from seqlab.lm.ngram import NGram

OPEN = """
import sys, time
from seqlab.lm import arpa, binary
from seqlab.lm.ngram import NGram
NGram.load(sys.argv[2])
begin = time.perf_counter()
model = NGram.load(sys.argv[1])
print(time.perf_counter() - begin)
"""
KENLM = """
import sys, time
import kenlm
begin = time.perf_counter()
model = kenlm.Model(sys.argv[1])
middle = time.perf_counter()
lines = open(sys.argv[2], encoding="utf-8").read().splitlines()
begin_score = time.perf_counter()
total = sum(model.score(line) for line in lines)
print(middle - begin, time.perf_counter() - begin_score, total)
"""


@njit
def words(count: int, vocabulary: int, seed: int) -> np.ndarray:
    np.random.seed(seed)
    ids = np.empty(count, np.int64)
    previous = 0
    for i in range(count):
        if np.random.random() < 0.3:
            unit = np.random.random()
        else:  # one of some followers of the word before, early ones far more often
            follower = int(60 * np.random.random() ** 3)
            x = np.uint64(previous * 1000003 + follower * 7919 + 12345)
            x = (x ^ (x >> np.uint64(15))) * np.uint64(0x9E3779B97F4A7C15)
            unit = float(x >> np.uint64(40)) / 2.0**24
        previous = int(vocabulary * unit**5)
        ids[i] = previous
    return ids


def text(count: int, vocabulary: int, seed: int) -> list[list[str]]:
    spelt = [f"w{i}" for i in words(count, vocabulary, seed).tolist()]
    return [spelt[i : i + 20] for i in range(0, count, 20)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--grams", type=float, default=5e6, help="number of n-grams (default 5e6)")
    parser.add_argument("--keep", metavar="FOLDER", help="where the files stay; existing ones are taken")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(bench(Path(given.keep or folder), int(given.grams)))


def bench(folder: Path, grams: int) -> str | int:
    folder.mkdir(parents=True, exist_ok=True)
    made, small, mapped = folder / "bench.arpa", folder / "small.arpa", folder / "bench.ngram"
    if not small.exists():
        corpus = Corpus()
        corpus.add(["a", "b"])
        estimate(corpus, 2, "word")[0].save(small)
    NGram.load(small).save(folder / "small.ngram")
    NGram.load(folder / "small.ngram").score(["a"])  # compiled code is loaded
    if not made.exists():
        corpus = Corpus()
        for line in text(int(grams * 0.41), 200_000, 0):
            corpus.add(line)
        begin = time.perf_counter()
        model, _ = estimate(corpus, 4, "word")
        print(f"estimate      {time.perf_counter() - begin:8.2f} s   {corpus.lines} lines of 20 words")
        begin = time.perf_counter()
        model.save(made)
        print(f"write ARPA    {time.perf_counter() - begin:8.2f} s   {made.stat().st_size / 1e6:.0f} MB")
    begin, wall = time.process_time(), time.perf_counter()
    NGram.load(made).save(mapped)
    convert, wall = time.process_time() - begin, time.perf_counter() - wall
    command = [sys.executable, "-c", OPEN, str(mapped), str(folder / "small.ngram")]
    opened = float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    model = NGram.load(mapped)
    print(f"convert       {convert:8.2f} s   of CPU, {wall:.1f} s in all; {sum(model.counts)} n-grams {model.counts}")
    print(f"open          {opened * 1000:8.2f} ms  {mapped.stat().st_size / 1e6:.0f} MB mapped")
    lines = text(2_000_000, 200_000, 1)
    ids = np.concatenate([model.line_ids(line) for line in lines])
    model.score_ids(ids)
    times = []
    for _ in range(5):
        begin = time.process_time()
        log_probs = model.score_ids(ids)
        times.append(time.process_time() - begin)
    rate = len(ids) / min(times)
    print(f"look up       {rate / 1e6:8.2f} M words/s, {len(ids)} words, mean log prob {log_probs.mean():.4f}")
    compare(folder, made, lines)
    missed = convert >= 60 or opened >= 1 or rate < 1e6 or sum(model.counts) < 0.9 * grams
    return "a limit was missed" if missed else 0


def compare(folder: Path, made: Path, lines: list[list[str]]) -> None:
    (folder / "text").write_text("\n".join(map(" ".join, lines[:20000])) + "\n", encoding="utf-8")
    command = [sys.executable, "-c", KENLM, str(made), str(folder / "text")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print("KenLM: not installed")
        return
    read, scored, total = map(float, done.stdout.split())
    count = sum(len(line) + 1 for line in lines[:20000])
    print(
        f"KenLM: reads the ARPA file in {read:.1f} s; {count / scored / 1e6:.2f} M words/s from text, log10 {total:.2f}"
    )


if __name__ == "__main__":
    main()
