"""Beam search against enumeration, against a simple search, alone and in batches."""

import copy
import itertools
import logging
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seqlab.ctc import hotwords as hotwords_module
from seqlab.ctc.beam import Beam
from seqlab.ctc.greedy import Greedy
from seqlab.ctc.hypothesis import Hypothesis
from seqlab.errors import ConfigError
from seqlab.tokenizers.characters import Characters
from tests.ctc.reference import arpa, by_enumeration, prefix_search, sentence

ABC = Characters("abc")
WORDS = Characters("ab ")
EVERYTHING = {"beam": 4000, "token_cut": 0.0, "n_best": 4000, "threshold": None}


def random_lines(seed: int, frames: int, labels: int, sharpness: float, count: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(count, frames, labels, generator=generator) * sharpness).log_softmax(2)


def peaky(rng: np.random.Generator, frames: int, labels: int) -> np.ndarray:
    """Posteriors as trained networks have them: mostly blank, symbols as short peaks, some doubt."""
    logits = rng.normal(0, 1.5, (frames, labels))
    logits[:, 0] += 6
    peaks = rng.random(frames) < 0.35
    logits[peaks, rng.integers(1, labels, peaks.sum())] += rng.uniform(3, 9, peaks.sum())
    return np.asarray(torch.tensor(logits).log_softmax(1).float())


def decode(decoder: Beam, log_probs: torch.Tensor | np.ndarray) -> Hypothesis:
    log_probs = torch.as_tensor(log_probs)
    log_probs = log_probs[None] if log_probs.ndim == 2 else log_probs
    return decoder(log_probs, torch.tensor([log_probs.shape[1]]))[0]


def readings(decoder: Beam, log_probs: torch.Tensor | np.ndarray) -> dict[tuple[int, ...], float]:
    best = decode(decoder, log_probs)
    return {tuple(h.labels): h.score for h in [best, *best.alternatives]}


def assert_same(found: dict[tuple[int, ...], float], expected: dict[tuple[int, ...], float]) -> None:
    expected = {key: value for key, value in expected.items() if value > -math.inf}
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert found[key] == pytest.approx(value, abs=1e-5)
    assert list(found.values()) == sorted(found.values(), reverse=True)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 6), st.floats(0, 6))
def test_everything_is_found_with_its_probability(seed: int, frames: int, sharpness: float) -> None:
    line = random_lines(seed, frames, 4, sharpness)
    assert_same(readings(Beam(ABC, **EVERYTHING), line), by_enumeration(line[0].double().numpy()))


def test_a_thousand_peaky_lines_read_as_by_a_simple_search() -> None:
    rng = np.random.default_rng(0)
    decoder = Beam(Characters("abcdefg"), beam=8, token_cut=1e-3, threshold=None)
    for _ in range(1000):
        line = peaky(rng, 25, 8)
        labels, score = prefix_search(line, 8, 1e-3)[0]
        found = decode(decoder, line)
        assert tuple(found.labels) == labels
        assert found.score == pytest.approx(score, abs=1e-4)


# A model of characters and one of words, made up: log10 of the probability, of the backoff weight.
CHARACTERS = {
    ("<unk>",): (-2.5, 0.0), ("<s>",): (-99.0, -0.3), ("</s>",): (-0.9, 0.0),
    ("a",): (-0.5, -0.2), ("b",): (-0.7, -0.4), ("c",): (-1.1, 0.0),
    ("<s>", "a"): (-0.2, -0.1), ("a", "b"): (-0.3, -0.25), ("b", "a"): (-0.6, 0.0), ("b", "</s>"): (-0.15, 0.0),
    ("a", "b", "a"): (-0.05, 0.0), ("<s>", "a", "b"): (-0.4, 0.0),
}  # fmt: skip
VOCABULARY = {
    ("<unk>",): (-1.6, 0.0), ("<s>",): (-99.0, -0.3), ("</s>",): (-0.9, 0.0),
    ("a",): (-0.6, -0.2), ("ab",): (-0.8, -0.4), ("ba",): (-1.1, 0.0),
    ("<s>", "ab"): (-0.2, -0.1), ("a", "ab"): (-0.3, -0.25), ("ab", "a"): (-0.1, 0.0), ("ba", "</s>"): (-0.15, 0.0),
    ("<s>", "ab", "a"): (-0.05, 0.0), ("a", "ab", "</s>"): (-0.02, 0.0),
}  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lm")
    (folder / "characters.arpa").write_text(arpa(CHARACTERS), encoding="utf-8")
    (folder / "words.arpa").write_text(arpa(VOCABULARY), encoding="utf-8")
    (folder / "lexicon.txt").write_text("ab\nbb\na\n", encoding="utf-8")
    return folder


def texts(labellings: dict[tuple[int, ...], float], tokenizer: Characters) -> dict[tuple[int, ...], str]:
    return {key: "".join(tokenizer.symbols[label] for label in key) for key in labellings}


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 5), st.sampled_from([0.0, 0.5, 2.0]), st.sampled_from([-1.0, 0.0, 1.5]))
def test_a_model_of_characters_scores_every_symbol_and_the_end(
    files: Path, seed: int, sharpness: float, weight: float, bonus: float
) -> None:
    line = random_lines(seed, 5, 4, sharpness)
    lm = {"lm": str(files / "characters.arpa"), "lm_weight": weight, "insertion_bonus": bonus, "unknown_score": 0.0}
    expected = by_enumeration(line[0].double().numpy())
    for key, text in texts(expected, ABC).items():
        expected[key] += weight * sum(sentence(CHARACTERS, list(text), 3)) + bonus * len(text)
    assert_same(readings(Beam(ABC, **EVERYTHING, **lm), line), expected)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 5), st.sampled_from([0.0, 0.5, 2.0]), st.sampled_from([-1.0, 0.0, 1.5]))
def test_a_model_of_words_scores_words_known_and_unknown(
    files: Path, seed: int, sharpness: float, weight: float, bonus: float
) -> None:
    line = random_lines(seed, 6, 4, sharpness)
    lm = {"lm": str(files / "words.arpa"), "lm_weight": weight, "insertion_bonus": bonus, "unknown_score": -2.5}
    expected = by_enumeration(line[0].double().numpy())
    for key, text in texts(expected, WORDS).items():
        words = text.split()
        unknown = sum((word,) not in VOCABULARY for word in words)
        expected[key] += weight * sum(sentence(VOCABULARY, words, 3)) + bonus * len(words) - 2.5 * unknown
    assert_same(readings(Beam(WORDS, **EVERYTHING, **lm), line), expected)


@pytest.mark.parametrize("model", [None, "words.arpa", "characters.arpa"])
def test_a_lexicon_allows_its_words_only(files: Path, model: str | None) -> None:
    line = random_lines(3, 6, 4, 1.0)
    lm = {
        "lm": None if model is None else str(files / model),
        "lm_weight": 0.7,
        "insertion_bonus": 0.3,
        "unknown_score": 0.0,
    }
    expected = by_enumeration(line[0].double().numpy())
    for key, text in texts(expected, WORDS).items():
        words = text.split()
        if not set(words) <= {"ab", "bb", "a"}:
            expected[key] = -math.inf
            continue
        expected[key] += 0.3 * len(words)
        if model == "words.arpa":
            expected[key] += 0.7 * sum(sentence(VOCABULARY, words, 3))
        elif model == "characters.arpa":
            expected[key] += 0.7 * sum(sentence(CHARACTERS, list(text), 3))
    found = readings(Beam(WORDS, **EVERYTHING, **lm, lexicon=str(files / "lexicon.txt")), line)
    assert_same(found, expected)


@settings(max_examples=20, deadline=None)
@given(
    st.integers(0, 10**6),
    st.dictionaries(st.text("ab ", min_size=1, max_size=4).map(lambda t: " ".join(t.split()) or "a"), st.floats(-1, 2)),
    st.booleans(),
)
def test_each_occurrence_of_a_hotword_counts(seed: int, phrases: dict[str, float], whole_words: bool) -> None:
    line = random_lines(seed, 6, 4, 1.0)
    expected = by_enumeration(line[0].double().numpy())
    for key, text in texts(expected, WORDS).items():
        for phrase, weight in phrases.items():
            inside, wanted = (f" {text} ", f" {phrase} ") if whole_words else (text, phrase)
            count = sum(inside.startswith(wanted, i) for i in range(len(inside)))
            expected[key] += 0.5 * weight * len(phrase) * count
    decoder = Beam(WORDS, **EVERYTHING, hotwords=phrases, hotword_weight=0.5, whole_words=whole_words)
    assert_same(readings(decoder, line), expected)


def test_priors_divide_every_frame() -> None:
    line, priors = random_lines(1, 5, 4, 1.0), [math.log(p) for p in (0.7, 0.15, 0.1, 0.05)]
    divided = (line[0].double() - 0.4 * torch.tensor(priors)).log_softmax(1).numpy()
    found = readings(Beam(ABC, **EVERYTHING, priors=priors, prior_weight=0.4), line)
    assert_same(found, by_enumeration(divided))


def test_batch_and_threads_change_nothing(files: Path) -> None:
    lines = torch.as_tensor(np.stack([peaky(np.random.default_rng(i), 60, 4) for i in range(6)]))
    lengths = torch.tensor([60, 0, 35, 1, 59, 44])
    options = {"beam": 8, "n_best": 3, "lm": str(files / "words.arpa"), "hotwords": ["ab"]}
    alone = [Beam(WORDS, **options)(lines[i : i + 1, :n], lengths[i : i + 1])[0] for i, n in enumerate(lengths)]
    assert Beam(WORDS, **options)(lines, lengths) == alone
    assert Beam(WORDS, **options, threads=3)(lines, lengths) == alone
    assert alone[1].spans == []


def test_cuts_keep_what_is_likely() -> None:
    rng = np.random.default_rng(5)
    for _ in range(50):
        line = peaky(rng, 80, 8)
        whole = decode(Beam(Characters("abcdefg"), beam=100, token_cut=0.0, threshold=None), line)
        for cut in ({"threshold": 12.0}, {"max_tokens": 4}, {"token_cut": 1e-4}, {"blank_skip": 0.9999}):
            found = decode(Beam(Characters("abcdefg"), beam=100, **cut), line)
            assert found.score == pytest.approx(whole.score, abs=0.2)


def test_a_flat_frame_still_tries_its_best_symbol() -> None:
    line = torch.full((1, 2, 2001), 1e-9)
    line[0, 0, 7], line[0, 1, 0] = 4e-4, 1.0
    letters = Characters("".join(chr(0x4E00 + i) for i in range(2000)))
    assert decode(Beam(letters, token_cut=1e-3), line.log()).labels == [7]


def best_alignment(line: np.ndarray, labels: list[int]) -> float:
    paths = itertools.product(range(line.shape[1]), repeat=len(line))
    fitting = (p for p in paths if [c for c, _ in itertools.groupby(p) if c] == labels)
    return max(sum(line[t, c] for t, c in enumerate(p)) for p in fitting)


def test_spans_are_those_of_the_best_alignment() -> None:
    for seed in range(20):
        line = random_lines(seed, 6, 4, 2.0)
        best = decode(Beam(ABC, **EVERYTHING), line)
        for reading in [best, *best.alternatives[:20]]:
            path, end = np.zeros(6, int), 0
            for span in reading.spans:
                assert end <= span.start < span.end <= 6
                end = span.end
                path[span.start : span.end] = span.label
                assert span.confidence == pytest.approx(line[0, span.start : span.end, span.label].max().exp().item())
            score = line[0, range(6), path].sum().item()
            assert score == pytest.approx(best_alignment(line[0].numpy(), reading.labels), abs=1e-4)


def test_a_sure_line_reads_as_by_best_path() -> None:
    line = torch.as_tensor(peaky(np.random.default_rng(2), 200, 8))
    line = (line * 3).log_softmax(1)[None]
    greedy, beam = Greedy()(line, torch.tensor([200]))[0], decode(Beam(Characters("abcdefg")), line)
    assert [(s.label, s.start, s.end) for s in beam.spans] == [(s.label, s.start, s.end) for s in greedy.spans]


def test_frames_may_come_in_pieces() -> None:
    from seqlab.ctc import _search

    decoder, line = Beam(ABC, beam=8), peaky(np.random.default_rng(3), 90, 4)
    tree, live = _search.new_tree(12), _search.new_live(8)
    _search.begin(tree, live, *decoder._start)
    at = 0
    while at < 90:
        piece = line[at : at + 7]
        read = _search.advance(piece, tree, live, decoder._limits, decoder._fusion)
        at += read
        if read < len(piece):
            tree = _search.grown(tree)
    _, scores = _search.finish(live, tree, decoder._fusion)
    assert scores[0] == decode(decoder, line).score


def test_impossible_and_broken_frames_do_not_crash() -> None:
    line = torch.full((1, 3, 4), -math.inf)
    assert decode(Beam(ABC), line).score == -math.inf
    line[:] = math.nan
    assert decode(Beam(ABC), line).labels == []


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"beam": 0}, "beam must be 1 or more"),
        ({"beam": 100_001}, "beam must be 100000 or less"),
        ({"insertion_bonus": math.nan}, "insertion_bonus must be a number from -100 to 100, got nan"),
        ({"insertion_bonus": -101.0}, "insertion_bonus must be"),
        ({"hotword_weight": math.inf}, "hotword_weight must be a number from 0 to 100"),
        ({"prior_weight": -0.1}, "prior_weight must be a number from 0 to 100"),
        ({"lm_weight": math.inf}, "lm_weight must be a number from 0 to 100"),
        ({"unknown_score": -math.inf}, "unknown_score must be a number from -1000 to 0"),
        ({"token_cut": 1.0}, "token_cut must be"),
        ({"n_best": 5, "beam": 4}, "n_best"),
        ({"threshold": 0.0}, "threshold"),
        ({"blank_skip": 0.0}, "blank_skip"),
        ({"lm_weight": -1.0}, "lm_weight"),
        ({"unknown_score": 1.0}, "unknown_score"),
        ({"lexicon": "/nowhere/words.txt"}, "cannot read /nowhere/words.txt"),
        ({"hotwords": ["axe"]}, "'axe'"),
        ({"hotwords": [""]}, "'' is empty"),
        ({"hotwords": ["a", " "]}, "' ' is empty"),
        ({"hotwords": [1]}, "1 is no text"),
        ({"hotwords": {"ab": "abc"}}, "'ab': the weight must be a number from -100 to 100, got 'abc'"),
        ({"hotwords": {"ab": math.nan}}, "'ab': the weight must be"),
        ({"hotwords": {"ab": -101}}, "'ab': the weight must be"),
        ({"hotwords": {"abcb": 100}, "hotword_weight": 1.0}, "get 400"),
        ({"hotwords": "/nowhere/names.txt"}, "cannot read /nowhere/names.txt"),
        ({"priors": [0.0]}, "1 values for the tokenizer's 4 symbols"),
    ],
)
def test_mistakes_are_named(options: dict, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        Beam(ABC, **options)


def test_another_number_of_labels_is_refused() -> None:
    with pytest.raises(ConfigError, match="5 labels"):
        decode(Beam(ABC), random_lines(0, 3, 5, 1.0))


def test_importing_the_decoder_does_not_import_numba() -> None:
    code = "import sys, seqlab.ctc.beam; print('numba' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_search_goes_without_blas_and_leaves_it_to_others() -> None:
    code = """
import sys
import numpy as np
from seqlab.ctc.beam import Beam
from seqlab.tokenizers.symbols import Symbols
beam = Beam(Symbols(alphabet=["a", "b"]))
print(len(list(beam.lines([np.log(np.full((5, 3), 1 / 3, np.float32))]))), "scipy.linalg" in sys.modules)
import numba
product = numba.njit(lambda a, b: np.dot(a, b))
print(product(np.ones((2, 3)), np.ones((3, 2))).tolist(), "scipy.linalg" in sys.modules)
print(numba.njit(lambda a, b: np.convolve(a, b))(np.ones(2), np.ones(2)).tolist())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines() == ["1 False", "[[3.0, 3.0], [3.0, 3.0]] True", "[1.0, 2.0, 1.0]"], done.stderr


def test_a_line_that_cannot_end_keeps_its_whole_words(files: Path) -> None:
    line = torch.full((1, 4, 4), 1e-6)
    for t, label in enumerate([1, 2, 3, 2]):  # "ab b": no word is "b"
        line[0, t, label] = 1.0
    found = decode(Beam(WORDS, beam=1, lexicon=str(files / "lexicon.txt")), line.log())
    assert (WORDS.decode(found.labels), found.score) == ("ab", -math.inf)


def test_a_copy_decodes_the_same(files: Path) -> None:
    line, decoder = peaky(np.random.default_rng(4), 40, 4), Beam(WORDS, lm=str(files / "words.arpa"), hotwords=["ab"])
    assert decode(copy.deepcopy(decoder), line) == decode(decoder, line)


def test_large_numbers_keep_scores_finite(files: Path) -> None:
    line = peaky(np.random.default_rng(6), 40, 4)
    large = {"insertion_bonus": 100.0, "lm_weight": 100.0, "hotwords": {"ab": 50.0}, "hotword_weight": 3.0}
    for name in ("words.arpa", "characters.arpa"):
        assert not math.isnan(decode(Beam(WORDS, lm=str(files / name), **large), line).score)
    assert math.isfinite(decode(Beam(WORDS, insertion_bonus=-100.0, hotwords={"ab": -100}), line).score)


def test_hotwords_may_stand_in_a_file(tmp_path: Path) -> None:
    names, line = tmp_path / "names.txt", random_lines(8, 6, 4, 1.0)
    names.write_text("\ufeffab a\n\n  \nb\t-1.5\r\nba \t 2\n", encoding="utf-8")
    expected = readings(Beam(WORDS, **EVERYTHING, hotwords={"ab a": 1.0, "b": -1.5, "ba": 2.0}), line)
    assert readings(Beam(WORDS, **EVERYTHING, hotwords=str(names)), line) == expected
    names.write_text("ab\naxe\nb\tmuch\nab\t2\n\t2\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        Beam(WORDS, hotwords=str(names))
    told = str(caught.value).splitlines()
    assert [message.partition("names.txt:")[2][:1] for message in told] == ["2", "3", "4", "5"]
    assert "'b': the weight must be" in told[1]
    for content in (b"\n \n", b"\xff\xfe"):
        names.write_bytes(content)
        with pytest.raises(ConfigError, match=r"decoder.hotwords: .*names\.txt"):
            Beam(WORDS, hotwords=str(names))


def model_of(path: Path, *words: str) -> str:
    specials = {("<unk>",): (-2.0, 0.0), ("<s>",): (-99.0, 0.0), ("</s>",): (-1.0, 0.0)}
    path.write_text(arpa(specials | {(word,): (-1.0, 0.0) for word in words}), encoding="utf-8")
    return str(path)


def test_a_model_of_other_text_or_case_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    upper = model_of(tmp_path / "upper.arpa", "A", "B", "<space>")
    with pytest.raises(ConfigError, match="knows none of the tokenizer's symbols; it knows them in another case"):
        Beam(WORDS, lm=upper)
    with pytest.raises(ConfigError, match="other text"):
        Beam(Characters("xy "), lm=upper)
    with caplog.at_level(logging.WARNING):
        Beam(Characters("ABCDEFGH"), lm=model_of(tmp_path / "six.arpa", *"ABCDEfg"))
        Beam(Characters("ABCDE"), lm=model_of(tmp_path / "four.arpa", *"ABCD"))  # 20 %
    (record,) = caplog.records
    assert "does not know 3 of the tokenizer's 8 symbols: 'F' 'G' 'H'; it knows them in another case" in record.message


class Pieces(Characters):
    """Symbols of which the first begins a word."""

    def __init__(self) -> None:
        super().__init__("\u2581ab")
        self.starts = frozenset([1])


@pytest.mark.parametrize(
    ("tokenizer", "words", "told"),
    [
        (ABC, ["ab", "cab"], r"a model of words, but the tokenizer \(Characters\) has neither"),
        (WORDS, ["\u2581ab", "a"], r"a model of pieces, but the tokenizer \(Characters\) has characters"),
        (Pieces(), ["a", "b"], r"a model of characters, but the tokenizer \(Pieces\) has pieces"),
    ],
)
def test_a_model_of_other_units_is_refused(tokenizer: Characters, words: list[str], told: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"decoder.lm is {told}"):
        Beam(tokenizer, lm=model_of(tmp_path / "lm.arpa", *words))


def test_words_that_cannot_be_spelled_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    words = tmp_path / "words.txt"
    words.write_text("\ufeffab\nAB\na\nx1\nx2\nx3\nx4\nx5\n", encoding="utf-8")
    with caplog.at_level(logging.WARNING):
        Beam(WORDS, lexicon=str(words))
    (record,) = caplog.records
    assert "words.txt: 6 of 8 words cannot be spelled" in record.message
    assert record.message.endswith("'AB', 'x1', 'x2', 'x3', 'x4', ...")
    words.write_text("AB\nBA\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"words\.txt: none of the words .*'AB', 'BA'.*another case"):
        Beam(WORDS, lexicon=str(words))


def test_hotwords_count_alike_with_and_without_their_table(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    phrases = {"".join(rng.choice(list("ab "), 6)).strip() or "a": float(rng.uniform(0.1, 2)) for _ in range(30)}
    emissions = torch.from_numpy(rng.normal(size=(4, 30, 4)) * 2).float().log_softmax(2)
    lengths = torch.tensor([30, 25, 12, 1])
    results = []
    for largest in (10**6, 0):
        monkeypatch.setattr(hotwords_module, "LARGEST_TABLE", largest)
        beam = Beam(Characters("ab "), beam=16, hotwords=phrases)
        assert (beam._fusion.hear.size > 0) == (largest > 0)
        results.append([(h.labels, h.score) for h in beam(emissions, lengths)])
    assert results[0] == results[1]
