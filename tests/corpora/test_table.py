from pathlib import Path

import pytest

from seqlab.corpora.table import prepare
from seqlab.errors import DataError, UserError

from .conftest import Tone, rows


@pytest.fixture
def clips(tmp_path: Path, tone: Tone) -> Path:
    for number in range(12):
        tone(tmp_path / "clips" / f"{number}.wav", samples=8000)
    return tmp_path


def written(folder: Path, name: str, text: str) -> str:
    (folder / name).write_bytes(text.encode())
    return str(folder / name)


def test_usual_names_and_quotes(clips: Path) -> None:
    table = written(
        clips,
        "mine.csv",
        "Path,Sentence,speaker,Set,accent,duration_s\r\n"
        'clips/0.wav,"Yes, ""he""\nsaid",ann,train,north,3\r\n'
        "clips/1.wav,No,bob,valid,,3\r\n",
    )
    parts = prepare(table, str(clips))
    assert rows(parts["train"]) == [
        {
            "id": "clips/0.wav",
            "text": 'Yes, "he" said',
            "audio": "clips/0.wav",
            "speaker": "ann",
            "sample_rate": 8000,
            "duration_s": 1.0,
            "accent": "north",
            "table_duration_s": "3",
        }
    ]
    assert [row["id"] for row in rows(parts["dev"])] == ["clips/1.wav"]


def test_named_columns_and_stretches(clips: Path) -> None:
    table = written(clips, "x.tsv", 'f\twords\tfrom\tto\nclips/0.wav\t"a\t0\t0.25\nclips/0.wav\tb\t0.25\t\n')
    options = {"audio": "f", "transcript": "words", "start": "from", "end": "to", "text": "keep"}
    parts = prepare(table, str(clips / "out"), dev_share=0, test_share=0, **options)  # type: ignore[arg-type]
    found = [(row["id"], row["text"], row["spans"], row["duration_s"]) for row in rows(parts["train"])]
    assert found == [
        ("clips/0.wav:0", '"a', [[0.0, 0.25]], 0.25),
        ("clips/0.wav:0.25", "b", [[0.25, 1.0]], 0.75),
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "|", "\t"])
def test_the_delimiter_is_seen_from_the_header(clips: Path, delimiter: str) -> None:
    table = written(clips, "x.csv", f"audio{delimiter}text\nclips/0.wav{delimiter}a\n")
    assert rows(prepare(table, str(clips / "out"), dev_share=0, test_share=0)["train"])[0]["text"] == "a"


def test_a_folder_of_tables(clips: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name, number in (("train.csv", 0), ("val.tsv", 1), ("test.csv", 2)):
        delimiter = "\t" if name.endswith("tsv") else ","
        written(
            clips,
            name,
            delimiter.join(["audio", "text", "speaker"]) + f"\nclips/{number}.wav{delimiter}a{delimiter}me\n",
        )
    parts = prepare(str(clips), str(clips / "out"))
    assert list(parts) == ["train", "dev", "test"]
    assert "1 speaker(s) of dev are trained on, too: me" in caplog.text


@pytest.mark.parametrize(("speakers", "kind"), [("aabbccddeeff", "speaker"), ("aabb ccddeef", "line")])
def test_parts_are_drawn_by_speaker_where_all_are_known(clips: Path, speakers: str, kind: str) -> None:
    table = "audio,text,speaker\n" + "".join(f"clips/{i}.wav,x,{s.strip()}\n" for i, s in enumerate(speakers))
    parts = prepare(written(clips, "x.csv", table), str(clips / "out"), dev_share=0.25, test_share=0.25)
    found = {part: {row.get("speaker") for row in rows(path)} for part, path in parts.items()}
    assert sum(len(rows(path)) for path in parts.values()) == 12
    if kind == "speaker":
        assert {part: len(names) for part, names in found.items()} == {"train": 2, "dev": 2, "test": 2}
        assert len(set.union(*found.values())) == 6
    again = prepare(str(clips / "x.csv"), str(clips / "again"), dev_share=0.25, test_share=0.25)
    assert [path.read_bytes() for path in again.values()] == [path.read_bytes() for path in parts.values()]


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("sound,text\na,b\n", r"no column of .* has a usual name of audio.*corpus\.prepare\.audio=NAME"),
        ("audio,text\n../x.wav,b\n/etc/passwd,c\n", r"(?s)2 fault\(s\).*csv:2: .*lies outside.*csv:3: .*lies outside"),
        ("audio,text\nhttp://a/b.wav,b\n", "is no path of a file"),
        ("audio,text\n,b\n", "is no path of a file"),
        ("audio,text\nclips/0.wav,b,c\n", r"csv:2: 3 fields, the header has 2"),
        ("audio,text,split\nclips/0.wav,b,eval\n", "split 'eval' is none of"),
        ("audio,text,split\nclips/0.wav,b,train\nclips/1.wav,b,\n", r"1 row\(s\) name no split"),
        ("audio,text,start\nclips/0.wav,b,x\n", "start or end is no number"),
        ("audio,text\nclips/0.wav,b\nclips/0.wav,c\n", r"1 id\(s\) stand twice: clips/0.wav"),
        ("audio,text,text\nclips/0.wav,b,c\n", "names text twice"),
        ("\n\n", "is empty"),
        ("audio,text\nclips/99.wav,b\n", r"1 of 1 line\(s\) have no sound recording"),
        ('audio,text\nclips/0.wav,""\n', "no line with both text and recording is left of 1"),
        ("audio,text\nclips/0.wav," + "x" * 200_000 + "\n", "field larger than field limit"),
    ],
)
def test_faults_are_named(clips: Path, table: str, told: str) -> None:
    with pytest.raises(DataError, match=told):
        prepare(written(clips, "x.csv", table), str(clips / "out"))
    assert not list((clips / "out").glob("*.jsonl"))


def test_wrong_options_and_roots(clips: Path) -> None:
    table = written(clips, "x.csv", "audio,text\nclips/0.wav,a\n")
    with pytest.raises(DataError, match=r"has no column 'file' \(audio\); its header is audio, text"):
        prepare(table, str(clips / "out"), audio="file")
    with pytest.raises(DataError, match="too few to split by line; give smaller shares, or a column split"):
        prepare(table, str(clips / "out"))
    with pytest.raises(UserError, match="delimiter is one character"):
        prepare(table, str(clips / "out"), delimiter="tab")
    with pytest.raises(UserError, match="dev_share"):
        prepare(table, str(clips / "out"), dev_share=1.5)
    written(clips, "y.csv", "audio,text\n")
    with pytest.raises(DataError, match=r"no train\.csv or train\.tsv in .*, there is x\.csv, y\.csv"):
        prepare(str(clips), str(clips / "out"))
    (clips / "x.csv").write_bytes(b"audio,text\n\xff,a\n")
    with pytest.raises(DataError, match="2: byte 0xff is not UTF-8"):
        prepare(table, str(clips / "out"))
