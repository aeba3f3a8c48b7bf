"""Records how an attempt ended: completed, to be tried again, handed back, cancelled or dead."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from itertools import count

from config.logging import get_logger
from jobs.queue.errors import JobCancelled, LeaseLost, NoResult, OutOfTime
from jobs.queue.own_trouble import is_own_trouble
from jobs.queue.retry import QUOTA_SECONDS, Action, Verdict, backoff, judge
from jobs.worker.attempts.attempt import JobAttempt, StopReason
from jobs.worker.worker_metrics import Outcome
from store.pool import AWAY, Connection, Database
from store.queue import jobs, queue_control
from store.queue.jobs import Settled

log = get_logger(__name__)

_OUTCOMES: dict[Settled, Outcome] = {
    "queued": Outcome.RETRIED,
    "failed": Outcome.DEAD_LETTER,
    "cancelled": Outcome.CANCELLED,
}

# LOST: not confirmed, or it would not have come so far.
_HANDED_BACK = (StopReason.HANDED_BACK, StopReason.LOST)
# How often an outcome is tried to be recorded that the database refuses while it is there.
TRIES = 5

# The job type whose work asks an engine.
ESTIMATE = "estimate"


async def settle(db: Database, run: JobAttempt, error: BaseException | None, engine: str | None = None) -> Outcome:
    """Record the end of an attempt, fenced, and return it; `engine` names the breaker to open when it cannot work.

    `error` is the work's exception, None when it returned or was stopped. A database that is away is waited for: no
    attempt is lost to it.
    """
    if run.finished:
        log.info("Job completed", attempt=run.attempt)
        if engine is not None and run.row["job_type"] == ESTIMATE:
            await _close_breaker(db, engine)
        return Outcome.COMPLETED
    if (run.stop_reason is StopReason.LOST and not run.is_unconfirmed) or isinstance(error, LeaseLost):
        log.warning("Lease lost; this attempt wrote nothing more", attempt=run.attempt)
        return Outcome.LOST

    async def record() -> Settled | None:
        async with db.as_system() as conn:
            return await _record(conn, run, error, engine)

    state = await _until_there(record)
    if state is None:
        log.warning("The job had moved on before this attempt ended", attempt=run.attempt)
        return Outcome.LOST
    handed_back = state == "queued" and run.stop_reason in _HANDED_BACK
    return Outcome.RELEASED if handed_back else _OUTCOMES[state]


async def _until_there(record: Callable[[], Awaitable[Settled | None]]) -> Settled | None:
    for tries in count(1):
        try:
            return await record()
        except AWAY as error:
            if tries >= TRIES and not is_own_trouble(error):
                raise
            await asyncio.sleep(backoff(min(tries, 2)))
    raise AssertionError  # pragma: no cover - it counts for ever


async def _close_breaker(db: Database, engine: str) -> None:
    """Close its breaker, if it was half open; should that fail, the next estimate tries."""
    with suppress(*AWAY):
        async with db.connection() as conn:
            if await queue_control.close_breaker(conn, engine):
                log.info("The engine works again", engine=engine)


async def _record(conn: Connection, run: JobAttempt, error: BaseException | None, engine: str | None) -> Settled | None:
    if run.stop_reason is StopReason.CANCELLED or isinstance(error, JobCancelled):
        log.info("Job cancelled", attempt=run.attempt)
        return await jobs.finish_cancelled(conn, run.lease)
    if run.stop_reason in _HANDED_BACK:
        log.info("Job handed back", attempt=run.attempt)
        return await jobs.release(conn, run.lease)
    verdict = judge(_cause(run, error), run.attempt, cap_s=run.retry_cap_s)
    _log_verdict(run, verdict, error)
    delay = None if verdict.delay_s is None else timedelta(seconds=verdict.delay_s)
    failure = jobs.Failure(verdict.error, verdict.code, delay, refund=verdict.refunds)
    state = await jobs.fail(conn, run.lease, failure)
    if verdict.action is Action.REST and state is not None and engine is not None:
        until = await queue_control.open_breaker(conn, engine, verdict.error, timedelta(seconds=QUOTA_SECONDS))
        log.error(
            "The engine's circuit breaker is open: no estimate starts until a probe is due", engine=engine, until=until
        )
    return state


def _cause(run: JobAttempt, error: BaseException | None) -> BaseException:
    if run.stop_reason is StopReason.OUT_OF_TIME:
        return OutOfTime("This took longer than it ever should.")
    return error or NoResult("The work ended without a result.")


def _log_verdict(run: JobAttempt, verdict: Verdict, error: BaseException | None) -> None:
    """Log a failure once; with the trace only if it was not foreseen."""
    unforeseen = verdict.code == "internal_error"
    (log.error if unforeseen else log.warning)(
        "Job attempt failed",
        attempt=run.attempt,
        action=verdict.action,
        error_code=verdict.code,
        error=verdict.error,
        delay_s=verdict.delay_s,
        exc_info=error if unforeseen else None,
    )
