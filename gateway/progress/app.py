"""The streams' own ASGI application, beside the framework: it opens every stream, and passes other requests on.

Invariants. A stream is opened in one way, by any server and at any address. Its head
is written out here. An answer that is no stream, and every error, has the headers that all answers have.
"""

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from starlette.middleware import Middleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.http.cors import stream_cors
from gateway.http.deprecation import headers_at
from gateway.http.errors import HANDLERS
from gateway.http.middleware import request_info_of
from gateway.progress import multi_stream, tenant_stream, visit_stream
from gateway.progress.responses import Answer
from realtime.protocol import wire
from realtime.streams.stream import EXTENSION, Head, ProgressStream, StaticStream

ROUTES: tuple[Route, ...] = (*visit_stream.STREAMS, *multi_stream.routes, *tenant_stream.routes)
_LAST_SEGMENT = "progress"  # of all their addresses
# A browser that is shown a stream as a page must not guess what it is. `vary` is for caches, whoever asks.
_HEAD: Head = (*wire.HEADERS, (b"x-content-type-options", b"nosniff"), (b"vary", b"Origin"))
_ANSWER = "scopekit.answer"

Outcome: TypeAlias = Answer | Exception


class StreamApp:
    """Stands within `Correlation`, which notes every request; `shaping` is what shapes the framework's answers."""

    def __init__(self, app: ASGIApp, origins: Iterable[str], shaping: Sequence[Middleware]) -> None:
        self._app = app
        self._heads: dict[bytes, Head] = {
            origin.encode("latin-1"): (*_HEAD, *stream_cors(origin)) for origin in origins
        }
        self._other_head = self._heads.get(b"*", _HEAD)
        self._shaped: ASGIApp = ExceptionMiddleware(_give, handlers=HANDLERS)
        for layer in reversed(shaping):
            self._shaped = layer.cls(self._shaped, *layer.args, **layer.kwargs)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request for a stream; pass any other on."""
        route = _route_of(scope)
        if route is None:
            await self._app(scope, receive, send)
            return
        outcome = await _decide(route, Request(scope, receive))
        if isinstance(outcome, ProgressStream):
            await self._stream(outcome, scope, receive, send)
        elif isinstance(outcome, StaticStream):
            await outcome.run(send, self._head(scope))
        else:
            scope[_ANSWER] = outcome
            await self._shaped(scope, receive, send)

    async def _stream(self, stream: ProgressStream, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the head and the opening in one write where the server offers it; then leave the stream to itself."""
        head, info, offer = self._head(scope), request_info_of(scope), scope.get("extensions", {}).get(EXTENSION)
        begun = offer is not None and scope["method"] != "HEAD" and offer["begin"]((*head, info.header), stream.opening)
        if begun:  # past `Correlation`, which sees what goes by `send`
            info.status = 200
        await stream.run(scope, receive, send, head=None if begun else head)

    def _head(self, scope: Scope) -> Head:
        origin = next((value for name, value in scope["headers"] if name == b"origin"), None)
        head = _HEAD if origin is None else self._heads.get(origin, self._other_head)
        ending = headers_at(scope["path"])
        return (*head, *ending) if ending else head


def _route_of(scope: Scope) -> Route | None:
    """Return the stream that the request asks for, noted in its scope as the framework does; None for any other."""
    if scope["type"] != "http" or not scope["path"].endswith(_LAST_SEGMENT):
        return None
    for route in ROUTES:
        found = route.path_regex.match(scope["path"])
        if found is not None and scope["method"] in (route.methods or ()):
            scope["route"], scope["path_params"] = route, found.groupdict()
            return route
    return None


async def _decide(route: Route, request: Request) -> Outcome:
    try:
        answer: Answer = await route.endpoint(request)
    except Exception as error:  # noqa: BLE001 - raised where it can be answered
        return error
    return answer


async def _give(scope: Scope, receive: Receive, send: Send) -> None:
    outcome = scope[_ANSWER]
    if isinstance(outcome, Exception):
        raise outcome
    await outcome(scope, receive, send)
