from pathlib import Path

import pytest

from seqlab.corpora.tedlium import prepare
from seqlab.errors import DataError

from .conftest import rows, write_sphere


def talk(top: Path, part: str, name: str, *segments: str) -> Path:
    folder = top / "legacy" / part
    (folder / "stm").mkdir(parents=True, exist_ok=True)
    (folder / "stm" / f"{name}.stm").write_text("\n".join(segments) + "\n")
    return write_sphere(folder / "sph" / f"{name}.sph", samples=16000 * 4)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    top = tmp_path / "TEDLIUM_release-3"
    talk(
        *(top, "train", "AnnB_2010"),
        "AnnB_2010 1 AnnB 0.50 1.50 <o,f0,female> it 's <sil> a dog 's life {NOISE} the(2) end (AnnB_2010-1)",
        "AnnB_2010 1 AnnB 1.60 2.00 <o,f0,female> we <unk> it",
        "AnnB_2010 1 AnnB 2.10 3.00 <o,f0,female> rock 'n' roll they 're 'em",
        "AnnB_2010 1 AnnB 3.00 3.50 <NA> ignore_time_segment_in_scoring",
    )
    talk(top, "dev", "CarlD_2009", ";; a comment", "CarlD_2009 1 CarlD 0 4.01 <F0_M> don't <unk> me")
    talk(top, "test", "EveF_2009", "EveF_2009 1 EveF 1 2 <o,f0,female> yes")
    return top


def test_true_layout_becomes_manifests(tree: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    written = prepare(str(tree), str(tmp_path))
    train = rows(written["train"])
    assert train[0] == {
        "id": "AnnB_2010-0000050-0000150",
        "text": "it's a dog's life the end",
        "audio": "TEDLIUM_release-3/legacy/train/sph/AnnB_2010.sph",
        "spans": [[0.5, 1.5]],
        "speaker": "AnnB",
        "sample_rate": 16000,
        "duration_s": 1.0,
        "talk": "AnnB_2010",
    }
    assert [row["text"] for row in train[1:]] == ["rock 'n' roll they're 'em"]
    assert "1 segment(s) with <unk> left out: AnnB_2010-0000160-0000200" in caplog.text
    dev = rows(written["dev"])
    assert (dev[0]["text"], dev[0]["duration_s"], dev[0].get("spans")) == ("don't me", 4.0, None)  # ends are rounded
    assert "tedlium test: 1 lines, the whole corpus has 1155" in caplog.text


def test_widened_segments_stop_at_their_neighbours(tree: Path, tmp_path: Path) -> None:
    folder = tree / "legacy/train/stm"
    segments = [(0.1, 1.0), (1.05, 2.0), (2.5, 3.0)]
    table = [f"AnnB_2010 1 AnnB {start} {end} <o,f0,female> a" for start, end in segments]
    (folder / "AnnB_2010.stm").write_text("\n".join(table))
    written = prepare(str(tree.parent), str(tmp_path / "out"), widen=True)
    spans = [row["spans"][0] for row in rows(written["train"])]
    # 0.15 s before and 0.1 s after, but not before 0, not into a neighbour, and the last end stays
    assert spans == [[0.0, 1.05], [1.0, 2.1], [2.35, 3.0]]


def test_older_releases_lie_flat(tree: Path, tmp_path: Path) -> None:
    (tree / "legacy").rename(tmp_path / "TEDLIUM_release2")
    written = prepare(str(tmp_path / "TEDLIUM_release2"), str(tmp_path / "out"), text="upper")
    assert rows(written["test"])[0]["text"] == "YES"


def test_faults_are_named(tree: Path, tmp_path: Path) -> None:
    talk(tree, "test", "GinaH", "GinaH 1 GinaH 1 x <o> a", "../../../../x 1 G 1 2 <o> a", "short")
    with pytest.raises(
        DataError, match=r"(?s)3 fault\(s\).*GinaH\.stm:1: .*GinaH\.stm:2: .*lies outside.*GinaH\.stm:3"
    ):
        prepare(str(tree), str(tmp_path / "out"))
    talk(tree, "test", "GinaH", "GinaH 1 GinaH 3 4.5 <o> a", "GinaH 1 GinaH 3 2 <o> a", "Gone 1 G 1 2 <o> a")
    told = (
        r"(?s)3 of 7 line\(s\).*has 4\.00 s; the segment 3 to 4\.5 s goes beyond.*makes no sense.*Gone\.sph not found"
    )
    with pytest.raises(DataError, match=told):
        prepare(str(tree), str(tmp_path / "out"))
    with pytest.raises(DataError, match=r"openslr\.org/51"):
        prepare(str(tree / "legacy/test/sph"), str(tmp_path / "out"))
