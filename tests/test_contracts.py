"""Every frontend, normalisation, stem, encoder and cell that has a YAML keeps the contract; cells in an encoder.

forward(x, lengths) -> (x, lengths); num_frames gives the same lengths; padding never changes a result.
"""

import copy
import importlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn

from seqlab.config import compose
from seqlab.model import build_on_meta

CONF = Path(__file__).resolve().parent.parent / "conf"
INPUT_SIZE = 12
# Sizes that keep the tests quick, put in place of the YAML's where a part has such a setting.
SMALL = {"hidden_size": 16, "num_layers": 2, "out_size": 10}
SMALL_CELL = {"hidden_size": 8, "num_blocks": 4, "proj_size": 6, "backbone_size": 10}

Part = Any


def yamls(group: str) -> list[Path]:
    return sorted((CONF / group).glob("*.yaml"))


def read(path: Path) -> tuple[type[nn.Module], dict[str, Any]]:
    """Class and settings of one YAML."""
    node = yaml.safe_load(path.read_text(encoding="utf-8"))
    node.pop("defaults", None)
    module, _, name = node.pop("_target_").rpartition(".")
    return getattr(importlib.import_module(module), name), node


def target(path: Path, small: bool = False) -> tuple[type[nn.Module], dict[str, Any]]:
    """Class and settings of a part; a cell stands in a recurrent encoder."""
    if path.parent.name != "cell" and path.stem != "recurrent":
        kind, settings = read(path)
    else:
        cell, inner = read(path if path.parent.name == "cell" else CONF / "encoder/cell/lstm.yaml")
        inner |= {key: value for key, value in SMALL_CELL.items() if small and key in inner}
        kind, settings = read(CONF / "encoder/recurrent.yaml")
        settings["cell"] = partial(cell, **inner)
    return kind, settings | {key: value for key, value in SMALL.items() if small and key in settings}


def build(path: Path) -> Part:
    torch.manual_seed(0)
    kind, settings = target(path, small=True)
    if "channels" in settings:
        settings["channels"] = [4] * len(settings["channels"])
    part: Part = kind(**settings) if path.parent.name == "frontend" else kind(INPUT_SIZE, **settings)
    if hasattr(part, "finish") and part.kind == "global":
        part.update(5 + 3 * torch.randn(4, 20, INPUT_SIZE), torch.full((4,), 20))
        part.finish()
    weights(part).eval()
    return part


def weights(part: Part) -> nn.Module:
    """Where the weights of a part are; a frontend of prepared lines is no module and has none."""
    return part if isinstance(part, nn.Module) else nn.Module()


def names(paths: list[Path]) -> dict[str, Any]:
    return {"argvalues": paths, "ids": [f"{p.parent.name}/{p.stem}" for p in paths]}


FRONTENDS = yamls("frontend")
AUDIO = [path for path in FRONTENDS if target(path)[0].kind == "audio"]  # type: ignore[attr-defined]
CELLS = yamls("encoder/cell")
ON_FRAMES = [path for group in ("normalize", "stem", "encoder") for path in yamls(group)] + CELLS
every = pytest.mark.parametrize("path", **names(FRONTENDS + ON_FRAMES))
on_frames = pytest.mark.parametrize("path", **names(ON_FRAMES))
of_audio = pytest.mark.parametrize("path", **names(AUDIO))
frontends = pytest.mark.parametrize("path", **names(FRONTENDS))
stems = pytest.mark.parametrize("path", **names(yamls("stem")))
cells = pytest.mark.parametrize("path", **names(CELLS))


def batch(path: Path) -> tuple[Tensor, Tensor]:
    """A padded batch of unequal lines, 0 past each length."""
    generator = torch.Generator().manual_seed(1)
    if path in AUDIO:
        rate = target(path)[1]["sample_rate"]
        lengths = torch.tensor([rate // 2, rate // 5, rate, rate // 3 + 7])
        x = 0.1 * torch.randn(4, int(lengths.max()), generator=generator)
    else:
        size = build(path).num_features if path in FRONTENDS else INPUT_SIZE
        lengths = torch.tensor([17, 24, 9, 31, 12])
        x = torch.randn(5, int(lengths.max()), size, generator=generator)
    for line, length in zip(x, lengths.tolist(), strict=True):
        line[length:] = 0
    return x, lengths


def test_every_group_has_parts() -> None:
    groups = {"frontend", "normalize", "stem", "encoder", "cell"}
    assert {path.parent.name for path in FRONTENDS + ON_FRAMES} == groups


@every
def test_yaml_names_every_argument(path: Path) -> None:
    kind, settings = target(path)
    code = kind.__init__.__code__
    assert set(settings) == set(code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]) - {"input_size"}


@cells
def test_cell_yaml_says_what_it_is_and_names_every_argument(path: Path) -> None:
    assert path.read_text(encoding="utf-8").startswith("# ")
    kind, settings = read(path)
    code = kind.__init__.__code__
    assert set(settings) == set(code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]) - {"input_size"}


@cells
def test_cell_is_chosen_checked_and_built_by_its_yaml(path: Path) -> None:
    config = compose("train", ["encoder=recurrent", f"encoder/cell={path.stem}", "encoder.num_layers=1"])
    encoder = build_on_meta(config).encoder
    assert type(encoder.layers[0][0]) is read(path)[0]


@every
def test_shapes_and_lengths(path: Path) -> None:
    part = build(path)
    x, lengths = batch(path)
    before = lengths.clone()
    y, frames = part(x, lengths)
    assert y.shape == (len(x), int(frames.max()), part.num_features)
    assert frames.dtype == torch.int64
    assert frames.tolist() == part.num_frames(lengths).tolist()
    assert lengths.equal(before)
    for line, length in zip(y, frames.tolist(), strict=True):
        assert line[:length].isfinite().all()
        assert not line[length:].any()


@every
def test_line_alone_equals_line_in_batch(path: Path) -> None:
    part = build(path)
    x, lengths = batch(path)
    y, frames = part(x, lengths)
    for i, length in enumerate(lengths.tolist()):
        alone, count = part(x[i : i + 1, :length], lengths[i : i + 1])
        assert int(count) == int(frames[i])
        torch.testing.assert_close(y[i, : int(count)], alone[0], atol=1e-5, rtol=0)


@every
def test_order_of_lines_and_more_padding_change_nothing(path: Path) -> None:
    part = build(path)
    x, lengths = batch(path)
    y, frames = part(x, lengths)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(2))
    wider = torch.cat([x, torch.zeros(len(x), x.shape[1] // 2, *x.shape[2:])], 1)
    moved, moved_frames = part(wider[order], lengths[order])
    assert moved_frames.equal(frames[order])
    torch.testing.assert_close(moved[:, : y.shape[1]], y[order], atol=1e-5, rtol=0)
    assert not moved[:, y.shape[1] :].any()


@every
def test_content_of_padding_changes_nothing(path: Path) -> None:
    part = build(path)
    x, lengths = batch(path)
    garbage = x.clone()
    for line, length in zip(garbage, lengths.tolist(), strict=True):
        line[length:] = 1e3 * torch.randn(line[length:].shape)
    torch.testing.assert_close(part(garbage, lengths)[0], part(x, lengths)[0], atol=1e-6, rtol=0)


@on_frames
def test_content_of_padding_changes_no_gradient(path: Path) -> None:
    x, lengths = batch(path)
    gradients = []
    for padding in (0.0, 1e3):
        part = build(path)
        filled = x.clone()
        for line, length in zip(filled, lengths.tolist(), strict=True):
            line[length:] = padding
        filled.requires_grad_()
        part(filled, lengths)[0].square().sum().backward()
        assert filled.grad is not None
        for line, length in zip(filled.grad, lengths.tolist(), strict=True):
            assert not line[length:].any()
        gradients.append([filled.grad, *(p.grad for p in part.parameters())])
    for clean, dirty in zip(*gradients, strict=True):
        torch.testing.assert_close(dirty, clean, atol=1e-5, rtol=1e-5)


@on_frames
def test_gradient_reaches_input_and_every_parameter(path: Path) -> None:
    part = build(path).train()
    x, lengths = batch(path)
    x.requires_grad_()
    y, _ = part(x, lengths)
    (y * torch.randn_like(y)).sum().backward()
    for name, tensor in [("input", x), *part.named_parameters()]:
        assert tensor.grad is not None, name
        assert tensor.grad.any(), name


@every
def test_state_survives_saving_and_loading(path: Path) -> None:
    part, other = build(path), build(path)
    with torch.no_grad():
        for parameter in weights(other).parameters():
            parameter.add_(1.0)
    weights(other).load_state_dict(weights(part).state_dict(), strict=True)
    x, lengths = batch(path)
    assert other(x, lengths)[0].equal(part(x, lengths)[0])
    assert copy.deepcopy(part)(x, lengths)[0].equal(part(x, lengths)[0])


@every
def test_is_built_without_memory_and_counts_frames(path: Path) -> None:
    kind, settings = target(path)
    with torch.device("meta"):
        part: Part = kind(**settings) if path.parent.name == "frontend" else kind(INPUT_SIZE, **settings)
    assert all(parameter.is_meta for parameter in weights(part).parameters())
    assert part.num_features > 0
    lengths = torch.tensor([0, 1, 1000, 16000])
    frames = part.num_frames(lengths)
    assert frames.dtype == torch.int64
    assert (frames >= 0).all()


@every
def test_runs_under_bf16_autocast(path: Path) -> None:
    part = build(path)
    x, lengths = batch(path)
    exact, _ = part(x, lengths)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y, frames = part(x, lengths)
    assert frames.equal(part.num_frames(lengths))
    torch.testing.assert_close(y.float(), exact, atol=0.05, rtol=0.05)
    if path.parent.name in ("frontend", "normalize"):
        assert y.equal(exact)


@every
def test_knows_its_size_in_time(path: Path) -> None:
    part = build(path)
    if path in FRONTENDS and path not in AUDIO:
        assert part.sample_rate * part.frame_shift == pytest.approx(1.0)  # a frame is a sample
    elif path in AUDIO:
        assert part.sample_rate == target(path)[1]["sample_rate"]
        assert part.frame_shift == pytest.approx(target(path)[1]["shift_ms"] / 1000)
    elif path.parent.name == "stem":
        assert abs(int(part.num_frames(torch.tensor(1200))) * part.stride - 1200) < part.stride


@frontends
def test_says_what_it_takes(path: Path) -> None:
    part = build(path)
    assert part.kind in ("audio", "image", "strokes", "features")
    assert hasattr(part, "prepare") == (part.kind != "audio")


@of_audio
def test_too_short_line_is_named(path: Path) -> None:
    part = build(path)
    x, lengths = batch(path)
    lengths[2] = 5
    assert part.num_frames(lengths)[2] == 0
    with pytest.raises(ValueError, match=r"line 2 .* 5 samples"):
        part(x, lengths)


@of_audio
def test_shortest_line_gives_one_frame(path: Path) -> None:
    part = build(path)
    window = next(n for n in range(1, 10_000) if part.num_frames(torch.tensor(n)) == 1)
    y, frames = part(torch.randn(1, window), torch.tensor([window]))
    assert frames.tolist() == [1]
    assert y.shape == (1, 1, part.num_features)


@on_frames
def test_line_without_frames_stays_empty(path: Path) -> None:
    """A stem may leave nothing of a short line: that is length 0, not an error."""
    part = build(path)
    x, lengths = batch(path)
    expected, _ = part(x, lengths)
    lengths[2], x[2] = 0, 0.0
    y, frames = part(x, lengths)
    assert frames[2] == 0
    assert not y[2].any()
    torch.testing.assert_close(y[3], expected[3], atol=1e-5, rtol=0)


@stems
def test_stem_drops_no_line_that_is_long_enough(path: Path) -> None:
    part = build(path)
    lengths = torch.arange(1, 3 * part.stride + 2)
    frames = part.num_frames(lengths)
    assert (frames[part.stride - 1 :] >= 1).all()
    assert (frames.diff() >= 0).all()
    for length, count in zip(lengths.tolist(), frames.tolist(), strict=True):
        y, out = part(torch.randn(1, length, INPUT_SIZE), torch.tensor([length]))
        assert y.shape[1] == int(out) == count


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("frontend/log_mel", {"num_mels": 0}, "num_mels"),
    ("frontend/log_mel", {"num_mels": 400}, "num_mels=400 is too many"),
    ("frontend/log_mel", {"low_freq": 9000.0}, "low_freq"),
    ("frontend/log_mel", {"high_freq": 9000.0}, "high_freq"),
    ("frontend/log_mel", {"high_freq": -8000.0}, "high_freq"),
    ("frontend/log_mel", {"deltas": 3}, "deltas"),
    ("frontend/log_mel", {"sample_rate": 0}, "sample_rate"),
    ("frontend/log_mel", {"window_ms": 0.0}, "window_ms"),
    ("frontend/log_mel", {"shift_ms": 0.0}, "shift_ms"),
    ("frontend/log_mel", {"preemphasis": 2.0}, "preemphasis"),
    ("frontend/mfcc", {"num_ceps": 24}, "num_ceps"),
    ("frontend/mfcc", {"lifter": -1.0}, "lifter"),
    ("normalize/line", {"kind": "lines"}, "none, line, global"),
    ("normalize/line", {"eps": 0.0}, "eps"),
    ("stem/stack", {"factor": 0}, "factor"),
    ("stem/conv2d", {"channels": [32]}, "one number for each"),
    ("stem/conv2d", {"kernel_size": 4}, "odd"),
    ("stem/conv2d", {"dropout": 1.0}, "dropout"),
    ("frontend/image_columns", {"height": 0}, "height"),
    ("frontend/features", {"size": 0}, "size"),
    ("stem/line_cnn", {"blocks": [0]}, "one entry for each stage"),
    ("stem/line_cnn", {"pools": [[0, 1], [2, 2], [1, 2], [1, 1]]}, "pools"),
    ("stem/line_cnn", {"kernel_size": 2}, "odd"),
    ("stem/line_cnn", {"out_dropout": 1.0}, "out_dropout"),
    ("encoder/blstm", {"out_dropout": 1.5}, "out_dropout"),
    ("encoder/blstm", {"hidden_size": 0}, "hidden_size"),
    ("encoder/blstm", {"dropout": 1.5}, "dropout"),
    ("encoder/blstm", {"proj_size": 320}, "proj_size"),
    ("encoder/blstm", {"init": "two"}, "init must be one of zero, one, chrono, cec"),
    ("encoder/blstm", {"init": "chrono"}, "needs longest_lag"),
    ("encoder/recurrent", {"num_layers": 0}, "num_layers"),
    ("encoder/recurrent", {"dropout": 1.0}, "dropout"),
    ("encoder/recurrent", {"out_dropout": -0.1}, "out_dropout"),
    ("encoder/recurrent", {"cell": lambda input_size: nn.Linear(input_size, 3)}, "no recurrent cell"),
]


@pytest.mark.parametrize(("name", "wrong", "message"), REFUSED)
def test_values_out_of_range_are_refused(name: str, wrong: dict[str, Any], message: str) -> None:
    kind, settings = target(CONF / f"{name}.yaml")
    make: Callable[..., Part] = kind
    arguments = () if name.startswith("frontend") else (INPUT_SIZE,)
    with pytest.raises(ValueError, match=message):
        make(*arguments, **settings | wrong)
