"""API keys: programs that act for one company, each a member with a role. Of a key only the hash is kept."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from store.accounts.memberships import Role
from store.errors import Forbidden, NotFound
from store.pool import Connection, Record
from store.queries import Queries

SQL = Queries("accounts/api_keys")


@dataclass(frozen=True)
class ApiKey:
    """A key in force; its id is a user's, and the membership gives its rights."""

    id: UUID
    tenant_id: UUID
    secret_hash: bytes


async def read(conn: Connection, key_id: UUID) -> ApiKey | None:
    """Return a key in force and note that it is used; None for an unknown or revoked one."""
    row = await conn.fetchrow(SQL.read, key_id)
    return None if row is None else ApiKey(key_id, **row)


async def create(conn: Connection, name: str, role: Role, secret_hash: bytes) -> UUID:
    """Make a key for the request's company. Raises `Forbidden` unless an admin asks."""
    key_id: UUID | None = await conn.fetchval(SQL.create, name, role, secret_hash)
    if key_id is None:
        raise Forbidden("Only an owner or an administrator makes API keys.")
    return key_id


async def revoke(conn: Connection, key_id: UUID) -> None:
    """Revoke a key of the request's company. Raises `NotFound`."""
    if not await conn.fetchval(SQL.revoke, key_id):
        raise NotFound("There is no such API key, or it is revoked already.")


async def list_all(conn: Connection) -> list[Record]:
    """Return (id, name, role, created_at, last_used_at) of the keys in force, the newest first; none but to admins."""
    return await conn.fetch(SQL.list_all)


async def page(conn: Connection, limit: int, after: tuple[datetime, UUID] | None = None) -> list[Record]:
    """Return a page of what `list_all` returns, behind a key's time and id."""
    return await conn.fetch(SQL.page, limit, *(after or (None, None)))
