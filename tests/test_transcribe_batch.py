"""Many files at once, with a stand-in for the recogniser: a file's text is its content, some contents do harm."""

import io
import os
import pickle
import signal
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from seqlab.errors import ConfigError, DataError
from seqlab.outputs import Transcript
from seqlab.signals import Signal
from seqlab.verbs import transcribe_batch, transcribe_ray
from seqlab.verbs.transcribe_batch import Loader, answers, parallel
from seqlab.verbs.transcribe_files import Shard, Task, find_files, is_done, tasks


class Stub:
    """Recognises .npy files, whose names say how long they are: 3-a.npy has 3 frames."""

    kind = "features"
    model = SimpleNamespace(sample_rate=1)

    def __init__(self) -> None:
        self.batches: list[list[int]] = []

    def open(self, path: Path) -> Signal:
        if "bad" in path.name:
            raise DataError(f"{path} is bad")
        if "odd" in path.name:
            raise RuntimeError("never thought of")
        if "bomb" in path.name:
            os.kill(os.getpid(), signal.SIGKILL)
        return Signal(np.zeros((int(path.name.split("-")[0]), 1), np.float32), unit="frames")

    def transcribe_signals(self, signals: list[Signal], names: list[str], words: bool) -> list[Transcript]:
        self.words = words
        self.batches.append([len(signal.samples) for signal in signals])
        if len(signals) > 1 and any("late" in name for name in names):
            raise RuntimeError("one of them")
        if any("late" in name for name in names):
            raise DataError("no frames")
        return [Transcript(Path(name).stem, source=name, unit="frames") for name in names]


@dataclass(frozen=True, slots=True)
class StubLoader(Loader):
    model: str = ""
    works: bool = True
    decoder: Any = field(default=None)

    def load(self) -> Any:
        if not self.works:
            os._exit(3)
        return Stub()


def made(folder: Path, *names: str) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return [folder / name for name in names]


def test_batches_are_of_like_length_and_within_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcribe_batch, "BATCH_SECONDS", 1.0)  # 100 frames
    stub: Any = Stub()
    lengths = [60, 10, 50, 9, 30, 20, 300]
    found = dict(answers(stub, [Task(Path(f"{n}-x.npy"), f"{n}") for n in lengths]))
    assert stub.batches == [[9, 10, 20], [30, 50], [60], [300]]  # 4 x 30 would be too much
    assert [found[i].text for i in range(7)] == [f"{n}-x" for n in lengths]
    assert [found[i].id for i in range(7)] == [str(n) for n in lengths]


def test_only_so_many_files_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcribe_batch, "HELD_FILES", 2)
    stub: Any = Stub()
    assert len(dict(answers(stub, [Task(Path(f"{n}-x.npy"), "") for n in (5, 4, 3, 2, 1)]))) == 5
    assert stub.batches == [[4, 5], [2, 3], [1]]


def test_no_file_costs_the_others() -> None:
    names = ["1-a", "2-bad", "3-b", "4-odd", "5-late", "6-c"]
    stub: Any = Stub()
    found = dict(answers(stub, [Task(Path(f"{name}.npy"), name) for name in names]))
    assert [found[i].text for i in (0, 2, 5)] == ["1-a", "3-b", "6-c"]
    assert found[1] == "2-bad.npy is bad"
    assert found[3] == "4-odd.npy: RuntimeError: never thought of; please report it, with the file"
    assert found[4] == "5-late.npy: no frames"


def test_outputs_are_written_by_who_recognises(tmp_path: Path) -> None:
    (task,) = tasks([Path("3-x.npy")], ["txt", "json"], tmp_path)
    stub: Any = Stub()
    assert dict(answers(stub, [task])) == {0: None}
    assert (tmp_path / "3-x.txt").read_text() == "3-x\n"
    assert '"id": "3-x"' in (tmp_path / "3-x.json").read_text()
    assert stub.words
    (tmp_path / "file").touch()
    (task,) = tasks([Path("3-x.npy")], ["txt"], tmp_path / "file")
    assert isinstance(dict(answers(stub, [task]))[0], OSError)
    assert not stub.words  # of which a text tells nothing
    (task,) = tasks([Path("3-x.npy")], ["srt"], tmp_path)  # frames are no seconds
    assert "seconds, not frames" in str(dict(answers(stub, [task]))[0])
    assert not (tmp_path / "3-x.srt").exists()


def test_processes_answer_all_and_survive_files_that_kill(tmp_path: Path) -> None:
    files = made(tmp_path, *(f"{n}-x.npy" for n in range(1, 7)), "1-bad.npy", "1-bomb.npy")  # two go together
    found = list(parallel(StubLoader(), [Task(path, path.stem) for path in files], 1))
    assert sorted(index for index, _ in found) == list(range(8))
    told = dict(found)
    assert "1-bomb.npy: the process that read it died (signal SIGKILL)" in str(told.pop(7))
    assert str(told.pop(6)).endswith("1-bad.npy is bad")
    assert [transcript.text for _, transcript in sorted(told.items())] == [files[i].stem for i in sorted(told)]


def test_processes_that_cannot_load_the_model_are_not_started_for_ever() -> None:
    with pytest.raises(ConfigError, match="before it had read the model"):
        list(parallel(StubLoader(works=False), [Task(Path("1-x.npy"), "x")], 1))


def test_an_actor_of_ray_answers_a_batch_of_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    given = [pickle.dumps(Task(Path(f"{name}.npy"), name)) for name in ("2-a", "1-bad", "1-b")]
    found = transcribe_ray._Actor(StubLoader())({"index": np.array([5, 3, 9]), "task": np.array(given, object)})
    told = [pickle.loads(answer) for answer in found["answer"]]
    assert (list(found["index"]), told[0].text, told[1], told[2].text) == ([5, 3, 9], "2-a", "1-bad.npy is bad", "1-b")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match="pip install 'seqlab"):
        list(transcribe_ray.spread(StubLoader(), [], 1))


# ---- files


def test_patterns_folders_and_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made(Path("in"), "b.wav", "a.WAV", "sub/deep/c.flac", "n.txt", ".hidden.wav", "out/d.wav", "[x].wav")
    assert [str(p) for p in find_files(["in"], "audio", "in/out")] == [
        "in/[x].wav", "in/a.WAV", "in/b.wav", "in/sub/deep/c.flac",
    ]  # fmt: skip
    assert [str(p) for p in find_files(["in/**/*"])][-2:] == ["in/out/d.wav", "in/sub/deep/c.flac"]
    assert [str(p) for p in find_files(["in/?.*"])] == ["in/a.WAV", "in/b.wav"]
    assert [str(p) for p in find_files(["in/[x].wav"])] == ["in/[x].wav"]  # a file of that very name
    assert [str(p) for p in find_files(["nowhere.wav", "in/b.wav"])] == ["nowhere.wav", "in/b.wav"]
    listed = io.TextIOWrapper(io.BytesIO("in/b.wav\r\n\nin/sub\nin/*.wav\nü\n".encode() + b"\xff\n"))
    monkeypatch.setattr(sys, "stdin", listed)
    assert [os.fsencode(p) for p in find_files(["-"])] == [
        b"in/b.wav", b"in/sub/deep/c.flac", b"in/*.wav", "ü".encode(), b"\xff",
    ]  # fmt: skip
    for path, words in (("in/*.ogg", "pattern in/*.ogg matches no file"), ("-", "list on standard input is empty")):
        with pytest.raises(DataError, match=words.replace("*", r"\*")):
            find_files([path])


def test_names_are_unique_and_nothing_is_overwritten(tmp_path: Path) -> None:
    files = [Path("a/x.wav"), Path("b/x.wav"), Path("y.wav"), Path("y.wav")]
    assert [task.name for task in tasks(files, ["txt"], None)] == ["a_x.wav", "b_x.wav", "y.wav-3", "y.wav-4"]
    (ink,) = made(tmp_path, "a.json")
    with pytest.raises(ConfigError, match=r"a\.json is a file to be read and would be overwritten"):
        tasks([ink], ["txt", "json"], tmp_path)


@pytest.mark.parametrize(("count", "shards"), [(0, 3), (1, 4), (7, 3), (100, 7)])
def test_shards_are_disjoint_complete_and_even(count: int, shards: int) -> None:
    files = [Path(f"{n}.wav") for n in range(count)]
    parts = [
        tasks(files, [], None)[shard.number - 1 :: shard.count]
        for shard in (Shard.parse(f"{n}/{shards}") for n in range(1, shards + 1))
    ]
    assert Counter(task.path for part in parts for task in part) == Counter(files)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_shard_names_its_file() -> None:
    assert Shard.parse("2/8").file("out/all.v1.json") == Path("out/all.v1-00002-of-00008.json")
    assert Shard.parse("1/1").file("all.json") == Path("all.json")
    for wrong in ("0/2", "3/2", "1", "a/b", "-1/2", "1/0", "1/2/3", "²/3"):
        with pytest.raises(ConfigError, match="such as 2/8"):
            Shard.parse(wrong)


def test_what_is_older_than_its_source_is_not_done(tmp_path: Path) -> None:
    source, out, other = made(tmp_path, "a.wav", "a.txt", "a.json")
    for path, when in ((source, 10), (out, 20), (other, 30)):
        os.utime(path, (when, when))
    assert is_done([out, other], [source])
    assert not is_done([out, other], [source, other])  # the model is newer
    assert not is_done([out, tmp_path / "a.srt"], [source])
    assert not is_done([out], [tmp_path / "nowhere"])
