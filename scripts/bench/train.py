"""Training: where the CPU time of an epoch goes, and what length buckets and an exact BLSTM gain over plain PyTorch.

Run: python scripts/bench/train.py [--experiment NAME --folder CORPUS [--steps N]] [--rounds N]

With a corpus: steps of `seqlab train experiment=NAME corpus.folder=CORPUS`, with augmentation, averaged weights and
clipping, in Lightning; each part's own time, its backward pass included. Validation and checkpoints are not in it.
Recordings and pictures are read for the first time, as in a first epoch.

Then a step of the encoder, forward and backward, in seconds per frame that is no padding: seqlab's batches of like
length against random batches that are packed, as plain PyTorch users write it. Lengths and encoder are those of the
corpus and the experiment; without one 3 x 320 cells and lengths like LibriSpeech's, at 80 ms a frame.
"""

import argparse
import itertools
import tempfile
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from data import librispeech_like
from lightning.pytorch.callbacks import WeightAveraging
from timing import Shares, bar, growth, measure, ratio, start, table, threads
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from seqlab.config import Config, build, compose
from seqlab.data.datamodule import DataModule
from seqlab.data.dataset import LineDataset
from seqlab.data.sampler import BucketBatches
from seqlab.encoders.blstm import BLSTM
from seqlab.manifest import read_manifests
from seqlab.task import CTCTask

WARM = 3  # steps before the clock runs
BATCHES = 3  # of each kind, per round


def prepare(name: str, folder: str) -> tuple[Config, CTCTask, DataModule]:
    """Build what seqlab train builds."""
    own = [f"corpus.folder={folder}", "data.num_workers=0", "training.show_lines=0"]
    config = compose("train", [f"experiment={name}", *own])
    lines = read_manifests(config["corpus"]["train"])
    tokenizer = build(config["tokenizer"], "tokenizer")
    texts = [line.text for line in lines]
    tokenizer.fit([*texts, " ".join(texts[:2])])
    config["tokenizer"] |= tokenizer.state()
    task = CTCTask(config)
    rejoin = config["augment"]["rejoin"]
    pool = read_manifests(config["corpus"]["rejoin_from"]) if rejoin else []
    data: DataModule = build(
        config["data"],
        "data",
        train=lines,
        dev=lines[:1],
        tokenizer=tokenizer,
        frontend=task.model.frontend,
        seed=config["seed"],
        augment=[build(node, "augment") for node in (config["augment"]["signal"] or {}).values()],
        rejoin=build(rejoin, "augment", pool=pool) if rejoin else None,
    )
    return config, task, data


def profile(config: Config, task: CTCTask, data: DataModule, steps: int) -> None:
    """Train some steps and print where their time went."""
    shares = Shares()
    marks: list[tuple[str, float]] = []  # when the gradient of a part's output was there

    def watch(owner: Any, method: str, name: str) -> None:
        def after(answer: Any) -> None:
            output = answer[0] if isinstance(answer, tuple) else answer
            if output.requires_grad:
                output.register_hook(lambda _: marks.append((name, time.process_time())))

        shares.watch(owner, method, name, after)

    def split(_: object) -> None:
        """Share a backward pass out: it belongs to a part from when the part's output has its gradient."""
        marks.append(("", time.process_time()))
        for (name, begin), (_, end) in itertools.pairwise(marks):
            shares.move(end - begin, "all of backward", name)
        marks.clear()

    model = task.model
    shares.watch(type(data.train_set.source), "read", "reading")
    shares.watch(LineDataset, "__getitem__", "signal augmentation, labels")
    watch(model.frontend, "forward", "features")
    watch(model, "frames", "normalisation, masks")
    watch(model.stem, "forward", "stem")
    watch(model.encoder, "forward", "encoder")
    watch(model, "read_layers", "output layer")
    watch(task.loss, "_plain", "CTC loss")
    shares.watch(task, "training_step", "rest of a step")
    shares.watch(torch.Tensor, "backward", "all of backward", split)
    shares.watch(task, "configure_gradient_clipping", "clipping")
    shares.watch(type(task.configure_optimizers()), "step", "optimiser")
    shares.watch(WeightAveraging, "on_train_batch_end", "averaged weights")

    frames = torch.zeros(2)  # real ones, and all

    def begin(batch: Any, index: int) -> None:
        if index == WARM:
            shares.clear()
        if index >= WARM:
            real = model.frontend.num_frames(batch.lengths)
            frames.add_(torch.tensor([float(real.sum()), float(real.max() * len(real))]))

    task.on_train_batch_start = begin  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as folder:
        given = config["training"] | {"run_dir": folder, "max_steps": WARM + steps, "budget_minutes": None}
        build(given, "training").fit(task, data, [], None)
        print(shares.table(f"{steps} steps of {config['name']}"))
    padding = 1 - frames[0] / frames[1]
    print(f"\n{int(frames[0]) / shares.whole:,.0f} frames of the frontend per CPU second; padding {padding:.1%}")


def steps_of(encoder: BLSTM, batches: list[Tensor], packed: bool, bf16: bool = False) -> Callable[[], None]:
    """Return forward and backward passes over batches of lines of the given lengths."""
    size = encoder.lstm.input_size
    inputs = [torch.randn(len(lengths), int(lengths.max()), size) for lengths in batches]

    def run() -> None:
        for x, lengths in zip(inputs, batches, strict=True):
            encoder.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                if packed:
                    rows = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
                    states = pad_packed_sequence(encoder.lstm(rows)[0], batch_first=True)[0]
                else:
                    states = encoder(x, lengths)[0]
            states.float().square().mean().backward()

    return run


def against_packed(encoder: BLSTM, frames: np.ndarray, budget: int, rounds: int) -> None:
    """Compare batches of like length with random ones, packed; frames are those of the lines at the encoder."""
    frames = frames[frames > 0]
    sampler = BucketBatches(frames, budget)
    rng = np.random.default_rng(0)
    ours = list(sampler)
    lines = max(round(len(frames) / len(ours)), 1)
    chosen = [torch.from_numpy(frames[ours[i]]).long() for i in rng.choice(len(ours), BATCHES, replace=False)]
    drawn = [torch.from_numpy(rng.choice(frames, lines, replace=False)).long() for _ in range(BATCHES)]
    waste = 1 - sum(float(n.sum()) for n in drawn) / sum(float(n.max() * len(n)) for n in drawn)
    runs = {
        "random batches, packed": steps_of(encoder, drawn, True),
        "seqlab": steps_of(encoder, chosen, False),
        "random batches, packed, bf16": steps_of(encoder, drawn, True, True),
        "seqlab, bf16": steps_of(encoder, chosen, False, True),
    }
    real = {name: sum(int(n.sum()) for n in (chosen if "seqlab" in name else drawn)) for name in runs}
    seconds = {name: [1e6 * s / real[name] for s in taken] for name, taken in measure(runs, rounds).items()}
    print(
        f"\n{encoder.num_layers} x {encoder.lstm.hidden_size}, about {lines} lines; padding {sampler.padding:.1%} in "
        f"buckets, {waste:.1%} in random batches; microseconds of CPU per real frame:\n"
    )
    print(table(seconds, "random batches, packed").replace("CPU s", "us"))
    more = {
        "as above": runs["seqlab"],
        "lines twice as long": steps_of(encoder, [2 * n for n in chosen], False),
        "twice as many lines": steps_of(encoder, [n.repeat(2) for n in chosen], False),
    }
    print(growth(measure(more, max(rounds // 2, 1)), "as above"))
    print(threads(runs["seqlab"], max(rounds // 2, 1)))
    print()
    bar(
        "loader and encoder per real frame, times as fast",
        ratio(seconds, "random batches, packed", "seqlab"),
        1.5,
        True,
    )
    bar("padding, %", 100 * sampler.padding, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiment", default="peraire")
    parser.add_argument("--folder", metavar="CORPUS")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    start(packages=("torch", "lightning", "numpy"))
    warnings.simplefilter("ignore")
    if not given.folder:
        frames = np.maximum(librispeech_like(2000) * 100 / 8, 1).astype(np.int64)
        against_packed(BLSTM(80), frames, 16 * int(frames.mean()), given.rounds)
        return
    config, task, data = prepare(given.experiment, given.folder)
    sizes = data.frontend.num_frames(torch.from_numpy(data.train_set.plan(0).astype(np.int64)))
    profile(config, task, data, given.steps)
    _, fresh, _ = prepare(given.experiment, given.folder)
    stem, encoder = fresh.model.stem, fresh.model.encoder
    frames = stem.num_frames(sizes).numpy()
    stride = float(sizes.double().sum() / frames.sum())
    against_packed(encoder, frames, int(config["data"]["batch_frames"] / stride), given.rounds)


if __name__ == "__main__":
    main()
