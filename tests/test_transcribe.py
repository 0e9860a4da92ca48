"""seqlab transcribe as it is typed: formats, lists, shards, resuming, processes, long recordings."""

import io
import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import soundfile
from rich.console import Console

from seqlab.outputs import Transcript
from seqlab.streaming import vad
from seqlab.verbs import transcribe as verb
from seqlab.verbs import transcribe_batch
from seqlab.verbs.transcribe_batch import Answer
from tests.conftest import RATE, Run, tones


@pytest.fixture
def recordings(corpus: Path, tmp_path: Path) -> Path:
    """Return the folder of six recordings, two of which are bad."""
    (tmp_path / "in" / "sub").mkdir(parents=True)
    for number, name in enumerate(("a.wav", "b.wav", "sub/c.wav", "sub/d.wav")):
        shutil.copy(corpus / "dev" / f"dev-{number:03d}.wav", tmp_path / "in" / name)
    (tmp_path / "in" / "bad.wav").write_text("no sound")
    (tmp_path / "in" / "empty.wav").touch()
    return tmp_path / "in"


@pytest.fixture
def texts(trained: Path, corpus: Path, seqlab: Run) -> list[str]:
    """Return what the model hears in the four recordings."""
    done = seqlab("transcribe", trained, *(corpus / "dev" / f"dev-{n:03d}.wav" for n in range(4)))
    return [row.split("\t")[1] for row in done.stdout.splitlines()]


def test_several_formats_at_once(trained: Path, recordings: Path, texts: list[str], seqlab: Run) -> None:
    forms = "txt,json,srt,vtt,ctm,trn,textgrid,eaf"
    done = seqlab("transcribe", trained, "in/a.wav", "in/sub", "-f", forms, "-d", "out")
    assert (done.returncode, done.stdout) == (0, "")
    assert "3 of 3 files transcribed to out" in done.stderr
    suffixes = forms.replace("textgrid", "TextGrid").split(",")
    out = Path("out")
    assert {p.name for p in out.iterdir()} == {f"{name}.{suffix}" for name in "acd" for suffix in suffixes}
    row = json.loads((out / "c.json").read_text())
    assert (row["text"], row["id"], row["source"]) == (texts[2], "c", "in/sub/c.wav")
    (segment,) = row["segments"]
    assert (segment["text"], segment["words"]) == (texts[2], len(row["words"]))
    assert (out / "c.txt").read_text() == f"{texts[2]}\n"
    assert (out / "c.trn").read_text() == f"{texts[2]} (unknown-c)\n"
    starts = [float(line.split()[2]) for line in (out / "c.ctm").read_text().splitlines()]
    assert starts == [word["start"] for word in row["words"]]
    assert (out / "c.srt").read_text().splitlines()[2] == texts[2]
    assert (out / "c.vtt").read_text().startswith("WEBVTT\n\n00:00:0")
    values = [e.text for e in ElementTree.parse(out / "c.eaf").iter("ANNOTATION_VALUE")]
    assert values[0] == texts[2]


def test_a_recording_read_with_several_vocal_tracts(trained: Path, corpus: Path, texts: list[str], seqlab: Run) -> None:
    file = corpus / "dev" / "dev-000.wav"
    forms = ("-f", "json", "--vocal-tracts")
    once = json.loads(seqlab("transcribe", trained, file, *forms, "1").stdout)
    assert once["text"] == texts[0]
    several = json.loads(seqlab("transcribe", trained, file, *forms, "0.8,1,1.25").stdout)
    assert several["confidence"] != once["confidence"]
    for wrong, told in (("a,1", "no list of factors"), ("1,3", "in [0.7, 1.4], got 3"), ("nan", "in [0.7, 1.4]")):
        done = seqlab("transcribe", trained, file, *forms, wrong)
        assert (done.returncode, told in done.stderr) == (2, True), done.stderr
    done = seqlab("transcribe", trained, file, *forms, "1,1.1", "--backend", "onnx")
    assert (done.returncode, "hears one; use the backend torch" in done.stderr) == (2, True), done.stderr


def test_what_is_whole_is_not_done_again(trained: Path, recordings: Path, seqlab: Run) -> None:
    done = seqlab("transcribe", trained, "in", "-f", "txt,srt", "-d", "out", "--resume")
    assert done.returncode == 1
    assert "0 of 6 files are done already" in done.stderr
    assert done.stderr.count("in/bad.wav is text, not audio") == 2  # at once, and at the end
    Path("out/a.txt").write_text("mine")
    Path("out/b.srt").unlink()
    os.utime(recordings / "sub" / "c.wav", (2**32, 2**32))  # recorded again
    done = seqlab("transcribe", trained, "in", "-f", "txt,srt", "-d", "out", "--resume")
    assert "2 of 6 files are done already" in done.stderr
    assert Path("out/a.txt").read_text() == "mine"
    assert Path("out/b.srt").exists()
    assert "2 of 6 files transcribed" in done.stderr
    before = {p: p.stat().st_mtime_ns for p in Path("out").iterdir()}
    os.utime(next((trained / "checkpoints").glob("*.ckpt")), None)  # the model is newer: all is done again
    assert "0 of 6 files are done already" in seqlab("transcribe", trained, "in", "-d", "out", "--resume").stderr
    assert all(p.stat().st_mtime_ns > when for p, when in before.items() if p.suffix == ".txt")


def test_shards_join_to_the_whole(trained: Path, recordings: Path, seqlab: Run) -> None:
    whole = seqlab("transcribe", trained, "in", "-f", "json")
    rows = []
    for number in (1, 2, 3):
        done = seqlab("transcribe", trained, "in", "-f", "json", "-o", "out/all.json", "--shard", f"{number}/3")
        assert done.returncode == (0 if number == 2 else 1)  # in/bad.wav is the third, in/empty.wav the fourth
        rows += Path(f"out/all-{number:05d}-of-00003.json").read_text().splitlines()
    assert sorted(rows) == sorted(whole.stdout.splitlines())
    assert len(list(Path("out").iterdir())) == 3
    Path("out/all-00001-of-00003.json").write_text("mine")
    done = seqlab("transcribe", trained, "in", "-f", "json", "-o", "out/all.json", "--shard", "1/3", "--resume")
    assert (done.returncode, Path("out/all-00001-of-00003.json").read_text()) == (0, "mine")
    assert "is whole; nothing to do" in done.stderr
    assert seqlab("transcribe", trained, "in/a.wav", "-o", "one.txt", "--shard", "2/2").returncode == 0
    assert Path("one-00002-of-00002.txt").read_text() == ""  # a shard may have no file


def test_a_list_on_standard_input(
    trained: Path, recordings: Path, texts: list[str], seqlab: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"in/sub\nin/a.wav\n")))
    done = seqlab("transcribe", trained, "-")
    assert done.stdout == f"in/sub/c.wav\t{texts[2]}\nin/sub/d.wav\t{texts[3]}\nin/a.wav\t{texts[0]}\n"


def test_processes_write_what_one_writes(trained: Path, recordings: Path, seqlab: Run) -> None:
    one = seqlab("transcribe", trained, "in")
    two = seqlab("transcribe", trained, "in", "--processes", "2")
    assert (two.returncode, two.stdout) == (1, one.stdout)
    told = [line for line in two.stderr.splitlines() if not line.endswith("minutes left")]
    assert told == one.stderr.splitlines()


def test_nothing_is_written_when_all_failed_or_the_disk_is_not_there(
    trained: Path, recordings: Path, seqlab: Run
) -> None:
    Path("all.txt").write_text("old")
    assert seqlab("transcribe", trained, "in/bad.wav", "-o", "all.txt").returncode == 1
    assert Path("all.txt").read_text() == "old"
    done = seqlab("transcribe", trained, "in", "-o", "all.txt/inside.txt")
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("-f", "doc"), "--format doc: there are txt, json, srt, "),
        (("-f", "txt,pages", "-d", "x"), "pages goes alone"),
        (("-f", "txt,srt"), "several formats need --output-dir"),
        (("-f", "eaf"), "a file of eaf holds one recording: give --output-dir"),
        (("-f", "alto", "-d", "x"), "--format alto holds places on an image"),
        (("--shard", "3/2"), "from 1/n to n/n"),
        (("--resume",), "--resume needs --output-dir or --output"),
        (("--processes", "0"), "--processes must be 1 or more"),
        (("-f", "pages", "-d", "x", "--processes", "2"), "-f pages runs in one process"),
    ],
)
def test_wrong_arguments_are_told(
    arguments: tuple[str, ...], words: str, trained: Path, recordings: Path, seqlab: Run
) -> None:
    done = seqlab("transcribe", trained, "in", *arguments)
    assert done.returncode == 2
    assert words in " ".join(done.stderr.split())
    assert not Path("x").exists()


def test_long_recordings_are_read_piece_by_piece(
    trained: Path, seqlab: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "abc cab bca " * 8
    soundfile.write(tmp_path / "long.wav", tones(text.strip(), np.random.default_rng(0)), RATE)
    whole = seqlab("transcribe", trained, "long.wav", "-f", "json")
    monkeypatch.setattr(transcribe_batch, "LONG_SECONDS", 5.0)
    monkeypatch.setattr(transcribe_batch, "LONG_BYTES", 1000)
    pieces = seqlab("transcribe", trained, "long.wav", "-f", "json")
    one, other = (json.loads(done.stdout) for done in (whole, pieces))
    assert (one["text"], one["duration"]) == (other["text"], other["duration"])
    assert [w["start"] for w in one["words"]] == pytest.approx([w["start"] for w in other["words"]], abs=0.05)


def test_speech_alone_is_read_piece_by_piece(
    trained: Path, seqlab: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With loudness in the place of silero's network."""

    def loud(blocks: Iterable[np.ndarray]) -> list[float]:
        whole = np.concatenate(list(blocks))
        whole = np.pad(whole, (0, -len(whole) % vad.FRAME)).reshape(-1, vad.FRAME)
        return (np.abs(whole).max(1) > 0.05).astype(float).tolist()

    rng = np.random.default_rng(0)
    said = ["abc cab", "bca", "cab abc"]
    spoken, silence = [tones(text, rng) for text in said], 0.001 * rng.standard_normal(5 * RATE).astype(np.float32)
    soundfile.write(tmp_path / "long.wav", np.concatenate([x for part in spoken for x in (silence, part)]), RATE)
    (tmp_path / "bad.wav").write_text("no sound")
    monkeypatch.setattr(vad, "speech_probabilities", loud)
    monkeypatch.setattr(vad, "vad_graph", lambda: None)
    done = seqlab("transcribe", trained, "long.wav", "bad.wav", "--vad", "-f", "json")
    assert (done.returncode, "bad.wav" in done.stderr) == (1, True)
    row = json.loads(done.stdout)
    assert row["text"].split() == " ".join(said).split()
    starts = [5.0, 10 + len(spoken[0]) / RATE, 15 + (len(spoken[0]) + len(spoken[1])) / RATE]
    assert [row["words"][i]["start"] for i in (0, 2, 3)] == pytest.approx(starts, abs=0.2)
    assert len(row["segments"]) == 3


@pytest.mark.slow
def test_two_thousand_files_on_ray(trained: Path, corpus: Path, seqlab: Run, tmp_path: Path) -> None:
    ray = pytest.importorskip("ray")
    pytest.importorskip("ray.data")
    (tmp_path / "in").mkdir()
    sources = sorted((corpus / "train").glob("*.wav"))
    for number in range(2000):
        (tmp_path / "in" / f"{number:04d}.wav").symlink_to(sources[number % len(sources)])
    (tmp_path / "in" / "bad.wav").write_text("no sound")
    whole = seqlab("transcribe", trained, *sources)
    texts = [row.split("\t")[1] for row in whole.stdout.splitlines()]
    try:
        ray.init(num_cpus=2, include_dashboard=False)
        done = seqlab("transcribe", trained, "in", "--ray", "--processes", "2", "-d", "out")
    finally:
        ray.shutdown()
    assert done.returncode == 1
    assert "2000 of 2001 files transcribed" in done.stderr
    written = {int(path.stem): path.read_text() for path in (tmp_path / "out").iterdir()}
    assert written == {number: texts[number % len(texts)] + "\n" for number in range(2000)}


def test_the_time_left_is_told_by_the_rate_since_the_first_transcript(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(verb.time, "monotonic", lambda: now[0])

    def found() -> Iterator[tuple[int, Answer]]:
        yield 2, "bad.wav is no recording"  # told as the files are read ahead, which takes 100 s
        now[0] += 100
        for batch in range(4):
            for i in range(10):
                yield 3 + 10 * batch + i, Transcript("a")
            now[0] += 20

    told = io.StringIO()
    assert len(list(verb._counted(found(), 1001, Console(file=told)))) == 41
    # 20 files in the 40 s after the first transcript: a second for two, 1001 - 22 files to come
    assert told.getvalue().splitlines() == ["22 of 1001 files, 0.5 a second, 32.6 minutes left"]
