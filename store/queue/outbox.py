"""Analytics events that are owed to their receiver. The rows are the truth; whoever takes one has it for a lease."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from store.pool import Connection, Record
from store.queries import Queries

SQL = Queries("queue/outbox")


@dataclass(frozen=True)
class Delivery:
    """One event to deliver; `attempts` is the token of who took it."""

    id: UUID
    attempts: int
    event: str
    properties: dict[str, Any]
    tenant_id: UUID | None
    user_id: UUID | None
    timestamp: datetime

    def as_json(self) -> dict[str, Any]:
        """Return what the receiver reads; by `id` it knows an event that comes again."""
        names = ("id", "event", "properties", "tenant_id", "user_id", "timestamp")
        return {name: getattr(self, name) for name in names}


async def take(conn: Connection, limit: int, lease: timedelta) -> list[Delivery]:
    """Take up to `limit` events that are due, as service_role."""
    return [Delivery(**row) for row in await conn.fetch(SQL.take, limit, lease)]


async def delivered(conn: Connection, owed: Delivery) -> None:
    """Note that the receiver has it, whoever brought it."""
    await conn.execute(SQL.delivered, owed.id)


async def postpone(conn: Connection, owed: Delivery, delay: timedelta, error: str) -> None:
    """Try again after `delay`."""
    await conn.execute(SQL.postpone, owed.id, owed.attempts, delay, error)


async def refuse(conn: Connection, owed: Delivery, error: str) -> None:
    """Give up: the receiver will never take it."""
    await conn.execute(SQL.refuse, owed.id, owed.attempts, error)


async def give_back(conn: Connection, owed: Delivery) -> None:
    """Leave it to the next round, untried."""
    await conn.execute(SQL.give_back, owed.id, owed.attempts)


async def forget(conn: Connection, keep: timedelta) -> None:
    """Owe nothing any more that is older than `keep`."""
    await conn.execute(SQL.forget, keep)


async def state(conn: Connection) -> Record:
    """Return (waiting, oldest_seconds, refused)."""
    row = await conn.fetchrow(SQL.state)
    assert row is not None  # noqa: S101 - an aggregate always gives one row
    return row
