from pathlib import Path

import numpy as np
import pytest
import soundfile

from seqlab.corpora.common_voice import prepare
from seqlab.errors import DataError, UserError

from .conftest import rows

COLUMNS = "client_id path sentence_id sentence sentence_domain up_votes down_votes age gender accents variant locale"
HEADER = COLUMNS.replace(" ", "\t")


def clip(top: Path, name: str, samples: int = 4800) -> None:
    (top / "clips").mkdir(parents=True, exist_ok=True)
    soundfile.write(top / "clips" / f"{name}.mp3", 0.1 * np.sin(np.arange(samples) / 9), 48000, format="MP3")


def table(top: Path, part: str, *lines: tuple[str, str, str]) -> None:
    text = "".join(f"{who}\t{path}\tx1\t{said}\t\t2\t0\ttwenties\t\tBerlin\t\teo\n" for who, path, said in lines)
    (top / f"{part}.tsv").write_text(f"{HEADER}\n{text}", encoding="utf-8")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    top = tmp_path / "eo"
    for name in ("common_voice_eo_1", "common_voice_eo_2", "common_voice_eo_3", "common_voice_eo_4"):
        clip(top, name)
    table(top, "train", ("a" * 128, "common_voice_eo_1.mp3", 'Ĉu "li" diris: ne — l’amiko?'))
    table(top, "dev", ("b" * 128, "common_voice_eo_2.mp3", "Jes."))
    table(top, "test", ("c" * 128, "common_voice_eo_3", "Kial ne?"))  # an old issue: no .mp3
    table(
        *(top, "validated"),
        ("a" * 128, "common_voice_eo_1.mp3", 'Ĉu "li" diris: ne — l’amiko?'),
        ("b" * 128, "common_voice_eo_2.mp3", "Jes."),
        ("d" * 128, "common_voice_eo_4.mp3", "Nova"),
    )
    return top


def test_true_layout_becomes_manifests(tree: Path, tmp_path: Path) -> None:
    written = prepare(str(tree), str(tmp_path))
    (row,) = rows(written["train"])
    assert abs(row.pop("duration_s") - 0.1) < 0.06  # MP3 pads
    assert row == {
        "id": "common_voice_eo_1",
        "text": "ĉu li diris ne l'amiko",
        "audio": "eo/clips/common_voice_eo_1.mp3",
        "speaker": "a" * 128,
        "sample_rate": 48000,
        "age": "twenties",
        "accents": "Berlin",
        "locale": "eo",
    }
    assert rows(written["test"])[0]["audio"] == "eo/clips/common_voice_eo_3.mp3"


def test_all_validated_clips_of_other_speakers(tree: Path, tmp_path: Path) -> None:
    written = prepare(str(tree), str(tmp_path / "out"), split="validated", text="keep")
    assert [row["text"] for row in rows(written["train"])] == ['Ĉu "li" diris: ne — l’amiko?', "Nova"]


def test_columns_are_read_by_name_and_quotes_are_text(tree: Path, tmp_path: Path) -> None:
    (tree / "train.tsv").write_bytes(b'path\tsentence\tclient_id\r\ncommon_voice_eo_1.mp3\t"Ne\tz\r\n')
    written = prepare(str(tree), str(tmp_path / "out"), text="keep")
    assert (rows(written["train"])[0]["text"], rows(written["train"])[0]["speaker"]) == ('"Ne', "z")


def test_few_bad_clips_are_left_out_and_many_stop(tree: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tree / "clips/common_voice_eo_1.mp3").write_bytes(b"")
    with pytest.raises(DataError, match=r"(?s)1 of 3 line\(s\) have no sound recording.*train\.tsv:2: .*is empty"):
        prepare(str(tree), str(tmp_path / "out"))
    written = prepare(str(tree), str(tmp_path / "out"), max_faulty=0.5)
    assert list(written) == ["dev", "test"]
    assert "train.tsv:2" in caplog.text


def test_empty_sentences_are_left_out(tree: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clip(tree, "common_voice_eo_5")
    table(tree, "train", ("a", "common_voice_eo_1.mp3", "Jes"), ("a", "common_voice_eo_5.mp3", "?!"))
    assert len(rows(prepare(str(tree), str(tmp_path / "out"))["train"])) == 1
    assert "1 line(s) left out, the text is empty: common_voice_eo_5" in caplog.text


def test_faults_are_named(tree: Path, tmp_path: Path) -> None:
    table(tree, "train", ("a", "../../secret.mp3", "x"), ("", "common_voice_eo_1.mp3", "x"))
    with pytest.raises(DataError, match=r"(?s)2 fault\(s\).*tsv:2: .*lies outside.*tsv:3: client_id or path is empty"):
        prepare(str(tree), str(tmp_path / "out"))
    table(tree, "train", ("c" * 128, "common_voice_eo_1.mp3", "x"))
    with pytest.raises(DataError, match=r"1 speaker\(s\) stand in two parts"):
        prepare(str(tree), str(tmp_path / "out"))
    (tree / "train.tsv").write_text("client_id\tpath\n")
    with pytest.raises(DataError, match="has no column sentence; its header is client_id, path"):
        prepare(str(tree), str(tmp_path / "out"))
    with pytest.raises(DataError, match=r"no train\.tsv.*is one of its folders meant, eo\?"):
        prepare(str(tree.parent), str(tmp_path / "out"))
    with pytest.raises(UserError, match="official or validated"):
        prepare(str(tree), str(tmp_path / "out"), split="all")  # type: ignore[arg-type]
