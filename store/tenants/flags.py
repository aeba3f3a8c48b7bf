"""Flags of tenants: read by everybody, changed by operators, every change written down by the database itself."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from config.flags import Flag
from store.errors import Conflict, NotFound
from store.pool import Connection, Record
from store.queries import Queries

SQL = Queries("tenants/flags")


async def of_tenant(conn: Connection, tenant_id: UUID) -> Mapping[str, Any] | None:
    """Return a tenant's nested flags; None when it has none set."""
    flags: Mapping[str, Any] | None = await conn.fetchval(SQL.of_tenant, tenant_id)
    return flags


async def set_flag(conn: Connection, tenant_id: UUID, flag: Flag, reason: str, *, on: bool) -> bool:
    """Turn a tenant's flag on or off; returns its value now, which is off as long as the flag is killed.

    Raises `NotFound` for an unknown tenant.
    """
    now: bool | None = await conn.fetchval(SQL.set_flag, tenant_id, flag.value, on, reason)
    if now is None:
        raise NotFound("There is no such tenant.")
    return now


async def set_everywhere(conn: Connection, flag: Flag, reason: str, *, on: bool) -> int:
    """Turn a flag on or off for all tenants; returns for how many that was a change."""
    changed: int = await conn.fetchval(SQL.set_everywhere, flag.value, on, reason)
    return changed


async def kill(conn: Connection, flag: Flag, reason: str) -> int:
    """Turn a flag off for everybody and remember the tenants that had it on; returns how many. Raises `Conflict`."""
    kept: int | None = await conn.fetchval(SQL.kill, flag.value, reason)
    if kept is None:
        raise Conflict(f"`{flag}` is killed already; restore it first.")
    return kept


async def restore(conn: Connection, flag: Flag, reason: str) -> int:
    """Turn a killed flag on again for exactly those it was on for; returns how many. Raises `Conflict`."""
    kept: int | None = await conn.fetchval(SQL.restore, flag.value, reason)
    if kept is None:
        raise Conflict(f"`{flag}` is not killed.")
    return kept


async def by_tenant(conn: Connection, limit: int) -> list[Record]:
    """Return (tenant_id, tenant, flags, kept: names that are on again after a kill) by the tenant's name."""
    return await conn.fetch(SQL.by_tenant, limit)


async def killed(conn: Connection) -> list[Record]:
    """Return (name, actor, reason, killed_at, kept: for how many it is remembered)."""
    return await conn.fetch(SQL.killed)


async def history(conn: Connection, tenant_id: UUID | None, limit: int) -> list[Record]:
    """Return the newest (tenant_id, tenant, name, before, after, actor, reason, changed_at), of one tenant or all."""
    return await conn.fetch(SQL.history, tenant_id, limit)
