"""Augmentation of line images: what each does to the pixels, worked by hand, and that epochs can be replayed."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from seqlab.data._mesh import warp as warp_mesh
from seqlab.data.augment_images import InkAndPaper, LineWarp, Thickness
from seqlab.data.dataset import LineDataset
from seqlab.data.sources import ImageSource
from seqlab.frontends.image_columns import ImageColumns
from seqlab.manifest import read_manifest
from seqlab.media import write_image
from seqlab.tokenizers.characters import Characters

NOISE = np.random.default_rng(0).integers(0, 256, (41, 9), dtype=np.uint8)  # (S, Y)
AUGMENTATIONS: list[Any] = [LineWarp(bend=0.05), LineWarp(), Thickness(), InkAndPaper()]
every = pytest.mark.parametrize(
    "augmentation", AUGMENTATIONS, ids=lambda a: f"{type(a).__name__}{getattr(a, 'bend', '')}"
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def warp(image: np.ndarray, *value: float, bend: float = 0.0) -> np.ndarray:
    return LineWarp(bend=bend).apply(image, value, rng())


def column(rows: int, columns: int, at: int) -> np.ndarray:
    """An image with one full column of ink, (S, Y)."""
    image = np.zeros((columns, rows), np.uint8)
    image[at] = 255
    return image


@every
def test_same_seed_same_image_and_the_original_is_kept(augmentation: Any) -> None:
    image = NOISE.copy()
    image.flags.writeable = False  # writing would raise
    results = []
    for seed in (1, 1, 2):
        value = augmentation.draw(rng(seed))
        results.append(augmentation.apply(image, value, rng(seed)))
        assert results[-1].dtype == np.uint8
        assert results[-1].shape == (max(round(41 * augmentation.stretch(value)), 1), 9)
    np.testing.assert_array_equal(results[0], results[1])
    assert results[0].shape != results[2].shape or not np.array_equal(results[0], results[2])


@every
@pytest.mark.parametrize("shape", [(1, 1), (1, 48), (3, 48), (200, 48)])
def test_images_of_any_size_stay_images(augmentation: Any, shape: tuple[int, int]) -> None:
    image = np.full(shape, 200, np.uint8)
    for seed in range(20):
        out = augmentation.apply(image, augmentation.draw(rng(seed)), rng(seed))
        assert out.shape[1] == shape[1]
        assert len(out) >= 1


def test_warp_without_bounds_changes_nothing() -> None:
    still = LineWarp(0, 0, 0, 0, 0)
    value = still.draw(rng())
    assert still.stretch(value) == 1
    np.testing.assert_array_equal(still.apply(NOISE, value, rng()), NOISE)


def test_warp_scales_the_width() -> None:
    image = np.zeros((40, 9), np.uint8)
    image[10:20] = 255
    for share, columns in ((0.15, 46), (-0.15, 34), (0.5, 60)):
        out = warp(image, share, 0, 0, 0, 0)
        assert out.shape == (columns, 9)
        assert LineWarp().stretch((share, 0, 0, 0, 0)) == pytest.approx(1 + share)
        inked = np.flatnonzero(out[:, 4] > 127)
        assert inked[0] == pytest.approx(10 * (1 + share), abs=1)
        assert inked[-1] + 1 == pytest.approx(20 * (1 + share), abs=1)


def test_warp_scales_the_height_about_the_middle() -> None:
    image = np.zeros((5, 24), np.uint8)
    image[:, 8:16] = 255
    taller = warp(image, 0, 0.5, 0, 0, 0)
    assert np.flatnonzero(taller[2] > 127).tolist() == list(range(6, 18))  # 8 rows become 12, about row 12
    assert taller.shape == image.shape
    lower = warp(image, 0, -0.5, 0, 0, 0)
    assert np.flatnonzero(lower[2] > 127).tolist() == list(range(10, 14))


def test_warp_shears_rows_about_the_middle() -> None:
    # one column per row: of 9 rows, row r moves by 4 - r
    out = warp(column(9, 21, 10), 0, 0, 1.0, 0, 0)
    expected = np.zeros((21, 9), np.uint8)
    expected[[10 + 4 - r for r in range(9)], range(9)] = 255
    np.testing.assert_array_equal(out, expected)


def test_warp_slopes_about_the_middle() -> None:
    # one row per column: of 7 columns, column c moves by 3 - c
    image = np.zeros((7, 15), np.uint8)
    image[:, 7] = 255
    out = warp(image, 0, 0, 0, 1.0, 0)
    expected = np.zeros((7, 15), np.uint8)
    expected[range(7), [7 + 3 - c for c in range(7)]] = 255
    np.testing.assert_array_equal(out, expected)


def test_warp_shifts_and_fills_with_paper() -> None:
    out = warp(NOISE, 0, 0, 0, 0, 2 / 9)  # two of nine rows up
    np.testing.assert_array_equal(out[:, :7], NOISE[:, 2:])
    assert not out[:, 7:].any()


def test_bend_keeps_the_size_and_moves_ink_by_about_what_it_says() -> None:
    image = np.zeros((400, 48), np.uint8)
    image[:, 23:25] = 255
    assert warp(image, 0, 0, 0, 0, 0, bend=0.05).shape == image.shape
    middles = []
    for seed in range(20):
        out = LineWarp(bend=0.05).apply(image, (0.0, 0.0, 0.0, 0.0, 0.0), rng(seed)).astype(float)
        weight = out.sum(1)
        middles.append(((out @ np.arange(48))[weight > 0] / weight[weight > 0]) - 23.5)
    # 0.05 of 48 rows is 2.4 at the nodes, less between them, where neighbours are averaged
    assert 1.2 < np.concatenate(middles).std() < 2.4


@pytest.mark.parametrize("shape", [(120, 40), (7, 5), (1, 3)])
def test_warp_is_that_of_another_implementation(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    x, y = np.array([0, shape[0] // 3, shape[0] + 4]), np.array([0, shape[1]])
    if x[1] == 0:
        x = x[[0, 2]]
    moved = rng().normal(0, 2, (2, len(y), len(x)))
    source_x, source_y = np.meshgrid(x, y) + moved
    mesh = []
    for j in range(len(x) - 1):
        corners = ((0, j), (1, j), (1, j + 1), (0, j + 1))
        quad = tuple(float(place[corner]) for corner in corners for place in (source_x, source_y))
        mesh.append(((int(x[j]), 0, int(x[j + 1]), int(y[1])), quad))
    picture = Image.fromarray(np.ascontiguousarray(image.T))
    size = (int(x[-1]), int(y[-1]))
    theirs = np.asarray(picture.transform(size, Image.Transform.MESH, mesh, Image.Resampling.BILINEAR)).T
    ours = warp_mesh(image, x, y, source_x, source_y)
    assert ours.shape == theirs.shape
    assert np.abs(ours.astype(int) - theirs.astype(int)).max() <= 1  # they cut fractions off


def test_warp_draws_within_its_bounds() -> None:
    bounds = np.array([0.2, 0.1, 0.4, 0.02, 0.06])
    drawn = np.abs([LineWarp(*bounds).draw(rng(seed)) for seed in range(300)])
    assert (drawn <= bounds).all()
    assert (drawn.max(0) > 0.9 * bounds).all()


def test_thicker_spreads_ink_to_the_four_neighbours() -> None:
    dot = np.zeros((5, 5), np.uint8)
    dot[2, 2] = 200
    out = Thickness().apply(dot, 0.5, rng())
    expected = np.zeros((5, 5), np.uint8)
    expected[2, 1:4] = expected[1:4, 2] = 100  # 200 * 128 / 256
    expected[2, 2] = 200
    np.testing.assert_array_equal(out, expected)
    whole = Thickness().apply(column(4, 7, 3), 1.0, rng())
    assert whole[:, 0].tolist() == [0, 0, 255, 255, 255, 0, 0]


def test_thinner_takes_ink_from_edges() -> None:
    stroke = np.zeros((7, 4), np.uint8)
    stroke[2:5] = 240
    out = Thickness().apply(stroke, -0.25, rng())
    assert out[:, 1].tolist() == [0, 0, 180, 240, 180, 0, 0]  # 240 * 192 / 256
    assert Thickness().apply(stroke, -1.0, rng())[:, 1].tolist() == [0, 0, 0, 240, 0, 0, 0]
    np.testing.assert_array_equal(Thickness().apply(NOISE, 0.0, rng()), NOISE)


def test_ink_and_paper_follow_their_formula() -> None:
    image = np.array([[0, 51, 255]], np.uint8)
    part = InkAndPaper()
    assert part.apply(image, (1.0, 1.0, 0.0, 0.0), rng()).tolist() == [[0, 51, 255]]
    assert part.apply(image, (0.5, 1.0, 0.0, 0.0), rng()).tolist() == [[0, 25, 127]]
    assert part.apply(image, (1.0, 2.0, 0.0, 0.0), rng()).tolist() == [[0, 10, 255]]  # 0.2 squared is 0.04
    assert part.apply(image, (1.0, 1.0, 0.2, 0.0), rng()).tolist() == [[51, 102, 255]]
    assert part.apply(NOISE, (1.0, 1.0, 0.0, 0.0), rng()).tolist() == NOISE.tolist()
    grain = part.apply(np.full((300, 300), 128, np.uint8), (1.0, 1.0, 0.0, 0.05), rng()).astype(float)
    assert grain.std() == pytest.approx(0.05 * 255, rel=0.02)


def test_ink_and_paper_draw_within_their_bounds() -> None:
    drawn = np.array([InkAndPaper(0.2, 0.5, 0.1, 0.05).draw(rng(seed)) for seed in range(500)])
    low, high = [0.8, 1 / 1.5, 0.0, 0.0], [1.2, 1.5, 0.1, 0.05]
    assert (drawn >= low).all()
    assert (drawn <= high).all()
    span = np.subtract(high, low)
    assert (drawn.min(0) < low + 0.1 * span).all()
    assert (drawn.max(0) > high - 0.1 * span).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LineWarp(width=1.0), "width must lie"),
        (lambda: LineWarp(height=-0.1), "height must lie"),
        (lambda: LineWarp(bend=-1), "0 or more"),
        (lambda: LineWarp(cell=0), "cell above 0"),
        (lambda: Thickness(-1.5, 0), r"\[-1, 1\]"),
        (lambda: Thickness(0.5, 0.1), "exceeds"),
        (lambda: InkAndPaper(strength=1), "strength"),
        (lambda: InkAndPaper(grain=-1), "0 or more"),
    ],
)
def test_values_out_of_range_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def image_lines(folder: Path, count: int = 6) -> Path:
    rows = []
    for number in range(count):
        write_image(folder / f"{number}.png", rng(number).integers(0, 256, (24, 60 + 10 * number), dtype=np.uint8))
        rows.append({"id": str(number), "image": f"{number}.png", "text": "ab"})
    (folder / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "m.jsonl"


@pytest.mark.parametrize("cache_mb", [0, 8])
def test_epoch_of_images_is_replayed_by_seed_epoch_and_line(tmp_path: Path, cache_mb: int) -> None:
    lines = read_manifest(image_lines(tmp_path))
    augment = [LineWarp(bend=0.03), Thickness(), InkAndPaper()]

    def dataset(seed: int) -> LineDataset:
        return LineDataset(lines, Characters("ab"), ImageSource(ImageColumns(24), cache_mb), seed, augment)

    data, again, other = dataset(1), dataset(1), dataset(2)
    sizes = data.plan(3)
    again.plan(0)
    _ = again[4].signal
    assert again.plan(3).tolist() == sizes.tolist()
    assert other.plan(3).tolist() != sizes.tolist()
    for index in (5, 0, 3):
        signal = data[index].signal
        assert torch.equal(signal, data[index].signal)
        assert torch.equal(signal, again[index].signal)
        assert signal.dtype == torch.float32
        assert signal.shape == (sizes[index], 24)  # the planned length is that of the example
        assert signal.min() >= 0
        assert signal.max() <= 1
    assert data.plan(4).tolist() != sizes.tolist()
