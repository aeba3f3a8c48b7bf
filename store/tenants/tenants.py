"""Tenants and their settings."""

from store.errors import Forbidden, NotFound
from store.pool import Connection, Record
from store.queries import Queries

SQL = Queries("tenants/tenants")


async def current(conn: Connection) -> Record:
    """Return the tenant of the request with its settings: name, is_test, currency, tax_rate, profile and more."""
    row = await conn.fetchrow(SQL.current_tenant)
    if row is None:
        raise NotFound("This tenant does not exist any more.")
    return row


async def reminders(conn: Connection) -> Record:
    """Return after how many days customers are reminded: (remind_unopened_days, remind_unanswered_days)."""
    row = await conn.fetchrow(SQL.reminders)
    if row is None:
        raise NotFound("This tenant does not exist any more.")
    return row


async def set_reminders(conn: Connection, unopened_days: int | None, unanswered_days: int | None) -> None:
    """Set after how many days customers are reminded, None for never. Raises `Forbidden` unless an admin asks."""
    if await conn.fetchval(SQL.set_reminders, unopened_days, unanswered_days) is None:
        raise Forbidden("Only an owner or an administrator changes the company's settings.")


async def lock_tenant(conn: Connection) -> None:
    """Let no other transaction of this tenant pass here before ours is over: for sums that must not be overdrawn."""
    await conn.execute(SQL.lock_tenant)
