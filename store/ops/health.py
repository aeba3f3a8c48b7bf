"""The database's report on itself and on the queue."""

from store.pool import Connection, Record
from store.queries import Queries

SQL = Queries("ops/health")


async def ping(conn: Connection) -> None:
    """Raise when the database does not answer."""
    await conn.fetchval(SQL.ping)


async def queue_health(conn: Connection) -> Record:
    """Return (depth: due jobs, last_job_success: time or None, overdue: seconds the oldest has been due)."""
    row = await conn.fetchrow(SQL.queue_health)
    assert row is not None  # noqa: S101 - the function always gives one row
    return row


async def notify_queue_usage(conn: Connection) -> float:
    """Return how full the server's queue of notifications is, from 0 to 1; at 1 no event can be written any more."""
    usage: float = await conn.fetchval(SQL.notify_queue_usage)
    return usage


async def alert_states(conn: Connection) -> list[Record]:
    """Return (alert, firing, value, age_seconds: since it was asked, None for never) of each alert."""
    return await conn.fetch(SQL.alert_states)


async def dead_letter_growth(conn: Connection) -> list[Record]:
    """Return (date, job_type, failed_count, avg_attempts) of the last seven days."""
    return await conn.fetch(SQL.dead_letter_growth)


async def queue_depths(conn: Connection) -> list[Record]:
    """Return (status, depth, oldest_seconds, average_seconds) of jobs that wait, run or are dead, over all tenants."""
    return await conn.fetch(SQL.queue_depths)


async def queue_kinds(conn: Connection) -> list[Record]:
    """Return (job_type, waiting, later, running, dead, oldest_seconds, paused) of each kind, the busiest first."""
    return await conn.fetch(SQL.queue_kinds)


async def queue_overdue(conn: Connection) -> float:
    """Return for how many seconds the longest has waited of the jobs that may start; 0 when there is none."""
    seconds: float = await conn.fetchval(SQL.queue_overdue)
    return seconds


async def queue_minutes(conn: Connection) -> list[Record]:
    """Return (minute, completed, p50_seconds, p95_seconds) of the last hour's minutes in which a job completed."""
    return await conn.fetch(SQL.queue_minutes)


async def tenant_usage(conn: Connection) -> list[Record]:
    """Return (tenant_id, name, visits_today, estimates_today, total_mb) of every tenant."""
    return await conn.fetch(SQL.tenant_usage)
