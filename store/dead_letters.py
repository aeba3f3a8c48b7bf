"""Dead letters: jobs that nobody tries any more, until an operator queues them again or lets them go. For operators."""

from collections.abc import Awaitable, Callable
from typing import TypeAlias
from uuid import UUID

import asyncpg

from store.errors import Conflict, NotFound
from store.pool import Connection, Record
from store.queries import Queries

SQL = Queries("dead_letters")

# What may be done to one: `retry` and `discard`.
Deed: TypeAlias = Callable[[Connection, UUID, str], Awaitable[UUID]]

_UNKNOWN = "There is no such dead letter waiting."


async def newest(conn: Connection, limit: int) -> list[Record]:
    """Return waiting letters, the newest first.

    Each is (id, job_id, tenant_id, tenant, visit_id, job_type, error_code, cause, last_error, attempts, moved_at).
    """
    return await conn.fetch(SQL.newest, limit)


async def causes(conn: Connection) -> list[Record]:
    """Return (job_type, error_code, cause, letters, tenants, oldest, newest), the most frequent first."""
    return await conn.fetch(SQL.causes)


async def of_cause(conn: Connection, job_type: str, error_code: str, cause: str, limit: int) -> list[UUID]:
    """Return the ids of waiting letters of one cause, the oldest first."""
    return [row["id"] for row in await conn.fetch(SQL.of_cause, job_type, error_code, cause, limit)]


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


async def attempt(conn: Connection, deed: Deed, letter_id: UUID, reason: str) -> str | None:
    """Do it to one of many, so that one that cannot be keeps no other back; returns why it could not, or None."""
    try:
        async with conn.transaction():
            await deed(conn, letter_id, reason)
    except (Conflict, NotFound) as refusal:
        return refusal.detail
    return None
