"""What holds for every request: its correlation id, its log line, its security headers."""

import re
import time
from secrets import token_hex

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from config.logging import get_logger
from gateway.traffic import Traffic

_log = get_logger(__name__)
_FIT_TO_LOG = re.compile(r"^[A-Za-z0-9._:-]{1,128}$")
_QUIET = frozenset({"/health", "/livez", "/readyz", "/metrics", "/functions/v1/health", "/static"})

CORRELATION_HEADER = "x-correlation-id"


class Correlation:
    """Takes the caller's correlation id or makes one, returns it, and logs and counts the request under it.

    The log line names the route's pattern, never the path: a path may hold a share's token.
    """

    def __init__(self, app: ASGIApp, traffic: Traffic) -> None:
        self._app = app
        self._traffic = traffic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on under its correlation id."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(CORRELATION_HEADER, "")
        correlation_id = given if _FIT_TO_LOG.match(given) else token_hex(16)
        status = 0
        began = time.perf_counter()

        async def with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[CORRELATION_HEADER] = correlation_id
            await send(message)

        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(correlation_id=correlation_id)
        try:
            await self._app(scope, receive, with_id)
        finally:
            seconds = time.perf_counter() - began
            self._traffic.note(_pattern(scope), scope["method"], status, seconds)
            _log_request(scope, status, seconds)


class SecurityHeaders:
    """Sets what browsers should refuse; a route that sets one of these itself keeps its own."""

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


def _log_request(scope: Scope, status: int, seconds: float) -> None:
    route = _pattern(scope)
    if route in _QUIET and status < 500:  # noqa: PLR2004 - probes every few seconds would drown the rest
        return
    _log.info("Request", method=scope["method"], route=route, status=status, ms=round(seconds * 1000, 1))


def _pattern(scope: Scope) -> str:
    route = scope.get("route")
    return getattr(route, "path", None) or "unmatched"
