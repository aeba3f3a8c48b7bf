"""Rotations of secrets as the database remembers them: fingerprints and times, never a value. As service_role."""

import asyncpg

from store.errors import Conflict
from store.pool import Connection, Record
from store.queries import Queries

SQL = Queries("ops/secret_rotations")


async def begin(conn: Connection, name: str, *, old: str, new: str, reason: str) -> None:
    """Note that a rotation has begun. Raises `Conflict` while one of this secret is open."""
    try:
        await conn.execute(SQL.begin, name, old, new, reason)
    except asyncpg.UniqueViolationError:
        raise Conflict(f"A rotation of `{name}` is open; finish it first.") from None


async def hold_open(conn: Connection, name: str) -> Record | None:
    """Lock the open rotation of this secret and return it: id, old_print, new_print, begun_at, age. None: none is."""
    return await conn.fetchrow(SQL.hold_open, name)


async def finish(conn: Connection, rotation: Record, reason: str) -> None:
    """Note that it is over."""
    await conn.execute(SQL.finish, rotation["id"], rotation["name"], reason)


async def newest(conn: Connection) -> list[Record]:
    """Return the newest (name, old_print, new_print, actor, begun_at, finished_at, age) of each secret."""
    return await conn.fetch(SQL.newest)
