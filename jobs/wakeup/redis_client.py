"""The client of Redis that arq works with: it connects by itself, bounds every wait and loses no connection."""

import asyncio
from typing import Any

import orjson
from arq.connections import ArqRedis
from redis.asyncio import ConnectionPool
from redis.asyncio.client import Pipeline
from redis.asyncio.retry import Retry
from redis.backoff import EqualJitterBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from config.logging import get_logger

log = get_logger(__name__)

QUEUE = "scopekit:wake"
# A wake nobody received in a minute is stale: every worker has looked for itself by then.
WAKE_LIFE_MS = 60_000


class RedisClient(ArqRedis):
    """arq's client, with transactions that give their connections back."""

    def pipeline(  # redis-py's signature
        self,
        transaction: bool = True,  # noqa: FBT001, FBT002
        shard_hint: str | None = None,
    ) -> "Transaction":
        """Begin a transaction."""
        return Transaction(self.connection_pool, self.response_callbacks, transaction, shard_hint)


class Transaction(Pipeline):
    """A pipeline that gives its connection back however it ends.

    redis-py 5.3 keeps it when its UNWATCH is cut short, by a second cancel or a server that has fallen silent: from
    then on the pool, which is bounded, has one less. And it connects again only to say UNWATCH, which takes seconds
    where the server is silent and is for nothing: a closed connection watches no key.
    """

    async def reset(self) -> None:
        """Leave the transaction."""
        if self.connection is not None and not self.connection.is_connected:
            self.watching = False
        try:
            await super().reset()  # type: ignore[no-untyped-call]
        finally:
            if self.connection is not None:
                await self._drop(self.connection)

    async def _drop(self, connection: Any) -> None:
        self.connection, self.watching, self.explicit_transaction = None, False, False
        await connection.disconnect(nowait=True)  # with nothing of an answer in it for the next
        await self.connection_pool.release(connection)


def open_redis(url: str) -> RedisClient:
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
    return RedisClient(
        pool,
        job_serializer=to_json,
        job_deserializer=orjson.loads,
        default_queue_name=QUEUE,
        expires_extra_ms=WAKE_LIFE_MS,
    )


def to_json(value: Any) -> bytes:
    """Serialize arq's own records; anything strange in them becomes text. Never pickle: Redis is not trusted."""
    return orjson.dumps(value, default=str)


async def close_redis(redis: ArqRedis) -> None:
    """Close a client and its pool, also when Redis is away."""
    try:
        async with asyncio.timeout(2.0):
            await redis.aclose(close_connection_pool=True)
    except (RedisError, OSError, TimeoutError):
        log.debug("Redis was away when we closed")
