"""Passkeys: public keys of credentials that a person's devices hold, with a name each."""

from uuid import UUID

from store.errors import Conflict, NotFound
from store.pool import Connection, Record
from store.queries import Queries

SQL = Queries("people/passkeys")


async def add(  # noqa: PLR0913 - the columns of a passkey, by name
    conn: Connection, *, user_id: UUID, credential_id: bytes, public_key: bytes, sign_count: int, name: str
) -> None:
    """Keep a passkey of a user. Raises `Conflict` for a credential that is known already."""
    if not await conn.fetchval(SQL.add, user_id, credential_id, public_key, sign_count, name):
        raise Conflict("This passkey is kept already.")


async def find(conn: Connection, credential_id: bytes) -> Record | None:
    """Return (user_id, public_key, sign_count) of a passkey; None for an unknown one."""
    return await conn.fetchrow(SQL.find, credential_id)


async def use(conn: Connection, credential_id: bytes, sign_count: int) -> None:
    """Note that a passkey signed, with its counter, which is 0 where it has none."""
    await conn.execute(SQL.use, credential_id, sign_count)


async def of_user(conn: Connection, user_id: UUID) -> list[Record]:
    """Return (credential_id, name, created_at, last_used_at) of a user's passkeys, the oldest first."""
    return await conn.fetch(SQL.of_user, user_id)


async def remove(conn: Connection, user_id: UUID, credential_id: bytes) -> None:
    """Remove a passkey of a user. Raises `NotFound`."""
    if not await conn.fetchval(SQL.remove, user_id, credential_id):
        raise NotFound("There is no such passkey, or it was removed.")
