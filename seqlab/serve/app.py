"""The application: routes, and what lies between an upload and its transcript."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Collection
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import FastAPI, File, Query, Request, UploadFile, WebSocket
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from starlette.staticfiles import StaticFiles

from seqlab import __version__
from seqlab.errors import DataError
from seqlab.media.kinds import SUFFIXES
from seqlab.outputs.formats import FORMATS
from seqlab.outputs.json_lines import dumps, to_row
from seqlab.outputs.transcript import Transcript
from seqlab.recognizer import Recognizer
from seqlab.serve.guard import Guard, Token
from seqlab.serve.limits import Limits
from seqlab.serve.live import Streams, streaming
from seqlab.serve.metrics import CONTENT_TYPE, Metrics
from seqlab.serve.models import Models
from seqlab.serve.refused import Refused
from seqlab.serve.schema import Health, ModelInfo, ModelList, Problem, TranscriptModel
from seqlab.serve.uploads import gone, label, submit_upload

PAGE = Path(__file__).parent / "page"
READERS = 2  # threads that decode uploads
LOOK = 1.0  # seconds from one look whether a client is still there to the next
_UNITS = {"audio": "s", "image": "px", "strokes": "points", "features": "frames"}
_TYPES = {"json": "application/json", "vtt": "text/vtt", "eaf": "application/xml"}
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "The body is no form or no JSON"},
    401: {"model": Problem, "description": "The token is missing or wrong"},
    404: {"model": Problem, "description": "No such model"},
    408: {"model": Problem, "description": "The request comes too slowly"},
    413: {"model": Problem, "description": "Too large or too long"},
    415: {"model": Problem, "description": "A file of another kind than the model reads"},
    422: {"model": Problem, "description": "Not readable"},
    429: {"model": Problem, "description": "Too many requests from this address; see Retry-After"},
    503: {"model": Problem, "description": "Too much to do; see Retry-After"},
}
Name = Annotated[str | None, Query(max_length=64, description="name of the model; the first one if not given")]
Form = Literal["txt", "json", "srt", "vtt", "ctm", "trn", "textgrid", "eaf"]
Format = Annotated[Form, Query(alias="format", description="of the answer; subtitles and tiers are for recordings")]
_log = logging.getLogger(__name__)


def create_app(
    models: Models,
    limits: Limits | None = None,
    token: str | None = None,
    hosts: Collection[str] = (),
    metrics: Metrics | None = None,
) -> Guard:
    """Build the application; it ends the models' threads when it is shut down.

    Args:
        models: what ``seqlab.serve.models.load`` returned.
        limits: of requests.
        token: that requests must bring; None: none.
        hosts: names in the Host header that are answered; empty: all.
        metrics: counters, if the models were given some.
    """
    limits, metrics = limits or Limits(), metrics or Metrics()
    for name in models:
        metrics.serving.labels(name).set(name in models.workers)
    for name, worker in models.workers.items():
        metrics.watch(name, lambda worker=worker: worker.waiting)  # type: ignore[misc]
    readers = ThreadPoolExecutor(READERS, "reader")

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(models.close)
        readers.shutdown(cancel_futures=True)

    app = FastAPI(title="seqlab", version=__version__, docs_url=None, redoc_url=None, lifespan=lifespan)
    guard = Token(token)
    streams = Streams(models, limits, guard, metrics)
    infos = [_info(name, worker.recognizer) for name, worker in models.workers.items()]
    app.exception_handler(RequestValidationError)(_invalid)
    app.mount("/static", StaticFiles(directory=PAGE), name="static")

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(PAGE / "index.html")

    @app.get("/health")
    async def health() -> Health:
        """Tell which models serve; 200 as long as one does."""
        states = {name: "serving" if name in models.workers else "failed" for name in models}
        status = "degraded" if models.failed else "ok"
        return Health.model_validate({"status": status, "version": __version__, "models": states})

    @app.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}, 401: _PROBLEMS[401]})
    async def numbers() -> Response:
        """Return counters for Prometheus."""
        return Response(metrics.text(), media_type=CONTENT_TYPE)

    @app.get("/v1/models", responses={401: _PROBLEMS[401]})
    async def list_models() -> ModelList:
        """List the models that serve, and the limits."""
        suffixes = {kind: sorted(endings) for kind, endings in SUFFIXES.items()}
        return ModelList(models=infos, limits=asdict(limits), suffixes=suffixes)

    @app.post("/v1/transcribe", responses=_answers())
    async def transcribe(
        request: Request,
        file: Annotated[UploadFile, File(description="a recording, a line image, ink or an array")],
        model: Name = None,
        form: Format = "json",
    ) -> Response:
        """Transcribe one file."""
        worker = models.worker(model)
        _check_unit(_UNITS[worker.recognizer.kind], form)
        name = label(file.filename or "")
        loop = asyncio.get_running_loop()
        left = threading.Event()
        try:
            future = await loop.run_in_executor(readers, submit_upload, worker, file.file, name, limits, left.is_set)
            transcript = await _answer(request, future)
        finally:
            left.set()
        transcript.source, transcript.id = name, Path(name).stem
        metrics.heard.labels(transcript.unit).inc(transcript.duration or 0.0)
        return _written(transcript, form)

    @app.post("/v1/convert", responses=_answers())
    async def convert(transcript: TranscriptModel, form: Format = "txt") -> Response:
        """Write a transcript, as /v1/transcribe gave it, in another format."""
        _check_unit(transcript.unit, form)
        return _written(transcript.transcript(), form)

    @app.websocket("/v1/stream")
    async def stream(socket: WebSocket) -> None:
        await streams.serve(socket)

    return Guard(app, models, limits, guard, hosts, metrics)


async def _answer(request: Request, future: "Future[Transcript]") -> Transcript:
    """Wait for a transcript as long as the client does; nobody else wants it."""
    answer = asyncio.wrap_future(future)
    try:
        while not (await asyncio.wait([answer], timeout=LOOK))[0]:
            if await request.is_disconnected():
                raise gone()
        return answer.result()
    finally:
        answer.cancel()


def _answers() -> dict[int | str, dict[str, Any]]:
    """Return what OpenAPI says about the answers with a transcript."""
    text: dict[str, Any] = {"schema": {"type": "string"}}
    kinds = dict.fromkeys(("text/plain", "text/vtt", "application/xml"), text)
    return {200: {"model": TranscriptModel, "content": kinds, "description": "The transcript"}} | _PROBLEMS


def _info(name: str, recognizer: Recognizer) -> ModelInfo:
    live = streaming(recognizer)
    unit = _UNITS[recognizer.kind]
    return ModelInfo(
        name=name,
        kind=recognizer.kind,  # type: ignore[arg-type]
        sample_rate=recognizer.model.sample_rate,
        parameters=recognizer.model.num_weights
        if hasattr(recognizer.model, "num_weights")
        else sum(p.numel() for p in recognizer.model.parameters()),
        decoder=type(recognizer.decoder).__name__.lower(),
        streams=live is not None and live.streams,
        latency=live.latency if live is not None else None,
        formats=[key for key, form in FORMATS.items() if key in Form.__args__ and form.needs in ("", unit)],  # type: ignore[attr-defined]
    )


def _check_unit(unit: str, form: str) -> None:
    needs = FORMATS[form].needs
    if needs and needs != unit:
        raise Refused(422, f"format {form} holds times in seconds, not {unit}; take json or txt")


def _written(transcript: Transcript, form: str) -> Response:
    if form == "json":
        return Response(dumps(to_row(transcript)), media_type=_TYPES["json"])
    try:
        text = "".join(f"{line}\n" for line in FORMATS[form].to_lines([transcript]))
    except DataError as error:
        raise Refused(422, str(error)) from None
    answer = Response(text, media_type=_TYPES.get(form, "text/plain"))
    answer.headers["content-disposition"] = f'attachment; filename="transcript.{FORMATS[form].suffix}"'
    return answer


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    """Say what is wrong with a request, without repeating it."""
    assert isinstance(error, RequestValidationError)
    faults = [{"loc": [str(part)[:64] for part in e["loc"]], "msg": e["msg"]} for e in error.errors()[:20]]
    return JSONResponse({"detail": faults}, 422)
