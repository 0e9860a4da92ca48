"""The bench from files to text: each contender is given the decoder that is meant, and the model stays as it is."""

import argparse
import importlib.util
import runpy
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from tests.scripts import BENCH, load


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    return load(BENCH / "transcribe.py")


def test_contenders_have_the_same_beam_and_the_model_is_left_alone(
    bench: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "decoding.yaml").write_text("decoder: {beam: 32, lm: lm.ngram}\n")
    (model / "model.int8.onnx").write_text("weights")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    given = argparse.Namespace(model=str(model), files=["a.wav"], beam=7, int8=True)
    found = bench.commands(given, scratch)
    kinds = [f"seqlab, {backend}, {name}" for backend in ("torch", "onnx", "int8") for name in ("beam", "greedy")]
    assert list(found) == ["plain torch, greedy", *kinds]  # pyctcdecode is not installed
    assert yaml.safe_load((scratch / "beam" / "decoding.yaml").read_text())["decoder"]["beam"] == 7
    assert [path.name for path in (scratch / "greedy").iterdir()] == ["model.int8.onnx"]
    assert (scratch / "greedy" / "model.int8.onnx").read_text() == "weights"
    assert found["seqlab, int8, beam"][2:] == [
        *["seqlab", "transcribe", str(scratch / "beam"), "a.wav"],
        *["--backend", "int8", "-f", "txt", "-o"],
    ]
    assert "32" in (model / "decoding.yaml").read_text()


def test_images_of_the_test_part_are_gathered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = tmp_path / "data" / "peraire"
    (corpus / "images").mkdir(parents=True)
    rows = []
    for number in range(40):
        (corpus / "images" / f"page{number}.jpg").write_text(str(number))
        rows.append(f'{{"id": "{number}", "image": "images/page{number}.jpg", "text": "a"}}')
    (corpus / "test.jsonl").write_text("\n".join(rows) + "\n")
    monkeypatch.syspath_prepend(str(BENCH))
    monkeypatch.setattr(sys, "argv", ["all"])
    prepare = runpy.run_path(str(BENCH / "all"))["prepare"]
    models = {"model": None, "image_model": "hand"}
    for quick, count in ((False, 40), (True, 2)):
        folder = tmp_path / f"quick {quick}"
        folder.mkdir()
        names = prepare(tmp_path / "data", models, folder, quick)
        images = sorted(Path(names["images"]).iterdir())
        assert [path.read_text() for path in images] == [str(number) for number in range(count)]
        assert names["image_model"].endswith("hand")
        assert "strings" not in names
