"""The jobs this process runs at the moment: each in a task of its own, until it is settled."""

import asyncio
from collections import deque
from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import partial
from uuid import UUID

from config.logging import context_with, get_logger
from config.tracing import visit_span
from jobs.queue.errors import UnknownJobType
from jobs.queue.intervals import Intervals
from jobs.queue.kind import Kind, Task
from jobs.queue.retry import CAP_SECONDS
from jobs.worker.attempts.attempt import JobAttempt, StopReason
from jobs.worker.attempts.completer import Completer
from jobs.worker.attempts.flag_guard import FlagGuard
from jobs.worker.attempts.settle import settle
from jobs.worker.prefetch import PrefetchBuffer
from jobs.worker.worker_metrics import Outcome, WorkerMetrics
from store.pool import Database, Record

log = get_logger(__name__)

# Work that swallows its cancellation is left behind after this; its writes are fenced.
PATIENCE_SECONDS = 5.0


class Executor:
    """Up to `size` jobs at once; `tasks` says which function does which job type.

    `kind` is the one that all jobs here are of; without it, each is as an estimate is. `woken` is set when a slot falls
    free, and by whoever knows that there is something to claim.
    """

    def __init__(  # noqa: PLR0913 - what a worker is given at its start, by name
        self,
        db: Database,
        tasks: Mapping[str, Task],
        *,
        size: int,
        intervals: Intervals,
        metrics: WorkerMetrics,
        engine: str | None = None,
        flag_guard: FlagGuard | None = None,
        kind: Kind | None = None,
        woken: asyncio.Event | None = None,
    ) -> None:
        self._db = db
        self._flag_guard = flag_guard
        self._tasks = tasks
        self._size = size
        self._intervals = intervals
        self._metrics = metrics
        self._engine = engine
        self._completer = Completer(db)
        self._kind = kind
        self._prefetched: PrefetchBuffer[JobAttempt] = PrefetchBuffer(size)
        # All that we hold a lease of: those prefetched, and those that an attempt is under way at.
        self._runs: dict[UUID, JobAttempt] = {}
        self._attempts: set[asyncio.Task[None]] = set()
        # Those of the attempts whose result is not there yet.
        self._working = 0
        # A cancel may arrive before the claim it is about has answered; a cancelled job never comes back.
        self._cancelled_early: deque[UUID] = deque(maxlen=256)
        # Set when a slot falls free, and by whoever knows that there is something to claim.
        self.woken = woken or asyncio.Event()

    @property
    def runs(self) -> list[JobAttempt]:
        """All jobs that are ours at the moment."""
        return list(self._runs.values())

    @property
    def size(self) -> int:
        """How many jobs may run at once."""
        return self._size

    @property
    def working(self) -> int:
        """How many run, their result not there yet."""
        return self._working

    @property
    def free(self) -> int:
        """How many more jobs may start: a job that only stores its result needs no slot, as long as there are few."""
        return min(self._size - self._working, 2 * self._size - len(self._attempts))

    @property
    def under_way(self) -> int:
        """Return how many attempts have not ended, those that only store their result too."""
        return len(self._attempts)

    def holds(self, job_id: UUID) -> bool:
        """Tell whether a job is here at the moment."""
        return job_id in self._runs

    def wake(self) -> None:
        """Look for jobs now."""
        self.woken.set()

    def cancel(self, job_id: UUID) -> None:
        """Stop the attempt at this job, if it is one of ours."""
        if job_id in self._runs:
            self._runs[job_id].stop(StopReason.CANCELLED)
        else:
            self._cancelled_early.append(job_id)

    @property
    def has_prefetched(self) -> bool:
        """Whether jobs wait here for a slot."""
        return len(self._prefetched) > 0

    def wanted(self, *, more_due: bool) -> int:
        """How many jobs to claim now: one for each free slot and, while more are due than those, some to prefetch.

        With every slot at work that waits until half of those are used: two jobs cost a claim little more than one.
        """
        ahead = self._prefetched.size if more_due else 0
        if self.free <= 0 and len(self._prefetched) * 2 > ahead:
            return 0
        return max(self.free, 0) + ahead - len(self._prefetched)

    def submit(self, row: Record, held_until: float) -> None:
        """Run a claimed job, now or as soon as there is a slot."""
        run = JobAttempt(self._db, row, held_until, self._completer, retry_cap_s=self._retry_cap_s)
        self._runs[run.job_id] = run
        self._metrics.started(run.row)
        if run.job_id in self._cancelled_early:
            run.stop(StopReason.CANCELLED)
        if self.free > 0:
            self._start(run)
            return
        self._prefetched.put(run)
        run.stopped.add_done_callback(partial(self._end_wait, run))

    def hand_back_overdue(self) -> None:
        """Let go of jobs that have waited here for too long."""
        if overdue := self._prefetched.overdue():
            self._prefetched.reset()
        for run in overdue:
            run.stop(StopReason.HANDED_BACK)

    async def shut_down(self, grace_s: float) -> None:
        """Hand back jobs that have not begun, give running ones their grace, then hand the rest back."""
        while (kept := self._prefetched.take()) is not None:
            kept.stop(StopReason.HANDED_BACK)
            self._start(kept)
        if self._attempts:
            await asyncio.wait(self._attempts, timeout=grace_s)
        for run in self.runs:
            run.stop(StopReason.HANDED_BACK)
        if self._attempts:
            await asyncio.wait(self._attempts, timeout=PATIENCE_SECONDS * 2)

    def _end_wait(self, run: JobAttempt, _stopped: asyncio.Future[None]) -> None:
        """See to a job that was cancelled, lost or is handed back before it had a slot."""
        if self._prefetched.remove(run):
            self._start(run)

    def _start(self, run: JobAttempt) -> None:
        """Begin an attempt: the work is a task from the first, with the task that waits for its end right behind it.

        Fifty slots that fall free in one turn of the loop then begin their next jobs one after the other, and not all
        together once the last of them is ready: that kept them in step, each waiting for all, 6 % of jobs of 100 ms.
        """
        self._working += 1
        stopped = run.stopped.done()
        run.worked.add_done_callback(partial(self._worked, used_slot=not stopped))
        context = context_with(**_ids(run.row))
        work = None if stopped else asyncio.create_task(self._work(run), context=context)
        attempt = asyncio.create_task(self._attempt(run, work), context=context)
        self._attempts.add(attempt)
        attempt.add_done_callback(self._ended)

    def _worked(self, _worked: asyncio.Future[None], *, used_slot: bool) -> None:
        self._working -= 1
        if used_slot:
            self._prefetched.count_freed()
        self._fill()

    def _ended(self, attempt: asyncio.Task[None]) -> None:
        self._attempts.discard(attempt)
        self._fill()

    def _fill(self) -> None:
        """Give free slots to the waiting jobs, and look for more."""
        while self.free > 0 and (run := self._prefetched.take()) is not None:
            self._start(run)
        self.wake()

    @property
    def _deadline_s(self) -> float:
        timeout = None if self._kind is None else self._kind.timeout
        return self._intervals.deadline_s if timeout is None else timeout.total_seconds()

    @property
    def _retry_cap_s(self) -> float:
        return CAP_SECONDS if self._kind is None else self._kind.retry_cap_s

    async def _attempt(self, run: JobAttempt, work: "asyncio.Task[None] | None") -> None:
        outcome = Outcome.UNRECORDED
        try:
            error = None if work is None else await self._end_of(work, run)
            await run.close()
            outcome = await settle(self._db, run, error, self._engine)
        except Exception:
            log.exception("The end of a job was not recorded; its lease will expire")
        finally:
            run.leave_slot()
            self._metrics.ended(run.row, outcome)
            # A job that was lost to another worker may be ours again by now.
            if self._runs.get(run.job_id) is run:
                del self._runs[run.job_id]

    async def _end_of(self, work: "asyncio.Task[None]", run: JobAttempt) -> BaseException | None:
        """Wait until the work has ended, is stopped or is out of time; return its error."""
        await asyncio.wait({work, run.stopped}, timeout=self._deadline_s, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            run.stop(StopReason.OUT_OF_TIME)
            work.cancel()
            await asyncio.wait({work}, timeout=PATIENCE_SECONDS)
        return _outcome(work)

    async def _work(self, run: JobAttempt) -> None:
        with _traced(run):
            log.info("Job started", attempt=run.attempt, job_type=run.row["job_type"])
            task = self._tasks.get(run.row["job_type"])
            if task is None:
                raise UnknownJobType(run.row["job_type"])
            if self._flag_guard is not None:
                await self._flag_guard.require(run.row["job_type"], run.tenant_id)
            await task(run)


def _traced(run: JobAttempt) -> AbstractContextManager[None]:
    """Go on in the trace of the request that asked for the job."""
    row = run.row
    return visit_span(
        f"job {row['job_type']}", row["visit_id"], row["trace_context"], job_id=str(run.job_id), attempt=run.attempt
    )


def _ids(row: Record) -> dict[str, object]:
    return {
        "correlation_id": row["correlation_id"] or row["id"],
        "job_id": row["id"],
        "visit_id": row["visit_id"],
        "tenant_id": row["tenant_id"],
        "user_id": row["created_by"],
    }


def _outcome(work: asyncio.Task[None]) -> BaseException | None:
    if not work.done():
        log.error("The work did not stop when told to; it is left behind, and can write nothing")
        work.add_done_callback(lambda late: late.cancelled() or late.exception())
        return None
    return None if work.cancelled() else work.exception()
