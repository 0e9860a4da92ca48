"""The HTTP API."""

import io
import json
import logging
import tempfile
import threading

import numpy as np
import pytest
import soundfile
from starlette.testclient import TestClient

from seqlab.media import ink_from_strokes
from seqlab.outputs.formats import FORMATS
from seqlab.outputs.json_lines import to_row
from seqlab.serve.guard import HEADERS, Rates
from seqlab.serve.logs import JsonFormatter
from seqlab.streaming import transcribe_long
from tests.serve.service import SPEECH, ink, png, strokes, wav
from tests.streaming.conftest import RATE, speech


def send(client, content, name="a.wav", model="ears", **query):
    return client.post("/v1/transcribe", params={"model": model} | query, files={"file": (name, content)})


def test_health_tells_which_models_serve(client):
    answer = client.get("/health")
    assert answer.status_code == 200
    told = answer.json()
    assert told["status"] == "degraded"
    assert told["models"] == {"ears": "serving", "hand": "serving", "eyes": "serving", "broken": "failed"}
    assert "/secret" not in answer.text
    assert "/secret" not in client.get("/v1/models").text


def test_models_are_listed_with_what_they_read(client):
    models = {model["name"]: model for model in client.get("/v1/models").json()["models"]}
    assert {name: model["kind"] for name, model in models.items()} == {
        "ears": "audio",
        "hand": "strokes",
        "eyes": "image",
    }
    assert "srt" in models["ears"]["formats"]
    assert "srt" not in models["eyes"]["formats"]
    assert models["ears"]["streams"]
    assert models["ears"]["parameters"] > 0


def test_a_recording_gets_what_the_recognizer_says(client, recognizers, tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(wav(SPEECH))
    expected = recognizers["ears"].transcribe(path)
    assert expected.text
    answer = send(client, wav(SPEECH), "../../etc/café.wav")
    assert answer.status_code == 200
    told = answer.json()
    assert (told["source"], told["id"]) == ("café.wav", "café")
    assert {**told, "source": "", "id": ""} == {**to_row(expected), "source": "", "id": ""}


def test_an_image_and_ink_get_what_the_recognizer_says(client, recognizers, tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(png())
    assert send(client, png(), "a.png", "eyes").json()["text"] == recognizers["eyes"].transcribe(path).text
    expected = recognizers["hand"].transcribe(ink_from_strokes(strokes()))
    assert send(client, ink(), "a.json", "hand").json()["text"] == expected.text


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_every_format_comes_as_the_command_line_writes_it(client, recognizers, form):
    if form not in client.get("/v1/models").json()["models"][0]["formats"]:
        pytest.skip("not for recordings")
    transcript = recognizers["ears"].transcribe(soundfile.read(io.BytesIO(wav(SPEECH)), dtype="float32")[0])
    transcript.source, transcript.id = "a.wav", "a"
    expected = "\n".join(FORMATS[form].to_lines([transcript]))
    direct = send(client, wav(SPEECH), format=form)
    assert direct.status_code == 200
    told = send(client, wav(SPEECH)).json()
    later = client.post("/v1/convert", params={"format": form}, json=told)
    if form == "json":
        assert direct.json() == told == later.json() == json.loads(expected)
        return
    if form == "eaf":  # holds the time of writing
        assert (
            direct.text.count("<ANNOTATION>") == later.text.count("<ANNOTATION>") == expected.count("<ANNOTATION>") > 0
        )
        return
    assert direct.text.rstrip("\n") == later.text.rstrip("\n") == expected.rstrip("\n")
    assert direct.headers["content-disposition"] == f'attachment; filename="transcript.{FORMATS[form].suffix}"'


@pytest.mark.parametrize(
    ("status", "content", "name", "query"),
    [
        (404, wav(SPEECH), "a.wav", {"model": "nobody"}),
        (503, wav(SPEECH), "a.wav", {"model": "broken"}),
        (415, png(), "a.png", {}),
        (413, wav(np.zeros(RATE * 11)), "a.wav", {}),
        (413, png(1000, 600), "a.png", {"model": "eyes"}),
        (413, ink(1001), "a.json", {"model": "hand"}),
        (413, b"\0" * (2**20 + 1), "a.wav", {}),
        (422, b"", "a.wav", {}),
        (422, b"hello", "a.wav", {}),
        (422, wav(SPEECH)[:2000], "a.wav", {}),
        (422, b'{"strokes": [[[1, 2], [NaN, 3]]]}', "a.json", {"model": "hand"}),
        (422, b"[" * 100_000, "a.json", {"model": "hand"}),
        (422, ink(), "a.json", {"model": "hand", "format": "srt"}),
        (422, wav(SPEECH), "a.wav", {"format": "exe"}),
        (422, wav(SPEECH), "a.wav", {"model": "x" * 65}),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_reason(client, status, content, name, query, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # of this test alone
    answer = send(client, content, name, **({"model": "ears"} | query))
    assert answer.status_code == status, answer.text
    assert answer.json()["detail"]
    assert str(tmp_path) not in answer.text
    assert "Traceback" not in answer.text
    assert not list(tmp_path.rglob("seqlab-*"))


def test_a_compressed_file_is_decoded_no_further_than_the_limit(client):
    file = io.BytesIO()
    soundfile.write(file, np.zeros(RATE * 3600), RATE, format="FLAC")  # an hour in some kB
    assert len(file.getvalue()) < 2**20
    answer = send(client, file.getvalue(), "a.flac")
    assert answer.status_code == 413
    assert "longer than 10 seconds" in answer.json()["detail"]


def test_a_long_recording_is_read_in_constant_memory(client, recognizers, tmp_path, monkeypatch):
    monkeypatch.setattr("seqlab.serve.uploads.LONG_SECONDS", 4.0)
    signals = []
    monkeypatch.setattr(recognizers["ears"], "transcribe_signals", signals.append)
    path = tmp_path / "a.wav"
    path.write_bytes(wav(speech(9)))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # of this test alone
    answer = send(client, path.read_bytes())
    assert answer.status_code == 200
    assert answer.json()["text"] == transcribe_long(recognizers["ears"], path).text
    assert answer.json()["duration"] == 9.0
    assert send(client, wav(speech(11))).status_code == 413
    assert not signals
    assert not list(tmp_path.rglob("seqlab-*"))


def test_hostile_transcripts_are_refused(client):
    good = {"text": "a", "words": [{"text": "a", "start": 0.0, "end": 1.0}], "duration": 1.0}
    assert client.post("/v1/convert?format=srt", json=good).status_code == 200
    word = good["words"][0]
    for bad in (
        b"",
        b"[]",
        b"{",
        b'{"text": "\\ud800"}',
        b'{"text": "a", "duration": NaN}',
        b'{"text": "a", "duration": 1e400}',
        json.dumps(good | {"words": [word | {"start": -1}]}).encode(),
        json.dumps(good | {"words": [word | {"end": 1e300}]}).encode(),
        json.dumps(good | {"unit": "miles"}).encode(),
        json.dumps(good | {"more": 1}).encode(),
        b"\xff\xfe",
        b"[" * 50_000,
    ):
        answer = client.post("/v1/convert?format=srt", content=bad, headers={"content-type": "application/json"})
        assert answer.status_code in (400, 422), (bad[:40], answer.status_code)
        assert answer.json()["detail"]
    backwards = good | {"words": [word | {"start": 3.0, "end": 1.0}], "duration": 3.0}
    for form in FORMATS:
        assert client.post(f"/v1/convert?format={form}", json=backwards).status_code in (200, 422)


def test_five_hundred_malformed_uploads_leave_the_service_alive(client):
    rng = np.random.default_rng(7)
    whole = {"a.wav": ("ears", wav(SPEECH)), "a.png": ("eyes", png()), "a.json": ("hand", ink())}
    flac = io.BytesIO()
    soundfile.write(flac, SPEECH, RATE, format="FLAC")
    whole["a.flac"] = ("ears", flac.getvalue())
    seen = set()
    for number in range(500):
        name = sorted(whole)[number % len(whole)]
        model, content = whole[name]
        broken = np.frombuffer(content, np.uint8).copy()
        kind = number // len(whole) % 4
        if kind == 0:  # header and places all over are changed
            places = np.r_[rng.integers(0, 64, 4), rng.integers(0, len(broken), 20)]
            broken[places] = rng.integers(0, 256, len(places))
        elif kind == 1:
            broken = broken[: rng.integers(0, len(broken))]
        elif kind == 2:
            broken = rng.integers(0, 256, rng.integers(0, 4096)).astype(np.uint8)
        else:  # sizes in the header are huge
            at = int(rng.integers(4, 60))
            broken[at : at + 4] = 255
        answer = send(client, broken.tobytes(), name, model)
        seen.add(answer.status_code)
        assert answer.status_code in (200, 413, 415, 422), answer.text
        assert "Traceback" not in answer.text
    assert 422 in seen
    assert send(client, wav(SPEECH)).status_code == 200


def test_ink_as_wide_as_numbers_go_takes_no_memory(client):
    wide = json.dumps([[[0, 0], [1e9, 1e-9]], [[0, 0], [0, 1e-30]]]).encode()
    assert send(client, wide, "a.json", "hand").status_code in (200, 413, 422)


def test_broken_forms_are_the_senders_fault(client):
    kind = {"content-type": "multipart/form-data; boundary=x"}
    for body in (
        b"",
        b"--x",
        b"--x\r\n\r\n",
        b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\nab',
        b"\0" * 999,
    ):
        assert client.post("/v1/transcribe", content=body, headers=kind).status_code in (400, 422)
    assert client.post("/v1/transcribe", content=b"a", headers={"content-type": "multipart/form-data"}).status_code in (
        400,
        422,
    )
    many = {f"f{i}": (f"{i}.wav", b"x") for i in range(1100)}
    assert client.post("/v1/transcribe", files=many).status_code in (400, 422)


def test_every_answer_carries_the_headers(client):
    for answer in (client.get("/"), client.get("/nowhere"), client.get("/v1/models"), send(client, b"", "a.wav")):
        for name, value in HEADERS.items():
            assert answer.headers[name] == value
        assert len(answer.headers["x-request-id"]) == 12
    assert "'unsafe" not in HEADERS["content-security-policy"]


def test_the_page_loads_nothing_from_elsewhere(client):
    for name in ("", "static/page.css", "static/page.js", "static/ink.js", "static/sound.js", "static/tap.js"):
        answer = client.get(f"/{name}")
        assert answer.status_code == 200
        assert "//" not in answer.text.replace("http://www.w3.org/2000/svg", "").replace("// ", "").replace("<!--", "")
    assert client.get("/static/../app.py").status_code == 404
    assert client.get("/static/%2e%2e/app.py").status_code == 404


def test_a_token_is_asked_for(application):
    client = TestClient(application(token="s3cret"))
    for headers in (
        {},
        {"authorization": "Bearer no"},
        {"authorization": "Basic s3cret"},
        {"authorization": "Bearer é"},
    ):
        for path in ("/v1/models", "/metrics"):
            answer = client.get(path, headers={k: v.encode("latin-1") for k, v in headers.items()})
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
    assert client.get("/health").status_code == 200
    assert client.get("/").status_code == 200
    assert client.get("/v1/models", headers={"authorization": "Bearer s3cret"}).status_code == 200


def test_other_sites_and_names_are_turned_away(application):
    client = TestClient(application(hosts=("localhost", "127.0.0.1")), base_url="http://localhost:8000")
    assert client.get("/health").status_code == 200
    assert client.get("/health", headers={"host": "evil.example"}).status_code == 421
    assert client.get("/health", headers={"origin": "http://localhost:8000"}).status_code == 200
    for origin in ("https://evil.example", "null", "http://localhost:9"):
        assert client.post("/v1/transcribe", headers={"origin": origin}).status_code == 403


def test_rates_are_counted_by_address():
    rates = Rates(60)
    assert [rates.wait("a", 0.0) for _ in range(60)] == [0.0] * 60
    assert rates.wait("a", 0.0) == 1.0  # one token a second
    assert rates.wait("b", 0.0) == 0.0
    assert rates.wait("a", 1.0) == 0.0
    assert rates.wait("a", 1.5) == 0.5


def test_too_many_requests_are_told_when_to_come_again(application):
    client = TestClient(application(rate=3))
    answers = [client.get("/v1/models") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert 1 <= int(answers[3].headers["retry-after"]) <= 20
    assert client.get("/health").status_code == 200


def test_a_full_queue_refuses_and_serves_on(application):
    app = application(queue=1)
    client = TestClient(app)
    worker = next(app_workers(app))
    begun, go_on = threading.Event(), threading.Event()
    worker.call(lambda: (begun.set(), go_on.wait(60)))
    assert begun.wait(60)
    worker.call(lambda: None)  # the one that may wait
    answer = send(client, wav(SPEECH))
    go_on.set()
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert send(client, wav(SPEECH)).status_code == 200


def test_a_request_that_takes_too_long_is_given_up(application):
    app = application(timeout=0.5)
    client = TestClient(app)
    go_on = threading.Event()
    next(app_workers(app)).call(lambda: go_on.wait(60))
    answer = send(client, wav(SPEECH))
    go_on.set()
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"


def app_workers(app):
    """Yield the workers of an application."""
    yield from app.models.workers.values()


def test_metrics_count(client):
    send(client, wav(SPEECH))
    send(client, b"hello")
    client.get("/nowhere/at/all")
    text = client.get("/metrics").text
    assert 'seqlab_requests_total{method="POST",route="/v1/transcribe",status="200"} 1.0' in text
    assert 'seqlab_requests_total{method="POST",route="/v1/transcribe",status="422"} 1.0' in text
    assert 'seqlab_requests_total{method="GET",route="other",status="404"} 1.0' in text
    assert 'seqlab_input_total{unit="s"} 2.0' in text
    assert 'seqlab_model_serving{model="broken"} 0.0' in text
    assert "seqlab_batch_lines_count 1.0" in text


def test_logs_are_json_without_what_users_sent(client, caplog):
    caplog.set_level(logging.INFO, "seqlab")
    send(client, wav(SPEECH), "patient-smith.wav")
    send(client, b"private words", "patient-smith.wav")
    client.get("/private/path?q=private")
    ours = [record for record in caplog.records if record.name.startswith(("seqlab", "uvicorn"))]  # not the client's
    lines = [JsonFormatter().format(record) for record in ours]
    assert not [line for line in lines if "smith" in line or "private" in line]
    requests = [row for row in map(json.loads, lines) if row["event"] == "request"]  # a model may be loaded meanwhile
    assert len(requests) == 3
    for row in requests:
        assert {"time", "level", "id", "method", "route", "status", "seconds"} <= set(row)


def test_a_fault_of_ours_says_where_but_not_what(client, caplog, monkeypatch):
    def fail(*_):
        raise RuntimeError("private words")

    monkeypatch.setattr("seqlab.serve.app.submit_upload", fail)
    caplog.set_level(logging.INFO, "seqlab")
    answer = send(client, wav(SPEECH))
    assert answer.status_code == 500
    assert "private" not in answer.text
    line = JsonFormatter().format(caplog.records[-1])
    assert json.loads(line)["error"] == "RuntimeError"
    assert "test_api.py" in line
    assert "private" not in line


def test_openapi_describes_the_api(client):
    told = client.get("/openapi.json").json()
    assert {"/health", "/metrics", "/v1/models", "/v1/transcribe", "/v1/convert"} == set(told["paths"])
    assert "503" in told["paths"]["/v1/transcribe"]["post"]["responses"]
