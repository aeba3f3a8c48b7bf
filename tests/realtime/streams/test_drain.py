"""A process that stops lets its streams go gently."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from store.pool import Database
from tests.product import ROOT, free_port, wait_until_ready
from tests.realtime.client.eventsource import EventStream
from tests.realtime.feed.watcher import SECONDS, Watcher, eventually, is_open, path, watch
from tests.realtime.stream_gateway import StreamGateway, make_visit, tell
from tests.stack import Services
from tests.tenants import Tenant

# Eight streams go over it, the first within an eighth: a slow machine has the rest of it to tell the others.
LONG_WINDOW_SECONDS = 16.0


@asynccontextmanager
async def watching(gateway: StreamGateway, tenant: Tenant, visit: UUID, count: int) -> AsyncIterator[list[Watcher]]:
    """Hold so many streams of a visit open."""
    async with AsyncExitStack() as opened:
        watchers = [
            await opened.enter_async_context(watch(gateway.url, path(visit), headers=tenant.headers))
            for _ in range(count)
        ]
        for watcher in watchers:
            await watcher.until(is_open)
        yield watchers


@pytest.fixture(params=["connection", "asgi"])
def writer(request: pytest.FixtureRequest) -> str:
    """Hold for both writers."""
    name: str = request.param
    return name


async def test_a_drain_says_goodbye_to_each(gateway: StreamGateway, tenant: Tenant, visit: UUID) -> None:
    """Each open stream gets `drain`, a retry and its close; then the server ends."""
    async with watching(gateway, tenant, visit, 8) as watchers:
        gateway.server.handle_exit(signal.SIGTERM, None)
        for watcher in watchers:
            await watcher.until_closed()
        await eventually(lambda: gateway.server.should_exit)
    assert [len(watcher.named("drain")) for watcher in watchers] == [1] * 8
    assert all(len(watcher.stream.retries) == 2 for watcher in watchers)


async def test_events_go_on_coming_until_a_stream_is_closed(
    gateway: StreamGateway, db: Database, tenant: Tenant, visit: UUID
) -> None:
    """Streams go one after the other; who is still open when something happens is told."""
    async with watching(gateway, tenant, visit, 8) as watchers:
        draining = asyncio.create_task(gateway.hub.drain(LONG_WINDOW_SECONDS))
        await eventually(lambda: any(watcher.closed.is_set() for watcher in watchers))
        await tell(db, tenant, visit, "a.b")
        await eventually(lambda: any(watcher.seqs == [1] for watcher in watchers))
        draining.cancel()


async def test_a_draining_process_refuses_softly(gateway: StreamGateway, tenant: Tenant, visit: UUID) -> None:
    """A stream that comes during the drain is sent on with `busy`."""
    gateway.hub.admission.draining = True
    async with httpx.AsyncClient(base_url=gateway.url) as client:
        answer = await client.get(path(visit), headers=tenant.headers)
    stream = EventStream()
    stream.feed(answer.content)
    assert (answer.status_code, stream.messages[0].json) == (200, {"reason": "busy"})


async def test_a_gateway_told_to_stop_drains_and_exits(
    services: Services, db: Database, tenant: Tenant, tmp_path: Path
) -> None:
    """SIGTERM to the real process: not ready any more, `drain` to its streams, and gone."""
    visit, port = await make_visit(db, tenant), free_port()
    url, log = f"http://127.0.0.1:{port}", tmp_path / "gateway.log"
    environment = services.environment(PORT=str(port), DRAIN_SECONDS="3")
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: ASYNC220 - its waits are short and bounded
            [sys.executable, "-m", "gateway", "serve"], cwd=ROOT, env=environment, stdout=output, stderr=output
        )
    try:
        await asyncio.to_thread(wait_until_ready, url, process, log)
        async with (
            watch(url, path(visit), headers=tenant.headers) as one,
            watch(url, path(visit), headers=tenant.headers) as two,
        ):
            for watcher in (one, two):
                await watcher.until(is_open)
            os.kill(process.pid, signal.SIGTERM)
            async with httpx.AsyncClient(base_url=url) as client, asyncio.timeout(SECONDS):
                while (await client.get("/readyz")).status_code != 503:
                    pass
            for watcher in (one, two):
                await watcher.until_closed()
            assert [len(watcher.named("drain")) for watcher in (one, two)] == [1, 1]
            await asyncio.to_thread(process.wait, SECONDS)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(5)
