"""Mails of companies: rows. The upper half acts for the tenant, under RLS; the lower half as service_role."""

from typing import Any
from uuid import UUID

from store.errors import Conflict, NotFound
from store.pool import Connection, Record
from store.queries import Queries

SQL = Queries("mail/mails")


async def mail_share(conn: Connection, share_id: UUID, address: str, message: str) -> Record:
    """Queue a mail with a link of a share, and return it as `get` does.

    Raises `NotFound`, and `Conflict` for a link that is over or to an earlier version.
    """
    row = await conn.fetchrow(SQL.mail_share, share_id, address, message)
    if row is None or row["outcome"] == "unknown":
        raise NotFound("There is no such share.")
    if row["outcome"] == "closed":
        raise Conflict("This link can no longer be opened; make a new one.", code="share_closed")
    if row["outcome"] == "outdated":
        detail = "A newer version of this estimate exists; share that one."
        raise Conflict(detail, code="share_outdated", newest_id=row["id"])
    return await get(conn, row["id"])


async def get(conn: Connection, mail_id: UUID) -> Record:
    """Return (id, kind, share_id, address, message, state, reason, queued_at, settled_at); raises `NotFound`."""
    row = await find(conn, mail_id)
    if row is None:
        raise NotFound("There is no such mail.")
    return row


async def find(conn: Connection, mail_id: UUID) -> Record | None:
    """Return what `get` does, or None."""
    return await conn.fetchrow(SQL.mail, mail_id)


async def share_facts(conn: Connection, share_id: UUID) -> dict[str, Any]:
    """Return what a letter says of a share and its company; raises `NotFound`."""
    row = await conn.fetchrow(SQL.share_facts, share_id)
    if row is None:
        raise NotFound("There is no such share.")
    return dict(row)


# As service_role.


async def add_share_token(conn: Connection, share_id: UUID, token_hash: bytes) -> bool:
    """Give a share one more link; False for a share that is over."""
    added: bool = await conn.fetchval(SQL.add_share_token, share_id, token_hash)
    return added


async def settle(conn: Connection, mail_id: UUID, reason: str = "") -> None:
    """Write down that a mail was sent, or why it was not."""
    await conn.execute(SQL.settle_mail, mail_id, reason)
