"""Keeps this process's leases: one batched renewal for all, which also brings back the jobs to stop."""

import asyncio
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

from config.logging import get_logger
from jobs.queue.intervals import Intervals
from jobs.worker.attempts.attempt import JobAttempt, StopReason
from store.pool import AWAY, Database
from store.queue import jobs

log = get_logger(__name__)


class Holder(Protocol):
    """Holds leases: one executor, or the lanes of a worker."""

    @property
    def runs(self) -> Sequence[JobAttempt]:
        """Return all jobs that are ours at the moment."""


class LeaseKeeper:
    """Renews the leases that a holder has."""

    def __init__(self, db: Database, holder: Holder, intervals: Intervals) -> None:
        self._db = db
        self._holder = holder
        self._intervals = intervals

    async def keep_forever(self) -> None:
        """Renew every `renew_s`."""
        while True:
            await asyncio.sleep(self._intervals.renew_s)
            await self.renew()

    async def renew(self) -> None:
        """Renew once; stop jobs that are lost or cancelled."""
        runs = self._holder.runs
        if not runs:
            return
        asked_at = time.monotonic()
        length = timedelta(seconds=self._intervals.lease_s)
        try:
            async with self._db.as_system() as conn:
                held = await jobs.renew(conn, [run.lease for run in runs], length)
        except AWAY as error:
            log.warning("Leases were not renewed", error=type(error).__name__, running=len(runs))
            self._drop_overdue()
            return
        for run in runs:
            if run.job_id not in held:
                _lose(run)
            elif held[run.job_id]:
                run.stop(StopReason.CANCELLED)
            else:
                run.held_until = asked_at + self._intervals.lease_s

    def _drop_overdue(self) -> None:
        """Stop jobs that may be another worker's by now: the fence would hold, but the work would be paid for twice."""
        for run in self._holder.runs:
            if time.monotonic() > run.held_until:
                _lose(run, confirmed=False)


def _lose(run: JobAttempt, *, confirmed: bool = True) -> None:
    """Stop it, unless its end is being stored: that may be why it is no longer ours, and its own answer will tell."""
    if not run.worked.done():
        run.is_unconfirmed = not confirmed
        run.stop(StopReason.LOST)
