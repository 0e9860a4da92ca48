"""The WebSocket, message by message."""

import itertools
import threading

import numpy as np
import pytest
import soxr
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from seqlab.media import ink_from_strokes
from seqlab.serve.live import LARGEST
from tests.serve.service import SPEECH, strokes
from tests.streaming.conftest import RATE

START = {"type": "start", "model": "ears", "sample_rate": RATE, "encoding": "float32"}
FINISH = {"type": "finish"}


@pytest.fixture
def socket(client):
    with client.websocket_connect("/v1/stream") as socket:
        yield socket


def say(socket, samples, pieces=7, **start):
    socket.send_json(START | start)
    ready = socket.receive_json()
    assert ready["type"] == "ready"
    partials = []
    for piece in np.array_split(samples, pieces):
        socket.send_bytes(piece.tobytes())
        partials.append(socket.receive_json())
    socket.send_json(FINISH)
    return partials, socket.receive_json()


def test_speech_is_read_as_it_comes_and_ends_as_the_whole(socket, recognizers):
    expected = recognizers["ears"].transcribe(SPEECH)
    partials, final = say(socket, SPEECH)
    assert [partial["type"] for partial in partials] == ["partial"] * 7
    assert partials[-1]["text"]
    assert partials[-1]["heard"] == 2.0
    for earlier, later in itertools.pairwise(partials):
        assert later["text"].startswith(earlier["stable"])
    assert final["type"] == "final"
    assert final["transcript"]["text"] == expected.text
    assert final["transcript"]["duration"] == 2.0
    again = say(socket, SPEECH)[1]  # another line on the same socket
    assert again == final


def test_integers_are_full_scale(socket, recognizers):
    samples = np.round(SPEECH * 32767).astype("<i2")
    expected = recognizers["ears"].transcribe(samples)
    assert say(socket, samples, encoding="pcm16")[1]["transcript"]["text"] == expected.text


def test_other_rates_are_resampled(socket, recognizers):
    faster = soxr.resample(SPEECH, RATE, 2 * RATE).astype(np.float32)
    expected = recognizers["ears"].transcribe(faster, 2 * RATE)
    final = say(socket, faster, sample_rate=2 * RATE)[1]["transcript"]
    assert final["duration"] == pytest.approx(2.0, abs=0.01)
    assert final["text"] == expected.text


def test_strokes_are_read_whenever_the_pen_goes_up(socket, recognizers):
    hand = recognizers["hand"]
    socket.send_json({"type": "start", "model": "hand"})
    assert socket.receive_json() == {"type": "ready", "kind": "strokes", "streams": True, "latency": None}
    for count, stroke in enumerate(strokes(), 1):
        socket.send_json({"type": "strokes", "strokes": [stroke]})
        read = hand.transcribe(ink_from_strokes(strokes()[:count])).text
        assert socket.receive_json()["text"] == read
    socket.send_json(FINISH)
    assert socket.receive_json()["transcript"]["text"] == read


def test_nothing_said_is_an_empty_line(socket):
    socket.send_json(START)
    socket.receive_json()
    socket.send_json(FINISH)
    assert socket.receive_json()["transcript"]["text"] == ""


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        ([b"abcd"], 1007),
        ([FINISH], 1007),
        (["{"], 1007),
        (["[]"], 1007),
        (["[" * 100_000], 1007),
        ([{"type": "strokes", "strokes": []}], 1007),
        ([START | {"model": "nobody"}], 1008),
        ([START | {"model": "broken"}], 1013),
        ([START | {"model": ["ears"]}], 1007),
        ([START | {"model": "eyes"}], 1007),
        ([START | {"sample_rate": 0}], 1007),
        ([START | {"sample_rate": "fast"}], 1007),
        ([START | {"sample_rate": True}], 1007),
        ([START | {"encoding": "mp3"}], 1007),
        ([START | {"encoding": {}}], 1007),
        ([START, b"abc"], 1007),
        ([START, np.full(10, np.nan, "<f4").tobytes()], 1007),
        ([START, np.full(10, 1e30, "<f4").tobytes()], 1007),
        ([START, np.zeros(RATE * 11, "<f4").tobytes()], 1009),
        ([START, b"\0" * (LARGEST + 4)], 1009),
        ([{"type": "start", "model": "hand"}, {"type": "strokes", "strokes": [[[1]]]}], 1007),
        ([{"type": "start", "model": "hand"}, {"type": "strokes", "strokes": [[[1, float("nan")]]]}], 1007),
        ([{"type": "start", "model": "hand"}, {"type": "strokes", "strokes": strokes(1500)}], 1009),
        ([{"type": "start", "model": "hand"}, {"type": "strokes", "strokes": 7}], 1007),
        ([{"type": "start", "model": "hand"}, b"abcd"], 1007),
    ],
)
def test_wrong_messages_are_told_and_end_the_stream(socket, messages, code):
    for message in messages:
        if isinstance(message, bytes):
            socket.send_bytes(message)
        elif isinstance(message, str):
            socket.send_text(message)
        else:
            socket.send_json(message)
        told = socket.receive_json()
    assert told["type"] == "error"
    assert told["message"]
    assert "Traceback" not in told["message"]
    with pytest.raises(WebSocketDisconnect) as end:
        socket.receive_json()
    assert end.value.code == code


def test_silence_ends_a_stream(application):
    with TestClient(application(idle=0.2)).websocket_connect("/v1/stream") as socket:
        assert "nothing came" in socket.receive_json()["message"]
        with pytest.raises(WebSocketDisconnect) as end:
            socket.receive_json()
        assert end.value.code == 1008


def test_one_stream_too_many_is_told_to_come_again(application):
    client = TestClient(application(streams=1))
    with client.websocket_connect("/v1/stream") as first:
        with client.websocket_connect("/v1/stream") as second:
            assert "come again" in second.receive_json()["message"]
            with pytest.raises(WebSocketDisconnect) as end:
                second.receive_json()
            assert end.value.code == 1013
        assert say(first, SPEECH)[1]["type"] == "final"
    with client.websocket_connect("/v1/stream") as third:
        assert say(third, SPEECH)[1]["type"] == "final"


def test_a_token_comes_in_the_first_message_or_a_header(application):
    client = TestClient(application(token="s3cret"))
    for message in (START, START | {"token": "no"}, START | {"token": 7}):
        with client.websocket_connect("/v1/stream") as socket:
            socket.send_json(message)
            assert "token" in socket.receive_json()["message"]
    with client.websocket_connect("/v1/stream") as socket:
        assert say(socket, SPEECH, token="s3cret")[1]["type"] == "final"
    with client.websocket_connect("/v1/stream", headers={"authorization": "Bearer s3cret"}) as socket:
        assert say(socket, SPEECH)[1]["type"] == "final"


def test_pages_of_other_sites_get_no_socket(client):
    with (
        pytest.raises(WebSocketDisconnect),
        client.websocket_connect("/v1/stream", headers={"origin": "https://evil.example"}),
    ):
        pass


def test_a_model_that_is_too_busy_ends_the_stream(application):
    app = application(timeout=0.3)
    go_on = threading.Event()
    with TestClient(app).websocket_connect("/v1/stream") as socket:
        socket.send_json(START)
        assert socket.receive_json()["type"] == "ready"
        app.models.workers["ears"].call(lambda: go_on.wait(60))
        socket.send_bytes(SPEECH.tobytes())
        assert "come again" in socket.receive_json()["message"]
        go_on.set()
