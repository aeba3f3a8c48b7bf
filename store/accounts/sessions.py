"""Sessions: browsers that are signed in, each for one company at a time. Of a secret only the hash is kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from store.pool import Connection, Record
from store.queries import Queries

SQL = Queries("accounts/sessions")

DAYS = 90  # at most, whatever its use; unused for 30 days it is over


@dataclass(frozen=True)
class Session:
    """A live session; the secret before the last rotation holds for a minute more."""

    id: UUID
    user_id: UUID
    tenant_id: UUID | None
    secret_hash: bytes
    previous_hash: bytes | None
    rotated_at: datetime
    must_rotate: bool
    expires_at: datetime


async def start(  # noqa: PLR0913 - the columns of a session, by name
    conn: Connection,
    *,
    user_id: UUID,
    secret_hash: bytes,
    way: str,
    device: str,
    address_prefix: str,
    replaces: UUID | None,
    tenant_id: UUID | None = None,
    seconds: float = DAYS * 86_400,
) -> tuple[UUID, UUID | None]:
    """Begin a session in place of another; returns its id and its company's, None for a user without one."""
    row = await conn.fetchrow(
        SQL.start, user_id, secret_hash, way, device, address_prefix, replaces, tenant_id, seconds
    )
    assert row is not None  # noqa: S101 - the function always gives one row
    return row["id"], row["tenant_id"]


async def read(conn: Connection, session_id: UUID) -> Session | None:
    """Return a live session and note that it is used; None for an unknown one, or one that is over."""
    row = await conn.fetchrow(SQL.read, session_id)
    return None if row is None else Session(session_id, **row)


async def rotate(conn: Connection, session_id: UUID, old_hash: bytes, new_hash: bytes) -> bool:
    """Replace the secret; False when another request has done so first."""
    return bool(await conn.fetchval(SQL.rotate, session_id, old_hash, new_hash))


async def choose_company(conn: Connection, session_id: UUID, tenant_id: UUID) -> bool:
    """Act for another company from now on; False where the session's user is no member."""
    return bool(await conn.fetchval(SQL.choose_company, session_id, tenant_id))


async def of_user(conn: Connection, user_id: UUID) -> list[Record]:
    """Return (id, way, device, address_prefix, company, created_at, last_used_at), the last used first."""
    return await conn.fetch(SQL.of_user, user_id)


async def end(conn: Connection, user_id: UUID, session_id: UUID | None, *, but: UUID | None = None) -> int:
    """End one session of a user, or with None all `but` one; returns how many ended."""
    ended: int = await conn.fetchval(SQL.end, user_id, session_id, but)
    return ended


async def ended(conn: Connection, session_ids: Sequence[UUID], tenant_ids: Sequence[UUID]) -> list[UUID]:
    """Return those sessions that are over, or act for another company than the one beside them."""
    return [row["id"] for row in await conn.fetch(SQL.ended, session_ids, tenant_ids)]


async def companies_of(conn: Connection, user_id: UUID) -> list[Record]:
    """Return (tenant_id, name, role, is_test) of each company that the user is a member of, by name."""
    return await conn.fetch(SQL.companies_of, user_id)


async def user(conn: Connection, user_id: UUID) -> Record | None:
    """Return (id, email, name); email is None for a user known by a token alone."""
    return await conn.fetchrow(SQL.user, user_id)


async def prune(conn: Connection) -> int:
    """Delete sessions and requests to sign in that expired a day ago; returns how many rows. As service_role."""
    gone: int = await conn.fetchval(SQL.prune)
    return gone
