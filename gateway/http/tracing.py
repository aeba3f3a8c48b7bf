"""Requests in a visit's trace: those with a visit in their address, and those that bring a trace of their own."""

import re

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from config.tracing import visit_span

_VISIT = re.compile(r"^(/v1/visits/)([0-9a-f-]{36})(?=/|$)")
_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


class Tracing:
    """Opens the span of a request; a request without a visit or a caller's trace is not traced."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on within its span."""
        visit_id = parent = None
        if scope["type"] == "http":
            found = _VISIT.match(scope["path"])
            visit_id = found[2] if found else None
            given = Headers(scope=scope).get("traceparent", "")
            parent = given if _TRACEPARENT.fullmatch(given) else None
        if visit_id is None and parent is None:
            await self._app(scope, receive, send)
            return
        with visit_span(f"HTTP {scope['method']}", visit_id, parent):
            await self._app(scope, receive, send)
