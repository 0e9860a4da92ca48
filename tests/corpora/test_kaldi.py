from pathlib import Path

import pytest

from seqlab.corpora.kaldi import prepare
from seqlab.errors import DataError, UserError

from .conftest import Tone, rows


def directory(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("_scp", ".scp")).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def tree(tmp_path: Path, tone: Tone) -> Path:
    top = tmp_path / "s5"
    tone(top / "corpus/rec1.wav", samples=32000, rate=16000)
    tone(top / "corpus/b.flac", samples=1600, rate=16000)
    directory(
        top / "data/train",
        wav_scp="rec1 corpus/rec1.wav\n",
        segments="ann-1 rec1 0.0 0.5\nann-2 rec1 0.5 -1\n",
        text="ann-1 ONE TWO\nann-2 THREE\nann-3 LOST\n",
        utt2spk="ann-1 ann\nann-2 ann\n",
    )
    directory(top / "data/dev", wav_scp=f"bob-1 {top}/corpus/b.flac\n", text="bob-1 Vier\n")
    return top


def test_true_layout_becomes_manifests(tree: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    written = prepare(str(tree), str(tmp_path))
    assert rows(written["train"]) == [
        {
            "id": "ann-1",
            "text": "ONE TWO",
            "audio": "s5/corpus/rec1.wav",
            "spans": [[0.0, 0.5]],
            "speaker": "ann",
            "sample_rate": 16000,
            "duration_s": 0.5,
        },
        {
            "id": "ann-2",
            "text": "THREE",
            "audio": "s5/corpus/rec1.wav",
            "spans": [[0.5, 2.0]],
            "speaker": "ann",
            "sample_rate": 16000,
            "duration_s": 1.5,
        },
    ]
    assert rows(written["dev"])[0] == {
        "id": "bob-1",
        "text": "Vier",
        "audio": "s5/corpus/b.flac",
        "sample_rate": 16000,
        "duration_s": 0.1,
    }
    assert "1 utterance(s) left out, without recording: ann-3" in caplog.text


def test_pipes_are_refused_and_never_executed(tree: Path, tmp_path: Path) -> None:
    marker = tmp_path / "executed"
    directory(tree / "data/dev", wav_scp=f"bob-1 touch {marker}; flac -c -d -s corpus/b.flac |\n")
    with pytest.raises(
        DataError, match=r"(?s)1 recording\(s\) of .*wav\.scp are commands, which are never executed.*path of"
    ):
        prepare(str(tree), str(tmp_path / "out"))
    assert not marker.exists()


def test_paths_that_lead_out_are_refused_unless_meant(tree: Path, tmp_path: Path, tone: Tone) -> None:
    tone(tmp_path / "elsewhere/b.wav", samples=3200, rate=16000)
    (tree / "data/train/wav.scp").write_text("rec1 ../../../../etc/passwd\n")
    directory(tree / "data/dev", wav_scp=f"bob-1 {tmp_path}/elsewhere/b.wav\n")
    with pytest.raises(DataError, match=r"(?s)2 fault\(s\).*train/wav\.scp:1: .*lies outside.*audio_root"):
        prepare(str(tree / "data"), str(tmp_path / "out"))
    (tree / "data/train/wav.scp").write_text("rec1 s5/corpus/rec1.wav\n")
    written = prepare(str(tree), str(tmp_path / "out"), audio_root=str(tmp_path))
    assert rows(written["dev"])[0]["duration_s"] == 0.2


def test_named_parts(tree: Path, tmp_path: Path) -> None:
    (tree / "data/train").rename(tree / "data/train_clean_5")
    with pytest.raises(DataError, match=r"there is dev, train_clean_5: say which is what"):
        prepare(str(tree / "data"), str(tmp_path / "out"))
    parts = {"train": ["train_clean_5"], "test": "dev"}
    written = prepare(str(tree / "data"), str(tmp_path / "out"), parts=parts)
    assert list(written) == ["train", "test"]
    with pytest.raises(DataError, match=r"no wav\.scp in"):
        prepare(str(tree / "data"), str(tmp_path / "out"), parts={"train": "gone"})
    with pytest.raises(DataError, match=r"lies outside"):
        prepare(str(tree / "data"), str(tmp_path / "out"), parts={"train": "../.."})
    with pytest.raises(UserError, match="parts is empty"):
        prepare(str(tree / "data"), str(tmp_path / "out"), parts={})


def test_one_directory_is_divided_by_speaker(tmp_path: Path, tone: Tone) -> None:
    names = [f"{speaker}-{number}" for speaker in "abcde" for number in range(4)]
    for name in names:
        tone(tmp_path / "wav" / f"{name}.wav")
    top = directory(
        tmp_path / "all",
        wav_scp="".join(f"{name} ../wav/{name}.wav\n" for name in names),
        text="".join(f"{name} X\n" for name in names),
        utt2spk="".join(f"{name} {name[0]}\n" for name in names),
    )
    written = prepare(str(top), str(tmp_path / "out"), dev_share=0.2, test_share=0.2, audio_root=str(tmp_path / "wav"))
    speakers = {part: {row["speaker"] for row in rows(path)} for part, path in written.items()}
    assert {part: len(found) for part, found in speakers.items()} == {"train": 3, "dev": 1, "test": 1}
    assert set.union(*speakers.values()) == set("abcde")


def test_faults_are_named(tree: Path, tmp_path: Path) -> None:
    directory(tree / "data/train", segments="ann-1 rec1 0.0 x\nann-2 rec1 0.5 1\n", utt2spk="ann-1 a\nann-1 b\n")
    with pytest.raises(
        DataError, match=r"(?s)2 fault\(s\).*utt2spk:2: ann-1 stands already.*segments:1: .*is not RECORDING"
    ):
        prepare(str(tree), str(tmp_path / "out"))
    directory(tree / "data/train", segments="ann-1 rec1 0 9\nann-2 rec1 0.5 1\n", utt2spk="")
    with pytest.raises(DataError, match=r"(?s)1 of 3 line\(s\).*train/text:1: .*goes beyond its end"):
        prepare(str(tree), str(tmp_path / "out"))
    directory(tree / "data/train", reco2file_and_channel="rec1 rec1 B\n")
    with pytest.raises(DataError, match="two channels, rec1"):
        prepare(str(tree), str(tmp_path / "out"))
    (tree / "data/train/text").unlink()
    with pytest.raises(DataError, match="without transcripts nothing can be learnt"):
        prepare(str(tree), str(tmp_path / "out"))
