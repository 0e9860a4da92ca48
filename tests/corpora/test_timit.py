from pathlib import Path

import pytest

from seqlab.config import build, compose
from seqlab.corpora._timit_tables import CORE_TEST, DEV, PHONES, fold
from seqlab.corpora.timit import prepare
from seqlab.errors import DataError, UserError
from seqlab.media import read_audio

from .conftest import Tone, rows, write_sphere

PHN = "0 400 h#\n400 800 sh\n800 1100 ix\n1100 1500 q\n1500 1600 h#\n"


def say(folder: Path, name: str, upper: bool = True, phones: str = PHN) -> Path:
    """Write one sentence of one speaker; returns its recording."""
    case = str.upper if upper else str.lower
    write_sphere(folder / case(f"{name}.wav"))
    (folder / case(f"{name}.phn")).write_text(phones)
    (folder / case(f"{name}.txt")).write_text("0 1600 She had your dark suit, Ann's.\n")
    return folder / case(f"{name}.wav")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    top = tmp_path / "TIMIT"
    for part, region, speaker in (
        ("TRAIN", "DR1", "FCJF0"),
        ("TRAIN", "DR8", "MBCG0"),
        ("TEST", "DR1", "FAKS0"),  # dev
        ("TEST", "DR1", "MDAB0"),  # core test
        ("TEST", "DR1", "FDAW0"),  # neither
    ):
        for sentence in ("SA1", "SA2", "SI1027", "SX127"):
            say(top / part / region / speaker, sentence)
    (top / "DOC").mkdir()
    return top


def test_true_layout_becomes_the_usual_splits(tree: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    written = prepare(str(tree), str(tmp_path))
    found = {part: [row["id"] for row in rows(path)] for part, path in written.items()}
    assert found == {
        "train": ["fcjf0_si1027", "fcjf0_sx127", "mbcg0_si1027", "mbcg0_sx127"],
        "dev": ["faks0_si1027", "faks0_sx127"],
        "test": ["mdab0_si1027", "mdab0_sx127"],
    }
    assert rows(written["test"])[1] == {
        "id": "mdab0_sx127",
        "text": "h# sh ix q h#",
        "audio": "TIMIT/TEST/DR1/MDAB0/SX127.WAV",
        "speaker": "mdab0",
        "sample_rate": 16000,
        "duration_s": 0.1,
        "dialect": "dr1",
        "sex": "M",
        "sentence": "She had your dark suit, Ann's.",
        "phone_times": [[0.0, 0.025], [0.025, 0.05], [0.05, 0.06875], [0.06875, 0.09375], [0.09375, 0.1]],
    }
    assert "timit test: 2 lines, the whole corpus has 192" in caplog.text
    assert "timit test: 8 phones of 39 classes, the whole part has 7215" in caplog.text  # q is not counted


def test_a_second_prepare_opens_no_recording(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path: path.read_bytes() for path in prepare(str(tree), str(tmp_path / "out")).values()}
    monkeypatch.setattr("seqlab.corpora._common.audio_info", lambda path: pytest.fail(f"{path} was read again"))
    prepare(str(tree), str(tmp_path / "out"))
    assert {path: path.read_bytes() for path in before} == before


def test_lower_case_and_converted_copies(tmp_path: Path, tone: Tone) -> None:
    for part, speaker in (("train", "fcjf0"), ("test", "faks0"), ("test", "mdab0")):
        folder = tmp_path / part / "dr1" / speaker
        say(folder, "sx127", upper=False).unlink()
        tone(folder / "sx127.wav", samples=3200, rate=16000)
        write_sphere(folder / "si1027.wav").rename(folder / "SI1027.WAV")
        tone(folder / "SI1027.WAV.wav", samples=3200, rate=16000)
        (folder / "SI1027.PHN").write_text(PHN)
    written = prepare(str(tmp_path), str(tmp_path / "out"))
    assert [(row["id"], row["duration_s"]) for row in rows(written["train"])] == [
        ("fcjf0_si1027", 0.1),  # the recording as it came goes before its copy
        ("fcjf0_sx127", 0.2),
    ]


def test_words_instead_of_phones(tree: Path, tmp_path: Path) -> None:
    written = prepare(str(tree), str(tmp_path / "out"), units="words")
    row = rows(written["dev"])[0]
    assert row["text"] == "she had your dark suit ann's"
    assert "phone_times" not in row


def test_faulty_labels_are_named(tree: Path, tmp_path: Path) -> None:
    say(tree / "TRAIN/DR1/FCJF0", "SX127", phones="0 400 h#\n400 300 sh\n300 900\n900 1000 zz\n")
    told = (
        r"(?s)3 fault\(s\).*SX127\.PHN:2: '400 300 sh' is not BEGIN END PHONE.*PHN:3: .*PHN:4: 'zz' is none of the 61"
    )
    with pytest.raises(DataError, match=told):
        prepare(str(tree), str(tmp_path / "out"))


def test_missing_and_compressed_recordings_are_named(tree: Path, tmp_path: Path) -> None:
    (tree / "TRAIN/DR1/FCJF0/SX127.WAV").unlink()
    write_sphere(tree / "TRAIN/DR1/FCJF0/SI1027.WAV", coding="pcm,embedded-shorten-v2.00")
    told = r"(?s)2 of 8 line\(s\) have no sound recording.*compressed with shorten.*sph2pipe.*SX127\.WAV not found"
    with pytest.raises(DataError, match=told):
        prepare(str(tree), str(tmp_path / "out"))


def test_wrong_roots_and_options(tree: Path, tmp_path: Path) -> None:
    assert sorted(prepare(str(tree.parent), str(tmp_path / "out"))) == ["dev", "test", "train"]
    with pytest.raises(DataError, match="LDC93S1"):
        prepare(None, str(tmp_path / "out"))
    with pytest.raises(DataError, match="no folders TRAIN and TEST"):
        prepare(str(tree / "DOC"), str(tmp_path / "out"))
    with pytest.raises(UserError, match="phones or words"):
        prepare(str(tree), str(tmp_path / "out"), units="letters")  # type: ignore[arg-type]


def test_the_folding_is_that_of_lee_and_hon() -> None:
    """Counts and groups of the paper: 61 phones, 48 trained classes, 39 scored."""
    folds = [fold(phone) for phone in PHONES]
    assert len(PHONES) == len(set(PHONES)) == 61
    assert len({f[0] for f in folds if f}) == 48
    assert len({f[1] for f in folds if f}) == 39
    groups: dict[str, set[str]] = {}
    for phone, f in zip(PHONES, folds, strict=True):
        groups.setdefault(f[1] if f else "", set()).add(phone)
    assert {key: group for key, group in groups.items() if group != {key}} == {
        "": {"q"},
        "aa": {"aa", "ao"},
        "ah": {"ah", "ax", "ax-h"},
        "er": {"er", "axr"},
        "hh": {"hh", "hv"},
        "ih": {"ih", "ix"},
        "l": {"l", "el"},
        "m": {"m", "em"},
        "n": {"n", "en", "nx"},
        "ng": {"ng", "eng"},
        "sh": {"sh", "zh"},
        "uw": {"uw", "ux"},
        "sil": {"h#", "pau", "epi", "bcl", "dcl", "gcl", "pcl", "tcl", "kcl"},
    }


def test_speakers_of_dev_and_core_test() -> None:
    assert (len(CORE_TEST), len(DEV), CORE_TEST & DEV) == (24, 50, set())
    assert sum(speaker.startswith("f") for speaker in CORE_TEST) == 8  # one woman and two men of each region


def test_the_tokenizer_and_the_map_file_fold_alike(tree: Path, tmp_path: Path) -> None:
    prepare(str(tree), str(tmp_path))
    table = [row.split("\t") for row in (tmp_path / "phones.map").read_text().splitlines()]
    assert ["axr", "er", "er"] in table
    assert ["q"] in table
    tokenizer = build(compose("train", ["tokenizer=timit"])["tokenizer"], "tokenizer")
    tokenizer.fit([" ".join(PHONES)])
    assert tokenizer.symbols[1:] == sorted(PHONES)
    for phone, *classes in table:
        assert tokenizer.scored(tokenizer.normalize(phone)) == (classes[1] if classes else "")


def test_sphere_files_are_read_whole_or_not_at_all(tmp_path: Path) -> None:
    path = write_sphere(tmp_path / "a.WAV", samples=800)
    signal, rate = read_audio(path)
    assert (len(signal), rate) == (800, 16000)
    path.write_bytes(path.read_bytes()[:-600])
    with pytest.raises(DataError, match="is cut off: 600 of 2624 bytes are missing"):
        read_audio(path)
