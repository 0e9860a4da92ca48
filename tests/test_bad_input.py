"""Bad input of every kind ends in a clear message and the right exit status, never in a traceback."""

import json
import os
import resource
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from tests import test_handwriting as handwriting
from tests.conftest import RATE, Run, small_settings

pytestmark = pytest.mark.xdist_group("bad_input")


def tone(seconds: float = 1.0, rate: int = RATE, channels: int = 1) -> np.ndarray:
    wave = 0.3 * np.sin(2 * np.pi * 440 * np.arange(int(seconds * rate)) / rate)
    return np.repeat(wave[:, None], channels, 1) if channels > 1 else wave


def missing(path: Path) -> None:
    pass


def folder(path: Path) -> None:
    path.mkdir()


def empty_file(path: Path) -> None:
    path.touch()


def text_as_wav(path: Path) -> None:
    path.write_text("this is no recording\n" * 20)


def zero_length(path: Path) -> None:
    soundfile.write(path, np.zeros(0), RATE)


def nan_samples(path: Path) -> None:
    wave = tone()
    wave[100] = np.nan
    soundfile.write(path, wave, RATE, subtype="FLOAT")


def truncated_wav(path: Path) -> None:
    soundfile.write(path, tone(), RATE)
    os.truncate(path, path.stat().st_size // 2)


def header_only(path: Path) -> None:
    soundfile.write(path, tone(), RATE)
    os.truncate(path, 20)


def absurd_header(path: Path) -> None:
    soundfile.write(path, tone(), RATE)
    content = bytearray(path.read_bytes())
    content[40:44] = (0xFFFFFFF0).to_bytes(4, "little")
    content[24:28] = (0).to_bytes(4, "little")
    path.write_bytes(bytes(content))


def unreadable_folder_name(path: Path) -> None:
    path.symlink_to(path.name)  # a link to itself


BAD_AUDIO: dict[str, tuple[Callable[[Path], None], str]] = {
    "missing file": (missing, "bad.wav"),
    "folder without audio": (folder, "holds no file of kind audio"),
    "empty file": (empty_file, "bad.wav"),
    "text file named .wav": (text_as_wav, "bad.wav"),
    "zero-length audio": (zero_length, "bad.wav"),
    "NaN samples": (nan_samples, "bad.wav"),
    "truncated WAV": (truncated_wav, "bad.wav"),
    "header only": (header_only, "bad.wav"),
    "absurd header": (absurd_header, "bad.wav"),
    "link to itself": (unreadable_folder_name, "bad.wav"),
}


def no_traceback(done: object) -> str:
    output = done.stdout + done.stderr  # type: ignore[attr-defined]
    assert "Traceback" not in output, output
    return output


@pytest.mark.parametrize("kind", BAD_AUDIO)
def test_transcribe_names_bad_audio_and_goes_on(kind: str, trained: Path, seqlab: Run, tmp_path: Path) -> None:
    make, words = BAD_AUDIO[kind]
    soundfile.write(tmp_path / "good.wav", tone(), RATE)
    make(tmp_path / "bad.wav")
    done = seqlab("transcribe", trained, "good.wav", "bad.wav", "good.wav")
    output = no_traceback(done)
    assert words in output
    if kind == "folder without audio":
        assert done.returncode == 2
    else:
        assert done.returncode == 1
        assert done.stdout.count("good.wav") == 2
        assert "1 file(s) failed" in done.stderr


def test_truncated_flac(trained: Path, seqlab: Run, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "bad.flac", np.random.default_rng(0).uniform(-0.5, 0.5, 4 * RATE), RATE)
    os.truncate(tmp_path / "bad.flac", (tmp_path / "bad.flac").stat().st_size // 2)
    done = seqlab("transcribe", trained, "bad.flac")
    assert "bad.flac" in no_traceback(done)
    assert done.returncode == 1


@pytest.mark.parametrize(("rate", "channels"), [(RATE, 8), (44100, 2), (96000, 1)])
def test_any_rate_and_channels_are_fine(trained: Path, seqlab: Run, tmp_path: Path, rate: int, channels: int) -> None:
    soundfile.write(tmp_path / "a.wav", tone(1.0, rate, channels), rate)
    done = seqlab("transcribe", trained, "a.wav", "--format", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["duration"] == pytest.approx(1.0, abs=0.01)


def test_too_short_audio_gives_an_empty_transcript(trained: Path, seqlab: Run, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(0.005), RATE)
    done = seqlab("transcribe", trained, "a.wav")
    assert (done.returncode, done.stdout) == (0, "\n")


def test_model_that_is_none(trained: Path, seqlab: Run, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(), RATE)
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.ckpt").write_text("no checkpoint")
    for model, words in (
        ("nowhere", "model nowhere not found"),
        ("empty", "holds no checkpoint"),
        ("text.ckpt", "no checkpoint of seqlab"),
        ("a.wav", "no checkpoint of seqlab"),
    ):
        done = seqlab("transcribe", model, "a.wav")
        assert words in no_traceback(done)
        assert done.returncode == 2


def test_checkpoint_with_code_in_it_is_not_run(seqlab: Run, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch {tmp_path}/ran",)

    torch.save({"hyper_parameters": Evil(), "state_dict": {}}, tmp_path / "evil.ckpt")
    soundfile.write(tmp_path / "a.wav", tone(), RATE)
    done = seqlab("transcribe", "evil.ckpt", "a.wav")
    assert "no checkpoint of seqlab" in no_traceback(done)
    assert done.returncode == 2
    assert not (tmp_path / "ran").exists()


def test_unwritable_output(trained: Path, seqlab: Run, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(), RATE)
    (tmp_path / "file").touch()
    done = seqlab("transcribe", trained, "a.wav", "--output-dir", "file/inside")
    assert "file" in no_traceback(done)
    assert done.returncode == 2


def test_full_disk_leaves_no_half_file(trained: Path, seqlab_process: Run, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(), RATE)
    (tmp_path / "out.json").write_text("old")

    def no_space() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))

    done = seqlab_process("transcribe", trained, "a.wav", "-f", "json", "-o", "out.json", preexec_fn=no_space)
    assert "File too large" in no_traceback(done)
    assert done.returncode == 2
    assert (tmp_path / "out.json").read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.wav", "out.json"]


def test_disk_full_while_training(corpus: Path, seqlab_process: Run, tmp_path: Path) -> None:
    def no_space() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))

    done = seqlab_process("train", *small_settings(corpus), "run_dir=run", preexec_fn=no_space)
    assert "File too large" in no_traceback(done)
    assert done.returncode == 2
    assert not list(tmp_path.rglob("*.ckpt"))
    assert not list(tmp_path.rglob("*.part"))


def manifest(tmp_path: Path, corpus: Path, change: Callable[[list[dict[str, object]]], object]) -> list[str]:
    """Return overrides that train on a changed copy of the tones."""
    rows = [json.loads(line) for line in (corpus / "train.jsonl").read_text().splitlines()]
    for row in rows:
        row["audio"] = str(corpus / row["audio"])
    rows = change(rows) or rows  # type: ignore[assignment]
    text = "".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows)
    (tmp_path / "train.jsonl").write_text(text)
    return [*small_settings(corpus), "corpus.train=[train.jsonl]", "run_dir=run"]


def set_all(key: str, value: object, count: int) -> Callable[[list[dict[str, object]]], None]:
    def change(rows: list[dict[str, object]]) -> None:
        for row in rows[:count]:
            row[key] = value

    return change


BAD_MANIFESTS: dict[str, tuple[Callable[[list[dict[str, object]]], object], str]] = {
    "empty manifest": (lambda rows: [""], "is empty"),
    "broken JSON line": (lambda rows: [*rows[:2], '{"id": "x", '], "train.jsonl:3: not JSON"),
    "duplicate id": (lambda rows: [*rows, rows[0]], "stands already in line 1"),
    "no id": (lambda rows: [{k: v for k, v in rows[0].items() if k != "id"}], '"id" is missing'),
    "text is a number": (lambda rows: rows[0].update(text=7), '"text" must be str'),
    "missing recordings": (set_all("audio", "nowhere.wav", 3), "missing file: 3 in train"),
    "a folder as recording": (set_all("audio", "/", 3), "unreadable file: 3 in train"),
    "empty texts": (set_all("text", " ", 3), "empty text: 3 in train"),
    "text too long for its frames": (set_all("text", "abc" * 60, 3), "too few frames: 3 in train"),
    "wrong type of duration": (set_all("duration_s", "long", 1), '"duration_s" must be int or float'),
    "parts and silences that do not fit": (
        lambda rows: [{"id": "x", "parts": ["a.wav"], "silence_ms": [1], "text": "a"}],
        "needs 2 entries for 1 parts",
    ),
    "all text empty": (set_all("text", "", 99), "training text is empty"),
}


@pytest.mark.parametrize("kind", BAD_MANIFESTS)
def test_bad_manifest_stops_training(kind: str, corpus: Path, seqlab: Run, tmp_path: Path) -> None:
    change, words = BAD_MANIFESTS[kind]
    done = seqlab("train", *manifest(tmp_path, corpus, change))
    assert words in no_traceback(done), done.stdout + done.stderr
    assert done.returncode == 2


def test_unknown_symbol_stops_training(corpus: Path, seqlab: Run) -> None:
    done = seqlab("train", *small_settings(corpus), "run_dir=run", "tokenizer.alphabet='ab '")
    assert "unknown characters" in no_traceback(done)
    assert "'c'" in done.stdout
    assert done.returncode == 2


def test_wrong_case_is_named_with_its_cure(corpus: Path, seqlab: Run) -> None:
    done = seqlab("train", *small_settings(corpus), "run_dir=run", "tokenizer.alphabet='ABC '")
    assert "tokenizer.case=upper" in no_traceback(done)
    assert done.returncode == 2


def test_few_faulty_lines_are_left_out_and_named(corpus: Path, seqlab: Run, tmp_path: Path) -> None:
    settings = manifest(tmp_path, corpus, set_all("audio", "nowhere.wav", 1))
    done = seqlab("train", *settings, "max_faulty=0.05", "training.max_epochs=1")
    assert "missing file: 1 in train" in no_traceback(done)
    assert "train 47 lines" in done.stdout
    assert done.returncode == 0
    faults = [json.loads(line) for line in (tmp_path / "run" / "doctor.jsonl").read_text().splitlines()]
    assert [f["id"] for f in faults if f["kind"] == "missing file"] == ["train-000"]


BAD_SETTINGS: dict[str, tuple[list[str], str]] = {
    "unknown key": (["encoder.hiden_size=3"], "did you mean 'hidden_size'?"),
    "unknown group choice": (["encoder=nope"], "nope"),
    "wrong type": (["encoder.hidden_size=wide"], "encoder.hidden_size: must be int"),
    "value out of range": (["encoder.hidden_size=0"], "hidden_size"),
    "negative learning rate": (["optimizer.lr=-1"], "learning rate"),
    "foreign target": (["encoder._target_=os.system"], "not allowed"),
    "broken syntax": (["encoder.hidden_size=[1"], "encoder.hidden_size=[1"),
    "manifest that is not there": (["corpus.train=[nowhere.jsonl]"], "nowhere.jsonl not found"),
    "manifest that is a folder": (["corpus.train=[.]"], "is a folder"),
    "no manifest": (["corpus.train=null"], "corpus.train"),
    "nothing says when to stop": (["training.max_epochs=null"], "must say when to stop"),
    "alphabet with a double": (["tokenizer.alphabet='aab'"], "stand twice"),
}


if not torch.cuda.is_available():
    BAD_SETTINGS["a GPU that is not there"] = (["training.accelerator=gpu"], "PyTorch finds no CUDA device")


@pytest.mark.parametrize("kind", BAD_SETTINGS)
def test_bad_settings_stop_before_training(kind: str, corpus: Path, seqlab: Run, tmp_path: Path) -> None:
    overrides, words = BAD_SETTINGS[kind]
    done = seqlab("train", *small_settings(corpus), "run_dir=run", *overrides)
    assert words in no_traceback(done), done.stdout + done.stderr
    assert done.returncode == 2
    assert not list(tmp_path.rglob("*.ckpt"))


def test_taken_run_folder_is_not_overwritten(trained: Path, corpus: Path, seqlab: Run, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "run")
    before = sorted((tmp_path / "run" / "checkpoints").iterdir())
    done = seqlab("train", *small_settings(corpus), "run_dir=run")
    assert "already holds a run; resume=true continues it" in no_traceback(done)
    assert done.returncode == 2
    assert sorted((tmp_path / "run" / "checkpoints").iterdir()) == before


def test_resume_with_another_network_is_refused(trained: Path, corpus: Path, seqlab: Run, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "run")
    done = seqlab("train", *small_settings(corpus), "run_dir=run", "resume=true", "encoder.hidden_size=7")
    assert "trained with other settings" in no_traceback(done)
    assert done.returncode == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["trian"], "did you mean 'train'?"),
        (["evaluate"], "model"),
        (["evaluate", "model=nowhere"], "not found"),
        (["prepare", "corpus=fsdd", "corpus.prepare.root=nowhere"], "nowhere"),
        (["prepare", "corpus=manifest"], "nothing to prepare"),
        (["transcribe"], "required"),
        (["doctor", "nowhere.jsonl"], "not found"),
        (["completion", "fish"], "completion bash"),
    ],
)
def test_bad_command_lines(arguments: list[str], words: str, seqlab: Run) -> None:
    done = seqlab(*arguments)
    assert words in no_traceback(done)
    assert done.returncode == 2


def test_evaluate_refuses_a_manifest_with_missing_files(trained: Path, seqlab: Run, tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text(json.dumps({"id": "1", "audio": "no.wav", "text": "a"}) + "\n")
    done = seqlab("evaluate", f"model={trained}", "manifest=m.jsonl", "out=report")
    assert "m.jsonl:1 1: " in no_traceback(done)
    assert done.returncode == 2
    assert not (tmp_path / "report").exists()


# ---- images, ink and arrays


def broken_png(path: Path) -> None:
    Image.fromarray(handwriting.draw("abc")).save(path)
    os.truncate(path, path.stat().st_size // 2)


def html_page(path: Path) -> None:
    path.write_text("<!DOCTYPE html><html><body>404 not found</body></html>")


def pdf(path: Path) -> None:
    path.write_bytes(b"%PDF-1.7\n1 0 obj\n")


def bomb(path: Path) -> None:
    """A PNG of 200 bytes that says that it has 60000 x 60000 pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", 60000, 60000, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(60001))) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def far_too_wide(path: Path) -> None:
    Image.fromarray(np.zeros((1, 60000), np.uint8)).save(path)


BAD_IMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "missing image": (missing, "bad.png not found"),
    "empty image": (empty_file, "bad.png is empty (0 bytes); copy it again, or leave it out"),
    "broken PNG": (broken_png, "bad.png is damaged or cut off"),
    "page saved as .png": (html_page, "is an XML or HTML file, not a bitmap; give an image file (PNG, JPEG"),
    "PDF": (pdf, "bad.png is a PDF, which has pages and no pixels; convert it first"),
    "decompression bomb": (bomb, "; cut it up or scale it down"),
    "no line of text": (far_too_wide, "is it one line?"),
}


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the run folder of a model of line images that has learnt next to nothing."""
    folder = tmp_path_factory.mktemp("reader")
    corpus = handwriting.write_lines(folder / "images", sizes=(8, 2, 2))
    handwriting.call(folder, "train", *handwriting.settings(corpus), "training.max_epochs=1")
    return folder / "run"


def image_manifest(tmp_path: Path, *bad: dict[str, object]) -> Path:
    """Write three lines that are good, and bad ones after them."""
    Image.fromarray(handwriting.draw("ab")).save(tmp_path / "good.png")
    rows: list[dict[str, object]] = [{"id": f"good-{n}", "image": "good.png", "text": "ab"} for n in range(3)]
    rows += [{"id": f"bad-{n}", "text": "ab"} | row for n, row in enumerate(bad)]
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path / "m.jsonl"


def train_on(path: Path, kind: str = "image") -> list[str]:
    settings = [s for s in handwriting.settings(path.parent, kind) if not s.startswith("corpus.")]
    return [*settings, f"corpus.train=[{path}]", f"corpus.dev=[{path}]"]


def bad_images(tmp_path: Path) -> dict[str, str]:
    """Write every bad image; returns what is to be said of each file."""
    expected = {}
    for number, (make, words) in enumerate(BAD_IMAGES.values()):
        (tmp_path / str(number)).mkdir()
        make(tmp_path / str(number) / "bad.png")
        expected[f"{number}/bad.png"] = words
    return expected


def test_transcribe_names_bad_images_and_goes_on(reader: Path, seqlab: Run, tmp_path: Path) -> None:
    expected = bad_images(tmp_path)
    Image.fromarray(handwriting.draw("ab")).save(tmp_path / "good.png")
    done = seqlab("transcribe", reader, "good.png", *expected, "good.png")
    no_traceback(done)
    assert done.returncode == 1
    assert done.stdout.count("good.png") == 2
    assert f"{len(expected)} file(s) failed" in done.stderr
    last = done.stderr.splitlines()[-len(expected) :]
    for message, (path, words) in zip(last, expected.items(), strict=True):
        assert path in message
        assert words in message


def test_evaluate_names_all_bad_images_at_once(reader: Path, seqlab: Run, tmp_path: Path) -> None:
    expected = bad_images(tmp_path)
    manifest = image_manifest(tmp_path, *({"image": path, "width": 90, "height": 16} for path in expected))
    done = seqlab("evaluate", f"model={reader}", f"manifest={manifest}", "out=report")
    output = no_traceback(done)
    assert done.returncode == 2
    assert f"{len(expected)} line(s) cannot be evaluated" in output
    for number, (path, words) in enumerate(expected.items()):
        rows = [row for row in output.splitlines() if f"{manifest}:{4 + number} bad-{number}: " in row]
        assert len(rows) == 1
        assert f"{tmp_path}/{path}" in rows[0]
        assert words in rows[0]
    assert not (tmp_path / "report").exists()


def test_training_stops_at_bad_images(seqlab: Run, tmp_path: Path) -> None:
    expected = bad_images(tmp_path)
    manifest = image_manifest(tmp_path, *({"image": path} for path in expected))
    done = seqlab("train", *train_on(manifest))
    output = no_traceback(done)
    assert done.returncode == 2
    assert "7 of 10 lines of train are unusable, more than max_faulty=0.01 allows" in output
    assert "missing file: 1 in train" in output
    assert "unreadable file: 6 in train" in output
    faults = [json.loads(row) for row in (tmp_path / "run" / "doctor.jsonl").read_text().splitlines()]
    told = {fault["id"]: fault for fault in faults if fault["split"] == "train"}
    for number, (path, words) in enumerate(expected.items()):
        fault = told[f"bad-{number}"]
        assert fault["where"] == f"{manifest}:{4 + number}"
        assert f"{tmp_path}/{path}" in fault["message"]
        assert words in fault["message"]
    assert not list(tmp_path.rglob("*.ckpt"))


BAD_LINES: list[tuple[dict[str, object], str]] = [
    ({"audio": "a.wav", "image": "good.png"}, 'has both "audio" and "image"; give one of them'),
    ({"strokes": [[[1, float("nan")]]]}, "a point is [x, y] or [x, y, seconds], got [1, nan]"),
    ({"strokes": [[[1, 2], ["a", 2]]]}, "a point is [x, y] or [x, y, seconds], got ['a', 2]"),
    ({"strokes": [[[1, 1e300]]]}, "a point is [x, y] or [x, y, seconds], got [1, 1e+300]"),
    ({"strokes": [[]]}, "each a list of one or more points"),
    ({"strokes": 3}, 'field "strokes" must be str or list, got 3'),
    ({"image": "good.png", "width": 0, "height": 16}, '"width" must be positive and below 1e+09, got 0'),
    ({"image": 7}, 'field "image" must be str, got 7'),
    ({}, 'needs a field "audio" (or "parts", "image", "strokes", "features")'),
]


@pytest.mark.parametrize("verb", ["train", "evaluate"])
def test_bad_lines_are_all_named_with_their_cure(verb: str, reader: Path, seqlab: Run, tmp_path: Path) -> None:
    manifest = image_manifest(tmp_path, *(line for line, _ in BAD_LINES))
    done = seqlab(verb, *(train_on(manifest) if verb == "train" else [f"model={reader}", f"manifest={manifest}"]))
    output = no_traceback(done)
    assert done.returncode == 2
    assert f"{len(BAD_LINES)} faulty line(s)" in output
    for number, (_, words) in enumerate(BAD_LINES):
        rows = [row for row in output.splitlines() if f"{manifest}:{4 + number}: " in row]
        assert len(rows) == 1
        assert words in rows[0]


@pytest.mark.parametrize(
    ("verb", "line", "words"),
    [
        ("evaluate", {"audio": "a.wav"}, "the line is audio, the frontend takes image; choose frontend=log_mel"),
        ("train", {"strokes": [[[1, 2]]]}, "is strokes, the frontend takes image; choose frontend=stroke_points"),
    ],
)
def test_lines_of_another_kind_are_refused(
    verb: str, line: dict[str, object], words: str, reader: Path, seqlab: Run, tmp_path: Path
) -> None:
    manifest = image_manifest(tmp_path, line)
    done = seqlab(verb, *(train_on(manifest) if verb == "train" else [f"model={reader}", f"manifest={manifest}"]))
    output = no_traceback(done)
    assert f"{manifest}:4 bad-0: " in output
    assert words in output
    assert done.returncode == 2


BAD_CONTENTS: dict[str, list[tuple[object, str]]] = {
    "features": [
        (np.zeros((9, 4)), ": needs an array (frames, 3) (frontend.size), got (9, 4)"),
        (np.full((9, 3), np.nan), ": the array holds values that are not finite"),
        (np.float64(3), ": needs an array (frames, features), got a single number"),
    ],
    "strokes": [
        ('{"strokes": [[[1, NaN]]]}', ": "),
        ('{"strokes": [[["a", 2]]]}', ": "),
        ("no ink", ": no ink file: IAM-OnDB XML, InkML, UNIPEN text and JSON strokes are read"),
    ],
}


@pytest.mark.parametrize("kind", BAD_CONTENTS)
def test_bad_arrays_and_ink_stop_training(kind: str, seqlab: Run, tmp_path: Path) -> None:
    np.save(tmp_path / "good.npy", np.ones((30, 3)))
    rows = [{"id": "good", kind: "good.npy" if kind == "features" else handwriting.write("ab"), "text": "ab"}]
    for number, (content, _) in enumerate(BAD_CONTENTS[kind]):
        name = f"bad-{number}.{'npy' if kind == 'features' else 'json'}"
        if kind == "features":
            np.save(tmp_path / name, np.asarray(content))
        else:
            (tmp_path / name).write_text(str(content))
        rows.append({"id": name, kind: name, "text": "ab"})
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = seqlab("train", *train_on(tmp_path / "m.jsonl", kind))
    output = no_traceback(done)
    assert "unreadable file: 3 in train" in output
    for number, (_, words) in enumerate(BAD_CONTENTS[kind]):
        name = str(rows[number + 1]["id"])
        assert f"m.jsonl:{number + 2} {name}: {tmp_path}/{name}{words}" in output
    assert done.returncode == 2


def test_folder_without_images_says_what_it_looks_for(reader: Path, seqlab: Run, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "in" / "a.wav", tone(), RATE)
    done = seqlab("transcribe", reader, "in")
    assert "folder in holds no file of kind image (.avif, .bmp, " in no_traceback(done)
    assert done.returncode == 2
    done = seqlab("transcribe", reader, "in/a.wav")
    assert "in/a.wav is no image that can be read" in no_traceback(done)
    assert done.returncode == 1


def test_augmentation_of_another_kind_is_refused(seqlab: Run, tmp_path: Path) -> None:
    settings = [s for s in train_on(image_manifest(tmp_path)) if s != "augment=none"]
    done = seqlab("train", *settings)
    assert "augment.signal.speed changes audio, the frontend takes image; use augment=lines" in no_traceback(done)
    assert done.returncode == 2
