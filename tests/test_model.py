"""The whole network, for every shipped configuration: a line alone and in a padded batch gives the same."""

import re
from pathlib import Path

import pytest
import torch

from seqlab.config import compose, conf_dir
from seqlab.model import CTCModel
from tests import test_handwriting as handwriting
from tests.conftest import Run, small_settings

CONF = conf_dir()
CHOICES = [
    f"{p.parent.name}={p.stem}" for g in ("frontend", "normalize", "stem", "encoder") for p in CONF.glob(f"{g}/*.yaml")
]
EXPERIMENTS = [f"experiment={p.stem}" for p in sorted(CONF.glob("experiment/*.yaml"))]


@pytest.mark.parametrize("choice", sorted(CHOICES) + EXPERIMENTS)
def test_alone_equals_in_a_batch(choice: str) -> None:
    config = compose("train", [choice])
    torch.manual_seed(0)
    model = CTCModel(config, 20).eval()
    rate = model.sample_rate if model.frontend.kind == "audio" else 100
    shape = () if model.frontend.kind == "audio" else (model.frontend.num_features,)
    sizes = [int(rate * s) for s in (0.31, 1.27, 0.8)]
    signal = torch.zeros(3, max(sizes), *shape)
    for row, size in zip(signal, sizes, strict=True):
        row[:size] = 0.1 * torch.randn(size, *shape)
    lengths = torch.tensor(sizes)
    if model.normalize.kind == "global":
        model.normalize.update(*model.features(signal, lengths))
        model.normalize.finish()
    with torch.inference_mode():
        together, frames = model(signal, lengths)
        assert frames.tolist() == model.num_frames(lengths).tolist()
        for i, size in enumerate(sizes):
            alone, n = model(signal[i : i + 1, :size], lengths[i : i + 1])
            assert int(n[0]) == int(frames[i])
            assert torch.allclose(alone[0], together[i, : int(n[0])], atol=1e-5, rtol=0)
    assert torch.allclose(together.exp().sum(2), torch.ones(together.shape[:2]), atol=1e-5)


def test_masks_act_in_training_only() -> None:
    model = CTCModel(compose("train", ["encoder.hidden_size=8", "encoder.num_layers=1"]), 5)
    signal, lengths = 0.1 * torch.randn(2, 16000), torch.tensor([16000, 12000])
    model.eval()
    assert torch.equal(model(signal, lengths)[0], model(signal, lengths)[0])
    model.train()
    assert not torch.equal(model(signal, lengths)[0], model(signal, lengths)[0])


def test_frame_shift_is_that_of_frontend_times_stride() -> None:
    model = CTCModel(compose("train", ["frontend.shift_ms=12.5", "stem.factor=4"]), 5)
    assert model.frame_shift == pytest.approx(0.05)


def test_conf_is_found_beside_the_package() -> None:
    assert (Path(CONF) / "train.yaml").is_file()


def test_one_network_learns_speech_and_handwriting(corpus: Path, seqlab: Run, tmp_path: Path) -> None:
    """Stem, encoder and loss know nothing of what they read."""
    images = handwriting.write_lines(tmp_path / "images", sizes=(24, 4, 4))
    network = [*handwriting.LINE_CNN, "encoder.hidden_size=12", "loss.shortcut=0.3", "encoder.dropout=0.1"]
    speech = [s for s in small_settings(corpus) if not s.startswith(("stem", "encoder"))]
    writing = [s for s in handwriting.settings(images) if not s.startswith(("stem", "encoder", "run_dir"))]
    sizes = {}
    for name, settings in (("speech", speech), ("writing", writing)):
        limits = ["training.max_epochs=3", "optimizer.lr=0.01", "augment=none", f"run_dir={name}"]
        done = seqlab("train", *settings, *network, *limits)
        assert done.returncode == 0, done.stderr
        losses = [float(loss) for loss in re.findall(r"epoch \d/3 loss ([\d.]+) ", done.stdout)]
        assert len(losses) == 3
        assert losses[2] < 0.9 * losses[0]
        checkpoint = torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True)
        parts = ("model.stem", "model.encoder", "shortcut")
        shapes = {k: v.shape for k, v in checkpoint["state_dict"].items() if k.startswith(parts)}
        sizes[name] = {k: v for k, v in shapes.items() if "weight_ih_l0" not in k and "shortcut.weight" not in k}
        config = checkpoint["hyper_parameters"]["config"]
        sizes[name] |= {node: config[node] for node in ("stem", "encoder", "loss")}
    assert sizes["speech"] == sizes["writing"]
