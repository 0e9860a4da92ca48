import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from seqlab.corpora.lhotse import prepare
from seqlab.errors import DataError, UserError

from .conftest import Tone, rows


def cut(name: str, source: str = "audio/a.wav", start: float = 0.0, duration: float = 2.0, **changes: Any) -> dict:
    said = {"id": name, "recording_id": "a", "start": 0.0, "duration": duration, "channel": 0, "text": "ONE TWO"}
    said |= {"language": "English", "speaker": "ann"}
    recording = {"id": "a", "sources": [{"type": "file", "channels": [0], "source": source}], "channel_ids": [0]}
    recording |= {"sampling_rate": 8000, "num_samples": 16000, "duration": 2.0}
    row = {"id": f"{name}-0", "start": start, "duration": duration, "channel": 0, "supervisions": [said]}
    return row | {"recording": recording, "type": "MonoCut"} | changes


def write(path: Path, *cuts: dict) -> Path:
    content = "".join(json.dumps(row) + "\n" for row in cuts).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.fixture
def tree(tmp_path: Path, tone: Tone) -> Path:
    tone(tmp_path / "audio/a.wav", samples=16000)
    write(tmp_path / "libri_cuts_train-clean-5.jsonl.gz", cut("a-1"))
    write(tmp_path / "libri_cuts_dev-clean-2.jsonl", cut("b-1", start=0.5, duration=1.0))
    return tmp_path


def test_cuts_become_manifests(tree: Path) -> None:
    written = prepare(str(tree), str(tree))
    assert rows(written["train"]) == [
        {
            "id": "a-1-0",
            "text": "ONE TWO",
            "audio": "audio/a.wav",
            "speaker": "ann",
            "sample_rate": 8000,
            "duration_s": 2.0,
            "language": "English",
        }
    ]
    assert (rows(written["dev"])[0]["spans"], rows(written["dev"])[0]["duration_s"]) == ([[0.5, 1.5]], 1.0)


def test_each_of_several_supervisions_is_a_line(tree: Path) -> None:
    said = [
        {"id": "s1", "start": 0.0, "duration": 0.5, "text": "one", "speaker": "x"},
        {"id": "s2", "start": 0.7, "duration": 9.0, "text": "two", "speaker": "y"},  # ends with the cut
        {"id": "s3", "start": 0.1, "duration": 0.2},
    ]
    write(tree / "cuts_train.jsonl", cut("a", start=0.25, duration=1.5, supervisions=said))
    written = prepare(str(tree), str(tree / "out"), parts={"train": "cuts_train.jsonl"}, text="upper")
    found = [(row["id"], row["text"], row["spans"], row["speaker"]) for row in rows(written["train"])]
    assert found == [("s1", "ONE", [[0.25, 0.75]], "x"), ("s2", "TWO", [[0.95, 1.75]], "y")]


def test_perturbed_copies_are_left_out(tree: Path) -> None:
    write(tree / "libri_cuts_train-clean-5.jsonl.gz", cut("a-1"), cut("a-1_sp0.9"), cut("a-1_sp1.1"))
    assert len(rows(prepare(str(tree), str(tree / "out"))["train"])) == 1


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (cut("a", type="MixedCut"), "is a MixedCut; write plain cuts"),
        (cut("a", type="PaddingCut"), "is a PaddingCut"),
        (cut("a", recording=None), "is features without a recording"),
        (cut("a", recording={"sources": [{"type": "command", "source": "touch x"}]}), "is a command, not one file"),
        (cut("a", recording={"sources": [{"type": "url", "source": "http://x"}]}), "is a url, not one file"),
        (cut("a", recording={"sources": []}), "is of 0 sources"),
        (cut("a", recording=cut("a")["recording"] | {"transforms": [{"name": "Speed"}]}), "is transformed"),
        (
            cut("a", recording={"sources": [{"type": "file", "channels": [0, 1], "source": "audio/a.wav"}]}),
            "has several channels",
        ),
        (cut("a", source="../../etc/passwd"), "lies outside"),
        (cut("a", source="/etc/passwd"), "lies outside"),
        ({"id": "a"}, "is a|without a recording"),
        (cut("a", start="x"), "is no cut"),
        (cut("a", supervisions=[3]), "is no cut"),
        (cut("a", recording=cut("a")["recording"] | {"sampling_rate": 0}), "is no cut"),
    ],
)
def test_what_is_no_plain_cut_is_refused(tree: Path, row: dict, told: str) -> None:
    write(tree / "libri_cuts_train-clean-5.jsonl.gz", cut("a-1"), row)
    with pytest.raises(DataError, match=rf"(?s)1 fault\(s\).*gz:2: .*({told})"):
        prepare(str(tree), str(tree / "out"))


def test_damaged_files(tree: Path) -> None:
    path = tree / "libri_cuts_train-clean-5.jsonl.gz"
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(DataError, match="damaged or was cut off"):
        prepare(str(tree), str(tree / "out"))
    path.write_bytes(gzip.compress(b"[1]\n{}\nnot json\n\xff\n"))
    with pytest.raises(DataError, match=r"4 fault\(s\)"):
        prepare(str(tree), str(tree / "out"))


def test_wrong_roots_and_parts(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no file of cuts of train"):
        prepare(str(tree / "audio"), str(tree / "out"))
    with pytest.raises(DataError, match="not found"):
        prepare(str(tree), str(tree / "out"), parts={"train": "gone.jsonl"})
    with pytest.raises(UserError, match="parts is empty"):
        prepare(str(tree), str(tree / "out"), parts={})
    write(tree / "cuts_train_dev.jsonl", cut("x"))
    with pytest.raises(DataError, match=r"cuts_train_dev\.jsonl.* may be more than one part"):
        prepare(str(tree), str(tree / "out"))
