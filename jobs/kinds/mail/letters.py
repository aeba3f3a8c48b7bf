"""Letters of companies: one job sends one row of `mails`, whose id stands in the Message-ID of every attempt.

The link of each attempt is a new one, and stays: nobody can tell whether an attempt that broke off has arrived.
"""

import hashlib
import secrets
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID

from config.logging import get_logger
from config.settings import Settings
from store.documents.document import Document
from store.documents.pdf import LOGO, pdf_values
from store.documents.typesetter import Typesetter
from store.errors import NotFound, Unavailable
from store.mail import letters, mails, notices, smtp
from store.mail.letter import Letter, as_html, as_text
from store.mail.smtp import Attachment, Mail, MailRefused
from store.objects.objects import ObjectStore
from store.pool import Connection, Database, Record

log = get_logger(__name__)

LOGO_BYTES = 1024 * 1024
LINK_IS_OVER = "The link had ended before the mail went out."
NOBODY = "This person had left the company before the mail went out."
TOO_LATE = "The mail waited too long to be of use."
# News of a week ago is none; a customer's link is good for as long as it lasts.
NEWS_FOR = timedelta(days=3)


@dataclass(frozen=True)
class _Draft:
    """A mail's content, before its logo is fetched."""

    to: str
    letter: Letter
    company: Mapping[str, Any]
    document: Mapping[str, Any] | None = None  # to be attached as a PDF


async def deliver(db: Database, objects: ObjectStore, settings: Settings, mail_id: UUID) -> str | None:
    """Make a letter and send it, unless it is a test company's; returns why it was not sent, "" where it was.

    None for one that was sent before, or deleted. Raises `Unavailable` when the server does not take it yet.
    """
    async with db.as_system() as conn:
        row = await mails.find(conn, mail_id)
        if row is None or row["state"] == "sent":
            return None
        compose = _to_a_customer if row["user_id"] is None else _to_a_user
        draft = await compose(conn, settings, row)
        is_test = await mails.is_of_test_company(conn, mail_id)
    if isinstance(draft, str):
        return draft
    mail = await _written(objects, draft, mail_id)
    if is_test:
        log.info("A mail of a test company does not leave", mail_id=str(mail_id))
        return ""
    try:
        await smtp.send(settings, mail)
    except MailRefused as refusal:
        return str(refusal)
    return ""


async def _to_a_customer(conn: Connection, settings: Settings, row: Record) -> _Draft | str:
    """Make a letter with a new link, or say why there is none to send."""
    token = secrets.token_urlsafe(32)
    if not await mails.add_share_token(conn, row["share_id"], hashlib.sha256(token.encode()).digest()):
        return LINK_IS_OVER
    share = await mails.share_facts(conn, row["share_id"])
    link = f"{settings.app_origin}/e/{token}"
    reminds = row["kind"] == "reminder"
    letter = letters.reminder(share, link) if reminds else letters.estimate(share, row["message"], link)
    return _Draft(row["address"], letter, share)


async def _to_a_user(conn: Connection, settings: Settings, row: Record) -> _Draft | str:
    """Make a notice, or say why there is none to send."""
    if datetime.now(UTC) - row["queued_at"] > NEWS_FOR:
        return TOO_LATE
    facts = await mails.notice_facts(conn, row["id"])
    if facts is None:
        return NOBODY
    letter = notices.notice(row["kind"], facts, settings.app_origin)
    signed = row["kind"] == "accepted"
    document = await mails.document(conn, facts["estimate_id"], facts["share_id"]) if signed else None
    return _Draft(facts["email"], letter, facts, document)


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
        attachments=() if draft.document is None else (await _signed(Document(draft.document), logo, tenant=mail_id),),
    )


async def _signed(document: Document, logo: bytes | None, *, tenant: Hashable) -> Attachment:
    """Set a signed estimate in type; its photos are behind the link, and would make the mail too large."""
    pictures = {} if logo is None else {LOGO: logo}
    pdf = await _typesetter().set(pdf_values(document, pictures), pictures, tenant=tenant)
    name = f"Estimate-{document.number}-version-{document.estimate['version']}.pdf"
    return Attachment(name, "application/pdf", pdf)


@cache
def _typesetter() -> Typesetter:
    return Typesetter()


async def _logo(objects: ObjectStore, path: str | None) -> bytes | None:
    """Fetch the logo; a letter goes without one rather than not at all."""
    if path is None:
        return None
    try:
        return await objects.get(path, limit=LOGO_BYTES)
    except (NotFound, Unavailable) as error:
        log.warning("A letter goes without its logo", error=type(error).__name__)
        return None
