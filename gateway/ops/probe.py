"""A probe: the questions that health checks ask of database and store, on connections of their own.

A probe depends on no tenant's load: it has a connection of its own. Simultaneous callers share one answer.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Self

from config.logging import get_logger
from config.settings import Settings
from gateway.http.limits.deadline import Answer, within
from store.objects.objects import ObjectStore
from store.ops import health as store_health
from store.pool import Connection, Database, Record
from store.queue import queue_control

_log = get_logger(__name__)

# A whole report must be out within 500 ms; its checks run side by side.
CHECK_SECONDS = 0.4
# One for the ping of load balancers, one for the monitors' report, which reads tables.
CONNECTIONS = 2


class Probe:
    """Asks; gives None for a check that fails or is late, and logs why."""

    def __init__(self, db: Database, objects: ObjectStore) -> None:
        self._db = db
        self._objects = objects
        self._asking: dict[str, asyncio.Task[Any]] = {}

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings, objects: ObjectStore) -> AsyncIterator[Self]:
        """Connect, failing fast."""
        db = await Database.open(
            str(settings.database_url),
            name=f"{settings.function_name}-probe",
            size=CONNECTIONS,
            pooled=settings.database_pooled,
        )
        probe = cls(db, objects)
        try:
            yield probe
        finally:
            for asking in probe._asking.values():
                asking.cancel()
            await db.close()

    async def database(self) -> bool:
        """Tell whether the database answers."""
        return bool(await self._once("database", self._ping_database))

    async def storage(self) -> bool:
        """Tell whether the store answers."""
        return bool(await self._once("storage", self._ping_storage))

    async def queue(self) -> tuple[Record, list[dict[str, Any]]] | None:
        """Return (depth, last_job_success) of the queue, and its switches."""
        found: tuple[Record, list[dict[str, Any]]] | None = await self._once("queue", self._read_queue)
        return found

    async def _once(self, name: str, check: Callable[[], Coroutine[Any, Any, Answer]]) -> Answer | None:
        asking = self._asking.get(name)
        if asking is None or asking.done():
            asking = self._asking[name] = asyncio.create_task(_within(name, check()))
        found: Answer | None = await asyncio.shield(asking)  # one that leaves takes the answer from nobody else
        return found

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        async with self._db.connection() as conn:
            try:
                yield conn
            except asyncio.CancelledError:
                conn.terminate()  # to take it back from a server that hangs lasts 5 s and more
                raise

    async def _ping_database(self) -> bool:
        async with self._connection() as conn:
            await store_health.ping(conn)
        return True

    async def _ping_storage(self) -> bool:
        await self._objects.ping()
        return True

    async def _read_queue(self) -> tuple[Record, list[dict[str, Any]]]:
        async with self._connection() as conn:
            return await store_health.queue_health(conn), await queue_control.switches(conn)


async def _within(name: str, check: Coroutine[Any, Any, Answer]) -> Answer | None:
    try:
        return await within(CHECK_SECONDS, check)
    except Exception as error:  # noqa: BLE001 - a health check reports whatever went wrong by name
        _log.warning("Health check failed", check=name, error=type(error).__name__)
        return None
