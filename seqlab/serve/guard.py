"""What stands before the application: who may ask, how much, how often, how slowly; and what every answer carries."""

import asyncio
import hashlib
import hmac
import json
import logging
import time
import uuid
from collections import OrderedDict
from collections.abc import Collection
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from seqlab.serve.limits import SLOWEST, Limits
from seqlab.serve.logs import fault
from seqlab.serve.metrics import Metrics
from seqlab.serve.models import Models
from seqlab.serve.refused import Refused

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "permissions-policy": "microphone=(self), camera=(), geolocation=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_ADDRESSES = 10_000  # whose requests are counted; the longest unseen is forgotten
_DRAIN = 2.0  # seconds that the body of a refused request is read, so that its sender reads the answer
_log = logging.getLogger(__name__)


class Rates:
    """A token bucket for each address.

    Args:
        rate: requests a minute; 0 does not count. So many may come at once.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, and when they were counted

    def wait(self, address: str, now: float) -> float:
        """Count a request; returns 0, or the seconds until the next one is welcome."""
        if not self._rate:
            return 0.0
        tokens, then = self._buckets.pop(address, (float(self._rate), now))
        tokens = min(tokens + (now - then) * self._rate / 60, self._rate)
        welcome = tokens >= 1
        self._buckets[address] = (tokens - welcome, now)
        if len(self._buckets) > _ADDRESSES:
            self._buckets.popitem(last=False)
        return 0.0 if welcome else (1 - tokens) * 60 / self._rate


class Token:
    """The secret that requests must bring, compared in constant time.

    Args:
        token: the secret; None: none is needed.
    """

    def __init__(self, token: str | None) -> None:
        self._digest = None if token is None else _digest(token)

    def fits(self, given: str | None) -> bool:
        """Tell whether a request with this token may be served."""
        return self._digest is None or hmac.compare_digest(self._digest, _digest(given or ""))


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


class Guard:
    """An ASGI middleware around the whole application.

    Args:
        app: the application.
        models: that it serves.
        limits: of requests.
        token: for everything below /v1 and for /metrics; a WebSocket may bring it in its first message instead.
        hosts: names in the Host header that are answered, without port; empty: all. This keeps pages of other sites
            from reaching a service on this machine under a name of theirs.
        metrics: counts.
    """

    def __init__(
        self, app: ASGIApp, models: Models, limits: Limits, token: Token, hosts: Collection[str], metrics: Metrics
    ) -> None:
        self.app, self.models, self.limits, self.token, self.metrics = app, models, limits, token, metrics
        self._hosts = {host.lower() for host in hosts}
        self._rates = Rates(limits.rate)
        self._busy = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection's request."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            if self._refusal(scope) is None:
                await self.app(scope, receive, send)
            else:
                await receive()
                await send({"type": "websocket.close", "code": 1008})  # before it is accepted: 403
        else:
            await self._http(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        start, status, sent, id = time.monotonic(), 0, 0, uuid.uuid4().hex[:12]
        body = _Body(scope, receive, self.limits, start)

        async def answer(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
                given = {name.decode("latin-1").lower() for name, _ in message["headers"]}
                more = {k: v for k, v in (HEADERS | {"x-request-id": id}).items() if k not in given}
                if not body.whole:
                    more["connection"] = "close"
                message["headers"] = [*message["headers"], *((k.encode(), v.encode()) for k, v in more.items())]
            sent += len(message.get("body", b""))
            await send(message)

        told: dict[str, Any] = {}
        self._busy += 1
        self.metrics.busy.set(self._busy)
        try:
            refusal = self._refusal(scope)
            if refusal is None and self._busy > self.limits.requests:
                refusal = Refused(503, "too many requests at a time; come again later", 1)
            if refusal is not None:
                await body.drain()
                await _refuse(refusal, answer)
            else:
                async with asyncio.timeout(self.limits.timeout):
                    await self.app(scope, body.receive, answer)
        except TimeoutError:
            told = {"reason": "timeout"}
            if not status:
                wait = f"no answer within {self.limits.timeout:g} seconds; send less, or come again later"
                await _refuse(Refused(503, wait, self.limits.timeout), answer)
        except Exception as error:
            told = fault(error)
            if not status:
                await _refuse(Refused(500, "something went wrong here; the server's log says where"), answer)
        finally:
            self._busy -= 1
            self.metrics.busy.set(self._busy)
            route = getattr(scope.get("route"), "path", "other")
            method = scope["method"] if scope["method"] in _METHODS else "other"
            seconds = time.monotonic() - start
            self.metrics.requests.labels(method, route, str(status)).inc()
            self.metrics.seconds.labels(route).observe(seconds)
            row = {"id": id, "method": method, "route": route, "status": status, "seconds": round(seconds, 4)}
            row |= {"received": body.received, "sent": sent} | told
            _log.log(logging.ERROR if "error" in told else logging.INFO, "request", extra=row)

    def _refusal(self, scope: Scope) -> Refused | None:
        """Say why a request is not welcome, by its headers and its address."""
        headers = Headers(scope=scope)
        host = headers.get("host", "").lower()
        if self._hosts and _name(host) not in self._hosts:
            return Refused(421, "this service does not answer to that name; see --allow-host")
        origin = headers.get("origin")
        if origin is not None and origin.lower().partition("://")[2] != host:
            return Refused(403, "pages of other sites may not use this service")
        http = scope["type"] == "http"
        if http and (scope["path"].startswith("/v1/") or scope["path"] == "/metrics"):
            kind, _, secret = headers.get("authorization", "").partition(" ")
            if not self.token.fits(secret.strip() if kind.lower() == "bearer" else None):
                refused = Refused(401, "a token is needed: Authorization: Bearer TOKEN")
                refused.headers = {"www-authenticate": "Bearer"}
                return refused
        address = scope["client"][0] if scope.get("client") else ""
        wait = 0.0 if http and scope["path"] == "/health" else self._rates.wait(address, time.monotonic())
        if wait:
            return Refused(429, f"more than {self.limits.rate} requests a minute; come again later", wait)
        length = headers.get("content-length", "0")
        if http and (not length.isdecimal() or int(length[:20]) > self.limits.upload_bytes):
            return _too_large(self.limits)
        return None


class _Body:
    """The body of a request, which must not be too large nor come too slowly."""

    def __init__(self, scope: Scope, receive: Receive, limits: Limits, start: float) -> None:
        self._receive, self._limits, self._start = receive, limits, start
        headers = Headers(scope=scope)
        self.received = 0
        self.whole = headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers

    async def receive(self) -> Message:
        if self.whole:
            return await self._receive()
        left = self._start + self._limits.idle + self.received / SLOWEST - time.monotonic()
        try:
            message = await asyncio.wait_for(self._receive(), max(left, 0.0))
        except TimeoutError:
            raise Refused(408, "the request comes too slowly") from None
        self.received += len(message.get("body", b""))
        self.whole = not message.get("more_body", False)
        if self.received > self._limits.upload_bytes:
            raise _too_large(self._limits)
        return message

    async def drain(self) -> None:
        end = time.monotonic() + _DRAIN
        try:
            while not self.whole:
                await asyncio.wait_for(self.receive(), end - time.monotonic())
        except (TimeoutError, Refused):
            pass


def _too_large(limits: Limits) -> Refused:
    return Refused(413, f"an upload may have {limits.upload_mb:g} MB at most")


def _name(host: str) -> str:
    """Return a Host header without its port."""
    return host[: host.find("]") + 1] if host.startswith("[") else host.partition(":")[0]


async def _refuse(refused: Refused, send: Send) -> None:
    body = json.dumps({"detail": refused.detail}).encode()
    headers = {"content-type": "application/json", "content-length": str(len(body)), **(refused.headers or {})}
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": refused.status_code, "headers": pairs})
    await send({"type": "http.response.body", "body": body})
