"""uvicorn, made impatient: connections that bring nothing are closed."""

import asyncio
import functools
import logging
from typing import Any

import uvicorn
from h11._events import Request
from uvicorn.protocols.http.h11_impl import H11Protocol

from seqlab.serve.guard import Guard
from seqlab.serve.limits import Limits
from seqlab.serve.live import LARGEST

KEEP_ALIVE = 10  # seconds between two requests of a connection
GRACE = 20  # seconds for requests at work when the service is told to end
_log = logging.getLogger(__name__)


class Impatient(H11Protocol):
    """HTTP/1.1 with a limit of time for headers, for what follows a refused request, and for reading an answer.

    Bodies have their limit in Guard.
    """

    def __init__(self, *args: Any, idle: float, **options: Any) -> None:
        super().__init__(*args, **options)
        self._idle = idle
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._rest()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Wait on unless a request is complete; more of its headers do not prolong it."""
        super().data_received(data)
        if self.transport.get_protocol() is not self or (self.cycle and not self.cycle.response_complete):
            self._rest()
        else:
            self._watch()

    def pause_writing(self) -> None:
        """Wait for a client that does not read."""
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        """Go on, as it reads."""
        self._rest()
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        """Close what has been idle between two requests, at the latest when the watch is over."""
        super().timeout_keep_alive_handler()
        self._watch()

    def _watch(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(self._idle, self.transport.abort)

    def _rest(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def handle_websocket_upgrade(self, event: Request) -> None:
        """Leave the connection to the WebSocket."""
        self._rest()
        super().handle_websocket_upgrade(event)


def server(app: Guard, host: str, port: int, limits: Limits, proxies: str | None = None) -> uvicorn.Server:
    """Return the server of an application; its ``run`` ends by SIGINT or SIGTERM, when requests at work are done.

    Args:
        app: of create_app.
        host: address to listen on.
        port: 0 takes a free one.
        limits: idle counts here, and requests for the number of connections.
        proxies: addresses of proxies whose X-Forwarded-For is believed.
    """
    http: Any = functools.partial(Impatient, idle=limits.idle)
    config = uvicorn.Config(
        app,
        host,
        port,
        http=http,
        ws="websockets-sansio",
        ws_max_size=LARGEST,
        ws_ping_interval=limits.idle,
        ws_ping_timeout=limits.idle,
        ws_per_message_deflate=False,
        limit_concurrency=4 * (limits.requests + limits.streams),
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=GRACE,
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=proxies is not None,
        forwarded_allow_ips=proxies or "",
        lifespan="on",
    )
    return uvicorn.Server(config)
