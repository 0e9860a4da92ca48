"""Independent definitions of what the beam decoder computes: every path, simple code, no cuts."""

import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import numpy as np


def by_enumeration(log_probs: np.ndarray) -> dict[tuple[int, ...], float]:
    """Log-probability of every labelling of (T, V), from all V^T paths."""
    total: dict[tuple[int, ...], float] = defaultdict(float)
    for path in itertools.product(range(log_probs.shape[1]), repeat=len(log_probs)):
        labelling = tuple(label for label, _ in itertools.groupby(path) if label)
        total[labelling] += math.exp(sum(log_probs[t, label] for t, label in enumerate(path)))
    return {labelling: math.log(p) for labelling, p in total.items()}


def prefix_search(
    log_probs: np.ndarray, beam: int, cut: float, bonus: Callable[[tuple[int, ...]], float] = lambda prefix: 0.0
) -> list[tuple[tuple[int, ...], float]]:
    """Prefix beam search as in Hannun et al. 2014, algorithm 1, on dictionaries; prefixes and scores, best first.

    Args:
        log_probs: (T, V).
        beam: prefixes kept.
        cut: symbols below this probability are not tried.
        bonus: what is added to the log-probability of a prefix for its rank.
    """
    live = {(): (1.0, 0.0)}
    scale = 0.0
    for row in np.exp(log_probs.astype(float)):
        after: dict[tuple[int, ...], list[float]] = defaultdict(lambda: [0.0, 0.0])
        tried = [c for c in range(1, len(row)) if row[c] >= cut] or ([int(row.argmax())] if row.argmax() else [])
        for prefix, (blank, symbol) in live.items():
            after[prefix][0] += (blank + symbol) * row[0]
            for c in tried:
                if prefix and prefix[-1] == c:
                    after[prefix][1] += symbol * row[c]
                    after[(*prefix, c)][1] += blank * row[c]
                else:
                    after[(*prefix, c)][1] += (blank + symbol) * row[c]

        def worth(item: tuple[tuple[int, ...], list[float]]) -> float:
            return math.log(sum(item[1]) or 1e-320) + bonus(item[0])

        best = sorted(after.items(), key=worth, reverse=True)[:beam]
        most = max(sum(p) for _, p in best)
        scale += math.log(most)
        live = {prefix: (p[0] / most, p[1] / most) for prefix, p in best}
    scored = [(prefix, scale + math.log(sum(p) or 1e-320) + bonus(prefix)) for prefix, p in live.items()]
    return sorted(scored, key=lambda item: -item[1])


def backoff(grams: Mapping[tuple[str, ...], tuple[float, float]], words: Sequence[str]) -> float:
    """Natural log of p(last word | the words before) in a model of log10 probabilities and backoff weights."""
    words = tuple(words)
    if words in grams:
        return grams[words][0] * math.log(10)
    if len(words) == 1:
        return grams[("<unk>",)][0] * math.log(10)
    return grams.get(words[:-1], (0.0, 0.0))[1] * math.log(10) + backoff(grams, words[1:])


def sentence(grams: Mapping[tuple[str, ...], tuple[float, float]], words: Sequence[str], order: int) -> list[float]:
    """Natural log of the probability of each word of a sentence, that of </s> last."""
    known = ["<s>", *(word if (word,) in grams else "<unk>" for word in words), "</s>"]
    return [backoff(grams, known[max(0, i - order + 1) : i + 1]) for i in range(1, len(known))]


def arpa(grams: Mapping[tuple[str, ...], tuple[float, float]]) -> str:
    """The model as an ARPA file."""
    order = max(map(len, grams))
    levels = [[(g, v) for g, v in grams.items() if len(g) == n] for n in range(1, order + 1)]
    lines = ["\\data\\", *(f"ngram {n}={len(level)}" for n, level in enumerate(levels, 1)), ""]
    for n, level in enumerate(levels, 1):
        lines.append(f"\\{n}-grams:")
        for gram, (log_prob, weight) in level:
            lines.append(f"{log_prob}\t{' '.join(gram)}" + (f"\t{weight}" if n < order else ""))
        lines.append("")
    return "\n".join([*lines, "\\end\\", ""])
