"""The CTC loss against torch's, how it grows, and what it wins of a training step of shipped experiments.

Run: python scripts/bench/ctc.py [--rounds N] [--experiments NAME ...]

Logits are random; where an output is sure of something else than the text over hundreds of frames, the loss is taken in
logarithms, at about torch's speed.
"""

import argparse
from collections.abc import Callable
from functools import partial

import torch
from timing import bar, growth, measure, ratio, start, table
from torch import Tensor
from torch.nn import functional

from seqlab.config import build, compose
from seqlab.ctc.loss import CTCLoss
from seqlab.model import CTCModel

# lines, seconds or columns or frames of a line, labels of a line, symbols: about what a batch of the experiment holds
SHAPES = {"peraire": (3, 760, 50, 90), "fsdd": (8, 2.0, 5, 17), "librispeech": (4, 12.3, 180, 32)}


Loss = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def of_torch(log_probs: Tensor, lengths: Tensor, labels: Tensor, sizes: Tensor) -> Tensor:
    """Compute torch's loss with the arguments of seqlab's."""
    log_probs = log_probs.transpose(0, 1)  # (T, B, V)
    return functional.ctc_loss(log_probs, labels, lengths, sizes, reduction="none", zero_infinity=True)


LOSSES: dict[str, Loss] = {"torch": of_torch, "seqlab": CTCLoss()}


def alone(
    loss: Loss, frames: int = 500, lines: int = 16, labels: int = 60, symbols: int = 32, scale: float = 1.0
) -> Callable[[], None]:
    """Return a run of log-softmax and loss, forward and backward."""
    logits = (scale * torch.randn(lines, frames, symbols)).requires_grad_()
    targets = torch.randint(1, symbols, (lines, labels))
    sizes = torch.full((lines,), frames), targets, torch.full((lines,), labels)

    def run() -> None:
        logits.grad = None
        loss(logits.log_softmax(2), *sizes).sum().backward()

    return run


def step_of(name: str) -> tuple[dict[str, Callable[[], None]], str]:
    """Return a training step of an experiment, without optimiser, with either loss, and what the shapes are."""
    lines, extent, labels, symbols = SHAPES[name]
    config = compose("train", [f"experiment={name}"])
    model = CTCModel(config, symbols).train()
    number = 2 if build(config["loss"], "loss", num_symbols=symbols).shortcut else 1
    if model.frontend.kind == "audio":
        size = int(extent * model.sample_rate)
        signal = 0.1 * torch.randn(lines, size)
    else:
        size = int(extent)
        signal = torch.rand(lines, size, model.frontend.num_features)
    lengths = torch.full((lines,), size)
    frames = int(model.num_frames(lengths)[0])
    mixed = config["training"]["precision"] == "bf16-mixed"
    targets, sizes = torch.randint(1, symbols, (lines, labels)), torch.full((lines,), labels)

    def step(loss: Loss) -> None:
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            log_probs, lengths_there = model(signal, lengths)
        sum(loss(log_probs.float(), lengths_there, targets, sizes).sum() for _ in range(number)).backward()

    told = f"{lines} lines, {frames} frames, {labels} labels, {symbols} symbols, {number} loss(es)"
    return {name: partial(step, loss) for name, loss in LOSSES.items()}, told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--experiments", nargs="*", choices=list(SHAPES), default=list(SHAPES))
    given = parser.parse_args()
    start(packages=("torch", "numba"))
    print("500 frames, 16 lines, 60 labels, forward and backward, log-softmax included")
    for symbols, least in ((32, 5), (5000, 1.5)):
        seconds = measure({name: alone(loss, symbols=symbols) for name, loss in LOSSES.items()}, given.rounds)
        print(f"\n{symbols} symbols\n\n{table(seconds, 'torch')}\n")
        bar(f"{symbols} symbols, times as fast as torch's loss", ratio(seconds, "torch", "seqlab"), least, least=True)
    own = partial(alone, LOSSES["seqlab"])
    more = {
        "32 symbols": own(),
        "320 symbols": own(symbols=320),
        "twice as many frames": own(frames=1000),
        "twice as many lines": own(lines=32),
        "twice as many labels": own(labels=120),
        "in logarithms (logits times 100)": own(scale=100.0),
        "torch's": alone(of_torch),
    }
    print(growth(measure(more, given.rounds), "32 symbols"))
    for name in given.experiments:
        steps, told = step_of(name)
        seconds = measure(steps, given.rounds)
        print(f"\na step of {name}: {told}\n\n{table(seconds, 'torch')}\n")
        bar(f"share of a step of {name} that the loss wins", 1 - ratio(seconds, "seqlab", "torch"), 0.02, least=True)


if __name__ == "__main__":
    main()
