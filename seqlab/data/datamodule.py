"""The Lightning side of the data: loaders for each epoch, position saved for resume."""

import logging
import multiprocessing
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningDataModule, Trainer

from seqlab.batch import Batch, collate
from seqlab.data.augment import Augmentation
from seqlab.data.cache import DecodedCache
from seqlab.data.dataset import LineDataset, Rejoin, Tokenizer
from seqlab.data.loader import Loader, reading_processes
from seqlab.data.sampler import BucketBatches
from seqlab.data.shards import shards_of
from seqlab.data.sources import AudioSource, source_of
from seqlab.errors import DataError
from seqlab.manifest import Line
from seqlab.manifest_index import PIECE

logger = logging.getLogger(__name__)


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
        num_workers: reading processes; 0 reads in the training process; null: as loader.reading_processes says.
        sorted_epochs: first epochs in which batches come from short to long ("SortaGrad", Amodei et al. 2015, Deep
            Speech 2, section 3.3).
        cache_mb: memory for decoded recordings and images, per process.
        cache_dir: folder for decoded recordings, which any number of runs may share, or null.
        cache_gb: most that the folder may hold.
        shuffle_window: with tar shards, about how many lines of consecutive shards are shuffled together, so that
            reading stays local; 0 shuffles all lines.
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
        num_workers: int | None = None,
        cache_mb: int = 512,
        cache_dir: str | None = None,
        cache_gb: float = 20.0,
        sorted_epochs: int = 0,
        shuffle_window: int = 0,
    ) -> None:
        super().__init__()
        for name, value in (
            ("num_workers", num_workers or 0),
            ("cache_mb", cache_mb),
            ("cache_gb", cache_gb),
            ("sorted_epochs", sorted_epochs),
            ("shuffle_window", shuffle_window),
        ):
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
        self.sorted_epochs = sorted_epochs
        self.shuffle_window = shuffle_window
        self._shards = shards_of(train) if shuffle_window else None
        source = source_of(frontend, cache_mb)
        self.train_set = LineDataset(train, tokenizer, source, seed, augment, rejoin, training=True)
        self.dev_set = LineDataset(dev, tokenizer, source_of(frontend, cache_mb // 4))
        if cache_dir is not None:
            decoded = DecodedCache(cache_dir, cache_gb)
            for dataset in (self.train_set, self.dev_set):
                if isinstance(dataset.source, AudioSource):
                    dataset.source.decoded = decoded
        self.sampler: BucketBatches | None = None
        self.train_loader: Loader | None = None
        self._dev_loader: Loader | None = None
        self._resume: dict[str, Any] = {}
        self.limit: int | None = None  # frames per batch after memory ran out, or as found; None: as configured
        self.fits: Callable[[Batch], bool] | None = None  # tells whether a batch fits into memory
        self.find_budget = False
        self.spare_cores, self.on_gpu = 0, False  # beside those that train; what it trains on
        self._planned = 0  # frames per batch in this epoch

    @property
    def budget(self) -> int:
        """Frames per batch."""
        return self.batch_frames if self.limit is None else self.limit

    def lower(self, frames: int) -> None:
        """Allow fewer frames per batch from the next epoch on; too large batches of this one are trained in parts."""
        self.limit = min(self.budget, frames)

    def train_dataloader(self) -> Loader:
        """Return the loader of the coming epoch; Lightning asks anew for every epoch."""
        epoch = epochs(self.trainer).processed if self.trainer else 0
        start = self._resume.get("batches", 0) if self._resume.get("epoch") == epoch else 0
        planned = self._resume.get("planned", 0) if start else 0  # an epoch goes on with the batches it was cut into
        self._resume = {}
        self.sampler = None
        if self.train_loader:
            self.train_loader.batches = None  # two plans of millions of lines would stand side by side
        frames = self._frames(self.train_set, epoch)
        rank, world = self._place()

        def batches(budget: int) -> BucketBatches:
            self._planned = budget
            return BucketBatches(
                frames,
                budget,
                self.max_lines,
                self.length_jitter,
                self.seed,
                epoch,
                rank,
                world,
                start,
                ordered=epoch < self.sorted_epochs,
                shards=self._shards,
                window=self.shuffle_window,
            )

        if self.fits and not start:
            self._try(batches)
        self.fits = None  # tried once, at the start
        self.sampler = batches(planned or self.budget)
        if self.train_loader is None:
            self.train_loader = Loader(self.train_set, self._workers())
        return self.train_loader.begin(epoch, self.sampler)

    def _try(self, batches: Callable[[int], BucketBatches]) -> None:
        """Find a budget whose worst batch fits into memory: at most that of now, or the largest that fits."""

        def fits(budget: int) -> bool:
            assert self.fits is not None
            return self.fits(collate([self.train_set[line] for line in batches(budget).worst()]))

        wanted = budget = self.budget
        while not fits(budget):
            worst = batches(budget).worst()
            if len(worst) == 1:
                line = self.train_set.lines[worst[0]]
                raise DataError(f"{line.where} {line.id}: this line alone does not fit into memory; leave it out")
            budget = budget * 4 // 5
        if self.find_budget and budget == wanted:
            while len(batches(2 * budget)) < len(batches(budget)) and fits(2 * budget):
                budget *= 2
            for step in (budget // 2, budget // 4, budget // 8):
                if len(batches(budget + step)) < len(batches(budget)) and fits(budget + step):
                    budget += step
        if budget != wanted or self.find_budget:
            self.limit = budget
            logger.warning("data.batch_frames=%d fits into memory (%d was asked for)", budget, wanted)

    def val_dataloader(self) -> Loader:
        """Return the validation loader: sorted by length, each rank its share."""
        rank, world = self._place()
        frames = self._frames(self.dev_set, 0)
        sampler = BucketBatches(frames, 2 * self.budget, rank=rank, world=world, shuffle=False)
        if self._dev_loader is None:
            self._dev_loader = Loader(self.dev_set, self.num_workers or 0)
        return self._dev_loader.begin(0, sampler)

    @property
    def reading_s(self) -> float:
        """CPU seconds of all reading processes so far."""
        return sum(loader.reading_s for loader in (self.train_loader, self._dev_loader) if loader)

    def _frames(self, dataset: LineDataset, epoch: int) -> np.ndarray:
        samples = dataset.plan(epoch)
        for begin in range(0, len(samples), PIECE):
            piece = slice(begin, begin + PIECE)
            lengths = torch.from_numpy(samples[piece].astype(np.int64))
            samples[piece] = self.frontend.num_frames(lengths).numpy()
        return samples

    def _place(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    def _workers(self) -> int:
        """Return the reading processes of the training: as asked for, else as the rule says."""
        if self.num_workers is not None:
            return self.num_workers
        if multiprocessing.get_start_method() != "fork":
            return 0  # such a process would import everything anew and get a copy of all lines
        changed = bool(self.train_set.augment or self.train_set.rejoin)
        return reading_processes(len(self.train_set), changed, self.spare_cores, self.on_gpu)

    def teardown(self, stage: str) -> None:
        """End the reading processes."""
        for loader in (self.train_loader, self._dev_loader):
            if loader:
                loader.close()

    def state_dict(self) -> dict[str, Any]:
        """Return the position in the data: epoch and batches trained in it."""
        assert self.trainer is not None
        done = epochs(self.trainer)
        within = done.started > done.processed  # else the checkpoint is written between two epochs
        current: Any = self.trainer.fit_loop.epoch_loop.batch_progress.current
        batches = current.processed if within else 0
        budget = {"planned": self._planned, "limit": self.limit, "batch_frames": self.batch_frames}
        return {"epoch": done.processed, "batches": batches, **budget}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Remember the position for the next training loader."""
        self._resume = dict(state_dict)
        if state_dict.get("batch_frames") == self.batch_frames:  # else another budget is wished for from now on
            self.limit = state_dict.get("limit")
            self.find_budget = self.find_budget and self.limit is None

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Move a batch to the device."""
        return batch.to(device, non_blocking=True)
