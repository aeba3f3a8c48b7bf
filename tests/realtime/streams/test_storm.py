"""Many who come back at once."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import pytest

from config.settings import Settings
from realtime.streams.stream_limits import Limits
from store.pool import Connection, Database
from tests.realtime.client.eventsource import EventStream
from tests.realtime.feed.watcher import is_open, path, watch
from tests.realtime.stream_gateway import StreamGateway, make_visit, open_gateway, tell
from tests.tenants import Tenant

CLIENTS = 200


@pytest.fixture
async def gateway(settings: Settings) -> AsyncIterator[StreamGateway]:
    """Run a gateway that lets one user have many streams."""
    async with open_gateway(settings, limits=Limits(per_user=1_000)) as opened:
        yield opened


@pytest.fixture
def lent(gateway: StreamGateway, monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Count how often the gateway borrows a connection, which every query of it does."""
    times: list[None] = []
    own, connection = gateway.hub._history._db, Database.connection

    @asynccontextmanager
    async def counted(db: Database) -> AsyncIterator[Connection]:
        if db is own:
            times.append(None)
        async with connection(db) as lent:
            yield lent

    monkeypatch.setattr(Database, "connection", counted)
    return times


@contextmanager
def aborted(writer: asyncio.StreamWriter) -> Iterator[None]:
    """Hang up at the end of the block."""
    yield
    writer.transport.abort()


async def resumed(
    gateway: StreamGateway, token: str, visit: UUID, *, last_id: int, until: bytes, opened: ExitStack
) -> EventStream:
    """Open a stream on a bare socket, which costs a test little, read up to a piece of text, and keep it open."""
    address = urlsplit(gateway.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    head = f"GET {path(visit)} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n"
    opened.enter_context(aborted(writer))
    writer.write(f"{head}last-event-id: {last_id}\r\n\r\n".encode())
    received = await reader.readuntil(until) + await reader.readuntil(b"\r\n")
    stream = EventStream()
    stream.feed(received)
    return stream


def ids(stream: EventStream) -> list[int]:
    """Return the ids of the events, each once for each time it came."""
    return [int(message.id) for message in stream.messages if message.event == "message"]


async def storm(
    gateway: StreamGateway, tokens: list[str], visits: list[UUID], last: int, *, spread: int = 1
) -> list[EventStream]:
    """Let all clients resume at once, after one of `spread` events, and read up to the last one."""
    text = f'"seq":{last},'.encode()
    with ExitStack() as opened:
        coming = (
            resumed(
                gateway,
                tokens[n % len(tokens)],
                visits[n % len(visits)],
                last_id=10 + n % spread,
                until=text,
                opened=opened,
            )
            for n in range(CLIENTS)
        )
        async with asyncio.timeout(30):
            return await asyncio.gather(*coming)


async def test_a_storm_of_resumes_costs_two_queries_a_visit(
    gateway: StreamGateway, db: Database, tenant: Tenant, visit: UUID, lent: list[None]
) -> None:
    """Nobody watched when two hundred come back: may they, and what have they missed, is asked once for all."""
    await tell(db, tenant, visit, *["a.b"] * 30)
    lent.clear()
    streams = await storm(gateway, [tenant.token()], [visit], 30)
    assert len(lent) <= 2
    assert [ids(stream) for stream in streams] == [list(range(11, 31))] * CLIENTS


async def test_a_storm_of_many_users_is_not_asked_about_one_by_one(
    gateway: StreamGateway, db: Database, admin: Any, tenant: Tenant, lent: list[None]
) -> None:
    """Forty users and four visits: whose visit it is, what was missed and who is a member are two queries a visit."""
    users = [uuid4() for _ in range(40)]
    await admin.executemany("INSERT INTO memberships VALUES ($1, $2)", [(tenant.id, user) for user in users])
    visits = [await make_visit(db, tenant) for _ in range(4)]
    for visit in visits:
        await tell(db, tenant, visit, *["a.b"] * 30)
    lent.clear()
    streams = await storm(gateway, [tenant.token(sub=str(user)) for user in users], visits, 30)
    assert len(lent) <= 2 * len(visits)
    assert [ids(stream) for stream in streams] == [list(range(11, 31))] * CLIENTS


async def test_a_storm_beside_a_watcher_needs_no_query(
    gateway: StreamGateway, db: Database, tenant: Tenant, visit: UUID, lent: list[None]
) -> None:
    """While a neighbour watches, what it may and what it was given is known for the rest."""
    async with watch(gateway.url, path(visit), headers=tenant.headers) as first:
        await first.until(is_open)
        await tell(db, tenant, visit, *["a.b"] * 30)
        await first.until_seq(30)
        lent.clear()
        streams = await storm(gateway, [tenant.token()], [visit], 30, spread=2)
    assert len(lent) == 0
    assert [ids(stream) for stream in streams] == [list(range(11 + n % 2, 31)) for n in range(CLIENTS)]


async def test_what_a_neighbour_may_is_forgotten_with_the_flag(
    gateway: StreamGateway, admin: Any, tenant: Tenant, other_tenant: Tenant, visit: UUID
) -> None:
    """Another tenant is refused beside a watcher; once the flag is off, everybody is."""
    async with watch(gateway.url, path(visit), headers=tenant.headers) as first:
        await first.until(is_open)
        async with watch(gateway.url, path(visit), headers=other_tenant.headers, last_id=0) as foreign:
            assert foreign.response.status_code == 404
        await admin.execute("UPDATE tenant_settings SET feature_flags = '{}' WHERE tenant_id = $1", tenant.id)
        await first.until_closed()
        async with watch(gateway.url, path(visit), headers=tenant.headers, last_id=0) as late:
            assert late.response.status_code == 404
