"""Dead letters: jobs that nobody tries any more, until an operator queues them again or lets them go. For operators."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias
from uuid import UUID

import asyncpg

from store.errors import Conflict, NotFound
from store.pool import Connection, Record
from store.queries import Queries

SQL = Queries("queue/dead_letters")

# What may be done to one: `retry` and `discard`.
Action: TypeAlias = Callable[[Connection, UUID, str], Awaitable[UUID]]

# In one transaction: it must not hold a connection, and the rows it has touched, for minutes.
BATCH = 500

_UNKNOWN = "There is no such dead letter waiting."


@dataclass(frozen=True)
class Kind:
    """Which letters: of this job type, error code and cause; None where any will do."""

    job_type: str | None = None
    error_code: str | None = None
    cause: str | None = None


class Attempt(NamedTuple):
    """One letter of several that something was to be done to, and why it could not be."""

    letter_id: UUID
    why_kept: str | None


async def newest(conn: Connection, limit: int) -> list[Record]:
    """Return waiting letters, the newest first.

    Each is (id, job_id, tenant_id, tenant, visit_id, job_type, error_code, cause, last_error, attempts, moved_at).
    """
    return await conn.fetch(SQL.newest, limit)


async def causes(conn: Connection) -> list[Record]:
    """Return (job_type, error_code, cause, letters, tenants, oldest, newest), the most frequent first."""
    return await conn.fetch(SQL.causes)


async def retry(conn: Connection, letter_id: UUID, reason: str) -> UUID:
    """Queue a dead job again under its own id, with no attempt spent; a second call changes nothing.

    Raises `NotFound`, and `Conflict` when its visit has another active job by now.
    """
    try:
        job_id: UUID | None = await conn.fetchval(SQL.retry, letter_id, reason)
    except asyncpg.UniqueViolationError:
        raise Conflict("The visit has another job by now; nothing was changed.") from None
    if job_id is None:
        raise NotFound(_UNKNOWN)
    return job_id


async def discard(conn: Connection, letter_id: UUID, reason: str) -> UUID:
    """Let a dead job be dead: it waits for nobody any more, and stays failed. Raises `NotFound`."""
    job_id: UUID | None = await conn.fetchval(SQL.discard, letter_id, reason)
    if job_id is None:
        raise NotFound(_UNKNOWN)
    return job_id


async def require_waiting(conn: Connection, letter_id: UUID) -> None:
    """Raise `NotFound` where no letter of this id waits."""
    if not await conn.fetchval(SQL.waits, letter_id):
        raise NotFound(_UNKNOWN)


async def attempt_one(conn: Connection, action: Action, letter_id: UUID, reason: str) -> Attempt:
    """Do it to a letter that waits. Raises `NotFound`."""
    await require_waiting(conn, letter_id)
    return await _attempt(conn, action, letter_id, reason)


async def attempt_batch(  # noqa: PLR0913 - which, from where, how many, and what for
    conn: Connection, action: Action, kind: Kind, reason: str, *, after: UUID | None = None, limit: int = BATCH
) -> list[Attempt]:
    """Do it to the oldest of a kind that come after the letter `after`: one that cannot be keeps no other back."""
    rows = await conn.fetch(SQL.waiting, kind.job_type, kind.error_code, kind.cause, after, max(0, min(limit, BATCH)))
    return [await _attempt(conn, action, row["id"], reason) for row in rows]


async def _attempt(conn: Connection, action: Action, letter_id: UUID, reason: str) -> Attempt:
    try:
        async with conn.transaction():
            await action(conn, letter_id, reason)
    except (Conflict, NotFound) as refusal:
        return Attempt(letter_id, refusal.detail)
    return Attempt(letter_id, None)
