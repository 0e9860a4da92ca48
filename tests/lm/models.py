"""Small models for the tests, and how ARPA is meant to be read, with a dictionary."""

import random

SMALL = """
\\data\\
ngram 1=5
ngram 2=4
ngram 3=2

\\1-grams:
-99\t<s>\t-0.3
-1\t</s>
-0.5\ta\t-0.2
-0.7\tb\t-0.1
-2\t<unk>

\\2-grams:
-0.2\t<s> a\t-0.15
-0.4\ta b\t-0.05
-0.6\tb a
-0.3\tb </s>

\\3-grams:
-0.1\t<s> a b
-0.15\ta b </s>

\\end\\
"""

Table = dict[tuple[str, ...], tuple[float, float]]


def random_arpa(seed: int, words: int, sizes: tuple[int, ...]) -> tuple[str, Table]:
    """Return an ARPA file of random n-grams, whose beginnings and ends need not be there, and its table."""
    rng = random.Random(seed)
    vocabulary = ["<s>", "</s>", "<unk>", *(f"w{i}" for i in range(words))]
    levels: list[Table] = [{(w,): (-rng.uniform(0.5, 5), rng.choice((0.0, -rng.random()))) for w in vocabulary}]
    for order, size in enumerate(sizes, 2):
        level: Table = {}
        while len(level) < size:
            gram = tuple(vocabulary[int(len(vocabulary) * rng.random() ** 2)] for _ in range(order))
            last = order == len(sizes) + 1
            level[gram] = (-rng.uniform(0.5, 5), 0.0 if last else rng.choice((0.0, -rng.random(), rng.random() / 5)))
        levels.append(level)
    lines = ["\\data\\", *(f"ngram {k}={len(level)}" for k, level in enumerate(levels, 1)), ""]
    for k, level in enumerate(levels, 1):
        lines.append(f"\\{k}-grams:")
        for gram, (p, b) in level.items():
            lines.append(f"{p:.6f}\t{' '.join(gram)}" + (f"\t{b:.6f}" if b else ""))
        lines.append("")
    return "\n".join([*lines, "\\end\\", ""]), {g: v for level in levels for g, v in level.items()}


def chance(grams: Table, history: tuple[str, ...], word: str) -> float:
    """Return log10 p(word | history): the n-gram's, or the history's backoff weight and that of a shorter history."""
    if (*history, word) in grams:
        return grams[*history, word][0]
    weight = grams.get(history, (0.0, 0.0))[1]
    return weight + chance(grams, history[1:], word)


def by_the_book(grams: Table, line: list[str], order: int) -> list[float]:
    """Return log10 probabilities of a line's words and of its end."""
    found, history = [], ["<s>"]
    for word in [*line, "</s>"]:
        known = word if (word,) in grams else "<unk>"
        found.append(chance(grams, tuple(history[-order + 1 :]), known))
        history.append(known)
    return found
