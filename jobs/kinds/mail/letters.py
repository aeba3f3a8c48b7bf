"""Letters of companies: one job sends one row of `mails`, whose id stands in the Message-ID of every attempt.

The link of each attempt is a new one, and stays: nobody can tell whether an attempt that broke off has arrived.
"""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from config.logging import get_logger
from config.settings import Settings
from store.errors import NotFound, Unavailable
from store.mail import letters, mails, smtp
from store.mail.letter import Letter, as_html, as_text
from store.mail.smtp import Mail, MailRefused
from store.objects.objects import ObjectStore
from store.pool import Connection, Database, Record

log = get_logger(__name__)

LOGO_BYTES = 1024 * 1024
LINK_IS_OVER = "The link had ended before the mail went out."


@dataclass(frozen=True)
class _Draft:
    """What a mail will say, before its logo is fetched."""

    to: str
    letter: Letter
    company: Mapping[str, Any]


async def deliver(db: Database, objects: ObjectStore, settings: Settings, mail_id: UUID) -> str | None:
    """Make a letter and send it; returns why it was not sent, "" where it was; None for one sent before, or deleted.

    Raises `Unavailable` when the server does not take it yet.
    """
    async with db.as_system() as conn:
        row = await mails.find(conn, mail_id)
        if row is None or row["state"] == "sent":
            return None
        draft = await _draft(conn, settings, row)
    if draft is None:
        return LINK_IS_OVER
    try:
        await smtp.send(settings, await _written(objects, draft, mail_id))
    except MailRefused as refusal:
        return str(refusal)
    return ""


async def _draft(conn: Connection, settings: Settings, row: Record) -> _Draft | None:
    token = secrets.token_urlsafe(32)
    if not await mails.add_share_token(conn, row["share_id"], hashlib.sha256(token.encode()).digest()):
        return None
    share = await mails.share_facts(conn, row["share_id"])
    letter = letters.estimate(share, row["message"], f"{settings.app_origin}/e/{token}")
    return _Draft(row["address"], letter, share)


async def _written(objects: ObjectStore, draft: _Draft, mail_id: UUID) -> Mail:
    logo = await _logo(objects, draft.company["logo_path"])
    head = letters.letterhead(draft.company, has_logo=logo is not None)
    return Mail(
        draft.to,
        draft.letter.subject,
        as_text(draft.letter, head),
        html=as_html(draft.letter, head),
        logo=logo,
        sender_name=head.name,
        reply_to=draft.company["profile"].get("email", ""),
        id=str(mail_id),
    )


async def _logo(objects: ObjectStore, path: str | None) -> bytes | None:
    """Fetch the logo; a letter goes without one rather than not at all."""
    if path is None:
        return None
    try:
        return await objects.get(path, limit=LOGO_BYTES)
    except (NotFound, Unavailable) as error:
        log.warning("A letter goes without its logo", error=type(error).__name__)
        return None
