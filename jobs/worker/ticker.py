"""Queues the jobs of periodic kinds as their ticks come; one that passed with no worker up is queued by the next."""

import asyncio
import random
from collections.abc import Sequence

from config.logging import get_logger
from jobs.queue.kind import Kind
from store.pool import AWAY, Database
from store.queue import kinds

log = get_logger(__name__)

# A periodic job is at most this late.
LOOK_SECONDS = 10.0


class Ticker:
    """Any number may tick at once: the database gives each tick to one of them."""

    def __init__(self, db: Database, some: Sequence[Kind]) -> None:
        """Tick for those of some kinds that have an `every`."""
        self._db = db
        self._ticks = [kind.as_tick() for kind in some if kind.every is not None]

    async def tick_forever(self) -> None:
        """Look at the start, then every few seconds, apart from other workers."""
        while self._ticks:
            try:
                await self.tick()
            except AWAY as error:
                log.warning("Periodic jobs are queued later", error=type(error).__name__)
            await asyncio.sleep(LOOK_SECONDS * random.uniform(0.8, 1.2))  # noqa: S311 - spreads load
        await asyncio.Event().wait()

    async def tick(self) -> int:
        """Queue what is due; returns how many jobs."""
        async with self._db.as_system() as conn:
            return await kinds.queue_ticks(conn, self._ticks)
