"""Tenants and their settings."""

from store.errors import NotFound
from store.pool import Connection, Record
from store.queries import Queries

SQL = Queries("tenants/tenants")


async def current(conn: Connection) -> Record:
    """Return the tenant of the request with its settings: id, name, currency, tax_rate, profile, feature_flags."""
    row = await conn.fetchrow(SQL.current_tenant)
    if row is None:
        raise NotFound("This tenant does not exist any more.")
    return row


async def lock_tenant(conn: Connection) -> None:
    """Let no other transaction of this tenant pass here before ours is over: for sums that must not be overdrawn."""
    await conn.execute(SQL.lock_tenant)
