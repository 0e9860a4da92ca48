"""Rooflines: how near each stage comes to what it cannot do without, measured beside it in the same run.

Run: python scripts/bench/roof.py [--rounds N]

A bound is a piece of the stage's own work, done by the library that does it quickest: the stage cannot be quicker by
better code, only by another method. "Room" is how many times as quick it could at most become. Lines are noise; those
of the beam search are simulated, see decode.py. What a network costs on one line, where weights come from the cache,
onnx.py and streaming.py tell beside peers that do the same products.
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import soundfile
import torch
from decode import ALPHABET, simulate, split_text
from rapidfuzz.distance import Levenshtein
from scoring import utterances
from timing import measure, start
from torch import Tensor, nn
from torch.utils.mkldnn import to_mkldnn

from seqlab.ctc.beam import Beam
from seqlab.ctc.loss import CTCLoss
from seqlab.encoders.blstm import BLSTM
from seqlab.frontends.log_mel import LogMel
from seqlab.media import read_audio, write_flac
from seqlab.scoring import score_lines
from seqlab.tokenizers.characters import Characters

RATE = 16000
Run = Callable[[], object]
Stage = tuple[str, str, Run, Run]  # what, its bound in words, the bound, seqlab


def features() -> Stage:
    signal = 0.1 * torch.randn(8, 12 * RATE)
    lengths = torch.full((8,), 12 * RATE)
    frames = signal.unfold(1, 400, 160)
    energies = torch.rand(frames.shape[0], frames.shape[1], 80)

    def bound() -> None:
        for line, energy in zip(frames, energies, strict=True):
            torch.fft.rfft(line, 512)
            energy.log()

    return "log-mel, 8 lines of 12 s", "rfft and logarithm alone", bound, partial(LogMel(), signal, lengths)


def reading(folder: Path) -> Stage:
    path = folder / "noise.flac"
    noise = np.random.default_rng(0).normal(0, 0.3, 60 * RATE)
    write_flac(path, np.convolve(noise, np.hanning(16) / 8, "same"), RATE)
    return (
        "FLAC of 60 s",
        "libsndfile, unchecked",
        lambda: soundfile.read(path, dtype="float32"),
        lambda: read_audio(path),
    )


def training(cells: int, layers: int, dtype: torch.dtype) -> Stage:
    """Return a step of a BLSTM; its bound has all of its products, with all frames and lines in one each."""
    lines, frames = 16, 60
    encoder, x, lengths = BLSTM(80, cells, layers), torch.randn(lines, frames, 80), torch.full((lines,), frames)
    products = []
    for name, weight in encoder.lstm.named_parameters():
        if "weight" in name:
            rows, layer = torch.randn(lines * frames, weight.shape[1]), nn.Linear(*weight.shape[::-1], bias=False)
            if dtype is torch.float32:  # by oneDNN, which is quicker than MKL on some processors
                products.append(partial(to_mkldnn(layer), rows.to_mkldnn()))
            else:
                products.append(partial(layer.to(dtype), rows.to(dtype)))

    @torch.inference_mode()
    def bound() -> None:
        for product in 3 * products:  # forward; by the input; by the weight
            product()

    def step() -> None:
        encoder.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype is torch.bfloat16):
            states = encoder(x, lengths)[0]
        states.float().square().mean().backward()

    kind = "bf16" if dtype is torch.bfloat16 else "fp32"
    return f"training step, {layers} x {cells}, {kind}", "its matrix products, large ones", bound, step


def loss(symbols: int) -> Stage:
    logits = torch.randn(16, 500, symbols, requires_grad=True)
    labels = torch.randint(1, symbols, (16, 60))
    sizes = torch.full((16,), 500), labels, torch.full((16,), 60)
    own = CTCLoss()

    def step(of: Callable[[Tensor], Tensor]) -> None:
        logits.grad = None
        of(logits.log_softmax(2)).sum().backward()

    told = "log_softmax and its gradient alone"
    return f"CTC loss, {symbols:,} symbols", told, partial(step, lambda x: x), partial(step, lambda x: own(x, *sizes))


def search() -> Stage:
    rng = np.random.default_rng(0)
    lines = [simulate(text, rng) for text in split_text()[1][:8]]
    beam = Beam(Characters(ALPHABET), beam=64)
    batches = [(torch.from_numpy(line)[None], torch.tensor([len(line)])) for line in lines]

    def bound() -> None:
        for line in lines:  # which frames need the search, and which symbols of theirs
            doubtful = line[line[:, 0] < np.log(0.999)]
            np.argsort(-doubtful, axis=1)

    return "beam of 64, no model", "symbols of doubtful frames, sorted", bound, lambda: [beam(*b) for b in batches]


def score() -> Stage:
    said, heard = (list(texts) for texts in zip(*utterances(500), strict=True))
    ids = [str(number) for number in range(len(said))]

    def bound() -> None:
        for one, other in zip(said, heard, strict=True):
            Levenshtein.editops(one, other)
            Levenshtein.editops(one.split(), other.split())

    return "four measures of 500 lines", "two alignments by rapidfuzz", bound, lambda: score_lines(ids, said, heard)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    start(packages=("torch", "numpy", "numba", "rapidfuzz", "soundfile"))
    print("\n| stage | bound | bound, CPU ms | seqlab, CPU ms | room |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        stages = [features(), reading(Path(folder))]
        stages += [training(size, 3, dtype) for size in (320, 512) for dtype in (torch.float32, torch.bfloat16)]
        stages += [loss(32), loss(5000), search(), score()]
        for stage, told, bound, ours in stages:
            seconds = measure({"bound": bound, "seqlab": ours}, given.rounds)
            low, own = (1000 * statistics.median(seconds[name]) for name in ("bound", "seqlab"))
            print(f"| {stage} | {told} | {low:.2f} | {own:.2f} | {own / low:.1f} |", flush=True)


if __name__ == "__main__":
    main()
