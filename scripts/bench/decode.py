"""How fast and how good is the beam search, beside its peers?

python scripts/bench/decode.py [--lines 12] [--rounds 5]

Exit status 1 if a bar is missed: without a language model 1.5 times fast-ctc-decode's speed at beams 16, 64 and 100 and
the same cut, with no more errors; with a word 3-gram at beam 64 the speed of flashlight (torchaudio's ctc_decoder)
pruned to 8 tokens and a threshold of 10 at the word errors of the unpruned one, and 5 times pyctcdecode's speed; 200
hotwords cost at most 1.3 times none. Peers that are not installed are left out. They live outside of our environment:

    pip install --target PEERS --no-deps fast-ctc-decode flashlight-text pyctcdecode pygtrie kenlm
    PYTHONPATH=PEERS python scripts/bench/decode.py

Posteriors are simulated as trained networks write them: 29 symbols, 82 % of frames blank, mean entropy 0.23 nats, 16 %
of frames below 0.9. The text is Python's own documentation; language models are estimated from lines that are not read.
"""

import argparse
import importlib.util
import logging
import os
import pydoc_data.topics
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import jiwer
import numpy as np
import torch
from timing import bar, installed, measure, start

from seqlab.ctc.beam import Beam
from seqlab.ctc.greedy import Greedy
from seqlab.lm.estimate import Corpus, estimate
from seqlab.tokenizers.characters import Characters

ALPHABET = "abcdefghijklmnopqrstuvwxyz' "
WEIGHT, BONUS = 0.8, 1.0  # of the word model, natural logarithm
PER_LINE = 40  # words


def split_text() -> tuple[list[str], list[str]]:
    """Return lines to learn from, and others of words that the first ones hold."""
    topics: dict[str, str] = pydoc_data.topics.topics
    words = re.findall(r"[a-z]+(?:'[a-z]+)?", " ".join(topics[key] for key in sorted(topics)).lower())
    lines = [" ".join(words[i : i + PER_LINE]) for i in range(0, len(words) - PER_LINE, PER_LINE)]
    train = [line for i, line in enumerate(lines) if i % 5]
    known = {word for line in train for word in line.split()}
    return train, [line for line in lines[::5] if known.issuperset(line.split())]


def simulate(text: str, rng: np.random.Generator) -> np.ndarray:
    """Return log-probabilities (T, 29) of a line: short doubtful peaks between long blanks."""
    size = len(ALPHABET) + 1
    alike = np.random.default_rng(7).integers(1, size, (size, 3))

    def blanks(count: int) -> np.ndarray:
        doubt = 10 ** rng.uniform(-5, -1.9, count)
        return np.concatenate([1 - doubt[:, None], rng.dirichlet(np.full(size - 1, 0.2), count) * doubt[:, None]], 1)

    rows, before = [], 0
    for label in (ALPHABET.index(character) + 1 for character in text):
        rows.append(blanks(rng.poisson(4.4) + (label == before)))
        before = label
        sure = rng.beta(5, 3.2) if rng.random() < 0.75 else rng.beta(14, 1)
        share = rng.dirichlet([1.2, 0.8, 2.0]) * (1 - sure)
        peak = share[2] * rng.dirichlet(np.full(size, 0.5))
        peak[label] += sure
        peak[alike[label, rng.integers(3)]] += share[0]
        peak[0] += share[1]
        rows.append(peak[None])
        if rng.random() < 0.15:
            held = rng.beta(1, 2)
            rows.append(peak * held + blanks(1) * (1 - held))
    p = np.maximum(np.concatenate([*rows, blanks(5)]), 1e-8)
    return np.log(p / p.sum(1, keepdims=True)).astype(np.float32)


class Bench:
    """Lines, contenders and bars."""

    def __init__(self, lines: int, rounds: int, folder: Path) -> None:
        self.rounds, self.folder = rounds, folder
        train, unseen = split_text()
        rng = np.random.default_rng(0)
        self.train, self.texts = train, unseen[:lines]
        self.log_probs = [simulate(text, rng) for text in self.texts]
        self.frames = sum(map(len, self.log_probs))
        self.tokenizer = Characters(ALPHABET)
        self.batches = [(torch.from_numpy(x)[None], torch.tensor([len(x)])) for x in self.log_probs]
        self.missed: list[str] = []
        every = np.exp(np.concatenate(self.log_probs).astype(float))
        doubt = -(every * np.log(every)).sum(1).mean()
        blank, below = (every.argmax(1) == 0).mean(), (every.max(1) < 0.9).mean()
        print(f"{self.frames} frames, {blank:.0%} blank, entropy {doubt:.2f} nats, {below:.0%} below 0.9")

    def ours(self, **options: object) -> Callable[[], list[str]]:
        decoder = Beam(self.tokenizer, **options)  # type: ignore[arg-type]
        return lambda: [self.tokenizer.decode(decoder(*batch)[0].labels) for batch in self.batches]

    def run(self, contenders: dict[str, Callable[[], list[str]]]) -> dict[str, tuple[float, float, float]]:
        """Print a table; returns frames per second, character and word error rate."""
        seconds = measure(contenders, self.rounds)
        result = {}
        print("\n| decoder | k frames/s | spread | CER | WER |\n|---|---|---|---|---|")
        for name, decode in contenders.items():
            middle, found = statistics.median(seconds[name]), decode()
            spread = (max(seconds[name]) - min(seconds[name])) / middle
            result[name] = (
                self.frames / middle,
                float(jiwer.cer(self.texts, found)),
                float(jiwer.wer(self.texts, found)),
            )
            rate, cer, wer = result[name]
            print(f"| {name} | {rate / 1000:.1f} | {spread:.0%} | {cer:.4f} | {wer:.4f} |")
        return result

    def bar(self, text: str, value: float, least: float) -> None:
        if not bar(text, value, least, least=True):
            self.missed.append(text)

    def start(self) -> None:
        """Time building a decoder and reading a line with it in new processes: with nothing compiled, and again."""
        code = (
            "import time, torch\nfrom seqlab.ctc.beam import Beam\n"
            "from seqlab.tokenizers.characters import Characters\nbegun = time.process_time()\n"
            "Beam(Characters('ab '))(torch.randn(1, 20, 4).log_softmax(2), torch.tensor([20]))\n"
            "print(time.process_time() - begun)"
        )
        environment = os.environ | {"NUMBA_CACHE_DIR": str(self.folder / "numba")}
        seconds = []
        for name in ("first", "second", "third"):
            done = subprocess.run(
                [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
            )
            seconds.append(float(done.stdout))
            print(f"{name} start: {seconds[-1]:.2f} CPU s")
        self.bar("second start, times below one second", 1 / seconds[1], 1.0)

    def without_model(self) -> None:
        beams = (16, 64, 100)
        contenders = {f"seqlab, beam {beam}": self.ours(beam=beam) for beam in beams}
        contenders["seqlab, beam 64, blank_skip 0.99"] = self.ours(beam=64, blank_skip=0.99)
        contenders["seqlab, beam 64, no cut"] = self.ours(beam=64, token_cut=0.0)
        greedy = Greedy(self.tokenizer)
        contenders["seqlab greedy"] = lambda: [self.tokenizer.decode(greedy(*b)[0].labels) for b in self.batches]
        peer = importlib.util.find_spec("fast_ctc_decode")
        if peer:
            import fast_ctc_decode

            posteriors, symbols = [np.exp(x) for x in self.log_probs], ["_", *ALPHABET]
            for beam in beams:
                contenders[f"fast-ctc-decode, beam {beam}"] = lambda beam=beam: [  # type: ignore[misc]
                    fast_ctc_decode.beam_search(p, symbols, beam, 1e-3)[0] for p in posteriors
                ]
        result = self.run(contenders)
        for beam in beams if peer else ():
            own, other = result[f"seqlab, beam {beam}"], result[f"fast-ctc-decode, beam {beam}"]
            self.bar(f"speed over fast-ctc-decode at beam {beam}", own[0] / other[0], 1.5)
            self.bar(f"CER below fast-ctc-decode's by, at beam {beam}", other[1] - own[1], -0.0005)

    def with_model(self) -> None:
        arpa, lexicon = self.folder / "words.arpa", self.folder / "words.txt"
        binary = self.folder / "words.ngram"
        corpus = Corpus()
        for line in self.train:
            corpus.add(line.split())
        model, _ = estimate(corpus, 3, "word")
        model.save(arpa)
        model.save(binary)
        words = sorted({word for line in self.train for word in line.split()})
        lexicon.write_text("\n".join(words), encoding="utf-8")
        letters = Corpus()
        for line in self.train:
            letters.add(list(line))
        estimate(letters, 5, "char")[0].save(self.folder / "letters.ngram")
        fusion = {"lm": str(binary), "lm_weight": WEIGHT, "insertion_bonus": BONUS, "unknown_score": -10.0, "beam": 64}
        contenders = {
            "seqlab, open vocabulary": self.ours(**fusion),
            "seqlab, lexicon": self.ours(**fusion, lexicon=str(lexicon)),
            "seqlab, lexicon, 8 tokens, threshold 10": self.ours(
                **fusion, lexicon=str(lexicon), max_tokens=8, threshold=10.0
            ),
            "seqlab, no model": self.ours(beam=64),
            "seqlab, model of characters": self.ours(
                lm=str(self.folder / "letters.ngram"), lm_weight=0.5, insertion_bonus=BONUS, beam=64
            ),
        }
        flashlight, other = importlib.util.find_spec("flashlight"), importlib.util.find_spec("pyctcdecode")
        if flashlight:
            contenders |= self.flashlight(arpa, words)
        if other:
            from pyctcdecode import build_ctcdecoder

            logging.disable(logging.WARNING)
            build = build_ctcdecoder(["", *ALPHABET], str(arpa), words, alpha=WEIGHT, beta=BONUS)
            contenders["pyctcdecode"] = lambda: [build.decode(x, beam_width=64) for x in self.log_probs]
        result = self.run(contenders)
        gain = result["seqlab, no model"][1] - result["seqlab, model of characters"][1]
        self.bar("CER with a model of characters, lower than without one by", gain, 0.0)
        own = result["seqlab, lexicon"]
        if flashlight:
            pruned, whole = result["flashlight, 8 tokens, threshold 10"], result["flashlight, defaults"]
            self.bar("speed over pruned flashlight", own[0] / pruned[0], 1.0)
            self.bar("WER below unpruned flashlight's by", whole[2] - own[2], 0.0)
        if other:
            open_one = result["seqlab, open vocabulary"]
            self.bar("speed over pyctcdecode", open_one[0] / result["pyctcdecode"][0], 5.0)

    def flashlight(self, arpa: Path, words: list[str]) -> dict[str, Callable[[], list[str]]]:
        from torchaudio.models.decoder import ctc_decoder

        tokens = ["-", *ALPHABET[:-1], "|"]
        spelling = self.folder / "spelling.txt"
        spelling.write_text("".join(f"{word}\t{' '.join(word)} |\n" for word in words), encoding="utf-8")

        def contender(**options: object) -> Callable[[], list[str]]:
            decoder = ctc_decoder(
                str(spelling),
                tokens,
                str(arpa),
                beam_size=64,
                lm_weight=WEIGHT * np.log(10),
                word_score=BONUS,
                **options,
            )  # its model speaks log10
            return lambda: [" ".join(decoder(x)[0][0].words) for x, _ in self.batches]

        return {
            "flashlight, defaults": contender(),
            "flashlight, 8 tokens, threshold 10": contender(beam_size_token=8, beam_threshold=10),
        }

    def hotwords(self) -> None:
        words = sorted({word for line in self.train for word in line.split() if len(word) > 5})
        step = len(words) // 200
        phrases = [f"{words[i * step]} {words[-i]}" if i % 4 == 1 else words[i * step] for i in range(200)]
        fusion = {"lm": str(self.folder / "words.ngram"), "lm_weight": WEIGHT, "insertion_bonus": BONUS}
        fusion |= {"unknown_score": -10.0, "beam": 64}
        result = self.run(
            {
                "none": self.ours(beam=64),
                "200 hotwords": self.ours(beam=64, hotwords=phrases, hotword_weight=0.3),
                "2000 hotwords": self.ours(beam=64, hotwords=words[:2000], hotword_weight=0.3),
                "word model": self.ours(**fusion),
                "word model, 200 hotwords": self.ours(**fusion, hotwords=phrases, hotword_weight=0.3),
            }
        )
        self.bar("speed with 200 hotwords", result["200 hotwords"][0] / result["none"][0], 1 / 1.3)
        of_model = result["word model, 200 hotwords"][0] / result["word model"][0]
        self.bar("speed with 200 hotwords and a word model", of_model, 1 / 1.3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    start()
    for name in ("fast_ctc_decode", "flashlight", "pyctcdecode"):
        installed(name)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(given.lines, given.rounds, Path(folder))
        bench.start()
        bench.without_model()
        bench.with_model()
        bench.hotwords()
    if bench.missed:
        print(f"\n{len(bench.missed)} bars missed: " + "; ".join(bench.missed))
    sys.exit(bool(bench.missed))


if __name__ == "__main__":
    main()
