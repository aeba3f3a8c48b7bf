"""The stream in Redis that the event bus is: a connection to it, every answer with a deadline, nothing tried twice."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Self

from redis.asyncio import Redis
from redis.exceptions import RedisError

from config.logging import get_logger
from realtime.bus.entry import Entry, UnknownEntry, pack, unpack

_log = get_logger(__name__)

STREAM = "scopekit:events"
# An entry comes five times a second at least; that seven are missing is no chance.
BEAT_SECONDS = 0.2
SILENCE_SECONDS = 1.5
ANSWER_SECONDS = 1.0
# Of 64 KB each at most, and most of one or two: 20 s of a busy bus. Whoever is further behind reads the table.
KEPT_ENTRIES = 2_000
READ_ENTRIES = 20

BUS_AWAY = (RedisError, OSError, TimeoutError)


class BusStream:
    """One connection. Its errors are those of BUS_AWAY."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    @classmethod
    @asynccontextmanager
    async def connected(cls, url: str) -> AsyncIterator[Self]:
        """Lend one, which connects with its first question.

        Without retries: an entry that is written twice is read twice.
        """
        redis: Redis = Redis.from_url(
            url,
            single_connection_client=True,
            socket_connect_timeout=ANSWER_SECONDS,
            socket_timeout=SILENCE_SECONDS + ANSWER_SECONDS,
            socket_keepalive=True,
        )
        try:
            yield cls(redis)
        finally:
            with suppress(*BUS_AWAY):
                async with asyncio.timeout(ANSWER_SECONDS):
                    await redis.aclose(close_connection_pool=True)

    async def newest(self) -> bytes:
        """Return the place of the newest entry: its time in ms by the server's clock, and a number."""
        async with asyncio.timeout(ANSWER_SECONDS):
            found = await self._redis.xrevrange(STREAM, count=1)
        place: bytes = found[0][0] if found else b"0-0"
        return place

    async def read(self, place: bytes) -> tuple[bytes, list[Entry]]:
        """Wait for the next entries, and return the place behind them. Silence is a TimeoutError."""
        async with asyncio.timeout(SILENCE_SECONDS + ANSWER_SECONDS / 2):
            found = await self._redis.xread({STREAM: place}, READ_ENTRIES, block=round(SILENCE_SECONDS * 1000))
        if not found:
            raise TimeoutError(f"nothing has come for {SILENCE_SECONDS} s")
        entries = []
        for _, fields in found[0][1]:
            try:
                entries.append(unpack(fields))
            except UnknownEntry:
                _log.warning("Malformed entry on the event bus dropped")
        return found[0][1][-1][0], entries

    async def append(self, entry: Entry) -> None:
        """Put an entry at the end. When this raises nobody knows whether it is there."""
        async with asyncio.timeout(ANSWER_SECONDS):
            await self._redis.xadd(STREAM, pack(entry), maxlen=KEPT_ENTRIES, approximate=True)  # type: ignore[arg-type]

    async def now_ms(self) -> int:
        """Return the server's clock."""
        async with asyncio.timeout(ANSWER_SECONDS):
            seconds, micros = await self._redis.time()
        return int(seconds) * 1000 + int(micros) // 1000
