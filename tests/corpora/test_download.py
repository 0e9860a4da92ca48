"""The downloader against a local server that breaks off, refuses and lies."""

import hashlib
import http.server
import io
import socket
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import example, given, settings
from hypothesis import strategies as st

from seqlab.corpora import _download, an4, librispeech, lj_speech, tedlium, yesno
from seqlab.corpora._download import Archive, obtain
from seqlab.errors import DataError, UserError


@dataclass
class Site:
    """A server: files by name, how it misbehaves, and what it was asked."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    breaks_after: list[int] = field(default_factory=list)  # bytes sent before the connection is cut, answer by answer
    ranges: bool = True
    status: int = 200
    tag: str = ""  # the ETag
    length_told: bool = False  # with 416
    asked: list[str] = field(default_factory=list)  # the Range header of each request, or ""


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    state = Site()

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            asked = self.headers.get("Range", "")
            state.asked.append(asked)
            content = state.files.get(self.path.lstrip("/"))
            if state.tag and self.headers.get("If-Range", state.tag) != state.tag:
                asked = ""
            if content is None or state.status != 200:
                self.send_error(404 if content is None else state.status)
                return
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and state.ranges else 0
            if start >= len(content):
                self.send_response(416)
                if state.length_told:
                    self.send_header("Content-Range", f"bytes */{len(content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206 if asked and state.ranges else 200)
            if asked and state.ranges:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            if state.tag:
                self.send_header("ETag", state.tag)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            most = state.breaks_after.pop(0) if state.breaks_after else len(content)
            self.wfile.write(content[start : start + most])

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(_download, "PAUSE", 0.0)
    monkeypatch.setenv("no_proxy", "*")
    yield state
    server.shutdown()
    server.server_close()


def tar(members: dict[str, bytes | tarfile.TarInfo], mode: str = "w:gz") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in members.items():
            if isinstance(content, tarfile.TarInfo):
                content.name = name
                archive.addfile(content)
            else:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def link(target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo()
    info.type, info.linkname = kind, target
    return info


def publish(site: Site, content: bytes, gigabytes: float = 0.001, digest: str | None = "") -> Archive:
    site.files["corpus.tar.gz"] = content
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}" if digest == "" else digest
    return Archive((f"{site.url}/corpus.tar.gz",), "corpus/part", gigabytes, digest)


CONTENT = tar({"corpus/part/a.txt": bytes(range(256)) * 400, "corpus/README": b"hello"})


def test_an_archive_is_loaded_unpacked_and_never_loaded_again(site: Site, tmp_path: Path) -> None:
    archive = publish(site, CONTENT)
    obtain("c", [archive], tmp_path / "new")
    assert (tmp_path / "new/corpus/part/a.txt").read_bytes() == bytes(range(256)) * 400
    assert (tmp_path / "new/corpus/README").read_bytes() == b"hello"
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == [".download.lock", "corpus", "corpus.tar.gz"]
    obtain("c", [archive], tmp_path / "new")
    assert site.asked == [""]


def test_a_broken_connection_is_resumed_from_the_byte_it_broke_at(site: Site, tmp_path: Path) -> None:
    archive = publish(site, CONTENT)
    site.breaks_after = [100, 50]
    obtain("c", [archive], tmp_path)
    assert site.asked == ["", "bytes=100-", "bytes=150-"]
    assert (tmp_path / "corpus.tar.gz").read_bytes() == CONTENT


def test_a_part_of_an_earlier_run_is_resumed(site: Site, tmp_path: Path) -> None:
    archive = publish(site, CONTENT)
    (tmp_path / "corpus.tar.gz.part").write_bytes(CONTENT[:77])
    obtain("c", [archive], tmp_path)
    assert site.asked == ["bytes=77-"]
    assert (tmp_path / "corpus/part/a.txt").is_file()


def test_a_whole_part_needs_no_byte_more(site: Site, tmp_path: Path) -> None:
    archive = publish(site, CONTENT)
    (tmp_path / "corpus.tar.gz.part").write_bytes(CONTENT)
    obtain("c", [archive], tmp_path)
    assert (tmp_path / "corpus/part/a.txt").is_file()


def test_a_part_longer_than_the_file_is_loaded_anew(site: Site, tmp_path: Path) -> None:
    archive = publish(site, CONTENT)
    (tmp_path / "corpus.tar.gz.part").write_bytes(CONTENT + b"of another file")
    obtain("c", [archive], tmp_path)
    assert site.asked == [f"bytes={len(CONTENT) + 15}-", ""]


def test_a_file_that_was_replaced_meanwhile_is_begun_again(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = publish(site, b"x" * 200, digest=None)
    site.tag, site.breaks_after = '"old"', [100, 10]
    monkeypatch.setattr(_download, "ATTEMPTS", 1)
    for end in (100, 110):  # the second goes on, as it is the same file
        with pytest.raises(DataError, match="ended too early"):
            _download.fetch("c", archive, tmp_path)
        assert (tmp_path / "corpus.tar.gz.part").stat().st_size == end
    site.tag, site.files["corpus.tar.gz"] = '"new"', b"y" * 200
    assert _download.fetch("c", archive, tmp_path).read_bytes() == b"y" * 200
    assert [p.name for p in tmp_path.iterdir()] == ["corpus.tar.gz"]


@pytest.mark.parametrize(("more", "length_told", "asked"), [(b"", True, 1), (b"", False, 2), (b"longer", True, 2)])
def test_without_a_sum_a_part_is_whole_if_its_length_is(
    site: Site, tmp_path: Path, more: bytes, length_told: bool, asked: int
) -> None:
    archive = publish(site, CONTENT, digest=None)
    site.length_told = length_told
    (tmp_path / "corpus.tar.gz.part").write_bytes(CONTENT + more)
    assert _download.fetch("c", archive, tmp_path).read_bytes() == CONTENT
    assert len(site.asked) == asked


def test_a_server_without_ranges_sends_all_again(site: Site, tmp_path: Path) -> None:
    archive = publish(site, CONTENT)
    site.ranges, site.breaks_after = False, [100]
    obtain("c", [archive], tmp_path)
    assert (tmp_path / "corpus.tar.gz").read_bytes() == CONTENT


def test_a_wrong_sum_is_told_and_the_file_deleted(site: Site, tmp_path: Path) -> None:
    archive = publish(site, CONTENT, digest="md5:" + "0" * 32)
    found = hashlib.md5(CONTENT).hexdigest()
    with pytest.raises(DataError, match=rf"md5 is {found}, not 0{{32}}\. Run this again"):
        obtain("c", [archive], tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == [".download.lock"]


def test_an_archive_loaded_by_hand_is_checked_and_taken(site: Site, tmp_path: Path) -> None:
    archive = publish(site, CONTENT)
    (tmp_path / "corpus.tar.gz").write_bytes(CONTENT)
    obtain("c", [archive], tmp_path)
    assert site.asked == []
    (tmp_path / "corpus.tar.gz").write_bytes(CONTENT[:-1])
    (tmp_path / "corpus/part").rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="damaged or another file"):
        obtain("c", [archive], tmp_path)


def test_no_network_says_what_to_do_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_download, "PAUSE", 0.0)
    monkeypatch.setenv("no_proxy", "*")
    archive = Archive(("http://127.0.0.1:9/corpus.tar.gz",), "corpus", 0.001)
    told = r"(?s)cannot be loaded, .*there is no network, or the site is down\. By hand: load http://127\.0\.0\.1:9/corpus\.tar\.gz.*download=false"
    with pytest.raises(DataError, match=told):
        obtain("c", [archive], tmp_path)


def test_without_a_name_nobody_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_download, "PAUSE", 1e6)
    monkeypatch.setenv("no_proxy", "*")

    def refuse(*_: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with pytest.raises(DataError, match=r"Name or service not known: there is no network.*By hand"):
        obtain("c", [Archive(("http://site.example/corpus.tar.gz",), "corpus", 0.001)], tmp_path)


def test_the_next_address_is_tried(site: Site, tmp_path: Path) -> None:
    archive = publish(site, CONTENT)
    archive = Archive((f"{site.url}/gone/corpus.tar.gz", *archive.urls), archive.holds, 0.001, archive.digest)
    obtain("c", [archive], tmp_path)
    assert len(site.asked) == 2


def test_a_server_that_refuses_or_gives_up(site: Site, tmp_path: Path) -> None:
    archive = publish(site, CONTENT)
    site.status = 403
    with pytest.raises(DataError, match="answers 403"):
        obtain("c", [archive], tmp_path)
    site.status = 503
    with pytest.raises(DataError, match="503"):
        obtain("c", [archive], tmp_path)
    assert len(site.asked) == 1 + _download.ATTEMPTS


def test_what_is_far_too_large_is_refused(site: Site, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="GB"):
        obtain("c", [publish(site, CONTENT, gigabytes=1e-7)], tmp_path)
    assert not (tmp_path / "corpus.tar.gz.part").exists()
    bomb = tar({"corpus/part/zeros": bytes(2_000_000)})
    with pytest.raises(DataError, match="it is not unpacked"):
        obtain("c", [publish(site, bomb, gigabytes=1e-5)], tmp_path / "b")
    assert not (tmp_path / "b/corpus").exists()


def test_a_full_disk_is_told_before_anything_is_loaded(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match=r"takes about 2000000\.0 GB"):
        obtain("c", [publish(site, CONTENT, gigabytes=1e6)], tmp_path)
    assert site.asked == []


@pytest.mark.parametrize(
    "members",
    [
        {"../evil": b"x"},
        {"/tmp/seqlab-evil": b"x"},
        {"corpus/part/out": link("/etc"), "corpus/part/out/passwd": b"x"},
        {"corpus/part/out": link("../../../..")},
        {"corpus/part/in": link("."), "corpus/part/in/file": b"x"},
        {"corpus/part/hard": link("../../../etc/passwd", tarfile.LNKTYPE)},
        {"corpus/part/pipe": link("", tarfile.FIFOTYPE)},
        {"corpus/part/disk": link("", tarfile.BLKTYPE)},
    ],
    ids=["up", "absolute", "through a link", "link out", "through a link within", "hard link", "pipe", "device"],
)
def test_members_that_leave_the_folder_are_refused(
    site: Site, tmp_path: Path, members: dict[str, bytes | tarfile.TarInfo]
) -> None:
    archive = publish(site, tar({"corpus/part/a.txt": b"x", **members}))
    place = tmp_path / "a" / "b"
    if members.keys() == {"/tmp/seqlab-evil"}:  # the leading slash is dropped: it stays inside
        obtain("c", [archive], place)
        assert (place / "tmp/seqlab-evil").is_file()
        assert not Path("/tmp/seqlab-evil").exists()
        return
    with pytest.raises(DataError):
        obtain("c", [archive], place)
    assert sorted(p.name for p in tmp_path.rglob("*")) == [".download.lock", "a", "b", "corpus.tar.gz"]


def test_links_within_the_archive_stay(site: Site, tmp_path: Path) -> None:
    archive = publish(site, tar({"corpus/part/a.txt": b"x", "corpus/part/legacy/sph": link("../")}))
    obtain("c", [archive], tmp_path)
    assert (tmp_path / "corpus/part/legacy/sph/a.txt").read_bytes() == b"x"


def test_an_interrupted_unpacking_is_done_again(site: Site, tmp_path: Path) -> None:
    archive = publish(site, CONTENT)
    (tmp_path / "corpus.tar.gz").write_bytes(CONTENT)
    (tmp_path / ".corpus.tar.gz.unpacking" / "corpus").mkdir(parents=True)
    (tmp_path / ".corpus.tar.gz.ready").mkdir()
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus/README").write_bytes(b"my own")
    obtain("c", [archive], tmp_path)
    assert (tmp_path / "corpus/README").read_bytes() == b"my own"
    assert (tmp_path / "corpus/part/a.txt").is_file()
    assert not list(tmp_path.glob(".corpus*"))


@settings(max_examples=30, deadline=None)
@given(cut=st.integers(0, len(CONTENT)), noise=st.binary(max_size=20))
@example(cut=835, noise=bytes(3))  # deflate reads on, and gives other bytes
def test_damaged_archives_end_in_a_data_error(cut: int, noise: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    content = CONTENT[:cut] + noise
    (folder / "corpus.tar.gz").write_bytes(content)
    archive = Archive(("http://127.0.0.1:9/corpus.tar.gz",), "corpus/part", 0.001)
    try:
        obtain("c", [archive], folder)
    except DataError:
        assert not (folder / "corpus").exists()
    else:
        assert (folder / "corpus/part/a.txt").read_bytes() == bytes(range(256)) * 400


def test_two_processes_don_t_load_into_one_folder(site: Site, tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    with (tmp_path / ".download.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(DataError, match="another process"):
            obtain("c", [publish(site, CONTENT)], tmp_path)


def test_published_archives_have_sums_of_the_right_form() -> None:
    archives = [*librispeech.ARCHIVES.values(), an4.ARCHIVE, lj_speech.ARCHIVE, tedlium.ARCHIVE, yesno.ARCHIVE]
    assert set(librispeech.ARCHIVES) == set(librispeech.SUBSETS)
    for archive in archives:
        method, _, digest = str(archive.digest).partition(":")
        assert len(bytes.fromhex(digest)) == {"md5": 16, "sha256": 32}[method]
        assert archive.name.endswith((".tar.gz", ".tgz", ".tar.bz2"))


def test_librispeech_is_loaded_by_subset(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    audio = io.BytesIO()
    soundfile.write(audio, np.zeros(1600), 16000, format="FLAC")
    folder = "LibriSpeech/dev-clean-2/84/121123"
    content = tar(
        {
            f"{folder}/84-121123-0000.flac": audio.getvalue(),
            f"{folder}/84-121123.trans.txt": b"84-121123-0000 GO\n",
            "LibriSpeech/SPEAKERS.TXT": b"84 | F | dev-clean-2 | 8.0 | A\n",
        }
    )
    site.files["dev-clean-2.tar.gz"] = content
    archive = Archive(
        (f"{site.url}/dev-clean-2.tar.gz",), "LibriSpeech/dev-clean-2", 0.001, f"md5:{hashlib.md5(content).hexdigest()}"
    )
    monkeypatch.setitem(librispeech.ARCHIVES, "dev-clean-2", archive)
    with pytest.raises(UserError, match="choose some to load"):
        librispeech.prepare(None, str(tmp_path / "out"), download=True)
    for _ in range(2):
        written = librispeech.prepare(None, str(tmp_path / "out"), subsets=["dev-clean-2"], download=True)
        assert list(written) == ["dev"]
    assert site.asked == [""]
    assert (tmp_path / "out/download/LibriSpeech/SPEAKERS.TXT").is_file()
