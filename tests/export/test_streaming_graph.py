"""The graph of pieces: what it gives is what the network gives, and no torch is needed for it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from seqlab import onnx_model
from seqlab.encoders.latency_controlled import LatencyControlled
from seqlab.errors import ConfigError, DataError
from seqlab.export.compact import quantize
from seqlab.export.folder import write_folder
from seqlab.export.graph import export_graph
from seqlab.export.streaming import export_streaming
from seqlab.onnx_model import StreamingGraph
from seqlab.recognizer import Recognizer
from seqlab.streaming import StreamingRecognizer, transcribe_long
from seqlab.verbs import export as verb
from tests.conftest import Run
from tests.streaming.conftest import AUDIO, RATE, pieces, recognizer_of, speech

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

LSTM = [*AUDIO, "encoder=lstm"]
CHUNKS = [*AUDIO, "encoder=latency_controlled", "encoder.chunk=3", "encoder.right=4"]
# What decides which inputs a graph has, and how it is fed: look-ahead, chunks, and pieces that overlap.
CASES = {
    "lstm": LSTM,
    "look-ahead": [*AUDIO, "encoder=look_ahead", "encoder.look_ahead=3"],
    "chunks": CHUNKS,
    "chunks without right context, convolutions": [
        *(*AUDIO, "encoder=latency_controlled", "encoder.chunk=4", "encoder.right=0"),
        *("stem=conv2d", "stem.out_size=16", "stem.channels=[4,4]"),
    ],
    "chunks, mirrored": [*CHUNKS, "frontend.snip_edges=false", "frontend.deltas=1"],
    "deltas": [*LSTM, "frontend.deltas=1"],
    "mirrored, look-ahead": [*AUDIO, "encoder=look_ahead", "frontend.snip_edges=false"],
    "convolutions": [*LSTM, "stem=conv2d", "stem.out_size=16", "stem.channels=[4,4]"],
    "arrays": [
        *("frontend=features", "frontend.size=5", "normalize=none", "stem=none", "encoder=lstm", "augment=none"),
        *("encoder.hidden_size=16", "encoder.num_layers=1"),
    ],
}


def settings(case: str) -> list[str]:
    return [x for x in CASES[case] if "stem=conv2d" not in CASES[case] or x != "stem.factor=2"]


def folder_of(recognizer: Recognizer, folder: Path, *, int8: bool = False) -> Path:
    """Write a model folder with the graphs of whole lines and of pieces."""
    folder.mkdir()
    write_folder(recognizer, folder, folder)
    names = ["streaming"]
    if not isinstance(recognizer.model.encoder, LatencyControlled):
        export_graph(recognizer.model, folder / "model.onnx")
        names.append("model")
    export_streaming(recognizer.model, folder / "streaming.onnx")
    if int8:
        for name in names:
            quantize(folder / f"{name}.onnx", folder / f"{name}.int8.onnx")
    return folder


@pytest.mark.parametrize("case", CASES)
def test_pieces_give_what_the_network_gives_for_the_whole(case: str, tmp_path: Path) -> None:
    recognizer = recognizer_of(*settings(case))
    model = recognizer.model
    assert export_streaming(model, tmp_path / "streaming.onnx").probability <= 1e-4
    graph = StreamingGraph(tmp_path / "streaming.onnx")
    whole = speech(1.7) if model.frontend.kind == "audio" else np.random.default_rng(0).normal(size=(90, 5))
    whole = whole.astype(np.float32)
    (wanted,) = model.log_probs_of([whole])
    assert len(wanted) > 20
    for seed in range(3):
        stream = graph.stream()
        found = [stream.accept(piece) for piece in pieces(whole, seed)]
        found.append(stream.accept(whole[:0], last=True))
        np.testing.assert_allclose(np.exp(np.concatenate(found)), np.exp(wanted), atol=1e-4)
    assert graph.latency == pytest.approx(StreamingRecognizer(recognizer).latency)
    for length in (0, 1, model.frontend.reach[2]):  # too short for a frame, or just enough
        (short,) = model.log_probs_of([whole[:length]])
        found_short = graph.stream().accept(whole[:length], last=True)
        assert len(found_short) == len(short)
        np.testing.assert_allclose(np.exp(found_short), np.exp(short.reshape(found_short.shape)), atol=1e-4)


def test_a_frame_comes_as_soon_as_its_samples_are_there(tmp_path: Path) -> None:
    """Windows of 200 samples every 80, two to an output frame: 280 samples for the first, 160 for each that follows."""
    export_streaming(recognizer_of(*LSTM).model, tmp_path / "a.onnx")
    stream = StreamingGraph(tmp_path / "a.onnx").stream()
    assert [len(stream.accept(np.zeros(n, np.float32))) for n in (279, 1, 159, 1, 320)] == [0, 1, 0, 1, 2]
    export_streaming(recognizer_of(*AUDIO, "encoder=look_ahead", "encoder.look_ahead=2").model, tmp_path / "b.onnx")
    stream = StreamingGraph(tmp_path / "b.onnx").stream()
    assert [len(stream.accept(np.zeros(n, np.float32))) for n in (280, 160, 159, 1, 160)] == [0, 0, 0, 1, 1]
    assert len(stream.accept(np.zeros(0, np.float32), last=True)) == 2
    export_streaming(
        recognizer_of(*CHUNKS).model, tmp_path / "c.onnx"
    )  # 3 frames, and 4 more to be read: 280 + 6 x 160
    stream = StreamingGraph(tmp_path / "c.onnx").stream()
    assert [len(stream.accept(np.zeros(n, np.float32))) for n in (1239, 1, 479, 1, 960)] == [0, 3, 0, 3, 6]
    assert len(stream.accept(np.zeros(0, np.float32), last=True)) == 4


def test_chunks_read_as_the_network_and_by_int8(tmp_path: Path) -> None:
    recognizer = recognizer_of(*CHUNKS)
    folder, signal = folder_of(recognizer, tmp_path / "out", int8=True), speech(2)

    def read(of: Recognizer) -> tuple[list[str], str, float | None]:
        streaming = StreamingRecognizer(of)
        partials = [streaming.accept(signal[at : at + 320]).text for at in range(0, len(signal), 320)]
        return partials, streaming.finish().text, streaming.latency

    wanted = read(recognizer)
    graph = Recognizer.load(folder, backend="onnx")
    graph.use_threads(1)
    assert read(graph) == wanted
    assert [of.text for of in graph.transcribe([signal, signal[:100]])] == [wanted[1], ""]
    soundfile.write(tmp_path / "a.wav", signal, RATE)
    assert transcribe_long(graph, tmp_path / "a.wav").text == wanted[1]
    assert len(wanted[1]) > 5
    assert wanted[2] == pytest.approx((280 + 6 * 160) / RATE)
    assert len(read(Recognizer.load(folder, backend="int8"))[1]) > 5


def test_lines_of_a_batch_do_not_meet(tmp_path: Path) -> None:
    export_streaming(recognizer_of(*LSTM).model, tmp_path / "a.onnx")
    graph = StreamingGraph(tmp_path / "a.onnx")
    lines = np.stack([speech(0.5, seed) for seed in range(3)])[:, : 280 + 9 * 160]
    states = {name: np.zeros((shape[0], 3, shape[2]), np.float32) for name, shape in graph.states.items()}
    together = graph.session.run(["log_probs"], {"signal": lines, **states})[0]
    alone = np.stack([graph.stream().accept(line) for line in lines])
    assert together.shape[:2] == (3, 10)
    np.testing.assert_allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize(("overrides", "count"), [(LSTM, 2), (CHUNKS, 5)], ids=["lstm", "chunks"])
def test_int8_carries_its_states_in_quantised_nodes(overrides: list[str], count: int, tmp_path: Path) -> None:
    """Of chunks, the layer below reads chunk, right context and backwards, the one above no right context."""
    recognizer = recognizer_of(*overrides)
    folder = folder_of(recognizer, tmp_path / "out", int8=True)
    nodes = [node.op_type for node in onnx.load(folder / "streaming.int8.onnx").graph.node]
    assert (nodes.count("DynamicQuantizeLSTM"), nodes.count("LSTM")) == (count, 0)
    whole = speech(1.5)
    stream = StreamingGraph(folder / "streaming.int8.onnx").stream()
    found = np.concatenate([stream.accept(piece) for piece in pieces(whole)] + [stream.accept(whole[:0], last=True)])
    (wanted,) = recognizer.model.log_probs_of([whole])
    assert np.abs(np.exp(found) - np.exp(wanted)).mean() < 0.02


SCRIPT = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchaudio", "lightning"):
            raise ImportError(name + " is blocked")
sys.meta_path.insert(0, Blocked())
import json, numpy
from seqlab.recognizer import Recognizer
from seqlab.streaming import StreamingRecognizer, transcribe_long
streaming = StreamingRecognizer(Recognizer.load("out", backend=sys.argv[1]), sample_rate=int(sys.argv[2]))
signal = numpy.load("signal.npy")
partials = [streaming.accept(signal[at : at + 500]) for at in range(0, len(signal), 500)]
streaming.recognizer.use_threads(1)
print(json.dumps([[p.text for p in partials], streaming.finish().text, streaming.streams, streaming.latency]))
"""


def test_recordings_are_read_piece_by_piece_without_torch(tmp_path: Path) -> None:
    recognizer = recognizer_of(*LSTM)
    folder_of(recognizer, tmp_path / "out", int8=True)
    signal = np.repeat(speech(2), 2)
    np.save(tmp_path / "signal.npy", signal)

    def read(backend: str) -> Any:
        command = [sys.executable, "-c", SCRIPT, backend, "16000"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    partials, text, streams, latency = read("onnx")
    assert (streams, latency) == (True, pytest.approx(0.035))
    streaming = StreamingRecognizer(recognizer, sample_rate=16000)
    assert partials == [streaming.accept(signal[at : at + 500]).text for at in range(0, len(signal), 500)]
    assert text == streaming.finish().text
    assert len(text) > 5
    streaming = StreamingRecognizer(Recognizer.load(tmp_path / "out", backend="int8"), sample_rate=16000)
    wanted = [streaming.accept(signal[at : at + 500]).text for at in range(0, len(signal), 500)]  # cut alike
    last = streaming.finish().text
    assert read("int8")[:2] == [wanted, last]
    assert len(last) > 5


@pytest.mark.parametrize(
    "more",
    [[], ["stem=stack", "stem.factor=2"], ["encoder=look_ahead", "encoder.look_ahead=2"]],
    ids=["plain", "stack", "look-ahead"],
)
def test_arrays_are_read_piece_by_piece(more: list[str], tmp_path: Path) -> None:
    arrays = [x for x in CASES["arrays"] if x.partition("=")[0] not in {y.partition("=")[0] for y in more}]
    recognizer = recognizer_of(*arrays, *more)
    streaming = StreamingRecognizer(
        Recognizer.load(folder_of(recognizer, tmp_path / "out"), backend="onnx"),
    )
    frames = np.random.default_rng(0).normal(size=(31, 5)).astype(np.float32)
    wanted = recognizer.transcribe(frames)
    assert streaming.finish().text == ""  # nothing came
    for size in (1, 7, 31):
        for at in range(0, 31, size):
            streaming.accept(frames[at : at + size])
        last = streaming.finish()
        assert (last.text, last.duration) == (wanted.text, wanted.duration)
    assert wanted.text


def test_a_graph_of_another_model_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folder_of(recognizer_of(*LSTM), tmp_path / "out")
    others = {
        "num_weights": [*LSTM, "encoder.hidden_size=8"],
        "frame_shift": [*LSTM, "stem.factor=1"],
        "sample_rate": [*LSTM, "frontend.sample_rate=16000"],
        "kind": CASES["arrays"],
    }
    loaded = Recognizer.load(folder, backend="onnx")
    for key, overrides in others.items():
        export_streaming(recognizer_of(*overrides).model, folder / "streaming.onnx")
        with pytest.raises(DataError, match=rf"another model: {key} is .*; export it again"):
            StreamingRecognizer(loaded)
    assert StreamingGraph(folder / "streaming.onnx").states["h"] == (1, 1, 16)
    monkeypatch.setattr(onnx_model, "LARGEST_STATE", 15)  # a state may not take memory that nobody has
    with pytest.raises(DataError, match="no graph of seqlab export"):
        StreamingGraph(folder / "streaming.onnx")


def test_projections_are_refused_by_name(tmp_path: Path) -> None:
    for encoder in ("lstm", "blstm"):
        model = recognizer_of(*AUDIO, f"encoder={encoder}", "encoder.proj_size=4").model
        ways = [export_graph] if encoder == "blstm" else [export_graph, export_streaming]
        for write in ways:
            with pytest.raises(ConfigError, match=r"encoder\.proj_size=4: .*proj_size=0"):
                write(model, tmp_path / "a.onnx")
    assert not (tmp_path / "a.onnx").exists()


def test_what_cannot_be_read_by_pieces_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "streaming.onnx"
    refused = {
        "look_ahead or latency_controlled, the encoder is BLSTM with": [*AUDIO, "encoder=blstm"],
        "normalize=global": [*LSTM, "normalize=line"],
    }
    for told, overrides in refused.items():
        with pytest.raises(ConfigError, match=told):
            export_streaming(recognizer_of(*overrides).model, file)
    with pytest.raises(ConfigError, match="log_mel and mfcc"):
        export_streaming(recognizer_of(*CASES["arrays"]).model, file, outside=True)
    assert not file.exists()


def test_filters_from_outside_in_pieces(tmp_path: Path) -> None:
    cepstra = ["frontend=mfcc", "frontend.sample_rate=8000", "normalize=global", "augment=none", "encoder=lstm"]
    model = recognizer_of(*cepstra, *settings("lstm")[len(AUDIO) :]).model
    assert export_streaming(model, tmp_path / "streaming.onnx", outside=True).probability <= 1e-4


def test_graphs_that_are_none_are_told(tmp_path: Path) -> None:
    recognizer = recognizer_of(*LSTM)
    folder = folder_of(recognizer, tmp_path / "out")
    loaded = Recognizer.load(folder, backend="onnx")
    with pytest.raises(ConfigError, match="running"):
        StreamingRecognizer(loaded, running=True)
    graph = folder / "streaming.onnx"
    good = onnx.load(graph)
    facts = json.loads(good.metadata_props[0].value)
    for wrong in ({"step": 0}, {"delay": -1}, {"after": 10**15}, {"before": "1"}, {"sample_rate": 0}):
        good.metadata_props[0].value = json.dumps(facts | wrong)
        onnx.save(good, graph)
        with pytest.raises(DataError, match="export it again"):
            StreamingGraph(graph)
    graph.write_bytes((folder / "model.onnx").read_bytes())
    with pytest.raises(DataError, match="export it again"):
        StreamingGraph(graph)
    graph.unlink()
    with pytest.raises(ConfigError, match="--streaming"):
        StreamingRecognizer(loaded)


def test_one_command_writes_them(tmp_path: Path, seqlab: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    source = folder_of(recognizer_of(*LSTM), tmp_path / "model")
    soundfile.write(tmp_path / "a.wav", speech(1.5), RATE)
    (tmp_path / "a.jsonl").write_text(
        json.dumps({"id": "a", "audio": "a.wav", "text": "abc", "duration_s": 1.5}) + "\n"
    )
    check = ["--check", tmp_path / "a.jsonl", "--max-change", 1000]
    done = seqlab("export", source, tmp_path / "out", "--streaming", "--int8", "--features", "both", *check)
    assert done.returncode == 0, done.stderr
    assert ", int8 by pieces" in done.stdout
    assert sorted(path.name for path in (tmp_path / "out").glob("streaming*")) == [
        *("streaming.features.int8.onnx", "streaming.features.onnx", "streaming.int8.onnx", "streaming.onnx")
    ]
    assert "streaming.onnx: probabilities differ from the network's by" in done.stdout
    # features made outside: output frames of two feature frames each, none of them before two are there
    stream = StreamingGraph(tmp_path / "out/streaming.features.onnx").stream()
    assert [len(stream.accept(np.zeros((n, 24), np.float32))) for n in (1, 1, 4)] == [0, 1, 2]
    source = folder_of_blstm(tmp_path / "blstm")
    monkeypatch.setattr(verb, "export_graph", None)  # it is not come to
    done = seqlab("export", source, tmp_path / "other", "--streaming")
    assert (done.returncode, "look_ahead or latency_controlled" in done.stderr) == (2, True)
    assert not (tmp_path / "other").exists()


def folder_of_blstm(folder: Path) -> Path:
    folder.mkdir()
    write_folder(recognizer_of(*AUDIO, "encoder=blstm"), folder, folder)
    return folder
