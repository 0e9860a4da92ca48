"""One model out of the best checkpoints of a run: the mean of their weights (Polyak and Juditsky 1992)."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from seqlab.base_task import Task
from seqlab.data.datamodule import DataModule
from seqlab.stems._norm import MaskedBatchNorm
from seqlab.training.callbacks import WholeCheckpoints

logger = logging.getLogger(__name__)

NAME = "best-average"
NORM_BATCHES = 200  # batches that statistics of normalisation are measured on


def mean_weights(states: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Average the weights of several checkpoints of one network, in double precision.

    Args:
        states: state dictionaries; what is no floating-point number is taken from the first.
    """
    mean = {}
    for name, first in states[0].items():
        if first.is_floating_point():
            mean[name] = torch.stack([state[name].double() for state in states]).mean(0).to(first.dtype)
        else:
            mean[name] = first
    return mean


@torch.no_grad()
def measure_norms(task: Task, data: DataModule) -> None:
    """Measure the statistics of batch normalisation anew, on training lines.

    The mean of running statistics is not what averaged weights produce. Nothing is done where there are none.
    """
    norms = [module for module in task.modules() if isinstance(module, MaskedBatchNorm)]
    if not norms:
        return
    model: Any = task.model
    kept = [norm.momentum for norm in norms]
    modes = {module: module.training for module in model.modules()}
    model.eval()
    for norm in norms:
        norm.train()
    for number, batch in enumerate(data.train_dataloader()):
        if number == NORM_BATCHES:
            break
        for norm in norms:
            norm.momentum = 1 / (number + 1)  # so that the running mean is the mean
        model(batch.signal.to(task.device), batch.lengths.to(task.device))
    for norm, momentum in zip(norms, kept, strict=True):
        norm.momentum = momentum
    for module, mode in modes.items():
        module.training = mode


def average_best(task: Task, data: DataModule, folder: Path, accelerator: str) -> Path | None:
    """Average the best checkpoints in a folder, validate the mean, and write it beside them.

    Its name holds its own metric, so that ``find_checkpoint`` takes it where it is the best. It has weights and
    configuration, and no optimiser: a run is resumed from last.ckpt.

    Args:
        task: of the run; its weights are replaced.
        data: of the run.
        folder: checkpoints/ of the run.
        accelerator: cpu or gpu.

    Returns:
        The checkpoint, or None where there are not two to average or the disk is full; an average before is then kept.
    """
    paths = [path for path in sorted(folder.glob("best-*.ckpt")) if not path.name.startswith(NAME)]
    if len(paths) < 2:
        logger.warning("average_best: %d checkpoint(s) to average, nothing done; raise keep_best", len(paths))
        return None
    checkpoints = [torch.load(path, map_location="cpu", weights_only=True) for path in paths]
    task.load_state_dict(mean_weights([checkpoint["state_dict"] for checkpoint in checkpoints]))
    measure_norms(task, data)
    trainer = Trainer(
        accelerator=accelerator,
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    found = trainer.validate(task, datamodule=data, verbose=False)[0][task.monitor]
    name = task.monitor.rpartition("/")[2]
    made = folder / f"{NAME}-{name}{found:.4f}.ckpt"
    keys = ("pytorch-lightning_version", "hyper_parameters", "epoch", "global_step")
    kept = {key: checkpoints[0][key] for key in keys if key in checkpoints[0]}
    files = WholeCheckpoints()
    files.save_checkpoint(kept | {"state_dict": {k: v.cpu() for k, v in task.state_dict().items()}}, made)
    if files.failed:
        return None
    for old in folder.glob(f"{NAME}-*.ckpt"):
        if old != made:
            old.unlink()
    logger.warning("average of %d checkpoints: %s %.4f", len(paths), task.monitor, found)
    return made
