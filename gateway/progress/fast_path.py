"""Begins a visit's stream before the framework, whose layers and headers were a sixth of what opening one cost.

The route (`gateway.progress.visit_stream`) decides the answer here as there. Only a stream begins here, with the
head that the framework gives one; any other answer, and every error, is left to the framework to give.
"""

from http import HTTPStatus

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.http.middleware import request_info_of
from gateway.progress.visit_stream import VISIT_STREAM, decide, leave_decided
from realtime.streams.stream import EXTENSION, ProgressStream, StaticStream

_PREFIX, _SUFFIX = VISIT_STREAM.path.split("{visit_id}")
_UUID_LENGTH = 36
_LENGTH = len(_PREFIX) + _UUID_LENGTH + len(_SUFFIX)
_SLASHES = VISIT_STREAM.path.count("/")  # more, and it is no route's
# One for each origin that streams are asked for from: none, and those of ALLOWED_ORIGINS.
MOST_HEADS = 64


class StreamFastPath:
    """Stands within `Correlation`, which notes the request, and before all that only shapes answers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._heads: dict[bytes | None, bytes] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with a stream, or pass the request on."""
        if not _asks_for_stream(scope):
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        head = await self._head(request)
        if head is None:
            await self._app(scope, receive, send)
            return
        decided = await decide(request, scope["path"][len(_PREFIX) : -len(_SUFFIX)])
        info = request_info_of(scope)
        if isinstance(decided, ProgressStream) and _begin(scope, head + _line(info.header), decided.opening):
            info.status = 200
            scope["route"] = VISIT_STREAM
            await decided.go_on(scope, receive, send)
        else:
            leave_decided(request, decided)
            await self._app(scope, receive, send)

    async def _head(self, request: Request) -> bytes | None:
        """Return the lines that the framework puts before a stream, which differ by the origin that asks.

        None when it would not answer this request with a stream, whoever asks.
        """
        origin = next((value for name, value in request.scope["headers"] if name == b"origin"), None)
        head = self._heads.get(origin)
        if head is None:
            head = await self._record_head(request)
            if head is None:
                return None
            if len(self._heads) >= MOST_HEADS:  # somebody makes them up
                self._heads.clear()
            self._heads[origin] = head
        return head

    async def _record_head(self, request: Request) -> bytes | None:
        """Have the framework answer the request with the head of a stream and nothing else, and keep that."""
        lines: list[bytes] = []

        async def keep_head(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == HTTPStatus.OK:
                lines.extend(map(_line, message["headers"]))

        rehearsed = Request(dict(request.scope), request.receive)
        leave_decided(rehearsed, StaticStream())
        await self._app(rehearsed.scope, rehearsed.receive, keep_head)
        return b"".join(lines) or None


def _asks_for_stream(scope: Scope) -> bool:
    """Tell whether this asks for a visit's stream, of a server that takes an encoded head."""
    if scope["type"] != "http" or scope["method"] != "GET" or scope["http_version"] != "1.1":
        return False
    path: str = scope["path"]
    ours = len(path) == _LENGTH and path.startswith(_PREFIX) and path.endswith(_SUFFIX)
    return ours and path.count("/") == _SLASHES and EXTENSION in scope.get("extensions", {})


def _begin(scope: Scope, head: bytes, opening: bytes) -> bool:
    begun: bool = scope["extensions"][EXTENSION]["begin"](head, opening)
    return begun


def _line(header: tuple[bytes, bytes]) -> bytes:
    return b"%b: %b\r\n" % header
