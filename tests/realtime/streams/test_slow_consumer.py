"""Readers that do not keep up: bounded, cut off, resumed, and nobody else waits."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
import pytest

from config.settings import Settings
from realtime.channels.subscriber import Subscriber
from realtime.transport.connection import ConnectionSink
from store.pool import Database
from tests.realtime.client.eventsource import EventStream
from tests.realtime.feed.island import CLIENT, SERVER, Island, NoIsland
from tests.realtime.feed.watcher import eventually, is_open, path, watch
from tests.realtime.stream_gateway import StreamGateway, make_visit, open_gateway, tell
from tests.tenants import Tenant

Connection = asyncpg.Connection
BEAT_SECONDS = 0.5


@pytest.fixture(params=["connection", "asgi"])
def writer(request: pytest.FixtureRequest) -> str:
    """Hold for both writers."""
    name: str = request.param
    return name


def subscribers(gateway: StreamGateway) -> list[Subscriber]:
    """Return every open stream."""
    return [m for c in gateway.hub.channels.values() for m in c.members if isinstance(m, Subscriber)]


@asynccontextmanager
async def stalled(
    gateway: StreamGateway, visit: UUID, tenant: Tenant, raw: socket.socket | None = None
) -> AsyncIterator[socket.socket]:
    """Open a stream on a socket with a small buffer, and read nothing of it."""
    address = urlsplit(gateway.url)
    raw = raw or socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(raw, (address.hostname, address.port))
    request = f"GET {path(visit)} HTTP/1.1\r\nhost: x\r\nauthorization: {tenant.headers['authorization']}\r\n\r\n"
    await loop.sock_sendall(raw, request.encode())
    try:
        await eventually(lambda: any(member._sink for member in subscribers(gateway)))
        yield raw
    finally:
        raw.close()


async def drained(raw: socket.socket) -> EventStream:
    """Read all that comes until the server closes."""
    loop = asyncio.get_running_loop()
    received = b""
    async with asyncio.timeout(10):
        try:
            while piece := await loop.sock_recv(raw, 65536):
                received += piece
        except ConnectionResetError:
            pass
    stream = EventStream()
    body = received.partition(b"\r\n\r\n")[2]
    # Undo the chunked coding as far as it goes: a stream that is cut off may end inside a chunk.
    while body:
        size, _, rest = body.partition(b"\r\n")
        length = int(size or b"0", 16)
        if length == 0:
            break
        stream.feed(rest[:length])
        body = rest[length + 2 :]
    return stream


async def flood(admin: "asyncpg.Connection[asyncpg.Record]", visit: UUID, count: int, type_: str, size: int) -> None:
    """Insert many events of `size` bytes, each in a transaction of its own."""
    payload = {"step": "look", "done": 1, "total": 1, "item": "x" * size}
    for _ in range(count):
        await admin.execute(
            "INSERT INTO processing_events (visit_id, type, payload) VALUES ($1, $2, $3)", visit, type_, payload
        )


async def test_a_stalled_reader_is_cut_off_and_delays_nobody(
    gateway: StreamGateway, db: Database, admin: "asyncpg.Connection[asyncpg.Record]", tenant: Tenant, visit: UUID
) -> None:
    """A reader past its 256 KiB is closed; one beside it gets every event meanwhile, and a resume misses none."""
    async with stalled(gateway, visit, tenant) as raw, watch(gateway.url, path(visit), headers=tenant.headers) as other:
        await other.until(is_open)
        sent = 0
        while gateway.hub.stats()["slow"] == 0:
            await flood(admin, visit, 20, "a.b", 7_000)
            sent += 20
            assert sent < 200
            await other.until_seq(sent)
        assert gateway.hub.stats()["streams"] == 1
        got = await drained(raw)
    assert other.seqs == list(range(1, sent + 1))
    last = int(got.last_event_id)
    assert [int(m.id) for m in got.messages if m.event == "message"] == list(range(last + 1))  # 0 is the snapshot
    async with watch(gateway.url, path(visit), headers=tenant.headers, last_id=last) as resumed:
        await resumed.until_seq(sent)
    assert resumed.seqs == list(range(last + 1, sent + 1))


async def test_a_slow_readers_progress_is_thinned_not_cut(
    gateway: StreamGateway, db: Database, admin: "asyncpg.Connection[asyncpg.Record]", tenant: Tenant, visit: UUID
) -> None:
    """When progress alone piles up, only the newest is kept, and the reader that wakes gets on with the stream."""
    async with stalled(gateway, visit, tenant) as raw, watch(gateway.url, path(visit), headers=tenant.headers) as other:
        await other.until(is_open)
        await flood(admin, visit, 300, "step.progress", 7_000)
        await tell(db, tenant, visit, "job.completed")
        await other.until_closed()
        assert gateway.hub.stats()["slow"] == 0
        got = await drained(raw)
    seqs = [int(m.id) for m in got.messages if m.event == "message"]
    assert seqs == sorted(set(seqs))
    assert (seqs[-2:], len(seqs) < 301) == ([300, 301], True)
    assert got.messages[-1].json == {"reason": "completed"}
    assert gateway.hub.stats()["superseded"] == 302 - len(seqs)  # 0 is the snapshot


async def test_a_reader_that_takes_nothing_between_two_heartbeats_is_let_go(
    settings: Settings, writer: str, db: Database, admin: "asyncpg.Connection[asyncpg.Record]", tenant: Tenant
) -> None:
    """A dead client with a full socket does not keep its stream for ever."""
    visit = await make_visit(db, tenant)
    async with open_gateway(settings, writer=writer, heartbeat_s=0.4) as gateway, stalled(gateway, visit, tenant):
        [slow] = subscribers(gateway)
        while slow._backlog is None and not slow.ended:
            await flood(admin, visit, 20, "step.progress", 7_000)
        await eventually(lambda: gateway.hub.stats()["streams"] == 0)
        assert gateway.hub.stats()["slow"] + gateway.hub.stats()["vanished"] == 1  # whoever was first, we or the kernel


@pytest.mark.parametrize("writer", ["connection"])  # what another server holds back is its own
async def test_stalled_readers_hold_no_more_than_their_share(
    gateway: StreamGateway, db: Database, admin: "asyncpg.Connection[asyncpg.Record]", tenant: Tenant, visit: UUID
) -> None:
    """From their first unread event to their end, what waits for each of three stalled readers is within 256 KiB."""
    held = []
    async with AsyncExitStack() as opened:
        for _ in range(3):
            await opened.enter_async_context(stalled(gateway, visit, tenant))
        await eventually(lambda: gateway.hub.stats()["opened"] == 3)
        for number in range(200):
            await flood(admin, visit, 1, "a.b", 7_000)
            await heard(gateway, number + 1)  # or several come at once, and are not seen to wait
            members = subscribers(gateway)
            held += [_held(member) for member in members]
            if not members:
                break
    assert gateway.hub.stats()["slow"] == 3
    assert 128 * 1024 < max(held) <= 256 * 1024


async def heard(gateway: StreamGateway, events: int) -> None:
    """Wait until the hub has heard of so many events, or nobody watches any more."""
    await eventually(lambda: gateway.hub.stats()["events"] >= events or not gateway.hub.channels)


def _held(member: Subscriber) -> int:
    """Return the bytes that wait for a reader in this process."""
    assert isinstance(member._sink, ConnectionSink)
    waiting = member._backlog._bytes if member._backlog is not None else 0
    return member._sink._transport.get_write_buffer_size() + waiting


def turns(gateway: StreamGateway) -> int:
    """Return how often the wheel has turned, four times in a heartbeat as short as ours."""
    return gateway.hub.lag.buckets()[-1][1]


async def test_a_client_that_vanished_is_gone_two_heartbeats_later(
    settings: Settings, db: Database, tenant: Tenant
) -> None:
    """Its host answers nothing any more, with room left in its socket; a client that only reads nothing stays."""
    visit = await make_visit(db, tenant)
    async with AsyncExitStack() as opened:
        try:
            island = opened.enter_context(Island())
        except NoIsland as error:
            pytest.skip(f"no network of our own to be had here: {error}")
        listener, raw = island.socket(), island.socket()
        listener.bind((SERVER, 0))
        listener.listen()
        raw.bind((CLIENT, 0))
        gateway = await opened.enter_async_context(open_gateway(settings, heartbeat_s=BEAT_SECONDS, listener=listener))
        await opened.enter_async_context(stalled(gateway, visit, tenant, raw))
        await eventually(lambda: gateway.hub.stats()["opened"] == 1)
        await eventually(lambda: turns(gateway) >= 16)  # four heartbeats: it reads nothing, but its host answers
        assert gateway.hub.stats()["streams"] == 1
        island.vanish()
        # Two heartbeats are the promise: one until something is sent, one of silence. The rest is for a busy machine.
        await eventually(lambda: gateway.hub.stats()["streams"] == 0, seconds=10 * BEAT_SECONDS)
        assert gateway.hub.stats()["vanished"] == 1
