"""Requests of every framing, an application that says what it read, and a connection without a socket.

Each body holds a whole request for `/hidden`: an application that ever sees it has been given bytes of a body to read
as a request.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import uvicorn
from starlette.types import Message, Receive, Scope, Send
from uvicorn.server import ServerState

from gateway.server.connection_takeover import HandoverProtocol

CONTENT = b"GET /hidden HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer another's\r\n\r\n"
# Turns of the loop after which nothing moves any more.
TURNS = 12

OFFERS = {
    "none": (),
    "anything": ("Connection: Upgrade", "Upgrade: anything"),
    "h2c": ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"),
    "a socket": ("Connection: keep-alive, Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"),
    "the offer first": ("UPGRADE: TLS/1.0", "connection:upgrade"),
    "two offers": ("Connection: upgrade", "Upgrade: a", "Upgrade: b, c"),
    "no connection": ("Upgrade: h2c",),
    "no protocol": ("Connection: Upgrade",),
    "the last request": ("Connection: close, Upgrade", "Upgrade: h2c"),
}


def chunked(content: bytes, trailer: bytes = b"") -> bytes:
    """Frame it as chunks, in two of them."""
    half = len(content) // 2
    pieces = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (content[:half], content[half:])]
    return b"".join((*pieces, b"0\r\n", trailer, b"\r\n"))


FRAMINGS = {
    "no body": ((), b"", b""),
    "a length": ((f"Content-Length: {len(CONTENT)}",), CONTENT, CONTENT),
    "chunks": (("Transfer-Encoding: chunked",), chunked(CONTENT), CONTENT),
    "a trailer": (("Transfer-Encoding: chunked",), chunked(CONTENT, b"Upgrade: h2c\r\nX: 1\r\n"), CONTENT),
}


@dataclass(frozen=True)
class Request:
    """What a client sends, and what the application is to read of it."""

    name: str
    head: bytes
    body: bytes
    content: bytes

    @property
    def path(self) -> str:
        """Where it goes."""
        return self.head.split()[1].decode()

    def pieces(self, cut: str) -> list[bytes]:
        """Send it at once, the head before the body, or each byte alone."""
        whole = self.head + self.body
        match cut:
            case "at once":
                return [whole]
            case "head, body":
                return [piece for piece in (self.head, self.body) if piece]
            case _:
                return [whole[n : n + 1] for n in range(len(whole))]


CUTS = ("at once", "head, body", "bytes")


def requests(path: str, *, version: str = "1.1", more: tuple[str, ...] = ()) -> list[Request]:
    """Every offer with every framing."""
    return [
        Request(
            f"{offer}, {framing}",
            "\r\n".join((f"POST {path} HTTP/{version}", "Host: x", *offers, *lines, *more, "", "")).encode(),
            body,
            content,
        )
        for (offer, offers), (framing, (lines, body, content)) in itertools.product(OFFERS.items(), FRAMINGS.items())
    ]


def bare(path: str, *more: str, method: str = "GET") -> Request:
    """Make a request without a body."""
    head = "\r\n".join((f"{method} {path} HTTP/1.1", "Host: x", *more, "", ""))
    return Request(f"{method} {path}", head.encode(), b"", b"")


def said_of(path: str, content: bytes) -> bytes:
    """What the application answers when it has read `content`."""
    return f"{path} {sha256(content).hexdigest()}".encode()


@dataclass
class Echo:
    """Answers with its path and a hash of what it read; `/early` reads nothing, `/held` and `/begun` wait for `go`.

    `/begun` sends the first piece of its answer before it waits; no answer but this one is without a length.
    """

    seen: list[str] = field(default_factory=list)
    read: list[bytes] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    go: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path = scope["path"]
        self.seen.append(path)
        if path == "/early":
            await _answer(send, 401, b"/early")
            return
        content = await self._content(receive)
        if content is None:
            self.left.append(path)
            return
        self.read.append(content)
        body = said_of(path, content)
        if path == "/begun":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": body, "more_body": True})
        if path in {"/begun", "/held"} and not await self._allowed(receive):
            self.left.append(path)
        elif path == "/begun":
            await send({"type": "http.response.body", "body": b" and more"})
        else:
            await _answer(send, 200, body)

    async def _content(self, receive: Receive) -> bytes | None:
        content = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            content += bytes(message["body"])
            if not message["more_body"]:
                return content

    async def _allowed(self, receive: Receive) -> bool:
        """Wait for `go`; False when the client is gone before."""
        gone: asyncio.Future[Message] = asyncio.ensure_future(receive())
        going = asyncio.ensure_future(self.go.wait())
        await asyncio.wait((gone, going), return_when=asyncio.FIRST_COMPLETED)
        allowed = going.done()
        for task in (gone, going):
            task.cancel()
        return allowed


async def _answer(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Line(asyncio.Transport):
    """A connection whose other end is the test; it closes as the loop's own do, in the next turn."""

    def __init__(self, protocol: HandoverProtocol) -> None:
        super().__init__()
        self._protocol = protocol
        self._waiting: list[bytes] = []
        self._paused = False
        self.closed = False
        self.ended = False
        self.sent = b""
        protocol.connection_made(self)

    async def hear(self, *pieces: bytes) -> None:
        """Receive them one by one, and let everything settle after each."""
        for piece in pieces:
            self._waiting.append(piece)
            self._pass_on()
            await settle()

    def lose(self) -> None:
        """Let the client leave."""
        self.closed = True
        self._protocol.connection_lost(ConnectionResetError())

    def _pass_on(self) -> None:
        while self._waiting and not self._paused and not self.closed:
            self._protocol.data_received(self._waiting.pop(0))

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keep it; what is written to a closed connection is lost."""
        if not self.closed and not self.ended:
            self.sent += bytes(data)

    def close(self) -> None:
        """Close."""
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)

    def can_write_eof(self) -> bool:
        """Tell that one direction can be closed."""
        return True

    def write_eof(self) -> None:
        """Say nothing more, but hear."""
        self.ended = True

    def is_closing(self) -> bool:
        """Tell whether it is closed."""
        return self.closed

    def pause_reading(self) -> None:
        """Hold pieces back."""
        self._paused = True

    def resume_reading(self) -> None:
        """Pass on what was held back, in the next turn."""
        self._paused = False
        asyncio.get_running_loop().call_soon(self._pass_on)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Give addresses; there is no socket."""
        return ("127.0.0.1", 1) if name in {"sockname", "peername"} else default


async def settle() -> None:
    """Let all that is ready run."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


@asynccontextmanager
async def line_to(echo: Echo) -> AsyncIterator[Line]:
    """Connect to it by the gateway's protocol."""
    config = uvicorn.Config(echo, lifespan="off", log_config=None, ws="none")
    config.load()
    state = ServerState()
    line = Line(HandoverProtocol(config, state, {}))
    try:
        yield line
    finally:
        echo.go.set()
        if not line.closed:
            line.lose()
        await asyncio.gather(*state.tasks)


def answers_in(sent: bytes) -> list[tuple[int, bytes]]:
    """Split what a server sent into its final answers: their status and body."""
    answers = []
    while sent:
        head, _, rest = sent.partition(b"\r\n\r\n")
        start, *lines = head.split(b"\r\n")
        version, status = start.split()[:2]
        assert version == b"HTTP/1.1", sent
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
        if status.startswith(b"1"):
            sent = rest
            continue
        body, sent = _body_of(headers, rest)
        answers.append((int(status), body))
    return answers


def _body_of(headers: dict[bytes, bytes], rest: bytes) -> tuple[bytes, bytes]:
    if b"content-length" in headers:
        length = int(headers[b"content-length"])
        assert len(rest) >= length, rest
        return rest[:length], rest[length:]
    if headers.get(b"transfer-encoding") != b"chunked":
        assert headers[b"connection"] == b"close"
        return rest, b""
    body = b""
    while True:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        body, rest = body + rest[:length], rest[length + 2 :]
        if not length:
            return body, rest
