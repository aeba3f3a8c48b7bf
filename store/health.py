"""What the database says of itself and of the queue."""

from store.pool import Connection, Record
from store.queries import Queries

SQL = Queries("health")


async def ping(conn: Connection) -> None:
    """Raise when the database does not answer."""
    await conn.fetchval(SQL.ping)


async def queue_health(conn: Connection) -> Record:
    """Return (depth: queued jobs, last_job_success: time or None) over all tenants."""
    row = await conn.fetchrow(SQL.queue_health)
    assert row is not None  # noqa: S101 - the function always gives one row
    return row


async def notify_queue_usage(conn: Connection) -> float:
    """Return how full the server's queue of notifications is, from 0 to 1; at 1 no event can be written any more."""
    usage: float = await conn.fetchval(SQL.notify_queue_usage)
    return usage


async def queue_depths(conn: Connection) -> list[Record]:
    """Return (status, depth, oldest_seconds) of jobs that wait, run or are dead, over all tenants."""
    return await conn.fetch(SQL.queue_depths)
