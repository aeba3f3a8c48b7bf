"""Operators of the whole product: users with a row, granted and withdrawn by the command line."""

from uuid import UUID

from store.pool import Connection, Record
from store.queries import Queries

SQL = Queries("ops/operators")


async def is_operator(conn: Connection, user_id: UUID) -> bool:
    """Tell whether a user is an operator now."""
    return bool(await conn.fetchval(SQL.is_operator, user_id))


async def add(conn: Connection, user_id: UUID, name: str, reason: str) -> bool:
    """Make a user an operator; False for one that is already. As service_role."""
    return bool(await conn.fetchval(SQL.add, user_id, name, reason))


async def remove(conn: Connection, user_id: UUID, reason: str) -> bool:
    """Withdraw it; False for a user without it. As service_role."""
    return bool(await conn.fetchval(SQL.remove, user_id, reason))


async def all_of_them(conn: Connection) -> list[Record]:
    """Return every operator, the newest last. As service_role."""
    return await conn.fetch(SQL.all_of_them)
