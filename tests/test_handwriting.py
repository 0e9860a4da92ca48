"""Handwriting through the command line: lines of bars for letters, as images, ink and arrays."""

import base64
import contextlib
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from seqlab.cli import main
from seqlab.ctc.hypothesis import Hypothesis, Span
from seqlab.errors import DataError
from seqlab.recognizer import Recognizer
from tests.conftest import Run

HEIGHT = 16
GLYPH, GAP, MARGIN = 8, 4, 6  # columns
# Rows and columns of the ink of each letter, in a box of 16 x 8; words are parted by a dot, as in Roman inscriptions.
INK: dict[str, list[tuple[slice, slice]]] = {
    "a": [(slice(2, 14), slice(0, 3)), (slice(2, 14), slice(5, 8))],
    "b": [(slice(2, 5), slice(0, 8)), (slice(11, 14), slice(0, 8))],
    "c": [(slice(6, 10), slice(0, 8))],
    " ": [(slice(12, 15), slice(3, 5))],
}
# The pen's way through the same box, y growing down.
STROKES: dict[str, list[list[list[int]]]] = {
    "a": [[[0, 14], [0, 2], [8, 2], [8, 14]]],
    "b": [[[0, 2], [8, 2]], [[0, 14], [8, 14]]],
    "c": [[[0, 2], [8, 14], [0, 14]]],
    " ": [[[4, 8], [5, 8]]],
}
VECTORS = {"a": [1, 0, 0], "b": [0, 1, 0], "c": [0, 0, 1], " ": [-1, -1, -1]}


def left(number: int) -> int:
    """Return the first column of a letter's box."""
    return MARGIN + number * (GLYPH + GAP)


def draw(text: str) -> np.ndarray:
    """Draw a text dark on light paper, (16, S)."""
    image = np.full((HEIGHT, left(len(text)) + MARGIN), 230, np.uint8)
    for number, letter in enumerate(text):
        for rows, columns in INK[letter]:
            image[:, left(number) : left(number) + GLYPH][rows, columns] = 20
    return image


def write(text: str) -> list[list[list[int]]]:
    """Return the strokes of a text."""
    moves = (([x + left(n), y] for x, y in stroke) for n, letter in enumerate(text) for stroke in STROKES[letter])
    return [list(stroke) for stroke in moves]


def measure(text: str, rng: np.random.Generator) -> np.ndarray:
    """Return an array of six frames per letter, and two of nothing after each, (T, 3)."""
    rows = [row for letter in text for row in [VECTORS[letter]] * 6 + [[0, 0, 0]] * 2]
    return np.array(rows) + 0.05 * rng.standard_normal((len(rows), 3))


def text_of(rng: np.random.Generator) -> str:
    return " ".join("".join(rng.choice(list("abc"), rng.integers(1, 4))) for _ in range(rng.integers(1, 4)))


def write_lines(folder: Path, kind: str = "image", sizes: tuple[int, int, int] = (48, 8, 8), seed: int = 0) -> Path:
    """Write a corpus of a kind into a folder: train.jsonl, dev.jsonl and test.jsonl."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for split, size in zip(("train", "dev", "test"), sizes, strict=True):
        rows = []
        for number in range(size):
            text = text_of(rng)
            name = f"{split}-{number:03d}"
            row: dict[str, Any] = {"id": name, "text": text, "writer": f"w{number % 3}"}
            if kind == "image":
                image = draw(text)
                noise = rng.normal(0, 4, image.shape)
                Image.fromarray((image + noise).clip(0, 255).astype(np.uint8)).save(folder / f"{name}.png")
                row |= {"image": f"{name}.png", "width": image.shape[1], "height": HEIGHT}
            elif kind == "strokes":
                row["strokes"] = write(text)
            else:
                np.save(folder / f"{name}.npy", measure(text, rng))
                row["features"] = f"{name}.npy"
            rows.append(row)
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


FRONTENDS = {
    "image": ["frontend=image_columns", f"frontend.height={HEIGHT}", "normalize=none", "data.batch_frames=400"],
    "strokes": [
        "frontend=stroke_points",
        "frontend.points_per_height=8",
        "frontend.slant=false",
        "normalize=none",
        "data.batch_frames=200",
    ],
    "features": ["frontend=features", "frontend.size=3", "normalize=none", "data.batch_frames=300"],
}
LINE_CNN = [
    "stem=line_cnn",
    "stem.channels=[6,12]",
    "stem.strides=[[2,2],[2,2]]",
    "stem.pools=[[1,1],[1,1]]",
    "stem.blocks=[0,0]",
    "stem.collapse=concat",
]
SMALL = [
    "augment=none",
    "encoder.hidden_size=24",
    "encoder.num_layers=1",
    "optimizer.lr=0.03",
    "training.max_epochs=2",
    "training.ema=0.9",
    "logger=csv",
    "run_dir=run",
]


def settings(folder: Path, kind: str = "image") -> list[str]:
    """Return overrides of seqlab train for a tiny net on a corpus of write_lines."""
    corpus = [f"corpus.{split}=[{folder}/{split}.jsonl]" for split in ("train", "dev", "test")]
    stem = LINE_CNN if kind == "image" else ["stem=stack", "stem.factor=2"]
    return ["corpus=manifest", f"name={kind}", *corpus, *FRONTENDS[kind], *stem, *SMALL]


def call(folder: Path, *arguments: str) -> None:
    """Run the command line in a folder."""
    with contextlib.chdir(folder), pytest.raises(SystemExit) as stop:
        main(arguments)
    assert not stop.value.code


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lines(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def reader(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the run folder of a tiny model that reads the images."""
    folder = tmp_path_factory.mktemp("reader")
    call(folder, "train", *settings(images), "training.max_epochs=10", "training.validate_every=5", "loss.shortcut=0.3")
    return folder / "run"


@pytest.fixture(scope="module")
def recognizer(reader: Path) -> Recognizer:
    return Recognizer.load(reader)


@pytest.fixture(scope="module")
def trained_on(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a function that trains on a corpus of ink or arrays and returns its folder and the run's."""
    kept: dict[str, tuple[Path, Path]] = {}

    def train(kind: str) -> tuple[Path, Path]:
        if kind not in kept:
            corpus = write_lines(tmp_path_factory.mktemp(kind), kind)
            folder = tmp_path_factory.mktemp(f"reader-{kind}")
            epochs = {"strokes": 12, "features": 8}[kind]
            limits = [f"training.max_epochs={epochs}", "training.validate_every=4"]
            call(folder, "train", *settings(corpus, kind), *limits)
            kept[kind] = (corpus, folder / "run")
        return kept[kind]

    return train


def rates(folder: Path) -> dict[str, Any]:
    scores: dict[str, Any] = json.loads((folder / "report.json").read_text())["scores"]
    return scores


def manifest(folder: Path, *rows: dict[str, Any]) -> Path:
    (folder / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "m.jsonl"


def test_images_are_read_after_a_short_training(reader: Path, images: Path, seqlab: Run, tmp_path: Path) -> None:
    done = seqlab("evaluate", f"model={reader}", f"manifest={images}/test.jsonl", "out=report")
    assert done.returncode == 0, done.stderr
    scores = rates(tmp_path / "report")
    rows = [json.loads(row) for row in (images / "test.jsonl").read_text().splitlines()]
    assert scores["lines"] == len(rows)
    assert scores["words"] == sum(len(row["text"].split()) for row in rows)
    assert scores["cer"]["rate"] < 0.2


def test_shortcut_is_trained_and_left_out_of_the_model(reader: Path, recognizer: Recognizer) -> None:
    checkpoint = torch.load(reader / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["state_dict"]["shortcut.weight"].shape == (5, 48, 3)  # symbols, the stem's features, frames
    assert not [name for name, _ in recognizer.model.named_parameters() if "shortcut" in name]


def test_report_shows_the_worst_line(reader: Path, seqlab: Run, tmp_path: Path) -> None:
    rows = []
    for number, (drawn, text) in enumerate((("ab", "ab"), ("cab b", "bbb cccc"), ("c", "c"))):
        Image.fromarray(draw(drawn)).save(tmp_path / f"{number}.png")
        rows.append({"id": str(number), "image": f"{number}.png", "text": text})
    assert seqlab("evaluate", f"model={reader}", f"manifest={manifest(tmp_path, *rows)}", "out=report").returncode == 0
    page = (tmp_path / "report" / "report.html").read_text()
    pictures = dict(re.findall(r'src="data:image/png;base64,([^"]+)" alt="Line (\d) ', page))
    shown = {number: content for content, number in pictures.items()}
    picture = Image.open(io.BytesIO(base64.b64decode(shown["1"])))
    seen = np.asarray(picture.convert("L"))
    assert seen.shape == draw("cab b").shape
    assert np.abs(seen.astype(int) - draw("cab b")).max() <= 9  # sixteen greys, 17 apart


def test_doctor_names_file_line_and_cure(images: Path, seqlab: Run, tmp_path: Path) -> None:
    Image.fromarray(draw("ab")).save(tmp_path / "good.png")
    Image.fromarray(np.full((16, 80), 250, np.uint8)).save(tmp_path / "blank.png")
    Image.fromarray(draw("b")[:, :10]).save(tmp_path / "narrow.png")
    (tmp_path / "text.png").write_text("no image")
    rows = [
        {"id": "good", "image": "good.png", "text": "ab", "width": 36, "height": 16},
        {"id": "gone", "image": "gone.png", "text": "ab"},
        {"id": "blank", "image": "blank.png", "text": "ab"},
        {"id": "size", "image": "good.png", "text": "ab", "width": 99, "height": 17},
        {"id": "narrow", "image": "narrow.png", "text": "abbcab"},
        {"id": "kind", "audio": "a.wav", "text": "ab"},
        {"id": "broken", "image": "text.png", "text": "ab"},
    ]
    overrides = [v for s in settings(images)[2:] if not s.startswith("run_dir") for v in ("-s", s)]
    done = seqlab("doctor", manifest(tmp_path, *rows), *overrides, "-o", "list.jsonl")
    assert done.returncode == 1
    faults = [json.loads(row) for row in (tmp_path / "list.jsonl").read_text().splitlines()]
    found = {fault["id"]: (fault["kind"], fault["severity"]) for fault in faults}
    assert found == {
        "gone": ("missing file", "error"),
        "blank": ("blank image", "warning"),
        "size": ("wrong size", "warning"),
        "narrow": ("too few frames", "error"),
        "kind": ("wrong kind", "error"),
        "broken": ("unreadable file", "error"),
    }
    # narrow: 10 columns make 3 frames of stride 4; six labels with one repeat need 7
    for words in (
        f"m.jsonl:2 gone: {tmp_path}/gone.png not found",
        "m.jsonl:3 blank: no ink to be seen; remove the line or check the image",
        "m.jsonl:4 size: width and height say 99 x 17, the image has 36 x 16; the image counts",
        "m.jsonl:5 narrow: 6 labels with 1 repeats need 7 frames, got 3; a stem stride of 1 would do",
        "m.jsonl:6 kind: the line is audio, the frontend takes image; choose another frontend",
        f"m.jsonl:7 broken: {tmp_path}/text.png is no image that can be read",
        "train: 7 lines",
    ):
        assert words in done.stdout


def test_doctor_counts_columns(images: Path, reader: Path, seqlab: Run) -> None:
    rows = [json.loads(row) for row in (images / "dev.jsonl").read_text().splitlines()]
    done = seqlab("doctor", images / "dev.jsonl", "-m", reader)
    assert f"dev: 8 lines, {sum(row['width'] for row in rows):,} columns, 0 unusable" in done.stdout


def test_transcribe_reads_files_and_folders(reader: Path, seqlab: Run, tmp_path: Path) -> None:
    (tmp_path / "in" / "sub").mkdir(parents=True)
    Image.fromarray(draw("ab c")).save(tmp_path / "in" / "one.png")
    Image.fromarray(draw("cba")).save(tmp_path / "in" / "sub" / "two.tif")
    (tmp_path / "in" / "notes.txt").write_text("no image")
    assert seqlab("transcribe", reader, "in/one.png").stdout == "ab c\n"
    assert seqlab("transcribe", reader, "in").stdout == "in/one.png\tab c\nin/sub/two.tif\tcba\n"
    assert seqlab("transcribe", reader, "in", "-d", "out").returncode == 0
    assert {p.name: p.read_text() for p in (tmp_path / "out").iterdir()} == {"one.txt": "ab c\n", "two.txt": "cba\n"}


@pytest.mark.parametrize("scale", [1, 3])
def test_characters_lie_where_they_are_written(reader: Path, seqlab: Run, tmp_path: Path, scale: int) -> None:
    text = "ab cbac"
    image = np.kron(draw(text), np.ones((scale, scale), np.uint8))
    Image.fromarray(image).save(tmp_path / "a.png")
    done = seqlab("transcribe", reader, "a.png", "-f", "json")
    row = json.loads(done.stdout)
    assert (row["text"], row["unit"], row["id"], row["duration"]) == (text, "px", "a", image.shape[1])
    assert [c["text"] for c in row["characters"]] == list(text)
    for number, character in enumerate(row["characters"]):
        if character["text"] != " ":  # a space is read somewhere in the gap
            middle = (character["start"] + character["end"]) / 2
            assert scale * (left(number) - GAP) <= middle <= scale * (left(number) + GLYPH + GAP)
    assert [word["text"] for word in row["words"]] == ["ab", "cbac"]
    for word, (first, last) in zip(row["words"], ((0, 1), (3, 6)), strict=True):
        assert word["start"] == pytest.approx(scale * left(first), abs=scale * (GLYPH + GAP))
        assert word["end"] == pytest.approx(scale * (left(last) + GLYPH), abs=scale * (GLYPH + GAP))


def test_padding_does_not_move_places(recognizer: Recognizer) -> None:
    image = draw("bcab")
    plain = recognizer.open(image)
    frontend = recognizer.model.frontend
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frontend, "pad", 6)
        padded = recognizer.open(image)
    assert len(padded.samples) == len(plain.samples) + 12
    assert (plain.offset, padded.offset) == (0, -6)
    assert padded.length == plain.length == image.shape[1]
    # frames of four columns: the first covers the padding and no more, the others lie 6 columns further left
    spans = [Span(1, 0, 1, 0.9), Span(2, 2, 3, 0.9), Span(3, 16, 20, 0.9)]
    places = [(c.start, c.end) for c in recognizer.transcript_of(Hypothesis(spans), padded, "").characters]
    assert places == [(0, 0), (2, 6), (58, 60)]  # the image ends at 60
    large = recognizer.open(np.kron(image, np.ones((2, 2), np.uint8)))
    places = [(c.start, c.end) for c in recognizer.transcript_of(Hypothesis(spans), large, "").characters]
    assert places == [(0, 8), (16, 24), (120, 120)]


def test_arrays_of_images(recognizer: Recognizer) -> None:
    image = draw("ba cab")
    assert recognizer.kind == "image"
    transcript = recognizer.transcribe(image)
    assert transcript.text == "ba cab"
    assert recognizer.transcribe(np.stack([image] * 3, 2)) == transcript
    assert recognizer.transcribe(torch.from_numpy(image)) == transcript  # type: ignore[call-overload]
    assert recognizer.transcribe(255 - image).text == "ba cab"  # light on dark
    assert recognizer.transcribe(image[::-1, ::-1][::-1, ::-1]) == transcript
    together = recognizer.transcribe([image, draw("c"), draw("abc abc abc")])
    assert [t.text for t in together] == ["ba cab", "c", "abc abc abc"]
    assert together[0] == transcript


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((16, 40), np.float32),
        np.zeros((16, 40, 4), np.uint8),
        np.zeros((16, 40), bool),
        np.zeros(40, np.uint8),
        np.zeros((0, 40), np.uint8),
        np.zeros((16, 0), np.uint8),
        np.zeros((1, 50_000), np.uint8),
    ],
)
def test_what_is_no_image_is_refused(recognizer: Recognizer, array: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"image"):
        recognizer.transcribe(array)


def test_image_too_narrow_for_a_frame_is_empty(recognizer: Recognizer) -> None:
    transcript = recognizer.transcribe(np.zeros((160, 1), np.uint8))
    assert (transcript.text, transcript.duration, transcript.characters) == ("", 1, [])


def test_files_of_every_depth_and_turn_read_the_same(recognizer: Recognizer, tmp_path: Path) -> None:
    text = "ab cabc"
    image = draw(text)
    plain = Image.fromarray(image)
    plain.save(tmp_path / "plain.png")
    Image.fromarray(image.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    clear = np.zeros((*image.shape, 4), np.uint8)
    clear[..., 3] = (image < 128) * 235  # ink on nothing: transparent paper
    Image.fromarray(clear).save(tmp_path / "clear.png")
    plain.point(lambda v: 255 * (v > 128)).convert("1", dither=Image.Dither.NONE).save(tmp_path / "bits.png")
    plain.convert("RGB").save(tmp_path / "colour.jpg", quality=95)
    plain.convert("P").save(tmp_path / "palette.gif")
    exif = Image.Exif()
    exif[0x0112] = 6  # to be seen a quarter turn clockwise
    Image.fromarray(np.ascontiguousarray(np.rot90(image))).save(tmp_path / "turned.png", exif=exif)
    Image.fromarray(np.ascontiguousarray(np.rot90(image))).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    plain.resize((3 * plain.width, 3 * plain.height)).save(tmp_path / "large.png")
    paths = sorted(tmp_path.iterdir())
    assert len(paths) == 9
    expected = recognizer.transcribe(tmp_path / "plain.png")
    assert expected.text == text
    for path in paths:
        transcript = recognizer.transcribe(path)
        assert (path.name, transcript.text) == (path.name, text)
        assert transcript.id == path.stem
        assert transcript.duration == (3 if path.stem == "large" else 1) * image.shape[1]
    assert recognizer.transcribe(tmp_path / "turned.png").characters == expected.characters


def test_image_corpus_trains_with_augmentation_and_resumes(images: Path, seqlab: Run, tmp_path: Path) -> None:
    overrides = [*settings(images), "augment=lines", "augment.signal.warp.bend=0.03", "frontend.deslant=true"]
    overrides += ["stem.dropout=0.1", "stem.norm=group"]
    assert seqlab("train", *overrides, "training.max_epochs=1").returncode == 0
    done = seqlab("train", *overrides, "resume=true")
    assert done.returncode == 0, done.stderr
    assert "2 epochs" in done.stdout


@pytest.mark.parametrize("kind", ["strokes", "features"])
def test_ink_and_arrays_go_the_same_way(kind: str, trained_on: Any, seqlab: Run, tmp_path: Path) -> None:
    corpus, run = trained_on(kind)
    done = seqlab("evaluate", f"model={run}", "out=report")
    assert done.returncode == 0, done.stderr
    assert rates(tmp_path / "report")["cer"]["rate"] < 0.2
    rows = [json.loads(row) for row in (corpus / "test.jsonl").read_text().splitlines()]
    written = rows[0]["text"]
    rows[0]["text"] = "cc cc cc"  # so that there is a worst line
    if kind == "features":
        rows = [row | {"features": str(corpus / row["features"])} for row in rows]
    assert seqlab("evaluate", f"model={run}", f"manifest={manifest(tmp_path, *rows)}", "out=worst").returncode == 0
    page = (tmp_path / "worst" / "report.html").read_text()
    text = "abc ba"
    if kind == "strokes":
        assert re.search(r'src="data:image/svg\+xml,[^"]+" alt="Line test-000 ', page)
        shown = json.loads(re.search(r'id="data">(.*?)</script>', page)[1])["exhibits"]["0"]["symbols"]  # type: ignore[index]
        ends = [x for stroke in write(written) for x, _ in stroke]
        low, wide = min(ends), max(ends) - min(ends)
        assert "".join(symbol for symbol, _, _ in shown) == written
        for n, (symbol, start, end) in enumerate(shown):  # over its letter on the ink that is drawn, a letter about it
            assert symbol == " " or left(n - 1) < low + start * wide <= low + end * wide < left(n + 2)
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "line.json").write_text(json.dumps({"strokes": write(text)}))
    else:
        assert "<img" not in page
        (tmp_path / "in").mkdir()
        np.save(tmp_path / "in" / "line.npy", measure(text, np.random.default_rng(9)))
    rows = [json.loads(row) for row in seqlab("transcribe", run, "in", "-f", "json").stdout.splitlines()]
    assert [row["text"] for row in rows] == [text]
    assert rows[0]["unit"] == {"strokes": "points", "features": "frames"}[kind]
    places = [c["start"] for c in rows[0]["characters"]]
    assert places == sorted(places)
    if kind == "strokes":  # the points as they were given, not those that the frontend makes
        assert rows[0]["duration"] == sum(map(len, write(text)))
    if kind == "features":  # eight frames for each letter
        assert rows[0]["duration"] == 48
        assert all(8 * n - 2 <= place <= 8 * n + 8 for n, place in enumerate(places))
    assert seqlab("doctor", corpus / "dev.jsonl", "-m", run).returncode == 0


def test_recognizer_takes_ink_and_features(trained_on: Any) -> None:
    from seqlab.media.ink import ink_from_strokes

    reader = Recognizer.load(trained_on("strokes")[1])
    ink = ink_from_strokes(write("cab"))
    assert reader.transcribe(ink).text == "cab"
    assert reader.transcribe(ink[:0]).text == ""
    for wrong in (ink[:, :3], np.full((3, 4), np.nan), np.zeros(4)):
        with pytest.raises(DataError, match=r"ink must be finite points \(N, 4\)"):
            reader.transcribe(wrong)
    reader = Recognizer.load(trained_on("features")[1])
    frames = measure("bca", np.random.default_rng(3))
    assert reader.transcribe(frames).text == "bca"
    assert [t.text for t in reader.transcribe([frames, frames[:8]])] == ["bca", "b"]
    with pytest.raises(DataError, match=r"\(frames, 3\)"):
        reader.transcribe(frames[:, :2])


def test_doctor_examines_ink_and_arrays(seqlab: Run, tmp_path: Path) -> None:
    np.save(tmp_path / "good.npy", np.zeros((20, 3)))
    np.save(tmp_path / "wide.npy", np.zeros((20, 4)))
    np.save(tmp_path / "short.npy", np.zeros((2, 3)))
    np.save(tmp_path / "none.npy", np.zeros((0, 3)))
    rows = [{"id": name, "features": f"{name}.npy", "text": "ab"} for name in ("good", "wide", "short", "none", "gone")]
    overrides = [v for s in (*FRONTENDS["features"], "stem=stack", "stem.factor=2") for v in ("-s", s)]
    done = seqlab("doctor", manifest(tmp_path, *rows), *overrides)
    for words in (
        "wide.npy: needs an array (frames, 3) (frontend.size), got (20, 4)",
        "m.jsonl:3 short: 2 labels with 0 repeats need 2 frames, got 1; a stem stride of 1 would do",
        "m.jsonl:4 none: there is nothing in it; remove the line",
        "gone.npy not found",
        "train: 5 lines, ",
    ):
        assert words in done.stdout
    assert "m.jsonl:1" not in done.stdout
    ink = [{"id": "a", "strokes": write("ab"), "text": "ab"}, {"id": "b", "strokes": [], "text": "ab"}]
    overrides = [v for s in (*FRONTENDS["strokes"], "stem=stack") for v in ("-s", s)]
    done = seqlab("doctor", manifest(tmp_path, *ink), *overrides)
    assert "m.jsonl:2 b: there is nothing in it; remove the line" in done.stdout
    assert done.returncode == 1
