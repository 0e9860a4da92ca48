"""Tar shards: members found as tarfile finds them, lines as webdataset groups them, faults named, nothing unpacked."""

import io
import json
import logging
import os
import random
import tarfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seqlab.errors import DataError
from seqlab.manifest import Line, read_manifest
from seqlab.media import audio_info, image_size, read_array, read_audio, read_image, read_ink, write_image, write_wav
from seqlab.media import shards as shards_module
from seqlab.media._files import file_exists, file_stamp, member_of, open_file
from seqlab.media._tar import Entry, entries
from seqlab.media.arrays import array_shape
from seqlab.media.shards import expand, shard_list

Members = list[tuple[str, bytes]]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def make(path: Path, members: Members, format: int = tarfile.PAX_FORMAT) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    with tarfile.open(path, "w", format=format) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def found(path: Path) -> list[Entry]:
    with path.open("rb") as file:
        return list(entries(file, path))


def wav(samples: int = 800) -> bytes:
    """Return a WAV file of a ramp at 8 kHz, written by hand: RIFF, fmt, data."""
    data = np.arange(samples, dtype="<i2").tobytes()
    head = b"fmt " + (16).to_bytes(4, "little") + bytes.fromhex("01000100401f0000803e000002001000")
    body = b"WAVE" + head + b"data" + len(data).to_bytes(4, "little") + data
    return b"RIFF" + len(body).to_bytes(4, "little") + body


LONG = "f/" * 90 + "n" * 60 + ".flac"


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_members_are_those_that_tarfile_finds(tmp_path: Path, format: int) -> None:
    names = ["a.txt", "d/b.c.json", "./c.txt", "x" * 90 + ".txt", "p/" * 60 + "q.txt"]
    names += [] if format == tarfile.USTAR_FORMAT else [LONG, "Grüße/été.txt", "n" * 300 + ".txt"]
    members: Members = [
        (name, bytes([65 + n]) * size)
        for n, (name, size) in enumerate(zip(names, cycle([0, 511, 512, 513]), strict=False))
    ]
    path = make(tmp_path / "a.tar", members, format)
    with tarfile.open(path) as tar:
        expected = [(i.name.removeprefix("./"), i.offset_data, i.size) for i in tar.getmembers()]
    assert [entry[:3] for entry in found(path)] == expected
    assert [path.read_bytes()[o : o + s] for _, o, s, _ in found(path)] == [content for _, content in members]
    for name, offset, size, _ in found(path):
        with open_file(f"{path}@{offset}+{size}/{name.rpartition('/')[2]}", "text") as file:
            assert file.read() == {n.removeprefix("./"): c for n, c in members}[name]


def head(name: str, size: int = 0, kind: bytes = b"0", link: str = "") -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = size, kind, link
    return info.tobuf(tarfile.GNU_FORMAT)


END = bytes(1024)
GOOD = head("a.txt", 3) + b"abc".ljust(512, b"\0")


def pax(record: bytes, kind: bytes = b"x") -> bytes:
    return head("pax", len(record), kind) + record.ljust(512, b"\0")


def binary_size(size: bytes) -> bytes:
    block = bytearray(head("big.txt", 0))
    block[124:136] = size
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "cut off: it ends at byte 0"),
        (GOOD, "cut off: it ends at byte 1024 without an end mark"),
        (GOOD + head("b.txt", 5000) + END, "'b.txt' ends beyond the end"),
        (GOOD[:700], "cut off"),
        (GOOD + b"x" * 512 + END, "damaged: no header at byte 1024"),
        (b"not a tar file at all".ljust(2048), "is no tar file"),
        (b"\x1f\x8b" + b"z" * 2000, "compressed.*gunzip"),
        (GOOD + END + GOOD + END, "more follows after its end mark"),
        (head("/etc/passwd.txt") + END, "'/etc/passwd.txt' leads out"),
        (head("a/../../b.txt") + END, "leads out"),
        (head("s.txt", 0, b"S") + END, "'s.txt' is sparse"),
        (pax(b"22 GNU.sparse.major=1\n") + GOOD + END, "'a.txt' is sparse"),
        (pax(b"11 size=99\n") + GOOD + END, "two sizes, 99 and 3"),
        (pax(b"99999999999999999999 path=x\n") + GOOD + END, "pax header at byte 512 makes no sense"),
        (pax(b"7 nothing\n") + GOOD + END, "makes no sense"),
        (pax(b"13 path=/b.c\n") + GOOD + END, "'/b.c' leads out"),
        (pax(b"12 path=b.c\n", b"g") + GOOD + END, "one name or size to all"),
        (head("l", 2**24, b"L") + bytes(2**24) + GOOD + END, "a name or header of 16777216 bytes"),
        (binary_size(b"\x80" + bytes(7) + b"\xff" * 4) + END, "ends beyond the end"),
        (binary_size(b"\xff" * 12) + END, "beyond the end"),
        (binary_size(b"-0000000010\0") + END, "beyond the end"),
        (head("v.txt", 0, b"M") + END, "of type b'M'"),
    ],
)
def test_damaged_and_hostile_archives_are_named(tmp_path: Path, content: bytes, fault: str) -> None:
    path = tmp_path / "bad.tar"
    path.write_bytes(content)
    with pytest.raises(DataError, match=fault):
        found(path)
    with pytest.raises(DataError, match=f"(?s)bad.tar.*{fault}"):
        read_manifest(path)
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == ["bad.tar"]


def test_links_and_devices_are_left_out_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "l.tar"
    links = head("s.flac", 99, b"2", "/etc/passwd") + head("h.flac", 0, b"1", "a.txt") + head("dev.wav", 0, b"3")
    path.write_bytes(head("folder/", 0, b"5") + links + head("pipe", 0, b"6") + GOOD + END)
    with caplog.at_level(logging.WARNING):
        assert [entry.name for entry in found(path)] == ["a.txt"]
    assert "symbolic link 's.flac', hard link 'h.flac', device 'dev.wav', pipe 'pipe'" in caplog.text


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4095), st.integers(0, 255)), max_size=6), st.integers(0, 4096))
def test_any_damage_is_an_error_or_stays_inside(tmp_path: Path, changes: list[tuple[int, int]], end: int) -> None:
    whole = bytearray(pax(b"12 path=b.c\n") + GOOD + head("a.json", 30) + b"{}".ljust(512) + END)
    for place, value in changes:
        if place < len(whole):
            whole[place] = value
    path = tmp_path / "any.tar"
    path.write_bytes(whole[: max(end, 1)])
    try:
        for entry in found(path):
            assert 512 <= entry.offset <= entry.offset + entry.size <= path.stat().st_size
            assert ".." not in entry.name.split("/")
            assert not entry.name.startswith("/")
    except DataError:
        pass


def test_lines_of_webdataset_shards(tmp_path: Path) -> None:
    members: Members = [
        ("d/a.wav", wav()),
        ("d/a.txt", b" one two \n"),
        ("d/b.WAV", wav(400)),
        ("d/b.json", '{"transcript": "Grüße", "speaker": "s", "audio": "/was/there.wav", "n": 3}'.encode()),
        ("d/b.cls", b"7"),
        (".DS_Store", b""),
        ("README", b""),
        ("c.json", b'{"id": "own", "text": "x", "strokes": [[[1, 2], [3, 4]]]}'),
        ("e.wav", wav()),
        ("e.json", b'{"id": 7, "text": "y", "parts": ["e.wav", "d/a.wav"], "duration_s": 0.2}'),
    ]
    path = make(tmp_path / "t-0.tar", members)
    lines = read_manifest(path)
    at = {entry.name: entry for entry in found(path)}

    def place(name: str) -> str:
        return f"{path}@{at[name].offset}+{at[name].size}/{name.rpartition('/')[2]}"

    assert [line.id for line in lines] == ["t-0/d/a", "t-0/d/b", "own", "t-0/e"]
    assert [line.text for line in lines] == ["one two", "Grüße", "x", "y"]
    assert (lines[0].audio, lines[0].duration_s, lines[0].sample_rate) == (place("d/a.wav"), 0.1, 8000)
    assert (lines[1].audio, lines[1].speaker, lines[1].extra["n"]) == (place("d/b.WAV"), "s", 3)
    assert lines[1].duration_s == 0.05
    assert lines[2].strokes == [[[1, 2], [3, 4]]]
    assert lines[3].parts == [place("e.wav"), place("d/a.wav")]


def test_text_of_several_lines_is_joined_for_a_recording_and_refused_for_an_image(tmp_path: Path) -> None:
    path = make(tmp_path / "t.tar", [("a.wav", wav()), ("a.txt", b"\xef\xbb\xbfone\r\ntwo \t three\n")])
    assert [line.text for line in read_manifest(path)] == ["one two three"]
    write_image(tmp_path / "b.png", np.zeros((9, 20), np.uint8))
    picture = (tmp_path / "b.png").read_bytes()
    path = make(tmp_path / "i.tar", [("b.png", picture), ("b.txt", b"\none  two\n")])
    assert [line.text for line in read_manifest(path)] == ["one two"]
    path = make(tmp_path / "j.tar", [("b.png", picture), ("b.txt", b"one\ntwo\n")])
    with pytest.raises(DataError, match=r"j.tar, b: b.txt: 2 lines of text for one line image; leave one"):
        read_manifest(path)


@pytest.mark.parametrize(
    ("members", "fault"),
    [
        ([("a.txt", b"x")], "bad, a|, a: needs one recording"),
        ([("a.wav", wav())], 'has no text: needs a.txt, or "text"'),
        ([("a.wav", wav()), ("a.png", b""), ("a.txt", b"x")], "has a.wav, a.png; name one"),
        ([("a.wav", wav()), ("a.wav", wav()), ("a.txt", b"x")], "two members .wav"),
        ([("a.wav", wav()), ("a.txt", b"x"), ("b.wav", wav()), ("b.txt", b""), ("a.json", b"{}")], ", a: stands twice"),
        ([("a.wav", wav()), ("a.json", b"[1]")], "must be an object"),
        ([("a.wav", wav()), ("a.json", b"{")], "not JSON"),
        ([("a.wav", wav()), ("a.json", b"[" * 100_000)], "not JSON"),
        ([("a.wav", wav()), ("a.json", b'{"text": 3}')], 'field "text" must be str'),
        ([("a.wav", wav()), ("a.json", b'{"text": "x", "speaker": 3}')], 'field "speaker" must be str'),
        ([("a.json", b'{"text": "x", "audio": "../../etc/passwd"}')], "audio '../../etc/passwd' is no member"),
        ([("a.json", b'{"text": "x", "parts": ["b.wav"]}')], "is no member"),
        ([("a.wav", wav()), ("a.txt", b"\xff")], "a.txt is not UTF-8"),
        ([("a.wav", wav()), ("a.txt", b"x" * 3000)], "a.txt has 3000 bytes"),
        ([("notes", b"")], "holds no line"),
    ],
)
def test_faulty_lines_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, members: Members, fault: str) -> None:
    monkeypatch.setattr(shards_module, "MAX_TEXT", 200_000 if members[-1][0].endswith("json") else 2000)
    path = make(tmp_path / "t.tar", members)
    with pytest.raises(DataError, match=fault) as error:
        read_manifest(path)
    assert str(path) in str(error.value)
    assert not list(tmp_path.glob(".*"))


def test_faults_of_many_shards_are_listed_together(tmp_path: Path) -> None:
    for n in range(3):
        make(tmp_path / f"t-{n}.tar", [(f"{k}.txt", b"x") for k in range(10)])
    with pytest.raises(DataError, match="looking stopped after 20") as error:
        read_manifest(tmp_path / "t-{0..2}.tar")
    assert str(error.value).count("needs one recording") == 20


def test_patterns_name_shards(tmp_path: Path) -> None:
    for n in range(8, 12):
        make(tmp_path / f"t-{n:03d}.tar", [])
    paths = [tmp_path / f"t-{n:03d}.tar" for n in range(8, 12)]
    assert expand(f"{tmp_path}/t-{{008..011}}.tar") == paths
    assert expand(f"{tmp_path}/t-0{{08,11}}.tar") == [paths[0], paths[3]]
    assert expand(f"{tmp_path}/t-0{{0..1}}{{0,1,8,9}}.tar".replace("{0..1}", "{0..0}").replace("0,1,", "")) == paths[:2]
    assert expand(f"{tmp_path}/t-*.tar") == paths
    with pytest.raises(FileNotFoundError, match=r"t-012.tar, .*t-013.tar"):
        expand(f"{tmp_path}/t-{{008..013}}.tar")
    with pytest.raises(FileNotFoundError, match=r"x-\*"):
        expand(f"{tmp_path}/x-*.tar")
    for pattern, fault in (("{0..99999999999}", "million|1,000,000"), ("{5..3}", "is no range"), ("{}", "is no range")):
        with pytest.raises(DataError, match=fault):
            expand(f"{tmp_path}/t-{pattern}.tar")
    with pytest.raises(DataError, match="compressed"):
        read_manifest(tmp_path / "t.tar.gz")


def test_list_is_made_anew_when_a_shard_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pattern = f"{tmp_path}/t-{{0..1}}.tar"
    for n in range(2):
        make(tmp_path / f"t-{n}.tar", [("a.wav", wav()), ("a.txt", b"x")])
    first = shard_list(pattern)
    assert shard_list(pattern) == first
    old = read_manifest(pattern)
    make(tmp_path / "t-1.tar", [("b.wav", wav()), ("b.txt", b"new")])
    os.utime(tmp_path / "t-1.tar", ns=(0, 1))
    assert [line.text for line in read_manifest(pattern)] == ["x", "new"]
    assert len(list(tmp_path.glob(".t-0-*"))) == 1  # the old one is gone
    with pytest.raises(DataError, match=r"t-1.tar has no member a.wav of 1644 bytes at byte 512.*anew"):
        read_audio(old[1].files[0])

    def refuse(path: Path) -> None:
        if path.parent == tmp_path:
            raise PermissionError(13, "Permission denied")

    original = shards_module.atomic_write
    monkeypatch.setattr(shards_module, "atomic_write", lambda path: refuse(path) or original(path))
    os.utime(tmp_path / "t-1.tar", ns=(0, 2))
    assert shard_list(pattern).parent == tmp_path / "cache" / "seqlab"


@pytest.mark.parametrize("at_once", [2**24, 0])  # from memory, and through a window
def test_media_read_from_members_are_those_of_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr("seqlab.media._files._AT_ONCE", at_once)
    write_wav(tmp_path / "a.wav", np.sin(np.arange(8000) * 0.1), 8000)
    write_image(tmp_path / "b.png", np.arange(600, dtype=np.uint8).reshape(20, 30))
    np.save(tmp_path / "c.npy", np.arange(12.0).reshape(4, 3))
    np.save(tmp_path / "f.npy", np.asfortranarray(np.arange(12.0).reshape(4, 3)))
    np.savez(tmp_path / "d.npz", np.arange(12, dtype=np.int16).reshape(4, 3))
    (tmp_path / "e.inkml").write_text('<ink xmlns="http://www.w3.org/2003/InkML"><trace>1 2, 3 4</trace></ink>')
    (tmp_path / "g.json").write_text("[[[1, 2], [3, 4]]]")
    names = ["a.wav", "b.png", "c.npy", "f.npy", "d.npz", "e.inkml", "g.json"]
    path = make(tmp_path / "s.tar", [(name, (tmp_path / name).read_bytes()) for name in names])
    member = {e.name: Path(f"{path}@{e.offset}+{e.size}/{e.name}") for e in found(path)}
    readers: dict[str, list[Callable[[Path], object]]] = {
        "wav": [lambda p: read_audio(p)[0], lambda p: read_audio(p, 16000)[0], audio_info],
        "png": [read_image, image_size],
        "npy": [read_array, array_shape],
        "npz": [read_array, array_shape],
        "inkml": [read_ink],
        "json": [read_ink],
    }
    for name in names:
        assert file_exists(member[name])
        assert file_stamp(member[name])[0] == (tmp_path / name).stat().st_size
        for reader in readers[name.partition(".")[2]]:
            np.testing.assert_array_equal(reader(member[name]), reader(tmp_path / name))  # type: ignore[arg-type]


@pytest.mark.parametrize("at_once", [2**24, 0])  # from memory, and through a window
def test_a_member_shows_nothing_beyond_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr("seqlab.media._files._AT_ONCE", at_once)
    values = np.lib.format.header_data_from_array_1_0(np.zeros((100, 3)))
    raw = io.BytesIO()
    np.lib.format.write_array_header_1_0(raw, values)
    stored = io.BytesIO()
    with zipfile.ZipFile(stored, "w") as archive:
        archive.writestr("x.npy", b"no array")
    contents = [("a.npy", raw.getvalue() + bytes(24)), ("b.wav", wav()[:-200]), ("c.npz", stored.getvalue())]
    path = make(tmp_path / "s.tar", contents)
    member = {e.name: f"{path}@{e.offset}+{e.size}/{e.name}" for e in found(path)}
    with pytest.raises(DataError, match="ends before"):
        read_array(member["a.npy"])
    with pytest.raises(DataError, match="200 of 1644 bytes are missing"):
        read_audio(member["b.wav"])
    with pytest.raises(DataError, match="needs an array of real numbers"):
        read_array(member["c.npz"])
    with open_file(member["b.wav"], "audio") as file:
        assert file.seek(-4, os.SEEK_END) == 1440
        assert len(file.read()) == 4
        assert file.read() == b""
        assert file.seek(5000) == 5000
        assert file.read(10) == b""
        with pytest.raises((OSError, ValueError), match="seek"):
            file.seek(-1)


@pytest.mark.parametrize("at_once", [2**24, 0])
def test_damaged_recordings_raise_nothing_within_libsndfile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], at_once: int
) -> None:
    monkeypatch.setattr("seqlab.media._files._AT_ONCE", at_once)
    rng = random.Random(0)
    for _ in range(300):
        raw = bytearray(b"FORM\0\0\x02\0AIFF" + wav()[12:200] if rng.random() < 0.5 else wav()[:200])
        for _ in range(4):
            raw[rng.randrange(8, 60)] = rng.choice((0, 127, 128, 255))
        path = make(tmp_path / "s.tar", [("a.wav", bytes(raw))])
        with suppress(DataError):
            read_audio(f"{path}@512+{len(raw)}/a.wav")
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("place", "fault"),
    [("0+10", "no member"), ("513+3", "no member"), ("512+4", "no member"), ("512+999999", "beyond the end")],
)
def test_wrong_places_are_refused(tmp_path: Path, place: str, fault: str) -> None:
    path = make(tmp_path / "s.tar", [("a.txt", b"abc")])
    with pytest.raises(DataError, match=fault):
        open_file(f"{path}@{place}/a.txt", "text")
    with pytest.raises(DataError, match=r"no member b.txt"):
        open_file(f"{path}@512+3/b.txt", "text")
    with pytest.raises(FileNotFoundError, match=r"shard file .*t.tar not found"):
        open_file(tmp_path / "t.tar@512+3/a.txt", "text")
    with open_file(f"{path}@512+3/a.txt", "text") as file:
        assert file.read() == b"abc"


def test_paths_of_members() -> None:
    assert member_of("a/b.tar@512+3/c.flac") == ("a/b.tar", 512, 3, "c.flac")
    assert member_of("b.tar@512+3/x.tar@1+2/c") == ("b.tar", 512, 3, "x.tar@1+2/c")  # a name leads nowhere else
    for path in ("a/b.tar", "b.tar@512/c", "b.tar@-1+3/c", "b.tar@1+3/", "b.tgz@1+3/c"):
        assert member_of(path) is None
    line = Line("a", "x", audio="s.tar@512+3/c.flac", root=Path("/d"))
    assert member_of(line.files[0]) == ("/d/s.tar", 512, 3, "c.flac")
    assert json.loads(json.dumps(str(line.files[0]))) == "/d/s.tar@512+3/c.flac"
