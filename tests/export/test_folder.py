import json
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from seqlab.checkpoints import find_checkpoint
from seqlab.config import save_yaml
from seqlab.errors import ConfigError, DataError
from seqlab.export.folder import new_folder
from seqlab.lm.neural import NeuralLM
from seqlab.recognizer import Recognizer
from tests.conftest import Run


@pytest.fixture
def folder(trained: Path, tmp_path: Path, seqlab: Run) -> Path:
    done = seqlab("export", trained, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    return tmp_path / "out"


def test_a_folder_recognises_as_its_run(trained: Path, folder: Path, corpus: Path) -> None:
    files = sorted((corpus / "test").glob("*.wav"))[:3]
    ours, theirs = (Recognizer.load(path).transcribe(files) for path in (folder, trained))
    assert [t.text for t in ours] == [t.text for t in theirs]
    assert any(t.text for t in ours)
    assert [t.characters for t in ours] == [t.characters for t in theirs]


def test_a_folder_holds_plain_files_without_the_trainers_paths(trained: Path, folder: Path) -> None:
    assert sorted(p.name for p in folder.iterdir()) == ["README.md", "config.yaml", "model.safetensors", "tokens.txt"]
    assert (folder / "tokens.txt").read_text() == "<blk> 0\n▁ 1\na 2\nb 3\nc 4\n"
    for name in ("README.md", "config.yaml"):
        assert str(trained.parent) not in (folder / name).read_text()
    assert len({p.stat().st_mode for p in folder.iterdir()}) == 1, "whoever may read one may read all"


def test_verbs_take_a_folder(folder: Path, corpus: Path, seqlab: Run) -> None:
    wav = corpus / "test/test-000.wav"
    said = json.loads((corpus / "test.jsonl").read_text().splitlines()[0])["text"]
    for arguments in (
        ["transcribe", folder, wav],
        ["evaluate", f"model={folder}", f"manifest={corpus}/test.jsonl"],
        ["align", folder, wav, "--text", said],
        ["doctor", "-m", folder, corpus / "test.jsonl"],
        ["tune", folder, "--dev", corpus / "dev.jsonl", "--lm", "none"],
        ["export", folder, "again"],
    ):
        done = seqlab(*arguments)
        assert done.returncode == 0, done.stderr
    assert (folder / "evaluate/test/report.json").is_file()
    assert (folder / "decoding.yaml").is_file()


def test_decoder_files_travel_with_the_folder(trained: Path, tmp_path: Path, seqlab: Run) -> None:
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    (run / "checkpoints/last.ckpt").symlink_to(find_checkpoint(trained))
    symbols = Recognizer.load(trained).tokenizer.symbols
    (run / "priors.json").write_text(json.dumps({"symbols": symbols, "log_priors": [-1.0] * len(symbols)}))
    (run / "words.txt").write_text("a\nab\n")
    lm = NeuralLM(len(symbols), 4, 5)
    lm.tokenizer = Recognizer.load(trained).tokenizer
    lm.node = {"_target_": "seqlab.lm.neural.NeuralLM", "embedding_size": 4, "hidden_size": 5}
    lm.save(run / "neural_lm.ckpt")
    beam = {"_target_": "seqlab.ctc.beam.Beam", "lexicon": "words.txt", "priors": "priors.json"}
    save_yaml(
        {"decoder": beam | {"neural_lm": "neural_lm.ckpt"}, "calibration": {"word": {"bias": 1.0}}},
        run / "decoding.yaml",
    )
    assert seqlab("export", run, tmp_path / "out").returncode == 0
    kept = yaml.safe_load((tmp_path / "out/decoding.yaml").read_text())
    assert kept["decoder"]["lexicon"] == "lexicon.txt"
    assert kept["decoder"]["priors"] == [-1.0] * len(symbols)
    assert kept["calibration"] == {"word": {"bias": 1.0}}
    moved = (tmp_path / "out").rename(tmp_path / "moved")
    loaded = NeuralLM.load(moved / "neural_lm")
    assert all(torch.equal(value, loaded.state_dict()[key]) for key, value in lm.state_dict().items())
    assert Recognizer.load(moved).confidence.scalings["word"].bias == 1.0


def test_the_card_tells_the_rates_of_this_checkpoint_alone(trained: Path, tmp_path: Path, seqlab: Run) -> None:
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    (run / "checkpoints/last.ckpt").symlink_to(find_checkpoint(trained))
    rate = {"rate": 0.125, "interval": [0.1, 0.15]}
    for name, data in (("last.ckpt", "mine.jsonl"), ("best-epoch001-cer0.1.ckpt", "other.jsonl")):
        report = {"model": {"checkpoint": f"x/{name}"}, "data": [{"path": f"/there/{data}"}], "decoder": "greedy"}
        (run / f"evaluate/{data}").mkdir(parents=True)
        record = report | {"scores": {"lines": 1234, "cer": rate, "wer": rate | {"interval": None}}}
        (run / f"evaluate/{data}/report.json").write_text(json.dumps(record))
    (run / "evaluate/broken").mkdir()
    (run / "evaluate/broken/report.json").write_text("[1")
    assert seqlab("export", run, "out", "--license", "cc-by-4.0").returncode == 0
    card = (tmp_path / "out/README.md").read_text()
    assert "| mine.jsonl | greedy | 1,234 | 12.50 % (10.00 to 15.00) | 12.50 % |" in card
    assert "other.jsonl" not in card
    head = yaml.safe_load(card.split("---")[1])
    assert head["license"] == "cc-by-4.0"
    assert "best path" in card


def test_nothing_is_lost_where_something_stands(trained: Path, tmp_path: Path, seqlab: Run) -> None:
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "thesis.txt").write_text("mine")
    for options in ([], ["--overwrite"]):
        done = seqlab("export", trained, taken, *options)
        assert (done.returncode, (taken / "thesis.txt").read_text()) == (2, "mine")
        assert "is there already" in done.stderr
    assert "model nothing not found" in seqlab("export", "nothing", "out").stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["taken"]


def test_an_export_that_fails_leaves_the_old_folder(tmp_path: Path) -> None:
    old = tmp_path / "model"
    old.mkdir()
    for name in ("config.yaml", "model.safetensors"):
        (old / name).write_text("old")
    with pytest.raises(IsADirectoryError), new_folder(old, overwrite=True) as folder:
        folder.write_text("fails")
    assert (old / "config.yaml").read_text() == "old"
    with new_folder(old, overwrite=True) as folder:
        (folder / "config.yaml").write_text("new")
    assert [p.name for p in old.iterdir()] == ["config.yaml"]
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


BOMB = "a: &a [x, x]\nb: &b [*a, *a]\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (BOMB, "aliases"),
        ("[1, 2", "no configuration"),
        ("just words", "holds no keys"),
        ("tokenizer: {_target_: os.system, command: touch owned}", "not allowed"),
        ("tokenizer: {_target_: seqlab.verbs.export.export, arguments: []}", "not allowed"),
    ],
)
def test_hostile_configurations_are_refused(folder: Path, text: str, told: str) -> None:
    (folder / "config.yaml").write_text(text)
    with pytest.raises(DataError, match=told):
        Recognizer.load(folder)


def test_damaged_weights_are_refused(folder: Path) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    for broken in (b"", whole[:100], b"\xff" * 64, whole[:-4]):
        (folder / "model.safetensors").write_bytes(broken)
        with pytest.raises(DataError, match=r"model\.safetensors"):
            Recognizer.load(folder)
    (folder / "config.yaml").unlink()
    with pytest.raises(FileNotFoundError, match=r"config\.yaml"):
        Recognizer.load(folder)


def test_a_model_on_the_hub_is_fetched_without_code(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def snapshot_download(name: str, **options: Any) -> str:
        asked.update(options, name=name)
        if name == "no/where":
            raise OSError("404")
        return str(folder)

    hub: Any = types.ModuleType("huggingface_hub")
    hub.snapshot_download = snapshot_download
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    assert Recognizer.load("hf://ann/tones@v2").kind == "audio"
    assert (asked["name"], asked["revision"]) == ("ann/tones", "v2")
    assert not any(
        pattern.endswith((".py", ".ckpt", ".pt", ".bin")) or pattern == "*" for pattern in asked["allow_patterns"]
    )
    with pytest.raises(DataError, match="hf://no/where cannot be fetched: 404"):
        Recognizer.load("hf://no/where")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ConfigError, match=r"seqlab\[hub\]"):
        Recognizer.load("hf://ann/tones")
