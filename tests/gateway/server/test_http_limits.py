"""Heads that are too long, too slow or may be read in two ways, over a bare socket."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import NoReturn
from urllib.parse import urlsplit

import httpx
import orjson
import pytest

from config.settings import Settings
from gateway.server import http_limits
from gateway.server.http_limits import HEAD_BYTES, MOST_HEADERS, URL_BYTES
from tests.realtime.feed.watcher import SECONDS, eventually
from tests.realtime.stream_gateway import StreamGateway, open_gateway

# A ticket's address: it needs a login, reads no body, and is never reached by what is refused.
ADDRESS = "/v1/visits/0198c5a2-7d3e-7a10-9a64-3f1d2c5b7e90/progress/ticket"
POST = f"POST {ADDRESS} HTTP/1.1\r\nHost: x\r\n"
SMUGGLED = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"

AMBIGUOUS = {
    "a length and chunks": POST + f"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{SMUGGLED}",
    "chunks and a length": POST + f"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n{SMUGGLED}",
    "two lengths": POST + f"Content-Length: 0\r\nContent-Length: 5\r\n\r\n{SMUGGLED}",
    "the same length twice": POST + f"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{{}}{SMUGGLED}",
    "a list of lengths": POST + f"Content-Length: 2, 2\r\n\r\n{{}}{SMUGGLED}",
    "a signed length": POST + f"Content-Length: +2\r\n\r\n{{}}{SMUGGLED}",
    "a space before the colon": POST + f"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n{SMUGGLED}",
    "chunks that are not last": POST + f"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{SMUGGLED}",
    "an unknown coding": POST + f"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{SMUGGLED}",
    "a folded line": POST + f"X-One: 1\r\n two\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n{SMUGGLED}",
    "a bare line feed": f"POST {ADDRESS} HTTP/1.1\nHost: x\nContent-Length: 0\n\n{SMUGGLED}",
    "a size that is none": POST + f"Transfer-Encoding: chunked\r\n\r\nZZ\r\n\r\n{SMUGGLED}",
    "a NUL in a header": POST + f"X-One: a\0b\r\n\r\n{SMUGGLED}",
    "no host": f"POST {ADDRESS} HTTP/1.1\r\nContent-Length: 0\r\n\r\n{SMUGGLED}",
    "two hosts": POST + f"Host: y\r\nContent-Length: 0\r\n\r\n{SMUGGLED}",
    "another protocol": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no HTTP at all": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "an address in Latin-1": "GET /caf\xe9 HTTP/1.1\r\nHost: x\r\n\r\n",
}
TOO_MUCH = {
    "a long header": (POST + f"X-One: {'a' * HEAD_BYTES}\r\n\r\n", 431),
    "an endless header": (POST + f"X-One: {'a' * 40 * HEAD_BYTES}", 431),
    "many headers": (POST + "".join(f"X-{n}: 1\r\n" for n in range(MOST_HEADERS)) + "\r\n", 431),
    "many small headers": (POST + "X-A: 1\r\n" * HEAD_BYTES, 431),
    "a long address": (f"GET /{'a' * URL_BYTES} HTTP/1.1\r\nHost: x\r\n\r\n", 414),
    "an endless address": (f"GET /{'a' * 40 * HEAD_BYTES}", 414),
    "a long query": (f"GET /?q={'a' * URL_BYTES} HTTP/1.1\r\nHost: x\r\n\r\n", 414),
}


@pytest.fixture
async def gateway(settings: Settings) -> AsyncIterator[StreamGateway]:
    """Serve in this test's own loop."""
    async with open_gateway(settings) as opened:
        yield opened


@asynccontextmanager
async def connect(gateway: StreamGateway) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Open a bare connection that holds little for its reader, and have a deadline for what is done with it."""
    async with asyncio.timeout(SECONDS):
        reader, writer = await asyncio.open_connection(sock=await _connected(gateway), limit=4096)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()


async def _connected(gateway: StreamGateway) -> socket.socket:
    where = urlsplit(gateway.url)
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    await asyncio.get_running_loop().sock_connect(client, (where.hostname, where.port))
    return client


async def answer_to(gateway: StreamGateway, request: str) -> bytes:
    """Send it, and return all that comes until the server closes; a reset may take the answer with it."""
    async with connect(gateway) as (reader, writer):
        answer = bytearray()
        with suppress(ConnectionError):
            writer.write(request.encode("latin-1"))
            while piece := await reader.read(65536):
                answer += piece
        return bytes(answer)


async def still_well(gateway: StreamGateway) -> None:
    """The server answers others, and keeps nothing of those it refused."""
    await eventually(lambda: not gateway.server.server_state.connections)
    async with httpx.AsyncClient(base_url=gateway.url) as client:
        assert (await client.post(ADDRESS)).status_code == 401


def require_problem(answer: bytes, status: int) -> None:
    """One answer, a problem document, and no second one to what was hidden behind it."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.split()[1] == str(status).encode(), answer
    assert b"content-type: application/problem+json" in head
    problem = orjson.loads(body)
    assert (problem["status"], f"x-correlation-id: {problem['correlation_id']}".encode() in head) == (status, True)


@pytest.mark.parametrize("request_", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
async def test_what_may_be_read_in_two_ways_is_refused(gateway: StreamGateway, request_: str) -> None:
    """400 and a closed connection; the request hidden behind it is never answered."""
    require_problem(await answer_to(gateway, request_), 400)
    await still_well(gateway)


@pytest.mark.parametrize(("request_", "status"), TOO_MUCH.values(), ids=TOO_MUCH.keys())
async def test_a_head_has_a_size(gateway: StreamGateway, request_: str, status: int) -> None:
    """431 or 414, unless the reset of a client that still sends overtakes it; and nothing is kept."""
    if answer := await answer_to(gateway, request_):
        require_problem(answer, status)
    await still_well(gateway)


async def send_without_end(writer: asyncio.StreamWriter, piece: bytes) -> NoReturn:
    """Send until the connection breaks."""
    while True:
        writer.write(piece * HEAD_BYTES)
        await writer.drain()


@pytest.mark.parametrize(
    ("begun", "endless"),
    [("0\r\n", "X: 1\r\n"), ("0\r\nX-One: ", "a"), ("1;one=", "a")],
    ids=["trailers", "a trailer", "a chunk's extension"],
)
async def test_what_stands_between_the_pieces_of_a_body_has_a_size(
    gateway: StreamGateway, monkeypatch: pytest.MonkeyPatch, begun: str, endless: str
) -> None:
    """Who sends it without end is let go long before the rest of a body would be late."""
    monkeypatch.setattr(http_limits, "REST_SECONDS", 10 * SECONDS)
    async with connect(gateway) as (reader, writer):
        writer.write(f"{POST}Transfer-Encoding: chunked\r\n\r\n{begun}".encode())
        assert (await reader.readuntil(b"\r\n\r\n")).split()[1] == b"401"
        with pytest.raises(ConnectionError):
            await send_without_end(writer, endless.encode())
    await still_well(gateway)


async def test_a_head_within_its_bounds_is_read(gateway: StreamGateway) -> None:
    """As long and as many as allowed, in two pieces."""
    request = POST + "".join(f"X-{n}: {'a' * 200}\r\n" for n in range(MOST_HEADERS - 3)) + "Connection: close\r\n\r\n"
    async with connect(gateway) as (reader, writer):
        writer.write(request[:700].encode())
        await writer.drain()
        writer.write(request[700:].encode())
        assert (await reader.read()).split()[1] == b"401"


async def test_a_head_that_stops_is_timed_out(gateway: StreamGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """408, and closed."""
    monkeypatch.setattr(http_limits, "HEAD_SECONDS", 0.2)
    require_problem(await answer_to(gateway, f"{POST}X-One: "), 408)
    await still_well(gateway)


async def test_a_head_that_only_drips_is_timed_out(gateway: StreamGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte now and then keeps no connection, however busily it drips; a drop that comes too late resets it."""
    monkeypatch.setattr(http_limits, "HEAD_SECONDS", 0.2)

    async def drip(writer: asyncio.StreamWriter) -> None:
        while not writer.is_closing():
            writer.write(b"a")
            await asyncio.sleep(0.01)

    async with connect(gateway) as (reader, writer):
        writer.write(f"{POST}X-One: ".encode())
        dripping = asyncio.create_task(drip(writer))
        with suppress(ConnectionError):
            await reader.read()
        dripping.cancel()
        await asyncio.gather(dripping, return_exceptions=True)
    await still_well(gateway)


@pytest.mark.parametrize("said", ["", "\r\n\r\n"])
async def test_who_says_nothing_is_let_go(gateway: StreamGateway, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    """A connection that begins no request is closed."""
    monkeypatch.setattr(http_limits, "HEAD_SECONDS", 0.2)
    assert await answer_to(gateway, said) == b""
    await still_well(gateway)


async def test_the_rest_of_a_body_is_not_waited_for_long(
    gateway: StreamGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that needs no body comes at once; what is still to come of it has a deadline."""
    monkeypatch.setattr(http_limits, "REST_SECONDS", 0.2)
    answer = await answer_to(gateway, f"{POST}Content-Length: 1000000\r\n\r\n{{")
    require_problem(answer, 401)
    await still_well(gateway)


async def test_a_body_that_comes_after_its_answer_leaves_the_connection_good(gateway: StreamGateway) -> None:
    """The next request on it is answered."""
    async with connect(gateway) as (reader, writer):
        writer.write(f"{POST}Content-Length: 2\r\n\r\n".encode())
        assert (await reader.readuntil(b"\r\n\r\n")).split()[1] == b"401"
        writer.write(f"{{}}{POST}Content-Length: 0\r\nConnection: close\r\n\r\n".encode())
        assert (await reader.read()).count(b"HTTP/1.1 401") == 1


async def test_who_has_just_connected_is_answered_by_who_leaves(
    gateway: StreamGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that was accepted is nobody else's: its request is answered, and then it is closed."""
    monkeypatch.setattr(http_limits, "LAST_WORD_SECONDS", SECONDS)
    async with connect(gateway) as (reader, writer):
        await eventually(lambda: gateway.server.server_state.connections)
        for connection in gateway.server.server_state.connections:
            connection.shutdown()
        writer.write(f"{POST}Content-Length: 0\r\n\r\n".encode())
        answer = await reader.read()
    assert answer.split()[1] == b"401"
    assert b"connection: close" in answer


async def test_who_connects_to_who_leaves_and_says_nothing_is_let_go(
    gateway: StreamGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds up no restart."""
    monkeypatch.setattr(http_limits, "LAST_WORD_SECONDS", 0.1)
    async with connect(gateway) as (reader, _):
        await eventually(lambda: gateway.server.server_state.connections)
        for connection in gateway.server.server_state.connections:
            connection.shutdown()
        assert await reader.read() == b""


async def test_who_reads_no_answer_is_let_go(gateway: StreamGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers that nobody reads fill what the kernel takes, and then end with their connection."""
    monkeypatch.setattr(http_limits, "READ_SECONDS", 0.2)
    with await _connected(gateway) as deaf:
        await asyncio.get_running_loop().sock_sendall(
            deaf, b"GET /static/shared/scopekit.css HTTP/1.1\r\nHost: x\r\n\r\n" * 500
        )
        await eventually(lambda: gateway.server.server_state.connections)
        await still_well(gateway)


async def test_who_reads_slowly_is_waited_for(gateway: StreamGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that goes on, a little at a time, has all of it."""
    monkeypatch.setattr(http_limits, "READ_SECONDS", 5.0)
    monkeypatch.setattr(http_limits, "READ_BYTES", 1)
    count = 100
    async with connect(gateway) as (reader, writer):
        writer.write(b"GET /static/shared/scopekit.css HTTP/1.1\r\nHost: x\r\n\r\n" * (count - 1))
        writer.write(b"GET /static/shared/scopekit.css HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answers = bytearray()
        while piece := await reader.read(1024):
            answers += piece
    assert answers.count(b"HTTP/1.1 200 OK") == count
