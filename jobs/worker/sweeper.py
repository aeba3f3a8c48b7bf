"""Frees the leases of workers that are gone, and rings for waiting jobs. Any number may sweep at once."""

import asyncio
import random

from config.logging import get_logger
from jobs.queue.intervals import Intervals
from jobs.wakeup.notifier import Doorbell
from jobs.worker.lanes import Lanes
from jobs.worker.worker_metrics import WorkerMetrics
from store.ops import health
from store.pool import AWAY, Database
from store.queue import jobs

log = get_logger(__name__)

BATCH = 100
# A database that comes back is given to other workers first, to renew their leases.
RETURN_SECONDS = 3.0
# Looks over 1.8 s that find no session of a worker free its leases: with this pause it is noticed within 2.6 s.
WATCH_SECONDS = 0.65


class Sweeper:
    """Sweeps by itself, so that it also runs without Redis; arq's cron calls it too."""

    def __init__(
        self, db: Database, lanes: Lanes, doorbell: Doorbell, intervals: Intervals, metrics: WorkerMetrics
    ) -> None:
        self._db = db
        self._lanes = lanes
        self._doorbell = doorbell
        self._intervals = intervals
        self._metrics = metrics
        self._was_away = False

    async def sweep_forever(self) -> None:
        """Sweep at the start, then every `sweep_s`, give or take a tenth so that workers drift apart."""
        while True:
            await self.sweep()
            await asyncio.sleep(self._intervals.sweep_s * random.uniform(0.9, 1.1))  # noqa: S311 - spreads load

    async def sweep(self) -> None:
        """Sweep until nothing expired is left; a database that is away is left to the next time."""
        while await self._sweep_batch() >= BATCH:
            pass

    async def watch_forever(self) -> None:
        """Look every second for workers whose sessions are gone, and free their leases."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            try:
                async with self._db.as_system() as conn:
                    expired = await jobs.expire_sessions(conn)
            except AWAY as error:
                log.info("Other workers' sessions were not looked at", error=type(error).__name__)
                continue
            if expired:
                log.warning("A worker is gone; its jobs go on", leases=expired)
                await self.sweep()

    async def _sweep_batch(self) -> int:
        try:
            if self._was_away:
                async with self._db.connection() as conn:
                    await health.ping(conn)
                self._was_away = False
                await asyncio.sleep(RETURN_SECONDS)
            async with self._db.as_system() as conn:
                found = await jobs.sweep(conn, BATCH)
        except AWAY as error:
            log.warning("The sweep was put off", error=type(error).__name__)
            self._was_away = True
            return 0
        freed: int = found["requeued"] + found["dead"] + found["cancelled"]
        if freed:
            self._metrics.expired(freed)
            log.warning("Freed expired leases", **dict(found))
        if found["due"]:
            self._lanes.wake()
            await self._doorbell.ring()
        return freed
