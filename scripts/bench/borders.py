"""How far aligned words lie from their true borders, on strings joined from recordings, where these are known.

    scripts/bench/borders.py RUN [RUN...] --manifest FOLDER/strings_dev.jsonl [--noise-db -40]

Borders are where a recording begins and ends in its string. A row is the mean distance of starts and ends of words for
a way of aligning: the model's own CTC path, the same with label priors (of the run's priors.json; estimated here from
the manifest's own lines if there is none), and with the local aligner that `seqlab align RUN TRAIN.jsonl --fit` made.
Exit status 1: of the first run, the CTC path is beyond 60 ms, or the best other way is not 25 % better.
"""

import argparse
import sys
from collections.abc import Callable, Sequence

import numpy as np
import torch

from seqlab.alignment import Aligner, fit_local, open_line
from seqlab.ctc import priors
from seqlab.ctc.peakiness import Peakiness, peakiness
from seqlab.decoding import run_folder
from seqlab.manifest import Line, read_manifest
from seqlab.media import audio_info
from seqlab.signals import Signal

BAR_S = 0.060  # mean error with plain CTC
PLAIN = "local, plain CTC"
BAR_GAIN = 0.25  # by which the best other way must be lower


def true_borders(line: Line) -> np.ndarray:
    """Return start and end of each recording of a string in seconds, (words, 2)."""
    silences = [ms / 1000 for ms in line.silence_ms or []]
    found, at = [], silences[0]
    for path, silence in zip(line.files, silences[1:], strict=True):
        end = at + audio_info(path).duration
        found.append((at, end))
        at = end + silence
    return np.array(found)


def errors(align: Callable[[Signal, str], Sequence[tuple[float, float]]], rows: list) -> np.ndarray:
    """Return signed errors in seconds, (words, 2)."""
    return np.concatenate([np.array(align(signal, line.text)) - borders for line, signal, borders in rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", metavar="RUN", nargs="+")
    parser.add_argument("--manifest", required=True, metavar="FOLDER/strings_dev.jsonl")
    parser.add_argument("--train", metavar="FOLDER/strings_train.jsonl", help="fit a local aligner with plain CTC, too")
    parser.add_argument("--noise-db", type=float, help="add white noise of this power to the recordings")
    parser.add_argument("--prior-weights", type=float, nargs="*", default=[0.3, 0.6, 0.9])
    given = parser.parse_args()
    torch.set_num_threads(1)
    lines = read_manifest(given.manifest)
    rng = np.random.default_rng(0)
    first: dict[str, float] = {}
    for run in given.runs:
        aligner = Aligner.load(run)
        local, symbols = aligner.local, aligner.recognizer.tokenizer.symbols
        rows = [(line, open_line(aligner.recognizer, line), true_borders(line)) for line in lines]
        if given.noise_db is not None:
            for _, signal, _ in rows:
                noise = rng.standard_normal(len(signal.samples)) * 10 ** (given.noise_db / 20)
                signal.samples = (signal.samples + noise).astype(np.float32)
        emitted = [aligner.emit(signal.samples)[0][None] for _, signal, _ in rows]
        batches = [(x, torch.tensor([x.shape[1]])) for x in emitted]
        rates = sum((peakiness(*batch) for batch in batches), Peakiness()).rates()
        print(f"{run} on {given.manifest}: {len(lines)} strings, {sum(len(b) for _, _, b in rows)} words")
        print("  peakiness: " + ", ".join(f"{name} {value:.3f}" for name, value in rates.items()))
        file = run_folder(run) / priors.FILE
        log_priors = priors.read(file, symbols) if file.is_file() else priors.estimate(batches)
        ways = {"CTC path": (None, 0.0)} | {f"priors^{w:g}": (None, w) for w in given.prior_weights}
        if local is not None:
            ways["local aligner"] = (local, 0.0)
        if given.train:
            ways[PLAIN] = (fit_local(aligner.recognizer, read_manifest(given.train), prior_weight=0.0), 0.0)
        print("  way                mean ms   start    end   bias of start, end   beyond 100 ms")
        means: dict[str, float] = {}
        for name, (near, weight) in ways.items():
            aligner.local, aligner.log_priors, aligner.prior_weight = near, log_priors, weight

            def words(signal: Signal, text: str, aligner: Aligner = aligner) -> list[tuple[float, float]]:
                return [(word.start, word.end) for word in aligner.align(signal, text).words]

            off = errors(words, rows)
            size = np.abs(off)
            means[name] = float(size.mean())
            start, end = 1000 * size.mean(0)
            bias = 1000 * off.mean(0)
            share = 100 * (size > 0.1).mean()
            print(
                f"  {name:17s} {1000 * means[name]:8.1f} {start:7.1f} {end:6.1f}   {bias[0]:8.1f} {bias[1]:8.1f}"
                f"   {share:10.1f} %"
            )
        first = first or means
    plain = first.pop("CTC path")
    best = min(first, key=lambda name: first[name])
    gain = 1 - first[best] / plain
    print(f"CTC path {1000 * plain:.1f} ms (bar {1000 * BAR_S:.0f}); {best} {gain:.0%} lower (bar {BAR_GAIN:.0%})")
    sys.exit("a bar was missed" if plain > BAR_S or gain < BAR_GAIN else 0)


if __name__ == "__main__":
    main()
