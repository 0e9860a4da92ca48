"""seqlab serve: models behind a page, an HTTP API and a WebSocket."""

import argparse
import logging
import os
import signal
import socket
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from seqlab.errors import ConfigError
from seqlab.serve.limits import Limits

if TYPE_CHECKING:
    from seqlab.recognizer import Backend

DEMO = Path(__file__).parents[1] / "demo"  # what scripts/demo_models writes
LOCAL = ("127.0.0.1", "localhost", "[::1]", "::1")

TOKEN = "SEQLAB_TOKEN"  # environment variable


def serve(arguments: Sequence[str], console: Console) -> int:
    """Read the command line and serve; returns 0 when told to end."""
    parser = argparse.ArgumentParser(
        "seqlab serve",
        description="Serve models: a page to drop files on, to speak to and to write on, an HTTP API (/openapi.json) "
        "and a WebSocket. docs/serve.md says all of it.",
    )
    parser.add_argument(
        "models",
        metavar="MODEL",
        nargs="*",
        help="run folder, checkpoint or model folder, or NAME=PATH of one (default: pen_digits and spoken_digits, "
        "which come with seqlab)",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1: this machine)")
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one (default 8000)")
    parser.add_argument("--backend", choices=["torch", "onnx", "int8"], default="torch", help="what runs the networks")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of a network (default 1)")
    parser.add_argument(
        "--token-file",
        metavar="FILE",
        help=f"a secret that requests must bring (default: what {TOKEN} holds, else none is asked for)",
    )
    parser.add_argument(
        "--allow-host", metavar="NAME", action="append", default=[], help="name of this service as browsers ask for it"
    )
    parser.add_argument("--proxies", metavar="ADDRESS,...", help="proxies whose X-Forwarded-For is believed")
    for limit in fields(Limits):
        default: Any = limit.default
        told = f"{limit.metadata['help']} (default {default:g})"
        option = f"--{limit.name.replace('_', '-')}"
        parser.add_argument(option, type=type(default), metavar="N", default=default, help=told)
    given = parser.parse_args(arguments)
    if given.threads < 1:
        parser.error("--threads must be 1 or more")
    run(
        given.models,
        console,
        Limits(**{limit.name: getattr(given, limit.name) for limit in fields(Limits)}),
        given.host,
        given.port,
        _token(given.token_file),
        given.allow_host,
        given.backend,
        given.threads,
        given.proxies,
    )
    return 0


def run(
    models: Sequence[str],
    console: Console,
    limits: Limits,
    host: str = "127.0.0.1",
    port: int = 8000,
    token: str | None = None,
    allow_hosts: Sequence[str] = (),
    backend: "Backend" = "torch",
    threads: int = 1,
    proxies: str | None = None,
) -> None:
    """Serve models until SIGINT or SIGTERM.

    Args:
        models: PATH or NAME=PATH; empty: the two that come with seqlab.
        console: for the address.
        limits: of requests.
        host: address to listen on.
        port: likewise; 0 takes a free one.
        token: that requests must bring.
        allow_hosts: further names by which the service is asked.
        backend: what runs the networks.
        threads: CPU threads of a network.
        proxies: addresses of proxies whose X-Forwarded-For is believed.

    Raises:
        ConfigError: no model serves, or the port is taken.
    """
    if not models and backend != "torch":
        raise ConfigError(
            f"the models that come with seqlab have no graphs for --backend {backend}; write them and name the folder: "
            f"seqlab export {DEMO / 'spoken_digits'} OUT --{backend}, then seqlab serve OUT --backend {backend}"
        )
    try:
        from seqlab.serve.app import create_app
        from seqlab.serve.logs import to_stderr
        from seqlab.serve.metrics import Metrics
        from seqlab.serve.models import load, named
        from seqlab.serve.server import server
    except ImportError as error:
        raise ConfigError(f"{error.name} is missing; pip install 'seqlab[serve]'") from None
    to_stderr()
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # what it tells of single requests quotes them
    metrics = Metrics()
    paths = named(models or default())
    listener = _listen(host, port)
    loaded = load(paths, limits, backend, batched=metrics.batch.observe)
    for worker in loaded.workers.values():
        worker.recognizer.use_threads(threads)
    bound = listener.getsockname()[1]
    hosts = {*LOCAL, host.lower(), *allow_hosts} if host in LOCAL or allow_hosts else ()
    shown = f"[{host}]" if ":" in host else host
    if token is None and host not in LOCAL:
        console.print("warning: others can reach this service, and no token is asked for (--token-file)")
    console.print(f"http://{shown}:{bound}/ serves {', '.join(loaded.workers)}; Ctrl-C ends it", highlight=False)
    app = create_app(loaded, limits, token, hosts, metrics)
    signal.signal(signal.SIGTERM, _end)  # to which uvicorn gives it on when all is done
    server(app, host, port, limits, proxies).run([listener])


def _end(*_: object) -> None:
    raise SystemExit(0)


def _token(file: str | None) -> str | None:
    """Return the secret, of a file or of the environment."""
    token = Path(file).read_text(encoding="utf-8").strip() if file else os.environ.get(TOKEN, "").strip()
    if file and not token:
        raise ConfigError(f"{file} holds no token; write one line of text into it")
    return token or None


def default() -> list[str]:
    """Return the model folders that come with the package."""
    return sorted(str(card.parent) for card in DEMO.glob("*/config.yaml"))


def _listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; a taken port is told before models are loaded."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)  # so that a second one is told
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"cannot listen on {host} port {port}: {reason}; take another --host or --port") from None
    return listener
