"""Recognizer and transcribe: text, words with times, confidence, files of every kind."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

import seqlab as package
from seqlab.checkpoints import find_checkpoint
from seqlab.ctc.hypothesis import Hypothesis, Span
from seqlab.errors import DataError
from seqlab.outputs import Alternative, Transcript
from seqlab.recognizer import Recognizer
from seqlab.signals import Signal
from tests.conftest import RATE, Run, tones


@pytest.fixture(scope="module")
def recognizer(trained: Path) -> Recognizer:
    return Recognizer.load(trained)


def test_reads_the_tones(recognizer: Recognizer) -> None:
    audio = tones("ab cab", np.random.default_rng(5))
    transcript = recognizer.transcribe(audio)
    assert transcript.text == "ab cab"
    assert [w.text for w in transcript.words] == ["ab", "cab"]
    assert transcript.duration == pytest.approx(len(audio) / RATE, abs=1e-3)
    assert transcript.confidence is not None
    assert 0.5 < transcript.confidence <= 1
    # 0.05 s of silence, then 0.13 s for each letter and space: "cab" begins at 0.44 s
    assert transcript.words[1].start == pytest.approx(0.44, abs=0.12)
    assert 0 <= transcript.words[0].start < transcript.words[0].end <= transcript.words[1].start


def test_batch_equals_single(recognizer: Recognizer) -> None:
    rng = np.random.default_rng(1)
    signals = [tones(t, rng) for t in ("a", "abc abc cba", "b c")]
    together = recognizer.transcribe(signals)
    assert together == [recognizer.transcribe(s) for s in signals]


def test_files_of_other_rates_and_formats(recognizer: Recognizer, tmp_path: Path) -> None:
    audio = tones("ba c", np.random.default_rng(2), rate=44100)
    for suffix in ("wav", "flac", "ogg", "mp3"):
        soundfile.write(tmp_path / f"a.{suffix}", np.stack([audio, audio], 1), 44100)
        assert recognizer.transcribe(tmp_path / f"a.{suffix}").text == "ba c"
    assert recognizer.transcribe(audio, sample_rate=44100).text == "ba c"


def test_words_from_spans(recognizer: Recognizer) -> None:
    a, b, space = (recognizer.tokenizer.symbols.index(s) for s in ("a", "b", " "))
    spans = [Span(a, 1, 2, 0.9), Span(b, 3, 5, 0.4), Span(space, 6, 7, 0.99), Span(b, 8, 9, 0.5)]
    signal = Signal(np.zeros(10 * RATE, np.float32), 1 / RATE)
    transcript = recognizer.transcript_of(Hypothesis(spans), signal, "x/f.wav")
    shift = recognizer.model.frame_shift  # 20 ms
    assert shift == pytest.approx(0.02)
    assert [(w.text, w.start, w.end) for w in transcript.words] == [("ab", 0.02, 0.1), ("b", 0.16, 0.18)]
    assert [(c.text, c.start) for c in transcript.characters] == [("a", 0.02), ("b", 0.06), (" ", 0.12), ("b", 0.16)]
    assert (transcript.duration, transcript.unit) == (10.0, "s")
    assert transcript.words[0].confidence == pytest.approx(0.9 * 0.4 * 0.99, abs=1e-4)
    assert transcript.confidence == pytest.approx(0.9 * 0.4 * 0.99 * 0.5, abs=1e-4)
    assert (transcript.id, transcript.source) == ("f", "x/f.wav")
    assert transcript.alternatives == transcript.words[0].alternatives == []
    text = recognizer.transcript_of(Hypothesis(spans), signal, "x/f.wav", words=False)
    assert text == Transcript("ab b", duration=10.0, source="x/f.wav", id="f")


def test_alternatives_of_lines_and_words(recognizer: Recognizer) -> None:
    a, b, space = (recognizer.tokenizer.symbols.index(s) for s in ("a", "b", " "))

    def reading(labels: list[int], share: float) -> Hypothesis:
        return Hypothesis([Span(k, i, i + 1, 0.9) for i, k in enumerate(labels)], math.log(share))

    others = [reading([a, space, a], 0.3), reading([a, b], 0.1)]
    best = Hypothesis(reading([a, space, b], 0.6).spans, math.log(0.6), others)
    transcript = recognizer.transcript_of(best, Signal(np.zeros(RATE, np.float32), 1 / RATE), "")
    assert transcript.text == "a b"
    assert transcript.alternatives == [Alternative("a a", 0.3), Alternative("ab", 0.1)]
    assert transcript.words[1].alternatives[0] == Alternative("a", 0.3)


def test_stored_calibration_goes_with_the_stored_decoder(trained: Path, tmp_path: Path) -> None:
    run = shutil.copytree(trained, tmp_path / "run")
    greedy = {"_target_": "seqlab.ctc.greedy.Greedy"}
    (run / "decoding.yaml").write_text(
        json.dumps({"decoder": greedy, "calibration": {"word": {"temperature": 1.0, "bias": -20.0}}})
    )
    audio = tones("ab c", np.random.default_rng(2))
    words = Recognizer.load(run).transcribe(audio).words
    raw = Recognizer.load(run, decoder={"_target_": "seqlab.ctc.beam.Beam"}).transcribe(audio).words
    assert [w.text for w in words] == [w.text for w in raw]
    assert all(w.confidence is not None and w.confidence < 1e-2 for w in words)
    assert all(w.confidence is not None and w.confidence > 0.5 for w in raw)
    (run / "decoding.yaml").write_text(json.dumps({"decoder": greedy, "calibration": {"word": 7}}))
    with pytest.raises(DataError, match="calibration of word"):
        Recognizer.load(run)


def test_public_names() -> None:
    assert package.Recognizer is Recognizer
    assert package.__version__
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = package.Nothing


def test_what_is_no_audio_is_refused(recognizer: Recognizer) -> None:
    with pytest.raises(DataError, match="mono"):
        recognizer.transcribe(np.zeros((10, 2), np.float32))
    for loud in (np.nan, np.inf, 1e19, -1e300):  # as read_audio has it of files
        audio = np.zeros(RATE)
        audio[7] = loud
        for rate in (None, 2 * RATE):
            with pytest.raises(DataError, match=r"a sample of (nan|-?inf|1e\+19), at place 7; give samples in"):
                recognizer.transcribe(audio, rate)
    for wrong in (
        np.array(["a"]),
        np.ones(9, complex),
        np.array(0.5),
        0.5,
        None,
        b"abc",
        [[1, 2], [3]],
        torch.ones(()),
    ):
        with pytest.raises(DataError, match="needs an array"):
            recognizer.transcribe([wrong])
        with pytest.raises(DataError, match="needs an array"):
            recognizer.open(wrong)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="signed integers, got bool"):
        recognizer.transcribe(np.ones(RATE, bool))
    with pytest.raises(DataError, match="single number"):
        recognizer.transcribe(0.5)  # type: ignore[call-overload]
    with pytest.raises(FileNotFoundError):
        recognizer.transcribe("nowhere.wav")


def hostile(change: Callable[[dict[str, Any]], object], trained: Path, tmp_path: Path) -> Path:
    checkpoint = torch.load(find_checkpoint(trained), weights_only=True)
    change(checkpoint)
    torch.save(checkpoint, tmp_path / "hostile.ckpt")
    return tmp_path / "hostile.ckpt"


def config(checkpoint: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = checkpoint["hyper_parameters"]["config"]
    return found


PREPARE = {"_target_": "seqlab.corpora.spoken_digits.prepare", "root": None, "out": "written"}
BOARD = {"_target_": "lightning.pytorch.loggers.TensorBoardLogger", "save_dir": "written"}


@pytest.mark.parametrize(
    "change",
    [
        lambda c: config(c).update(decoder=PREPARE),
        lambda c: config(c).update(tokenizer=BOARD),
        lambda c: config(c)["augment"].update(features={"a": PREPARE}),
        lambda c: config(c)["encoder"].update(hidden_size=2**40),
        lambda c: config(c)["encoder"].update(hidden_size="x"),
        lambda c: config(c).pop("stem"),
        lambda c: config(c)["tokenizer"].update(alphabet=None),
        lambda c: c["hyper_parameters"].update(config="x"),
        lambda c: c["hyper_parameters"].update(config={}),
        lambda c: c.update(state_dict=[1]),
    ],
)
def test_hostile_checkpoint_is_refused_and_does_nothing(
    change: Callable[[dict[str, Any]], object], trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = hostile(change, trained, tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"hostile\.ckpt is no checkpoint of seqlab"):
        Recognizer.load(path)
    assert [p.name for p in tmp_path.iterdir()] == ["hostile.ckpt"]


def test_integers_are_read_at_full_scale(recognizer: Recognizer) -> None:
    audio = tones("ab", np.random.default_rng(5))
    assert recognizer.transcribe(np.round(audio * 32767).astype(np.int16)).text == "ab"
    with pytest.raises(DataError, match="must be positive"):
        recognizer.transcribe(audio, sample_rate=-1)


def test_best_checkpoint_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    for name in ("best-epoch003-cer0.2000.ckpt", "best-epoch009-cer0.1500.ckpt", "last.ckpt"):
        (folder / name).touch()
    assert find_checkpoint(tmp_path).name == "best-epoch009-cer0.1500.ckpt"
    assert find_checkpoint(folder / "last.ckpt").name == "last.ckpt"


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    rng = np.random.default_rng(3)
    soundfile.write(folder / "one.wav", tones("abc cba", rng), RATE)
    soundfile.write(folder / "sub" / "two.flac", tones("cab", rng), RATE)
    (folder / "notes.txt").write_text("not audio")
    return folder


def test_command_prints_text_and_json(trained: Path, recordings: Path, seqlab: Run) -> None:
    assert seqlab("transcribe", trained, "in/one.wav").stdout == "abc cba\n"
    assert seqlab("transcribe", trained, "in").stdout == "in/one.wav\tabc cba\nin/sub/two.flac\tcab\n"
    rows = [json.loads(r) for r in seqlab("transcribe", trained, "in", "-f", "json").stdout.splitlines()]
    assert [r["text"] for r in rows] == ["abc cba", "cab"]
    assert rows[1]["words"][0]["text"] == "cab"


def test_command_writes_files(trained: Path, recordings: Path, seqlab: Run, tmp_path: Path) -> None:
    assert seqlab("transcribe", trained, "in", "-d", "out").returncode == 0
    assert (tmp_path / "out" / "one.txt").read_text() == "abc cba\n"
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["one.txt", "two.txt"]
    assert seqlab("transcribe", trained, "in", "-f", "json", "-o", "all.json").returncode == 0
    assert len((tmp_path / "all.json").read_text().splitlines()) == 2


def test_equal_stems_get_names_of_their_own(trained: Path, seqlab: Run, tmp_path: Path) -> None:
    for folder, text in (("x", "a"), ("y", "b")):
        (tmp_path / folder).mkdir()
        soundfile.write(tmp_path / folder / "same.wav", tones(text, np.random.default_rng(0)), RATE)
    assert seqlab("transcribe", trained, "x", "y", "-d", "out").returncode == 0
    assert {p.name: p.read_text() for p in (tmp_path / "out").iterdir()} == {
        "x_same.wav.txt": "a\n",
        "y_same.wav.txt": "b\n",
    }


def test_equal_names_in_equal_folders_stay_apart(trained: Path, seqlab: Run, tmp_path: Path) -> None:
    for folder, text in (("a/x", "ab"), ("b/x", "ca")):
        (tmp_path / folder).mkdir(parents=True)
        soundfile.write(tmp_path / folder / "1.wav", tones(text, np.random.default_rng(0)), RATE)
    assert seqlab("transcribe", trained, "a", "b", "-d", "out").returncode == 0
    assert {p.read_text() for p in (tmp_path / "out").iterdir()} == {"ab\n", "ca\n"}


def test_long_recording_does_not_pad_short_ones(recognizer: Recognizer, tmp_path: Path) -> None:
    from seqlab.verbs import transcribe_batch
    from seqlab.verbs.transcribe_files import tasks

    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{i}.wav" for i in range(6)]
    for i, path in enumerate(paths):
        soundfile.write(path, tones("abc" * (60 if i == 5 else 1), rng), RATE)
    sizes: list[tuple[int, int]] = []
    original = recognizer.transcribe_signals

    def watch(signals: list[Signal], names: list[str], words: bool) -> object:
        sizes.append((len(signals), max(len(signal.samples) for signal in signals)))
        return original(signals, names, words)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recognizer, "transcribe_signals", watch)
        found = dict(transcribe_batch.answers(recognizer, tasks(paths, [], None)))
    assert sorted(found) == list(range(6))
    assert [n for n, _ in sizes] == [5, 1]
    assert all(n * longest <= transcribe_batch.BATCH_SECONDS * RATE for n, longest in sizes)


def test_evaluate_counts_and_reports(trained: Path, corpus: Path, seqlab: Run, tmp_path: Path) -> None:
    done = seqlab("evaluate", f"model={trained}", f"manifest={corpus}/test.jsonl", "out=report")
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    rows = [json.loads(r) for r in (corpus / "test.jsonl").read_text().splitlines()]
    assert report["scores"]["lines"] == len(rows)
    assert report["scores"]["words"] == sum(len(r["text"].split()) for r in rows)
    assert report["scores"]["cer"]["rate"] < 0.1
    assert {p.name for p in (tmp_path / "report").iterdir()} >= {"report.html", "ref.trn", "hyp.trn"}
    # without a manifest the corpus of the training names the test part, and the report lies in the run folder
    done = seqlab("evaluate", f"model={trained}")
    assert (trained / "evaluate" / "test" / "report.html").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["report"]  # nothing else is left behind
