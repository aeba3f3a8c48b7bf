"""The doorbell: an arq job `wake` that says there is something to claim. Losing one loses nothing but a second."""

import asyncio
from typing import Any

import orjson
from arq.connections import ArqRedis
from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import EqualJitterBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from config.logging import get_logger

log = get_logger(__name__)

QUEUE = "scopekit:wake"
WAKE = "wake"

# Past this the caller goes on and the wake arrives when it can.
RING_SECONDS = 0.05
# Wakes under way at once; past that another one adds nothing.
RINGING_MOST = 8
# A wake nobody heard in a minute is stale: every worker has looked for itself by then.
WAKE_LIFE_MS = 60_000


def open_redis(url: str) -> ArqRedis:
    """Return a client that connects on its first use, and again after every loss, by itself."""
    pool: ConnectionPool = ConnectionPool.from_url(
        url,
        max_connections=32,
        socket_connect_timeout=1.0,
        socket_timeout=2.0,
        # No health_check_interval: where a proxy takes the connection and hangs up, redis-py 5.3 checks the new
        # connection by opening the next, until Python's stack is full. The timeout and the retries find a dead one.
        socket_keepalive=True,
        # Together some 20 s; arq alone gives up at the first error and its worker ends.
        retry=Retry(EqualJitterBackoff(cap=1.0, base=0.1), 20),
        retry_on_error=[RedisConnectionError, RedisTimeoutError],
    )
    return ArqRedis(
        pool,
        job_serializer=to_json,
        job_deserializer=orjson.loads,
        default_queue_name=QUEUE,
        expires_extra_ms=WAKE_LIFE_MS,
    )


def to_json(value: Any) -> bytes:
    """Serialize arq's own records; anything strange in them becomes text. Never pickle: Redis is not trusted."""
    return orjson.dumps(value, default=str)


class Bell:
    """Rings for workers, within 50 ms and without ever failing the caller."""

    def __init__(self, redis: ArqRedis) -> None:
        self._redis = redis
        self._ringing: set[asyncio.Task[None]] = set()
        self._heard = True

    async def ring(self) -> None:
        """Wake a worker; when Redis does not answer in 50 ms, go on without."""
        if len(self._ringing) >= RINGING_MOST:
            return
        task = asyncio.create_task(self._wake())
        self._ringing.add(task)
        task.add_done_callback(self._ringing.discard)
        # Not cancelled at the deadline: arq would clean up behind it for as long as a dead socket takes.
        await asyncio.wait({task}, timeout=RING_SECONDS)

    async def close(self) -> None:
        """Give up what is still ringing and close the connections."""
        for task in self._ringing:
            task.cancel()
        if self._ringing:
            await asyncio.wait(self._ringing, timeout=1.0)
        await close_redis(self._redis)

    async def _wake(self) -> None:
        try:
            await self._redis.enqueue_job(WAKE)
        except (RedisError, OSError, TimeoutError) as error:
            self._note(heard=False, error=type(error).__name__)
        else:
            self._note(heard=True)

    def _note(self, *, heard: bool, **details: str) -> None:
        """Log only when it changes: an outage is one line, not one per request."""
        if heard != self._heard:
            self._heard = heard
            if heard:
                log.info("Redis answers again")
            else:
                log.warning("Redis does not answer; workers look for jobs by themselves", **details)


async def close_redis(redis: ArqRedis) -> None:
    """Close a client and its pool, also when Redis is away."""
    try:
        async with asyncio.timeout(2.0):
            await redis.aclose(close_connection_pool=True)
    except (RedisError, OSError, TimeoutError):
        log.debug("Redis was away when we closed")
