"""Decoders fed frame by frame: the same reading, and a beginning that stays."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rapidfuzz.distance import Levenshtein

from seqlab.ctc import beam_stream
from seqlab.ctc.beam import Beam
from seqlab.ctc.greedy import Greedy
from seqlab.ctc.hypothesis import Hypothesis
from seqlab.tokenizers.characters import Characters

TOKENIZER = Characters("abc ")
ARPA = """\\data\\
ngram 1=5
ngram 2=3

\\1-grams:
-1.0 <unk>
-99 <s> -0.3
-0.8 </s>
-0.5 ab -0.3
-0.7 cab -0.2

\\2-grams:
-0.2 <s> ab
-0.3 ab cab
-0.4 cab </s>

\\end\\
"""


def frames(count: int, seed: int = 0, sharp: float = 2.0) -> np.ndarray:
    """Log-probabilities (T, V), blank likely."""
    generator = torch.Generator().manual_seed(seed)
    logits = sharp * torch.randn(count, 5, generator=generator)
    logits[:, 0] += sharp
    return logits.log_softmax(1).numpy()


def fed(decoder: Any, log_probs: np.ndarray, size: int) -> tuple[Hypothesis, list[tuple[list[int], int]]]:
    stream = decoder.stream()
    partials = []
    for at in range(0, len(log_probs), size):
        stream.accept(log_probs[at : at + size])
        reading, certain = stream.partial()
        partials.append((reading.labels, certain))
    return stream.finish(), partials


def decoders(folder: Path) -> dict[str, Any]:
    lm = folder / "words.arpa"
    lm.write_text(ARPA)
    words = folder / "words.txt"
    words.write_text("ab\ncab\na\nbb\n")
    priors = np.log([0.6, 0.1, 0.1, 0.1, 0.1]).tolist()
    return {
        "greedy": Greedy(TOKENIZER),
        "beam": Beam(TOKENIZER, beam=16, n_best=3),
        "priors": Beam(TOKENIZER, beam=8, priors=priors, blank_skip=0.98),
        "words": Beam(TOKENIZER, beam=16, lm=str(lm), lm_weight=0.6, hotwords=["cab"]),
        "lexicon": Beam(TOKENIZER, beam=16, lm=str(lm), lexicon=str(words)),
    }


NAMES = ["greedy", "beam", "priors", "words", "lexicon"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [1, 7, 300])
def test_pieces_read_as_the_whole(name: str, size: int, tmp_path: Path) -> None:
    decoder = decoders(tmp_path)[name]
    for seed in range(4):
        log_probs = frames(120, seed)
        (whole,) = decoder.lines([log_probs])
        got, _ = fed(decoder, log_probs, size)
        assert got.labels == whole.labels
        assert got.spans == whole.spans
        assert got.score == pytest.approx(whole.score, abs=1e-3)
        assert [x.labels for x in got.alternatives] == [x.labels for x in whole.alternatives]
    assert len(whole.labels) > 3


@pytest.mark.parametrize("name", NAMES)
def test_what_is_certain_stays(name: str, tmp_path: Path) -> None:
    decoder = decoders(tmp_path)[name]
    grown = 0
    for seed in range(4):
        final, partials = fed(decoder, frames(150, seed), 3)
        before: list[int] = []
        for labels, certain in [*partials, (final.labels, len(final.labels))]:
            assert labels[: len(before)] == before
            before = labels[:certain] if certain > len(before) else before
        grown += max(certain for _, certain in partials)
    assert grown > 20


def test_a_word_that_no_lexicon_finishes_is_not_certain(tmp_path: Path) -> None:
    """Frames that spell "ca" and stop: the lexicon has only cab, and the search takes the word back."""
    log_probs = np.full((3, 5), np.log(1e-4), np.float32)
    for t, label in enumerate(TOKENIZER.encode("ca")):
        log_probs[t, label] = np.log(0.9996)
    log_probs[2, 0] = np.log(0.9996)
    words = tmp_path / "words.txt"
    words.write_text("cab\n")
    decoder = Beam(TOKENIZER, beam=4, lexicon=str(words), token_cut=1e-3)
    final, partials = fed(decoder, log_probs, 1)
    assert [certain for _, certain in partials] == [0, 0, 0]
    assert TOKENIZER.decode(partials[-1][0]) == "ca"
    assert final.labels == []


def test_memory_of_a_long_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prefixes that led nowhere go, frames long read go.

    The reading is better than that of the same beam for the whole line, which spends its places on what was open long
    ago, and near that of a wide one.
    """
    monkeypatch.setattr(beam_stream, "ROOM", 8)
    monkeypatch.setattr(beam_stream, "KEPT", 200)
    monkeypatch.setattr(beam_stream, "TAIL", 30)
    log_probs = frames(3000, 1, sharp=5.0)
    (whole,) = Beam(TOKENIZER, beam=8).lines([log_probs])
    (wide,) = Beam(TOKENIZER, beam=500, threshold=None).lines([log_probs])
    stream = Beam(TOKENIZER, beam=8).stream()
    kept = 0
    for at in range(0, len(log_probs), 10):
        stream.accept(log_probs[at : at + 10])
        kept = max(kept, sum(map(len, stream._log_probs)))
    got = stream.finish()
    assert got.score > whole.score
    assert Levenshtein.distance(got.labels, wide.labels) < 0.02 * len(wide.labels)
    assert all(0 <= a.start < a.end <= b.start < b.end for a, b in pairwise(got.spans))
    assert kept < 300
    assert len(stream._tree) < 4 * len(whole.labels) + 500
    assert len(whole.labels) > 500


def test_no_frames() -> None:
    for decoder in (Greedy(TOKENIZER), Beam(TOKENIZER, beam=4)):
        stream = decoder.stream()
        stream.accept(np.zeros((0, 5), np.float32))
        assert stream.partial() == (Hypothesis(), 0)
        assert stream.finish().labels == []
