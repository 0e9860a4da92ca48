"""A few lines of dev in TensorBoard: heard and seen once, and after each validation how the net reads them."""

import unicodedata
from typing import Any, cast

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from seqlab.batch import Batch, collate
from seqlab.data.datamodule import DataModule
from seqlab.scoring import align, char_counts, word_counts
from seqlab.task import CTCTask
from seqlab.training.pictures import draw_alignment, draw_features, draw_ink

MARKS = {"hit": " ", "sub": "S", "del": "D", "ins": "I"}
GAP = "*"  # where the other text has a character and this one has none, as sclite writes it


class ShowLines(Callback):
    """Write fixed lines of dev to TensorBoard, spread evenly over the lengths.

    Once, at the beginning: lines/ID/audio, or lines/ID/image with the line image or the drawn ink. After each
    validation, by the weights that are validated: lines/ID/text, the reference and what is read, errors marked; and
    lines/ID/alignment, the posteriors of the symbols over time below the features. Without TensorBoard among the
    loggers it does nothing.

    Args:
        data: its dev lines are shown.
        count: lines.
    """

    def __init__(self, data: DataModule, count: int) -> None:
        self.data, self.count = data, count
        self._writer: Any = None
        self._batch: Batch | None = None
        self._features: list[np.ndarray] = []  # pictures, drawn once

    @torch.no_grad()
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Choose the lines, and write what does not change."""
        loggers = [log for log in trainer.loggers if isinstance(log, TensorBoardLogger)]
        if not loggers or not trainer.is_global_zero:
            return
        self._writer = loggers[0].experiment
        dataset = self.data.dev_set
        order = np.argsort(dataset.plan(0), kind="stable")
        places = (np.arange(self.count) + 0.5) * len(order) / self.count
        chosen = list(dict.fromkeys(int(order[int(place)]) for place in places))
        self._batch = collate([dataset[index] for index in chosen]).to(pl_module.device)
        model = cast(CTCTask, pl_module).model
        features, lengths = model.features(self._batch.signal, self._batch.lengths)
        kind, backwards = dataset.source.kind, self._backwards
        self._features = [
            draw_features(row[:length].cpu().numpy(), kind == "image", backwards)
            for row, length in zip(features.float(), lengths.tolist(), strict=True)
        ]
        if trainer.global_step:
            return  # a resumed run has written them
        for number, index in enumerate(chosen):
            name = f"lines/{self._batch.ids[number]}"
            if kind == "audio":
                signal = self._batch.signal[number, : self._batch.lengths[number]].cpu()
                self._writer.add_audio(f"{name}/audio", signal[None], 0, int(self.data.frontend.sample_rate))
            elif kind == "image":
                ink = dataset.source.read(dataset.lines[index])
                paper = 255 - (ink[::-1] if backwards else ink).T
                self._writer.add_image(f"{name}/image", np.ascontiguousarray(paper), 0, dataformats="HW")
            elif kind == "strokes":
                self._writer.add_image(
                    f"{name}/image", draw_ink(dataset.source.read(dataset.lines[index])), 0, dataformats="HW"
                )

    @property
    def _backwards(self) -> bool:
        return getattr(self.data.frontend, "direction", "ltr") == "rtl"

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Read the lines."""
        if self._batch is None:
            return
        task, batch, step = cast(CTCTask, pl_module), self._batch, trainer.global_step
        with trainer.precision_plugin.val_step_context():
            log_probs, lengths = task.model(batch.signal, batch.lengths)
        for number, hypothesis in enumerate(task.decoder(log_probs, lengths)):
            name = f"lines/{batch.ids[number]}"
            reference = task.tokenizer.scored(batch.texts[number])
            read = task.tokenizer.scored(task.tokenizer.decode(hypothesis.labels))
            self._writer.add_text(f"{name}/text", marked(reference, read), step)
            posteriors = log_probs[number, : lengths[number]].exp().cpu().numpy()
            picture = draw_alignment(self._features[number], posteriors, task.tokenizer.symbols, self._backwards)
            self._writer.add_image(f"{name}/alignment", picture, step, dataformats="HWC")


def marked(reference: str, hypothesis: str) -> str:
    """Return two texts one below the other as Markdown, S, D and I below substitutions, deletions and insertions.

    A block of code, so that no text can be taken for Markdown or HTML.
    """
    words, characters = word_counts(reference, hypothesis), char_counts(reference, hypothesis)
    rows = {"reference ": "", "hypothesis": "", "errors    ": ""}
    for operation, said, heard in align(reference.strip(), hypothesis.strip()):
        cells = [_shown(said), _shown(heard), MARKS[operation]]
        wide = max(map(_columns, cells))
        for name, cell in zip(rows, cells, strict=True):
            rows[name] += cell + " " * (wide - _columns(cell))
    told = f"CER {100 * characters.rate:.1f}% ({characters.errors} of {characters.reference}), "
    told += f"WER {100 * words.rate:.1f}% ({words.errors} of {words.reference})"
    return told + "\n\n" + "\n".join(f"    {name}  {row}".rstrip() for name, row in rows.items())


def _shown(character: str | None) -> str:
    """Return a character as it can be seen: the gap for none, a dot for what is not printable."""
    if character is None:
        return GAP
    return character if character.isprintable() else "·"


def _columns(text: str) -> int:
    """Return how wide a text stands in a font of fixed width."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
