"""Framing: where a request ends and the next one begins, on a connection that carries one after another.

One request has one answer, in the order of the requests. An offer of another protocol is ignored (RFC 9110, 7.8): the
request's body is read by its own length or chunks. An ambiguous request is refused, after the answers to
the requests before it, and its connection is closed: nothing behind it is ever read as a request.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from secrets import token_hex
from typing import Any, cast

import httptools
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from config.logging import bind, get_logger
from gateway.http.errors import problem
from gateway.http.middleware import CORRELATION_HEADER

_log = get_logger(__name__)


class RequestRefused(Exception):
    """A request that is refused before the application sees it."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


_UNREADABLE = RequestRefused(400, "This is not an HTTP request that can be read in one way only.")
_CHUNKS_OF_1_0 = RequestRefused(400, "An HTTP/1.0 request has no chunks; send its Content-Length.")
_TUNNEL = RequestRefused(501, "CONNECT is not supported; this is not a proxy.")
_CODING = RequestRefused(501, "The only transfer coding that is supported is chunked, once.")
_VERSION = RequestRefused(505, "The versions of HTTP that are supported are 1.0 and 1.1.")
_SUPPORTED = frozenset({"1.0", "1.1"})


class FramedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with one answer to one request whatever the client sends.

    Subclasses extend `begin_request` and `end_request`, which uvicorn's callbacks of the parser lead to.
    """

    parser: httptools.HttpRequestParser
    pipeline: deque[tuple[RequestResponseCycle, Any]]

    # Each connection begins with these, and has its own from where it departs from them.
    _in_head = False
    _body_ended = True
    _offered = False
    _deaf = False
    _refused = _UNREADABLE
    # What is to be refused when the requests before it are answered.
    _refusal: RequestRefused | None = None
    # The request that is being answered; `cycle` is the newest that was read.
    _answering: RequestResponseCycle | None = None

    def data_received(self, data: bytes) -> None:
        """Read on, unless earlier bytes cannot be read."""
        self._unset_keepalive_if_required()
        if self._deaf or self._refusal is not None:
            return
        try:
            self._read(memoryview(data))
        except httptools.HttpParserError:
            self.refuse(self._refused)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the request that is being answered; uvicorn tells only the newest, which may still wait its turn."""
        if self._answering is not None and self._answering is not self.cycle:
            _disconnect(self._answering)
        self._answering = None
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Begin a head."""
        super().on_message_begin()
        self._in_head, self._body_ended = True, False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, but no trailer: the application has its headers already, and these have no end."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin the request, unless its head is to be read again without an offer."""
        self._offered = self.parser.should_upgrade()
        if self.parser.get_method() == b"CONNECT":
            self.reject(_TUNNEL)
        if not self._offered:
            self.begin_request()

    def on_message_complete(self) -> None:
        """End the request, unless only its head has been read."""
        if not self._offered:
            self.end_request()

    def begin_request(self) -> None:
        """Let the application see a request with a whole head, or raise `Unfit`."""
        self._require_framed()
        super().on_headers_complete()
        self._in_head = False

    def end_request(self) -> None:
        """Note that the body is whole; behind a trailer `Connection: close` the parser is deaf, so we close."""
        self._body_ended = True
        super().on_message_complete()
        if not self.parser.should_keep_alive():
            self.cycle.keep_alive = False
            if self.cycle.response_complete:
                self.transport.close()

    def on_response_complete(self) -> None:
        """Begin the next answer, or refuse the unreadable bytes behind the last one."""
        self._answering = None
        super().on_response_complete()
        if self._refusal is not None and self.is_idle:
            self._answer_refused(self._refusal)

    def refuse(self, refused: RequestRefused) -> None:
        """Answer `refused` in its turn, and close."""
        if self._refusal is not None or self.transport.is_closing():
            return
        self._refusal = refused
        if not (self._in_head or self._body_ended):
            self._give_newest_up(refused)
        elif self.is_idle:
            self._answer_refused(refused)

    @property
    def is_idle(self) -> bool:
        """Whether every request that was read has been answered."""
        return self.cycle is None or self.cycle.response_complete

    def _read(self, data: memoryview) -> None:
        """Feed the parser; behind a head with an offer it stops, and another one goes on there."""
        while data:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as stopped:
                data = data[stopped.args[0] :]
                self._read_head_again()
            else:
                return

    def _read_head_again(self) -> None:
        """Read the last head without its offer, by a parser that has not ended the message there."""
        head = _head_without_offer(self.parser, self.url, self.headers)
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.parser.feed_data(head)

    def _require_framed(self) -> None:
        version = self.parser.get_http_version()
        listed = b",".join(value for name, value in self.headers if name == b"transfer-encoding").lower()
        *others, last = [coding.strip() for coding in listed.split(b",")]
        if version not in _SUPPORTED:
            self.reject(_VERSION)
        if listed and version == "1.0":
            self.reject(_CHUNKS_OF_1_0)
        if listed and last != b"chunked":
            self.reject(_UNREADABLE)
        if others:
            self.reject(_CODING)
        if version == "1.0":  # RFC 9110, 10.1.1
            self.expect_100_continue = False

    def reject(self, refused: RequestRefused) -> None:
        """Raise `refused` to the parser, which tells us of an error without saying which."""
        self._refused = refused
        raise refused

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, self._app_of(cycle, app))  # type: ignore[arg-type]

    def _app_of(self, cycle: RequestResponseCycle, app: ASGIApp) -> ASGIApp:
        if cycle.waiting_for_100_continue:
            return _closing_unless_continued(cycle, app, self._linger)
        return _ended_by_close(cycle, app) if cycle.scope["http_version"] == "1.0" else app

    def _linger(self) -> None:
        """End the answers, and let the client finish sending: a reset would take the last answer from it."""
        self._deaf = True
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            self.transport.close()

    def _give_newest_up(self, refused: RequestRefused) -> None:
        """Refuse a request with an unreadable body; an answer that has begun gets no second one."""
        if self.pipeline:  # the newest stands left
            self.pipeline.popleft()
            self.cycle = self.pipeline[0][0] if self.pipeline else self._answering  # type: ignore[assignment]
        elif self.cycle.response_started:
            self.transport.close()
        else:
            _disconnect(self.cycle)
            self._answer_refused(refused)

    def _answer_refused(self, refused: RequestRefused) -> None:
        if not self.transport.is_closing():
            self.transport.write(_answer(refused))
            self.transport.close()


def _head_without_offer(parser: httptools.HttpRequestParser, url: bytes, headers: list[tuple[bytes, bytes]]) -> bytes:
    start = b"%b %b HTTP/%b" % (parser.get_method(), url, parser.get_http_version().encode())
    kept = [b"%b: %b" % (name, value) for name, value in headers if name != b"upgrade"]
    return b"\r\n".join((start, *kept, b"", b""))


def _disconnect(cycle: RequestResponseCycle) -> None:
    """Let a request's task see that nobody hears its answer."""
    cycle.disconnected = True
    cycle.message_event.set()


class _LingeringTransport:
    """As much of a transport as an answer uses; its `close` lingers."""

    def __init__(self, transport: asyncio.Transport, linger: Callable[[], None]) -> None:
        self.write = transport.write
        self.is_closing = transport.is_closing
        self.close = linger


def _closing_unless_continued(cycle: RequestResponseCycle, app: ASGIApp, linger: Callable[[], None]) -> ASGIApp:
    """Close behind an answer that comes before `100 Continue`, but not before the client does, if that is soon.

    The client may send the body it has announced, or leave it out: the next bytes could be read in two ways. Go's
    client, and so a proxy made of it, took such a connection for a good one (CVE-2024-24791).
    """

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_and_close(message: Message) -> None:
            if cycle.waiting_for_100_continue and cycle.more_body:
                cycle.keep_alive = False
                cycle.transport = cast("asyncio.Transport", _LingeringTransport(cycle.transport, linger))
            await send(message)

        await app(scope, receive, send_and_close)

    return answer


def _ended_by_close(cycle: RequestResponseCycle, app: ASGIApp) -> ASGIApp:
    """Answer HTTP/1.0 without chunks, which it does not know: the connection's end is that of a body without length."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        unmeasured = False

        async def send_plain(message: Message) -> None:
            nonlocal unmeasured
            if message["type"] == "http.response.start":
                unmeasured = not any(name.lower() == b"content-length" for name, _ in message.get("headers", ()))
                cycle.chunked_encoding = False if unmeasured else None
            elif unmeasured:
                cycle.expected_content_length = len(message.get("body", b""))
            await send(message)

        await app(scope, receive, send_plain)

    return answer


def _answer(refused: RequestRefused) -> bytes:
    correlation_id = token_hex(16)
    with bind(correlation_id=correlation_id):
        headers = {"connection": "close", CORRELATION_HEADER: correlation_id}
        answer = problem(refused.status, refused.detail, headers=headers)
        _log.warning("Request refused", status=refused.status, detail=refused.detail)
    lines = [b"%b: %b\r\n" % header for header in answer.raw_headers]
    return b"".join((STATUS_LINE[refused.status], *lines, b"\r\n", bytes(answer.body)))
