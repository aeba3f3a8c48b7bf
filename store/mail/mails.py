"""Mails of companies: rows. The upper half acts for the tenant, under RLS; the lower half as service_role."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from store.errors import Conflict, Forbidden, NotFound
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


async def is_of_test_company(conn: Connection, mail_id: UUID) -> bool:
    """Tell whether a mail is of a test company: it must not leave."""
    return bool(await conn.fetchval(SQL.is_of_test_company, mail_id))


async def share_facts(conn: Connection, share_id: UUID) -> dict[str, Any]:
    """Return a letter's facts on a share and its company; raises `NotFound`."""
    row = await conn.fetchrow(SQL.share_facts, share_id)
    if row is None:
        raise NotFound("There is no such share.")
    return dict(row)


async def own_notifications(conn: Connection) -> Record | None:
    """Return (role, choices) of the caller in the company they act for; None where they act for none."""
    return await conn.fetchrow(SQL.own_notifications)


async def choose_notifications(conn: Connection, choices: Mapping[str, str]) -> None:
    """Choose off, mine or all for topics. Raises `Forbidden` where the caller acts for no company."""
    if not await conn.fetchval(SQL.choose_notifications, dict(choices)):
        raise Forbidden("Choose a company first.")


# As service_role.


async def notice_facts(conn: Connection, mail_id: UUID) -> dict[str, Any] | None:
    """Return a notice's facts and its `email`; None for a former member."""
    row = await conn.fetchrow(SQL.notice_facts, mail_id)
    return None if row is None else dict(row)


async def document(conn: Connection, estimate_id: UUID, share_id: UUID) -> Mapping[str, Any]:
    """Return the document of a share as its customer reads it."""
    found: Mapping[str, Any] = await conn.fetchval(SQL.document, estimate_id, share_id)
    return found


async def operator_address(conn: Connection, user_id: UUID) -> str | None:
    """Return where an operator gets mail; None for a former operator."""
    address: str | None = await conn.fetchval(SQL.operator_address, user_id)
    return address


async def queue_reminders(conn: Connection) -> int:
    """Queue the reminders that are due; returns how many."""
    count: int = await conn.fetchval(SQL.queue_reminders)
    return count


async def queue_alert_mails(conn: Connection, alert: str, *, firing: bool, value: float) -> None:
    """Queue a mail to each operator: an alert begins, or ends."""
    await conn.execute(SQL.queue_alert_mails, alert, firing, value)


async def prune(conn: Connection) -> None:
    """Give up mails that nobody has sent for a week."""
    await conn.execute(SQL.prune_mails)


async def add_share_token(conn: Connection, share_id: UUID, token_hash: bytes) -> bool:
    """Give a share one more link; False for a share that is over."""
    added: bool = await conn.fetchval(SQL.add_share_token, share_id, token_hash)
    return added


async def settle(conn: Connection, mail_id: UUID, reason: str = "") -> None:
    """Write down that a mail was sent, or why it was not."""
    await conn.execute(SQL.settle_mail, mail_id, reason)
