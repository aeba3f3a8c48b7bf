"""The jobs this process runs at the moment: claims for free slots, runs each in a task of its own, sees it settled."""

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import TypeAlias
from uuid import UUID

from config.logging import bind, get_logger
from jobs.completer import Completer
from jobs.context import JobContext
from jobs.errors import DATABASE_TROUBLE, UnknownJobType
from jobs.gate import Gate
from jobs.run import JobRun, StopReason
from jobs.settle import settle
from jobs.timing import Timing
from store import jobs
from store.pool import Database, Record

log = get_logger(__name__)

Task: TypeAlias = Callable[[JobContext], Awaitable[None]]

# Work that swallows its cancellation is left behind after this; its writes are fenced.
PATIENCE_SECONDS = 5.0
# A claim begins small, so that its first jobs start while the next ones are claimed, and doubles while slots stay free.
FIRST_CLAIM = 8


class Crew:
    """Up to `size` jobs at once; `tasks` says which function does which job type."""

    def __init__(  # noqa: PLR0913 - what a worker is told at its start, by name
        self,
        db: Database,
        tasks: Mapping[str, Task],
        *,
        name: str,
        size: int,
        timing: Timing,
        tenant_cap: int | None = None,
        engine: str | None = None,
        gate: Gate | None = None,
    ) -> None:
        self._db = db
        self._gate = gate
        self._tasks = tasks
        self._name = name
        self._size = size
        self._timing = timing
        self._tenant_cap = tenant_cap
        self._engine = engine
        self._completer = Completer(db)
        self._runs: dict[UUID, JobRun] = {}
        self._attempts: set[asyncio.Task[None]] = set()
        # Those of the attempts whose result is not there yet.
        self._working = 0
        # A cancel may be heard before the claim it is about has answered; a cancelled job never comes back.
        self._heard_early: deque[UUID] = deque(maxlen=256)
        self._wake = asyncio.Event()
        self._claiming = True
        self._looks_everywhere_at = 0.0
        self._claim_most = FIRST_CLAIM
        self._database_away = False

    @property
    def runs(self) -> list[JobRun]:
        """The attempts under way."""
        return list(self._runs.values())

    @property
    def size(self) -> int:
        """How many jobs may run at once."""
        return self._size

    @property
    def free(self) -> int:
        """How many more jobs may start: who only stores a result needs no slot, as long as there are not many."""
        return min(self._size - self._working, 2 * self._size - len(self._attempts))

    def wake(self) -> None:
        """Look for jobs now."""
        self._wake.set()

    def cancel(self, job_id: UUID) -> None:
        """Stop the attempt at this job, if it is one of ours."""
        if job_id in self._runs:
            self._runs[job_id].stop(StopReason.CANCELLED)
        else:
            self._heard_early.append(job_id)

    async def claim_forever(self) -> None:
        """Claim at every wake, and by itself every second or two: that finds retries that are due and lost wakes."""
        while self._claiming:
            self._wake.clear()
            if self.free > 0:
                await self._claim()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pause()):
                    await self._wake.wait()

    def stop_claiming(self) -> None:
        """Start nothing more; `claim_forever` then returns."""
        self._claiming = False
        self._wake.set()

    async def leave(self, grace_s: float) -> None:
        """Give what runs its grace, then hand the rest back."""
        if self._attempts:
            await asyncio.wait(self._attempts, timeout=grace_s)
        for run in self.runs:
            run.stop(StopReason.SHUTDOWN)
        if self._attempts:
            await asyncio.wait(self._attempts, timeout=PATIENCE_SECONDS * 2)

    async def _claim(self) -> None:
        limit = min(self.free, self._claim_most)
        now = time.monotonic()
        everywhere = now >= self._looks_everywhere_at
        lease = timedelta(seconds=self._timing.lease_s)
        try:
            async with self._db.as_system() as conn:
                rows = await jobs.claim(
                    conn,
                    limit,
                    self._name,
                    lease,
                    tenant_cap=self._tenant_cap,
                    everywhere=everywhere,
                    engine=self._engine,
                )
        except DATABASE_TROUBLE as error:
            self._note(away=True, error=type(error).__name__)
            return
        self._note(away=False)
        if len(rows) == self._claim_most:  # there may be more
            self._claim_most *= 2
            self.wake()
        else:
            self._claim_most = FIRST_CLAIM
        if everywhere:
            self._looks_everywhere_at = now + self._pause()
        for row in rows:
            self._start(JobRun(self._db, row, now + self._timing.lease_s, self._completer))

    def _pause(self) -> float:
        return random.uniform(*self._timing.poll_s)  # noqa: S311 - spreads load

    def _start(self, run: JobRun) -> None:
        self._runs[run.job_id] = run
        if run.job_id in self._heard_early:
            run.stop(StopReason.CANCELLED)
        self._working += 1
        run.worked.add_done_callback(self._worked)
        attempt = asyncio.create_task(self._attempt(run))
        self._attempts.add(attempt)
        attempt.add_done_callback(self._ended)

    def _worked(self, _worked: asyncio.Future[None]) -> None:
        self._working -= 1
        self.wake()

    def _ended(self, attempt: asyncio.Task[None]) -> None:
        self._attempts.discard(attempt)
        self.wake()

    async def _attempt(self, run: JobRun) -> None:
        with bind(**_ids(run.row)):
            try:
                error = await self._work(run)
                await run.close()
                await settle(self._db, run, error, self._engine)
            except Exception:
                log.exception("The end of a job was not recorded; its lease will expire")
            finally:
                # A job that was lost to another worker may be ours again by now.
                if self._runs.get(run.job_id) is run:
                    del self._runs[run.job_id]

    async def _work(self, run: JobRun) -> BaseException | None:
        """Run the work until it ends, is stopped or is out of time; return what it raised."""
        log.info("Job started", attempt=run.attempt, job_type=run.row["job_type"])
        work = asyncio.create_task(self._call(run))
        await asyncio.wait({work, run.stopped}, timeout=self._timing.deadline_s, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            run.stop(StopReason.OUT_OF_TIME)
            work.cancel()
            await asyncio.wait({work}, timeout=PATIENCE_SECONDS)
        return _outcome(work)

    async def _call(self, run: JobRun) -> None:
        task = self._tasks.get(run.row["job_type"])
        if task is None:
            raise UnknownJobType(run.row["job_type"])
        if self._gate is not None:
            await self._gate.require(run.row["job_type"], run.tenant_id)
        await task(run)

    def _note(self, *, away: bool, **details: str) -> None:
        """Log only when it changes."""
        if away != self._database_away:
            self._database_away = away
            if away:
                log.error("The database does not answer; no jobs are claimed", **details)
            else:
                log.info("The database answers again")


def _ids(row: Record) -> dict[str, object]:
    return {
        "correlation_id": row["correlation_id"] or row["id"],
        "job_id": row["id"],
        "visit_id": row["visit_id"],
        "tenant_id": row["tenant_id"],
    }


def _outcome(work: asyncio.Task[None]) -> BaseException | None:
    if not work.done():
        log.error("The work did not stop when told to; it is left behind, and can write nothing")
        work.add_done_callback(lambda late: late.cancelled() or late.exception())
        return None
    return None if work.cancelled() else work.exception()
