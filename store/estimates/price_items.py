"""The price book as an estimate meets it: every active item with its price."""

from uuid import UUID

from store.pool import Connection, Record
from store.queries import Queries

SQL = Queries("estimates/price_items")


async def active(conn: Connection, tenant_id: UUID) -> list[Record]:
    """Return the tenant's active items: id, description, category, unit and price."""
    return await conn.fetch(SQL.active_items, tenant_id)
