import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from seqlab.batch import pad
from seqlab.config import Config
from seqlab.errors import ConfigError, DataError
from seqlab.export.compact import quantize
from seqlab.export.folder import tokens, write_folder
from seqlab.export.graph import export_graph, sherpa_faults
from seqlab.frontends.log_mel import LogMel
from seqlab.media import read_audio
from seqlab.model import CTCModel
from seqlab.onnx_model import OnnxModel, open_session
from seqlab.recognizer import Recognizer
from seqlab.streaming import transcribe_long
from seqlab.tokenizers.characters import Characters
from seqlab.tokenizers.symbols import Symbols
from seqlab.verbs import export as verb
from tests.conftest import Run

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

SYMBOLS = " abcdefghij"
BLSTM = {"_target_": "seqlab.encoders.blstm.BLSTM", "hidden_size": 12, "num_layers": 2}
LOG_MEL = {"_target_": "seqlab.frontends.log_mel.LogMel", "sample_rate": 8000, "num_mels": 24, "high_freq": -400.0}
SHERPA = LOG_MEL | {"snip_edges": False}
SHERPA_CEPSTRA = {
    **{"_target_": "seqlab.frontends.mfcc.MFCC", "sample_rate": 8000, "num_mels": 24, "high_freq": -400.0},
    **{"use_energy": False, "snip_edges": False},
}
STACK = {"_target_": "seqlab.stems.stack.Stack", "factor": 4}
LINE_CNN = {"_target_": "seqlab.stems.line_cnn.LineCNN", "channels": [4, 4, 4, 4]}
IMAGES = {"_target_": "seqlab.frontends.image_columns.ImageColumns", "height": 24}
STROKES = {"_target_": "seqlab.frontends.stroke_points.StrokePoints"}
ARRAYS = {"_target_": "seqlab.frontends.features.Features", "size": 5}


def random_model(frontend: Config, stem: Config, encoder: Config = BLSTM, normalize: str = "line") -> Recognizer:
    """A network with random weights, its output sharpened so that it reads something."""
    torch.manual_seed(0)
    config: Config = {
        "frontend": frontend,
        "normalize": {"_target_": "seqlab.frontends.normalize.Normalize", "kind": normalize},
        "stem": stem,
        "encoder": encoder,
        "tokenizer": {"_target_": "seqlab.tokenizers.characters.Characters", "alphabet": list(SYMBOLS)},
        "decoder": {"_target_": "seqlab.ctc.greedy.Greedy"},
    }
    tokenizer = Characters(SYMBOLS)
    model = CTCModel(config, len(tokenizer.symbols)).eval()
    with torch.no_grad():
        model.head.weight.mul_(20)
    from seqlab.ctc.greedy import Greedy

    return Recognizer(model, tokenizer, Greedy(), config)


def export(recognizer: Recognizer, folder: Path) -> Path:
    folder.mkdir()
    write_folder(recognizer, folder, folder)
    export_graph(recognizer.model, folder / "model.onnx")
    quantize(folder / "model.onnx", folder / "model.int8.onnx")
    return folder


CASES = {
    "audio": (LOG_MEL, STACK),
    "mirrored audio": (SHERPA, STACK),
    "cepstra": ({"_target_": "seqlab.frontends.mfcc.MFCC", "sample_rate": 8000}, STACK),
    "image": (IMAGES, LINE_CNN),
    "strokes": (STROKES, {"_target_": "seqlab.stems.none.NoStem"}),
    "features": (ARRAYS, {"_target_": "seqlab.stems.conv2d.Conv2d", "out_size": 8}),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("bidirectional", [True, False])
def test_a_graph_equals_its_network_for_every_length(case: str, bidirectional: bool, tmp_path: Path) -> None:
    recognizer = random_model(*CASES[case], BLSTM | {"bidirectional": bidirectional})
    model = recognizer.model
    assert export_graph(model, tmp_path / "model.onnx").probability <= 1e-4
    graph = OnnxModel(tmp_path / "model.onnx", recognizer.config)
    assert (graph.sample_rate, graph.frame_shift) == (model.sample_rate, pytest.approx(model.frame_shift))
    rng = np.random.default_rng(0)
    shape = [] if model.frontend.kind == "audio" else [model.frontend.num_features]
    unit = 80 if model.frontend.kind == "audio" else 1
    signals = [0.1 * rng.standard_normal((n * unit, *shape)).astype(np.float32) for n in (9, 61, 0, 250, 33)]
    wanted = [model.log_probs_of([signal])[0] for signal in signals]
    for found in (graph.log_probs_of(signals), [graph.log_probs_of([signal])[0] for signal in signals]):
        assert [len(line) for line in found] == [len(line) for line in wanted]
        for a, b in zip(found, wanted, strict=True):
            np.testing.assert_allclose(np.exp(a), np.exp(b), atol=1e-4)


BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchaudio", "lightning"):
            raise ImportError(name + " is blocked")
sys.meta_path.insert(0, Blocked())
from seqlab.cli import main
main(sys.argv[1:])
"""


def without_torch(folder: Path, *arguments: object) -> list[str]:
    command = [sys.executable, "-c", BLOCKED, *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_recordings_are_transcribed_without_torch(trained: Path, corpus: Path, tmp_path: Path, seqlab: Run) -> None:
    done = seqlab("export", trained, tmp_path / "out", "--int8", "--check", corpus / "dev.jsonl", "--max-change", 5)
    assert done.returncode == 0, done.stderr
    assert "on 8 lines of dev.jsonl" in done.stdout
    assert "on 8 lines of dev.jsonl" in (tmp_path / "out/README.md").read_text()
    files = sorted((corpus / "test").glob("*.wav"))[:4]
    wanted = [
        f"{file}\t{transcript.text}"
        for file, transcript in zip(files, Recognizer.load(trained).transcribe(files), strict=True)
    ]
    assert without_torch(tmp_path, "transcribe", "out", *files, "--backend", "onnx") == wanted
    assert len(without_torch(tmp_path, "transcribe", "out", *files, "--backend", "int8")) == 4
    test = f"manifest={corpus / 'test.jsonl'}"
    for backend, place in (("torch", "test"), ("int8", "test-int8")):
        assert seqlab("evaluate", f"model={tmp_path / 'out'}", test, f"backend={backend}").returncode == 0
        report = json.loads((tmp_path / "out/evaluate" / place / "report.json").read_text())
        assert Path(report["model"]["checkpoint"]).name == (
            "model.int8.onnx" if place != "test" else "model.safetensors"
        )
        assert report["scores"]["cer"]["rate"] < 0.2
    beam = ["-s", "decoder=beam", "-s", "decoder.beam=4"]
    assert len(without_torch(tmp_path, "transcribe", "out", files[0], "--backend", "onnx", *beam)) == 1


def test_long_recordings_are_transcribed_without_torch(trained: Path, corpus: Path, tmp_path: Path) -> None:
    recognizer = Recognizer.load(trained, "cpu")
    (tmp_path / "out").mkdir()
    write_folder(recognizer, trained, tmp_path / "out")
    export_graph(recognizer.model, tmp_path / "out/model.onnx")
    parts = [read_audio(file, 8000)[0] for file in sorted((corpus / "test").glob("*.wav"))]
    whole = np.concatenate(parts)
    soundfile.write(tmp_path / "long.wav", np.tile(whole, -(-601 * 8000 // len(whole))), 8000, subtype="PCM_16")
    (found,) = without_torch(tmp_path, "transcribe", "out", "long.wav", "--backend", "onnx")
    wanted = transcribe_long(Recognizer.load(tmp_path / "out", backend="onnx"), tmp_path / "long.wav").text
    assert found == wanted
    assert len(found) > 1000


SIGNALS = {
    "audio": "numpy.zeros(8000, 'float32')",
    "image": "numpy.full((30, 200), 99, 'uint8')",
    "strokes": "numpy.array([[t, t % 7, t / 9, t == 79] for t in range(80)])",
    "features": "numpy.zeros((80, 5))",
}


@pytest.mark.parametrize("case", CASES)
def test_torch_is_not_imported_even_where_it_is_installed(case: str, tmp_path: Path) -> None:
    recognizer = random_model(*CASES[case])
    export(recognizer, tmp_path / "out")
    code = (
        "import sys, numpy\nfrom seqlab.recognizer import Recognizer\n"
        "r = Recognizer.load('out', backend='onnx')\nr.use_threads(1)\n"
        f"print(len(r.transcribe({SIGNALS[recognizer.kind]}).text) >= 0, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.stdout.split() == ["True", "False"], done.stderr


def test_images_and_ink_are_transcribed_without_torch(tmp_path: Path) -> None:
    grey = np.random.default_rng(0).integers(0, 255, (30, 200)).astype(np.uint8)
    Image.fromarray(grey).save(tmp_path / "line.png")
    time = np.linspace(0, 6, 80)
    stroke = [[float(100 * t), float(50 * np.sin(4 * t)), float(t)] for t in time]
    (tmp_path / "line.json").write_text(json.dumps({"strokes": [stroke]}))
    for case, file in (("image", "line.png"), ("strokes", "line.json")):
        recognizer = random_model(*CASES[case])
        export(recognizer, tmp_path / case)
        text = recognizer.transcribe(tmp_path / file).text
        assert text
        assert without_torch(tmp_path, "transcribe", case, file, "--backend", "onnx") == [text]


def test_int8_that_reads_worse_is_refused(
    trained: Path, corpus: Path, tmp_path: Path, seqlab: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ruin(file: Path, out: Path) -> None:
        graph = onnx.load(file)
        for weights in graph.graph.initializer:
            if weights.data_type == onnx.TensorProto.FLOAT:  # then every symbol is as likely, and blank is the first
                weights.CopyFrom(onnx.numpy_helper.from_array(0 * onnx.numpy_helper.to_array(weights), weights.name))
        onnx.save(graph, out)

    monkeypatch.setattr(verb, "quantize", ruin)
    arguments = ["export", trained, tmp_path / "out", "--int8", "--check", corpus / "dev.jsonl"]
    done = seqlab(*arguments)
    assert done.returncode == 2
    assert "more than 0.1 points" in done.stderr
    assert list(tmp_path.iterdir()) == []
    assert seqlab(*arguments, "--max-change", "100").returncode == 0


def test_a_network_that_no_graph_can_hold_is_refused(tmp_path: Path) -> None:
    encoder = {
        "_target_": "seqlab.encoders.recurrent.Recurrent",
        "num_layers": 1,
        "cell": {"_target_": "seqlab.cells.gru.GRU", "hidden_size": 4},
    }
    recognizer = random_model(ARRAYS, {"_target_": "seqlab.stems.none.NoStem"}, encoder)
    with pytest.raises(ConfigError, match="encoder Recurrent"):
        export_graph(recognizer.model, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_wrong_graphs_are_told(tmp_path: Path, seqlab: Run) -> None:
    folder = export(random_model(*CASES["audio"]), tmp_path / "out")
    soundfile.write(tmp_path / "a.wav", np.zeros(4000), 8000)
    graph = folder / "model.onnx"
    whole = graph.read_bytes()

    def told(*options: str) -> str:
        done = seqlab("transcribe", folder, tmp_path / "a.wav", "--backend", "onnx", *options)
        assert done.returncode == 2
        return done.stderr

    graph.write_bytes(whole[: len(whole) // 2])
    assert "no ONNX graph that can be run" in told()
    plain = onnx.load_from_string(whole)
    del plain.metadata_props[:]
    onnx.save(plain, graph)
    assert "export it again" in told()
    graph.unlink()
    assert "model.onnx not found; seqlab export" in told()
    graph.write_bytes(whole)
    assert "device cuda" in told("--device", "cuda")
    done = seqlab("align", graph, tmp_path / "a.wav", "--text", "a")
    assert (done.returncode, "give its folder" in done.stderr) == (2, True)
    config = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(config.replace("  - j\n", ""))
    assert "12 outputs" in told()


def test_wrong_options_are_told(trained: Path, tmp_path: Path, seqlab: Run) -> None:
    assert "give --int8" in seqlab("export", trained, "out", "--check", "x.jsonl").stderr
    done = seqlab("export", trained, "out", "--int8", "--check", "x.jsonl")
    assert (done.returncode, "x.jsonl" in done.stderr) == (2, True)
    assert list(tmp_path.iterdir()) == []
    images = random_model(*CASES["image"])
    with pytest.raises(ConfigError, match="log_mel and mfcc"):
        export_graph(images.model, tmp_path / "model.onnx", outside=True)


MFCC = {"_target_": "seqlab.frontends.mfcc.MFCC", "sample_rate": 8000}


@pytest.mark.parametrize("frontend", [LOG_MEL, LOG_MEL | {"deltas": 2, "energy": True}, MFCC, SHERPA_CEPSTRA])
def test_filters_from_outside_give_what_the_signal_gives(frontend: Config, tmp_path: Path) -> None:
    model = random_model(frontend, STACK).model
    assert export_graph(model, tmp_path / "features.onnx", outside=True).probability <= 1e-4
    signal, lengths = 0.1 * torch.randn(2, 9000), torch.tensor([9000, 5011])
    filters = LogMel(**_filters(frontend))
    x, frames = filters(signal, lengths)
    with torch.no_grad():
        wanted, counts = model(signal, lengths)
    session = open_session(tmp_path / "features.onnx", 1)
    found, found_counts = session.run(None, {"x": x.numpy(), "x_lens": frames.numpy()})
    assert found_counts.tolist() == counts.tolist()
    for line, other, count in zip(found, wanted.numpy(), counts.tolist(), strict=True):
        np.testing.assert_allclose(np.exp(line[:count]), np.exp(other[:count]), atol=1e-4)


def _filters(frontend: Config) -> Config:
    """Return the settings of the log-mel filters of a frontend, whatever it does with them."""
    kept = {key: value for key, value in frontend.items() if key not in ("_target_", "deltas", "use_energy")}
    cepstra = "mfcc" in frontend["_target_"]
    return ({"num_mels": 23, "energy": frontend.get("use_energy", True)} if cepstra else {}) | kept


def test_words_are_written_as_other_programs_part_them() -> None:
    assert tokens(Symbols(["one", "two"])) == ["<blk>", "▁one", "▁two"]


def test_what_sherpa_does_otherwise_is_named() -> None:
    for frontend in (SHERPA, SHERPA | {"deltas": 2}, SHERPA_CEPSTRA):
        assert sherpa_faults(random_model(frontend, STACK).model) == []
    other = LOG_MEL | {"low_freq": 60.0, "high_freq": 3600.0, "energy": True}
    faults = sherpa_faults(random_model(other, STACK | {"factor": 3}).model)
    assert [fault.split()[0] for fault in faults] == ["frontend.low_freq", "frontend.snip_edges", "there", "an"]


@pytest.mark.parametrize("frontend", [SHERPA, SHERPA_CEPSTRA])
def test_sherpa_reads_the_graph_as_we_do(frontend: Config, tmp_path: Path) -> None:
    sherpa = pytest.importorskip("sherpa_onnx")
    recognizer = random_model(frontend, STACK)
    model = recognizer.model
    with torch.no_grad():  # symbols about as likely as one another, so that it says more than one
        x, frames = model.frames(0.1 * torch.randn(1, 16000), torch.tensor([16000]))
        states = model.encoder(x, frames)[0][0]
        model.head.weight.div_(5 * states.std())
        model.head.bias.copy_(-model.head.weight @ states.mean(0))
    folder = export(recognizer, tmp_path / "out")
    export_graph(recognizer.model, folder / "features.onnx", outside=True)
    theirs: Any = sherpa.OfflineRecognizer.from_zipformer_ctc(
        model=str(folder / "features.onnx"), tokens=str(folder / "tokens.txt"), sample_rate=8000, feature_dim=24
    )
    rng = np.random.default_rng(5)
    for samples in (320, 4800, 12013, 24000):
        pitch = rng.uniform(100, 3000, 12).repeat(samples // 12 + 1)[:samples]
        audio = (0.2 * np.sin(2 * np.pi * np.cumsum(pitch) / 8000) + 0.01 * rng.standard_normal(samples)).astype("f4")
        stream = theirs.create_stream()
        stream.accept_waveform(8000, audio)
        theirs.decode_stream(stream)
        ours = recognizer.transcribe(audio)
        assert len(ours.text) > 1 or samples == 320
        assert stream.result.text.split() == ours.text.split()
        wanted = [round(word.start, 2) for word in ours.characters]
        assert stream.result.timestamps == pytest.approx(wanted, abs=0.011)


def test_signals_of_the_network_and_of_torch_agree() -> None:
    model = random_model(*CASES["audio"]).model
    signals = [torch.randn(n).mul(0.1) for n in (4000, 100, 6001)]
    found = model.log_probs_of([signal.numpy() for signal in signals])
    assert [len(line) for line in found] == [int(n) for n in model.num_frames(torch.tensor([4000, 100, 6001]))]
    signal, lengths = pad([signals[0], signals[2]])
    with torch.no_grad():
        wanted, _ = model(signal, lengths)
    np.testing.assert_array_equal(found[2], wanted[1].numpy())


def test_an_alien_graph_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"")
    with pytest.raises(DataError):
        OnnxModel(tmp_path / "model.onnx", {})
