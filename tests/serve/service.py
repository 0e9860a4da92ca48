"""Untrained models of three kinds behind the service, and the service in a thread."""

import contextlib
import io
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image
from starlette.testclient import TestClient

from seqlab.media import ink_from_strokes
from seqlab.recognizer import Recognizer
from seqlab.serve.app import create_app
from seqlab.serve.guard import Guard
from seqlab.serve.limits import Limits
from seqlab.serve.metrics import Metrics
from seqlab.serve.models import Models
from seqlab.serve.server import server
from seqlab.serve.worker import Worker
from tests.streaming.conftest import AUDIO, RATE, recognizer_of, speech

LIMITS = Limits(upload_mb=1, seconds=10, megapixels=0.5, points=2000, rate=0, idle=5)


@pytest.fixture(scope="session")
def recognizers() -> dict[str, Recognizer]:
    """Models by name; each name says what it reads."""
    small = ["encoder.hidden_size=16", "encoder.num_layers=1"]
    hand = recognizer_of("frontend=stroke_points", "normalize=none", "stem=none", *small)
    talk(hand, ink_from_strokes(strokes()))
    return {
        "ears": recognizer_of(*AUDIO, "encoder=lstm"),
        "hand": hand,
        "eyes": recognizer_of("frontend=image_columns", "frontend.height=24", "normalize=none", "stem=none", *small),
    }


@torch.no_grad()
def talk(recognizer: Recognizer, line: np.ndarray) -> None:
    """Let an untrained model prefer no symbol over a line, so that it reads something."""
    model = recognizer.model
    signal = torch.from_numpy(recognizer.open(line).samples)
    states, _ = model.encoder(*model.frames(signal[None], torch.tensor([len(signal)])))
    logits = model.head(states[0])
    scale = 4 / logits.std()
    model.head.bias.copy_((model.head.bias - logits.mean(0)) * scale)
    model.head.weight *= scale


Make = Callable[..., Any]


def build(
    recognizers: dict[str, Recognizer], token: str | None = None, hosts: tuple[str, ...] = (), **limits: Any
) -> Guard:
    """Build the service of some models, and of a broken one; the other settings are limits."""
    metrics, most = Metrics(), replace(LIMITS, **limits)
    workers = {name: Worker(r, most.queue, batched=metrics.batch.observe) for name, r in recognizers.items()}
    models = Models(workers, {"broken": "no such folder: /secret/place"})
    return create_app(models, most, token, hosts, metrics)


@contextlib.contextmanager
def serving(app: Guard) -> Iterator[int]:
    """Serve on a free port of the loopback."""
    listener = socket.create_server(("127.0.0.1", 0))
    port: int = listener.getsockname()[1]
    runner = server(app, "127.0.0.1", port, app.limits)
    thread = threading.Thread(target=runner.run, args=([listener],))
    thread.start()
    while not runner.started:
        time.sleep(0.01)
    try:
        yield port
    finally:
        runner.should_exit = True
        thread.join(60)
        assert not thread.is_alive()


@pytest.fixture
def application(recognizers: dict[str, Recognizer]) -> Iterator[Callable[..., Guard]]:
    """Return a function that builds the service of all models; settings as those of build."""
    built: list[Guard] = []

    def make(**settings: Any) -> Guard:
        built.append(build(recognizers, **settings))
        return built[-1]

    yield make
    for app in built:
        app.models.close()


@pytest.fixture
def client(application: Callable[..., Guard]) -> TestClient:
    return TestClient(application())


@pytest.fixture
def running(application: Callable[..., Guard]) -> Iterator[Callable[..., int]]:
    """Return a function that serves and returns the port."""
    with contextlib.ExitStack() as stack:
        yield lambda **settings: stack.enter_context(serving(application(**settings)))


def wav(samples: np.ndarray, rate: int = RATE) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype="PCM_16")
    return file.getvalue()


def png(width: int = 120, height: int = 30) -> bytes:
    page = np.full((height, width), 255, np.uint8)
    page[5:-5, 10:-10:7] = 0
    file = io.BytesIO()
    Image.fromarray(page).save(file, "PNG")
    return file.getvalue()


def ink(points: int = 30) -> bytes:
    return json.dumps({"strokes": strokes(points)}).encode()


def strokes(points: int = 30) -> list[Any]:
    """Draw two waves."""
    wave = [[x, 20 + 15 * np.sin(x / 5)] for x in range(points)]
    return [wave, [[x + points + 5, y] for x, y in wave]]


SPEECH = speech(2)
