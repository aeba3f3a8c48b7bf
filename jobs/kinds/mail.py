"""Sends the mails that wait. The code, or the link, that a mail carries is made here, and only its hash is kept."""

import asyncio
import hashlib
import random
import secrets
from datetime import timedelta

from config.logging import get_logger
from config.settings import Settings
from jobs.queue.retry import backoff
from store.errors import Unavailable
from store.mail import mail_queue, messages, smtp
from store.mail.smtp import Mail
from store.people import people, sign_in
from store.pool import AWAY, Connection, Database, Record

log = get_logger(__name__)

# A person waits in front of the page: a mail is looked for often, and one that waits longer than this is told.
LOOK_SECONDS = (0.3, 0.7)
ALARM_AFTER = timedelta(seconds=10)
# A code that comes later finds nobody.
GIVE_UP_AFTER = {"sign_in": timedelta(minutes=10), "invitation": timedelta(days=3)}
LONGEST_WAIT_SECONDS = 900.0


class MailSender:
    """One mail at a time; any number of workers may run at once."""

    def __init__(self, db: Database, settings: Settings) -> None:
        self._db = db
        self._settings = settings

    async def run_forever(self) -> None:
        """Send what is due, at once while there is more, else look twice a second."""
        while True:
            try:
                sent = await self.send_one()
            except AWAY as error:
                log.warning("Mails wait", error=type(error).__name__)
                sent = False
            if not sent:
                await asyncio.sleep(random.uniform(*LOOK_SECONDS))  # noqa: S311 - spreads load

    async def send_one(self) -> bool:
        """Send the mail that is due first; False when there is none."""
        async with self._db.as_system() as conn:
            waiting = await mail_queue.take(conn)
        if waiting is None:
            return False
        if waiting["waited"] > ALARM_AFTER:
            log.error("A mail has waited too long", kind=waiting["kind"], seconds=waiting["waited"].total_seconds())
        try:
            await self._send(waiting)
        except Unavailable as error:
            await self._try_later(waiting, error)
        else:
            async with self._db.as_system() as conn:
                await mail_queue.forget(conn, waiting["id"])
        return True

    async def _send(self, waiting: Record) -> None:
        async with self._db.as_system() as conn:
            mail = await compose(conn, self._settings, waiting)
        if mail is not None:
            await smtp.send(self._settings, mail)

    async def _try_later(self, waiting: Record, error: Unavailable) -> None:
        log.warning("A mail was not taken", kind=waiting["kind"], tries=waiting["tries"], error=error.detail)
        async with self._db.as_system() as conn:
            if waiting["waited"] > GIVE_UP_AFTER[waiting["kind"]]:
                await mail_queue.forget(conn, waiting["id"])
                return
            wait_s = backoff(waiting["tries"], cap_s=LONGEST_WAIT_SECONDS)
            await mail_queue.postpone(conn, waiting["id"], timedelta(seconds=wait_s))


async def compose(conn: Connection, settings: Settings, waiting: Record) -> Mail | None:
    """Make a waiting mail and the secret that it carries; None for one that nobody is to get, or not any more."""
    token = secrets.token_urlsafe(32)
    token_hash = hashlib.sha256(token.encode()).digest()
    if waiting["kind"] == "invitation":
        offer = await people.set_invitation_token(conn, waiting["about"], token_hash)
        if offer is None:
            return None
        link = f"{settings.app_origin}/join/{token}"
        words = {name: offer[name] for name in ("company", "role", "inviter")}
        return messages.invitation(offer["email"], **words, link=link)
    email = await sign_in.code_email(conn, waiting["about"], is_open=settings.sign_up == "open")
    if email is None:
        return None
    code = sign_in.new_code()
    code_hash = await asyncio.to_thread(sign_in.hash_code, code)
    if not await sign_in.set_code(conn, waiting["about"], code_hash, token_hash):
        return None
    return messages.sign_in(email, code, f"{settings.app_origin}/sign-in/link/{token}")
