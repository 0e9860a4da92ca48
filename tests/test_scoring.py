import random

import jiwer
import numpy as np
import pytest

from seqlab.scoring import (
    Counts,
    add,
    align,
    bootstrap_interval,
    char_counts,
    edits,
    isolate_punctuation,
    paired_bootstrap,
    score_lines,
    speaker_sums,
    word_counts,
)


def random_pairs(number, alphabets=("a b", "ab cd ", "abcdefgh    ", "äöß日本 \U0001f600")):
    """Pairs of texts, half of them related, with empty texts, leading, trailing and doubled spaces."""
    generator = random.Random(0)
    for _ in range(number):
        alphabet = generator.choice(alphabets)
        reference = "".join(generator.choices(alphabet, k=generator.choice([0, 1, 2, 5, 30, 100])))
        if generator.random() < 0.5:
            hypothesis = "".join(
                sign if generator.random() < 0.8 else generator.choice(alphabet) * generator.choice([0, 1, 2])
                for sign in reference
            )
        else:
            hypothesis = "".join(generator.choices(alphabet, k=generator.choice([0, 1, 2, 5, 30, 100])))
        yield reference, hypothesis


PAIRS = list(random_pairs(2000))


def as_tuple(counts):
    return counts.hits, counts.substitutions, counts.deletions, counts.insertions


def test_word_counts_equal_jiwer():
    for reference, hypothesis in PAIRS:
        expected = jiwer.process_words(reference, hypothesis)
        counts = word_counts(reference, hypothesis)
        assert as_tuple(counts) == as_tuple(expected), (reference, hypothesis)
        assert counts.rate == expected.wer


def test_character_counts_equal_jiwer():
    for reference, hypothesis in PAIRS:
        expected = jiwer.process_characters(reference, hypothesis)
        counts = char_counts(reference, hypothesis)
        assert as_tuple(counts) == as_tuple(expected), (reference, hypothesis)
        assert counts.rate == expected.cer


def test_character_counts_without_spaces_equal_jiwer_on_texts_without_spaces():
    for reference, hypothesis in PAIRS:
        expected = jiwer.process_characters(reference.replace(" ", ""), hypothesis.replace(" ", ""))
        assert as_tuple(char_counts(reference, hypothesis, spaces=False)) == as_tuple(expected)


def test_sums_equal_jiwer_on_the_whole_set():
    references, hypotheses = [r for r, _ in PAIRS], [h for _, h in PAIRS]
    score = score_lines([str(n) for n in range(len(PAIRS))], references, hypotheses, resamples=0)
    words, characters = (
        jiwer.process_words(references, hypotheses),
        jiwer.process_characters(references, hypotheses),
    )
    assert (as_tuple(score.wer), score.wer.rate) == (as_tuple(words), words.wer)
    assert (as_tuple(score.cer), score.cer.rate) == (as_tuple(characters), characters.cer)


def test_alignment_covers_both_texts_and_holds_the_counts():
    for reference, hypothesis in PAIRS[:500]:
        aligned = align(reference.split(), hypothesis.split())
        assert [said for _, said, _ in aligned if said is not None] == reference.split()
        assert [heard for _, _, heard in aligned if heard is not None] == hypothesis.split()
        operations = [operation for operation, _, _ in aligned]
        found = Counts(*(operations.count(name) for name in ("hit", "sub", "del", "ins")))
        assert found == word_counts(reference, hypothesis)
        assert all((said == heard) == (operation == "hit") for operation, said, heard in aligned)
        assert edits(reference.split(), hypothesis.split()) == [error for error in aligned if error[0] != "hit"]


def test_alignment_by_hand():
    assert align(["the", "cat", "sat", "down"], ["the", "hat", "sat", "right", "down"]) == [
        ("hit", "the", "the"),
        ("sub", "cat", "hat"),
        ("hit", "sat", "sat"),
        ("ins", None, "right"),
        ("hit", "down", "down"),
    ]
    assert align("abc", "b") == [("del", "a", None), ("hit", "b", "b"), ("del", "c", None)]
    assert align([], []) == []


def test_counts_by_hand():
    # kitten -> sitting: two substitutions, one insertion
    assert char_counts("kitten", "sitting") == Counts(hits=4, substitutions=2, insertions=1)
    counts = word_counts("one two three four", "one too four five")
    assert counts.reference == 4
    assert counts.errors == 3
    assert counts.rate == 0.75


def test_any_white_space_separates_words_and_none_counts_at_the_ends():
    assert word_counts("a\tb\nc\u00a0d", " a  b c d ") == Counts(hits=4)
    assert char_counts("\n a b ", "a b") == Counts(hits=3)
    assert char_counts("a b", "a  b") == Counts(hits=3, insertions=1)
    assert char_counts("a b", "ab", spaces=False) == Counts(hits=2)


@pytest.mark.parametrize(
    ("reference", "hypothesis", "rate"),
    [("", "", 0.0), ("", "a", 1.0), ("", "a b", 2.0), ("  ", "a b", 2.0), ("a", "", 1.0)],
)
def test_empty_reference_follows_jiwer(reference, hypothesis, rate):
    assert word_counts(reference, hypothesis).rate == rate == jiwer.wer(reference, hypothesis)


def test_insertions_against_empty_references_count_in_the_sum():
    score = score_lines(["a", "b"], ["", "one two"], ["oh no", "one two"], resamples=0)
    assert score.wer == Counts(hits=2, insertions=2)
    assert score.wer.rate == 1.0


def test_rate_is_a_rate_of_sums_not_a_mean_of_rates():
    score = score_lines(["a", "b"], ["one", "one two three four five six seven eight nine"], ["two"] * 2, resamples=0)
    # 1 of 1 word wrong, and 8 of 9 left out ("two" is right)
    assert score.wer.rate == 9 / 10
    assert add([]) == Counts()


def test_interval_is_zero_wide_if_all_lines_are_alike():
    assert bootstrap_interval([1] * 50, [10] * 50) == (0.1, 0.1)
    assert bootstrap_interval([3], [4]) == (0.75, 0.75)


def test_interval_agrees_with_a_plain_bootstrap_and_with_theory():
    generator = np.random.default_rng(1)
    errors, totals = generator.binomial(20, 0.1, 400), np.full(400, 20)
    low, high = bootstrap_interval(errors, totals, resamples=2000, seed=3)
    # 8000 independent words at 10 %: rate +- 1.96 sqrt(p (1 - p) / n)
    rate = errors.sum() / totals.sum()
    half = 1.96 * (rate * (1 - rate) / 8000) ** 0.5
    assert low == pytest.approx(rate - half, abs=half / 8)
    assert high == pytest.approx(rate + half, abs=half / 8)
    plain = random.Random(5)
    rates = sorted(sum(plain.choices(errors.tolist(), k=400)) / 8000 for _ in range(1000))
    assert low == pytest.approx(rates[25], abs=half / 8)
    assert high == pytest.approx(rates[974], abs=half / 8)


def test_interval_repeats_with_its_seed_and_in_blocks():
    generator = np.random.default_rng(0)
    errors, totals = generator.integers(0, 9, 30_000), generator.integers(10, 30, 30_000)
    first = bootstrap_interval(errors, totals, resamples=100, seed=1)  # three blocks of draws
    assert first == bootstrap_interval(errors, totals, resamples=100, seed=1)
    assert first != bootstrap_interval(errors, totals, resamples=100, seed=2)
    assert first[0] < errors.sum() / totals.sum() < first[1]
    narrow = bootstrap_interval(errors, totals, resamples=100, level=0.5, seed=1)
    assert first[0] < narrow[0] < narrow[1] < first[1]


@pytest.mark.parametrize(
    ("errors", "totals", "options"),
    [([], [], {}), ([1], [1, 2], {}), ([1], [1], {"resamples": 0}), ([1], [1], {"level": 1.0})],
)
def test_interval_refuses_what_it_cannot_use(errors, totals, options):
    with pytest.raises(ValueError, match="need"):
        bootstrap_interval(errors, totals, **options)


def test_score_counts_lines_words_and_exact_lines():
    score = score_lines(["a", "b", "c"], ["one two", "three", ""], ["one two ", "tree", ""])
    assert (score.lines, score.exact, score.words, score.characters) == (3, 2, 3, 12)
    assert score.cer == Counts(hits=11, deletions=1)
    assert score.cer_no_spaces == Counts(hits=10, deletions=1)
    assert [line.id for line in score.per_line] == ["a", "b", "c"]
    assert score.per_line[1].words == Counts(substitutions=1)
    summary = score.summary()
    assert summary["wer"]["rate"] == 1 / 3
    assert summary["wer"]["interval"] == list(score.wer_interval)
    assert summary["cer"] == {
        "rate": 1 / 12,
        "interval": list(score.cer_interval),
        "interval_by_speaker": None,
        "errors": 1,
        "reference": 12,
        "hits": 11,
        "substitutions": 0,
        "deletions": 1,
        "insertions": 0,
    }
    assert type(summary["wer"]["interval"][0]) is float


def test_score_without_intervals():
    score = score_lines(["a"], ["one"], ["one"], resamples=0)
    assert score.wer_interval is None
    assert score.summary()["cer"]["interval"] is None


def test_score_refuses_no_lines_and_unequal_lists():
    with pytest.raises(ValueError, match="no line"):
        score_lines([], [], [])
    with pytest.raises(ValueError, match="2, 2 and 1"):
        score_lines(["a", "b"], ["x", "y"], ["x"])
    with pytest.raises(ValueError, match="2 for 1 lines"):
        score_lines(["a"], ["x"], ["y"], speakers=["p", "q"])


# One line in four conventions of IAM (CORPORA 2.7): A every word spaced, B clitics glued, C A2iA, D natural text.
A = 'He\'s " Bella Marie " ( Parlophone ) , a lively song - mid-way .'
C = 'He\'s " Bella Marie " ( Parlophone ), a lively song - mid-way.'
D = 'He\'s "Bella Marie" (Parlophone), a lively song - mid-way.'


def test_punctuation_is_isolated_by_hand():
    tokens = ["He", "'", "s", '"', "Bella", "Marie", '"', "(", "Parlophone", ")", ",", "a", "lively", "song"]
    tokens += ["-", "mid", "-", "way", "."]
    for text in (A, C, D):
        assert isolate_punctuation(text).split() == tokens
    assert isolate_punctuation("...").split() == [".", ".", "."]
    # symbols (S) and dashes, quotes, brackets (P) of any script; letters, digits and marks stay together
    assert isolate_punctuation("3€+4°—«é»。a\u0301_b^").split() == [
        *("3", "€", "+", "4", "°", "—", "«", "é", "»", "。", "a\u0301", "_", "b", "^")
    ]
    assert isolate_punctuation("") == ""


@pytest.mark.parametrize(("reference", "hypothesis"), [(A, C), (C, A), (A, D), (D, C)])
def test_conventions_of_spacing_move_neither_isolated_wer_nor_cer_without_spaces(reference, hypothesis):
    score = score_lines(["1"], [reference], [hypothesis], resamples=0)
    assert score.wer_punctuation == Counts(hits=19)
    assert score.cer_no_spaces.errors == 0
    assert score.wer.errors > 0
    assert score.cer.errors > 0


def test_rates_between_conventions_by_hand():
    # ") ," -> ")," and "mid-way ." -> "mid-way.": each one word replaced and one left out, and one space left out
    score = score_lines(["1"], [A], [C], resamples=0)
    assert score.wer == Counts(hits=11, substitutions=2, deletions=2)
    assert score.cer == Counts(hits=len(A) - 2, deletions=2)
    assert score.words == 15


def test_a_wrong_mark_is_an_error_of_its_own():
    # by white space one word of one is wrong, isolated one of two
    assert word_counts("end.", "end,") == Counts(substitutions=1)
    score = score_lines(["1"], ["end."], ["end,"], resamples=0)
    assert score.wer_punctuation == score.per_line[0].words_punctuation == Counts(hits=1, substitutions=1)


def test_isolated_wer_equals_jiwer_on_isolated_texts():
    generator = random.Random(3)
    for _ in range(300):
        reference, hypothesis = ("".join(generator.choices("ab ., '", k=generator.randrange(20))) for _ in range(2))
        spaced = [
            " ".join("".join(f" {c} " if c in ".,'" else c for c in text).split()) for text in (reference, hypothesis)
        ]
        score = score_lines(["1"], [reference], [hypothesis], resamples=0)
        assert as_tuple(score.wer_punctuation) == as_tuple(jiwer.process_words(*spaced))


def test_interval_by_speaker_draws_speakers():
    # ten speakers of ten lines; each speaker's lines are all right or all wrong, so lines tell nothing new
    speakers = [f"s{number // 10}" for number in range(100)]
    references = ["x"] * 100
    hypotheses = ["x" if number < 50 else "y" for number in range(100)]
    score = score_lines([str(n) for n in range(100)], references, hypotheses, speakers=speakers)
    assert score.speakers == 10
    # ten tosses of a fair coin: by Student's t 0.5 +- 2.262 sqrt(0.25 / 9) = 0.377, times 10 / 9 for so few;
    # a hundred: standard deviation 0.05
    low, high = score.wer_interval_by_speaker
    assert (low, high) == (pytest.approx(0.081, abs=0.03), pytest.approx(0.919, abs=0.03))
    assert score.wer_interval == (pytest.approx(0.4, abs=0.03), pytest.approx(0.6, abs=0.03))
    # each speaker as one line gives the same interval
    assert score.wer_interval_by_speaker == bootstrap_interval([0] * 5 + [10] * 5, [10] * 10)
    assert score.summary()["cer"]["interval_by_speaker"] == list(score.cer_interval_by_speaker)
    assert score.summary()["speakers"] == 10


@pytest.mark.parametrize(
    ("speakers", "known"),
    [
        (["a", "b", "c", "d", "e", "e"], True),
        (["a", "b", "c", "d", "d", "d"], False),
        (["a", "b", "c", "d", "e", None], False),
        (["a", "b", "c", "d", "e", ""], False),
        (None, False),
    ],
)
def test_interval_by_speaker_needs_five_and_every_line_known(speakers, known):
    score = score_lines(list("123456"), ["one two"] * 6, ["one"] * 6, speakers=speakers)
    intervals = [
        score.wer_interval_by_speaker,
        score.wer_punctuation_interval_by_speaker,
        score.cer_interval_by_speaker,
        score.cer_no_spaces_interval_by_speaker,
    ]
    assert all((interval is not None) == known for interval in intervals)
    assert score.wer_interval is not None


def test_speaker_sums_by_hand():
    counts = [Counts(hits=number) for number in (1, 2, 4, 8, 16, 32)]
    assert speaker_sums(counts, list("abcdea")) == [Counts(hits=n) for n in (33, 2, 4, 8, 16)]


def test_paired_bootstrap_sees_what_unpaired_intervals_hide():
    generator = np.random.default_rng(0)
    errors = generator.integers(0, 10, 300)
    worse = [Counts(hits=10 - int(e), substitutions=int(e)) for e in errors]
    # one error fewer in every fourth line that has any
    better = [
        Counts(c.hits + 1, c.substitutions - 1) if n % 4 == 0 and c.substitutions else c for n, c in enumerate(worse)
    ]
    low, high, share = paired_bootstrap(worse, better)
    difference = add(better).rate - add(worse).rate
    # 300 lines of 10: the difference of a line is -0.1 with p near 0.22, else 0
    p = -difference * 10
    half = 1.96 * 0.1 * (p * (1 - p) / 300) ** 0.5
    assert (low, high) == (
        pytest.approx(difference - half, abs=half / 4),
        pytest.approx(difference + half, abs=half / 4),
    )
    assert high < 0
    assert share == 1.0
    back = paired_bootstrap(better, worse)
    assert back == (pytest.approx(-high), pytest.approx(-low), 0.0)


def test_paired_bootstrap_of_equal_recognisers_decides_nothing():
    counts = [Counts(hits=3, substitutions=1)] * 7
    assert paired_bootstrap(counts, counts) == (0.0, 0.0, 0.5)
    with pytest.raises(ValueError, match="need"):
        paired_bootstrap(counts, counts[:3])
    with pytest.raises(ValueError, match="need"):
        paired_bootstrap([], [])
