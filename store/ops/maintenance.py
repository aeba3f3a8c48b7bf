"""Periodic work, done once per tick by the first process to come: old rows go, the alerts are evaluated."""

from datetime import timedelta

from store.pool import Connection, Record
from store.queries import Queries

SQL = Queries("ops/maintenance")


async def prune(conn: Connection, keep: timedelta) -> int:
    """Forget finished jobs and leftover checkpoints older than `keep`, some at a time; returns how many rows went."""
    gone: int = await conn.fetchval(SQL.prune, keep)
    return gone


async def sample(conn: Connection) -> None:
    """Record how many jobs wait, run and are dead; records older than a day go."""
    await conn.execute(SQL.sample)


async def samples(conn: Connection, back: timedelta) -> list[Record]:
    """Return (at, queued, running, dead) as noted since then, in order."""
    return await conn.fetch(SQL.samples, back)


async def slo(conn: Connection) -> Record:
    """Return (slow: jobs take too long, failing_uploads: how many gave up five times) of the last hour."""
    row = await conn.fetchrow(SQL.slo)
    assert row is not None  # noqa: S101 - an aggregate always gives one row
    return row


async def check_alerts(conn: Connection, remind: timedelta) -> list[Record]:
    """Evaluate every alert and keep the results.

    Returns (name, firing, value, since, notify, resolved, began) of each.
    """
    return await conn.fetch(SQL.check_alerts, remind)
