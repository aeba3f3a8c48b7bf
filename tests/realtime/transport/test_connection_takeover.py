"""A connection that leaves uvicorn for the hub, and what uvicorn is left with."""

import asyncio
import gc
import ssl
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

import pytest

from config.settings import Settings
from realtime.transport.connection import ConnectionSink
from store.pool import Database
from tests.realtime.feed.watcher import eventually, is_open, path, watch
from tests.realtime.stream_gateway import StreamGateway, make_visit, open_gateway, tell
from tests.support.servers.certificate import certificate
from tests.tenants import Tenant


def sinks(gateway: StreamGateway) -> list[type]:
    """Return what each live stream is written by."""
    return [type(subscriber._sink) for subscriber in gateway.hub._wheel.all() if subscriber._sink]


@asynccontextmanager
async def connect(gateway: StreamGateway) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Open a bare connection."""
    address = urlsplit(gateway.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


def request(visit: UUID, tenant: Tenant) -> bytes:
    """Write a request for a stream."""
    return f"GET {path(visit)} HTTP/1.1\r\nhost: x\r\nauthorization: {tenant.headers['authorization']}\r\n\r\n".encode()


async def test_uvicorn_keeps_nothing_of_a_stream(
    gateway: StreamGateway, db: Database, tenant: Tenant, visit: UUID
) -> None:
    """While the stream is open, uvicorn knows no connection and no task of it, and events and heartbeats come."""
    state = gateway.server.server_state
    async with watch(gateway.url, path(visit), headers=tenant.headers) as watcher:
        await watcher.until(is_open)
        await eventually(lambda: sinks(gateway) == [ConnectionSink])
        await eventually(lambda: not state.tasks)
        assert (state.connections, state.total_requests) == (set(), 1)
        await tell(db, tenant, visit, "a.b", "job.completed")
        await watcher.until_closed()
    assert (watcher.seqs, watcher.broken) == ([1, 2], False)


async def test_a_connection_that_is_lost_is_gone_at_once(gateway: StreamGateway) -> None:
    """Nobody has to search for what holds itself: not the protocol, and not the request it had last."""
    gc.disable()
    try:
        async with connect(gateway) as (reader, writer):
            writer.write(b"GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n")
            await reader.readline()
            left = [weakref.ref(protocol) for protocol in gateway.server.server_state.connections]
            assert len(left) == 1
        await eventually(lambda: left[0]() is None)
    finally:
        gc.enable()


async def test_a_stream_with_requests_behind_it_stays_with_uvicorn(
    gateway: StreamGateway, db: Database, tenant: Tenant, visit: UUID
) -> None:
    """With a pipelined request the connection is not handed over; it streams all the same, and closes."""
    async with connect(gateway) as (reader, writer):
        writer.write(request(visit, tenant) + b"GET /v1/nowhere HTTP/1.1\r\nhost: x\r\n\r\n")
        async with asyncio.timeout(5):
            await reader.readuntil(b"event: hello")
            await eventually(lambda: len(sinks(gateway)) == 1)
            assert sinks(gateway) != [ConnectionSink]
            await tell(db, tenant, visit, "a.b", "job.completed")
            await reader.readuntil(b'"type":"a.b"')
            await reader.readuntil(b"event: end")
            assert b"HTTP/1.1" not in await reader.read()


@pytest.mark.parametrize("half", [True, False], ids=["half-close", "reset"])
async def test_a_client_that_leaves_is_noticed(gateway: StreamGateway, tenant: Tenant, visit: UUID, half: bool) -> None:
    """Whether it says goodbye or not, its stream is freed at once."""
    async with connect(gateway) as (reader, writer):
        writer.write(request(visit, tenant))
        async with asyncio.timeout(5):
            await reader.readuntil(b"event: hello")
        await eventually(lambda: sinks(gateway) == [ConnectionSink])
        writer.write_eof() if half else writer.transport.abort()
        await eventually(lambda: gateway.hub.stats()["streams"] == 0)
    assert gateway.hub.channels == {}


async def test_a_client_that_talks_on_is_cut_off(gateway: StreamGateway, tenant: Tenant, visit: UUID) -> None:
    """A few stray bytes are ignored; a flood of them ends the stream."""
    async with connect(gateway) as (reader, writer):
        writer.write(request(visit, tenant))
        async with asyncio.timeout(5):
            await reader.readuntil(b"event: hello")
        await eventually(lambda: sinks(gateway) == [ConnectionSink])
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0)
        assert gateway.hub.stats()["streams"] == 1
        writer.write(b"x" * 100_000)
        await eventually(lambda: gateway.hub.stats()["streams"] == 0)


async def test_a_stream_is_handed_over_under_tls(
    settings: Settings, db: Database, tenant: Tenant, tmp_path: Path
) -> None:
    """Encrypted connections change hands too, and end as they should."""
    visit = await make_visit(db, tenant)
    cert, key = certificate(tmp_path)
    trust = ssl.create_default_context(cafile=str(cert))
    async with (
        open_gateway(settings, tls=(cert, key)) as gateway,
        watch(gateway.url, path(visit), headers=tenant.headers, verify=trust) as watcher,
    ):
        await watcher.until(is_open)
        await eventually(lambda: sinks(gateway) == [ConnectionSink])
        await tell(db, tenant, visit, *["a.b"] * 5, "job.completed")
        await watcher.until_closed()
    assert (watcher.seqs, watcher.broken) == ([1, 2, 3, 4, 5, 6], False)
