"""Site visits: a contractor opens one on arrival and everything else hangs on it."""

from uuid import UUID

from store.errors import NotFound
from store.pool import Connection, Record
from store.queries import Queries

SQL = Queries("visits/visits")


async def create(  # noqa: PLR0913 - one argument a field
    conn: Connection,
    *,
    tenant_id: UUID,
    user_id: UUID | None,
    title: str = "",
    customer_name: str = "",
    address: str = "",
    notes: str = "",
) -> Record:
    """Open a visit."""
    row = await conn.fetchrow(SQL.insert_visit, tenant_id, user_id, title, customer_name, address, notes)
    assert row is not None  # noqa: S101 - RETURNING of a plain INSERT
    return row


async def get(conn: Connection, visit_id: UUID) -> Record:
    """Return a visit. Raises `NotFound`, for another tenant's too."""
    return _found(await conn.fetchrow(SQL.get_visit, visit_id))


async def lock(conn: Connection, visit_id: UUID) -> Record:
    """Return a visit, and let nobody else change it before the transaction ends. Raises `NotFound`."""
    return _found(await conn.fetchrow(SQL.lock_visit, visit_id))


async def list_recent(conn: Connection, limit: int) -> list[Record]:
    """Return the newest visits, each with its `media_count`."""
    return await conn.fetch(SQL.recent_visits, limit)


async def update(  # noqa: PLR0913 - one argument a field
    conn: Connection,
    visit_id: UUID,
    *,
    title: str | None = None,
    customer_name: str | None = None,
    address: str | None = None,
    notes: str | None = None,
) -> Record:
    """Change the fields that are not None and return the visit. Raises `NotFound`."""
    return _found(await conn.fetchrow(SQL.update_visit, visit_id, title, customer_name, address, notes))


def _found(row: Record | None) -> Record:
    if row is None:
        raise NotFound("There is no such visit.")
    return row
