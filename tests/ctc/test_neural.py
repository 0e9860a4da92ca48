"""Beam search with a neural language model, against enumeration of all texts."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seqlab.ctc.beam import Beam
from seqlab.ctc.neural import UNKNOWN, Neural
from seqlab.errors import ConfigError, DataError
from seqlab.lm.neural import NeuralLM
from seqlab.tokenizers.characters import Characters
from tests.ctc.reference import arpa, by_enumeration, sentence
from tests.ctc.test_beam import ABC, CHARACTERS, EVERYTHING, assert_same, decode, peaky, random_lines, readings
from tests.lm.test_neural import checkpoint

MODES = pytest.mark.parametrize("mode", ["rescore", "fusion"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("neural")
    checkpoint(folder / "cba.ckpt", "cba")  # the recogniser's symbols in another order
    checkpoint(folder / "ab.ckpt", "ab")
    (folder / "characters.arpa").write_text(arpa(CHARACTERS), encoding="utf-8")
    return folder


def log_p(path: Path, text: str) -> float:
    """Score a text symbol by symbol."""
    model = NeuralLM.load(path)
    total, (log_probs, state) = 0.0, model.step(torch.tensor([0]))
    for symbol in text:
        if symbol not in model.tokenizer.symbols:
            total += UNKNOWN
            continue
        label = model.tokenizer.symbols.index(symbol)
        total += float(log_probs[0, label])
        log_probs, state = model.step(torch.tensor([label]), state)
    return total + float(log_probs[0, 0])


@MODES
@pytest.mark.parametrize("model", ["cba.ckpt", "ab.ckpt"])
@settings(max_examples=6, deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 4), st.sampled_from([0.3, 1.0, 2.0]))
def test_every_reading_has_its_score(
    folder: Path, mode: str, model: str, seed: int, sharpness: float, weight: float
) -> None:
    line = random_lines(seed, 4, 4, sharpness)
    neural = {"neural_lm": str(folder / model), "neural_weight": weight, "neural_mode": mode}
    lm = {"lm": str(folder / "characters.arpa"), "lm_weight": 0.5, "insertion_bonus": 0.7}
    expected = by_enumeration(line[0].double().numpy())
    texts = {key: "".join(ABC.symbols[label] for label in key) for key in expected}
    of_model = {key: weight * log_p(folder / model, text) for key, text in texts.items()}
    plain = {key: value + of_model[key] for key, value in expected.items()}
    assert_same(readings(Beam(ABC, **EVERYTHING, **neural), line), plain)
    for key, text in texts.items():
        plain[key] += 0.5 * sum(sentence(CHARACTERS, list(text), 3)) + 0.7 * len(text)
    assert_same(readings(Beam(ABC, **EVERYTHING, **neural, **lm), line), plain)


def simple_fusion(line: np.ndarray, beam: int, weight: float, path: Path, cut: float = 1e-3) -> dict[str, float]:
    """Prefix beam search on dictionaries, every prefix scored by the model as it enters; scores at the end."""
    live: dict[str, tuple[float, float]] = {"": (1.0, 0.0)}
    model, gains = NeuralLM.load(path), {"": 1.0}

    def ahead(prefix: str) -> list[float]:
        log_probs, state = model.step(torch.tensor([0]))
        for symbol in prefix:
            log_probs, state = model.step(torch.tensor([model.tokenizer.symbols.index(symbol)]), state)
        return [float(x) for x in log_probs[0]]

    for row in np.exp(line.astype(float)):
        after: dict[str, list[float]] = {}
        for prefix, (blank, symbol) in live.items():
            after.setdefault(prefix, [0.0, 0.0])[0] += (blank + symbol) * row[0]
            for c in [c for c in range(1, len(row)) if row[c] >= cut]:
                name = ABC.symbols[c]
                longer, p = prefix + name, blank + symbol
                if prefix.endswith(name):
                    after[prefix][1] += symbol * row[c]
                    p = blank
                gains[longer] = math.exp(weight * ahead(prefix)[model.tokenizer.symbols.index(name)])
                after.setdefault(longer, [0.0, 0.0])[1] += p * row[c] * gains[longer]
        best = sorted(after, key=lambda prefix: -sum(after[prefix]))[:beam]
        live = {prefix: (after[prefix][0], after[prefix][1]) for prefix in best if sum(after[prefix]) > 0}
    return {prefix: math.log(sum(p)) + weight * ahead(prefix)[0] for prefix, p in live.items()}


def test_fusion_is_a_search_with_the_model_in_it(folder: Path) -> None:
    rng = np.random.default_rng(5)
    path = folder / "cba.ckpt"
    decoder = Beam(ABC, beam=3, n_best=3, neural_lm=str(path), neural_weight=0.8, neural_mode="fusion")
    for _ in range(6):
        line = peaky(rng, 14, 4)
        expected = simple_fusion(line, 3, 0.8, path)
        found = {"".join(ABC.symbols[x] for x in labels): score for labels, score in readings(decoder, line).items()}
        assert found.keys() == expected.keys()
        for text, score in expected.items():
            assert found[text] == pytest.approx(score, abs=1e-4)


@MODES
def test_lines_side_by_side_are_lines_alone(folder: Path, mode: str) -> None:
    rng = np.random.default_rng(1)
    decoder = Beam(ABC, beam=6, n_best=4, neural_lm=str(folder / "cba.ckpt"), neural_mode=mode, threads=2)
    lines = [torch.from_numpy(peaky(rng, frames, 4)) for frames in (30, 0, 11, 3, 22)]
    lengths = torch.tensor([len(line) for line in lines])
    together = decoder(torch.nn.utils.rnn.pad_sequence(lines, batch_first=True), lengths)
    for line, found in zip(lines, together, strict=True):
        alone = decode(decoder, line)
        assert [s.label for s in alone.spans] == found.labels
        assert [h.labels for h in alone.alternatives] == [h.labels for h in found.alternatives]
        assert found.score == pytest.approx(alone.score, abs=1e-4)
        assert found.spans == alone.spans


def test_a_full_tree_grows(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    neural = {"neural_lm": str(folder / "cba.ckpt"), "neural_mode": "fusion"}
    line = peaky(np.random.default_rng(2), 60, 4)
    expected = readings(Beam(ABC, beam=8, n_best=8, **neural), line)
    monkeypatch.setattr("seqlab.ctc.beam.MOST_ROWS", 8)
    assert readings(Beam(ABC, beam=8, n_best=8, **neural), line) == expected


@MODES
def test_without_weight_it_changes_nothing(folder: Path, mode: str) -> None:
    line = peaky(np.random.default_rng(3), 20, 4)
    plain = readings(Beam(ABC, beam=8, n_best=8), line)
    neural = {"neural_lm": str(folder / "cba.ckpt"), "neural_weight": 0.0, "neural_mode": mode}
    assert readings(Beam(ABC, beam=8, n_best=8, **neural), line) == plain


def test_readings_are_remembered_by_their_text(folder: Path) -> None:
    rows = [np.array(x, np.int64) for x in ([1, 2], [], [1, 2], [3])]
    one, other = (Neural(str(folder / "cba.ckpt"), tokenizer, 2.0) for tokenizer in (ABC, Characters("cab")))
    scores = one.score(rows)
    assert scores[0] == scores[2]
    assert scores == pytest.approx([2 * log_p(folder / "cba.ckpt", text) for text in ("ab", "", "ab", "c")], abs=1e-5)
    assert other.score([np.array([2, 3])]) == pytest.approx(scores[:1], abs=1e-5)


def test_what_does_not_fit_is_named(folder: Path) -> None:
    with pytest.raises(ConfigError, match="knows none of the recogniser's symbols"):
        Beam(Characters("XY"), neural_lm=str(folder / "ab.ckpt"))
    with pytest.raises(ConfigError, match="neural_weight must be a number from 0 to 100"):
        Beam(ABC, neural_weight=-1.0)
    with pytest.raises(FileNotFoundError, match=r"nowhere\.ckpt not found"):
        Beam(ABC, neural_lm=str(folder / "nowhere.ckpt"))
    (folder / "text.ckpt").write_text("no checkpoint")
    with pytest.raises(DataError, match="no neural language model"):
        Beam(ABC, neural_lm=str(folder / "text.ckpt"))
