"""The client of Redis loses no connection, wherever a transaction is cut short."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.exceptions import WatchError

from config.settings import Settings
from jobs.wakeup.redis_client import RedisClient, close_redis, open_redis
from tests.support.servers.proxy import Proxy, proxy_to

DEADLINE_SECONDS = 30.0


@pytest.fixture
async def way(settings: Settings) -> AsyncIterator[Proxy]:
    """Put a way to Redis that can be cut."""
    async with proxy_to(str(settings.redis_url)) as way:
        yield way


@pytest.fixture
async def client(way: Proxy) -> AsyncIterator[RedisClient]:
    """Open a client that has a single connection: one that is lost leaves none."""
    client = open_redis(way.url)
    client.connection_pool.max_connections = 1
    yield client
    await close_redis(client)


async def test_a_transaction_that_meets_silence_gives_its_connection_back(client: RedisClient, way: Proxy) -> None:
    """It is cancelled, and cancelled again: nothing is left open to a server that will not answer."""

    async def transact() -> None:
        async with client.pipeline(transaction=True) as pipe:
            await pipe.watch("somebody")
            way.black_hole()
            await pipe.exists("somebody")

    async with asyncio.timeout(DEADLINE_SECONDS):
        task = asyncio.create_task(transact())
        while not task.done():
            await asyncio.sleep(0)
            if not way.passes:
                task.cancel()
        way.mend()
        assert await client.exists("anybody") == 0


async def test_a_transaction_may_be_cut_short_anywhere(client: RedisClient) -> None:
    """After any number of turns of the loop, twice, or three times: the next finds a connection."""

    async def transact() -> None:
        async with client.pipeline(transaction=True) as pipe:
            await pipe.watch("somebody")
            await pipe.exists("somebody")
            pipe.multi()  # type: ignore[no-untyped-call]
            pipe.psetex("somebody", 60_000, b"1")
            await pipe.execute()

    async with asyncio.timeout(DEADLINE_SECONDS):
        for turns in range(120):
            task = asyncio.create_task(transact())
            for between in (turns, turns % 5, turns % 3):
                for _ in range(between):
                    await asyncio.sleep(0)
                task.cancel()
            await asyncio.wait({task})
            assert task.cancelled() or isinstance(task.exception(), WatchError | None)
            assert await client.exists("anybody") == 0
