"""The service on a real socket: slow, silent and half-closed clients; the command line; the end."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest

from seqlab.errors import ConfigError
from seqlab.serve.models import load, named
from seqlab.serve.refused import Refused
from seqlab.verbs import serve as verb
from tests.serve.service import LIMITS, SPEECH, wav
from tests.streaming.conftest import recognizer_of

HEAD = "POST /v1/transcribe HTTP/1.1\r\nHost: localhost\r\n"
FORM = "Content-Type: multipart/form-data; boundary=x\r\n"
PART = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'


def connected(port):
    return socket.create_connection(("127.0.0.1", port), timeout=30)


def rest(connection):
    """Read until the other side closes; a reset counts as that."""
    answer = b""
    try:
        while piece := connection.recv(65536):
            answer += piece
    except ConnectionResetError:
        pass
    return answer


def drip(connection, piece, seconds=30):
    """Send a piece again and again until the other side has closed; False if it never does."""
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            connection.sendall(piece)
            time.sleep(0.05)
    except OSError:
        return True
    return False


def alive(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=30) as answer:
        return answer.status == 200


def test_clients_that_bring_nothing_are_closed(running):
    port = running(idle=0.5)
    with connected(port) as silent, connected(port) as headers, connected(port) as between:
        headers.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-")
        between.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\nGET /he")
        assert rest(silent) == b""
        assert rest(headers) == b""
        assert rest(between).count(b"HTTP/1.1 200 OK") == 1
    with connected(port) as dripping:
        dripping.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n")
        assert drip(dripping, b"X-A: b\r\n")
    assert alive(port)


def test_bodies_that_do_not_come_or_drip_are_given_up(running):
    port = running(idle=0.5)
    with connected(port) as stopped:
        stopped.sendall((HEAD + FORM + "Content-Length: 1000\r\n\r\n").encode() + PART)
        answer = rest(stopped)
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"connection: close" in answer.lower()
    with connected(port) as dripping:
        dripping.sendall((HEAD + FORM + "Content-Length: 100000\r\n\r\n").encode() + PART)
        assert drip(dripping, b"abc")
    with connected(port) as refused:  # the rest of a refused upload is not waited for
        refused.sendall((HEAD + FORM + "Content-Length: 100000000\r\n\r\n").encode())
        assert drip(refused, b"abc")
        assert alive(port)


def test_half_closed_connections_end(running):
    port = running(idle=0.5)
    for begin in (b"", b"GET /hea", (HEAD + FORM + "Content-Length: 1000\r\n\r\nabc").encode()):
        with connected(port) as half:
            half.sendall(begin)
            half.shutdown(socket.SHUT_WR)
            rest(half)
    assert alive(port)


def test_half_open_websockets_end(running):
    port = running(idle=0.5)
    upgrade = (
        "GET /v1/stream HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    with connected(port) as silent, connected(port) as half:
        for one in (silent, half):
            one.sendall(upgrade.encode())
        half.sendall(b"\x81")  # the first byte of a frame
        for one in (silent, half):
            answer = rest(one)
            assert answer.startswith(b"HTTP/1.1 101")
            assert b"nothing came" in answer
    assert alive(port)


def test_nonsense_is_no_http(running):
    port = running(idle=0.5)
    for junk in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", b"\0" * 100_000, b"GET /" + b"a" * 100_000, b"\r\n\r\n\r\n"):
        with connected(port) as client:
            try:
                client.sendall(junk)
            except OSError:
                continue
            rest(client)
    assert alive(port)


def test_a_chunked_body_is_counted(running):
    port = running()
    with connected(port) as client:
        client.sendall((HEAD + FORM + "Transfer-Encoding: chunked\r\n\r\n").encode())
        client.sendall(f"{len(PART):x}\r\n".encode() + PART + b"\r\n")
        piece = b"10000\r\n" + b"a" * 65536 + b"\r\n"
        try:
            for _ in range(40):
                client.sendall(piece)
        except OSError:
            pass
        assert b"HTTP/1.1 413" in rest(client)
    assert alive(port)


def request(port, content):
    """Return a request for a transcript, as it goes over the wire."""
    body = PART + content + b"\r\n--x--\r\n"
    return (HEAD + FORM + f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n").encode() + body


def test_requests_at_work_are_answered_before_the_end(application):
    from seqlab.serve.server import server

    app = application()
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    runner = server(app, "127.0.0.1", port, LIMITS)
    thread = threading.Thread(target=runner.run, args=([listener],))
    thread.start()
    begun, go_on = threading.Event(), threading.Event()
    worker = app.models.workers["ears"]
    worker.call(lambda: (begun.set(), go_on.wait(60)))
    assert begun.wait(60)
    with connected(port) as client:
        client.sendall(request(port, wav(SPEECH)))
        while not worker.waiting:
            time.sleep(0.01)
        runner.should_exit = True
        time.sleep(0.3)
        go_on.set()
        answer = rest(client)
    thread.join(60)
    assert not thread.is_alive()
    assert answer.startswith(b"HTTP/1.1 200")
    with pytest.raises(OSError):
        connected(port)


def test_a_long_recording_is_read_no_further_when_the_client_has_left(running, monkeypatch):
    begun, stopped = threading.Event(), threading.Event()

    def slow(recognizer, path, progress):
        begun.set()
        end = time.monotonic() + 60
        try:
            while time.monotonic() < end:
                time.sleep(0.05)
                progress(1.0)
        except Refused:
            stopped.set()
            raise

    monkeypatch.setattr("seqlab.serve.uploads.LONG_SECONDS", 1.0)
    monkeypatch.setattr("seqlab.serve.uploads.transcribe_long", slow)
    monkeypatch.setattr("seqlab.serve.app.LOOK", 0.05)
    port = running()
    with connected(port) as client:
        client.sendall(request(port, wav(SPEECH)))
        assert begun.wait(60)
        assert not stopped.wait(0.5)  # as long as the client is there
    assert stopped.wait(30)
    assert alive(port)


def test_models_have_names():
    assert named(["runs/a", "b=runs/a", "/x/my model"]) == {"a": "runs/a", "b": "runs/a", "my_model": "/x/my model"}
    with pytest.raises(ConfigError, match="both called a"):
        named(["runs/a", "other/a"])


def test_the_demo_models_serve_and_are_named_with_their_licences():
    paths = named(verb.default())
    assert list(paths) == ["pen_digits", "spoken_digits"]
    for name, licence in (("pen_digits", "cc-by-4.0"), ("spoken_digits", "cc-by-sa-4.0")):
        folder = Path(paths[name])
        assert f'\nlicense: "{licence}"\n' in (folder / "README.md").read_text()
        assert sum(file.stat().st_size for file in folder.iterdir()) <= 2_000_000
    models = load(paths, LIMITS)
    assert {name: worker.recognizer.kind for name, worker in models.workers.items()} == {
        "pen_digits": "strokes",
        "spoken_digits": "audio",
    }
    models.close()


def test_no_model_at_all_is_an_error():
    with pytest.raises(ConfigError, match=r"no model could be loaded: .*nowhere"):
        load({"a": "nowhere"}, LIMITS)


def test_a_streaming_graph_of_another_model_does_not_stop_the_others(tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from seqlab.export.streaming import export_streaming
    from tests.export.test_streaming_graph import LSTM, folder_of

    good, bad = (folder_of(recognizer_of(*LSTM), tmp_path / name) for name in ("good", "bad"))
    export_streaming(recognizer_of(*LSTM, "encoder.hidden_size=8").model, bad / "streaming.onnx")
    (good / "streaming.onnx").unlink()  # read whole
    models = load({"bad": str(bad), "good": str(good)}, LIMITS, "onnx")
    assert list(models.workers) == ["good"]
    assert "of another model" in models.failed["bad"]
    models.close()


def test_wrong_settings_are_told(seqlab):
    for arguments, message in (
        (["nowhere", "--rate", "-1"], "--rate must be"),
        (["nowhere", "--idle", "nan"], "--idle must be"),
        (["nowhere", "--port", "99999"], "cannot listen"),
        (["nowhere", "--port", "0"], "nowhere not found"),
        (["nowhere", "--token-file", os.devnull], "holds no token"),
        (["--backend", "int8"], "OUT --int8"),  # the demo models, which have no graphs
    ):
        done = seqlab("serve", *arguments)
        assert done.returncode == 2
        assert message in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_the_command_serves_the_good_of_two_models_and_ends_by_sigterm(trained, corpus, tmp_path):
    bad = tmp_path / "bad.ckpt"
    bad.write_bytes(b"no checkpoint")
    command = [sys.executable, "-m", "seqlab", "serve", f"tones={trained}", f"bad={bad}", "--port", "0"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "200", "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=environment
    )
    try:
        line = process.stdout.readline()
        assert "serves tones" in line
        port = int(line.split("/")[2].rpartition(":")[2])
        while True:
            try:
                assert alive(port)
                break
            except OSError:
                time.sleep(0.1)
        recording = sorted((corpus / "test").glob("*.wav"))[0]
        with connected(port) as client:
            client.sendall(request(port, recording.read_bytes()))
            answer = rest(client)
        assert answer.startswith(b"HTTP/1.1 200")
        said = (corpus / "test.jsonl").read_text().partition('"text": "')[2].partition('"')[0]
        assert f'"text": "{said}"'.encode() in answer
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert '"event": "model failed"' in errors
    assert "Traceback" not in errors
    assert all(row.startswith("{") for row in errors.splitlines())
