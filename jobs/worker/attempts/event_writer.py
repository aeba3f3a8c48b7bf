"""Writes a job's events in order: awaited ones at once, progress in small batches."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from config.logging import get_logger
from jobs.queue.errors import LeaseLost
from store.events.events import storable
from store.pool import Database
from store.queue import jobs
from store.queue.jobs import Lease

log = get_logger(__name__)

# Progress may wait this long for company: one commit for many, and nobody sees 50 ms.
BATCH_SECONDS = 0.05
BATCH_MOST = 64
# The next of these replaces or follows the last soon; they may also be the ones a power cut takes.
PROGRESS = frozenset({"step.progress", "line.drafted"})


class EventWriter:
    """One job's way to its subscribers; `on_lost` is called when a batch found the lease gone."""

    def __init__(self, db: Database, lease: Lease, on_lost: Callable[[], None]) -> None:
        self._db = db
        self._lease = lease
        self._on_lost = on_lost
        self._waiting: list[dict[str, Any]] = []
        self._order = asyncio.Lock()
        self._timer: asyncio.Task[None] | None = None

    async def write(self, event_type: str, payload: Mapping[str, Any]) -> None:
        """Tell the subscribers. Raises `LeaseLost`."""
        self._waiting.append({"type": event_type, "payload": storable(payload)})
        if event_type not in PROGRESS or len(self._waiting) >= BATCH_MOST:
            await self.flush()
        elif self._timer is None:
            self._timer = asyncio.create_task(self._flush_soon())

    async def flush(self) -> None:
        """Write the waiting events. Raises `LeaseLost`; after any other failure the events wait on."""
        async with self._order:
            batch = self._waiting[:]
            if not batch:
                return
            relaxed = all(event["type"] in PROGRESS for event in batch)
            async with self._db.as_system() as conn:
                held = await jobs.append_events(conn, self._lease, batch, relaxed=relaxed)
            del self._waiting[: len(batch)]
        if not held:
            self._on_lost()
            raise LeaseLost("Another worker has this job now.")

    async def close(self) -> None:
        """Write the last ones if that is possible, and stop."""
        if self._timer is not None:
            self._timer.cancel()
        try:
            await self.flush()
        except Exception as error:  # noqa: BLE001 - the attempt is over; its outcome must still be recorded
            log.info("The last events were not written", error=type(error).__name__)

    async def _flush_soon(self) -> None:
        await asyncio.sleep(BATCH_SECONDS)
        self._timer = None
        try:
            await self.flush()
        except LeaseLost:
            pass  # on_lost has been called
        except Exception as error:  # noqa: BLE001 - they wait on; the next write meets the error itself
            log.info("Progress is written later", error=type(error).__name__)
