"""The CTC loss: what torch's costs, how that grows, and its share of a training step of shipped experiments.

Run: python scripts/bench/ctc.py [--rounds N] [--experiments NAME ...]

An own kernel would be worth its lines if it made a real step at least 2 % shorter. A prototype in numba (softmax and
gradient fused) was 8 times as fast as torch's loss at 32 symbols; the gain below is what such a one would bring.
"""

import argparse
import statistics
from collections.abc import Callable
from functools import partial

import torch
from timing import bar, growth, measure, start, table
from torch import Tensor
from torch.nn import functional

from seqlab.config import build, compose
from seqlab.model import CTCModel

PROTOTYPE = 8.0  # times as fast as torch's loss
# lines, seconds or columns or frames of a line, labels of a line, symbols: about what a batch of the experiment holds
SHAPES = {"peraire": (3, 760, 50, 90), "fsdd": (8, 2.0, 5, 17), "librispeech": (4, 12.3, 180, 32)}


def loss_of(log_probs: Tensor, labels: Tensor) -> Tensor:
    frames, lines, _ = log_probs.shape
    sizes = torch.full((lines,), frames), torch.full((lines,), labels.shape[1])
    return functional.ctc_loss(log_probs, labels, *sizes, zero_infinity=True)


def alone(frames: int = 500, lines: int = 16, labels: int = 60, symbols: int = 32) -> Callable[[], None]:
    """Return a run of log-softmax and loss, forward and backward."""
    logits = torch.randn(frames, lines, symbols, requires_grad=True)
    targets = torch.randint(1, symbols, (lines, labels))

    def run() -> None:
        logits.grad = None
        loss_of(logits.log_softmax(2), targets).backward()

    return run


def forward_only(symbols: int) -> None:
    with torch.inference_mode():
        loss_of(torch.randn(500, 16, symbols).log_softmax(2), torch.randint(1, symbols, (16, 60)))


def step_of(name: str) -> tuple[Callable[[], None], Callable[[], None], str]:
    """Return a training step of an experiment without optimiser, the losses of it alone, and what the shapes are."""
    lines, extent, labels, symbols = SHAPES[name]
    config = compose("train", [f"experiment={name}"])
    model = CTCModel(config, symbols).train()
    loss = build(config["loss"], "loss", num_symbols=symbols)
    if model.frontend.kind == "audio":
        size = int(extent * model.sample_rate)
        signal = 0.1 * torch.randn(lines, size)
    else:
        size = int(extent)
        signal = torch.rand(lines, size, model.frontend.num_features)
    lengths = torch.full((lines,), size)
    frames = int(model.num_frames(lengths)[0])
    mixed = config["training"]["precision"] == "bf16-mixed"
    number = 2 if loss.shortcut else 1

    def step() -> None:
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            log_probs, _ = model(signal, lengths)
        targets = torch.randint(1, symbols, (lines, labels))
        loss_of(log_probs.transpose(0, 1), targets).backward()

    one = alone(frames, lines, labels, symbols)
    told = f"{lines} lines, {frames} frames, {labels} labels, {symbols} symbols, {number} loss(es)"

    def losses() -> None:
        for _ in range(number):
            one()

    if number == 1:
        return step, losses, told

    def both() -> None:
        step()
        one()

    return both, losses, told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--experiments", nargs="*", choices=list(SHAPES), default=list(SHAPES))
    given = parser.parse_args()
    start(packages=("torch",))
    print("500 frames, 16 lines, 60 labels, forward and backward, log-softmax included\n")
    contenders = {
        "32 symbols": alone(),
        "320 symbols": alone(symbols=320),
        "twice as many frames": alone(frames=1000),
        "twice as many lines": alone(lines=32),
        "twice as many labels": alone(labels=120),
        "32 symbols, forward only": partial(forward_only, 32),
    }
    print(growth(measure(contenders, given.rounds), "32 symbols"))
    for name in given.experiments:
        step, losses, told = step_of(name)
        seconds = measure({"step": step, "loss": losses}, given.rounds)
        share = statistics.median(seconds["loss"]) / statistics.median(seconds["step"])
        print(f"\n{name}: {told}\n")
        print(table(seconds, "step"))
        print(f"\nshare of the loss in a step: {share:.1%}")
        bar(
            f"gain of a kernel {PROTOTYPE:g} times as fast, share of a step of {name}",
            share * (1 - 1 / PROTOTYPE),
            0.02,
        )


if __name__ == "__main__":
    main()
