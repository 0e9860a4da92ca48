"""How quick this machine trains a configuration: some real steps, measured."""

import itertools
import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from seqlab.batch import Batch
from seqlab.config import Config, build
from seqlab.data.datamodule import DataModule
from seqlab.manifest import Line
from seqlab.task import CTCTask

WARM = 2  # steps before the clock runs
STEPS = 12  # measured, at most


class _Quiet(CTCTask):
    """A task without a trainer to log to."""

    def _log_step(self, loss: Tensor, batch: Batch) -> None:
        pass


def on_gpu(config: Config) -> bool:
    """Tell whether a configuration is trained on a GPU here."""
    return torch.cuda.is_available() and config["training"]["accelerator"] != "cpu"


def seconds_per_pass(
    config: Config, train: Sequence[Line], pool: Sequence[Line], tokenizer: Any, most: float
) -> tuple[float, float]:
    """Measure steps of a training, reading and augmentation included.

    Args:
        config: of the training, with the tokenizer's alphabet.
        train: training lines.
        pool: recordings to join from, where the configuration joins.
        tokenizer: the built one.
        most: seconds after which no further step begins.

    Returns:
        Seconds of one pass over the training lines: by the wall clock, and CPU time of the process.
    """
    torch.set_num_threads(config["training"]["threads"])
    torch.manual_seed(0)
    gpu = on_gpu(config)
    device = torch.device("cuda" if gpu else "cpu")
    task = _Quiet(config).to(device)
    rejoin = config["augment"]["rejoin"]
    data: DataModule = build(
        {**config["data"], "num_workers": 0, "sorted_epochs": 0},
        "data",
        train=train,
        dev=train[:1],
        tokenizer=tokenizer,
        frontend=task.model.frontend,
        seed=config["seed"],
        augment=[build(node, "augment") for node in (config["augment"]["signal"] or {}).values()],
        rejoin=build(rejoin, "augment", pool=pool) if rejoin else None,
    )
    optimizer = task.configure_optimizers()
    loader = data.train_dataloader()
    steps = len(loader)
    begun, done = time.monotonic(), 0
    wall, cpu = begun, time.process_time()
    for batch in itertools.islice(itertools.chain.from_iterable(itertools.repeat(loader)), WARM + STEPS):
        mixed = config["training"]["precision"] == "bf16-mixed"
        with torch.autocast(device.type, torch.bfloat16, enabled=mixed):
            loss = task.training_step(batch.to(device), done)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        done += 1
        if gpu:
            torch.cuda.synchronize()
        if done == WARM:
            wall, cpu = time.monotonic(), time.process_time()
        if done > WARM and time.monotonic() - begun > most:
            break
    share = steps / (done - WARM)
    return (time.monotonic() - wall) * share, (time.process_time() - cpu) * share
