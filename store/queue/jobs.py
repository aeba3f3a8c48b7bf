"""Jobs of the queue: for tenants, for workers, and for the trigger.

A worker's functions take a `Lease`; what they return says whether it still held. The moves themselves are functions
of the database (`schema/queue.sql`), each one transaction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from store.errors import Conflict, NotFound, Unavailable, Unprocessable
from store.pool import Connection, Record
from store.queries import Queries
from store.queue.job_status import job_status

SQL = Queries("queue/jobs")

# A finished job between our INSERT and our look is a race lost to a worker: look again, but not for ever.
_LOOKS = 3

Settled = Literal["queued", "failed", "cancelled"]
Completion = Literal["completed", "cancelled", "lost", "busy"]


@dataclass(frozen=True)
class Lease:
    """The right to write to one running job, as long as its row carries the token."""

    job_id: UUID
    token: UUID


@dataclass(frozen=True)
class NewJob:
    """A job to queue: a higher priority goes first, of any tenant; without `run_at` it is due at once."""

    tenant_id: UUID | None
    visit_id: UUID | None
    job_type: str
    payload: Mapping[str, Any]
    idempotency_key: str | None = None
    correlation_id: str | None = None
    created_by: UUID | None = None
    priority: int = 0
    run_at: datetime | None = None
    trace_context: str | None = None


@dataclass(frozen=True)
class Failure:
    """Why an attempt failed, for people and for programs; without `delay` there is no sense in another."""

    error: str
    code: str
    delay: timedelta | None
    refund: bool = False  # the attempt did not count


@dataclass(frozen=True)
class Done:
    """A job's outcome; `analytics` is {event, properties}."""

    lease: Lease
    result: Mapping[str, Any]
    analytics: Mapping[str, Any] | None


# What a tenant asks, in the caller's transaction under RLS -----------------------------------------------------------


async def enqueue(conn: Connection, job: NewJob) -> tuple[dict[str, Any], bool]:
    """Queue a job and return its status, and whether it is new.

    A key that is known gives its first job, finished or not. Raises `Conflict` with `job_id` when the visit has an
    active job of this type, and when the key belongs to another visit.
    """
    for _ in range(_LOOKS):
        known = await _job_of_key(conn, job)
        if known is not None:
            return known, False
        new = await conn.fetchval(
            SQL.insert_job,
            *(job.tenant_id, job.visit_id, job.job_type, dict(job.payload)),
            *(job.idempotency_key, job.correlation_id, job.created_by, job.priority, job.run_at, job.trace_context),
        )
        if new is not None:
            return await status(conn, new), True
        active = await conn.fetchval(SQL.active_job, job.visit_id, job.job_type)
        if active is not None and await _job_of_key(conn, job) is None:
            raise Conflict("This visit is already being worked on.", code="job_active", job_id=str(active))
    raise Unavailable("The queue is busy with this visit; nothing was changed. Try again.")


async def _job_of_key(conn: Connection, job: NewJob) -> dict[str, Any] | None:
    if job.idempotency_key is None:
        return None
    row = await conn.fetchrow(SQL.job_by_key, job.tenant_id, job.job_type, job.idempotency_key)
    if row is None:
        return None
    if row["visit_id"] != job.visit_id:
        detail = "This Idempotency-Key was used for something else; send a new one."
        raise Unprocessable(detail, code="idempotency_key_reused", job_id=str(row["id"]))
    return job_status(row)


async def status(conn: Connection, job_id: UUID) -> dict[str, Any]:
    """Return a job's status, dead-lettered ones too. Raises `NotFound`."""
    row = await conn.fetchrow(SQL.job_status, job_id)
    if row is None:
        raise NotFound("There is no such job.")
    return job_status(row)


async def listed(
    conn: Connection,
    limit: int,
    after: tuple[datetime, UUID] | None = None,
    *,
    visit_id: UUID | None = None,
    statuses: Sequence[str] | None = None,
) -> list[dict[str, Any]]:
    """Return the statuses of a company's jobs behind a position, newest first."""
    rows = await conn.fetch(SQL.list_jobs, limit, *(after or (None, None)), visit_id, statuses)
    return [job_status(row) for row in rows]


async def latest_status(conn: Connection, visit_id: UUID, job_type: str = "estimate") -> dict[str, Any] | None:
    """Return the status of the visit's newest job of this type, or None when it never had one."""
    row = await conn.fetchrow(SQL.latest_job_status, visit_id, job_type)
    return None if row is None else job_status(row)


async def cancel(conn: Connection, job_id: UUID) -> dict[str, Any]:
    """Cancel a queued job, ask a running one to stop, leave a finished one; return its status. Raises `NotFound`."""
    await conn.execute(SQL.cancel, job_id)
    return await status(conn, job_id)


async def has_material(conn: Connection, visit_id: UUID) -> bool:
    """Tell whether a visit holds anything to estimate. Raises `NotFound`."""
    found = await conn.fetchval(SQL.has_material, visit_id)
    if found is None:
        raise NotFound("There is no such visit.")
    return bool(found)


# What a worker does, as service_role ---------------------------------------------------------------------------------


async def claim(  # noqa: PLR0913 - the function's own parameters
    conn: Connection,
    limit: int,
    worker: str,
    lease: timedelta,
    *,
    tenant_cap: int | None = None,
    everywhere: bool = True,
    engine: str | None = None,
) -> list[Record]:
    """Start up to `limit` due jobs and return their rows, the most urgent first.

    Of a tenant no more run at once than its own cap allows, else `tenant_cap`. Not `everywhere`: only from the turn
    now served on, which is quick whatever lies before it, and may for a moment miss a job that was long in coming.
    While the breaker of `engine` is open no estimate is started.
    """
    return await conn.fetch(SQL.claim, limit, worker, lease, tenant_cap, everywhere, engine)


async def claim_background(conn: Connection, limits: Mapping[str, int], worker: str, lease: timedelta) -> list[Record]:
    """Start due jobs of lanes that nobody waits for, up to the limit of each, and return their rows."""
    return await conn.fetch(SQL.claim_background, list(limits), list(limits.values()), worker, lease)


async def renew(conn: Connection, leases: Sequence[Lease], length: timedelta) -> dict[UUID, bool]:
    """Extend leases; returns {job_id: cancel requested} of those still held."""
    jobs, tokens = [lease.job_id for lease in leases], [lease.token for lease in leases]
    return {row["job_id"]: row["cancel_requested"] for row in await conn.fetch(SQL.renew, jobs, tokens, length)}


async def append_events(
    conn: Connection, lease: Lease, events: Sequence[Mapping[str, Any]], *, relaxed: bool = False
) -> bool:
    """Append [{type, payload}, ...] in order; `relaxed` may lose the last of them to a power cut. False: lost."""
    return bool(await conn.fetchval(SQL.append_events, lease.job_id, lease.token, list(events), relaxed))


async def checkpoint(conn: Connection, job_id: UUID, step: str, item: str) -> dict[str, Any] | None:
    """Read the value that an earlier attempt kept under (step, item)."""
    value: dict[str, Any] | None = await conn.fetchval(SQL.checkpoint, job_id, step, item)
    return value


async def put_checkpoint(conn: Connection, lease: Lease, step: str, item: str, value: Mapping[str, Any]) -> bool:
    """Keep a value for the next attempt. False: lost."""
    return bool(await conn.fetchval(SQL.put_checkpoint, lease.job_id, lease.token, step, item, dict(value)))


async def begin_completion(conn: Connection, lease: Lease) -> Literal["held", "cancelled", "lost"]:
    """Lock the job to the end of the caller's transaction, and tell whether it may be completed."""
    answer: Literal["held", "cancelled", "lost"] = await conn.fetchval(SQL.begin_completion, lease.job_id, lease.token)
    return answer


async def complete(
    conn: Connection, lease: Lease, result: Mapping[str, Any], analytics: Mapping[str, Any] | None
) -> bool:
    """Store the result, the final event and `analytics` {event, properties}. False: lost."""
    told = None if analytics is None else dict(analytics)
    return bool(await conn.fetchval(SQL.complete, lease.job_id, lease.token, dict(result), told))


async def complete_many(conn: Connection, done: Sequence[Done]) -> dict[Lease, Completion]:
    """Complete jobs in one statement, each by its own lease; tells the outcome of each."""
    asked = [
        {"id": one.lease.job_id, "token": one.lease.token, "result": one.result, "analytics": one.analytics}
        for one in done
    ]
    rows = await conn.fetch(SQL.complete_many, asked)
    return {Lease(row["job_id"], row["token"]): row["answer"] for row in rows}


async def fail(conn: Connection, lease: Lease, failure: Failure) -> Settled | None:
    """Queue again after its delay, or dead-letter without one or when attempts are used up. None: lost."""
    state: Settled | None = await conn.fetchval(
        SQL.fail, lease.job_id, lease.token, failure.error, failure.code, failure.delay, failure.refund
    )
    return state


async def release(conn: Connection, lease: Lease) -> Settled | None:
    """Hand a job back with its attempt refunded. None: lost."""
    state: Settled | None = await conn.fetchval(SQL.release, lease.job_id, lease.token)
    return state


async def finish_cancelled(conn: Connection, lease: Lease) -> Settled | None:
    """Record that the worker stopped because somebody asked. None: lost."""
    state: Settled | None = await conn.fetchval(SQL.finish_cancelled, lease.job_id, lease.token)
    return state


async def sweep(conn: Connection, limit: int) -> Record:
    """Free up to `limit` expired leases; returns the counts (requeued, dead, cancelled, due)."""
    row = await conn.fetchrow(SQL.sweep, limit)
    assert row is not None  # noqa: S101 - the function always gives one row
    return row


async def hold_session(conn: Connection, worker: str) -> bool:
    """Let a worker's leases hang on this session, as service_role; False while an earlier one has not ended."""
    return bool(await conn.fetchval(SQL.hold_session, worker))


async def expire_sessions(conn: Connection) -> int:
    """Let the leases of workers expire whose sessions are gone; returns how many."""
    expired: int = await conn.fetchval(SQL.expire_sessions)
    return expired


# What the trigger asks --------------------------------------------------------------------------------------------


async def due_jobs(conn: Connection, limit: int) -> list[UUID]:
    """Return the ids of the next jobs in line, of every tenant."""
    return [row[0] for row in await conn.fetch(SQL.due_jobs, limit)]


async def outcomes(conn: Connection, job_ids: Sequence[UUID]) -> dict[UUID, Record]:
    """Return {job_id: (job_id, visit_id, status, result, error)} of every tenant."""
    return {row["job_id"]: row for row in await conn.fetch(SQL.outcomes, job_ids)}
