"""Claims jobs for the executor's free slots, and a few ahead of them, at every wake and by itself."""

import asyncio
import random
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta

from config.logging import get_logger
from jobs.queue.intervals import Intervals
from jobs.worker.executor import Executor
from jobs.worker.prefetch import HOLD_SECONDS
from store.pool import AWAY, Database, Record
from store.queue import jobs

log = get_logger(__name__)

# A claim begins small, so that its first jobs start while the next are claimed, and doubles as long as it is filled.
FIRST_CLAIM = 8


class Claimer:
    """The only one in this process that claims AI work: one claim at a time, so none is for a slot already filled."""

    def __init__(  # noqa: PLR0913 - what a claim names, by name
        self,
        db: Database,
        executor: Executor,
        *,
        name: str,
        intervals: Intervals,
        tenant_cap: int | None = None,
        engine: str | None = None,
    ) -> None:
        self._db = db
        self._executor = executor
        self._name = name
        self._intervals = intervals
        self._tenant_cap = tenant_cap
        self._engine = engine
        self._claiming = True
        self._looks_everywhere_at = 0.0
        self._most = FIRST_CLAIM
        self._more_due = False  # the last claim was filled
        self._database_away = False

    async def claim_forever(self) -> None:
        """Claim at every wake, and by itself every second or two: that finds retries that are due and lost wakes."""
        while self._claiming:
            self._executor.woken.clear()
            self._executor.hand_back_overdue()
            wanted = self._executor.wanted(more_due=self._more_due)
            if wanted > 0:
                await self._claim(wanted)
            with suppress(TimeoutError):
                async with asyncio.timeout(HOLD_SECONDS if self._executor.has_prefetched else self._pause()):
                    await self._executor.woken.wait()

    def stop(self) -> None:
        """Claim nothing more; `claim_forever` then returns."""
        self._claiming = False
        self._executor.wake()

    async def _claim(self, wanted: int) -> None:
        limit = min(wanted, self._most)
        now = time.monotonic()
        everywhere = now >= self._looks_everywhere_at
        try:
            rows = await self._ask(limit, everywhere=everywhere)
        except AWAY as error:
            self._note(away=True, error=type(error).__name__)
            return
        self._note(away=False)
        if everywhere:
            self._looks_everywhere_at = now + self._pause()
        self._more_due = len(rows) == limit
        self._most = limit * 2 if self._more_due else FIRST_CLAIM
        if self._more_due and limit < wanted:
            self._executor.wake()
        for row in rows:
            self._executor.submit(row, now + self._intervals.lease_s)

    async def _ask(self, limit: int, *, everywhere: bool) -> list[Record]:
        async with self._db.as_system() as conn:
            return await jobs.claim(
                conn,
                limit,
                self._name,
                timedelta(seconds=self._intervals.lease_s),
                tenant_cap=self._tenant_cap,
                everywhere=everywhere,
                engine=self._engine,
            )

    def _pause(self) -> float:
        return random.uniform(*self._intervals.poll_s)  # noqa: S311 - spreads load

    def _note(self, *, away: bool, **details: str) -> None:
        """Log only when it changes."""
        if away != self._database_away:
            self._database_away = away
            if away:
                log.error("The database does not answer; no jobs are claimed", **details)
            else:
                log.info("The database answers again")


class BackgroundClaimer:
    """The only one in this process that claims jobs of the background kinds, all of them with one statement."""

    def __init__(
        self,
        db: Database,
        executors: Mapping[str, Executor],
        woken: asyncio.Event,
        *,
        name: str,
        intervals: Intervals,
    ) -> None:
        """`executors` are by lane; each sets `woken` when it has room."""
        self._db = db
        self._executors = executors
        self._woken = woken
        self._name = name
        self._intervals = intervals
        self._claiming = True

    async def claim_forever(self) -> None:
        """Claim at every wake, and by itself every second or two."""
        while self._claiming:
            self._woken.clear()
            wanted = {lane: executor.free for lane, executor in self._executors.items() if executor.free > 0}
            if wanted:
                await self._claim(wanted)
            with suppress(TimeoutError):
                async with asyncio.timeout(random.uniform(*self._intervals.poll_s)):  # noqa: S311 - spreads load
                    await self._woken.wait()

    def stop(self) -> None:
        """Claim nothing more; `claim_forever` then returns."""
        self._claiming = False
        self._woken.set()

    async def _claim(self, wanted: Mapping[str, int]) -> None:
        now, lease = time.monotonic(), timedelta(seconds=self._intervals.lease_s)
        try:
            async with self._db.as_system() as conn:
                rows = await jobs.claim_background(conn, wanted, self._name, lease)
        except AWAY as error:
            log.warning("No background jobs are claimed", error=type(error).__name__)
            return
        for row in rows:
            self._executors[row["lane"]].submit(row, now + self._intervals.lease_s)
