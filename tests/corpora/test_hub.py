"""The importer against a stand-in of the library datasets; its true form is used where it is installed."""

import io
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from seqlab.corpora.hub import prepare
from seqlab.errors import DataError, UserError

from .conftest import rows


def flac(samples: int = 1600) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.zeros(samples), 16000, format="FLAC")
    return file.getvalue()


class Rows(list):
    """A split: rows, their columns, and that the audio is asked for as it is."""

    @property
    def column_names(self) -> list[str]:
        return list(self[0])

    def cast_column(self, name: str, kind: Any) -> "Rows":
        assert kind == ("Audio", False)
        return self


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """Install a library whose load_dataset answers what this dict says."""
    state: dict[str, Any] = {"asked": []}

    def load_dataset(name: str, config: str | None, split: str | None = None, revision: str | None = None) -> Any:
        state["asked"].append((name, config, split, revision))
        if state.get("error"):
            raise state["error"]
        return state["data"] if split is None else state["data"][split.partition("[")[0]]

    library = types.ModuleType("datasets")
    library.load_dataset = load_dataset  # type: ignore[attr-defined]
    library.config = types.SimpleNamespace(HF_DATASETS_CACHE=tmp_path / "cache")  # type: ignore[attr-defined]
    library.Audio = lambda decode: ("Audio", decode)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", library)
    row = {"audio": {"bytes": flac(), "path": "x.flac"}, "transcription": "Bon jour", "speaker_id": 7, "other": 1}
    state["data"] = {"train": Rows([row, row | {"transcription": "Oui"}]), "validation": Rows([row])}
    return state


def test_recordings_and_manifests_are_written(hub: dict[str, Any], tmp_path: Path) -> None:
    written = prepare("google/fleurs", str(tmp_path), config="fr_fr", revision="abc")
    assert hub["asked"] == [("google/fleurs", "fr_fr", None, "abc")]
    assert list(written) == ["train", "dev"]
    assert rows(written["train"])[1] == {
        "id": "train-0000001",
        "text": "Oui",
        "audio": "audio/train/train-0000001.flac",
        "speaker": "7",
        "sample_rate": 16000,
        "duration_s": 0.1,
    }


def test_what_is_there_is_not_written_again(hub: dict[str, Any], tmp_path: Path) -> None:
    prepare("a/b", str(tmp_path))
    path = tmp_path / "audio/train/train-0000000.flac"
    before = path.stat().st_mtime_ns
    (tmp_path / "audio/train/train-0000001.flac").write_bytes(b"cut off")
    prepare("a/b", str(tmp_path))
    assert path.stat().st_mtime_ns == before
    assert (tmp_path / "audio/train/train-0000001.flac").read_bytes() == flac()


def test_another_configuration_of_the_same_size_is_written(hub: dict[str, Any], tmp_path: Path) -> None:
    prepare("a/b", str(tmp_path), config="fr")
    other = flac()[:-1] + bytes([flac()[-1] ^ 1])
    hub["data"]["train"][0]["audio"]["bytes"] = other
    prepare("a/b", str(tmp_path), config="de")
    assert (tmp_path / "audio/train/train-0000000.flac").read_bytes() == other


def test_paths_alone_lie_below_root_or_the_cache(hub: dict[str, Any], tmp_path: Path) -> None:
    audio = {name: tmp_path / name / "x.flac" for name in ("cache", "data", "elsewhere")}
    for path in audio.values():
        path.parent.mkdir()
        path.write_bytes(flac())
    row = hub["data"]["train"][0]
    for source in (str(audio["cache"]), str(audio["data"]), "x.flac"):
        hub["data"]["train"][0] = row | {"audio": {"bytes": None, "path": source}}
        prepare(str(tmp_path / "data"), str(tmp_path / "out"))
    for source in (str(audio["elsewhere"]), "../elsewhere/x.flac"):
        hub["data"]["train"][0] = row | {"audio": {"bytes": None, "path": source}}
        with pytest.raises(DataError, match=r"train-0000000: no recording .*elsewhere/x\.flac is not below"):
            prepare(str(tmp_path / "data"), str(tmp_path / "out"))


def test_named_splits_and_columns(hub: dict[str, Any], tmp_path: Path) -> None:
    splits = {"train": "train[10%:]", "dev": "train[:10%]"}
    written = prepare("a/b", str(tmp_path), splits=splits, transcript="other", speaker="transcription")
    assert [asked[2] for asked in hub["asked"]] == ["train[10%:]", "train[:10%]"]
    assert (rows(written["dev"])[0]["text"], rows(written["dev"])[0]["speaker"]) == ("1", "Bon jour")


def test_faults_are_told(hub: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="which dataset"):
        prepare(None, str(tmp_path))
    with pytest.raises(DataError, match=r"no column 'said' \(transcript\); it has audio, transcription"):
        prepare("a/b", str(tmp_path), transcript="said")
    hub["data"]["train"][0] = {"audio": {"bytes": None, "path": "gone.flac"}, "transcription": "x", "speaker_id": ""}
    with pytest.raises(DataError, match=r"(?s)1 fault\(s\).*train-0000000: no recording"):
        prepare("a/b", str(tmp_path))
    hub["data"] = {"part1": hub["data"]["train"]}
    with pytest.raises(DataError, match=r"name them, corpus\.prepare\.splits=\{train: \.\.\.\} of part1"):
        prepare("a/b", str(tmp_path))
    hub["error"] = ConnectionError("no route\nmore")
    with pytest.raises(DataError, match=r"a/b cannot be loaded: ConnectionError: no route\. Is the name right"):
        prepare("a/b", str(tmp_path))


def test_without_the_library_the_cure_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError, match=r'pip install "seqlab\[hub\]"'):
        prepare("a/b", str(tmp_path))
