"""Training: the settings of a run and the Lightning trainer made of them."""

import logging
import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.fabric.plugins.environments import SLURMEnvironment, TorchElasticEnvironment
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, WeightAveraging
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor

from seqlab.base_task import LOG_EVERY, Task
from seqlab.data.datamodule import DataModule
from seqlab.machine import usable_cores
from seqlab.task import CTCTask
from seqlab.training.averaging import average_best as average
from seqlab.training.callbacks import SaveLast, WholeCheckpoints
from seqlab.training.health import Health
from seqlab.training.memory import MemoryGuard
from seqlab.training.progress import ShowProgress
from seqlab.training.show_lines import ShowLines
from seqlab.weight_noise import WeightNoise

logger = logging.getLogger(__name__)


def is_first_process() -> bool:
    """Tell whether this process speaks and writes for all of a distributed run."""
    return int(getattr(rank_zero_only, "rank", 0)) == 0


def started_processes() -> int | None:
    """Return how many processes torchrun or srun has started for this run; None where neither has started this one."""
    if TorchElasticEnvironment.detect():
        return TorchElasticEnvironment().world_size()
    if "SLURM_NTASKS" in os.environ and SLURMEnvironment.job_name() not in ("bash", "interactive"):
        return int(os.environ["SLURM_NTASKS"])
    return None


def moving_average(decay: float) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Return an exponential moving average of weights that forgets the first ones quickly.

    The decay grows as (1 + n) / (10 + n) over the first updates n, so that the untrained weights do not linger in the
    average of a short run.
    """

    def average(averaged: Tensor, current: Tensor, updates: Tensor) -> Tensor:
        count = float(updates)
        now = min(decay, (1 + count) / (10 + count))
        if not averaged.is_floating_point():
            return current
        return averaged.lerp(current, 1 - now)  # leaves equal weights, such as frozen ones, exactly equal

    return average


class Training:
    """One training run.

    Args:
        run_dir: folder that everything is written to; checkpoints go to ``checkpoints/``.
        max_epochs: epochs over the training lines, or null.
        max_steps: optimiser steps, or null.
        budget_minutes: CPU minutes of this process and its reading processes (wall minutes on a GPU), or null. A run on
            a budget is not bit-equal to its repetition, because the clock decides. Of several limits the one that is
            reached first ends the training, and the schedule follows the one that is nearest to its end.
        precision: 32-true or bf16-mixed.
        gradient_clip: largest gradient norm, or null.
        accumulate: batches per optimiser step.
        ema: decay of averaged weights, or null.
        early_stopping: validations without a better val/cer (of symbols val/wer, of language models val/perplexity)
            before training stops, or null.
        validate_every: epochs between validations.
        max_bad_steps: steps skipped for a non-finite loss before the run stops.
        checkpoint_minutes: longest time between two last checkpoints.
        keep_best: best checkpoints kept.
        accelerator: auto, cpu, gpu.
        devices: processes per machine.
        num_nodes: machines.
        threads: CPU threads.
        deterministic: refuse operations whose result may change from run to run.
        find_budget: on a GPU, search the largest data.batch_frames that fits into its memory before training.
        average_best: at the end, average the best checkpoints, so many, validate the mean and write it beside them,
            see ``seqlab.training.averaging``; in one process. 0: no average.
        weight_noise: standard deviation of noise on the weights, see ``WeightNoise``; 0: none.
        weight_noise_from: share of the training after which it begins.
        show_lines: dev lines that TensorBoard shows, see ``ShowLines``; 0: none.
    """

    def __init__(
        self,
        run_dir: str,
        max_epochs: int | None = 30,
        max_steps: int | None = None,
        budget_minutes: float | None = None,
        precision: Literal["32-true", "bf16-mixed"] = "32-true",
        gradient_clip: float | None = 5.0,
        accumulate: int = 1,
        ema: float | None = 0.999,
        early_stopping: int | None = None,
        validate_every: int = 1,
        max_bad_steps: int = 20,
        checkpoint_minutes: float = 5.0,
        keep_best: int = 1,
        accelerator: Literal["auto", "cpu", "gpu"] = "auto",
        devices: int = 1,
        num_nodes: int = 1,
        threads: int = 1,
        deterministic: bool = True,
        find_budget: bool = False,
        average_best: int = 0,
        weight_noise: float = 0.0,
        weight_noise_from: float = 0.0,
        show_lines: int = 4,
    ) -> None:
        if not (max_epochs or max_steps or budget_minutes):
            raise ValueError("one of max_epochs, max_steps and budget_minutes must say when to stop")
        limits = {"max_epochs": max_epochs, "max_steps": max_steps, "budget_minutes": budget_minutes}
        for name, limit in (limits | {"early_stopping": early_stopping}).items():
            if limit is not None and limit <= 0:
                raise ValueError(f"{name} must be positive or null, got {limit}")
        if checkpoint_minutes < 0:
            raise ValueError(f"checkpoint_minutes must be 0 or more, got {checkpoint_minutes}")
        positive = {"accumulate": accumulate, "validate_every": validate_every, "keep_best": keep_best}
        positive |= {"devices": devices, "threads": threads, "num_nodes": num_nodes, "max_bad_steps": max_bad_steps}
        for name, value in positive.items():
            if value < 1:
                raise ValueError(f"{name} must be 1 or more, got {value}")
        if show_lines < 0:
            raise ValueError(f"show_lines must be 0 or more, got {show_lines}")
        if ema is not None and not 0 < ema < 1:
            raise ValueError(f"ema must lie between 0 and 1, got {ema}")
        if gradient_clip is not None and gradient_clip <= 0:
            raise ValueError(f"gradient_clip must be positive or null, got {gradient_clip}")
        if accelerator == "gpu" and not torch.cuda.is_available():
            raise ValueError("accelerator is gpu, but PyTorch finds no CUDA device; use auto or cpu")
        self.run_dir = Path(run_dir)
        self.max_epochs = max_epochs
        self.max_steps, self.precision, self.accumulate = max_steps, precision, accumulate
        self.ema, self.early_stopping, self.validate_every = ema, early_stopping, validate_every
        self.checkpoint_minutes, self.keep_best = checkpoint_minutes, keep_best
        # of Apple's GPUs nothing is known here: torch has no CTC loss for them
        self.accelerator = "gpu" if accelerator != "cpu" and torch.cuda.is_available() else "cpu"
        self.devices, self.num_nodes = devices, num_nodes
        self.threads, self.deterministic = threads, deterministic
        if find_budget and self.accelerator == "cpu":
            raise ValueError(
                "find_budget needs a GPU: on a CPU the system ends a process that asks for too much memory"
            )
        self.find_budget = find_budget
        WeightNoise(weight_noise, weight_noise_from)  # the task makes its own; refused values are refused here
        if average_best < 0 or average_best == 1:
            raise ValueError(f"average_best must be 0, or 2 or more, got {average_best}")
        if average_best and devices * num_nodes > 1:
            raise ValueError("average_best works in one process; use devices=1 and num_nodes=1, or average_best=0")
        started = started_processes()
        if started is not None and started != devices * num_nodes:
            raise ValueError(
                f"devices={devices} x num_nodes={num_nodes} does not fit the {started} process(es) that torchrun or "
                "srun started; devices is the number on each machine"
            )
        self.average_best, self.show_lines = average_best, show_lines

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.run_dir / "checkpoints"

    @property
    def last(self) -> Path:
        """The checkpoint that a run is resumed from."""
        return self.checkpoints / "last.ckpt"

    def fit(self, task: Task, data: DataModule, loggers: Sequence[Any], resume: Path | None) -> Trainer:
        """Train; returns the trainer when the run is over.

        Args:
            task: the model and its steps.
            data: the batches.
            loggers: Lightning loggers.
            resume: checkpoint to go on from, or None.
        """
        best = ModelCheckpoint(
            self.checkpoints,
            filename=f"best-epoch{{epoch:03d}}-{task.monitor.rpartition('/')[2]}{{{task.monitor}:.4f}}",
            monitor=task.monitor,
            mode="min",
            save_top_k=max(self.keep_best, self.average_best),
            auto_insert_metric_name=False,
            enable_version_counter=False,
        )
        show = ShowProgress(data.frontend, data.train_set.source.unit)
        data.find_budget = self.find_budget
        data.spare_cores, data.on_gpu = usable_cores() // self.devices - self.threads, self.accelerator == "gpu"
        callbacks: list[Callback] = [
            show,
            Health(data),
            best,
            SaveLast(self.last, self.checkpoint_minutes),
            MemoryGuard(data),
        ]
        if self.show_lines and isinstance(task, CTCTask):  # before the average takes its weights away again
            callbacks.append(ShowLines(data, self.show_lines))
        if self.ema:
            callbacks.append(WeightAveraging(avg_fn=moving_average(self.ema)))
        if self.early_stopping:
            callbacks.append(EarlyStopping(task.monitor, patience=self.early_stopping, mode="min"))
        for name in ("lightning.pytorch", "lightning.fabric"):
            logging.getLogger(name).setLevel(logging.WARNING)
        warnings.filterwarnings("ignore", module="lightning.*")
        several = self.devices * self.num_nodes > 1
        plugins: list[Any] = [WholeCheckpoints()]
        if several and SLURMEnvironment.detect() and not TorchElasticEnvironment.detect():
            plugins.append(SLURMEnvironment(auto_requeue=False))  # SaveLast saves, and the exit status asks for it
        trainer = Trainer(
            accelerator=self.accelerator,
            # buffers that differ are joined by the task; broadcasting them before each batch would also happen in
            # validation, where ranks may have batches of unequal number
            strategy=DDPStrategy(broadcast_buffers=False) if several else "auto",
            devices=self.devices,
            num_nodes=self.num_nodes,
            precision=self.precision,
            max_epochs=self.max_epochs if self.max_epochs else -1,
            max_steps=self.max_steps or -1,
            accumulate_grad_batches=self.accumulate,
            gradient_clip_val=None,  # the task clips, so that a bad step can be dropped
            check_val_every_n_epoch=min(self.validate_every, self.max_epochs or self.validate_every),
            num_sanity_val_steps=0,
            reload_dataloaders_every_n_epochs=1,
            use_distributed_sampler=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            log_every_n_steps=LOG_EVERY,
            logger=list(loggers),
            callbacks=callbacks,
            plugins=plugins,
            deterministic="warn" if self.deterministic else False,
            default_root_dir=self.run_dir,
        )
        try:
            trainer.fit(task, datamodule=data, ckpt_path=str(resume) if resume else None, weights_only=True)
        except SystemExit:  # what Lightning makes of Ctrl-C
            raise KeyboardInterrupt from None
        if self.average_best:
            average(task, data, self.checkpoints, self.accelerator)
        return trainer

    def set_threads(self) -> None:
        """Use the given number of CPU threads."""
        os.environ.setdefault("OMP_NUM_THREADS", str(self.threads))  # else Lightning would choose for several processes
        torch.set_num_threads(self.threads)
