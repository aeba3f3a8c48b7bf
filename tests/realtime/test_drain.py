"""A process that stops lets its streams go gently."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from store.pool import Database
from tests.product import ROOT, free_port, wait_until_ready
from tests.realtime.eventsource import EventStream
from tests.realtime.house import DRAIN_SECONDS, House, make_visit, tell
from tests.realtime.watcher import eventually, is_open, path, watch
from tests.stack import Services
from tests.tenants import Tenant


@pytest.fixture(params=["connection", "asgi"])
def writer(request: pytest.FixtureRequest) -> str:
    """Hold for both writers."""
    name: str = request.param
    return name


async def test_a_drain_says_goodbye_over_its_window(house: House, db: Database, tenant: Tenant, visit: UUID) -> None:
    """Each open stream gets `drain`, a retry and its close, one after the other; events go on coming until then."""
    loop = asyncio.get_running_loop()
    opened = [watch(house.url, path(visit), headers=tenant.headers) for _ in range(8)]
    watchers = [await each.__aenter__() for each in opened]
    for watcher in watchers:
        await watcher.until(is_open)
    closed: list[float] = []
    for watcher in watchers:
        asyncio.create_task(watcher.closed.wait()).add_done_callback(lambda _: closed.append(loop.time()))
    began = loop.time()
    house.server.handle_exit(signal.SIGTERM, None)
    await eventually(lambda: house.hub.draining)
    await tell(db, tenant, visit, "a.b")
    for watcher in watchers:
        await watcher.until_closed()
    await eventually(lambda: house.server.should_exit)
    assert [len(watcher.named("drain")) for watcher in watchers] == [1] * 8
    assert all(len(watcher.stream.retries) == 2 for watcher in watchers)
    assert closed[-1] - began < DRAIN_SECONDS + 1
    assert closed[-1] - closed[0] > DRAIN_SECONDS / 2
    assert sum(watcher.seqs == [1] for watcher in watchers) >= 4
    for each in opened:
        await each.__aexit__(None, None, None)


async def test_a_draining_process_refuses_softly(house: House, tenant: Tenant, visit: UUID) -> None:
    """A stream that comes during the drain is sent on with `busy`."""
    house.hub.draining = True
    async with httpx.AsyncClient(base_url=house.url) as client:
        answer = await client.get(path(visit), headers=tenant.headers)
    stream = EventStream()
    stream.feed(answer.content)
    assert (answer.status_code, stream.messages[0].json) == (200, {"reason": "busy"})


async def test_a_gateway_told_to_stop_drains_and_exits(
    services: Services, db: Database, tenant: Tenant, tmp_path: Path
) -> None:
    """SIGTERM to the real process: not ready any more, `drain` to its streams, and gone within W + 1 s."""
    visit, port = await make_visit(db, tenant), free_port()
    url, log = f"http://127.0.0.1:{port}", tmp_path / "gateway.log"
    environment = services.environment(PORT=str(port), DRAIN_SECONDS="1")
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
            loop = asyncio.get_running_loop()
            began = loop.time()
            os.kill(process.pid, signal.SIGTERM)
            async with httpx.AsyncClient(base_url=url) as client, asyncio.timeout(2):
                while (await client.get("/readyz")).status_code != 503:
                    pass
            for watcher in (one, two):
                await watcher.until_closed()
            assert [len(watcher.named("drain")) for watcher in (one, two)] == [1, 1]
            await asyncio.to_thread(process.wait, 5)
            assert loop.time() - began < 3.5  # W + 1 s, and half as much again for a busy machine
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(5)
