"""Is training waiting for its lines? Reading and augmenting beside a training step; and the padding of an epoch.

python scripts/bench/lines.py [experiment=peraire corpus.folder=... other overrides] [--batches 20] [--rounds 5]

Exit status 1 if lines, read and augmented, are not ready 3 times as fast as the encoder consumes them, or if more than
5 % of an epoch is padding. Prints, for the same batches, CPU seconds of: reading lines whose images are not decoded
yet, augmenting lines that are in memory, a step of the whole network, and a step of the encoder alone on given frames.
Without a corpus at hand the default experiment=written_digits needs `seqlab prepare corpus=written_digits` once.
"""

import argparse
import statistics
import sys
from typing import Any

import torch
from timing import measure, start, table

from seqlab.batch import collate
from seqlab.config import build, compose
from seqlab.data.dataset import LineDataset
from seqlab.data.sampler import BucketBatches
from seqlab.data.sources import source_of
from seqlab.manifest import read_manifests
from seqlab.task import CTCTask


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", default=["experiment=written_digits"])
    parser.add_argument("--batches", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    start()
    config = compose("train", given.overrides)
    lines = read_manifests(config["corpus"]["train"])
    tokenizer = build(config["tokenizer"], "tokenizer")
    tokenizer.fit([line.text for line in lines])
    config["tokenizer"] |= tokenizer.state()
    task = CTCTask(config).train()
    optimizer: Any = task.configure_optimizers()
    augment = [build(node, "augment") for node in (config["augment"]["signal"] or {}).values()]

    def dataset(cache_mb: int) -> LineDataset:
        return LineDataset(lines, tokenizer, source_of(task.model.frontend, cache_mb), 1, augment, training=True)

    kept, cold = dataset(2000), dataset(0)
    data = config["data"]
    frames = task.model.frontend.num_frames(torch.from_numpy(kept.plan(0))).numpy()
    cold.plan(0)
    sampler = BucketBatches(frames, data["batch_frames"], data["max_lines"], data["length_jitter"])
    chosen = list(sampler)[: given.batches]
    batches = [collate([kept[i] for i in indices]) for indices in chosen]
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=config["training"]["precision"] == "bf16-mixed")
    with autocast, torch.no_grad():
        read = [task.model.frames(batch.signal, batch.lengths) for batch in batches]

    def step(whole: bool) -> None:
        for batch, (x, lengths) in zip(batches, read, strict=True):
            with autocast:
                if whole:
                    x, lengths = task.model.frames(batch.signal, batch.lengths)
                    log_probs, ends = task.model.read(x, lengths)
                    task.loss(log_probs, ends, batch.labels, batch.label_lengths).mean().backward()
                else:
                    task.model.encoder(x, lengths)[0].float().square().mean().backward()
            if whole:
                optimizer.step()
            optimizer.zero_grad()

    def load(source: LineDataset) -> None:
        for indices in chosen:
            collate([source[i] for i in indices])

    contenders = {
        "read and augment": lambda: load(cold),
        "augment": lambda: load(kept),
        "training step": lambda: step(True),
        "encoder's part of it": lambda: step(False),
    }
    seconds = measure(contenders, given.rounds)
    count = sum(map(len, chosen))
    notes = {name: f"{1000 * statistics.median(values) / count:.2f} ms a line" for name, values in seconds.items()}
    print(f"{count} lines in {len(chosen)} batches; padding of the epoch {100 * sampler.padding:.2f} %\n")
    print(table(seconds, "encoder's part of it", notes))
    middle = {name: statistics.median(values) for name, values in seconds.items()}
    missed = middle["encoder's part of it"] < 3 * middle["read and augment"] or sampler.padding > 0.05
    sys.exit("\na limit was missed" if missed else 0)


if __name__ == "__main__":
    main()
