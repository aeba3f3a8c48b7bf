"""The feed of changes: everything of a company that was made, changed or removed, in an order that can be resumed.

A change is told once every transaction that began before its own has ended. So what is behind a position is complete,
and a reader that goes on from it misses nothing.
"""

from datetime import timedelta

from store.pool import Connection, Record
from store.queries import Queries

SQL = Queries("events/changes")

KEPT = timedelta(days=30)


async def after(conn: Connection, txid: int, seq: int, limit: int) -> list[Record]:
    """Return changes of the caller's company behind a position: txid, seq, kind, id, visit_id, action, changed_at."""
    return await conn.fetch(SQL.changes_after, str(txid), seq, limit)


async def latest(conn: Connection) -> int:
    """Return the txid behind which changes begin that nobody was told yet."""
    found: int = await conn.fetchval(SQL.latest_told)
    return found


async def forget(conn: Connection) -> None:
    """Forget changes older than 30 days, some at a time; for the worker's clock."""
    await conn.execute(SQL.forget_changes, KEPT)
