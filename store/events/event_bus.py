"""The database's side of the event bus: the session that leads it, and the events committed since it last looked.

Snapshots are PostgreSQL's own text of them, and nobody reads it but PostgreSQL.
"""

import asyncpg

from store.pool import Connection
from store.queries import Queries

SQL = Queries("events/event_bus")


async def enable_notify(conn: Connection) -> int:
    """Have events notified as long as this session lives; returns the transaction that enabled it, 0 for ever.

    A database that knows of no such thing is not migrated, which is for health to tell.
    """
    try:
        xact: int = await conn.fetchval(SQL.enable_notify)
    except (asyncpg.InvalidSchemaNameError, asyncpg.UndefinedFunctionError):
        return 0
    return xact


async def all_ended(conn: Connection, xact: int) -> bool:
    """Whether every transaction up to this one has ended: inserts of later ones are notified."""
    return bool(await conn.fetchval(SQL.all_ended, str(xact)))


async def has_leader(conn: Connection) -> bool:
    """Whether some process publishes events on the bus."""
    return bool(await conn.fetchval(SQL.has_leader))


async def become_leader(conn: Connection) -> int | None:
    """Make this session the leader's; None when there is another.

    Returns the transaction that enabled the bus.
    """
    xact: int | None = await conn.fetchval(SQL.become_leader)
    return xact


async def position(conn: Connection, xact: int) -> str | None:
    """Return a snapshot of now, once every transaction up to this one has ended."""
    snapshot: str | None = await conn.fetchval(SQL.position, str(xact))
    return snapshot


async def committed_since(conn: Connection, snapshot: str, limit: int) -> tuple[str, list[str]]:
    """Return a snapshot of now and the notifications committed between the two, those of a visit in their order.

    That there is more than `limit` shows by as many messages, and not all of them are there.
    """
    row = await conn.fetchrow(SQL.committed_since, snapshot, limit)
    assert row is not None  # noqa: S101 - an aggregate always gives one row
    return row["snapshot"], row["notifications"]


async def tend(conn: Connection, snapshot: str) -> None:
    """Clear the notifications committed before this snapshot, which was taken; close NOTIFY where nobody listens."""
    await conn.execute(SQL.tend, snapshot)


async def retire(conn: Connection) -> bool:
    """Note events no longer where nobody publishes them; returns whether that was so."""
    return bool(await conn.fetchval(SQL.retire))
