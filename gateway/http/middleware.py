"""For every request: its correlation id, its log line, its security headers."""

import re
import time
from dataclasses import dataclass
from random import getrandbits

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from config.logging import get_logger
from gateway.http.http_metrics import HttpMetrics

_log = get_logger(__name__)
_FIT_TO_LOG = re.compile(r"^[A-Za-z0-9._:-]{1,128}$")
_QUIET = frozenset({"/health", "/livez", "/readyz", "/metrics", "/functions/v1/health", "/static"})

CORRELATION_HEADER = "x-correlation-id"
_HEADER = CORRELATION_HEADER.encode()
_REQUEST_INFO = "scopekit.request_info"


@dataclass(slots=True)
class RequestInfo:
    """The context of a request: its id, and the status it was answered with, 0 before that."""

    correlation_id: str
    status: int = 0

    @property
    def header(self) -> tuple[bytes, bytes]:
        """The id, for the answer's head."""
        return _HEADER, self.correlation_id.encode()


def request_info_of(scope: Scope) -> RequestInfo:
    """Return the context of a request that has come through `Correlation`."""
    info: RequestInfo = scope[_REQUEST_INFO]
    return info


class Correlation:
    """Takes the caller's correlation id or makes one, returns it, and logs and counts the request under it.

    The log line names the route's pattern, never the path: a path may hold a share's token.
    """

    def __init__(self, app: ASGIApp, metrics: HttpMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on under its correlation id."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        info = scope[_REQUEST_INFO] = RequestInfo(_correlation_id(scope))
        began = time.perf_counter()

        async def with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                info.status = message["status"]
                message["headers"] = [*message["headers"], info.header]
            await send(message)

        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(correlation_id=info.correlation_id)
        try:
            await self._app(scope, receive, with_id)
        finally:
            seconds = time.perf_counter() - began
            self._metrics.note(_pattern(scope), scope["method"], info.status, seconds)
            _log_request(scope, info.status, seconds)


class SecurityHeaders:
    """Sets the security headers for browsers; a route that sets one of these itself keeps its own."""

    def __init__(self, app: ASGIApp, content_security_policy: str) -> None:
        self._app = app
        self._headers = (
            (b"content-security-policy", content_security_policy.encode("latin-1")),
            (b"x-content-type-options", b"nosniff"),
            (b"x-frame-options", b"DENY"),
            (b"referrer-policy", b"same-origin"),
            (b"permissions-policy", b"camera=(self), microphone=(self), geolocation=()"),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, adding the headers to its answer."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *(header for header in self._headers if header[0] not in own),
                ]
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)


def _correlation_id(scope: Scope) -> str:
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    for name, value in headers:
        if name == _HEADER and _FIT_TO_LOG.match(given := value.decode("latin-1")):
            return given
    return f"{getrandbits(128):032x}"  # no secret, so no call of the kernel's


def _log_request(scope: Scope, status: int, seconds: float) -> None:
    route = _pattern(scope)
    if route in _QUIET and status < 500:  # noqa: PLR2004 - probes every few seconds would drown the rest
        return
    _log.info("Request", method=scope["method"], route=route, status=status, ms=round(seconds * 1000, 1))


def _pattern(scope: Scope) -> str:
    route = scope.get("route")
    return getattr(route, "path", None) or "unmatched"
