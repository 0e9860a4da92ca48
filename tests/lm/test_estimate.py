"""Modified Kneser-Ney: cases worked by hand, a dictionary that counts, sums to one, KenLM if it is there."""

import math
import random
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest

from seqlab.errors import ConfigError, DataError
from seqlab.lm.estimate import FALLBACK, Corpus, estimate
from seqlab.lm.ngram import NGram, advance

Gram = tuple[str, ...]


def build(lines: list[list[str]], order: int, **options: object) -> NGram:
    corpus = Corpus()
    for line in lines:
        corpus.add(line)
    return estimate(corpus, order, "word", **options)[0]  # type: ignore[arg-type]


def zipf_lines(seed: int, count: int = 400, words: int = 25) -> list[list[str]]:
    rng = random.Random(seed)
    return [[f"w{int(words * rng.random() ** 3)}" for _ in range(rng.randrange(9))] for _ in range(count)]


def chances(model: NGram, history: Gram) -> dict[str, float]:
    """Return p(w | history) of every word."""
    state = model.start if history[:1] == ("<s>",) else 0
    for word in history[1:] if history[:1] == ("<s>",) else history:
        state, _ = advance(model.tables, state, model.find(word))
    return {w: math.exp(advance(model.tables, state, i)[1]) for i, w in enumerate(model.words)}


def test_two_lines_by_hand() -> None:
    # <s> a b </s>, <s> a c </s>. Different words before: of a {<s>} 1, of b and c {a} 1, of </s> {b, c} 2: in all 5.
    # No count is 3, so the discounts are by custom: 0.5 for 1, 1 for 2. gamma = (3 * 0.5 + 1) / 5 = 0.5, uniform 1/5
    # over a, b, c, </s>, <unk>:
    model = build([["a", "b"], ["a", "c"]], 2)
    one = chances(model, ())
    assert one["a"] == pytest.approx((1 - 0.5) / 5 + 0.5 / 5)  # 0.2
    assert one["</s>"] == pytest.approx((2 - 1) / 5 + 0.5 / 5)  # 0.3
    assert one["<unk>"] == pytest.approx(0.5 / 5)
    # after <s>: a twice, gamma = 1 / 2
    assert chances(model, ("<s>",))["a"] == pytest.approx((2 - 1) / 2 + 0.5 * 0.2)
    # after a: b and c, each once, gamma = (0.5 + 0.5) / 2
    assert chances(model, ("a",))["b"] == pytest.approx((1 - 0.5) / 2 + 0.5 * 0.2)
    # after b: </s> once, gamma = 0.5
    assert chances(model, ("b",))["</s>"] == pytest.approx((1 - 0.5) + 0.5 * 0.3)
    assert model.counts == (6, 5)


def test_discounts_by_hand() -> None:
    # single words, order 1: counts are those of the text. 4 words once, 2 twice, 1 three times, 1 four times, and
    # </s> six times: Y = 4 / (4 + 2 * 2) = 0.5, D1 = 1 - 2 Y 2/4 = 0.5, D2 = 2 - 3 Y 1/2 = 1.25, D3+ = 3 - 4 Y 1/1 = 1
    lines = [[w] for w in ("a b c d", "e e f f", "g g g", "h h h h")]
    lines = [line[0].split() for line in lines] + [[], []]
    corpus = Corpus()
    for line in lines:
        corpus.add(line)
    model, discounts = estimate(corpus, 1, "word")
    assert discounts == [pytest.approx((0.5, 1.25, 1.0))]
    # 21 in all: gamma = (4 * 0.5 + 2 * 1.25 + 3 * 1) / 21 = 7.5 / 21, uniform over 8 words, </s>, <unk>
    one = chances(model, ())
    assert one["<unk>"] == pytest.approx(7.5 / 21 / 10)
    assert one["h"] == pytest.approx((4 - 1) / 21 + 7.5 / 21 / 10)
    assert one["</s>"] == pytest.approx((6 - 1) / 21 + 7.5 / 21 / 10)


class Counted:
    """The same by the paper, with dictionaries and recursion."""

    def __init__(self, lines: list[list[str]], order: int, prune: list[int]) -> None:
        self.order = order
        self.raw: dict[int, Counter[Gram]] = {k: Counter() for k in range(1, order + 2)}
        for line in lines:
            marked = ("<s>", *line, "</s>")
            for k in range(1, order + 1):
                self.raw[k].update(marked[i : i + k] for i in range(len(marked) - k + 1))
        self.a: dict[int, dict[Gram, int]] = {}
        for k in range(1, order + 1):
            before = defaultdict(set)
            for gram in self.raw[k + 1]:
                before[gram[1:]].add(gram[0])
            raw = k == order
            self.a[k] = {g: n if raw or g[0] == "<s>" else len(before[g]) for g, n in self.raw[k].items()}
        self.a[1]["<s>",] = 0
        self.kept = {k: {g for g, n in self.raw[k].items() if n > prune[min(k, len(prune)) - 1]} for k in self.a}
        self.discount = {k: self._discount(Counter(self.a[k].values())) for k in self.a}
        self.words = {g[0] for g in self.a[1]} - {"<s>"} | {"<unk>"}

    def _discount(self, n: Counter[int]) -> tuple[float, ...]:
        if not (n[1] and n[2] and n[3]):
            return (0.0, *FALLBACK)
        y = n[1] / (n[1] + 2 * n[2])
        d = [0.0, *(c - (c + 1) * y * n[c + 1] / n[c] for c in (1, 2, 3))]
        return tuple(d) if all(0 <= d[c] <= c for c in range(4)) else (0.0, *FALLBACK)

    def p(self, word: str, history: Gram) -> float:
        k = len(history) + 1
        if k == 1:
            lower = 1 / len(self.words)
        else:
            lower = self.p(word, history[1:])
        after = {g: n for g, n in self.a[k].items() if g[:-1] == history}
        total = sum(after.values())
        if not total:
            return lower
        given_up, own = 0.0, 0.0
        for gram, n in after.items():
            kept = gram in self.kept[k]
            given_up += self.discount[k][min(n, 3)] if kept else n
            if kept and gram[-1] == word:
                own = n - self.discount[k][min(n, 3)]
        return own / total + given_up / total * lower


@pytest.mark.parametrize(("order", "prune"), [(1, [0]), (2, [0]), (3, [0]), (4, [0]), (3, [0, 0, 1]), (4, [0, 1, 2])])
def test_agrees_with_counting_by_dictionary(order: int, prune: list[int]) -> None:
    lines = zipf_lines(order)
    counted, model = Counted(lines, order, prune), build(lines, order, prune=prune)
    assert order == 1 or counted.discount[order] != (0.0, *FALLBACK)
    assert model.counts == (len(counted.kept[1]) + 1, *(len(counted.kept[k]) for k in range(2, order + 1)))
    rng = random.Random(0)
    for line in rng.sample(lines, 25):
        marked = ("<s>", *line)
        history = marked[max(0, len(marked) - order + 1) :] if order > 1 else ()
        found = chances(model, history)
        for word in (*rng.sample(sorted(counted.words), 4), "</s>", "<unk>"):
            assert found[word] == pytest.approx(counted.p(word, history), rel=1e-5), (word, history)


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("prune", [[0], [0, 0, 1], [0, 2]])
def test_sums_to_one_after_every_context(prune: list[int], closed: bool) -> None:
    model = build(zipf_lines(7, count=150), 4, prune=prune, closed=closed)
    tables = model.tables
    words = [i for i, word in enumerate(model.words) if word != "<s>"]
    for state in np.flatnonzero(np.diff(tables.first)):
        total = sum(math.exp(advance(tables, int(state), word)[1]) for word in words)
        assert total == pytest.approx(1, abs=2e-6), state
    if closed:
        assert chances(model, ())["<unk>"] == pytest.approx(1e-100, rel=1e-3)


def test_saved_as_arpa_it_is_the_same_model(tmp_path: Path) -> None:
    model = build(zipf_lines(3), 3)
    model.save(tmp_path / "m.arpa")
    again = NGram.load(tmp_path / "m.arpa")
    line = ["w0", "w1", "strange", "w24", "w3"]
    assert again.score(line) == pytest.approx(model.score(line), rel=1e-5)
    assert again.counts == model.counts


def test_kenlm_reads_the_same_numbers(tmp_path: Path) -> None:
    kenlm = pytest.importorskip("kenlm")
    model = build(zipf_lines(5), 4, prune=[0, 0, 1])
    model.save(tmp_path / "m.arpa")
    theirs = kenlm.Model(str(tmp_path / "m.arpa"))
    for line in [*zipf_lines(6, count=50), ["strange", "w1"]]:
        found = [p for p, _, _ in theirs.full_scores(" ".join(line))]
        assert model.score(line) / math.log(10) == pytest.approx(found, abs=1e-4)


@pytest.mark.parametrize("prune", [[], [1], [0, 2, 1], [0, -1], [0, 0, 0, 0]])
def test_pruning_that_makes_no_sense(prune: list[int]) -> None:
    with pytest.raises(ConfigError, match="prune must have up to 3 counts that do not fall, the first 0"):
        build([["a"]], 3, prune=prune)


def test_faults_of_the_text() -> None:
    with pytest.raises(DataError, match="no text"):
        build([], 3)
    with pytest.raises(DataError, match="holds </s>"):
        build([["a", "</s>"]], 3)
    with pytest.raises(ConfigError, match="order must be between"):
        build([["a"]], 0)


def test_lines_shorter_than_the_order() -> None:
    model = build([["a"]], 6)
    assert model.order == 3  # <s> a </s>
    assert sum(p for w, p in chances(model, ("<s>", "a")).items() if w != "<s>") == pytest.approx(1)
