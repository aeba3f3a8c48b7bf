"""The doorbell: quick, harmless, and never the caller's problem."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

import orjson
import pytest
from arq.connections import ArqRedis
from redis.exceptions import RedisError

from config.settings import Settings
from jobs.wakeup.arq_listener import ArqListener
from jobs.wakeup.notifier import MAX_RINGING, Doorbell
from jobs.wakeup.redis_client import QUEUE, close_redis, open_redis
from tests.product import free_port
from tests.support.servers.proxy import proxy_to


@pytest.fixture
async def redis(settings: Settings) -> AsyncIterator[ArqRedis]:
    """Open an empty Redis number."""
    client = open_redis(str(settings.redis_url))
    await client.flushdb()
    yield client
    await close_redis(client)


@pytest.fixture
def black_hole() -> Iterator[str]:
    """Accept connections and never say a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}/0"


async def test_a_proxy_that_hangs_up_is_a_redis_that_is_away() -> None:
    """Who takes the connection and drops it is told as an error, not tried again inside the trial before."""
    server = await asyncio.start_server(lambda _, writer: writer.transport.abort(), "127.0.0.1", 0)
    client = open_redis(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0")
    with pytest.raises(RedisError):
        async with asyncio.timeout(10.0):
            await client.exists("anything")
    await close_redis(client)
    server.close()


async def test_each_ring_is_a_wake_of_its_own(redis: ArqRedis, settings: Settings) -> None:
    """A fixed id would swallow the ring that comes while a wake is being served."""
    doorbell = Doorbell(open_redis(str(settings.redis_url)))
    for _ in range(3):
        await doorbell.ring()
    assert await redis.zcard(QUEUE) == 3
    await doorbell.close()


async def test_wakes_are_json_and_pass_away(redis: ArqRedis, settings: Settings) -> None:
    """What lies in Redis is no pickle, and an unheard wake is gone after a minute."""
    doorbell = Doorbell(open_redis(str(settings.redis_url)))
    await doorbell.ring()
    (key,) = await redis.keys("arq:job:*")
    assert orjson.loads(await redis.get(key))["f"] == "wake"
    assert 0 < await redis.pttl(key) <= 60_000
    await doorbell.close()


@pytest.mark.parametrize("kind", ["refused", "black hole"])
async def test_a_ring_never_fails_and_never_takes_long(kind: str, black_hole: str) -> None:
    """With Redis away, refusing or silent, the request goes on within 50 ms and some slack."""
    doorbell = Doorbell(open_redis(black_hole if kind == "black hole" else f"redis://127.0.0.1:{free_port()}/0"))
    for _ in range(3):
        began = time.monotonic()
        await doorbell.ring()
        assert time.monotonic() - began < 0.3
    await doorbell.close()


async def test_rings_under_way_are_bounded(black_hole: str) -> None:
    """A flood of requests during an outage does not pile up tasks."""
    doorbell = Doorbell(open_redis(black_hole))
    await asyncio.gather(*(doorbell.ring() for _ in range(50)))
    assert len(doorbell._ringing) == MAX_RINGING
    await doorbell.close()


class Hall:
    """Where the listener's calls arrive."""

    def __init__(self) -> None:
        self.woken = asyncio.Event()

    def wake(self) -> None:
        """Note a wake."""
        self.woken.set()

    async def sweep(self) -> None:
        """Fail, as a sweep must be allowed to."""
        raise RuntimeError


async def _kill_others(redis: ArqRedis) -> None:
    """End every connection to our own database of the server, which other tests use at the same time."""
    clients, own = await redis.client_list(), await redis.client_id()
    [database] = {client["db"] for client in clients if client["id"] == str(own)}
    for client in clients:
        if client["db"] == database and client["id"] != str(own):
            await redis.client_kill_filter(_id=client["id"])


async def _rung(hall: Hall, doorbell: Doorbell) -> None:
    """Ring until somebody hears it."""
    hall.woken.clear()
    async with asyncio.timeout(15):
        while not hall.woken.is_set():
            await doorbell.ring()
            await asyncio.wait([asyncio.ensure_future(hall.woken.wait())], timeout=0.2)


async def test_the_doorman_hears_wakes_and_outlives_what_arq_does_not(redis: ArqRedis, settings: Settings) -> None:
    """FLUSHALL, killed connections and nonsense in the queue: he still hears the next ring."""
    hall, doorbell = Hall(), Doorbell(open_redis(str(settings.redis_url)))
    listener = ArqListener(str(settings.redis_url), hall.wake, hall.sweep)
    listening = asyncio.create_task(listener.listen_forever())
    await _rung(hall, doorbell)
    await redis.flushdb()
    await _rung(hall, doorbell)
    await _kill_others(redis)
    await _rung(hall, doorbell)
    await redis.set("arq:job:broken", b"\x80not json")
    await redis.zadd(QUEUE, {"broken": int(time.time() * 1000)})
    await redis.enqueue_job("no such function")
    await _rung(hall, doorbell)
    assert not listening.done()
    listening.cancel()
    await asyncio.wait([listening], timeout=5)
    await doorbell.close()


async def test_the_doorman_waits_for_a_redis_that_is_not_there_yet(settings: Settings) -> None:
    """Down at the start is no reason to end; he is there when Redis is."""
    hall = Hall()
    port = free_port()
    server = urlsplit(str(settings.redis_url))
    url = server._replace(netloc=f":{server.password}@127.0.0.1:{port}").geturl()
    listener = ArqListener(url, hall.wake, hall.sweep)
    listening = asyncio.create_task(listener.listen_forever())
    await asyncio.wait([listening], timeout=0.3)
    assert not listening.done()

    async with proxy_to(str(settings.redis_url), port):  # Redis appears
        doorbell = Doorbell(open_redis(url))
        await _rung(hall, doorbell)
        listening.cancel()
        await asyncio.wait([listening], timeout=5)
        await doorbell.close()
