"""What a training shows: lines of dev in TensorBoard, and the table on a terminal."""

import io
import re
import struct
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from seqlab.batch import Batch
from seqlab.training.pictures import MARGIN, ROW, draw_alignment, draw_features, draw_ink
from seqlab.training.progress import ShowProgress
from seqlab.training.show_lines import marked
from tests.conftest import Run, small_settings


def logged(folder: Path) -> Any:
    events = EventAccumulator(str(folder / "tensorboard"), size_guidance={"images": 0, "audio": 0, "tensors": 0})
    return events.Reload()


def test_lines_are_in_the_log_of_every_epoch(corpus: Path, seqlab: Run, tmp_path: Path) -> None:
    settings = [*small_settings(corpus), "logger=default"]
    done = seqlab("train", *settings, "run_dir=run", "training.show_lines=3")
    assert done.returncode == 0, done.stderr
    assert seqlab("train", *settings, "run_dir=blind", "training.show_lines=0").returncode == 0
    events, tags = logged(tmp_path / "run"), logged(tmp_path / "run").Tags()
    assert len(tags["audio"]) == len(tags["images"]) == 3
    texts = [tag for tag in tags["tensors"] if tag.startswith("lines/")]
    assert len(texts) == 3
    frames = []
    for tag in sorted(tags["audio"]):
        name = tag.split("/")[1]
        (sound,) = events.Audio(tag)  # once
        with wave.open(io.BytesIO(sound.encoded_audio_string)) as heard, wave.open(f"{corpus}/dev/{name}.wav") as said:
            assert heard.getframerate() == said.getframerate() == 8000
            assert heard.getnframes() == said.getnframes()
            frames.append(said.getnframes())
            ends = [struct.unpack("<100h", file.readframes(100)) for file in (heard, said)]
            assert np.abs(np.subtract(*ends)).max() <= 1
        steps = [event.step for event in events.Images(f"lines/{name}/alignment")]
        assert len(steps) == 2
        assert 0 < steps[0] < steps[1]
        picture = Image.open(io.BytesIO(events.Images(f"lines/{name}/alignment")[-1].encoded_image_string))
        assert picture.width > MARGIN
        assert picture.height >= 64 + ROW
        rows = events.Tensors(f"lines/{name}/text/text_summary")
        assert [row.step for row in rows] == steps
        told = rows[-1].tensor_proto.string_val[0].decode()
        assert told.startswith("CER ")
        assert "\n    reference   " in told
    sizes = sorted(path.stat().st_size for path in corpus.glob("dev/*.wav"))
    assert sorted(44 + 2 * count for count in frames) == [sizes[1], sizes[4], sizes[6]]  # of 8: 1/6, 3/6, 5/6
    weights = [torch.load(Path(run) / "checkpoints/last.ckpt", weights_only=True) for run in ("run", "blind")]
    assert all(torch.equal(a, b) for a, b in zip(*(w["state_dict"].values() for w in weights), strict=True))
    assert not [tag for tag in logged(tmp_path / "blind").Tags()["tensors"] if tag.startswith("lines/")]


def test_errors_are_marked_below_their_characters() -> None:
    assert marked("one two", "on twos").split("\n") == [
        "CER 28.6% (2 of 7), WER 100.0% (2 of 2)",
        "",
        "    reference   one two*",
        "    hypothesis  on* twos",
        "    errors        D    I",
    ]
    wide = marked("字a", "ba\u202e").split("\n")
    assert wide[2:] == ["    reference   字a*", "    hypothesis  b a·", "    errors      S  I"]
    assert all(row.startswith("    ") for row in marked("<script>", "\n# a\n").split("\n")[2:])


def test_posteriors_stand_below_the_features_in_time() -> None:
    features = draw_features(np.tile(np.arange(4.0), (20, 1)))
    assert features.shape == (4, 20, 3)
    assert features[0].sum() > features[-1].sum()  # the first feature, the least, is below
    posteriors = np.full((10, 4), 0.01)
    posteriors[:, 0] = 0.97
    posteriors[2, 3], posteriors[7, 1], posteriors[5, 2] = 0.9, 0.9, 0.05
    picture = draw_alignment(features, posteriors, ["", "a", "b", "c"])
    assert picture.shape == (64 + 2 + 3 * ROW, MARGIN + 80, 3)  # c, a, blank; b is never likely
    middle = [66 + ROW * row + ROW // 2 for row in range(3)]
    dark = [np.flatnonzero(picture[y, MARGIN:, 0] < 64) for y in middle]
    assert dark[0].tolist() == list(range(16, 24))
    assert dark[1].tolist() == list(range(56, 64))
    assert len(dark[2]) == 80
    flipped = draw_alignment(features, posteriors, ["", "a", "b", "c"], backwards=True)
    assert np.flatnonzero(flipped[middle[0], MARGIN:, 0] < 64).tolist() == list(range(56, 64))


@pytest.mark.parametrize("frames", [1, 1400, 5000])
def test_a_spike_is_seen_at_any_length(frames: int) -> None:
    posteriors = np.zeros((frames, 2))
    posteriors[frames // 2, 1] = 1.0
    picture = draw_alignment(np.zeros((40, frames, 3), np.uint8), posteriors, ["", "\u05d0"])
    assert picture.shape[1] <= MARGIN + 1400
    assert picture[66 + ROW // 2, MARGIN:, 0].min() < 16


def test_ink_is_drawn_stroke_by_stroke() -> None:
    ink = np.array([[0, 0, 0, 0], [100, 0, 1, 1], [0, 50, 2, 0], [100, 50, 3, 1]], dtype=float)
    picture = draw_ink(ink)
    assert picture.shape == (96, 184)  # 50 units are 88 pixels
    assert picture[4, 90] == picture[92, 90] == 0  # two strokes
    assert picture[48].min() == 255  # and nothing between them
    assert draw_ink(ink[:1]).min() == 0


class Stage:
    """A trainer, a task and a frontend, as far as the display looks at them."""

    world_size, max_epochs, current_epoch, num_training_batches = 1, 2, 0, 3
    is_global_zero, global_step, accumulate_grad_batches = True, 1, 1
    sample_rate, device, progress, last_loss = 1, torch.device("cpu"), 0.0, torch.tensor(2.0)

    def __init__(self) -> None:
        self.callback_metrics: dict[str, float] = {}

    def num_frames(self, lengths: torch.Tensor) -> torch.Tensor:
        return lengths

    def told(self, metrics: dict[str, float]) -> dict[str, str]:
        return {"val loss": f"{metrics['val/loss']:.3f}" if metrics else "-", "CER": "-"}

    def log(self, *args: object, **kwargs: object) -> None: ...


def shown(terminal: bool) -> str:
    stage: Any = Stage()
    console = Console(file=io.StringIO(), force_terminal=terminal, width=100, color_system=None)
    show = ShowProgress(stage, console=console)
    show.on_train_start(stage, stage)
    batch = Batch([], torch.zeros(1, 5), torch.tensor([5]), [], torch.zeros(1, 0), torch.zeros(1))
    for epoch in range(2):
        stage.current_epoch = epoch
        show.on_train_epoch_start(stage, stage)
        show.on_train_batch_start(stage, stage, batch, 0)
        stage.progress += 0.25
        show.on_train_batch_end(stage, stage, None, batch, 0)
        if epoch:
            show.on_validation_start(stage, stage)
            stage.callback_metrics = {"val/loss": 0.25}
        show.on_train_epoch_end(stage, stage)
    show.on_train_end(stage, stage)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_terminal_gets_a_table() -> None:
    text = re.sub(r"\x1b\[[0-9?;]*[A-Za-z]", "", shown(terminal=True))
    rows = [row.split() for row in text.replace("\r", "\n").split("\n")]
    assert rows.count(["epoch", "train", "loss", "val", "loss", "CER", "frames/s", "time", "left"]) == 1
    first, second = (next(row for row in rows if row[:2] == [f"{n}/2", "2.000"]) for n in (1, 2))
    assert first[2:4] == ["-", "-"]  # nothing was validated yet
    assert first[-1] == "-"  # nor is it known yet how quickly it goes
    assert second[2] == "0.250"
    assert re.fullmatch(r"0:00:0\d", second[-1])


def test_no_terminal_gets_lines() -> None:
    rows = shown(terminal=False).splitlines()
    assert len(rows) == 2
    assert rows[0].startswith("epoch 1/2 loss 2.000 | ")
    assert rows[1].startswith("epoch 2/2 loss 2.000 | val loss 0.250 | ")
