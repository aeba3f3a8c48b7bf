"""Mails about accounts: the code, or the link, that one carries is made here, and hashes are kept."""

import asyncio
import hashlib
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from config.logging import get_logger
from config.settings import Settings
from store.mail import messages, smtp
from store.mail.smtp import Mail
from store.people import people, sign_in
from store.pool import Connection, Database

log = get_logger(__name__)

# A person waits in front of the page.
ALARM_AFTER = timedelta(seconds=10)
# A code that comes later finds nobody.
USEFUL_FOR = {"sign_in": timedelta(minutes=10), "invitation": timedelta(days=3)}


async def deliver(db: Database, settings: Settings, payload: Any) -> bool:
    """Make the mail that a job is about and send it; False where nobody is to get it, or not any more.

    Raises `Unavailable` and `MailRefused` as `smtp.send` does.
    """
    waited = datetime.now(UTC) - datetime.fromisoformat(payload["queued_at"])
    if waited > USEFUL_FOR[payload["mail"]]:
        return False
    if waited > ALARM_AFTER:
        log.error("A mail has waited too long", mail=payload["mail"], seconds=round(waited.total_seconds()))
    async with db.as_system() as conn:
        mail = await _compose(conn, settings, payload["mail"], UUID(payload["about"]))
    if mail is None:
        return False
    await smtp.send(settings, mail)
    return True


async def _compose(conn: Connection, settings: Settings, kind: str, about: UUID) -> Mail | None:
    """Make a mail and the secret that it carries; None for one that nobody is to get, or not any more."""
    token = secrets.token_urlsafe(32)
    token_hash = hashlib.sha256(token.encode()).digest()
    if kind == "invitation":
        offer = await people.set_invitation_token(conn, about, token_hash)
        if offer is None:
            return None
        link = f"{settings.app_origin}/join/{token}"
        words = {name: offer[name] for name in ("company", "role", "inviter")}
        return messages.invitation(offer["email"], **words, link=link)
    email = await sign_in.code_email(conn, about, is_open=settings.sign_up == "open")
    if email is None:
        return None
    code = sign_in.new_code()
    code_hash = await asyncio.to_thread(sign_in.hash_code, code)
    if not await sign_in.set_code(conn, about, code_hash, token_hash):
        return None
    return messages.sign_in(email, code, f"{settings.app_origin}/sign-in/link/{token}")
