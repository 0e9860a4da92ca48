"""The doctor: each fault on a line made for it."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from seqlab.config import build, compose
from seqlab.doctor import Diagnosis, examine
from seqlab.manifest import Line, read_manifest
from seqlab.model import CTCModel
from tests.conftest import RATE, Run

CONFIG = ["frontend.sample_rate=8000", "frontend.num_mels=24", "encoder.hidden_size=8", "encoder.num_layers=1"]


def line(folder: Path, name: str, text: str, audio: np.ndarray | None = None, **fields: object) -> Line:
    if audio is None:
        audio = 0.2 * np.sin(np.arange(RATE) / 5)
    soundfile.write(folder / f"{name}.wav", audio, RATE)
    return Line(name, text, audio=f"{name}.wav", root=folder, where=f"m.jsonl:{name}", **fields)  # type: ignore[arg-type]


def diagnose(splits: dict[str, list[Line]], *settings: str) -> Diagnosis:
    config = compose("train", [*CONFIG, "tokenizer.alphabet=' abc'", *settings])
    tokenizer = build(config["tokenizer"], "tokenizer")
    return examine(splits, tokenizer, CTCModel(config, len(tokenizer.symbols)))


def kinds(diagnosis: Diagnosis) -> list[tuple[str, str, str]]:
    return [(f.id, f.kind, f.severity) for f in diagnosis.faults]


def test_sound_line_has_no_fault(tmp_path: Path) -> None:
    diagnosis = diagnose({"train": [line(tmp_path, "a", "abc cba", duration_s=1.0, sample_rate=RATE)]})
    assert diagnosis.faults == []
    assert "no faults found" in diagnosis.summary()


def test_too_few_frames_names_numbers_and_the_stride_that_fits(tmp_path: Path) -> None:
    # 0.2 s at 8 kHz: 1600 samples, (1600 - 200) // 80 + 1 = 18 frames; 9 labels with 2 repeats need 11 frames.
    short = line(tmp_path, "a", "aabbcabca", 0.2 * np.ones(1600) * np.sin(np.arange(1600)))
    diagnosis = diagnose({"train": [short]}, "stem.factor=3")
    assert kinds(diagnosis) == [("a", "too few frames", "error")]
    assert diagnosis.faults[0].message == ("9 labels with 2 repeats need 11 frames, got 6; a stem stride of 1 would do")
    assert diagnosis.unusable("train") == {"m.jsonl:a"}
    assert diagnosis.advice == ["the largest stem stride that fits every line that can fit is 1"]
    assert diagnose({"train": [short]}, "stem.factor=1").faults == []


def test_largest_stride_is_the_smallest_over_lines(tmp_path: Path) -> None:
    # 1 s: 98 frames. 24 labels fit a stride of 4, 32 labels a stride of 3, 98 // 5 = 19 frames carry neither.
    lines = [line(tmp_path, "a", "abc" * 8), line(tmp_path, "b", "abc" * 10 + "ab")]
    diagnosis = diagnose({"train": lines}, "stem.factor=5")
    assert [f.id for f in diagnosis.faults] == ["a", "b"]
    assert "a stem stride of 4 would do" in diagnosis.faults[0].message
    assert diagnosis.advice == ["the largest stem stride that fits every line that can fit is 3"]


def test_text_faults(tmp_path: Path) -> None:
    lines = [line(tmp_path, "a", "  "), line(tmp_path, "b", "axb"), line(tmp_path, "c", "ABC")]
    diagnosis = diagnose({"train": lines, "dev": [line(tmp_path, "d", "xyz")]})
    assert kinds(diagnosis) == [
        ("a", "empty text", "error"),
        ("b", "unknown characters", "error"),
        ("c", "wrong case", "error"),
        ("d", "unknown characters", "warning"),
    ]
    assert "'x'" in diagnosis.faults[1].message
    assert diagnosis.advice == ["text and alphabet differ in case: set tokenizer.case=lower"]


def test_file_faults(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("no audio")
    lines = [
        Line("a", "abc", audio="none.wav", root=tmp_path),
        Line("b", "abc", audio="text.wav", root=tmp_path),
        line(tmp_path, "c", "abc", np.zeros(0)),
        line(tmp_path, "d", "abc", duration_s=3.0),
        line(tmp_path, "e", "abc", sample_rate=16000),
    ]
    diagnosis = diagnose({"train": lines})
    assert kinds(diagnosis) == [
        ("a", "missing file", "error"),
        ("b", "unreadable file", "error"),
        ("c", "unreadable file", "error"),
        ("d", "wrong length", "warning"),
        ("e", "wrong sample rate", "warning"),
    ]
    assert lines[3].duration_s == pytest.approx(1.0)  # what the file holds counts from here on


def test_sound_faults(tmp_path: Path) -> None:
    nan = 0.2 * np.ones(RATE)
    nan[5] = np.nan
    soundfile.write(tmp_path / "n.wav", nan, RATE, subtype="FLOAT")
    lines = [
        line(tmp_path, "a", "abc", np.zeros(RATE)),
        line(tmp_path, "b", "abc", np.clip(3 * np.sin(np.arange(RATE) / 5), -1, 1)),
        Line("n", "abc", audio="n.wav", root=tmp_path),
    ]
    diagnosis = diagnose({"train": lines})
    assert kinds(diagnosis) == [
        ("a", "silence", "warning"),
        ("b", "clipping", "warning"),
        ("n", "unreadable file", "error"),
    ]


def test_outliers(tmp_path: Path) -> None:
    lines = [line(tmp_path, f"l{i:02d}", "abc") for i in range(20)]
    lines += [line(tmp_path, "long", "abc" * 20, 0.1 * np.sin(np.arange(31 * RATE))), line(tmp_path, "fast", "ab" * 9)]
    assert kinds(diagnose({"train": lines})) == [
        ("long", "very long", "warning"),
        ("fast", "unusual pace", "warning"),
    ]


def test_lines_shared_with_train(tmp_path: Path) -> None:
    first = line(tmp_path, "a", "abc")
    again = Line("z", "abc", audio="a.wav", root=tmp_path)
    same_id = line(tmp_path, "b", "abc")
    same_id.id = "a"
    assert kinds(diagnose({"train": [first], "test": [again, same_id]})) == [
        ("z", "file also in train", "warning"),
        ("a", "id also in train", "warning"),
    ]


def test_command_writes_the_whole_list_and_tells_by_its_status(corpus: Path, seqlab: Run, tmp_path: Path) -> None:
    settings = [v for s in CONFIG for v in ("-s", s)]
    done = seqlab("doctor", corpus / "train.jsonl", corpus / "dev.jsonl", *settings)
    assert done.returncode == 0
    assert "train: 48 lines" in done.stdout
    rows = [json.loads(r) for r in (corpus / "train.jsonl").read_text().splitlines()]
    rows = [r | {"audio": f"gone-{i}.wav" if i < 9 else str(corpus / r["audio"])} for i, r in enumerate(rows)]
    (tmp_path / "bad.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    done = seqlab("doctor", "bad.jsonl", *settings, "-o", "list.jsonl")
    assert done.returncode == 1
    assert "missing file: 9 in train" in done.stdout
    assert "... and 4 more" in done.stdout
    assert len((tmp_path / "list.jsonl").read_text().splitlines()) == 9


def test_files_spelt_differently_are_one_file(corpus: Path, seqlab: Run, tmp_path: Path) -> None:
    row = json.loads((corpus / "train.jsonl").read_text().splitlines()[0])
    spelt = row | {"id": "other", "audio": str(corpus / "train" / ".." / row["audio"])}
    (tmp_path / "train.jsonl").write_text(json.dumps(spelt) + "\n")
    settings = [v for s in CONFIG for v in ("-s", s)]
    done = seqlab("doctor", corpus / "train.jsonl", "train.jsonl", *settings)
    assert "file also in train: 1 in train.jsonl" in done.stdout  # the second part keeps a name of its own


def test_command_takes_the_alphabet_of_a_model(trained: Path, corpus: Path, seqlab: Run, tmp_path: Path) -> None:
    row = json.loads((corpus / "test.jsonl").read_text().splitlines()[0])
    row |= {"text": "q", "audio": str(corpus / row["audio"])}
    (tmp_path / "m.jsonl").write_text(json.dumps(row) + "\n")
    done = seqlab("doctor", "m.jsonl", "--model", trained)
    assert "warning: unknown characters: 1 in m" in done.stdout


def test_manifest_with_string_parts_is_examined(tmp_path: Path) -> None:
    for name in "ab":
        soundfile.write(tmp_path / f"{name}.wav", 0.2 * np.sin(np.arange(RATE)), RATE)
    row = {"id": "s", "parts": ["a.wav", "b.wav"], "silence_ms": [100, 200, 100], "text": "a b", "duration_s": 2.4}
    (tmp_path / "m.jsonl").write_text(json.dumps(row) + "\n")
    assert diagnose({"train": read_manifest(tmp_path / "m.jsonl")}).faults == []
