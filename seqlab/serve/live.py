"""WebSocket /v1/stream: recognition while someone speaks or writes. Messages are said in docs/serve.md."""

import asyncio
import json
import logging
import math
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol

import numpy as np
from starlette.websockets import WebSocket, WebSocketDisconnect

from seqlab.errors import ConfigError, DataError
from seqlab.media import ink_from_strokes
from seqlab.outputs.json_lines import plain, to_row
from seqlab.outputs.transcript import Transcript
from seqlab.recognizer import Recognizer
from seqlab.serve.guard import Token
from seqlab.serve.limits import Limits
from seqlab.serve.logs import fault
from seqlab.serve.metrics import Metrics
from seqlab.serve.models import Models
from seqlab.serve.refused import Refused
from seqlab.serve.uploads import check_points, too_long
from seqlab.serve.worker import Worker
from seqlab.streaming import Partial, StreamingRecognizer

ENCODINGS: dict[str, np.dtype[Any]] = {"pcm16": np.dtype("<i2"), "float32": np.dtype("<f4")}
RATES = (4_000, 192_000)  # Hz
LARGEST = 2**20  # bytes of a message
_CLOSE = {401: 1008, 413: 1009, 429: 1013, 503: 1013}  # RFC 6455 and its registry: policy, too big, try again later
_log = logging.getLogger(__name__)


class Live(Protocol):
    """What is fed piece by piece."""

    streams: bool
    latency: float | None

    def accept(self, samples: np.ndarray) -> Partial:
        """Take the next piece."""

    def finish(self) -> Transcript:
        """End the line."""


class Whole:
    """A model that StreamingRecognizer does not take (ONNX Runtime): what comes is read when it has ended.

    Ink is read anew at each message.
    """

    def __init__(self, recognizer: Recognizer, sample_rate: int | None = None) -> None:
        self.latency: float | None = None
        self._recognizer, self._rate = recognizer, sample_rate
        self.streams = recognizer.kind == "strokes"
        self._pieces: list[np.ndarray] = []

    def accept(self, samples: np.ndarray) -> Partial:
        """Take the next piece."""
        if not self.streams:
            self._pieces.append(self._recognizer.open(samples).samples)  # which is checked, and has its rate still
            return Partial("", "", [], 0.0)
        self._pieces.append(samples)
        read = self._recognizer.transcribe(np.concatenate(self._pieces))
        return Partial(read.text, "", read.words, read.duration or 0.0)

    def finish(self) -> Transcript:
        """End the line."""
        audio = self._recognizer.kind == "audio"
        pieces = self._pieces or [np.zeros(0 if audio else (0, 4), np.float32)]
        return self._recognizer.transcribe(np.concatenate(pieces), self._rate)


def streaming(recognizer: Recognizer, sample_rate: int | None = None) -> Live | None:
    """Return what reads a stream by a model; None: models of images and arrays have none."""
    if recognizer.kind not in ("audio", "strokes"):
        return None
    try:
        return StreamingRecognizer(recognizer, sample_rate)
    except ConfigError:
        return Whole(recognizer, sample_rate)


class Streams:
    """All WebSockets of the service.

    Args:
        models: that serve.
        limits: of a stream's length and silence, and of their number.
        token: that the first message must bring, unless a header did.
        metrics: counts.
    """

    def __init__(self, models: Models, limits: Limits, token: Token, metrics: Metrics) -> None:
        self._models, self._limits, self._token, self._metrics = models, limits, token, metrics
        self._open = 0

    async def serve(self, socket: WebSocket) -> None:
        """Serve one WebSocket until it ends."""
        await socket.accept()
        start, code, told = time.monotonic(), 1000, {}
        self._open += 1
        self._metrics.streams.set(self._open)
        try:
            if self._open > self._limits.streams:
                raise Refused(503, f"more than {self._limits.streams} streams at a time; come again later")
            await _Stream(socket, self._models, self._limits, self._token, self._metrics).run()
        except WebSocketDisconnect as error:
            code = error.code
        except TimeoutError:
            code = await _close(socket, 1008, f"nothing came for {self._limits.idle:g} seconds")
        except Refused as refused:
            code = await _close(socket, _CLOSE.get(refused.status_code, 1008), str(refused.detail))
        except (DataError, ConfigError) as error:
            code = await _close(socket, 1007, str(error))
        except Exception as error:
            told = fault(error)
            code = await _close(socket, 1011, "something went wrong here; the server's log says where")
        finally:
            self._open -= 1
            self._metrics.streams.set(self._open)
            row = {"route": "/v1/stream", "code": code, "seconds": round(time.monotonic() - start, 4), **told}
            _log.log(logging.ERROR if told else logging.INFO, "stream", extra=row)


async def _close(socket: WebSocket, code: int, message: str) -> int:
    try:
        await asyncio.wait_for(socket.send_json({"type": "error", "message": message}), 5)
        await asyncio.wait_for(socket.close(code), 5)
    except (TimeoutError, RuntimeError, WebSocketDisconnect):
        pass
    return code


class _Stream:
    """One WebSocket: lines one after the other, each begun by "start" and ended by "finish"."""

    def __init__(self, socket: WebSocket, models: Models, limits: Limits, token: Token, metrics: Metrics) -> None:
        self._socket, self._models, self._limits, self._metrics = socket, models, limits, metrics
        self._token = token
        kind, _, secret = socket.headers.get("authorization", "").partition(" ")
        self._known = token.fits(secret.strip() if kind.lower() == "bearer" else None)
        self._live: Live | None = None
        self._worker: Worker | None = None
        self._kind, self._encoding, self._rate = "", ENCODINGS["pcm16"], 1
        self._heard = 0  # samples or points of the line

    async def run(self) -> None:
        """Answer messages until the client leaves."""
        while True:
            message = await asyncio.wait_for(self._socket.receive(), self._limits.idle)
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message.get("code", 1006))
            data, text = message.get("bytes"), message.get("text")
            if len(data or text or "") > LARGEST:
                raise Refused(413, f"a message may have {LARGEST} bytes at most")
            if data is not None:
                await self._samples(data)
            else:
                await self._told(_parsed(text or ""))

    async def _told(self, message: dict[str, Any]) -> None:
        kind = message.get("type")
        if kind == "start":
            await self._start(message)
        elif kind == "strokes" and self._kind == "strokes":
            strokes = message.get("strokes")
            if not isinstance(strokes, list) or not all(isinstance(stroke, list) for stroke in strokes):
                raise DataError("strokes must be a list of strokes, each a list of points [x, y] or [x, y, seconds]")
            ink = ink_from_strokes(strokes)
            self._heard += len(ink)
            check_points(self._heard, self._limits)
            await self._accept(ink)
        elif kind == "finish" and self._live is not None:
            transcript: Transcript = await self._call(self._live.finish)
            self._live, self._kind = None, ""
            self._metrics.heard.labels(transcript.unit).inc(transcript.duration or 0.0)
            await self._send({"type": "final", "transcript": to_row(transcript)})
        else:
            raise DataError('send "start" first, then audio as binary messages or "strokes", then "finish"')

    async def _start(self, message: dict[str, Any]) -> None:
        given = message.get("token")
        self._known = self._known or (isinstance(given, str) and self._token.fits(given))
        if not self._known:
            raise Refused(401, "a token is needed, in the first message or as Authorization: Bearer TOKEN")
        name = message.get("model")
        if name is not None and not isinstance(name, str):
            raise DataError("model must be a name")
        worker = self._models.worker(name)
        rate: Any = None
        if worker.recognizer.kind == "audio":
            rate = message.get("sample_rate", int(worker.recognizer.model.sample_rate))
            if isinstance(rate, bool) or not isinstance(rate, int) or not RATES[0] <= rate <= RATES[1]:
                raise DataError(f"sample_rate must be a whole number from {RATES[0]} to {RATES[1]}")
            encoding = message.get("encoding", "pcm16")
            if not isinstance(encoding, str) or encoding not in ENCODINGS:
                raise DataError(f"encoding must be one of {', '.join(ENCODINGS)}")
            self._encoding, self._rate = ENCODINGS[encoding], rate
        live = streaming(worker.recognizer, rate)
        if live is None:
            raise DataError(f"this model reads {worker.recognizer.kind}, which do not come as streams; upload them")
        self._live, self._worker, self._kind, self._heard = live, worker, worker.recognizer.kind, 0
        ready = {"type": "ready", "kind": self._kind, "streams": live.streams, "latency": live.latency}
        await self._send(ready)

    async def _samples(self, data: bytes) -> None:
        if self._kind != "audio":
            raise DataError('binary messages are audio; send "start" with a model of audio first')
        if len(data) % self._encoding.itemsize:
            raise DataError(f"a message must hold whole samples of {self._encoding.itemsize} bytes")
        samples = np.frombuffer(data, self._encoding)
        self._heard += len(samples)
        if self._heard > self._limits.seconds * self._rate:
            raise too_long(self._limits)
        await self._accept(samples.astype(self._encoding.newbyteorder("="), copy=False))

    async def _accept(self, samples: np.ndarray) -> None:
        live = self._live
        if live is None or not len(samples):
            return
        part: Partial = await self._call(lambda: live.accept(samples))
        row = {"type": "partial", "text": part.text, "stable": part.stable, "heard": part.heard}
        words = [{"text": w.text, "start": w.start, "end": w.end, "confidence": w.confidence} for w in part.words]
        await self._send(row | {"words": words})

    async def _call(self, function: Callable[[], Any]) -> Any:
        assert self._worker is not None
        future: Future[Any] = self._worker.call(function)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), self._limits.timeout)
        except TimeoutError:
            raise Refused(503, f"no answer within {self._limits.timeout:g} seconds; come again later") from None

    async def _send(self, row: dict[str, Any]) -> None:
        await asyncio.wait_for(self._socket.send_json(plain(row)), self._limits.idle)


def _parsed(text: str) -> dict[str, Any]:
    try:
        message = json.loads(text, parse_constant=lambda _: math.nan)
    except (ValueError, RecursionError):
        raise DataError("a text message must be a JSON object") from None
    if not isinstance(message, dict):
        raise DataError("a text message must be a JSON object")
    return message
