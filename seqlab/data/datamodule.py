"""The Lightning side of the data: loaders for each epoch, position saved for resume."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningDataModule, Trainer
from torch.utils.data import DataLoader

from seqlab.batch import Batch, collate
from seqlab.data.augment import Augmentation
from seqlab.data.dataset import LineDataset, Rejoin, Tokenizer
from seqlab.data.sampler import BucketBatches
from seqlab.data.sources import source_of
from seqlab.manifest import Line


def epochs(trainer: Trainer) -> Any:
    """Return Lightning's counts of epochs started and processed; unlike current_epoch they are right at a resume."""
    return trainer.fit_loop.epoch_progress.current


class DataModule(LightningDataModule):
    """Training and validation batches.

    Args:
        train: training lines.
        dev: validation lines.
        tokenizer: turns text into labels.
        frontend: tells what lines are and how many frames they have.
        seed: seed of order and augmentation.
        augment: signal augmentations of training lines.
        rejoin: joins a new line in place of each training line, or None.
        batch_frames: most frames of the frontend per batch, padding counted.
        max_lines: most lines per batch.
        length_jitter: how far lines may stray from their length order, as a share of their length.
        num_workers: reading processes; 0 reads in the training process.
        cache_mb: memory for decoded recordings and images, per process.
    """

    def __init__(
        self,
        train: Sequence[Line],
        dev: Sequence[Line],
        tokenizer: Tokenizer,
        frontend: Any,
        seed: int,
        augment: Sequence[Augmentation] = (),
        rejoin: Rejoin | None = None,
        batch_frames: int = 2400,
        max_lines: int = 64,
        length_jitter: float = 0.01,
        num_workers: int = 0,
        cache_mb: int = 512,
    ) -> None:
        super().__init__()
        for name, value in (("num_workers", num_workers), ("cache_mb", cache_mb)):
            if value < 0:
                raise ValueError(f"{name} must be 0 or more, got {value}")
        if not 0 <= length_jitter < 1:
            raise ValueError(f"length_jitter must lie in [0, 1), got {length_jitter}")
        for name, value in (("batch_frames", batch_frames), ("max_lines", max_lines)):
            if value < 1:
                raise ValueError(f"{name} must be 1 or more, got {value}")
        self.frontend = frontend
        self.seed, self.batch_frames, self.max_lines = seed, batch_frames, max_lines
        self.length_jitter, self.num_workers = length_jitter, num_workers
        source = source_of(frontend, cache_mb)
        self.train_set = LineDataset(train, tokenizer, source, seed, augment, rejoin, training=True)
        self.dev_set = LineDataset(dev, tokenizer, source_of(frontend, cache_mb // 4))
        self.sampler: BucketBatches | None = None
        self._resume: dict[str, int] = {}

    def train_dataloader(self) -> "DataLoader[Batch]":
        """Return the loader of the coming epoch; Lightning asks anew for every epoch."""
        epoch = epochs(self.trainer).processed if self.trainer else 0
        start = self._resume.get("batches", 0) if self._resume.get("epoch") == epoch else 0
        self._resume = {}
        frames = self._frames(self.train_set, epoch)
        rank, world = self._place()
        self.sampler = BucketBatches(
            frames, self.batch_frames, self.max_lines, self.length_jitter, self.seed, epoch, rank, world, start
        )
        return self._loader(self.train_set, self.sampler)

    def val_dataloader(self) -> "DataLoader[Batch]":
        """Return the validation loader: sorted by length, each rank its share."""
        rank, world = self._place()
        frames = self._frames(self.dev_set, 0)
        sampler = BucketBatches(frames, 2 * self.batch_frames, rank=rank, world=world, shuffle=False)
        return self._loader(self.dev_set, sampler)

    def _frames(self, dataset: LineDataset, epoch: int) -> np.ndarray:
        return self.frontend.num_frames(torch.from_numpy(dataset.plan(epoch))).numpy()

    def _place(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    def _loader(self, dataset: LineDataset, sampler: BucketBatches) -> "DataLoader[Batch]":
        loader: DataLoader[Any] = DataLoader(
            dataset,
            batch_sampler=sampler,
            collate_fn=collate,
            num_workers=self.num_workers,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator().manual_seed(0),  # else each loader would draw from the global generator
        )
        return loader

    def state_dict(self) -> dict[str, Any]:
        """Return the position in the data: epoch and batches trained in it."""
        assert self.trainer is not None
        done = epochs(self.trainer)
        within = done.started > done.processed  # else the checkpoint is written between two epochs
        current: Any = self.trainer.fit_loop.epoch_loop.batch_progress.current
        batches = current.processed if within else 0
        return {"epoch": done.processed, "batches": batches}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Remember the position for the next training loader."""
        self._resume = dict(state_dict)

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Move a batch to the device."""
        return batch.to(device, non_blocking=True)
