"""One request has one answer behind the proxies that we ship, which share a connection to us among their clients."""

import asyncio
import itertools
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvicorn

from gateway.server.connection_takeover import HandoverProtocol
from gateway.server.server import Server
from tests.deploy.proxies import caddy as caddies
from tests.deploy.proxies import nginx as nginxes
from tests.gateway.server.framing import CONTENT, Echo, Request, answers_in, bare, requests, said_of
from tests.realtime.feed.watcher import SECONDS, eventually
from tests.support.ci import skip_or_fail

# How long a body is held back after its head; a proxy may have passed the head on by then, or wait for more.
DELAYS = (0, 0.002, 0.05)
# Clients at a time, whose requests share the proxy's connections.
AT_ONCE = 24


@dataclass(frozen=True)
class Front:
    """A proxy before an application that says what it read."""

    port: int
    echo: Echo
    trust: ssl.SSLContext | None = None

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """Connect as a client does."""
        async with asyncio.timeout(SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=self.trust)
            try:
                yield reader, writer
            finally:
                writer.transport.abort()

    async def answers_to(self, *pieces: bytes, delay: float = 0) -> bytes:
        """Send them, and return what comes until the proxy closes or has answered the last request."""
        async with self.connected() as (reader, writer):
            reading = asyncio.create_task(_until_last(reader))
            with suppress(ConnectionError):
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(delay)
            return await reading


async def _until_last(reader: asyncio.StreamReader) -> bytes:
    answer = b""
    with suppress(ConnectionError):
        while b"/last" not in answer and (piece := await reader.read(65536)):
            answer += piece
    return answer


@asynccontextmanager
async def _served(echo: Echo) -> AsyncIterator[int]:
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(echo, http=HandoverProtocol, ws="none", lifespan="off", log_config=None)
    server = Server(config, drain_s=0)
    serving = asyncio.create_task(server._serve([listener]))
    try:
        await eventually(lambda: server.started)
        yield listener.getsockname()[1]
    finally:
        server.end()
        await serving


async def _answering(front: Front) -> Front:
    async def answers() -> bool:
        with suppress(OSError):
            return b"/last " in await front.answers_to(LAST.head)
        return False

    async with asyncio.timeout(SECONDS):
        while not await answers():  # noqa: ASYNC110 - a proxy that starts rings nobody
            await asyncio.sleep(0.05)
    front.echo.seen.clear()
    return front


@pytest.fixture(params=["straight", "nginx", "caddy"])
async def front(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Front]:
    """Run the application alone, and then behind each proxy."""
    echo = Echo()
    async with _served(echo) as port:
        match request.param:
            case "straight":
                yield Front(port, echo)
            case "nginx":
                if nginxes.PROGRAM is None:
                    skip_or_fail("nginx is not installed: apt-get install nginx-light")
                main, proxy, cert = nginxes.configure(tmp_path, port)
                with nginxes.nginx(main):
                    yield await _answering(Front(proxy, echo, trust=ssl.create_default_context(cafile=str(cert))))
            case _:
                if caddies.PROGRAM is None:
                    skip_or_fail("caddy is not installed: apt-get install caddy")
                with caddies.caddy(tmp_path, port) as proxy:
                    yield await _answering(Front(proxy, echo))


LAST = bare("/last", "Connection: close")
SENT = [
    each
    for path in ("/whole", "/early")
    for more in ((), ("Expect: 100-continue",))
    for each in requests(path, more=more)
]


async def test_no_body_is_lost_and_none_is_a_request(front: Front) -> None:
    """Of every offer, framing and delay: one answer, the body whole, and nothing that was hidden in it."""

    async def ask(request: Request, delay: float) -> None:
        more = [] if "the last" in request.name else [LAST.head]
        answer = await front.answers_to(request.head, request.body, *more, delay=delay)
        assert _is_right(request, answer), (request, delay, answer)

    cases = list(itertools.product(SENT, DELAYS))
    for start in range(0, len(cases), AT_ONCE):
        await asyncio.gather(*(ask(*case) for case in cases[start : start + AT_ONCE]))
    assert "/hidden" not in front.echo.seen


def _is_right(request: Request, answer: bytes) -> bool:
    """Whether each answer is of its request; after one that came early the connection may have been closed."""
    bodies = [body for _, body in answers_in(answer)]
    said = said_of("/whole", request.content) if request.path == "/whole" else b"/early"
    last = [said_of("/last", b"")]
    if request.path == "/early":
        return bodies in ([said], [said, *last], [])
    return bodies == [said, *([] if "the last" in request.name else last)]


async def test_another_clients_request_is_not_taken(front: Front) -> None:
    """While one client's body is short or left out, each of the others has its own answer."""

    async def attack(request: Request) -> None:
        with suppress(ConnectionError):
            async with front.connected() as (_, writer):
                writer.write(request.head + request.body[: len(request.body) // 2])
                await writer.drain()
                await front.answers_to(LAST.head)

    async def ask(n: int) -> None:
        answer = await front.answers_to(bare(f"/last-{n}", "Connection: close").head)
        assert [body for _, body in answers_in(answer)] == [said_of(f"/last-{n}", b"")]

    for start in range(0, len(SENT), AT_ONCE):
        some = SENT[start : start + AT_ONCE]
        await asyncio.gather(*map(attack, some), *map(ask, range(start, start + len(some))))
    assert CONTENT not in b"".join(front.echo.read)
    assert "/hidden" not in front.echo.seen
