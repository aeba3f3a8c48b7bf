"""Mails that wait: rows that name a request or an invitation. The secret a mail carries is made when it is sent."""

from datetime import timedelta
from uuid import UUID

from store.pool import Connection, Record
from store.queries import Queries

SQL = Queries("mail/mail_queue")


async def take(conn: Connection) -> Record | None:
    """Return the mail that is due first, as (id, kind, about, tries, waited), and keep it from others for 30 s."""
    return await conn.fetchrow(SQL.take)


async def forget(conn: Connection, mail_id: UUID) -> None:
    """Take a mail out of the queue: it is sent, or never will be."""
    await conn.execute(SQL.forget, mail_id)


async def postpone(conn: Connection, mail_id: UUID, wait: timedelta) -> None:
    """Try a mail again later."""
    await conn.execute(SQL.postpone, mail_id, wait)
