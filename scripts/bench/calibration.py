"""What a trained model's confidences are worth: raw, and calibrated on dev.

python scripts/bench/calibration.py RUN DEV TEST [--half] [--decoder '{_target_: ...}']

Decodes dev and test with the decoder that `seqlab tune` chose (else the model's own), fits the calibration on dev, and
prints for symbols, words and lines of both: the expected calibration error in bins of equal width (ECE) and of equal
count (ECE'), normalised cross entropy (NCE), and the probability that a right one is surer than a wrong one (AUC). Then
the same for other raw confidences of words. Exits 1 if the calibrated words of test have an ECE above 0.05. --half
takes every second line of DEV to fit and the others instead of TEST (give - for it).
"""

import argparse
import sys
from collections.abc import Callable

import numpy as np
import torch
import yaml
from rich.console import Console
from scipy.stats import rankdata

from seqlab.ctc.alternatives import readings, word_readings
from seqlab.ctc.confidence import Confidence, fit_scaling, judge, word_ranges
from seqlab.ctc.hypothesis import Hypothesis
from seqlab.manifest import read_manifest
from seqlab.recognizer import Recognizer
from seqlab.scoring import matches, reliability
from seqlab.verbs.evaluate import read_batches

BAR = 0.05
Judged = tuple[list[float], list[bool]]


def read(recognizer: Recognizer, manifest: str) -> tuple[list[Hypothesis], list[str]]:
    lines = read_manifest(manifest)
    hypotheses = [Hypothesis()] * len(lines)
    for batch, signals in read_batches(recognizer, lines, 60.0, Console()):
        for i, hypothesis in zip(batch, recognizer.hypotheses(signals), strict=True):
            hypotheses[i] = hypothesis
    return hypotheses, [recognizer.tokenizer.normalize(line.text) for line in lines]


def row(name: str, judged: Judged) -> float:
    p, right = np.array(judged[0]), np.array(judged[1])
    found = reliability(p, right)
    if found is None:
        sys.exit("nothing was recognised")
    parts = [part for part in np.array_split(np.argsort(p, kind="stable"), 10) if len(part)]
    equal = sum(len(part) / len(p) * abs(p[part].mean() - right[part].mean()) for part in parts)
    wrong = int((~right).sum())
    ranks = rankdata(p)[right].sum() - (len(p) - wrong) * (len(p) - wrong + 1) / 2
    auc = ranks / wrong / (len(p) - wrong) if 0 < wrong < len(p) else float("nan")
    nce = float("nan") if found.nce is None else found.nce
    print(f"{name:<30} {len(p):6} {wrong:6}  {found.ece:.4f}  {equal:.4f}  {nce:7.3f}  {auc:.3f}")
    return found.ece


def others(tokenizer: object, hypotheses: list[Hypothesis], references: list[str]) -> dict[str, Judged]:
    """Return the raw confidences of words that were not chosen."""
    means: dict[str, Callable[[list[float]], float]] = {
        "geometric mean": lambda p: float(np.exp(np.mean(np.log(np.maximum(p, 1e-12))))),
        "least": min,
        "product": lambda p: float(np.prod(p)),
    }
    found: dict[str, Judged] = {f"{name}{s}": ([], []) for name in means for s in ("", " with spaces")}
    found["share of the n-best list"] = ([], [])
    for hypothesis, reference in zip(hypotheses, references, strict=True):
        sure = [span.confidence for span in hypothesis.spans]
        ranges = word_ranges(hypothesis.spans, tokenizer.space)
        words = [tokenizer.decode(hypothesis.labels[r.start : r.stop]) for r in ranges]
        values = {
            f"{name}{s}": [mean(sure[max(r.start - wide, 0) : r.stop + wide]) for r in ranges]
            for name, mean in means.items()
            for s, wide in (("", 0), (" with spaces", 1))
        }
        slots = word_readings(words, readings(hypothesis, tokenizer.decode))
        values["share of the n-best list"] = [max(0.0, 1 - sum(slot.values())) for slot in slots]
        for name, p in values.items():
            found[name][0].extend(p)
            found[name][1].extend(matches(reference.split(), words))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("dev")
    parser.add_argument("test")
    parser.add_argument("--half", action="store_true")
    parser.add_argument("--decoder", type=yaml.safe_load)
    given = parser.parse_args()
    torch.set_num_threads(1)
    recognizer = Recognizer.load(given.run, "cpu", given.decoder)
    tokenizer, raw = recognizer.tokenizer, Confidence(recognizer.tokenizer.space)
    dev = read(recognizer, given.dev)
    test = (dev[0][1::2], dev[1][1::2]) if given.half else read(recognizer, given.test)
    if given.half:
        dev = (dev[0][::2], dev[1][::2])
    print(f"{recognizer.name}, {recognizer.config['decoder']['_target_'].rpartition('.')[2]}")
    fitted = {kind: fit_scaling(*part) for kind, part in judge(raw, tokenizer, *dev).items()}
    for kind, scaling in fitted.items():
        print(f"{kind}: temperature {scaling.temperature}, bias {scaling.bias}")
    print(f"{'':<30} {'items':>6} {'wrong':>6}  ECE     ECE'    {'NCE':>7}  AUC")
    ece = {}
    for name, part in (("dev", dev), ("held out", test)):
        for kind, (p, right) in judge(raw, tokenizer, *part).items():
            row(f"{name} {kind}s, raw", (p, right))
            ece[kind] = row(f"{name} {kind}s, calibrated", ([fitted[kind](x) for x in p], right))
    on_dev, on_test = others(tokenizer, *dev), others(tokenizer, *test)
    for name in on_dev:
        scaling = fit_scaling(*on_dev[name])
        row(f"{name}, raw", on_test[name])
        row("- calibrated", ([scaling(x) for x in on_test[name][0]], on_test[name][1]))
    if ece["word"] > BAR:
        sys.exit(f"words: expected calibration error {ece['word']:.4f}, the bar is {BAR}")


if __name__ == "__main__":
    main()
