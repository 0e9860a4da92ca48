"""Sources: sizes known without decoding, caches, and hostile arrays."""

import io
import json
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from seqlab.data import sources
from seqlab.data.sources import AudioSource, Cache, FeaturesSource, ImageSource, StrokesSource, check_kind, source_of
from seqlab.errors import ConfigError, DataError
from seqlab.frontends.features import Features
from seqlab.frontends.image_columns import ImageColumns
from seqlab.frontends.log_mel import LogMel
from seqlab.frontends.stroke_points import StrokePoints
from seqlab.manifest import Line, read_manifest
from seqlab.media import write_image
from seqlab.media.arrays import array_shape, read_array
from tests.conftest import RATE

RNG = np.random.default_rng(0)
STROKES = [[[0, 0], [0, 20], [30, 20]], [[40, 0], [40, 20]]]


def line(folder: Path, **fields: Any) -> Line:
    (folder / "m.jsonl").write_text(json.dumps({"id": "x", "text": "ab"} | fields) + "\n")
    return read_manifest(folder / "m.jsonl")[0]


def audio_line(folder: Path) -> Line:
    soundfile.write(folder / "a.wav", 0.1 * np.sin(np.arange(1234)), RATE)
    return line(folder, audio="a.wav")


def image_line(folder: Path) -> Line:
    write_image(folder / "a.png", RNG.integers(0, 256, (37, 211), dtype=np.uint8))
    return line(folder, image="a.png")


def inline_line(folder: Path) -> Line:
    return line(folder, strokes=STROKES)


def ink_line(folder: Path) -> Line:
    (folder / "a.json").write_text(json.dumps(STROKES))
    return line(folder, strokes="a.json")


def npy_line(folder: Path) -> Line:
    np.save(folder / "a.npy", RNG.standard_normal((19, 3)))
    return line(folder, features="a.npy")


def npz_line(folder: Path) -> Line:
    np.savez_compressed(folder / "a.npz", anything=RNG.integers(0, 9, (19, 3)))
    return line(folder, features="a.npz")


FRONTENDS: dict[str, Any] = {
    "audio": lambda: LogMel(RATE),
    "image": lambda: ImageColumns(24, pad=2),
    "strokes": StrokePoints,
    "features": lambda: Features(3),
}
LINES = [
    ("audio", audio_line),
    ("image", image_line),
    ("strokes", inline_line),
    ("strokes", ink_line),
    ("features", npy_line),
    ("features", npz_line),
]
every = pytest.mark.parametrize(("kind", "make"), LINES, ids=[make.__name__ for _, make in LINES])


@every
@pytest.mark.parametrize("cache_mb", [0, 4])
def test_size_is_that_of_the_signal(kind: str, make: Any, cache_mb: int, tmp_path: Path) -> None:
    source = source_of(FRONTENDS[kind](), cache_mb)
    one = make(tmp_path)
    assert source.kind == one.kind == kind
    size = source.size(one)
    for _ in range(2):
        signal = source.signal(source.read(one))
        assert signal.dtype == np.float32
        assert len(signal) == size == source.size(one)
    if one.files:
        assert source.signal(source.open(one.files[0])).tolist() == signal.tolist()


def test_sizes_worked_by_hand(tmp_path: Path) -> None:
    assert source_of(LogMel(RATE)).size(audio_line(tmp_path)) == 1234
    assert source_of(ImageColumns(24, pad=2)).size(image_line(tmp_path)) == 141  # 211 * 24 / 37 = 136.9, and 2 * 2
    assert source_of(Features(3)).size(npy_line(tmp_path)) == 19


@pytest.mark.parametrize(("kind", "make"), [LINES[1], LINES[4]])
def test_size_decodes_nothing(kind: str, make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = make(tmp_path)
    for name in ("read_image", "read_array"):
        monkeypatch.setattr(sources, name, lambda path: pytest.fail("decoded"))
    assert source_of(FRONTENDS[kind]()).size(one) > 0


def test_size_in_the_manifest_spares_the_look_at_the_file(tmp_path: Path) -> None:
    one = line(tmp_path, image="none.png", width=100, height=50)
    assert source_of(ImageColumns(24)).size(one) == 48
    assert source_of(LogMel(RATE)).size(line(tmp_path, audio="none.wav", duration_s=0.5)) == RATE // 2


def test_units() -> None:
    units = {kind: source_of(make()).unit for kind, make in FRONTENDS.items()}
    assert units == {"audio": "s", "image": "columns", "strokes": "points", "features": "frames"}


def test_image_signal_lies_between_0_and_1(tmp_path: Path) -> None:
    image = np.full((10, 4), 255, np.uint8)
    image[0] = [0, 51, 204, 255]
    write_image(tmp_path / "a.png", image)
    source = ImageSource(ImageColumns(10, contrast="none"))
    signal = source.signal(source.read(line(tmp_path, image="a.png")))
    assert signal[:, 0].tolist() == pytest.approx([1.0, 0.8, 0.2, 0.0])
    assert not signal[:, 1:].any()


@every
def test_cache_hands_out_the_same_array(kind: str, make: Any, tmp_path: Path) -> None:
    one = make(tmp_path)
    for cache_mb in (0, 4):
        source = source_of(FRONTENDS[kind](), cache_mb)
        first, second = source.read(one), source.read(one)
        assert first.tolist() == second.tolist()
        assert (first is second) == (cache_mb > 0 and isinstance(one.strokes, str | None))  # ink of manifests is there
        assert (source.cache.used > 0) == (first is second)  # type: ignore[attr-defined]


def test_cache_drops_what_was_not_used_for_longest() -> None:
    cache = Cache(1)
    arrays = {name: np.zeros(2**17, np.uint8) for name in "abcdefgh"}  # an eighth each: eight fill it
    for name, array in arrays.items():
        assert cache.keep(name, array) is array
    assert cache.used == 2**20
    assert cache.get("a") is arrays["a"]
    cache.keep("i", np.zeros(2**17, np.uint8))
    assert cache.get("b") is None
    assert cache.get("a") is arrays["a"]
    assert cache.used == 2**20
    cache.keep("large", np.zeros(2**17 + 1, np.uint8))  # would take the place of too many
    assert cache.get("large") is None


@pytest.mark.parametrize("kind", ["image", "features"])
def test_lines_without_a_place_do_not_get_each_others_data(kind: str, tmp_path: Path) -> None:
    # lines made by a program have no file:line, and a new one may lie where an old one lay in memory
    source = source_of(ImageColumns(8) if kind == "image" else Features(1), 4)
    for number in range(20):
        if kind == "image":
            write_image(tmp_path / f"{number}.png", np.full((8, number + 1), 9, np.uint8))
            one = Line("x", "a", image=f"{number}.png", root=tmp_path)
        else:
            np.save(tmp_path / f"{number}.npy", np.zeros(number + 1))
            one = Line("x", "a", features=f"{number}.npy", root=tmp_path)
        assert len(source.read(one)) == number + 1
        del one


def test_same_place_in_two_manifests_is_two_lines(tmp_path: Path) -> None:
    source = ImageSource(ImageColumns(8), 4)
    for folder, columns in (("a", 5), ("b", 7)):
        (tmp_path / folder).mkdir()
        write_image(tmp_path / folder / "1.png", np.full((8, columns), 9, np.uint8))
        assert len(source.read(line(tmp_path / folder, image="1.png"))) == columns


def test_lines_of_another_kind_are_named_with_the_frontend_that_takes_them(tmp_path: Path) -> None:
    lines = [npy_line(tmp_path), image_line(tmp_path)]
    check_kind(lines[:1], "features")
    with pytest.raises(
        ConfigError, match=r"m\.jsonl:1 x: the line is image, the frontend takes features; choose front"
    ):
        check_kind(lines, "features")
    for kind, make in LINES:
        wrong = "image" if kind != "image" else "audio"
        with pytest.raises(
            ConfigError, match=rf"is {kind}, the frontend takes {wrong}; choose frontend=\w+ or another"
        ):
            check_kind([make(tmp_path)], wrong)


def test_rotated_image_has_the_size_that_is_seen(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    Image.fromarray(RNG.integers(0, 256, (200, 20), dtype=np.uint8)).save(tmp_path / "a.jpg", exif=exif)
    source = ImageSource(ImageColumns(10))
    one = line(tmp_path, image="a.jpg")
    assert source.size(one) == len(source.read(one)) == 100


# ---- arrays


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int16, np.uint8, bool, ">f4"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_numbers_of_any_type_become_float32(dtype: Any, order: Any, tmp_path: Path) -> None:
    values = np.array([[0, 1, 1], [1, 0, 1]], dtype, order=order)
    np.save(tmp_path / "a.npy", values)
    source = FeaturesSource(Features(3))
    signal = source.signal(source.read(line(tmp_path, features="a.npy")))
    assert signal.dtype == np.float32
    assert signal.tolist() == [[0, 1, 1], [1, 0, 1]]


def test_one_dimension_is_one_feature_per_frame(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(5.0))
    source = FeaturesSource(Features(1))
    one = line(tmp_path, features="a.npy")
    assert source.size(one) == 5
    assert source.read(one).tolist() == [[0], [1], [2], [3], [4]]


@pytest.mark.parametrize("shape", [(5, 4), (5,), (5, 3, 1)])
def test_array_of_another_size_is_named_with_what_is_needed(shape: tuple[int, ...], tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros(shape))
    with pytest.raises(DataError, match=r"a\.npy: needs an array \(frames, 3\) \(frontend\.size\), got \(5"):
        FeaturesSource(Features(3)).read(line(tmp_path, features="a.npy"))


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e39])
def test_values_that_are_not_finite_are_refused(value: float, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.full((4, 3), value))
    with pytest.raises(DataError, match=r"a\.npy: .*not finite"):
        FeaturesSource(Features(3)).read(line(tmp_path, features="a.npy"))


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("ran",)


def objects_npy(path: Path) -> None:
    np.save(path, np.array([Evil()], dtype=object), allow_pickle=True)


def pickle_npy(path: Path) -> None:
    path.write_bytes(pickle.dumps(Evil()))


def objects_npz(path: Path) -> None:
    content = io.BytesIO()
    np.save(content, np.array([Evil()], dtype=object), allow_pickle=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", content.getvalue())


def two_arrays(path: Path) -> None:
    np.savez(path, a=np.zeros(3), b=np.zeros(3))


def no_arrays(path: Path) -> None:
    with zipfile.ZipFile(path, "w"):
        pass


def no_array_inside(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.txt", "no array")


def zip_bomb(path: Path) -> None:
    """An archive whose directory says that its array unpacks to 4 GB and more."""
    np.savez_compressed(path, a=np.zeros(1000))
    content = bytearray(path.read_bytes())
    entry = content.rindex(b"PK\x01\x02")
    content[entry + 24 : entry + 28] = (0xF0000000).to_bytes(4, "little")
    path.write_bytes(bytes(content))


def header(path: Path, text: str) -> None:
    padded = text.encode() + b" " * (117 - len(text)) + b"\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded + bytes(64))


def huge_shape(path: Path) -> None:
    header(path, "{'descr': '<f8', 'fortran_order': False, 'shape': (9000000000000, 3)}")


def huge_shape_npz(path: Path) -> None:
    header(path.with_suffix(".npy"), "{'descr': '<f8', 'fortran_order': False, 'shape': (9000000000000, 3)}")
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(path.with_suffix(".npy"), "a.npy")


def code_in_header(path: Path) -> None:
    header(path, "{'descr': __import__('os').mkdir('ran'), 'fortran_order': False, 'shape': (3,)}")


def cut_off(path: Path) -> None:
    np.save(path, np.zeros((100, 3)))
    os.truncate(path, 500)


def truncated_header(path: Path) -> None:
    np.save(path, np.zeros((100, 3)))
    os.truncate(path, 30)


HOSTILE: dict[str, Any] = {
    "objects.npy": objects_npy,
    "pickle.npy": pickle_npy,
    "objects.npz": objects_npz,
    "two.npz": two_arrays,
    "none.npz": no_arrays,
    "text.npz": no_array_inside,
    "bomb.npz": zip_bomb,
    "huge.npy": huge_shape,
    "huge.npz": huge_shape_npz,
    "code.npy": code_in_header,
    "cut.npy": cut_off,
    "header.npy": truncated_header,
    "empty.npy": Path.touch,
    "empty.npz": Path.touch,
    "page.npy": lambda path: path.write_text("<html>not found</html>"),
    "page.npz": lambda path: path.write_text("<html>not found</html>"),
    "folder.npy": Path.mkdir,
    "scalar.npy": lambda path: np.save(path, np.float64(3)),
    "complex.npy": lambda path: np.save(path, np.zeros(3, complex)),
    "text.npy": lambda path: np.save(path, np.array(["a", "b"])),
    "records.npy": lambda path: np.save(path, np.zeros(3, [("x", "f4"), ("y", "f4")])),
    "dates.npy": lambda path: np.save(path, np.zeros(3, "datetime64[s]")),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("read", [array_shape, read_array], ids=["shape", "array"])
def test_hostile_array_is_refused_by_name_and_not_run(
    name: str, read: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    HOSTILE[name](tmp_path / name)
    with pytest.raises(DataError, match=rf"{name[:-4]}\.{name[-3:]}"):
        read(tmp_path / name)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("make", [objects_npy, pickle_npy])
def test_hostile_arrays_would_have_run(make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "a.npy")
    np.load(tmp_path / "a.npy", allow_pickle=True)
    assert (tmp_path / "ran").exists()


def test_missing_array_is_named(tmp_path: Path) -> None:
    for read in (array_shape, read_array):
        with pytest.raises(FileNotFoundError, match=r"none\.npy not found"):
            read(tmp_path / "none.npy")


def test_sources_are_chosen_by_kind() -> None:
    kinds = {kind: type(source_of(make())) for kind, make in FRONTENDS.items()}
    expected = {"audio": AudioSource, "image": ImageSource, "strokes": StrokesSource, "features": FeaturesSource}
    assert kinds == expected
