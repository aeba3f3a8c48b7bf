"""Analytics events that are on their way to their receiver."""

from uuid import UUID

from store.pool import Connection, Record
from store.queries import Queries

SQL = Queries("queue/outbox")


async def event(conn: Connection, event_id: UUID) -> Record | None:
    """Return the receiver's document (id, event, properties, tenant_id, user_id, timestamp); None once it is gone."""
    return await conn.fetchrow(SQL.event, event_id)


async def state(conn: Connection) -> Record:
    """Return (waiting, oldest_seconds, refused)."""
    row = await conn.fetchrow(SQL.state)
    assert row is not None  # noqa: S101 - an aggregate always gives one row
    return row
